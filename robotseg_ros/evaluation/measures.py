"""Region similarity J, boundary measure F and their mean J&F, as the DAVIS benchmark defines them.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, section 4, and its evaluation toolkit (2017 edition) where the paper leaves a choice open.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolMask = NDArray[np.bool_]

TOLERANCE = 0.008  # of the image diagonal, the benchmark's


def jaccard(pred: ArrayLike, true: ArrayLike) -> float:
    """Region similarity J: intersection over union of two masks, in [0, 1].

    Args:
        pred, true: (H, W) masks of one shape; anything but 0 is foreground.

    Two empty masks agree: 1.

    Raises:
        ValueError: the masks are not two images of one shape.
    """
    predicted, actual = _pair(pred, true)
    union = np.count_nonzero(predicted | actual)
    if union == 0:
        return 1.0
    return np.count_nonzero(predicted & actual) / union


def boundary_f(pred: ArrayLike, true: ArrayLike, tolerance: float = TOLERANCE) -> float:
    """Contour accuracy F: the harmonic mean of boundary precision and recall, in [0, 1].

    A boundary pixel counts as found when a boundary pixel of the other mask lies within `tolerance_pixels`
    (Euclidean). The paper defines a bipartite matching and approximates it by this dilation.

    Args:
        pred, true: (H, W) masks of one shape; anything but 0 is foreground.
        tolerance: fraction of the image diagonal, or pixels when 1 or more.

    Two masks without any boundary (empty, or full images) agree: 1; when one alone has no boundary: 0.

    Raises:
        ValueError: the masks are not two images of one shape, or the tolerance is negative.
    """
    predicted, actual = _pair(pred, true)
    radius = tolerance_pixels(predicted.shape, tolerance)
    pred_edge, true_edge = boundary(predicted), boundary(actual)
    pred_count, true_count = np.count_nonzero(pred_edge), np.count_nonzero(true_edge)
    if pred_count == 0 or true_count == 0:
        return float(pred_count == true_count)
    window = _window(pred_edge, true_edge, radius)
    pred_edge, true_edge = pred_edge[window], true_edge[window]
    precision = np.count_nonzero(pred_edge & _dilate(true_edge, radius)) / pred_count
    recall = np.count_nonzero(true_edge & _dilate(pred_edge, radius)) / true_count
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def j_and_f(pred: ArrayLike, true: ArrayLike, tolerance: float = TOLERANCE) -> float:
    """The benchmark's figure J&F: the mean of `jaccard` and `boundary_f`."""
    return (jaccard(pred, true) + boundary_f(pred, true, tolerance)) / 2


def tolerance_pixels(shape: tuple[int, ...], tolerance: float = TOLERANCE) -> int:
    """Radius in pixels within which boundaries match: a fraction of the image's diagonal, rounded up."""
    if tolerance < 0:
        raise ValueError(f"boundary tolerance {tolerance} is negative; give a fraction of the diagonal, or pixels")
    if tolerance >= 1:
        return int(np.ceil(tolerance))
    return int(np.ceil(tolerance * np.linalg.norm(shape)))


def boundary(mask: BoolMask) -> BoolMask:
    """Boundary map (H, W) of a mask: pixels that differ from their right, lower or lower right neighbour.

    Lines are one pixel wide and on the upper left side of an edge; the image border is no boundary. This is
    the map that the DAVIS toolkit calls seg2bmap (after Martin et al., Berkeley segmentation benchmark).
    """
    edge = np.zeros(mask.shape, bool)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1, :] |= mask[:-1, :] ^ mask[1:, :]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _pair(pred: ArrayLike, true: ArrayLike) -> tuple[BoolMask, BoolMask]:
    predicted, actual = np.asarray(pred), np.asarray(true)
    if predicted.ndim != 2 or predicted.shape != actual.shape:
        raise ValueError(
            f"a predicted mask {predicted.shape} and a true mask {actual.shape} cannot be compared; "
            "give two (H, W) masks of one size"
        )
    return predicted.astype(bool, copy=False), actual.astype(bool, copy=False)


def _window(first: BoolMask, second: BoolMask, radius: int) -> tuple[slice, slice]:
    """The part of the image in which two edge maps can meet: dilating the rest would be wasted time."""
    left, top, width, height = cv2.boundingRect((first | second).view(np.uint8))
    return (
        slice(max(top - radius, 0), top + height + radius),
        slice(max(left - radius, 0), left + width + radius),
    )


def _dilate(edge: BoolMask, radius: int) -> BoolMask:
    return cv2.dilate(edge.view(np.uint8), _disk(radius)).view(bool)


@lru_cache(maxsize=8)
def _disk(radius: int) -> NDArray[np.uint8]:
    offset = np.arange(-radius, radius + 1)
    return (offset[:, None] ** 2 + offset[None, :] ** 2 <= radius**2).astype(np.uint8)
