"""Clips decoded once into two flat memory-mapped files, so that training reads frames without decoding any."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..dataset.clip import ClipError
from ..dataset.folders import list_clips, vrs_clip

log = logging.getLogger(__name__)

ARM, GRIPPER, ROBOT = 1, 2, 3
PAINT_ORDER = (("robot", ROBOT), ("arm", ARM), ("gripper", GRIPPER))  # later ones win
SETTLED_SECONDS = 5.0  # a clip touched more recently may still be in the making


@dataclass(frozen=True)
class ClipEntry:
    """One clip's place in the cache: frames `start` to `start + length`."""

    name: str
    start: int
    length: int


class ClipCache:
    """Frames (F, H, W, 3) uint8 RGB and label maps (F, H, W) uint8.

    Labels: 0 background, 1 arm, 2 gripper, 3 robot of no known part.

    The index is written last and replaced atomically: a packing that was killed leaves the cache as it was.
    """

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.folder, self.width, self.height = folder, width, height
        self.clips: list[ClipEntry] = []
        self._refused: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self.reload()

    def reload(self) -> None:
        """Takes in what another process has packed. Raises ClipError when the cache is of another size."""
        width, height = self.width, self.height
        if self._index_file.exists():
            index = json.loads(self._index_file.read_text())
            if (index["width"], index["height"]) != (width, height):
                raise ClipError(f"{self.folder}: packed at {index['width']}x{index['height']}, wanted {width}x{height}")
            self.clips = [ClipEntry(*entry) for entry in index["clips"]]
        self._map()

    @property
    def _index_file(self) -> Path:
        return self.folder / "index.json"

    @property
    def frame_count(self) -> int:
        return self.clips[-1].start + self.clips[-1].length if self.clips else 0

    def __len__(self) -> int:
        return len(self.clips)

    def extend(self, source: Path, limit: int | None = None) -> int:
        """Pack the clips of a VRS folder that are complete and not packed yet; returns how many were added."""
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs may share a cache
            self.reload()
            return self._extend(source, limit)

    def _extend(self, source: Path, limit: int | None) -> int:
        known = {clip.name for clip in self.clips}
        added: list[ClipEntry] = []
        count = self.frame_count
        with open(self._cut("frames.rgb", 3), "ab") as frames, open(self._cut("labels.u8", 1), "ab") as labels:
            for name in _settled_clips(source, known | self._refused):
                if limit is not None and len(known) + len(added) >= limit:
                    break
                try:
                    images, maps = read_clip(source, name, self.width, self.height)
                except ClipError as error:
                    log.warning("skipped: %s", error)
                    self._refused.add(name)
                    continue
                images.tofile(frames)
                maps.tofile(labels)
                added.append(ClipEntry(name, count, len(images)))
                count += len(images)
        if added:
            self.clips.extend(added)
            self._write_index()
            self._map()
        return len(added)

    def _cut(self, name: str, channels: int) -> Path:
        """The file, without what lies behind the index: that is from a packing that did not finish."""
        path = self.folder / name
        path.touch()
        os.truncate(path, self.frame_count * self.height * self.width * channels)
        return path

    def _write_index(self) -> None:
        tree = {"width": self.width, "height": self.height}
        tree["clips"] = [[clip.name, clip.start, clip.length] for clip in self.clips]  # type: ignore[assignment]
        partial = self._index_file.with_suffix(".partial")
        partial.write_text(json.dumps(tree))
        partial.replace(self._index_file)

    def _map(self) -> None:
        count, size = self.frame_count, (self.height, self.width)
        if count == 0:
            self.images = np.empty((0, *size, 3), np.uint8)
            self.labels = np.empty((0, *size), np.uint8)
            return
        self.images = np.memmap(self.folder / "frames.rgb", np.uint8, "r", shape=(count, *size, 3))
        self.labels = np.memmap(self.folder / "labels.u8", np.uint8, "r", shape=(count, *size))


def _settled_clips(source: Path, skip: set[str]) -> Iterator[str]:
    now = time.time()
    for name in list_clips(source):
        masks = source / "mask_gt" / name
        if name in skip or name.startswith(".") or not masks.is_dir():
            continue
        touched = max(path.stat().st_mtime for path in (source / "image" / name, *masks.iterdir()))
        if now - touched > SETTLED_SECONDS:
            yield name


def read_clip(source: Path, name: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (T, height, width, 3) and label maps (T, height, width) of one clip in VRS's layout. Raises ClipError."""
    frames = list(vrs_clip(source, name))
    images = np.empty((len(frames), height, width, 3), np.uint8)
    labels = np.zeros((len(frames), height, width), np.uint8)
    for index, frame in enumerate(frames):
        if frame.masks is None:
            raise ClipError(f"{source / 'mask_gt' / name}: frame {frame.stem} has no mask; training needs one each")
        shrink = cv2.INTER_AREA if frame.image.shape[1] > width else cv2.INTER_LINEAR
        images[index] = cv2.resize(frame.image, (width, height), interpolation=shrink)
        for part, label in PAINT_ORDER:
            if part in frame.masks:
                mask = frame.masks[part].astype(np.uint8)
                labels[index][cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0] = label
    return images, labels
