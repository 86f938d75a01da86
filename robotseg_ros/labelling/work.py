"""One clip labelled: its masks appear in the output folder whole or not at all, however often the work is interrupted.

<out>/masks/<clip>/<000|001|002>/<frame>.png   or  <out>/masks/<clip>/<part>.mkv
<out>/scores/<clip>.csv                        scores and milliseconds by frame; written last: what has it is done
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset.clip import Clip, ClipError
from ..dataset.opening import open_clip
from ..evaluation.segment_clip import MASKS_FOLDER, SCORES_FILE, MaskOutput, Outputs, segment_clip

PARTIAL = ".partial"


@dataclass(frozen=True)
class Work:
    """A clip to label, by its path, and its name in the output."""

    path: Path
    name: str
    topic: str | None = None


@dataclass(frozen=True)
class Labelling:
    """How clips are labelled, and where to."""

    out: Path
    parts: tuple[str, ...]
    masks: MaskOutput = "png"
    model: str = "robotseg_nano"
    checkpoint: str | None = None
    adapter: str | None = None

    def is_done(self, work: Work) -> bool:
        """Whether the clip's masks are there."""
        return self._scores(work).is_file()

    def _scores(self, work: Work) -> Path:
        return self.out / "scores" / f"{work.name}.csv"

    def _masks(self, work: Work) -> Path:
        return self.out / "masks" / work.name


class Labeller:
    """Holds the network of a process, on its device."""

    def __init__(self, labelling: Labelling, device: str = "auto"):
        """Loads the model; raises ValueError where that is not possible."""
        from ..model import load_model
        from ..runtime import prepare, select_device
        from ..streaming import StreamSegmenter

        network = load_model(labelling.model, labelling.checkpoint, select_device(device), labelling.adapter)
        area = network.config.fill_hole_area
        self._stream = StreamSegmenter(prepare(network), parts=labelling.parts, fill_hole_area=area)
        self._labelling = labelling

    def label(self, work: Work) -> int:
        """Labels a clip that is not done yet; returns its frames. Raises ClipError for a clip that cannot be read."""
        if self._labelling.is_done(work):
            return 0
        clip = open_clip(work.path, work.topic, on_bad="skip")
        partial = self._labelling.out / PARTIAL / f"{work.name}-{uuid.uuid4().hex[:8]}"
        partial.mkdir(parents=True)
        try:
            outputs = Outputs(partial, self._labelling.masks, overlay=False)
            result = segment_clip(clip, self._stream, outputs)
            self._publish(work, partial, clip)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return result.frames

    def _publish(self, work: Work, partial: Path, clip: Clip) -> None:
        """Moves what is finished to its place; the scores last."""
        masks, scores = self._labelling._masks(work), self._labelling._scores(work)
        for target in (masks, scores):
            target.parent.mkdir(parents=True, exist_ok=True)
        if self._labelling.is_done(work):
            return  # by somebody who was believed dead
        shutil.rmtree(masks, ignore_errors=True)  # of a run that died between the two
        (partial / MASKS_FOLDER / clip.name).rename(masks)
        (partial / SCORES_FILE).rename(scores)


def collect(inputs: Sequence[Path], topic: str | None = None) -> list[Work]:
    """The clips of datasets, of folders of bags and videos, or single ones, each with a name of its own.

    Raises ClipError for an input without any, and for two clips of one name.
    """
    found: list[Work] = []
    for path in inputs:
        works = list(_clips_of(path, topic))
        if not works:
            raise ClipError(f"{path}: holds no clip, bag or video")
        found += works
    names: dict[str, Work] = {}
    for work in found:
        twin = names.setdefault(work.name, work)
        if twin is not work:
            raise ClipError(f"{twin.path} and {work.path} have one name; label them into different folders")
    return found


def _clips_of(path: Path, topic: str | None) -> list[Work]:
    from ..dataset.bags import is_bag
    from ..dataset.folders import clip_place, list_clips
    from ..dataset.images import IMAGE_SUFFIXES
    from ..dataset.video import VIDEO_SUFFIXES

    if not path.exists():
        raise ClipError(f"{path}: no such file or folder")
    if path.is_file() or is_bag(path):
        return [Work(path, path.stem, topic if is_bag(path) else None)]
    if names := list_clips(path):
        places = [clip_place(path, name) for name in names]
        return [Work(place.picture or place.images, place.name) for place in places]
    inner = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in inner):
        return [Work(path, path.resolve().name)]
    recordings = [entry for entry in inner if is_bag(entry) or entry.suffix.lower() in VIDEO_SUFFIXES]
    return [Work(entry, entry.stem, topic if is_bag(entry) else None) for entry in recordings]


def clean(out: Path) -> None:
    """Removes what interrupted runs left behind. Not while another run writes to the same folder."""
    shutil.rmtree(out / PARTIAL, ignore_errors=True)


Failure = tuple[Work, str]
"""A clip that could not be labelled, and why."""


def reason(error: BaseException) -> str:
    """Of a failure: one odd clip of thousands must not stop the others, whatever it raises."""
    return str(error) if isinstance(error, ClipError) else f"{type(error).__name__}: {error}"


def label_here(labelling: Labelling, works: Sequence[Work], device: str, on_done: Any) -> list[Failure]:
    """Labels clips one after the other in this process; `on_done(work)` after each. Returns those that failed."""
    labeller = Labeller(labelling, device)
    failures = []
    for work in works:
        try:
            labeller.label(work)
        except OSError:  # a full disk is no fault of the clip
            raise
        except Exception as error:
            failures.append((work, reason(error)))
        on_done(work)
    return failures
