"""Seeded batches from the clip cache: single frames, moved stills, and short clips played forward or as palindromes."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .augment import (
    Appearance,
    Geometry,
    jittered,
    moved,
    sample_geometry,
    sample_look,
    sample_window,
    travelling,
    warp,
    warp_label,
)
from .clip_cache import ARM, GRIPPER, ClipCache, ClipEntry
from .settings import TrainSettings


@dataclass(frozen=True)
class Request:
    """Which batch: a batch is a pure function of the seed, the step, the kind and the clips used."""

    step: int
    video: bool
    side: int
    clip_count: int
    rank: int = 0  # among `peers` processes that share the batch
    peers: int = 1


@dataclass(frozen=True)
class Batch:
    """K clips of U distinct frames, streamed in the order `order` (indices into U; a palindrome repeats some).

    images (K, U, S, S, 3) uint8, labels (K, L, S, S) uint8 of the first L of them: 1 in label-efficient training, but
    all of moved stills.
    """

    step: int
    video: bool
    images: torch.Tensor
    labels: torch.Tensor
    order: tuple[int, ...]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def part_masks(labels: torch.Tensor) -> torch.Tensor:
    """Label maps (K, S, S) -> true masks (K, 3, S, S) float: arm, gripper, robot (PARTS order)."""
    return torch.stack([labels == ARM, labels == GRIPPER, labels > 0], 1).float()


class BatchSource(Dataset):
    """Builds the batch that a Request names; runs in the loader's worker process."""

    def __init__(self, cache: ClipCache, settings: TrainSettings) -> None:
        self.cache, self.settings = cache, settings
        self._appearances: dict[int, Appearance] = {}

    def __getitem__(self, request: Request) -> Batch:
        rng = np.random.default_rng((self.settings.seed, request.step))
        schedule, clips = self.settings.schedule, self.settings.clips
        order: tuple[int, ...] = (0,)
        stride = 1
        if request.video and rng.random() < clips.stills:
            order, stride = tuple(range(clips.forward_frames)), 0
        elif request.video:
            # Where labels are few, only a way back to the first frame leads to one.
            palindrome = clips.palindrome if self.cache.labelled is None else 1.0
            order = clip_order(rng, palindrome, clips.palindrome_frames, clips.forward_frames)
            stride = int(rng.choice(clips.strides))
        count = (schedule.video_batch if request.video else schedule.image_batch) // request.peers
        rng = np.random.default_rng((self.settings.seed, request.step, request.rank, 0))
        usable = self.cache.clips[: request.clip_count]
        # Clips of different lengths do not make a batch: those that are long enough, or else the longest.
        wanted = min(stride * max(order) + 1, max(clip.length for clip in usable))
        usable = [clip for clip in usable if clip.length >= wanted]
        made = [self._clip(rng, usable, max(order) + 1, stride, request.side) for _ in range(count)]
        images, labels = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*made, strict=True))
        return Batch(request.step, request.video, images, labels, order)

    def _clip(
        self, rng: np.random.Generator, usable: list[ClipEntry], frames: int, stride: int, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images (U, S, S, 3) and label maps (L, S, S) of a clip's window, augmented alike; stride 0: one frame, moved."""
        clip, other = (usable[rng.integers(len(usable))] for _ in range(2))
        indices = window(rng, clip, frames, stride)
        augment, cache = self.settings.augment, self.cache
        geometries = self._geometries(rng, cache.label(clip, indices[0]), frames, stride == 0, side)
        labels = [cache.label(clip, index) for index in indices if index < clip.labelled]
        if len(labels) < frames:  # what needs to know where the robot is cannot be done to the other frames
            augment = replace(augment, background=0.0, recolour_robot=0.0)
        sources = [cache.images[clip.start + index] for index in indices]
        warped = [warp(source, geometry, side) for source, geometry in zip(sources, geometries, strict=True)]
        maps = [warp_label(label, geometry, side) for label, geometry in zip(labels, geometries, strict=False)]
        shown = int(rng.integers(other.labelled))
        look = sample_look(rng, augment, side, maps[0], cache.images[other.start + shown], cache.label(other, shown))
        appearance = self._appearance(side)
        made = []
        for frame, image in enumerate(warped):
            label = maps[frame] if frame < len(maps) else None
            made.append(
                appearance.apply(rng, jittered(rng, look, augment.frame_jitter * (frame > 0)), image, label, frame)
            )
        return np.stack([image for image, _ in made]), np.stack([label for _, label in made if label is not None])

    def _geometries(
        self, rng: np.random.Generator, label: np.ndarray, frames: int, still: bool, side: int
    ) -> list[Geometry]:
        """A geometry for every frame: one for all of a clip; of a still, one that moves."""
        augment = self.settings.augment
        if still and frames > 1 and rng.random() < augment.travel:
            return travelling(rng, label, side, frames)
        if rng.random() < augment.window:
            geometries = [sample_window(rng, label, side)]
        else:
            geometries = [sample_geometry(rng, augment, label.shape[1], label.shape[0], side)]
        for _ in range(frames - 1):
            geometries.append(moved(rng, geometries[-1], side) if still else geometries[0])
        return geometries

    def _appearance(self, side: int) -> Appearance:
        if side not in self._appearances:
            self._appearances[side] = Appearance(side)
        return self._appearances[side]


def clip_order(rng: np.random.Generator, palindrome: float, distinct: int, forward: int) -> tuple[int, ...]:
    """Either 0, 1, .., n-1, .., 1, 0 (LET's palindrome) or a plain 0 .. forward-1."""
    if rng.random() < palindrome:
        return (*range(distinct), *range(distinct - 2, -1, -1))
    return tuple(range(forward))


def window(rng: np.random.Generator, clip: ClipEntry, frames: int, stride: int) -> list[int]:
    """`frames` frames of a clip, `stride` apart; a short clip repeats its last, and with stride 0 all are the same one.

    The first is a labelled one. Where all are, the window may also be played backward in time.
    """
    if stride == 0:
        return [int(rng.integers(max(1, clip.labelled)))] * frames
    stride = min(stride, max(1, (clip.length - 1) // max(1, frames - 1)))
    span = (frames - 1) * stride
    first = int(rng.integers(max(1, min(clip.labelled, clip.length - span))))
    indices = [min(first + step * stride, clip.length - 1) for step in range(frames)]
    return indices[::-1] if clip.labelled == clip.length and rng.random() < 0.5 else indices


def batch_loader(source: BatchSource, requests: Iterable[Request], workers: int) -> DataLoader:
    """Batches in the order of the requests, made ahead by `workers` processes of one thread each."""
    return DataLoader(
        source,
        batch_size=None,
        sampler=requests,
        num_workers=workers,
        prefetch_factor=3 if workers else None,
        worker_init_fn=_single_threaded,
        collate_fn=_as_is,
    )


def _as_is(batch: Any) -> Any:
    return batch


def _single_threaded(_: int) -> None:
    # Ctrl-C and service managers signal the whole group; the trainer ends its workers itself, after saving.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
