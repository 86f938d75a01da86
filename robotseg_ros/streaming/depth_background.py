"""The background of a fixed camera, in depth, learned while it runs."""

from __future__ import annotations

import cv2
import numpy as np

from .inverse_depth import LEAST_GAP, Inverse, Mask, square, surroundings

_MOST = 60  # observations that count; what is new has to stay about half as long until it is background
_AVERAGED = 16
_LEAST_SHARE = 0.01  # of the image's pixels that must be known to say whether the camera has moved


class BackgroundModel:
    """How far away the background is at each pixel of a fixed camera, learned where the masks say that no robot is.

    Six bytes a pixel, whatever comes: inverse depth, and how often it was seen there free and taken for robot. A pixel's
    background is known once it was seen `patience` times and taken for robot less than half as often. What lies farther
    replaces it soon, what lies nearer only when it stays. When much of what is known has changed at once, the camera has
    moved, and all is learned anew.
    """

    def __init__(self, patience: int = 5, tolerance: float = LEAST_GAP / 2, moved_share: float = 0.3) -> None:
        """patience: observations; tolerance: of inverse depth, in 1/m; moved_share: of the known pixels that are seen."""
        self.patience, self.tolerance, self.moved_share = patience, tolerance, moved_share
        self.moves = 0  # how often the camera has moved
        self._start((0, 0))

    def reset(self) -> None:
        """Forgets all."""
        self._start((0, 0))

    def _start(self, shape: tuple[int, ...]) -> None:
        self._near: Inverse = np.zeros(shape, np.float32)
        self._seen, self._covered = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._near.nbytes + self._seen.nbytes + self._covered.nbytes

    @property
    def known(self) -> Mask:
        """Pixels, bool (H, W), whose background is known."""
        return (self._seen >= self.patience) & (self._covered < (self._seen + 1) // 2)

    def observe(self, robot: Mask, possible: Mask, near: Inverse) -> None:
        """Learns from a frame: `robot`, bool (H, W), and the same with a margin, `possible`; inverse depth (H, W)."""
        if self._near.shape != near.shape:
            self._start(near.shape)
        valid = near > 0
        free = valid & ~possible
        change = near - self._near
        same = np.abs(change) < self.tolerance
        if self._has_moved(free, same):
            self.moves += 1
            self._start(near.shape)
        old = self._seen > 0
        self._confirm(free & same & old, change)
        self._covered[valid & robot & same & old & (self._covered < _MOST)] += 1
        self._doubt(free & ~same & old, change)
        fresh = free & (self._seen == 0)
        self._near[fresh], self._seen[fresh], self._covered[fresh] = near[fresh], 1, 0

    def _has_moved(self, free: Mask, same: Mask) -> bool:
        judged = free & (self._seen >= self.patience)
        count = np.count_nonzero(judged)
        changed = np.count_nonzero(judged & ~same)
        return bool(count > _LEAST_SHARE * judged.size and changed > self.moved_share * count)

    def _confirm(self, again: Mask, change: Inverse) -> None:
        """The background is there again; at first it is averaged."""
        self._seen[again] += 1
        self._near += np.where(again, change / np.clip(self._seen, 1, _AVERAGED), 0)
        full = self._seen >= _MOST
        self._seen[full] //= 2
        self._covered[full] //= 2

    def _doubt(self, other: Mask, change: Inverse) -> None:
        """What is farther than the background shows that this was none; what is nearer may only stand before it."""
        farther = other & (change < 0)
        self._seen[farther] //= 2
        self._seen[other & ~farther] -= 1

    def is_background(self, near: Inverse) -> Mask:
        """Pixels, bool (H, W), that are as far as the known background, or farther; of inverse depth (H, W)."""
        return (near > 0) & (near < self._near + self.tolerance) & self.known

    def is_in_front(self, near: Inverse) -> Mask:
        """Pixels, bool (H, W), that clearly are nearer than the known background; of inverse depth (H, W)."""
        return (near > self._near + 2 * self.tolerance) & self.known


def with_neighbours(mask: Mask, near: Inverse, candidates: Mask, radius: int) -> Mask:
    """The mask, bool (H, W), with those candidates at most `radius` pixels beside it that are as far away as it is there.

    What merely hides the background beside the robot, such as a hand, mostly is nearer or farther.
    """
    place = surroundings(mask, 2 * radius)
    if place is None:
        return mask
    inside, depth = mask[place], near[place]
    beside = candidates[place] & cv2.dilate(inside.view(np.uint8), square(radius)).view(np.bool_)
    weight = (inside & (depth > 0)).astype(np.float32)
    window = (4 * radius + 1, 4 * radius + 1)
    count, total = (cv2.boxFilter(field, -1, window, normalize=False) for field in (weight, weight * depth))
    beside &= np.abs(depth * count - total) < 2 * LEAST_GAP * count
    made = mask.copy()
    made[place] |= beside
    return made
