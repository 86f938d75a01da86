"""What every source of frames gives: a lazy, named clip of RGB frames, with true masks where it has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

OnBad = Literal["raise", "skip"]
"""What to do with a frame that cannot be read: refuse the clip, or leave the frame out, named and counted."""

PART_FOLDERS: dict[str, str] = {"arm": "000", "gripper": "001", "robot": "002"}
"""VRS's names for the mask folders of each part."""

_Read = TypeVar("_Read")


class ClipError(ValueError):
    """A source of frames that cannot be used; the message names it, what is wrong and what would be right."""


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    `index` is its place in the source (skipped frames leave gaps), `stamp_ns` its time in nanoseconds,
    `image` RGB uint8 (H, W, 3), `masks` the true masks, bool (H, W), of those parts that have one, or None.
    """

    index: int
    stamp_ns: int
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.bool_]] | None = None
    name: str = ""

    @property
    def stem(self) -> str:
        """Name for files made of this frame: the source's own, else its index in five digits."""
        return self.name or f"{self.index:05d}"


@dataclass(frozen=True)
class BadFrame:
    """A frame that was left out, and why."""

    index: int
    reason: str


@dataclass
class BadFrames:
    """Decides about unreadable frames and keeps account of those left out in the current pass over a clip."""

    clip: str
    on_bad: OnBad
    found: list[BadFrame] = field(default_factory=list)

    def read(self, index: int, reader: Callable[[], _Read]) -> _Read | None:
        """Result of `reader`, or None when it raised ClipError and bad frames are skipped."""
        try:
            return reader()
        except ClipError as error:
            self.add(index, str(error))
            return None

    def add(self, index: int, reason: str) -> None:
        """Records a bad frame with a warning; raises ClipError when bad frames are refused."""
        if self.on_bad == "raise":
            raise ClipError(f"{self.clip}: frame {index}: {reason}")
        if not self.found:
            logger.warning("%s: frame %d left out: %s (more are only counted)", self.clip, index, reason)
        self.found.append(BadFrame(index, reason))

    def require_good(self, good: int) -> None:
        """Raises ClipError when a finished pass gave no frame at all."""
        if good == 0 and self.found:
            first = self.found[0]
            raise ClipError(
                f"{self.clip}: none of {len(self.found)} frames can be read; frame {first.index}: {first.reason}"
            )


class Clip(Protocol):
    """A named sequence of frames that are read only when asked for; every pass opens the source anew.

    `len` is the number of frames the source says it has; the unreadable ones are in `skipped` after a pass.
    """

    @property
    def name(self) -> str:
        """Name for folders made of this clip."""

    @property
    def fps(self) -> float:
        """Frames per second, nominal or measured."""

    @property
    def skipped(self) -> list[BadFrame]:
        """Frames left out by the latest pass."""

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[Frame]:
        """The readable frames among the source's frames start, …, start + count - 1 (None: to the end).

        Raises ClipError for a bad frame where these are refused, and always when no frame can be read.
        """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...
