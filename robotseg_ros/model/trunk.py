"""Image trunks: four feature maps at strides 4, 8, 16 and 32, whatever the architecture behind them."""

from __future__ import annotations

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
            blocks: list[nn.Module] = []
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
