"""Scores of a sequence of frames, part by part: J and F per frame, their means over the sequence, a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .measures import TOLERANCE, boundary_f, jaccard
from .table import text_table

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class FrameScore:
    """J and F of one part in one frame; `stamp` is the frame's time in nanoseconds."""

    stamp: int
    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


@dataclass
class PartScores:
    """All scored frames of one part, in order; the means are nan while there is none."""

    part: str
    frames: list[FrameScore] = field(default_factory=list)

    @property
    def j(self) -> float:
        return _mean([frame.j for frame in self.frames])

    @property
    def f(self) -> float:
        return _mean([frame.f for frame in self.frames])

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


@dataclass
class SequenceScores:
    """Scores by part, and the stamps of frames that have a true mask but no predicted one."""

    parts: dict[str, PartScores]
    missing: dict[str, list[int]]

    def table(self) -> str:
        """Text table: part, scored frames, frames without a mask, J, F, J&F in percent."""
        rows = [
            [
                part,
                str(len(scores.frames)),
                str(len(self.missing[part])),
                *(f"{100 * value:.1f}" for value in (scores.j, scores.f, scores.j_and_f)),
            ]
            for part, scores in self.parts.items()
        ]
        return text_table(["part", "frames scored", "without mask", "J", "F", "J&F"], rows)


def score_sequence(
    predicted: Mapping[int, Masks],
    true: Iterable[tuple[int, Masks]],
    parts: Sequence[str],
    tolerance: float = TOLERANCE,
) -> SequenceScores:
    """Compare predicted with true masks, matched by stamp.

    Args:
        predicted: masks (H, W) by part, by stamp in nanoseconds. A frame or one of its parts may be missing.
        true: stamps with the true masks, in order; read once, so it may be a generator over a bag.
        parts: what to score. A part without true masks is scored in no frame.
        tolerance: of the boundary measure, as a fraction of the diagonal.

    A frame without prediction (dropped by a slow node) is not scored but listed in `missing`: a score of 0
    would mix up two faults, and a repeated older mask would be our invention.

    Raises:
        ValueError: a predicted mask has another size than the true one.
    """
    scores = SequenceScores({part: PartScores(part) for part in parts}, {part: [] for part in parts})
    for stamp, true_masks in true:
        for part in parts:
            if part not in true_masks:
                continue
            mask = predicted.get(stamp, {}).get(part)
            if mask is None:
                scores.missing[part].append(stamp)
                continue
            truth = true_masks[part]
            score = FrameScore(stamp, jaccard(mask, truth), boundary_f(mask, truth, tolerance))
            scores.parts[part].frames.append(score)
    return scores


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
