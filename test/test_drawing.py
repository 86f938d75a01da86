"""Overlays and label maps: who covers whom, what is tinted, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from robotseg_ros.drawing import LABELS, PART_COLORS, caption, label_map, overlay

GREY = np.full((40, 60, 3), 100, np.uint8)


def square(top: int, left: int, side: int = 10, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@given(arrays.arrays(bool, (3, 5, 7)))
def test_gripper_wins_over_arm_and_arm_over_robot(stack):
    arm, gripper, robot = stack
    labels = label_map({"robot": robot, "gripper": gripper, "arm": arm})
    expected = np.where(gripper, 2, np.where(arm, 1, np.where(robot, 3, 0)))
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8


@given(st.permutations(list(LABELS)))
def test_order_of_the_masks_does_not_matter(order):
    masks = {part: square(5, 5 + 3 * LABELS[part]) for part in order}
    np.testing.assert_array_equal(label_map(masks), label_map({part: masks[part] for part in LABELS}))


def test_background_is_untouched_and_the_input_is_not_changed():
    before = GREY.copy()
    drawn = overlay(GREY, {"arm": square(10, 10)})
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(drawn[~square(10, 10)], GREY[~square(10, 10)])


def test_part_is_tinted_by_alpha_inside_and_opaque_at_its_border():
    drawn = overlay(GREY, {"gripper": square(10, 10)}, alpha=0.5)
    color = np.array(PART_COLORS["gripper"], float)
    np.testing.assert_allclose(drawn[15, 15], (color + 100) / 2, atol=1)
    np.testing.assert_array_equal(drawn[10, 10], PART_COLORS["gripper"])


def test_without_outline_and_alpha_nothing_is_drawn():
    np.testing.assert_array_equal(overlay(GREY, {"arm": square(0, 0)}, alpha=0.0, outline=False), GREY)


def test_the_edge_of_the_image_is_no_border_of_a_part():
    drawn = overlay(GREY, {"arm": np.ones((40, 60), bool)}, alpha=0.0)
    np.testing.assert_array_equal(drawn, GREY)


def test_empty_masks_and_no_masks_give_the_image():
    np.testing.assert_array_equal(overlay(GREY, {"arm": np.zeros((40, 60), bool)}), GREY)
    np.testing.assert_array_equal(overlay(GREY, {}), GREY)


def test_read_only_and_strided_images_are_drawn_on():
    image = np.zeros((40, 60, 4), np.uint8)[..., :3]
    image.flags.writeable = False
    assert overlay(image, {"arm": square(10, 10)}).any()


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"leg": square(0, 0)}, "unknown part 'leg'; parts are arm, gripper, robot"),
        ({"arm": square(0, 0), "gripper": square(0, 0, shape=(40, 61))}, "one shape"),
        ({"arm": square(0, 0).astype(np.uint8)}, "bool"),
        ({}, "no mask"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, words):
    with pytest.raises(ValueError, match=words):
        label_map(masks)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        overlay(GREY, {"arm": square(0, 0)}, alpha=alpha)


def test_image_of_another_size_or_kind_is_refused():
    with pytest.raises(ValueError, match="same size"):
        overlay(GREY, {"arm": square(0, 0, shape=(50, 60))})
    with pytest.raises(ValueError, match="uint8"):
        overlay(GREY.astype(np.float32), {"arm": square(0, 0)})


def test_a_caption_can_be_read_on_black_and_on_white():
    ends = []
    for ground in (0, 255):
        picture = np.full((30, 300, 3), ground, np.uint8)
        caption(picture, "frame 12 arm J 98 gripper", (5, 20), 0.5)
        text = picture.min(2) > 200 if ground == 0 else picture.max(2) < 80
        assert text.any()
        ends.append(np.flatnonzero(text.any(0)).max())
    assert abs(ends[0] - ends[1]) <= 2  # letters and their rim end together, whatever OpenCV's spacing
