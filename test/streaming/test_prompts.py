"""Prompts are checked before they reach the network, and land on the right pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robotseg_ros.streaming.prompts import frame_prompt

CPU = torch.device("cpu")


@given(x=st.floats(0, 640), y=st.floats(0, 480), size=st.sampled_from([256, 1024]), label=st.sampled_from([0, 1]))
def test_points_scale_with_the_frame(x: float, y: float, size: int, label: int) -> None:
    prompt = frame_prompt(points=[(x, y)], labels=[label]).to_network(480, 640, size, CPU)
    assert prompt.points is not None and prompt.labels is not None
    assert prompt.points[0, 0].tolist() == pytest.approx([x * size / 640, y * size / 480], rel=1e-5, abs=1e-4)
    assert prompt.labels.tolist() == [[label]] and prompt.count == 1


def test_a_box_is_two_corners_ahead_of_the_points() -> None:
    prompt = frame_prompt(box=(10, 20, 30, 40), points=[(15, 25)]).to_network(100, 100, 200, CPU)
    assert prompt.labels is not None and prompt.labels.tolist() == [[2, 3, 1]]
    assert prompt.points is not None and prompt.points[0].tolist() == [[20, 40], [60, 80], [30, 50]]


def test_a_mask_keeps_its_shape_on_the_square() -> None:
    mask = np.zeros((120, 160), bool)
    mask[30:60, 40:80] = True
    prompt = frame_prompt(mask=mask).to_network(120, 160, 256, CPU)
    assert prompt.mask is not None and prompt.mask.shape == (1, 1, 256, 256)
    assert prompt.mask[0, 0, 64:128, 64:128].all() and prompt.mask.sum() == 64 * 64


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({}, "an empty prompt"),
        ({"points": []}, "points must be"),
        ({"points": [(1, 2, 3)]}, "points must be"),
        ({"points": [(float("nan"), 2)]}, "points must be"),
        ({"points": [(1, 2)], "labels": [1, 0]}, "1 points and 2 labels"),
        ({"points": [(1, 2)], "labels": [3]}, "labels are 1"),
        ({"labels": [1]}, "empty prompt"),
        ({"box": (1, 2, 3)}, "a box is four"),
        ({"box": (5, 5, 5, 9)}, "x0 < x1"),
        ({"box": (1, 2, 3, float("inf"))}, "finite"),
        ({"mask": np.zeros((2, 2, 2))}, "a mask prompt must be"),
        ({"mask": np.zeros((2, 2)), "points": [(1, 1)]}, "stands alone"),
    ],
)
def test_a_malformed_prompt_is_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        frame_prompt(**wrong)


def test_a_prompt_that_misses_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the frame of 640x480"):
        frame_prompt(points=[(641, 3)]).check_fits(480, 640)
    with pytest.raises(ValueError, match=r"shape \(10, 10\)"):
        frame_prompt(mask=np.ones((10, 10), bool)).check_fits(480, 640)
