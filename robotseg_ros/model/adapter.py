"""A small adapter per embodiment: the base network stays as it is, the adapter is swapped at run time (the paper's open
question about embodiment-specific models, answered with low-rank residuals)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .checkpoint import CheckpointError, read_weights, write_weights
from .config import ModelConfig

if TYPE_CHECKING:
    from .network import ImageFeatures, RobotSeg


class LowRankResidual(nn.Module):
    """x + up(relu(down(x))) by 1x1 convolutions; `up` begins at zero, so that a new one changes nothing."""

    def __init__(self, channels: int, rank: int):
        super().__init__()
        self.down = nn.Conv2d(channels, rank, 1)
        self.up = nn.Conv2d(rank, channels, 1)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x + self.up(torch.relu(self.down(x)))


class EmbodimentAdapter(nn.Module):
    """Residuals on the three feature levels of the image encoder, and an offset for each part's class token."""

    def __init__(self, config: ModelConfig, rank: int):
        super().__init__()
        width = config.d_model
        self.tokens = LowRankResidual(width, rank)
        self.high_res = nn.ModuleList(LowRankResidual(channels, rank) for channels in (width // 8, width // 4))
        self.class_tokens = nn.Parameter(torch.zeros(len(config.parts), width))
        self.rank = rank

    def forward(self, features: ImageFeatures) -> ImageFeatures:
        """The features as this embodiment needs them."""
        levels = [residual(level) for residual, level in zip(self.high_res, features.high_res, strict=True)]
        return type(features)(self.tokens(features.tokens), levels, features.edges)


def add_adapter(network: RobotSeg, rank: int = 16) -> EmbodimentAdapter:
    """Gives the network a new adapter, which changes nothing until it is trained; everything else is frozen."""
    network.requires_grad_(False)
    network.adapter = EmbodimentAdapter(network.config, rank).to(network.no_mem_embed.device)
    return network.adapter


def save_adapter(network: RobotSeg, path: str | Path) -> None:
    """Writes the network's adapter as safetensors with the name of its model. Raises ValueError where there is none."""
    if network.adapter is None:
        raise ValueError(f"the network {network.config.name} has no adapter to write")
    write_weights(network.adapter.state_dict(), path, {"adapts": network.config.name})


def load_adapter(network: RobotSeg, path: str | Path | None) -> None:
    """Puts the adapter of a file into the network, in place of the one it has; None takes it out.

    Raises CheckpointError for a file that is missing, damaged, no adapter, or one of another model.
    """
    if path is None:
        network.adapter = None
        return
    weights = read_weights(path)
    adapter = EmbodimentAdapter(network.config, _rank(weights, Path(path)))
    expected = {name: tuple(value.shape) for name, value in adapter.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != expected:
        raise CheckpointError(
            f"adapter {path} was made for the model {_adapts(Path(path))}; it does not fit {network.config.name}"
        )
    adapter.load_state_dict(weights)
    network.adapter = adapter.to(network.no_mem_embed.device).eval().requires_grad_(False)


def _rank(weights: Mapping[str, Tensor], path: Path) -> int:
    if "tokens.down.weight" not in weights:
        raise CheckpointError(f"{path} is not an adapter (no tensor tokens.down.weight); `robotseg train` writes them")
    return int(weights["tokens.down.weight"].shape[0])


def _adapts(path: Path) -> str:
    if path.suffix != ".safetensors":
        return "unknown"
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("adapts", "unknown")
