"""Prompts as users give them, in pixels of the camera's frame, checked and turned into the network's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..model import Prompt

_BOX_LABELS = (2, 3)


@dataclass(frozen=True)
class FramePrompt:
    """A checked prompt for one frame: points (x, y) with labels (1 on the part, 0 off it, 2 and 3 a box's corners), or a
    mask (H, W) bool."""

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    mask: NDArray[np.bool_] | None = None

    def check_fits(self, height: int, width: int) -> None:
        """Raise ValueError unless the prompt lies in a frame of that size."""
        if self.mask is not None and self.mask.shape != (height, width):
            raise ValueError(f"the mask prompt has shape {self.mask.shape}; the frame is {(height, width)}")
        for x, y in self.points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise ValueError(f"prompt point ({x}, {y}) lies outside the frame of {width}x{height} pixels")

    def to_network(self, height: int, width: int, size: int, device: torch.device) -> Prompt:
        """The same prompt in pixels of the network's input of side `size`, as a batch of one."""
        if self.mask is not None:
            mask = cv2.resize(self.mask.astype(np.float32), (size, size), interpolation=cv2.INTER_NEAREST)
            return Prompt(mask=torch.from_numpy(mask).to(device)[None, None])
        scale = torch.tensor([size / width, size / height])
        points = torch.tensor(self.points, dtype=torch.float32) * scale
        return Prompt(points.to(device)[None], torch.tensor(self.labels, device=device)[None])


def frame_prompt(
    points: Sequence[Sequence[float]] | None = None,
    labels: Sequence[int] | None = None,
    box: Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> FramePrompt:
    """Check what the user gave: points with labels, a box (x0, y0, x1, y1), both of these, or a mask alone.

    Raises ValueError that says what is wrong and what is accepted.
    """
    if mask is not None:
        if points is not None or box is not None:
            raise ValueError("a mask prompt stands alone; give either a mask, or points and a box")
        return FramePrompt(mask=_checked_mask(mask))
    if points is None and box is None:
        raise ValueError("an empty prompt; give points with labels, a box (x0, y0, x1, y1) or a mask")
    xy, marks = _checked_box(box)
    more_xy, more_marks = _checked_points(points, labels)
    return FramePrompt(xy + more_xy, marks + more_marks)


def _checked_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask prompt must be an array (height, width) with pixels; got shape {mask.shape}")
    return mask > 0


def _checked_box(box: Sequence[float] | None) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    if box is None:
        return (), ()
    numbers = [float(value) for value in box]
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise ValueError(f"a box is four finite numbers x0, y0, x1, y1; got {list(box)}")
    x0, y0, x1, y1 = numbers
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"a box needs x0 < x1 and y0 < y1; got {numbers}")
    return ((x0, y0), (x1, y1)), _BOX_LABELS


def _checked_points(
    points: Sequence[Sequence[float]] | None, labels: Sequence[int] | None
) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    if points is None:
        if labels is not None:
            raise ValueError("labels were given without points")
        return (), ()
    xy = np.asarray(points, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) == 0 or not np.isfinite(xy).all():
        raise ValueError(f"points must be one or more finite (x, y) pairs; got {points!r}")
    marks = [1] * len(xy) if labels is None else [int(label) for label in labels]
    if len(marks) != len(xy):
        raise ValueError(f"each point needs a label; got {len(xy)} points and {len(marks)} labels")
    if not set(marks) <= {0, 1}:
        raise ValueError(f"labels are 1 (on the part) or 0 (off it); got {marks}")
    return tuple((float(x), float(y)) for x, y in xy), tuple(marks)
