"""AdamW as the published recipe has it: slower for what is pre-trained, the slower the farther from the trunk's end."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn

from .settings import OptimiserSettings

TRUNK = "image_encoder.trunk."
TOP_DOWN = TRUNK + "top_down."


def build_optimiser(modules: Sequence[nn.Module], settings: OptimiserSettings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; no decay for biases, norms, embeddings and other vectors.

    Each group carries `scale`, its share of the learning rate: `settings.rates` by the longest prefix of the parameter's
    name, times `layer_decay` for every block of the trunk between it and the trunk's end.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in modules:
        depths = trunk_depths([name for name, _ in module.named_parameters()])
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            vector = parameter.squeeze().ndim < 2 or "embed" in name or "tpos_enc" in name
            scale = rate_of(name, settings) * settings.layer_decay ** depths.get(name, 0)
            groups.setdefault((scale, 0.0 if vector else settings.weight_decay), []).append(parameter)
    made = [{"params": found, "scale": scale, "weight_decay": decay} for (scale, decay), found in groups.items()]
    return torch.optim.AdamW(made, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)


def freeze(modules: Sequence[nn.Module], settings: OptimiserSettings) -> None:
    """Takes what has a rate of zero out of training: no gradient is computed for it, nor through what lies before it."""
    for module in modules:
        for name, parameter in module.named_parameters():
            if rate_of(name, settings) == 0:
                parameter.requires_grad_(False)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of every group, its scale included."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def rate_of(name: str, settings: OptimiserSettings) -> float:
    """Share of the learning rate that a parameter's name gets."""
    matching = [prefix for prefix in settings.rates if name.startswith(prefix)]
    return settings.rates[max(matching, key=len)] if matching else 1.0


def trunk_depths(names: Sequence[str]) -> dict[str, int]:
    """Blocks between each of the trunk's parameters and the trunk's end: 0 in the last block, and for the way back down.

    A block is what one chain of indices names (`blocks.3`, `levels.2.1`); what has none (stem, patch embedding, position
    tables) comes before the first block.
    """
    blocks = {name: _block(name) for name in names if name.startswith(TRUNK) and not name.startswith(TOP_DOWN)}
    order = {block: place for place, block in enumerate(sorted(set(blocks.values())))}
    return {name: len(order) - 1 - order[block] for name, block in blocks.items()}


def _block(name: str) -> tuple[int, ...]:
    found = re.match(r"[a-z_]+\.(\d+)(?:\.(\d+)(?=\.[a-z]))?", name.removeprefix(TRUNK))
    if found is None or found.group(0).startswith(("stem", "patch_embed", "pos_embed")):
        return ()
    return tuple(int(index) for index in found.groups() if index is not None)
