"""Runs networks over clips for experiments; everything on one device, clip by clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..dataset.clip import Frame
from ..dataset.collection import list_dataset
from ..evaluation.protocol import SETTINGS, ClipScore, Segmenter, Setting, score_clip
from ..model import PARTS, RobotSeg
from ..streaming import StreamSegmenter

MakeStream = Callable[[RobotSeg, Sequence[Frame]], Segmenter]
Change = Callable[[Sequence[Frame]], list[Frame]]


@dataclass(frozen=True)
class NamedClip:
    """A clip held in memory."""

    name: str
    frames: list[Frame]


@dataclass
class Measured:
    """Scores of one condition on all clips."""

    label: str
    clips: list[ClipScore] = field(default_factory=list)

    def j_and_f(self, part: str) -> float:
        """Mean J&F over clips, in [0, 1]."""
        return float(np.nanmean([np.mean(clip.means(part)) for clip in self.clips]))

    def j_by_frame(self, part: str) -> NDArray[np.float64]:
        """Mean J over clips of equal length, frame by frame; nan where no clip's frame is scored."""
        values = np.ma.masked_invalid([clip.j[part] for clip in self.clips])
        return np.asarray(values.mean(axis=0).filled(np.nan))


def read_clips(root: Path, limit: int | None = None) -> list[NamedClip]:
    """Clips of a dataset, spread over it where there are more than `limit`. Raises ValueError for none."""
    clips = list_dataset(root).clips
    if limit is not None and len(clips) > limit:
        clips = tuple(clips[int(place)] for place in np.linspace(0, len(clips) - 1, limit))
    return [NamedClip(clip.name, list(clip)) for clip in clips]


def plain_stream(network: RobotSeg, frames: Sequence[Frame]) -> Segmenter:
    """The product's own segmenter for all parts."""
    return StreamSegmenter(network, parts=PARTS, fill_hole_area=network.config.fill_hole_area)


def measure(
    label: str,
    network: RobotSeg,
    clips: Sequence[NamedClip],
    setting: Setting = SETTINGS["automatic"],
    make: MakeStream = plain_stream,
    change: Change = list,
) -> Measured:
    """Scores a network on clips (changed first by `change`), with a progress bar."""
    measured = Measured(label)
    for clip in tqdm(clips, desc=label, unit="clip", leave=False, mininterval=2):
        frames = change(clip.frames)
        measured.clips.append(score_clip(clip.name, frames, partial(make, network, frames), setting, PARTS))
    return measured
