"""What a replay gave: frames, drops, latency and J&F from the recorded bag, with its video and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from ..dataset.bags import BagClip
from ..evaluation.recorded import recorded_masks
from ..evaluation.sequence import Masks, SequenceScores, score_sequence
from ..evaluation.table import text_table
from ..evaluation.timing import Latency
from . import topics
from .pictures import draw


@dataclass(frozen=True)
class Counts:
    """Images played, arrived at the node, segmented, replaced by a newer one before that, unreadable."""

    played: int
    received: int
    processed: int
    dropped: int
    rejected: int


@dataclass(frozen=True)
class Results:
    """Figures of one run, and the folder its files are in."""

    out: Path
    counts: Counts
    latency: Latency
    scores: SequenceScores

    def table(self) -> str:
        """The tables that the command prints."""
        counts, latency = self.counts, self.latency
        flow = text_table(
            ["frames in", "received", "processed", "dropped", "latency median", "p95", "worst"],
            [
                [
                    *(str(number) for number in (counts.played, counts.received, counts.processed, counts.dropped)),
                    *(f"{ms:.1f} ms" for ms in (latency.median, latency.p95, latency.worst)),
                ]
            ],
        )
        return f"{flow}\n\n{self.scores.table()}"

    def as_dict(self) -> dict[str, Any]:
        """The same figures for programs."""
        return {
            "frames": vars(self.counts),
            "latency_ms": {name: _known(value) for name, value in vars(self.latency).items()},
            "parts": {
                part: {
                    "frames": len(score.frames),
                    "J": _known(score.j),
                    "F": _known(score.f),
                    "J&F": _known(score.j_and_f),
                }
                for part, score in self.scores.parts.items()
            },
        }


def _known(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value


def collect(bag: Path, recording: Path, out: Path, parts: Sequence[str]) -> Results:
    """Score a recording against the true masks of the bag that was replayed, and write the files into `out`:
    overlay.mp4, overlay.png, table.txt and results.json.

    Raises:
        ClipError: one of the bags lacks a topic or cannot be read.
    """
    clip = truth_clip(bag, parts)
    predicted = recorded_masks(recording, {part: topics.mask(part) for part in parts})
    scores = score_sequence(predicted, _truth(clip), parts)
    statuses = list(_statuses(recording))
    draw(clip, recording, scores, out)
    results = Results(out, _counts(len(clip), statuses), Latency.of(status.latency_ms for status in statuses), scores)
    (out / "table.txt").write_text(results.table() + "\n", "utf-8")
    (out / "results.json").write_text(json.dumps(results.as_dict(), indent=2) + "\n", "utf-8")
    return results


def truth_clip(bag: Path, parts: Sequence[str]) -> BagClip:
    """The played images with their true masks. Raises ClipError for a bag that cannot be used."""
    return BagClip(bag, topics.IMAGE, truth={part: topics.truth(part) for part in parts})


def _truth(clip: BagClip) -> Iterator[tuple[int, Masks]]:
    for frame in clip:
        yield frame.stamp_ns, frame.masks or {}


def _statuses(recording: Path) -> Iterator[Any]:
    """The recorded robotseg_ros/msg/SegmentationStatus messages; the bag brings their definition."""
    with AnyReader([recording]) as reader:
        chosen = [connection for connection in reader.connections if connection.topic == topics.STATUS]
        for connection, _, cdr in reader.messages(chosen) if chosen else ():
            yield reader.deserialize(cdr, connection.msgtype)


def _counts(played: int, statuses: Sequence[Any]) -> Counts:
    if not statuses:
        return Counts(played, 0, 0, 0, 0)
    last = statuses[-1]
    return Counts(played, int(last.received), int(last.processed), int(last.dropped), int(last.rejected))
