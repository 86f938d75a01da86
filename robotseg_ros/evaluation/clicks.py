"""Clicks and boxes made from true masks, as the published protocol makes them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Click = tuple[float, float, int]
"""x, y in pixels (centres at +0.5), and 1 on the part or 0 off it."""


def first_click(true: NDArray[np.bool_]) -> Click | None:
    """The foreground pixel nearest the mask's centroid; None for an empty mask."""
    rows, columns = np.nonzero(true)
    if not len(rows):
        return None
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5, 1


def correction_click(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> Click | None:
    """The centre, by distance transform, of the largest connected error region; None where there is no error.

    Missing and surplus pixels make regions of their own; the frame's border counts as an edge.
    """
    best: tuple[int, NDArray[np.uint8], int] | None = None
    for label, error in ((1, true & ~predicted), (0, predicted & ~true)):
        count, regions, facts, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8))
        if count > 1:
            largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
            area = int(facts[largest, cv2.CC_STAT_AREA])
            if best is None or area > best[0]:
                best = area, (regions == largest).astype(np.uint8), label
    if best is None:
        return None
    distance = cv2.distanceTransform(np.pad(best[1], 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return float(column) + 0.5, float(row) + 0.5, best[2]


def box_of(true: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """x0, y0, x1, y1 around a mask, the last pixel's far edges included; None for an empty mask."""
    rows, columns = np.nonzero(true)
    if not len(rows):
        return None
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
