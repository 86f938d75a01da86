"""What happened to one camera's frames since it was activated: counters, rates and latencies."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

WINDOW_S = 5.0
LATENCIES_KEPT = 200
ARRIVALS_KEPT = 1000


@dataclass
class Counts:
    """Numbers of frames since activation."""

    received: int = 0
    processed: int = 0
    rejected: int = 0  # could not be read
    failed: int = 0  # the network raised
    resets: int = 0
    paused: int = 0  # arrived while paused


@dataclass
class StreamStatistics:
    """Fed by the executor's and the inference thread, read by diagnostics; every method takes the lock."""

    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._started = self.clock()
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS_KEPT)
        self._outputs: deque[float] = deque(maxlen=ARRIVALS_KEPT)
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._batches: deque[int] = deque(maxlen=LATENCIES_KEPT)

    def restart(self) -> None:
        """Counts from zero, as at activation."""
        with self._lock:
            self.counts = Counts()
            self._started = self.clock()
            for window in (self._arrivals, self._outputs, self._latencies, self._batches):
                window.clear()

    def arrived(self, paused: bool) -> float:
        """Counts an arrival; its time on the statistics' clock, in seconds."""
        now = self.clock()
        with self._lock:
            self.counts.paused += paused
            self.counts.received += not paused
            self._arrivals.append(now)
        return now

    def add(self, counter: str) -> None:
        """Counts one more of `counter`, a field of `Counts`."""
        with self._lock:
            setattr(self.counts, counter, getattr(self.counts, counter) + 1)

    def published(self, received: float, batch: int = 1) -> float:
        """Counts a processed frame that arrived at `received` and shared its call of the network with others, `batch` in
        all; its latency in milliseconds."""
        now = self.clock()
        latency = (now - received) * 1e3
        with self._lock:
            self.counts.processed += 1
            self._outputs.append(now)
            self._latencies.append(latency)
            self._batches.append(batch)
        return latency

    def rates(self) -> tuple[float, float]:
        """Frames per second that came in and went out in the last seconds."""
        with self._lock:
            now = self.clock()
            since = max(now - WINDOW_S, self._started)
            span = max(now - since, 1e-3)
            return tuple(sum(t >= since for t in times) / span for times in (self._arrivals, self._outputs))  # type: ignore[return-value]

    @property
    def settled(self) -> bool:
        """Whether the rates are those of a whole window, and not of a start."""
        with self._lock:
            return self.clock() - self._started >= WINDOW_S

    def latencies(self) -> tuple[float, float]:
        """Median and 95th percentile of the last latencies in milliseconds; NaN when there are none."""
        with self._lock:
            recent = list(self._latencies)
        if not recent:
            return float("nan"), float("nan")
        median, high = np.percentile(recent, [50, 95])
        return float(median), float(high)

    def batch(self) -> float:
        """Mean number of cameras that shared a call of the network with a frame of this one; NaN when there are none."""
        with self._lock:
            return sum(self._batches) / len(self._batches) if self._batches else float("nan")

    def silence(self) -> float:
        """Seconds since the last arrival, or since activation when there was none."""
        with self._lock:
            return self.clock() - (self._arrivals[-1] if self._arrivals else self._started)
