"""The bank keeps what a later frame can read, in the order the network wants it, and nothing else."""

from __future__ import annotations

import pytest
import torch

from robotseg_ros.model import MemoryEntry
from robotseg_ros.streaming import MemoryBank


def _entry(value: float, rows: int = 2) -> MemoryEntry:
    return MemoryEntry(torch.full((rows, 4, 3), value), torch.full((rows, 3, 12), value), torch.full((rows, 12), value))


def _filled(frames: int, rows: int = 2) -> MemoryBank:
    bank = MemoryBank(num_maskmem=4, max_pointers=6)
    for value in range(frames):
        bank.write(_entry(float(value), rows))
    return bank


def test_the_first_frame_is_the_conditioning_frame_for_ever() -> None:
    bank = _filled(50)
    assert bank.view().conditioning.pointer[0, 0] == 0
    assert bank.view().conditioning_age.tolist() == [50.0, 50.0]


def test_recent_frames_are_oldest_first_and_pointers_newest_first() -> None:
    view = _filled(10).view()
    assert [(age, entry.pointer[0, 0].item()) for age, entry in view.recent] == [(3, 7), (2, 8), (1, 9)]
    assert [(age, p[0, 0].item()) for age, p in view.pointers] == [(1, 9), (2, 8), (3, 7), (4, 6), (5, 5)]
    assert view.max_pointers == 6


def test_the_conditioning_frame_is_not_among_the_recent() -> None:
    view = _filled(3).view()
    assert [age for age, _ in view.recent] == [2, 1]
    assert [age for age, _ in view.pointers] == [1, 2]


def test_it_holds_no_more_after_many_frames_than_after_few() -> None:
    assert _filled(300).nbytes == _filled(20).nbytes > 0
    assert _filled(300).layout == _filled(20).layout == (3, 5)


def test_an_empty_bank_has_no_view() -> None:
    bank = MemoryBank(4, 6)
    assert bank.empty and bank.nbytes == 0
    with pytest.raises(ValueError, match="empty"):
        bank.view()


def test_rows_are_selected_and_joined_without_loss() -> None:
    bank = MemoryBank(4, 6)
    for value in range(9):
        entry = _entry(0.0)
        entry.pointer[1], entry.features[1] = value + 100, value + 100
        entry.pointer[0], entry.features[0] = value, value
        bank.write(entry)
    swapped = MemoryBank.join([bank.select([1]), bank.select([0])]).view()
    assert swapped.conditioning.pointer[:, 0].tolist() == [100, 0]
    assert swapped.recent[-1][1].features[:, 0, 0].tolist() == [108, 8]
    assert swapped.pointers[-1][1][:, 0].tolist() == [104, 4]
    assert swapped.conditioning_age.tolist() == [9, 9]


def test_only_one_layout_can_be_joined() -> None:
    with pytest.raises(ValueError, match="one layout"):
        MemoryBank.join([_filled(2), _filled(9)])
    older, newer = _filled(30, 1), _filled(12, 1)
    assert MemoryBank.join([older, newer]).view().conditioning_age.tolist() == [30, 12]


@pytest.mark.parametrize("sizes", [(1, 6), (4, 1)])
def test_a_bank_too_small_to_work_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        MemoryBank(*sizes)


def test_which_rows_were_prompted_survives_selecting_and_joining() -> None:
    given, found = MemoryBank(4, 6), MemoryBank(4, 6)
    given.write(_entry(0.0, rows=1), prompted=True)
    found.write(_entry(1.0, rows=2))
    assert given.view().unprompted is None
    both = MemoryBank.join([given, found])
    both.write(_entry(2.0, rows=3))
    assert both.view().unprompted is not None and both.view().unprompted.tolist() == [False, True, True]
    assert both.select([0]).view().unprompted is None
    assert both.select([2, 0]).view().unprompted.tolist() == [True, False]
