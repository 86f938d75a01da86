"""Clips and streams made hard on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import Frame
from ..evaluation.protocol import Segmented, Segmenter


def to_and_fro(frames: Sequence[Frame], length: int) -> list[Frame]:
    """A longer clip without a cut: forward, backward, forward, .. of `length` frames."""
    order = to_and_fro_order(len(frames), length)
    return [replace(frames[source], index=index, stamp_ns=index) for index, source in enumerate(order)]


def to_and_fro_order(count: int, length: int) -> list[int]:
    """Which of a clip's `count` frames come one after the other in such a clip."""
    circle = [*range(count), *range(count - 2, 0, -1)]
    return [circle[index % len(circle)] for index in range(length)]


def covered(frames: Sequence[Frame], first: int, count: int) -> list[Frame]:
    """The clip with `count` frames from `first` on in which nothing can be seen; they have no truth to be scored by."""
    grey = np.full_like(frames[0].image, 110)
    return [
        replace(frame, image=grey, masks=None) if first <= index < first + count else frame
        for index, frame in enumerate(frames)
    ]


@dataclass
class WrongFirstMask:
    """A segmenter that is given a damaged first mask of each part: moved by a share of the frame, and partly cut away."""

    inner: Segmenter
    first: Frame
    shift: float
    started: bool = False

    def prompt(self, part: str, **given: Any) -> None:
        """Handed on."""
        self.inner.prompt(part, **given)

    def step(self, rgb: NDArray[np.uint8]) -> Segmented:
        """The first frame is prompted by the damaged masks, later ones are the segmenter's own."""
        if not self.started:
            for part, mask in (self.first.masks or {}).items():
                if mask.any():
                    self.inner.prompt(part, mask=damaged(mask, self.shift))
            self.started = True
        return self.inner.step(rgb)


def damaged(mask: NDArray[np.bool_], shift: float) -> NDArray[np.bool_]:
    """The mask moved right and down by `shift` of the frame's width and height, its upper half gone."""
    height, width = mask.shape
    move = np.array([[1, 0, shift * width], [0, 1, shift * height]], np.float32)
    moved = cv2.warpAffine(mask.astype(np.uint8), move, (width, height), flags=cv2.INTER_NEAREST)
    rows = np.nonzero(moved.any(1))[0]
    if len(rows):
        moved[: int(rows.mean())] = 0
    return moved.astype(bool)
