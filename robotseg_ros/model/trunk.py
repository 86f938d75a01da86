"""Image trunks: four feature maps at strides 4, 8, 16 and 32, whatever the architecture behind them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ConvTrunk, HieraTrunk, MobileTrunk


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut (He et al. 2015)."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H / stride, W / stride)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ConvNetTrunk(nn.Module):
    """Residual blocks in four stages. Convolutions run several times faster on CPUs than Hiera's windows."""

    def __init__(self, config: ConvTrunk):
        super().__init__()
        self.channel_list = channel_list(config)  # SAM 2's image encoder compares it with its neck's
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(config.stem), nn.ReLU(inplace=True)
        )
        widths = (config.stem, *config.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(widths[i] if k == 0 else widths[i + 1], widths[i + 1], 2 if k == 0 else 1)
                    for k in range(depth)
                )
            )
            for i, depth in enumerate(config.blocks)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> [(B, C_i, S / 2^(i+2), S / 2^(i+2)) for i in 0..3], finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


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
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, H, W) -> (B, C, H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.filter(y)))
        return x + y if self.shortcut else y


class MobileNetTrunk(nn.Module):
    """MobileNetV2 without its classifier: a level of blocks for each of the strides 2 to 32."""

    def __init__(self, config: MobileTrunk):
        super().__init__()
        self.channel_list = channel_list(config)  # SAM 2's image encoder compares it with its neck's
        self.stem = convolution(3, config.stem, 3, 2)
        self.levels = nn.ModuleList()
        channels = config.stem
        for depth, groups in enumerate(config.levels):
            blocks = []
            for expansion, width, count in groups:
                for _ in range(count):
                    stride = 2 if depth > 0 and not blocks else 1
                    blocks.append(InvertedResidual(channels, width, stride, expansion))
                    channels = width
            self.levels.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> [(B, C_i, S / 2^(i+2), S / 2^(i+2)) for i in 0..3], finest first."""
        x = F.relu6(self.stem(x))
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps[1:]


def channel_list(config: HieraTrunk | ConvTrunk | MobileTrunk) -> list[int]:
    """Channels of a trunk's maps, coarsest level first, as SAM 2's neck wants them."""
    return list(reversed(config.channels))


def build_trunk(config: HieraTrunk | ConvTrunk | MobileTrunk) -> nn.Module:
    """The trunk that `config` describes; it has `channel_list`, coarsest level first, and returns maps finest first."""
    if isinstance(config, ConvTrunk):
        return ConvNetTrunk(config)
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
