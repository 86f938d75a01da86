"""Evaluates clips in the wanted settings, clip by clip in as many processes as wanted; a stopped run goes on."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..dataset.clip import Clip, Frame
from ..worker_process import end_with_parent
from .inputs import clip_stamp
from .pictures import Extremes
from .protocol import SETTINGS, Segmenter, Setting, score_frame, segment
from .results import ClipResult
from .sources import Source, announced
from .stability import StabilityMeter


@dataclass(frozen=True)
class Plan:
    """What to evaluate. video: a clip is one stream and its first and last frame do not count; else every frame stands
    alone. steadiness: also measured, in video."""

    source: Source
    settings: tuple[Setting, ...] = (SETTINGS["automatic"],)
    parts: tuple[str, ...] = ("arm", "gripper", "robot")
    video: bool = True
    steadiness: bool = True

    def key(self, setting: Setting, clip: Clip) -> str:
        """Changes where a result would: a result with this key need not be made again."""
        how = (__version__, setting, self.parts, self.video, self.steadiness)
        told = repr((*how, self.source.key(clip.name), clip_stamp(clip)))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Job:
    """One clip in one setting; its files go to `<folder>/clips/<setting>/<clip>.json` and `-best.jpg`, `-worst.jpg`."""

    plan: Plan
    setting: Setting
    clip: Clip
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "clips" / self.setting.name / f"{self.clip.name}.json"

    def done(self) -> ClipResult | None:
        """The result, if there is one of these inputs."""
        return ClipResult.read(self.file, self.plan.key(self.setting, self.clip))


def evaluate(
    plan: Plan, clips: Sequence[Clip], folder: Path, *, device: str, processes: int, on_frames: Callable[[int], None]
) -> list[ClipResult]:
    """Results of all settings and clips, in order; those that were there are not made again.

    on_frames: told how many more frames are done, `len(clip)` for each clip and setting; of other processes clip by clip.
    device: `auto`, `cpu`, `cuda` (processes then share the GPUs, one each as far as they go) or `cuda:N`. Raises what a clip
    raises; the results up to then stay.
    """
    jobs = [Job(plan, setting, clip, folder) for setting in plan.settings for clip in clips]
    found = {job.file: job.done() for job in jobs}
    todo = [job for job in jobs if found[job.file] is None]
    for job in jobs:
        if found[job.file] is not None:
            on_frames(len(job.clip))
    for job, made in _results(todo, device, processes, on_frames):
        found[job.file] = made
    return [result for job in jobs if (result := found[job.file]) is not None]


def _results(
    todo: Sequence[Job], device: str, processes: int, on_frames: Callable[[int], None]
) -> Iterator[tuple[Job, ClipResult]]:
    if not todo:
        return
    if processes <= 1:
        _open(todo[0].plan, device)
        for job in todo:
            result = _evaluate(job, on_frames)
            on_frames(len(job.clip) - len(result.frames))  # unreadable ones
            yield job, result
        return
    context = multiprocessing.get_context("spawn")
    turns = context.Queue()
    for number in range(processes):
        turns.put(number)
    with ProcessPoolExecutor(processes, context, _begin, (todo[0].plan, device, processes, turns)) as pool:
        running = {pool.submit(_evaluate, job): job for job in todo}
        try:
            for done in as_completed(running):
                result = done.result()
                on_frames(len(running[done].clip))
                yield running[done], result
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


# In the process that evaluates

_make: Callable[[str, Sequence[str]], Segmenter] | None = None


def _begin(plan: Plan, device: str, processes: int, turns: Any) -> None:
    import torch

    end_with_parent()
    number = turns.get()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    cv2.setNumThreads(1)
    if device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{number % torch.cuda.device_count()}"
    _open(plan, device)


def _open(plan: Plan, device: str) -> None:
    global _make
    _make = plan.source.open(device)


def _evaluate(job: Job, on_frames: Callable[[int], None] | None = None) -> ClipResult:
    assert _make is not None
    result = evaluate_clip(job, _make, on_frames)
    result.write(job.file)
    return result


def evaluate_clip(
    job: Job, make: Callable[[str, Sequence[str]], Segmenter], on_frames: Callable[[int], None] | None = None
) -> ClipResult:
    """One clip in one setting, with pictures of its best and its worst frame; on_frames(1) after each. Raises ClipError."""
    plan, clip = job.plan, job.clip
    result = ClipResult(clip.name, job.setting.name, plan.key(job.setting, clip), plan.video)
    for kind in (result.j, result.f, result.flow_iou, result.object_score):
        kind.update({part: [] for part in plan.parts})
    meter = StabilityMeter()
    extremes = Extremes(plan.parts)
    for frame, masks, watched in _masks(job, make):
        result.frames.append(frame.stem)
        result.milliseconds.append(watched.milliseconds)
        flow = meter.add(frame.image, masks, watched.scores) if plan.steadiness and plan.video else {}
        for part in plan.parts:
            j, f = score_frame(frame, masks, part)
            result.missing[part] = result.missing.get(part, 0) + (part not in masks)
            result.j[part].append(j)
            result.f[part].append(f)
            result.flow_iou[part].append(flow.get(part, float("nan")))
            result.object_score[part].append(watched.scores.get(part, float("nan")))
        extremes.add(frame, masks, {part: (result.j[part][-1], result.flow_iou[part][-1]) for part in plan.parts})
        if on_frames is not None:
            on_frames(1)
    result.skipped = len(clip.skipped)
    result.stability = {part: steadiness.as_dict() for part, steadiness in meter.parts.items()}
    extremes.write(job.file.with_suffix(""))
    return result


def _masks(
    job: Job, make: Callable[[str, Sequence[str]], Segmenter]
) -> Iterator[tuple[Frame, dict[str, NDArray[np.bool_]], _Watched]]:
    """Frames with their masks: one stream for the clip, or one for each frame."""
    parts, video = job.plan.parts, job.plan.video
    for frames in [job.clip] if video else ([frame] for frame in job.clip):
        stream = make(job.clip.name, parts)
        watched = _Watched(stream)
        for frame, masks in segment(announced(frames, stream), watched, job.setting, parts, alone=not video):
            yield frame, masks, watched


@dataclass
class _Watched:
    """A segmenter with an eye on the clock: milliseconds and object scores of the last step. Masks that were made before
    bring their time with them."""

    stream: Segmenter
    milliseconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def prompt(self) -> Callable[..., None]:
        return self.stream.prompt

    def step(self, rgb: NDArray[np.uint8]) -> Any:
        began = time.perf_counter()
        segmented = self.stream.step(rgb)
        taken = 1e3 * (time.perf_counter() - began)
        self.milliseconds = getattr(segmented, "milliseconds", taken)
        self.scores = dict(getattr(segmented, "object_score", {}))
        return segmented
