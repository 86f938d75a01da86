"""The inference thread: frames of all streams in turn, calls between frames, no end by a crash."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from robotseg_ros.ros.latest import Latest
from robotseg_ros.ros.worker import Worker

WAIT_S = 20.0


class Recorder:
    """A stream that notes what it works on, and waits for leave where it is given a gate."""

    def __init__(self, worker: Worker, done: list[str], name: str = "", gate: threading.Semaphore | None = None):
        self.latest: Latest[str] = Latest(worker.ready)
        self._done, self._name, self._gate = done, name, gate

    def process(self, item: str) -> None:
        if self._gate is not None:
            self._gate.acquire(timeout=WAIT_S)
        if item == "bad":
            raise RuntimeError("a bad item")
        self._done.append(self._name + item)


@pytest.fixture
def crashes():
    return []


@pytest.fixture
def worker(crashes):
    worker = Worker(crashes.append)
    worker.start()
    yield worker
    assert worker.stop(WAIT_S)


def idle(worker):
    """Waits until the frame in work is done: calls come before frames, but after the one in work."""
    for _ in range(3):
        worker.call(lambda: None).result(WAIT_S)


def test_only_the_newest_item_is_worked_on(worker):
    done, gate = [], threading.Semaphore(0)
    stream = Recorder(worker, done, gate=gate)
    worker.serve(stream)
    stream.latest.put("0")
    while stream.latest.filled:
        pass
    for n in range(1, 6):
        stream.latest.put(str(n))
    gate.release(2)
    while stream.latest.filled:
        pass
    idle(worker)
    assert done == ["0", "5"]
    assert stream.latest.dropped == 4


def test_a_busy_stream_does_not_starve_another(worker):
    done, gate = [], threading.Semaphore(0)
    fast, slow = (Recorder(worker, done, name, gate) for name in ("fast", "slow"))
    worker.serve(fast)
    worker.serve(slow)
    fast.latest.put("0")
    while fast.latest.filled:
        pass
    for n in range(1, 4):  # the fast one always has a new item when the thread asks
        fast.latest.put(str(n))
        slow.latest.put(str(n))
        for _ in range(2):
            fast.latest.put(str(n))
            count = len(done)
            gate.release()
            while len(done) == count:
                pass
    assert {name[:4] for name in done[1:3]} == {"slow", "fast"}
    gate.release(10)


def test_calls_run_in_the_thread_and_give_results_and_exceptions(worker):
    assert worker.call(threading.current_thread).result(WAIT_S).name == "inference"
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0).result(WAIT_S)


def test_a_crash_is_reported_and_the_next_item_worked_on(worker, crashes):
    done = []
    stream = Recorder(worker, done)
    worker.serve(stream)
    stream.latest.put("bad")
    while not crashes:
        pass
    stream.latest.put("good")
    while not done:
        pass
    assert done == ["good"]
    assert str(crashes[0]) == "a bad item"


def test_calls_after_the_end_are_cancelled():
    worker = Worker(lambda error: None)
    worker.start()
    assert worker.stop(WAIT_S)
    with pytest.raises(CancelledError):
        worker.call(lambda: None).result(WAIT_S)
