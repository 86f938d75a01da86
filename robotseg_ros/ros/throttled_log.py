"""Log messages that could repeat at every frame: each kind is logged at once, then only now and then."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

# What varies between messages of one kind: numbers and quoted names.
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+|-?\d+(\.\d+)?")
_MOST_KINDS = 100


class ThrottledLog:
    """Logs through a node's logger; a message like one of the last `period` seconds is only counted."""

    def __init__(self, logger: Any, period: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        # By kind: when it was logged, and how many were held back since.
        self._last: dict[str, tuple[float, int]] = {}

    def error(self, message: str) -> None:
        """Logs an error, or counts it."""
        if (text := self._due(message)) is not None:
            self._logger.error(text)

    def warning(self, message: str) -> None:
        """Logs a warning, or counts it."""
        if (text := self._due(message)) is not None:
            self._logger.warning(text)

    def _due(self, message: str) -> str | None:
        """The text to log now, with the number held back since the last of its kind; None to hold it back."""
        kind = _VARYING.sub("", message)
        now = self._clock()
        with self._lock:
            logged, held_back = self._last.get(kind, (-float("inf"), 0))
            if now - logged < self._period:
                self._last[kind] = (logged, held_back + 1)
                return None
            if len(self._last) >= _MOST_KINDS:
                self._last.clear()  # garbage can make endless kinds of messages
            self._last[kind] = (now, 0)
        return f"{message} ({held_back} more like this before)" if held_back else message
