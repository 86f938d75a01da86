"""The edge map that guides SEMA's structure branch: Canny's gradient magnitude, sampled on the token grid.

The published model hands kornia's `canny` (5x5 Gaussian, Sobel, non-maximum suppression) the whole image and resizes the
magnitude to the token grid bilinearly. That resize reads the four centre pixels of each 16x16 cell and nothing else, and
these depend on the 10x10 pixels around them: no more of the picture is looked at. Values agree to rounding, which decides
where two neighbours tie.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_MAGNITUDE_EPS = 1e-6
_GAUSSIAN = tuple(math.exp(-x * x / 2) / (1 + 2 * math.exp(-0.5) + 2 * math.exp(-2.0)) for x in (2, 1, 0))
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
    red, green, blue = _cell_centres(pictures, stride).unbind(1)
    gray = (0.299 * red + 0.587 * green + 0.114 * blue).clamp(0.0, 1.0)
    gradient = _sobel(_gaussian(gray))  # (B, 2, 4, 4, h, w): the centre 2x2 and its neighbours
    magnitude = torch.sqrt(gradient[:, 0] * gradient[:, 0] + gradient[:, 1] * gradient[:, 1] + _MAGNITUDE_EPS)
    kept = _suppress(magnitude, gradient)
    return kept.clamp(max=1.0).mean(dim=(1, 2)).clamp(0.0, 1.0)[:, None]


def _cell_centres(pictures: Tensor, stride: int) -> Tensor:
    """The 10x10 pixels in the middle of every cell, which are all that its four centre pixels depend on: (B, C, S, S) ->
    (B, C, 10, 10, S/stride, S/stride). Blur and gradient stay within them, so the picture's border plays no part."""
    b, c, height, width = pictures.shape
    cells = pictures.view(b, c, height // stride, stride, width // stride, stride)
    middle = slice(stride // 2 - 5, stride // 2 + 5)
    return cells[:, :, :, middle, :, middle].permute(0, 1, 3, 5, 2, 4).contiguous()


def _gaussian(gray: Tensor) -> Tensor:
    """5x5 Gaussian of deviation 1 where all of it lies inside: (B, 10, 10, h, w) -> (B, 6, 6, h, w)."""
    far, near, centre = _GAUSSIAN
    across = (
        far * (gray[:, :, :6] + gray[:, :, 4:]) + near * (gray[:, :, 1:7] + gray[:, :, 3:9]) + centre * gray[:, :, 2:8]
    )
    return far * (across[:, :6] + across[:, 4:]) + near * (across[:, 1:7] + across[:, 3:9]) + centre * across[:, 2:8]


def _sobel(blurred: Tensor) -> Tensor:
    """Gradient along x and y: (B, 6, 6, h, w) -> (B, 2, 4, 4, h, w)."""
    rows = blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]
    columns = blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]
    return torch.stack([rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2]], dim=1)


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
