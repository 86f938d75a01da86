"""Depth as a stereo camera sees it: holes where it sees nothing, noise that grows with the square of the distance."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

if importlib.util.find_spec("scipy") is None:
    pytest.skip("rendering needs scipy, which is not installed", allow_module_level=True)

from robotseg_ros.dataset.rendering.stereo import StereoCamera, millimetres, seen  # noqa: E402

SHAPE = (120, 160)
FOVY = 60.0
SEED = (1, 2)
FAULTLESS = StereoCamera(disparity_noise=0, edge_wobble=0, edge_loss=0, patch_loss=0)


def wall(metres):
    return np.full(SHAPE, metres, np.float32)


def disparity(metres, camera=FAULTLESS):
    """Pixels between the two images of a point."""
    return camera.baseline * SHAPE[0] / 2 / np.tan(np.radians(FOVY / 2)) / metres


@given(st.floats(0.21, 7.9))
def test_a_faultless_camera_sees_a_wall_where_it_is(metres):
    image = seen(wall(metres), FOVY, SEED, FAULTLESS)
    assert image.dtype == np.uint16
    np.testing.assert_allclose(image, 1000 * metres, atol=1.0)


@pytest.mark.parametrize("metres", [0.1, 0.19, 8.1, 30.0])
def test_what_is_too_near_or_too_far_has_no_depth(metres):
    assert not seen(wall(metres), FOVY, SEED, FAULTLESS).any()


def test_beside_something_near_as_much_has_no_depth_as_the_second_imager_cannot_see():
    true = wall(4.0)
    true[40:80, 60:100] = 0.5
    image = seen(true, FOVY, SEED, FAULTLESS)
    hidden = disparity(0.5) - disparity(4.0)
    assert hidden > 8
    rows = (image[40:80] == 0).sum(1)
    assert np.abs(rows - hidden).max() <= 1.5  # half a pixel of tolerance, one of rounding
    assert (image[40:80, 60 - rows[0] : 60] == 0).all() and (image[:40] > 0).all()
    assert (np.abs(image[40:80, 60:100].astype(int) - 500) <= 1).all()


def test_noise_grows_with_the_square_of_the_distance():
    camera = StereoCamera(edge_wobble=0, edge_loss=0, patch_loss=0)
    spread = [seen(wall(metres), FOVY, SEED, camera).astype(float).std() for metres in (1.0, 2.0, 4.0)]
    expected = 1000 * camera.disparity_noise / disparity(1.0)  # millimetres at 1 m
    np.testing.assert_allclose(spread, [expected, 4 * expected, 16 * expected], rtol=0.15)


def test_patches_and_edges_are_lost_in_the_share_that_was_asked_for():
    camera = StereoCamera(disparity_noise=0, edge_wobble=0, edge_loss=0, patch_loss=0.1)
    assert (seen(wall(2.0), FOVY, SEED, camera) == 0).mean() == pytest.approx(0.1, abs=0.005)
    true = wall(4.0)
    true[:, 80:] = 1.0  # nothing is hidden to the right of it, and to the left as always
    whole = seen(true, FOVY, SEED, FAULTLESS) > 0
    broken = seen(true, FOVY, SEED, StereoCamera(disparity_noise=0, edge_wobble=0, edge_loss=0.5, patch_loss=0)) > 0
    lost = whole & ~broken
    assert lost.sum(0).nonzero()[0].tolist() == [80]  # the pixel to the left of the edge is hidden anyway
    assert 0.3 < lost[:, 80].mean() < 0.7


def test_edges_wobble_and_stay_near_where_they_are():
    true = wall(4.0)
    true[:, 80:] = 1.0
    camera = StereoCamera(disparity_noise=0, edge_loss=0, patch_loss=0)
    near = np.abs(seen(true, FOVY, SEED, camera).astype(int) - 1000) <= 1
    first = near.argmax(1)
    assert first.std() > 0.2 and np.abs(first - 80).max() <= 4


def test_equal_seeds_give_equal_images_and_others_do_not():
    true = wall(2.0)
    np.testing.assert_array_equal(seen(true, FOVY, (3, 4)), seen(true, FOVY, (3, 4)))
    assert (seen(true, FOVY, (3, 4)) != seen(true, FOVY, (3, 5))).mean() > 0.5


def test_true_depth_is_in_millimetres_as_far_as_they_go():
    depth = np.array([[0.0004, 0.0006, 1.2345, 65.5, 70.0, 1e6]], np.float32)
    np.testing.assert_array_equal(millimetres(depth), [[0, 1, 1234, 65500, 65535, 65535]])
