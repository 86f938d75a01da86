"""Depth as a cue: masks made better by what an aligned depth image of the same moment shows. Off unless asked for.

`edges` draws the outline of each mask anew where depth jumps beside it. `background`, for cameras that do not move, takes
away what lies as far as it has always lain there, and adds what stands before that right beside a mask. A pixel without
depth (0, NaN, infinite) keeps what the mask says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import cv2
import numpy as np

from .depth_background import BackgroundModel, with_neighbours
from .depth_edges import snapped
from .inverse_depth import Depth, Inverse, Mask, band_pixels, inverse, square

WHOLE = "robot"
"""The part that has all others in it."""


class DepthCue(Protocol):
    """Masks and the depth image of the same moment to better masks; may remember what it saw."""

    def refine(self, masks: Mapping[str, Mask], depth: Depth) -> dict[str, Mask]:
        """masks: bool (H, W) by part; depth: (H, W), uint16 in millimetres or float32 in metres. New masks; those given
        are left as they are. Raises ValueError where the sizes or types are others."""

    def reset(self) -> None:
        """Forgets what it saw."""


class Edges:
    """Outlines on the jumps of depth beside them; remembers nothing."""

    def refine(self, masks: Mapping[str, Mask], depth: Depth) -> dict[str, Mask]:
        """As `DepthCue.refine`."""
        near = inverse(depth)
        robot = _together(masks, near)
        return {part: snapped(mask, near, robot, _other_parts(part, masks)) for part, mask in masks.items()}

    def reset(self) -> None:
        """There is nothing to forget."""


class Background:
    """Masks without a fixed camera's background, and with what stands before it as far away as the mask beside it."""

    def __init__(self, model: BackgroundModel | None = None) -> None:
        self.model = model or BackgroundModel()

    def refine(self, masks: Mapping[str, Mask], depth: Depth) -> dict[str, Mask]:
        """As `DepthCue.refine`; first learns from the frame."""
        near = inverse(depth)
        robot = _together(masks, near)
        radius = band_pixels(near.shape[0])
        possible = cv2.dilate(robot.view(np.uint8), square(radius)).view(np.bool_)
        self.model.observe(robot, possible, near)
        kept = ~self.model.is_background(near)
        candidates = self.model.is_in_front(near) & possible & ~robot
        return {part: with_neighbours(mask & kept, near, candidates, radius) for part, mask in masks.items()}

    def reset(self) -> None:
        """Forgets the background."""
        self.model.reset()


CUES: dict[str, Callable[[], DepthCue]] = {"edges": Edges, "background": Background}
"""How to make each of the cues."""


def _together(masks: Mapping[str, Mask], near: Inverse) -> Mask:
    """All parts as one. Raises ValueError where one has another size than the depth."""
    for part, mask in masks.items():
        if mask.shape != near.shape:
            raise ValueError(
                f"the mask of {part} is {mask.shape}, the depth {near.shape}; it must be aligned and of the same size"
            )
    return np.logical_or.reduce(list(masks.values())) if masks else np.zeros(near.shape, bool)


def _other_parts(part: str, masks: Mapping[str, Mask]) -> Mask | None:
    """What is of another part and so not of this one; to the whole robot there is none."""
    others = [mask for name, mask in masks.items() if WHOLE not in (part, name) and name != part]
    return np.logical_or.reduce(others) if others else None
