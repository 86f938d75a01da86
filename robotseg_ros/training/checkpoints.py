"""The state on disk from which a run resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

STATE = "state.pt"


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
