"""Depth images as inverse depth, 1/m: there a stereo camera's noise is the same everywhere, and planes stay planes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Depth = NDArray[np.uint16] | NDArray[np.float32]
Inverse = NDArray[Any]  # float32; NumPy's stubs lose the width in arithmetic

LEAST_GAP = 0.04
"""Inverse depths (1/m) that are farther apart than this are two surfaces: 4 cm at 1 m, 16 cm at 2 m."""

BAND = 0.02
"""Half the width of the band around an outline in which it may move, as a share of the image's height."""


def inverse(depth: Depth) -> Inverse:
    """1/m, float32 (H, W), 0 where there is no depth (0, negative, NaN, infinite); of millimetres (uint16) or metres
    (float32). Raises ValueError for anything else."""
    if depth.ndim != 2 or depth.dtype not in (np.uint16, np.float32):
        raise ValueError(
            f"depth is {depth.dtype} {depth.shape}; it must be (H, W), uint16 in millimetres or float32 in metres"
        )
    if depth.dtype == np.uint16:
        return _OF_MILLIMETRES[depth]
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.reciprocal(depth)
    near[~(np.isfinite(near) & (near > 0))] = 0
    return near


def _table() -> NDArray[np.float32]:
    millimetres = np.arange(1 << 16, dtype=np.float32)
    millimetres[0] = np.inf
    return (1000 / millimetres).astype(np.float32)


_OF_MILLIMETRES = _table()


def band_pixels(height: int) -> int:
    """Half the width of the band, in pixels, at an image's height."""
    return max(2, round(BAND * height))


def square(radius: int) -> NDArray[np.uint8]:
    """A kernel that reaches `radius` pixels to all sides."""
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def surroundings(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    """The part of the image that holds the mask, bool (H, W), with a margin in pixels; None for an empty mask."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return None
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)
