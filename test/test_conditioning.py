"""What a policy is shown of the robot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robotseg_ros.conditioning import MODES, conditioned, grown

IMAGES = arrays(np.uint8, (6, 5, 3))
MASKS = arrays(np.bool_, (6, 5))


@given(IMAGES, MASKS, st.sampled_from(MODES), st.tuples(*[st.integers(0, 255)] * 3))
def test_every_pixel_is_the_images_or_the_backgrounds_as_the_mode_says(image, mask, mode, colour):
    before = image.copy()
    shown = conditioned(image, mask, mode, colour)
    robot, rest = {
        "untouched": (image[mask], image[~mask]),
        "masked_out": (np.broadcast_to(np.uint8(colour), image[mask].shape), image[~mask]),
        "only": (image[mask], np.zeros_like(image[~mask])),
        "background": (image[mask], np.broadcast_to(np.uint8(colour), image[~mask].shape)),
    }[mode]
    assert shown.dtype == np.uint8 and shown.shape == image.shape
    assert np.array_equal(shown[mask], robot) and np.array_equal(shown[~mask], rest)
    assert np.array_equal(image, before)


def test_a_background_is_scaled_to_the_image():
    image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), bool)
    background = np.full((7, 9, 3), 80, np.uint8)
    background[:, 5:] = 160
    shown = conditioned(image, mask, "background", background)
    assert shown[20, 3].tolist() == [80] * 3 and shown[20, 57].tolist() == [160] * 3


def test_the_margin_grows_or_shrinks_the_robot():
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert grown(mask, 1).sum() == 25 and grown(mask, -1).sum() == 1 and grown(mask, 0) is mask
    shown = conditioned(np.full((9, 9, 3), 7, np.uint8), mask, "masked_out", margin=2)
    assert (shown == 0).all(-1).sum() == 49


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": np.zeros((4, 4), np.uint8)}, r"expected uint8 \(H, W, 3\)"),
        ({"mask": np.zeros((4, 5), bool)}, r"expected bool \(4, 4\), the image's size"),
        ({"mask": np.zeros((4, 4), np.uint8)}, "the mask is uint8"),
        ({"mode": "out"}, "known are untouched, masked_out"),
        ({"background": np.zeros((4, 4), np.uint8)}, "expected a colour"),
    ],
)
def test_what_does_not_fit_is_refused(change, reason):
    good = {"image": np.zeros((4, 4, 3), np.uint8), "mask": np.zeros((4, 4), bool), "mode": "masked_out"}
    with pytest.raises(ValueError, match=reason):
        conditioned(**{**good, **change})
