"""The exponential moving average of a network's weights: what is validated and exported."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..model.network import RobotSeg


class AveragedNetwork:
    """Keeps `network` (a copy in eval mode) at the moving average of a trained network's floating-point state."""

    def __init__(self, trained: RobotSeg, decay: float) -> None:
        self.network = copy.deepcopy(trained).eval().requires_grad_(False)
        self.decay = decay
        self._pairs = list(zip(_floats(self.network), _floats(trained), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the trained weights; early on the average follows quickly."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = ([pair[side] for pair in self._pairs] for side in (0, 1))
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def _floats(network: nn.Module) -> list[torch.Tensor]:
    tensors = (*network.parameters(), *network.buffers())
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
