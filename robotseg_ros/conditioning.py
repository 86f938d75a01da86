"""What a policy is shown of the robot: all of it, nothing, nothing else, or the robot before another background.

Used at run time (examples/policy_mask_conditioning.py) and by the experiment `closed-loop` (experiments/reaching.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Mode = Literal["untouched", "masked_out", "only", "background"]
MODES: tuple[Mode, ...] = get_args(Mode)

Image = NDArray[np.uint8]
Colour = Sequence[int]


def conditioned(
    image: Image, mask: NDArray[np.bool_], mode: Mode, background: Image | Colour = (0, 0, 0), margin: int = 0
) -> Image:
    """The image as a policy is to see it; a new array (H, W, 3) uint8 unless `mode` is `untouched`.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) bool, True where the robot is.
        mode: `masked_out` paints the robot with the background, `only` everything else in black, `background` everything
            else with the background.
        background: a colour, or an image of any size, which is scaled to the image's.
        margin: pixels by which the mask is made larger first (negative: smaller).

    Raises:
        ValueError: shapes that do not fit, or an unknown mode.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"the image is {image.dtype} {image.shape}; expected uint8 (H, W, 3)")
    if mask.shape != image.shape[:2] or mask.dtype != bool:
        raise ValueError(f"the mask is {mask.dtype} {mask.shape}; expected bool {image.shape[:2]}, the image's size")
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; known are {', '.join(MODES)}")
    if mode == "untouched":
        return image
    robot = grown(mask, margin)
    other = np.zeros_like(image) if mode == "only" else _filled(background, image.shape)
    replaced = robot if mode == "masked_out" else ~robot
    return np.where(replaced[..., None], other, image)


def grown(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """The mask, larger by `margin` pixels in every direction (negative: smaller)."""
    if margin == 0:
        return mask
    kernel = np.ones((2 * abs(margin) + 1,) * 2, np.uint8)
    change = cv2.dilate if margin > 0 else cv2.erode
    return change(mask.astype(np.uint8), kernel).astype(bool)


def _filled(background: Image | Colour, shape: tuple[int, ...]) -> Image:
    given = np.asarray(background, np.uint8)
    if given.shape == (3,):
        return np.broadcast_to(given, shape)
    if given.ndim != 3 or given.shape[2] != 3:
        raise ValueError(f"the background is of shape {given.shape}; expected a colour (3,) or an image (H, W, 3)")
    if given.shape == shape:
        return given
    return np.asarray(cv2.resize(given, shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
