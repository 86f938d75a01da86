"""Segments a whole clip into files: masks, an overlay video and a table of scores and times.

Each kind of output is a class with `write` and `close`; what a stopped run has written is whole and readable.
"""

from __future__ import annotations

import csv
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import PART_FOLDERS, Clip, ClipError, Frame
from ..dataset.video import VideoWriter
from ..drawing import overlay

logger = logging.getLogger(__name__)

MASKS_FOLDER, OVERLAY_FILE, SCORES_FILE = "mask_pred", "overlay.mp4", "scores.csv"
MaskOutput = Literal["png", "video", "none"]


class OutputError(ValueError):
    """A place that results cannot be written to."""


class PromptError(ValueError):
    """A prompt that does not fit the first frame or the part."""


@dataclass(frozen=True)
class ClipPrompt:
    """A hint for one part on the first frame, in its pixels: points with labels, a box, or a mask (H, W)."""

    part: str
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None

    def arguments(self) -> dict[str, Any]:
        """What of it is set, as `StreamSegmenter.prompt` takes it."""
        given: dict[str, Any] = {}
        if self.points:
            given.update(points=list(self.points), labels=list(self.labels))
        if self.box is not None:
            given["box"] = self.box
        if self.mask is not None:
            given["mask"] = self.mask
        return given


@dataclass(frozen=True)
class Outputs:
    """What to write to `folder`: masks as PNGs in VRS's layout or a lossless video per part, an overlay."""

    folder: Path
    masks: MaskOutput = "png"
    overlay: bool = True
    alpha: float = 0.5


@dataclass(frozen=True)
class ClipResult:
    """What a run did: frames written and left out, its duration, whether it was stopped before the end."""

    frames: int
    skipped: int
    seconds: float
    stopped: bool


class SegmentationLike(Protocol):
    """What is read of a `streaming.Segmentation`."""

    @property
    def masks(self) -> Mapping[str, NDArray[np.bool_]]: ...

    @property
    def object_score(self) -> Mapping[str, float]: ...

    @property
    def predicted_iou(self) -> Mapping[str, float]: ...

    @property
    def timings(self) -> Mapping[str, float]: ...


class SegmenterLike(Protocol):
    """What is used of a `streaming.StreamSegmenter`."""

    def prompt(
        self,
        part: str,
        points: Sequence[Sequence[float]] | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None: ...

    def step(self, rgb: NDArray[np.uint8]) -> SegmentationLike: ...

    def reset(self) -> None: ...


def prepare_folder(folder: Path, force: bool = False) -> None:
    """Makes the output folder; with `force`, removes from it what an earlier run wrote, and nothing else.

    Raises OutputError when it is a file, cannot be made, or holds anything and `force` is off.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be used as output folder: {error.strerror}") from error
    if occupied and not force:
        raise OutputError(f"{folder}: is not empty; give another folder, or --force to replace earlier results")
    if occupied:
        shutil.rmtree(folder / MASKS_FOLDER, ignore_errors=True)
        for name in (OVERLAY_FILE, SCORES_FILE):
            (folder / name).unlink(missing_ok=True)


class _MaskFiles:
    """PNG masks, 0 and 255, in `mask_pred/<clip>/<000|001|002>/<frame>.png`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, frame: Frame, result: SegmentationLike) -> None:
        for part, mask in result.masks.items():
            path = self._folder / PART_FOLDERS[part] / f"{frame.stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), mask.astype(np.uint8) * np.uint8(255)):
                raise OSError(f"{path}: cannot be written")

    def close(self) -> None:
        """Every file is finished already."""


class _MaskVideos:
    """One lossless video per part, `mask_pred/<clip>/<part>.mkv`, 0 and 255."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._folder, self._fps = folder, fps
        self._videos: dict[str, VideoWriter] = {}

    def write(self, frame: Frame, result: SegmentationLike) -> None:
        for part, mask in result.masks.items():
            if part not in self._videos:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._videos[part] = VideoWriter(self._folder / f"{part}.mkv", self._fps)
            self._videos[part].write(mask.astype(np.uint8) * np.uint8(255))

    def close(self) -> None:
        for video in self._videos.values():
            video.close()


class _Overlay:
    """The frames with tinted parts, as a video."""

    def __init__(self, path: Path, fps: float, alpha: float) -> None:
        self._video, self._alpha = VideoWriter(path, fps), alpha

    def write(self, frame: Frame, result: SegmentationLike) -> None:
        self._video.write(overlay(frame.image, result.masks, self._alpha))

    def close(self) -> None:
        self._video.close()


class _Scores:
    """A CSV row per frame: scores and coverage (fraction of the image) per part, milliseconds per stage."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows: csv.DictWriter[str] | None = None

    def write(self, frame: Frame, result: SegmentationLike) -> None:
        row: dict[str, Any] = {"frame": frame.index, "name": frame.stem, "stamp_ns": frame.stamp_ns}
        for part, mask in result.masks.items():
            row[f"{part}_object_score"] = f"{result.object_score[part]:.4f}"
            row[f"{part}_predicted_iou"] = f"{result.predicted_iou[part]:.4f}"
            row[f"{part}_coverage"] = f"{mask.mean():.6f}"
        row["total_ms"] = f"{sum(result.timings.values()):.3f}"
        row.update({f"{stage}_ms": f"{value:.3f}" for stage, value in result.timings.items()})
        if self._rows is None:
            self._rows = csv.DictWriter(self._file, list(row), restval="", extrasaction="ignore")
            self._rows.writeheader()
        self._rows.writerow(row)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


_Sink = _MaskFiles | _MaskVideos | _Overlay | _Scores


def _sinks(clip: Clip, outputs: Outputs) -> list[_Sink]:
    masks = outputs.folder / MASKS_FOLDER / clip.name
    sinks: list[_Sink] = [_Scores(outputs.folder / SCORES_FILE)]
    if outputs.masks == "png":
        sinks.append(_MaskFiles(masks))
    if outputs.masks == "video":
        sinks.append(_MaskVideos(masks, clip.fps))
    if outputs.overlay:
        sinks.append(_Overlay(outputs.folder / OVERLAY_FILE, clip.fps, outputs.alpha))
    return sinks


def segment_clip(
    clip: Clip,
    segmenter: SegmenterLike,
    outputs: Outputs,
    *,
    prompts: Sequence[ClipPrompt] = (),
    start: int = 0,
    count: int | None = None,
    on_frame: Callable[[Frame], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ClipResult:
    """Segments the frames start, …, start + count - 1 of a clip as one stream and writes the outputs.

    The prompts apply to the first frame read. A change of the picture's size starts the stream anew.
    `should_stop` is asked between frames, so that a stopped run leaves no half frame. Raises ClipError for an
    unreadable clip or range, PromptError for a prompt that does not fit, OSError for an unwritable file.
    """
    began = time.perf_counter()
    written, stopped = 0, False
    with ExitStack() as stack:
        sinks = _sinks(clip, outputs)
        for sink in sinks:
            stack.callback(sink.close)
        for frame, result in _segmented(clip.frames(start, count), segmenter, prompts):
            for sink in sinks:
                sink.write(frame, result)
            written += 1
            if on_frame is not None:
                on_frame(frame)
            if should_stop is not None and should_stop():
                stopped = True
                break
    if not written:
        raise ClipError(f"{clip.name}: has {len(clip)} frames, so there is none from frame {start} on")
    return ClipResult(written, len(clip.skipped), time.perf_counter() - began, stopped)


def _segmented(
    frames: Iterable[Frame], segmenter: SegmenterLike, prompts: Sequence[ClipPrompt]
) -> Iterator[tuple[Frame, SegmentationLike]]:
    """The frames with their segmentations."""
    segmenter.reset()
    size: tuple[int, ...] | None = None
    for frame in frames:
        if size is not None and size != frame.image.shape:
            logger.warning("frame %d is %s, not %s; starting anew", frame.index, frame.image.shape, size)
            segmenter.reset()
        result = _first_step(frame, segmenter, prompts) if size is None else segmenter.step(frame.image)
        size = frame.image.shape
        yield frame, result


def _first_step(frame: Frame, segmenter: SegmenterLike, prompts: Sequence[ClipPrompt]) -> SegmentationLike:
    """Segments the frame that the prompts are for; some misfits show only there."""
    try:
        for prompt in prompts:
            segmenter.prompt(prompt.part, **prompt.arguments())
        return segmenter.step(frame.image)
    except ValueError as error:
        if not prompts:
            raise
        raise PromptError(f"frame {frame.index}: {error}") from error
