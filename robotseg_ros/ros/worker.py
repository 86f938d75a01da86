"""A thread that works on what waits at several sources, a round at a time, and on calls between rounds.

All work on segmenters happens in one such thread, so they need no locks, and at most one round is in work whatever
arrives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Source(Protocol):
    """What the thread serves. Whoever leaves something there notifies the worker's `ready`."""

    def take(self) -> Any | None:
        """What is next, or None; called with `ready` held, and does not wait."""


class Worker:
    """One thread for any number of sources. Every round has one item of each source where something waits, so that none
    starves another, however fast that one is."""

    def __init__(
        self,
        work: Callable[[Sequence[tuple[Any, Any]]], None],
        on_crash: Callable[[Exception], None],
        name: str = "inference",
    ) -> None:
        """`work` gets a round of (source, item). `on_crash` is told of an exception that it lets out; the thread goes on."""
        self.ready = threading.Condition()
        self._work = work
        self._sources: list[Source] = []
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._on_crash = on_crash
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to take calls."""
        self._thread.start()

    def serve(self, source: Source) -> None:
        """Begins to work on what waits at `source`."""
        with self.ready:
            self._sources.append(source)
            self.ready.notify_all()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Has `function` run in the thread before the next round; its result or exception is in the future.

        The future is cancelled where the thread has ended or ends first.
        """
        future: Future[Result] = Future()
        with self.ready:
            if self._stopping:
                future.cancel()
            else:
                self._calls.append((future, function))
                self.ready.notify_all()
        return future

    def stop(self, timeout: float) -> bool:
        """Ends the thread after the round in work; False if that takes longer than `timeout` seconds."""
        with self.ready:
            self._stopping = True
            while self._calls:
                self._calls.popleft()[0].cancel()
            self.ready.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception as error:
                self._on_crash(error)

    def _next(self) -> Callable[[], None] | None:
        """Waits for the next thing to do; None when the thread is to end."""
        with self.ready:
            while not self._stopping:
                if self._calls:
                    return partial(_answer, *self._calls.popleft())
                waiting = [(source, item) for source in self._sources if (item := source.take()) is not None]
                if waiting:
                    return partial(self._work, waiting)
                self.ready.wait()
        return None


def _answer(future: Future[Any], function: Callable[[], Any]) -> None:
    """Runs one call and leaves what it gives, also an exception, in its future."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
