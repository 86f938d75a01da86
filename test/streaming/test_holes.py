"""Small holes are filled, large ones and everything outside stay as they were."""

from __future__ import annotations

import torch

from robotseg_ros.streaming.holes import FILLED_LOGIT, fill_holes


def _ring(side: int, hole: int) -> torch.Tensor:
    logits = torch.full((1, 1, side, side), -3.0)
    logits[..., 4:20, 4:20] = 2.0
    logits[..., 8 : 8 + hole, 8 : 8 + hole] = -1.0
    return logits


def test_a_small_hole_is_filled_and_nothing_else_changes() -> None:
    logits = _ring(32, hole=2)
    filled = fill_holes(logits, area=4)
    assert (filled[..., 8:10, 8:10] == FILLED_LOGIT).all()
    changed = filled != logits
    assert changed.sum() == 4


def test_a_hole_larger_than_the_limit_stays() -> None:
    logits = _ring(32, hole=3)
    assert torch.equal(fill_holes(logits, area=8), logits)


def test_each_mask_of_a_batch_is_its_own() -> None:
    logits = torch.cat([_ring(32, 2), _ring(32, 3)])
    filled = fill_holes(logits, area=8)
    assert torch.equal(filled[1], logits[1]) and not torch.equal(filled[0], logits[0])


def test_an_empty_mask_stays_empty() -> None:
    empty = torch.full((1, 1, 16, 16), -1024.0)
    assert torch.equal(fill_holes(empty, area=8), empty)
