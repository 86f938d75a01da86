"""What a run leaves on disk: weights as safetensors, and the state from which it resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

STATE = "state.pt"


def save_weights(network: nn.Module, path: Path) -> None:
    """The state dict of `network`, replacing the file only when it is complete."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, partial)
    partial.replace(path)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Everything a run needs to go on as if it had not stopped; a kill while writing leaves the previous state."""
    partial = folder / (STATE + ".partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / STATE)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The saved state, None when there is none. Raises ValueError for a file that cannot be read."""
    path = folder / STATE
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"{path}: not a readable training state ({error}); delete it to start anew") from error
