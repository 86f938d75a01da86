"""The mailbox: newest wins, the rest is counted, nothing queues."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from robotseg_ros.ros.latest import Latest


def test_put_replaces_and_counts():
    slot = Latest[int]()
    assert [slot.put(n) for n in (1, 2, 3)] == [False, True, True]
    assert slot.dropped == 2
    assert slot.take() == 3
    assert slot.take() is None


@given(st.lists(st.booleans()))
def test_every_item_is_taken_or_dropped_or_waits(actions):
    slot, put, taken = Latest[int](), 0, []
    for is_put in actions:
        if is_put:
            put += 1
            slot.put(put)
        elif (item := slot.take()) is not None:
            assert item == put  # never an old one
            taken.append(item)
    assert put == len(taken) + slot.dropped + slot.filled


def test_take_waits_for_an_item():
    slot = Latest[str]()
    timer = threading.Timer(0.05, slot.put, ["late"])
    timer.start()
    assert slot.take(timeout=20.0) == "late"
    timer.join()


def test_take_gives_up_after_the_timeout():
    assert Latest[int]().take(timeout=0.01) is None


def test_close_wakes_the_waiting_and_takes_no_more():
    slot = Latest[int]()
    timer = threading.Timer(0.05, slot.close)
    timer.start()
    assert slot.take(timeout=None) is None
    timer.join()
    assert not slot.put(1)
    assert slot.take() is None


def test_clear_counts_from_zero():
    slot = Latest[int]()
    slot.put(1)
    slot.put(2)
    slot.clear()
    assert (slot.dropped, slot.filled) == (0, False)
