"""Image trunks: four feature maps at strides 4, 8, 16 and 32, whatever the architecture behind them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HieraTrunk, MobileTrunk


def convolution(in_channels: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation; kernels keep the size, up to the stride."""
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow (MobileNetV2, section 3.3), with a shortcut where the shapes allow it."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int):
        super().__init__()
        width = in_channels * expansion
        self.expand = convolution(in_channels, width) if expansion > 1 else None
        self.filter = convolution(width, width, 3, stride, groups=width)
        self.project = convolution(width, channels)
        self.strided = stride > 1
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self._filtered(y), inplace=True))
        return x + y if self.shortcut else y

    def _filtered(self, x: Tensor) -> Tensor:
        if self.training and self.strided and self.filter[0].weight.requires_grad and x.device.type == "cpu":
            # oneDNN's gradient of a strided depthwise convolution takes 6 to 20 times as long in bfloat16 as in float32.
            with torch.autocast("cpu", enabled=False):
                return self.filter(x.float())
        return self.filter(x)


class TopDown(nn.Module):
    """Takes what the coarser maps know into the finer ones (FPN, Lin et al. 2017, with inverted residuals behind each sum).

    SAM 2's neck gives the decoder its fine maps as the trunk made them. Those of a small trunk know edges and little of
    what they bound; a gripper of a token or two is then left to the token grid alone. It begins as the identity.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[tuple[int, int]]):
        super().__init__()
        self.narrow, self.blocks = nn.ModuleList(), nn.ModuleList()
        for width, coarser, (expansion, count) in zip(channels[:-1], channels[1:], blocks, strict=True):
            narrow = convolution(coarser, width)
            row = [InvertedResidual(width, width, 1, expansion) for _ in range(count)]
            for added in [narrow, *(block.project for block in row)]:
                nn.init.zeros_(added.get_parameter("1.weight"))
            self.narrow.append(narrow)
            self.blocks.append(nn.Sequential(*row))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps, finest first -> maps of the same shapes."""
        refined = [maps[-1]]
        for level, narrow, blocks in reversed([*zip(maps[:-1], self.narrow, self.blocks, strict=True)]):
            coarse = F.interpolate(narrow(refined[0]), scale_factor=2.0, mode="bilinear", align_corners=False)
            refined.insert(0, blocks(level + coarse))
        return refined


class MobileNetTrunk(nn.Module):
    """MobileNetV2 without its classifier: a level of blocks for each of the strides 2 to 32, and a way back down."""

    def __init__(self, config: MobileTrunk):
        super().__init__()
        self.channel_list = channel_list(config)  # SAM 2's image encoder compares it with its neck's
        self.stem = convolution(3, config.stem, 3, 2)
        self.levels = nn.ModuleList()
        channels = config.stem
        for depth, groups in enumerate(config.levels):
            blocks: list[nn.Module] = []
            for expansion, width, count in groups:
                for _ in range(count):
                    stride = 2 if depth > 0 and not blocks else 1
                    blocks.append(InvertedResidual(channels, width, stride, expansion))
                    channels = width
            self.levels.append(nn.Sequential(*blocks))
        self.top_down = TopDown(config.channels, config.top_down) if config.top_down else nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> [(B, C_i, S / 2^(i+2), S / 2^(i+2)) for i in 0..3], finest first."""
        x = F.relu6(self.stem(x), inplace=True)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return self.top_down(maps[1:])


def channel_list(config: HieraTrunk | MobileTrunk) -> list[int]:
    """Channels of a trunk's maps, coarsest level first, as SAM 2's neck wants them."""
    return list(reversed(config.channels))


def build_trunk(config: HieraTrunk | MobileTrunk) -> nn.Module:
    """The trunk that `config` describes; it has `channel_list`, coarsest level first, and returns maps finest first."""
    if isinstance(config, MobileTrunk):
        return MobileNetTrunk(config)
    from sam2.modeling.backbones.hieradet import Hiera  # slow to import, not needed by the small models

    return Hiera(
        embed_dim=config.embed_dim,
        num_heads=config.num_heads,
        stages=config.stages,
        global_att_blocks=config.global_blocks,
        window_pos_embed_bkg_spatial_size=config.window_pos_size,
    )
