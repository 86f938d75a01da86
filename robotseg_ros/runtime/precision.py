"""Prepares a network for inference: what has no effect is left out, layers are folded, memory layout, precision."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..model import RobotSeg
from ..model.trunk import MobileNetTrunk

PRECISIONS: tuple[str, ...] = ("float32", "bfloat16")


def prepare(network: RobotSeg, precision: str = "float32") -> RobotSeg:
    """A copy of `network` made fast for inference on the device it is on; the original is untouched.

    `float32` gives the same masks: batch normalisation is folded into convolutions and SEMA's structure branches that have
    no effect, the last one at least, left out (their logits are missing in `StepOutput.structure`). This moves logits by
    rounding only. TensorFloat-32, which PyTorch otherwise uses for a GPU's convolutions, is switched off, for the process:
    it moved the published network's logits (means of 4 x 4) by up to 0.13 within eight frames, float32 by 0.0002.
    `bfloat16` runs the trunk in bfloat16: faster on recent GPUs and CPUs, masks differ slightly. Raises ValueError for
    another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision == "float32":
        torch.backends.cudnn.allow_tf32 = False
    fast = copy.deepcopy(network).eval().requires_grad_(False)
    fast.memory_attention.without_idle_gates()
    trunk = fast.image_encoder.trunk
    if isinstance(trunk, MobileNetTrunk):
        _fold_batch_norms(trunk)
        # What reads the trunk's maps at their finest takes them as they come.
        for part in (trunk, fast.sam_mask_decoder.output_upscaling, fast.refiner):
            if part is not None:
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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


def _fold_batch_norms(trunk: MobileNetTrunk) -> None:
    """Makes one convolution of each convolution and the normalisation behind it."""
    for part in [*trunk.modules()]:
        if isinstance(part, nn.Sequential) and isinstance(part[-1], nn.BatchNorm2d):
            conv, norm = part
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            part[0], part[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
