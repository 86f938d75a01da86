"""A mailbox that holds only the newest item: what nobody fetched in time is replaced and counted."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Latest(Generic[Item]):
    """One slot between a thread that puts and a thread that takes.

    Several slots may share `ready`, a condition that is notified when any of them is filled or closed: one
    thread can then wait for all of them.
    """

    def __init__(self, ready: threading.Condition | None = None) -> None:
        self._ready = ready or threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were replaced before anybody took them."""
        with self._ready:
            return self._dropped

    @property
    def filled(self) -> bool:
        """Whether an item waits."""
        with self._ready:
            return self._item is not None

    def put(self, item: Item) -> bool:
        """Leaves `item` for the taker; True if it replaced one still there. A closed slot takes nothing."""
        with self._ready:
            if self._closed:
                return False
            replaced = self._item is not None
            self._dropped += replaced
            self._item = item
            self._ready.notify_all()
            return replaced

    def take(self, timeout: float | None = 0.0) -> Item | None:
        """The newest item, waited for up to `timeout` seconds (None: for ever); None without one."""
        with self._ready:
            # A wait lets go of the lock, under which the taker may be looking at several slots.
            if timeout != 0.0:
                self._ready.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Forgets the waiting item and starts counting anew."""
        with self._ready:
            self._item = None
            self._dropped = 0

    def close(self) -> None:
        """Empties the slot for good and wakes whoever waits for it."""
        with self._ready:
            self._item = None
            self._closed = True
            self._ready.notify_all()
