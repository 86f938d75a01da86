"""The inference thread: rounds of all sources, calls between rounds, no end by a crash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from robotseg_ros.ros.latest import Latest
from robotseg_ros.ros.worker import Worker

WAIT_S = 20.0


class Slot:
    """A camera's mailbox under a name."""

    def __init__(self, worker: Worker, name: str = ""):
        self.latest: Latest[int] = Latest(worker.ready)
        self.name = name
        worker.serve(self)

    def take(self) -> int | None:
        return self.latest.take()


class Log:
    """Notes the rounds; `during` runs in each, in the thread."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, int]] = []
        self.during: Callable[[], Any] = lambda: None

    def work(self, waiting: Any) -> None:
        self.rounds.append({slot.name: item for slot, item in waiting})
        self.during()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def crashes() -> list[Exception]:
    return []


@pytest.fixture
def worker(log: Log, crashes: list[Exception]) -> Iterator[Worker]:
    worker = Worker(log.work, crashes.append)
    yield worker
    assert worker.stop(WAIT_S)


def test_only_the_newest_item_is_worked_on(worker, log):
    slot, done = Slot(worker), threading.Event()
    log.during = done.set
    for n in range(6):
        slot.latest.put(n)
    worker.start()
    assert done.wait(WAIT_S)
    assert log.rounds == [{"": 5}]
    assert slot.latest.dropped == 5


def test_what_waits_at_all_sources_is_one_round(worker, log):
    left, right, silent = (Slot(worker, name) for name in ("left", "right", "silent"))
    done = threading.Event()
    log.during = done.set
    with worker.ready:
        left.latest.put(1)
        right.latest.put(2)
        worker.start()
    assert done.wait(WAIT_S)
    assert log.rounds == [{"left": 1, "right": 2}]
    assert silent.latest.dropped == 0


def test_a_camera_of_60_hz_and_one_of_5_hz_get_what_they_need(worker, log):
    """On a clock of the test's own, in steps of 1/60 s: a round takes 3, the slow camera has an image every 12th."""
    fast, slow = Slot(worker, "fast"), Slot(worker, "slow")
    clock, done = [0], threading.Event()

    def tick() -> None:
        clock[0] += 1
        fast.latest.put(clock[0])
        if clock[0] % 12 == 0:
            slow.latest.put(clock[0])

    def pass_time() -> None:
        for _ in range(3):
            tick()
        if clock[0] > 600:
            log.during = done.set

    log.during = pass_time
    with worker.ready:
        tick()
        worker.start()
    assert done.wait(WAIT_S)
    fast_images = [items["fast"] for items in log.rounds]
    slow_images = [items["slow"] for items in log.rounds if "slow" in items]
    assert slow.latest.dropped == 0 and slow_images == list(range(12, 601, 12))
    assert fast_images == list(range(1, 602, 3))  # in every round, and always the newest


def test_calls_run_in_the_thread_and_give_results_and_exceptions(worker):
    worker.start()
    assert worker.call(threading.current_thread).result(WAIT_S).name == "inference"
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0).result(WAIT_S)


def test_a_crash_is_reported_and_the_next_item_worked_on(worker, log, crashes):
    slot, done = Slot(worker), threading.Event()

    def crash() -> None:
        log.during = done.set
        slot.latest.put(2)
        raise RuntimeError("a bad item")

    log.during = crash
    slot.latest.put(1)
    worker.start()
    assert done.wait(WAIT_S)
    assert log.rounds == [{"": 1}, {"": 2}]
    assert str(crashes[0]) == "a bad item"


def test_calls_after_the_end_are_cancelled(worker):
    worker.start()
    assert worker.stop(WAIT_S)
    with pytest.raises(CancelledError):
        worker.call(lambda: None).result(WAIT_S)
