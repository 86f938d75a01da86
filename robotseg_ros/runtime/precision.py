"""Prepares a network for inference: folded batch normalisation, memory layout, precision."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..model import RobotSeg
from ..model.trunk import ConvNetTrunk, ResidualBlock

PRECISIONS: tuple[str, ...] = ("float32", "bfloat16")


def prepare(network: RobotSeg, precision: str = "float32") -> RobotSeg:
    """A copy of `network` made fast for inference on the device it is on; the original is untouched.

    `float32` gives the same masks (batch normalisation is folded into convolutions, which moves logits by rounding only).
    `bfloat16` runs the trunk in bfloat16: faster on recent GPUs and CPUs, masks differ slightly. Raises ValueError for
    another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    fast = copy.deepcopy(network).eval().requires_grad_(False)
    trunk = fast.image_encoder.trunk
    if isinstance(trunk, ConvNetTrunk):
        _fold_batch_norms(trunk)
        trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision == "bfloat16":
        fast.image_encoder.trunk = _Autocast(trunk)
    return fast


class _Autocast(nn.Module):
    """Runs a trunk in bfloat16 and hands its maps on in float32."""

    def __init__(self, trunk: nn.Module):
        super().__init__()
        self.trunk = trunk

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast(images.device.type, torch.bfloat16):
            maps = self.trunk(images)
        return [level.float() for level in maps]


def _fold_batch_norms(trunk: ConvNetTrunk) -> None:
    trunk.stem[0], trunk.stem[1] = _folded(trunk.stem[0], trunk.stem[1]), nn.Identity()
    for block in trunk.modules():
        if isinstance(block, ResidualBlock):
            block.conv1, block.norm1 = _folded(block.conv1, block.norm1), nn.Identity()
            block.conv2, block.norm2 = _folded(block.conv2, block.norm2), nn.Identity()
            if isinstance(block.shortcut, nn.Sequential):
                block.shortcut = _folded(block.shortcut[0], block.shortcut[1])


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """One convolution that does what `conv` and the batch normalisation after it do."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)
