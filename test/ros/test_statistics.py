"""Counters, rates and latencies of a stream."""

from __future__ import annotations

import math

import pytest

from robotseg_ros.ros.statistics import WINDOW_S, StreamStatistics


class Clock:
    """A clock that stands still unless told."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def test_rates_are_of_the_last_seconds_and_latencies_of_the_last_frames():
    clock = Clock()
    statistics = StreamStatistics(clock)
    for _ in range(200):  # 20 s of 10 Hz, of which every second frame is processed, 40 ms late
        clock.now += 0.1
        received = statistics.arrived(paused=False)
        if statistics.counts.received % 2:
            clock.now += 0.04
            assert statistics.published(received) == pytest.approx(40.0)
            clock.now -= 0.04
    rate_in, rate_out = statistics.rates()
    assert rate_in == pytest.approx(10.0, rel=0.05)
    assert rate_out == pytest.approx(5.0, rel=0.05)
    assert statistics.latencies() == pytest.approx((40.0, 40.0))
    assert (statistics.counts.received, statistics.counts.processed) == (200, 100)


def test_without_frames_there_is_no_latency_and_silence_since_the_start():
    clock = Clock()
    statistics = StreamStatistics(clock)
    clock.now += 4.0
    assert statistics.rates() == (0.0, 0.0)
    assert all(math.isnan(value) for value in statistics.latencies())
    assert statistics.silence() == 4.0
    statistics.arrived(paused=True)
    assert statistics.silence() == 0.0
    assert (statistics.counts.received, statistics.counts.paused) == (0, 1)


def test_restart_counts_from_zero():
    statistics = StreamStatistics(Clock())
    statistics.published(statistics.arrived(paused=False))
    statistics.add("rejected")
    statistics.restart()
    assert statistics.counts.received == statistics.counts.rejected == 0
    assert statistics.rates() == (0.0, 0.0)


def test_rates_are_settled_a_window_after_the_start():
    clock = Clock()
    statistics = StreamStatistics(clock)
    assert not statistics.settled
    clock.now += WINDOW_S
    assert statistics.settled
    statistics.restart()
    assert not statistics.settled
