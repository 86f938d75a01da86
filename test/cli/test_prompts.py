"""Prompts on the command line: what is read, what is refused and how it is said."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotseg_ros.cli import prompts
from robotseg_ros.evaluation.segment_clip import ClipPrompt

parts = st.sampled_from(prompts.PARTS)
pixels = st.floats(min_value=-1e5, max_value=1e5, allow_nan=False)


@given(parts, pixels, pixels, st.sampled_from([None, 0, 1]))
def test_points_are_read_as_written(part, x, y, label):
    text = f"{part}:{x!r},{y!r}" + ("" if label is None else f",{label}")
    assert prompts.point(text) == ClipPrompt(part, points=((x, y),), labels=(1 if label is None else label,))


@given(parts, st.tuples(pixels, pixels, pixels, pixels))
def test_boxes_need_their_corners_in_order(part, corners):
    text = f"{part}:" + ",".join(map(repr, corners))
    x0, y0, x1, y1 = corners
    if x1 > x0 and y1 > y0:
        assert prompts.box(text) == ClipPrompt(part, box=corners)
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="X1 must be greater"):
            prompts.box(text)


@given(st.text(alphabet="arm:0123456789.,- einfgpo", max_size=30))
def test_any_text_is_a_prompt_or_a_clear_refusal(text):
    for read in (prompts.point, prompts.box):
        try:
            result = read(text)
        except argparse.ArgumentTypeError as error:
            assert repr(text) in str(error)
        else:
            assert result.part in prompts.PARTS
            assert np.isfinite([*result.points, *([result.box] if result.box else [])]).all()


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (prompts.point, "leg:1,2", "one of arm, gripper, robot"),
        (prompts.point, "1,2", "PART:X,Y"),
        (prompts.point, "arm:", "PART:X,Y"),
        (prompts.point, "arm:1", "plain numbers"),
        (prompts.point, "arm:1,nan", "plain numbers"),
        (prompts.point, "arm:1,2,3", "label is 1 .* or 0 .* not 3"),
        (prompts.box, "arm:1,2,3", "PART:X0,Y0,X1,Y1"),
        (prompts.box, "arm:5,5,5,9", "X1 must be greater"),
        (prompts.mask, "arm:/absent/mask.png", "/absent/mask.png: no such file"),
    ],
)
def test_refusals_say_what_is_right(read, text, words):
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        read(text)


def test_a_mask_file_is_read_where_it_is_not_zero(tmp_path):
    image = np.zeros((6, 8), np.uint8)
    image[2:4, 3:5] = 1
    cv2.imwrite(str(tmp_path / "m.png"), image)
    mask = prompts.mask(f"gripper:{tmp_path / 'm.png'}").mask
    assert mask is not None and mask.sum() == 4 and mask[2, 3]


def test_several_prompts_of_a_part_become_one():
    given = [
        prompts.point("arm:1,2"),
        prompts.box("arm:0,0,9,9"),
        prompts.point("arm:3,4,0"),
        prompts.point("gripper:5,6"),
    ]
    arm, gripper = prompts.combined(given, ("arm", "gripper"))
    assert arm == ClipPrompt("arm", points=((1, 2), (3, 4)), labels=(1, 0), box=(0, 0, 9, 9))
    assert gripper == ClipPrompt("gripper", points=((5, 6),), labels=(1,))


def test_prompts_that_contradict_each_other_are_refused():
    mask = ClipPrompt("arm", mask=np.ones((2, 2), bool))
    box = prompts.box("arm:0,0,9,9")
    for several, words in (
        ([prompts.point("robot:1,2")], "--part robot"),
        ([box, box], "two boxes"),
        ([mask, mask], "two masks"),
        ([mask, prompts.point("arm:1,2")], "a mask stands alone"),
        ([box, mask], "a mask stands alone"),
    ):
        with pytest.raises(ValueError, match=words):
            prompts.combined(several, ("arm", "gripper"))
