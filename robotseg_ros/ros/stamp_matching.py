"""Pairs messages with the mask of their time, from buffers that never grow; whatever finds no mask is counted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Data = TypeVar("Data")
Mask = TypeVar("Mask")


@dataclass
class MatchCounts:
    """What became of the messages since the start."""

    received: int = 0
    matched: int = 0
    unmatched: int = 0  # no mask within the tolerance
    overflowed: int = 0  # thrown out of the buffer by newer ones before there was a mask
    unused_masks: int = 0  # masks for which nothing came while they were kept


class StampMatcher(Generic[Data, Mask]):
    """Gives each message a mask whose stamp is within `tolerance` of its own, in nanoseconds.

    Masks come later than the messages of their time, which wait for them; and messages may come later than their masks, of
    which the last are kept. A message goes with the nearest mask that is there when the first within the tolerance is.
    """

    def __init__(self, tolerance: int, capacity: int) -> None:
        self.tolerance = tolerance
        self.counts = MatchCounts()
        self.nearest_miss: int | None = (
            None  # from the last message without a mask to the nearest one, if it had a stamp
        )
        self._waiting: deque[tuple[int, Data]] = deque()
        self._masks: deque[tuple[int, Mask]] = deque()
        self._used: set[int] = set()
        self._capacity = capacity

    def add(self, stamp: int, data: Data) -> None:
        """A message has come. One without a stamp (0) has no mask."""
        self.counts.received += 1
        if stamp == 0:
            self._miss(None)
            return
        self._waiting.append((stamp, data))
        if len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self.counts.overflowed += 1

    def add_mask(self, stamp: int, mask: Mask) -> None:
        """A mask has been made. Masks come in the order of their stamps; one that goes back in time starts all anew."""
        if self._masks and stamp < self._masks[-1][0]:
            self.clear()
        self._masks.append((stamp, mask))
        if len(self._masks) > self._capacity:
            old, _ = self._masks.popleft()
            self.counts.unused_masks += old not in self._used
            self._used.discard(old)

    def take(self) -> tuple[Data, Mask] | None:
        """The oldest message that has its mask, or None. Those that no mask can come for any more are dropped."""
        early: list[tuple[int, Data]] = []
        found = None
        while self._waiting and found is None:
            stamp, data = self._waiting.popleft()
            near = min(self._masks, key=lambda mask: abs(mask[0] - stamp), default=None)
            if near is not None and abs(near[0] - stamp) <= self.tolerance:
                self.counts.matched += 1
                self._used.add(near[0])
                found = data, near[1]
            elif near is not None and self._masks[-1][0] > stamp:  # later masks are still farther away
                self._miss(abs(near[0] - stamp))
            else:
                early.append((stamp, data))
        self._waiting.extendleft(reversed(early))
        return found

    def _miss(self, distance: int | None) -> None:
        self.counts.unmatched += 1
        self.nearest_miss = distance

    def clear(self) -> None:
        """Forgets what waits and what is kept; the messages that waited count as unmatched."""
        self.counts.unmatched += len(self._waiting)
        self._waiting.clear()
        self._masks.clear()
        self._used.clear()
