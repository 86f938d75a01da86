"""A head that exists while training only: it reads the parts' masks off the image features directly, so that the encoder
learns from every pixel at once instead of through the prompt decoder alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.config import ModelConfig
from ..model.network import ImageFeatures
from .losses import boundary_entropy, boundary_weight, dice
from .settings import LossSettings


class DenseHead(nn.Module):
    """One 1x1 convolution on each feature level, summed at stride 4: logits (b, parts, s, s)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        parts, width = len(config.parts), config.d_model
        self.levels = nn.ModuleList(nn.Conv2d(channels, parts, 1) for channels in (width // 8, width // 4, width))

    def forward(self, features: ImageFeatures) -> Tensor:
        """Every level enlarged to the finest: (b, parts, s, s)."""
        maps = [*features.high_res, features.tokens]
        logits = [head(level) for head, level in zip(self.levels, maps, strict=True)]
        size = logits[0].shape[-2:]
        enlarged = [F.interpolate(level, size=size, mode="bilinear", align_corners=False) for level in logits[1:]]
        return torch.stack([logits[0], *enlarged]).sum(0)


def dense_loss(logits: Tensor, low: Tensor, weights: LossSettings) -> Tensor:
    """Boundary-weighted cross-entropy + dice of (b, parts, s, s) logits against true masks of that shape, a scalar."""
    logits, low = logits.float().flatten(0, 1)[:, None], low.flatten(0, 1)[:, None]
    entropy = boundary_entropy(logits, low, boundary_weight(low), weights.boundary_gain).mean()
    # Dice says nothing about an empty mask; cross-entropy does.
    present = (low.amax((1, 2, 3)) > 0.5).float()
    return entropy + (dice(logits, low)[:, 0] * present).sum() / present.sum().clamp(min=1)
