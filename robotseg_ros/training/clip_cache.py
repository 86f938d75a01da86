"""Clips decoded once into two flat memory-mapped files, so that training reads frames without decoding any."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np

from ..dataset.clip import ClipError, Frame
from ..dataset.folders import clip_place, list_clips, named_clip

log = logging.getLogger(__name__)

ARM, GRIPPER, ROBOT = 1, 2, 3
PAINT_ORDER = (("robot", ROBOT), ("arm", ARM), ("gripper", GRIPPER))  # later ones win
SETTLED_SECONDS = 5.0  # a clip touched more recently may still be in the making


@dataclass(frozen=True)
class ClipEntry:
    """One clip's place in the cache: frames `start` to `start + length`, the first `labelled` of which have label maps,
    from `label_start` on."""

    name: str
    start: int
    length: int
    label_start: int
    labelled: int


class ClipCache:
    """Frames (F, H, W, 3) uint8 RGB and label maps (L, H, W) uint8 of the first `labelled` frames of each clip (None: all).

    Labels: 0 background, 1 arm, 2 gripper, 3 robot of no known part. Masks of later frames are not read at all.

    The index is written last and replaced atomically: a packing that was killed leaves the cache as it was.
    """

    def __init__(self, folder: Path, width: int, height: int, labelled: int | None = None) -> None:
        self.folder, self.width, self.height, self.labelled = folder, width, height, labelled
        self.clips: list[ClipEntry] = []
        self._refused: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self.reload()

    def reload(self) -> None:
        """Takes in what another process has packed. Raises ClipError when the cache is of another size, or damaged."""
        if self._index_file.exists():
            try:
                index = json.loads(self._index_file.read_text())
            except ValueError as error:
                raise _damaged(self._index_file, error) from error
            packed = {key: value for key, value in index.items() if key != "clips"}
            if packed != self._form:
                raise ClipError(f"{self.folder}: packed as {packed}, wanted {self._form}; name another cache folder")
            self.clips = [ClipEntry(*entry) for entry in index["clips"]]
        self._map()

    @property
    def _form(self) -> dict[str, int | None]:
        return {"width": self.width, "height": self.height, "labelled": self.labelled}

    @property
    def _index_file(self) -> Path:
        return self.folder / "index.json"

    @property
    def frame_count(self) -> int:
        return self.clips[-1].start + self.clips[-1].length if self.clips else 0

    @property
    def label_count(self) -> int:
        return self.clips[-1].label_start + self.clips[-1].labelled if self.clips else 0

    def __len__(self) -> int:
        return len(self.clips)

    def label(self, clip: ClipEntry, frame: int) -> np.ndarray:
        """Label map of a clip's frame; raises IndexError where the clip's labels end."""
        if not 0 <= frame < clip.labelled:
            raise IndexError(f"{clip.name}: frame {frame} has no labels, only its first {clip.labelled} have")
        return self.labels[clip.label_start + frame]

    def extend(self, source: Path, limit: int | None = None) -> int:
        """Pack the clips of a VRS folder that are complete and not packed yet; returns how many were added."""
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may share a cache
            self.reload()
            return self._extend(source, limit)

    def _extend(self, source: Path, limit: int | None) -> int:
        known = {clip.name for clip in self.clips}
        added: list[ClipEntry] = []
        count, maps_count = self.frame_count, self.label_count
        frames_file = self._cut("frames.rgb", 3 * self.frame_count)
        with open(frames_file, "ab") as frames, open(self._cut("labels.u8", maps_count), "ab") as labels:
            for name in _settled_clips(source, known | self._refused):
                if limit is not None and len(known) + len(added) >= limit:
                    break
                try:
                    images, maps = read_clip(source, name, self.width, self.height, self.labelled)
                except ClipError as error:
                    log.warning("skipped: %s", error)
                    self._refused.add(name)
                    continue
                images.tofile(frames)
                maps.tofile(labels)
                added.append(ClipEntry(name, count, len(images), maps_count, len(maps)))
                count, maps_count = count + len(images), maps_count + len(maps)
        if added:
            self.clips.extend(added)
            self._write_index()
            self._map()
        return len(added)

    def _cut(self, name: str, planes: int) -> Path:
        """The file, without what lies behind the index: that is from a packing that did not finish."""
        path = self.folder / name
        path.touch()
        os.truncate(path, self.height * self.width * planes)
        return path

    def _write_index(self) -> None:
        tree = {**self._form, "clips": [list(astuple(clip)) for clip in self.clips]}
        partial = self._index_file.with_suffix(".partial")
        partial.write_text(json.dumps(tree))
        partial.replace(self._index_file)

    def _map(self) -> None:
        size = (self.height, self.width)
        self.images = _mapped(self.folder / "frames.rgb", (self.frame_count, *size, 3))
        self.labels = _mapped(self.folder / "labels.u8", (self.label_count, *size))


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A file's bytes as an array; nothing can be mapped where there is nothing."""
    if shape[0] == 0:
        return np.empty(shape, np.uint8)
    try:
        return np.memmap(path, np.uint8, "r", shape=shape)
    except (OSError, ValueError) as error:  # no file, or one that is too short
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ClipError:
    return ClipError(f"{path}: the cache is damaged ({error}); delete {path.parent}, it is made anew")


def _settled_clips(source: Path, skip: set[str]) -> Iterator[str]:
    now = time.time()
    for name in list_clips(source):
        place = clip_place(source, name)
        if name in skip:
            continue
        if place.masks is None:
            log.warning("left out: clip %s of %s has no masks of arm and gripper", name, source)
            continue
        touched = max(path.stat().st_mtime for path in (place.images, *place.masks.iterdir()))
        if now - touched > SETTLED_SECONDS:
            yield name


def read_clip(
    source: Path, name: str, width: int, height: int, labelled: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images (T, height, width, 3) of one clip of a dataset and label maps (L, height, width) of its first `labelled`
    frames (None: of all). Raises ClipError, also where the masks know no arm and gripper."""
    clip = named_clip(source, name, labelled=labelled)
    if not {"arm", "gripper"} <= set(clip.parts):
        parts = ", ".join(clip.parts) or "no part"
        raise ClipError(f"{source / name}: has masks of {parts}; training needs arm and gripper told apart")
    frames = list(clip)
    count = len(frames) if labelled is None else min(labelled, len(frames))
    images = np.empty((len(frames), height, width, 3), np.uint8)
    labels = np.zeros((count, height, width), np.uint8)
    for index, frame in enumerate(frames):
        shrink = cv2.INTER_AREA if frame.image.shape[1] > width else cv2.INTER_LINEAR
        images[index] = cv2.resize(frame.image, (width, height), interpolation=shrink)
        if index < count:
            _paint(labels[index], frame, source / name)
    return images, labels


def _paint(label: np.ndarray, frame: Frame, where: Path) -> None:
    if frame.masks is None:
        raise ClipError(f"{where}: frame {frame.stem} has no mask; training needs one for each labelled frame")
    for part, value in PAINT_ORDER:
        if part in frame.masks:
            mask = frame.masks[part].astype(np.uint8)
            label[cv2.resize(mask, label.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0] = value
