"""Masks as pictures: the colours of the parts, overlays on camera images, and the published label map."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

LABELS: dict[str, int] = {"arm": 1, "gripper": 2, "robot": 3}
"""Values in a label map; 0 is background."""

PART_COLORS: dict[str, tuple[int, int, int]] = {
    "arm": (40, 130, 255),
    "gripper": (255, 150, 20),
    "robot": (40, 200, 110),
}
"""RGB per part: blue, orange and green, told apart also by people who do not see red and green apart."""

# What is drawn later covers what was drawn before: the smaller part wins.
_ORDER = ("robot", "arm", "gripper")
# One pixel of outline per this many of the shorter side: still visible when a large image is scaled down.
_OUTLINE_SCALE = 400


def label_map(masks: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Labels uint8 (H, W) of masks bool (H, W): 0 background, 1 arm, 2 gripper, 3 robot of no known part.

    Where masks overlap the gripper wins over the arm and the arm over the whole robot. Raises ValueError for
    no masks, an unknown part or masks of different shapes.
    """
    shape = _common_shape(masks)
    labels = np.zeros(shape, np.uint8)
    for part in _ORDER:
        if part in masks:
            labels[masks[part]] = LABELS[part]
    return labels


def _common_shape(masks: Mapping[str, NDArray[np.bool_]]) -> tuple[int, int]:
    unknown = [part for part in masks if part not in LABELS]
    if unknown:
        raise ValueError(f"unknown part {unknown[0]!r}; parts are {', '.join(LABELS)}")
    shapes = {part: mask.shape for part, mask in masks.items()}
    wrong = [
        f"{part} {mask.dtype} {mask.shape}" for part, mask in masks.items() if mask.dtype != bool or mask.ndim != 2
    ]
    if wrong:
        raise ValueError(f"a mask is bool (H, W), not {', '.join(wrong)}")
    if len(set(shapes.values())) != 1:
        raise ValueError(f"masks of one image have one shape; these have {shapes or 'none: there is no mask'}")
    height, width = next(iter(shapes.values()))
    return height, width


def overlay(
    rgb: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_]], alpha: float = 0.5, outline: bool = True
) -> NDArray[np.uint8]:
    """A copy of an image, uint8 (H, W, 3), with each part tinted in its colour.

    `alpha` is the opacity of the tint, 0 to 1; `outline` draws the borders of the parts, inside them, opaque.
    Raises ValueError for an unknown part, an alpha out of range and masks of another size than the image.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an image is uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}; it must be between 0 and 1")
    if not masks:
        return rgb.copy()
    labels = label_map(masks)
    if labels.shape != rgb.shape[:2]:
        raise ValueError(f"the masks are {labels.shape}, the image is {rgb.shape[:2]}; they must have the same size")
    drawn = rgb.copy()
    # Only the rectangle that holds the robot is drawn: the rest costs nothing.
    left, top, width, height = cv2.boundingRect(labels)
    if width and height:
        window = (slice(top, top + height), slice(left, left + width))
        borders = _borders(labels)[window] if outline else None
        drawn[window] = _tinted(rgb[window], labels[window], borders, alpha)
    return drawn


def caption(picture: NDArray[np.uint8], text: str, place: tuple[int, int], scale: float) -> None:
    """Writes white text with a dark rim into a picture (H, W, 3); place: (x, y) of its lower left corner; scale: 1 is 22
    pixels high. The rim is the text moved, not drawn thicker: OpenCV 5 spaces letters by their thickness."""
    x, y = place
    for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        cv2.putText(picture, text, (x + dx, y + dy), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def _tinted(
    rgb: NDArray[np.uint8], labels: NDArray[np.uint8], borders: NDArray[np.uint8] | None, alpha: float
) -> NDArray[np.uint8]:
    colors = cv2.LUT(cv2.merge([labels, labels, labels]), _PALETTE)
    drawn = cv2.addWeighted(rgb, 1.0 - alpha, colors, alpha, 0.0)
    cv2.copyTo(rgb, np.equal(labels, 0).view(np.uint8), drawn)
    if borders is not None:
        cv2.copyTo(colors, borders, drawn)
    return np.asarray(drawn, np.uint8)


def _palette() -> NDArray[np.uint8]:
    """Colours by label, uint8 (1, 256, 3) as OpenCV's look-up takes them."""
    colors = np.zeros((1, 256, 3), np.uint8)
    for part, label in LABELS.items():
        colors[0, label] = PART_COLORS[part]
    return colors


_PALETTE = _palette()


def _borders(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Non-zero on pixels of a part near another label, uint8 (H, W); the image's edge is no border."""
    reach = max(1, round(min(labels.shape) / _OUTLINE_SCALE))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    mixed = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, kernel)
    return np.asarray(cv2.min(mixed, labels), np.uint8)
