"""The edge map that guides SEMA's structure branch: Canny's gradient magnitude, sampled on the token grid.

The published model hands kornia's `canny` (5x5 Gaussian, Sobel, non-maximum suppression) the whole image and resizes the
magnitude to the token grid bilinearly. That resize reads the four centre pixels of each 16x16 cell and nothing else, so
suppression is evaluated there only; the values are the same.
"""

from __future__ import annotations

import math

import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_MAGNITUDE_EPS = 1e-6
# The neighbour along each of eight directions, from +x towards +y in steps of 45 degrees.
_NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def edge_map(images: Tensor, source: str, stride: int) -> Tensor:
    """Edges of normalised images on the token grid.

    images: (B, 3, S, S), ImageNet-normalised. source: `rgb` takes edges of the picture itself, `normalised` those of the
    tensor the network sees, as the published code does (divided by 255 when its maximum exceeds 1.5; grey is clamped to
    [0, 1] after the three channels are mixed, not before).
    Returns (B, 1, S / stride, S / stride) float32 in [0, 1].
    """
    with torch.autocast(images.device.type, enabled=False), torch.no_grad():
        images = images.float()
        pictures = _to_rgb(images) if source == "rgb" else _published_scaling(images)
        return _magnitude_on_grid(pictures, stride)


def _to_rgb(images: Tensor) -> Tensor:
    mean = images.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return images * std + mean


def _published_scaling(images: Tensor) -> Tensor:
    bright = images.amax(dim=(1, 2, 3), keepdim=True) > 1.5
    return torch.where(bright, images / 255.0, images)


def _magnitude_on_grid(pictures: Tensor, stride: int) -> Tensor:
    """Mean of the suppressed magnitude over the four centre pixels of each cell: (B, 3, S, S) -> (B, 1, S/stride, ...)."""
    red, green, blue = pictures.split(1, dim=1)
    gray = (0.299 * red + 0.587 * green + 0.114 * blue).clamp(0.0, 1.0)
    gradient = spatial_gradient(gaussian_blur2d(gray, (5, 5), (1.0, 1.0)), normalized=False)[:, 0]
    first = stride // 2 - 2  # cell rows first .. first + 3 hold the centre 2x2 and its neighbours
    cells = _cell_windows(gradient, stride, first, 4)
    magnitude = torch.sqrt(cells[:, 0] * cells[:, 0] + cells[:, 1] * cells[:, 1] + _MAGNITUDE_EPS)
    kept = _suppress(magnitude, cells)
    return kept.clamp(max=1.0).mean(dim=(1, 2)).clamp(0.0, 1.0)[:, None]


def _cell_windows(gradient: Tensor, stride: int, first: int, size: int) -> Tensor:
    """(B, 2, S, S) -> (B, 2, size, size, S/stride, S/stride): the same small window of every cell."""
    b, c, height, width = gradient.shape
    cells = gradient.view(b, c, height // stride, stride, width // stride, stride)
    window = cells[:, :, :, first : first + size, :, first : first + size]
    return window.permute(0, 1, 3, 5, 2, 4)


def _suppress(magnitude: Tensor, gradient: Tensor) -> Tensor:
    """Keep centre pixels that are maxima along their gradient. (B, 4, 4, h, w) -> (B, 2, 2, h, w).

    Ties are kept to the right and downwards only, and a flat pixel never, as in kornia 0.9's `canny`.
    """
    centre = magnitude[:, 1:3, 1:3]
    gx, gy = gradient[:, 0, 1:3, 1:3], gradient[:, 1, 1:3, 1:3]
    direction = (torch.atan2(gy, gx) * (4 / math.pi)).round() % 8
    forward = _neighbour(magnitude, direction)
    backward = _neighbour(magnitude, (direction + 4) % 8)
    keep = _beats(centre, forward, direction) & _beats(centre, backward, (direction + 4) % 8)
    keep &= centre > math.sqrt(_MAGNITUDE_EPS)
    return centre * keep


def _neighbour(magnitude: Tensor, direction: Tensor) -> Tensor:
    shifted = torch.stack([magnitude[:, 1 + dy : 3 + dy, 1 + dx : 3 + dx] for dy, dx in _NEIGHBOURS])
    return torch.gather(shifted, 0, direction.long()[None])[0]


def _beats(centre: Tensor, neighbour: Tensor, direction: Tensor) -> Tensor:
    accepts_tie = (direction == 0) | (direction == 2)
    return (centre > neighbour) | (accepts_tie & (centre == neighbour))
