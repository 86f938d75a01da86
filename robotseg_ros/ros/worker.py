"""The inference thread: works on the newest frame of each stream in turn, and on calls between frames.

All work on segmenters happens here, so they need no locks, and at most one frame is in work whatever arrives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from .latest import Latest

Result = TypeVar("Result")


class Stream(Protocol):
    """What the thread serves: a slot and what to do with an item from it."""

    @property
    def latest(self) -> Latest[Any]:
        """The slot, made with the worker's `ready`."""

    def process(self, item: Any) -> None:
        """Works on one item of the slot."""


class Worker:
    """One thread for any number of streams. None of them starves: the one served last is asked last."""

    def __init__(self, on_crash: Callable[[Exception], None], name: str = "inference") -> None:
        """`on_crash` is told of an exception that `process` let out; the thread goes on."""
        self.ready = threading.Condition()
        self._streams: deque[Stream] = deque()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._on_crash = on_crash
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to take calls."""
        self._thread.start()

    def serve(self, stream: Stream) -> None:
        """Begins to work on what comes into the slot of `stream`."""
        with self.ready:
            self._streams.append(stream)
            self.ready.notify_all()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Has `function` run in the thread before the next frame; its result or exception is in the future.

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
        """Ends the thread after the frame in work; False if that takes longer than `timeout` seconds."""
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
                for stream in tuple(self._streams):
                    item = stream.latest.take()
                    if item is not None:
                        self._streams.remove(stream)
                        self._streams.append(stream)
                        return partial(stream.process, item)
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
