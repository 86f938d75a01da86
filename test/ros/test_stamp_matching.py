"""Messages find the mask of their time whichever comes first, and none is lost without being counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotseg_ros.ros.stamp_matching import StampMatcher


def taken(matcher: StampMatcher[str, str]) -> list[tuple[str, str]]:
    found = []
    while (pair := matcher.take()) is not None:
        found.append(pair)
    return found


@pytest.fixture
def matcher() -> StampMatcher[str, str]:
    return StampMatcher(tolerance=10, capacity=4)


def test_a_message_waits_for_its_mask(matcher):
    matcher.add(100, "d")
    assert taken(matcher) == []
    matcher.add_mask(60, "too early")
    assert taken(matcher) == []
    matcher.add_mask(95, "m")
    assert taken(matcher) == [("d", "m")]


def test_a_message_that_comes_after_its_mask_finds_it(matcher):
    matcher.add_mask(100, "m")
    matcher.add_mask(133, "n")
    matcher.add(102, "late")
    assert taken(matcher) == [("late", "m")]


def test_one_mask_serves_all_messages_of_its_time_and_the_nearest_mask_is_taken(matcher):
    for stamp in (96, 100, 104):
        matcher.add(stamp, str(stamp))
    matcher.add_mask(97, "m")
    matcher.add_mask(105, "n")
    assert taken(matcher) == [("96", "m"), ("100", "m"), ("104", "n")]


def test_what_finds_no_mask_is_dropped_once_later_masks_come_and_counted_with_its_distance(matcher):
    matcher.add(100, "d")
    matcher.add_mask(85, "m")
    assert taken(matcher) == [] and matcher.counts.unmatched == 0
    matcher.add_mask(120, "n")
    assert taken(matcher) == []
    assert (matcher.counts.unmatched, matcher.nearest_miss) == (1, 15)


def test_messages_keep_their_order(matcher):
    for stamp in (100, 200, 300):
        matcher.add(stamp, str(stamp))
    matcher.add_mask(200, "m")
    assert taken(matcher) == [("200", "m")]
    matcher.add(400, "400")
    matcher.add_mask(300, "n")
    matcher.add_mask(400, "o")
    assert taken(matcher) == [("300", "n"), ("400", "o")]


def test_the_oldest_go_when_too_many_wait(matcher):
    for stamp in range(100, 700, 100):
        matcher.add(stamp, str(stamp))
    matcher.add_mask(600, "m")
    assert taken(matcher) == [("600", "m")]
    assert (matcher.counts.overflowed, matcher.counts.unmatched) == (2, 3)


def test_masks_for_which_nothing_comes_are_counted(matcher):
    for stamp in range(100, 800, 100):
        matcher.add_mask(stamp, "m")
    assert matcher.counts.unused_masks == 3


def test_a_message_without_a_stamp_has_no_mask(matcher):
    matcher.add_mask(5, "m")
    matcher.add(0, "d")
    assert taken(matcher) == [] and matcher.counts.unmatched == 1


def test_time_going_back_starts_anew(matcher):
    matcher.add_mask(1000, "m")
    matcher.add(1200, "d")
    matcher.add_mask(100, "n")
    matcher.add(101, "e")
    assert taken(matcher) == [("e", "n")]
    assert matcher.counts.unmatched == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=80), st.integers(0, 40), st.integers(1, 6))
def test_every_pair_is_within_the_tolerance_and_every_message_is_accounted_for(events, tolerance, capacity):
    matcher: StampMatcher[int, int] = StampMatcher(tolerance, capacity)
    pairs = []
    clock = 0
    for number, (is_mask, stamp) in enumerate(events):
        if is_mask:
            clock += stamp // 4
            matcher.add_mask(clock, clock)
        else:
            matcher.add(stamp, 1000 * number + stamp)
        while (pair := matcher.take()) is not None:
            pairs.append(pair)
    assert all(abs(data % 1000 - mask) <= tolerance for data, mask in pairs)
    assert len({data for data, _ in pairs}) == len(pairs) == matcher.counts.matched
    waiting = len(matcher._waiting)
    counts = matcher.counts
    assert counts.received == counts.matched + counts.unmatched + counts.overflowed + waiting
    assert waiting <= capacity and len(matcher._masks) <= capacity
