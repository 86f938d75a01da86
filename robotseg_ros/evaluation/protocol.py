"""The published settings of evaluation, and how a clip is scored in each: automatic, clicks, box, online interactive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import Frame
from .clicks import Click, box_of, correction_click, first_click
from .measures import boundary_f, jaccard

Mask = NDArray[np.bool_]


class Segmented(Protocol):
    """What a segmenter gives for a frame."""

    @property
    def masks(self) -> dict[str, Mask]: ...


class Segmenter(Protocol):
    """A stream that masks are asked of; `StreamSegmenter` is one, and so is whatever is wrapped around it."""

    def step(self, rgb: NDArray[np.uint8]) -> Segmented: ...

    @property
    def prompt(self) -> Callable[..., None]: ...


@dataclass(frozen=True)
class Setting:
    """What a segmenter is told. clicks: on the first frame; box: around the part there; mask: the true one there; threshold:
    an IoU below which a frame is corrected while tracking, in at most `corrected_frames` frames a clip and part."""

    name: str
    clicks: int = 0
    box: bool = False
    mask: bool = False
    threshold: float | None = None
    corrected_frames: int = 3


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("automatic"),
        Setting("1click", clicks=1),
        Setting("3clicks", clicks=3),
        Setting("box", box=True),
        Setting("interactive", clicks=1, threshold=0.75),
    )
}
"""The five published ones."""

FIRST_MASK = Setting("mask", mask=True)
"""What trackers such as SAM 2 are compared in: the first frame's true mask is given."""


@dataclass(frozen=True)
class ClipScore:
    """J and F of one clip by part, (frames,) each; nan where the frame has no true mask of the part."""

    clip: str
    j: Mapping[str, NDArray[np.float64]]
    f: Mapping[str, NDArray[np.float64]]

    def means(self, part: str, skip_ends: bool = True) -> tuple[float, float]:
        """Mean J and F; the video protocol leaves the first and the last frame out (of clips of 3 and more)."""
        cut = slice(1, -1) if skip_ends and len(self.j[part]) > 2 else slice(None)
        return float(np.nanmean(self.j[part][cut])), float(np.nanmean(self.f[part][cut]))


def score_clip(
    name: str, frames: Iterable[Frame], make: Callable[[], Segmenter], setting: Setting, parts: Sequence[str]
) -> ClipScore:
    """Scores every frame of a clip that a fresh segmenter streams through in a setting."""
    scores: dict[str, list[tuple[float, float]]] = {part: [] for part in parts}
    for frame, masks in segment(frames, make(), setting, parts):
        for part, values in scores.items():
            values.append(score_frame(frame, masks, part))
    table = {part: np.array(values) for part, values in scores.items()}
    return ClipScore(
        name, {part: rows[:, 0] for part, rows in table.items()}, {part: rows[:, 1] for part, rows in table.items()}
    )


def score_frame(frame: Frame, masks: Mapping[str, Mask], part: str) -> tuple[float, float]:
    """J and F of a part in a frame; nan where the frame has no true mask of it, or a recording no predicted one."""
    if frame.masks is None or part not in frame.masks or part not in masks:
        return np.nan, np.nan
    return jaccard(masks[part], frame.masks[part]), boundary_f(masks[part], frame.masks[part])


def segment(
    frames: Iterable[Frame], stream: Segmenter, setting: Setting, parts: Sequence[str], alone: bool = False
) -> Iterator[tuple[Frame, dict[str, Mask]]]:
    """The masks of every frame of a clip that a fresh segmenter streams through in a setting.

    alone: the frame stands alone, so that it may be corrected itself; in a clip the later ones may.
    """
    corrections = dict.fromkeys(parts, 0)
    for index, frame in enumerate(frames):
        true = frame.masks or {}
        masks = _first_frame(stream, frame, setting, parts) if index == 0 else stream.step(frame.image).masks
        if setting.threshold is not None and (alone or index > 0):
            poor = [
                part
                for part in parts
                if corrections[part] < setting.corrected_frames
                and part in true
                and jaccard(masks[part], true[part]) < setting.threshold
            ]
            for part in poor:
                corrections[part] += 1
            masks = _clicked(stream, frame, {part: masks[part] for part in poor}, masks)
        yield frame, masks


def _first_frame(stream: Segmenter, frame: Frame, setting: Setting, parts: Sequence[str]) -> dict[str, Mask]:
    """Masks of the first frame after the setting's box or mask, or after the last of its clicks."""
    true = frame.masks or {}
    clicks: dict[str, list[Click]] = {part: [] for part in parts}
    for part in parts:
        box = box_of(true[part]) if setting.box and part in true else None
        if box is not None:
            stream.prompt(part, box=box)
        if setting.mask and part in true and true[part].any():
            stream.prompt(part, mask=true[part])
        click = first_click(true[part]) if setting.clicks and part in true else None
        if click is not None:
            clicks[part].append(click)
            _prompt(stream, part, clicks[part])
    masks = stream.step(frame.image).masks
    for _ in range(1, setting.clicks):
        more = {part: correction_click(masks[part], true[part]) for part in parts if clicks[part]}
        for part, click in more.items():
            if click is not None:
                clicks[part].append(click)
            _prompt(stream, part, clicks[part])  # anew for all, so that none goes on from this frame's memory
        masks = stream.step(frame.image).masks
    return masks


def _clicked(stream: Segmenter, frame: Frame, poor: Mapping[str, Mask], masks: dict[str, Mask]) -> dict[str, Mask]:
    """The frame again, with a first and a correcting click for each part whose mask was poor."""
    true = frame.masks or {}
    prompted = False
    for part, mask in poor.items():
        found = [click for click in (first_click(true[part]), correction_click(mask, true[part])) if click is not None]
        if found:
            _prompt(stream, part, found)
            prompted = True
    if not prompted:
        return masks
    again = stream.step(frame.image).masks
    return {part: again[part] if part in poor else mask for part, mask in masks.items()}


def _prompt(stream: Segmenter, part: str, clicks: Sequence[Click]) -> None:
    points = [(x, y) for x, y, _ in clicks]
    stream.prompt(part, points=points, labels=[label for _, _, label in clicks])
