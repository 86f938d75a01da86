"""Outlines of masks drawn anew where depth jumps beside them."""

from __future__ import annotations

import cv2
import numpy as np

from .inverse_depth import LEAST_GAP, Inverse, Mask, band_pixels, square, surroundings

_CLEARLY = 0.35  # of the gap between robot and background: so near to one of them a depth has to be to decide
_ROUGHNESS = 2.0  # standard deviations of both sides that the gap must exceed: cables and clutter decide nothing

# Of the least squares, in cells of the grid: the window's side, the share of it that must be filled, and what keeps planes
# level where hardly more than a line of pixels is known.
_CELLS_PER_RADIUS = 3
_WINDOW = 25
_FILLED = 0.02
_RIDGE = 0.1


def snapped(mask: Mask, near: Inverse, robot: Mask | None = None, others: Mask | None = None) -> Mask:
    """The mask, bool (H, W), with its outline on the jumps of inverse depth, float32 (H, W), within the band.

    A pixel of the band goes to the side whose depth it has: planes are laid through what surely is robot, and through what
    surely is not, around it. Where both are equally far, or there is only one of them, or the pixel is as far as neither, or
    either is rough, the mask decides. `robot` is all that is not background, where that is more than the mask; pixels of
    `others`, the other parts, are left to them.
    """
    radius = band_pixels(mask.shape[0])
    place = surroundings(mask, 5 * radius)
    if place is None:
        return mask.copy()
    inside, depth, kernel = mask[place].view(np.uint8), near[place], square(radius)
    # Beyond the picture the robot goes on as it is at its border.
    sure, possible = (change(inside, kernel, borderType=cv2.BORDER_REPLICATE) for change in (cv2.erode, cv2.dilate))
    any_part = possible if robot is None else cv2.dilate(robot[place].view(np.uint8), kernel)
    valid = depth > 0
    front, rough = _planes(depth, valid & (sure > 0), radius)
    behind, rougher = _planes(depth, valid & (possible == 0) & (any_part == 0), radius)
    gap = np.abs(front - behind)
    to_robot, to_background = np.abs(depth - front), np.abs(depth - behind)
    # NaN, where one side is missing, compares as False.
    decided = (possible > sure) & valid & (gap > LEAST_GAP + _ROUGHNESS * (rough + rougher))
    decided &= np.minimum(to_robot, to_background) < _CLEARLY * gap
    if others is not None:
        decided &= ~others[place]
    made = mask.copy()
    made[place] = np.where(decided, to_robot < to_background, mask[place])
    return made


def _planes(values: Inverse, where: Mask, radius: int) -> tuple[Inverse, Inverse]:
    """For each pixel the plane through the values at chosen places around it: its value there, and the standard deviation
    from it. NaN where too few are near.

    Least squares on a grid of a third of the radius, since planes change slowly.
    """
    height, width = values.shape
    cells = tuple(max(1, round(side * _CELLS_PER_RADIUS / radius)) for side in (width, height))
    weight = where.astype(np.float32)
    w, wd = (cv2.resize(field, cells, interpolation=cv2.INTER_AREA) for field in (weight, values * weight))
    d = wd / np.maximum(w, 1e-6)
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) * (2 / _WINDOW) for side in cells))
    terms = np.dstack([w, w * x, w * y, wd, w * x * x, w * x * y, w * y * y, wd * x, wd * y, wd * d])
    sums = cv2.boxFilter(terms, cv2.CV_64F, (_WINDOW, _WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = sums[..., 0]
    mx, my, md, xx, xy, yy, xd, yd, dd = np.moveaxis(sums[..., 1:] / np.maximum(count, 1e-6)[..., None], -1, 0)
    xx, xy, yy = xx - mx * mx + _RIDGE, xy - mx * my, yy - my * my + _RIDGE
    xd, yd, dd = xd - mx * md, yd - my * md, dd - md * md
    det = xx * yy - xy * xy
    along_x, along_y = (yy * xd - xy * yd) / det, (xx * yd - xy * xd) / det
    value = md + along_x * (x - mx) + along_y * (y - my)
    deviation = np.sqrt(np.maximum(dd - along_x * xd - along_y * yd, 0))
    fields = np.stack([value, deviation]).astype(np.float32)
    fields[:, count < _FILLED * _WINDOW**2] = np.nan
    there, rough = (cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR) for field in fields)
    return there, rough
