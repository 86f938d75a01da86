"""True masks from a folder for a clip that has none: a bag as it was recorded, a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .clip import BadFrame, Clip, ClipError, Frame
from .masks import PartFolders, read_masks


class TruthClip:
    """A clip with the true masks of a folder: `<folder>/<part>/<frame>.png`, or the same below `<folder>/<clip>`.

    Parts are called as in VRS or by name; a frame by its name (00000 is the first, as `robotseg segment` writes it) or its
    stamp in nanoseconds. A frame without a file has no truth. Raises ClipError for a folder that is none, and in a pass
    over the clip for a mask of another size, and where no mask belongs to any frame.
    """

    def __init__(self, clip: Clip, folder: Path) -> None:
        if not folder.is_dir():
            raise ClipError(f"{folder}: no such folder of true masks")
        own = folder / clip.name
        self.clip, self.masks = clip, PartFolders(own if own.is_dir() else folder)
        if not self.masks.parts:
            raise ClipError(f"{self.masks.where}: {PartFolders.NONE}")
        self.parts = self.masks.parts

    @property
    def name(self) -> str:
        """As `Clip.name`."""
        return self.clip.name

    @property
    def fps(self) -> float:
        """As `Clip.fps`."""
        return self.clip.fps

    @property
    def skipped(self) -> list[BadFrame]:
        """As `Clip.skipped`."""
        return self.clip.skipped

    def __len__(self) -> int:
        return len(self.clip)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[Frame]:
        """As `Clip.frames`."""
        found, last = False, None
        for frame in self.clip.frames(start, count):
            masks = read_masks(self.masks, frame.stem, frame.image) or read_masks(
                self.masks, str(frame.stamp_ns), frame.image
            )
            found, last = found or masks is not None, frame
            yield replace(frame, masks=masks)
        if last is not None and not found:
            raise ClipError(
                f"{self.masks.where}: no mask belongs to a frame of {self.name}; masks are called as frames are, such as "
                f"{last.stem}.png, or by the stamp, such as {last.stamp_ns}.png"
            )
