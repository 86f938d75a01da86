"""The robot in depth images and point clouds: projections agree with OpenCV's, bytes with the layout that is declared."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotseg_ros.geometry import (
    Camera,
    CloudLayout,
    GeometryError,
    blank,
    coordinates,
    fitted,
    fitted_depth,
    grown,
    moved,
    without,
)

MATRIX = np.array([[80.0, 0, 49.5], [0, 90.0, 39.5], [0, 0, 1]])
SHAPE = (80, 100)
XYZ = (("x", 0, "f4", 1), ("y", 4, "f4", 1), ("z", 8, "f4", 1))


def square(shape=SHAPE, top=20, left=30, size=25):
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return mask


@given(st.integers(0, 12), st.integers(0, 79), st.integers(0, 99))
def test_a_margin_reaches_exactly_that_many_rows_and_columns(margin, row, column):
    mask = np.zeros(SHAPE, bool)
    mask[row, column] = True
    expected = np.zeros(SHAPE, bool)
    expected[max(0, row - margin) : row + margin + 1, max(0, column - margin) : column + margin + 1] = True
    assert np.array_equal(grown(mask, margin), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_depth_without_the_robot_is_a_copy_with_nothing_there(dtype):
    depth = np.full(SHAPE, 700, dtype)
    robot = square()
    left = without(depth, robot)
    assert (depth == 700).all()
    assert (left[~robot] == 700).all()
    assert (left[robot] == 0).all() if dtype == np.uint16 else np.isnan(left[robot]).all()


def test_a_mask_fits_depth_of_the_same_proportions_only():
    assert fitted(square(), SHAPE) is not None
    half = fitted(square(), (40, 50))
    assert half.shape == (40, 50) and half.dtype == bool
    assert half.sum() == pytest.approx(square().sum() / 4, rel=0.1)
    with pytest.raises(GeometryError, match="depth is 100 x 60, the image 100 x 80: depth must be aligned"):
        fitted(square(), (60, 100))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_depth_fits_an_image_of_the_same_proportions_only_and_no_depths_are_mixed(dtype):
    depth = np.where(square(), 700, 2000).astype(dtype)
    assert fitted_depth(depth, SHAPE) is depth
    half, double = fitted_depth(depth, (40, 50)), fitted_depth(depth, (160, 200))
    assert half.shape == (40, 50) and half.dtype == dtype and set(np.unique(half)) == {700, 2000}
    np.testing.assert_array_equal(double, np.kron(depth, np.ones((2, 2), dtype)))
    with pytest.raises(GeometryError, match="depth is 100 x 80, the image 100 x 60: depth must be aligned"):
        fitted_depth(depth, (60, 100))


LENSES = {
    "no lens": ("", ()),
    "plumb bob": ("plumb_bob", (-0.25, 0.08, 0.002, -0.001, 0.01)),
    "rational": ("rational_polynomial", (0.3, 0.1, 0.001, -0.002, 0.02, 0.5, 0.1, 0.02)),
    "fisheye": ("equidistant", (0.05, -0.01, 0.004, -0.001)),
}


@pytest.mark.parametrize("lens", LENSES)
def test_points_are_on_the_robot_where_opencv_projects_them_there(lens):
    model, coefficients = LENSES[lens]
    rng = np.random.default_rng(1)
    points = rng.uniform((-0.5, -0.4, 0.8), (0.5, 0.4, 2.0), (2000, 3))
    nothing = np.zeros(3)
    if model == "equidistant":
        pixels = cv2.fisheye.projectPoints(points[:, None], nothing, nothing, MATRIX, np.array(coefficients))[0][:, 0]
    else:
        pixels = cv2.projectPoints(points, nothing, nothing, MATRIX, np.array(coefficients))[0][:, 0]
    camera = Camera(SHAPE, MATRIX, coefficients, model)
    robot = square()
    x, y, z = points.T.astype(np.float32)
    found = camera.robot_points(x, y, z, robot)
    column, row = np.rint(pixels).astype(int).T
    inside = (column >= 0) & (column < 100) & (row >= 0) & (row < 80)
    expected = inside & robot[np.clip(row, 0, 79), np.clip(column, 0, 99)]
    near_a_border = np.abs(pixels - np.floor(pixels) - 0.5).min(axis=1) < 1e-3  # rounding decides there
    assert np.array_equal(found[~near_a_border], expected[~near_a_border])
    assert 50 < found.sum() < 1000


def test_what_is_behind_the_camera_or_nowhere_is_not_on_the_robot():
    camera = Camera(SHAPE, MATRIX)
    x = np.array([0, 0, np.nan, 0, np.inf, 0], np.float32)
    z = np.array([1, -1, 1, 0, 1, np.nan], np.float32)
    found = camera.robot_points(x, np.zeros(6, np.float32), z, np.ones(SHAPE, bool))
    assert found.tolist() == [True, False, False, False, False, False]


def test_a_lens_does_not_see_far_beside_its_image():
    """There its polynomial leads back: what is 1.95 m to the right at 1 m would be imaged inside."""
    camera = Camera(SHAPE, MATRIX, (-0.25, 0.0, 0.0, 0.0, 0.0), "plumb_bob")
    x = np.array([0.1, 1.95], np.float32)
    assert abs(1.95 * (1 - 0.25 * 1.95**2)) * 80 < 49
    assert camera.robot_points(x, x * 0, x * 0 + 1, np.ones(SHAPE, bool)).tolist() == [True, False]


def test_a_calibration_that_does_not_fit_is_refused():
    with pytest.raises(GeometryError, match="not calibrated"):
        Camera(SHAPE, np.zeros((3, 3)))
    with pytest.raises(GeometryError, match="'magic'; understood are plumb_bob"):
        Camera(SHAPE, MATRIX, (0.1,), "magic")
    with pytest.raises(GeometryError, match="of an image of 100 x 80, the image has 50 x 40"):
        nothing = np.zeros(0, np.float32)
        Camera(SHAPE, MATRIX).robot_points(nothing, nothing, nothing, np.zeros((40, 50), bool))


def test_points_are_moved_to_another_frame():
    transform = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], float)
    one = np.ones(1, np.float32)
    assert [axis[0] for axis in moved((2 * one, 3 * one, 4 * one), transform)] == [-2, 4, 7]


# Layouts


@settings(max_examples=60)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 6),
    gap=st.integers(0, 7),
    padding=st.integers(0, 9),
    code=st.sampled_from(["f4", "f8"]),
    big=st.booleans(),
)
def test_points_are_read_and_made_blank_in_any_layout(height, width, gap, padding, code, big):
    size = np.dtype(code).itemsize
    fields = (
        ("intensity", 0, "u1", 1),
        *((axis, gap + 1 + i * size, code, 1) for i, axis in enumerate("xyz")),
    )
    point_step = gap + 1 + 3 * size + gap
    layout = CloudLayout(height, width, fields, point_step, point_step * width + padding, big)
    data = bytearray(np.random.default_rng(0).integers(0, 255, layout.row_step * height, np.uint8).tobytes())
    before = bytes(data)
    view = layout.points(data)
    values = np.arange(height * width, dtype=np.float64).reshape(height, width)
    for i, axis in enumerate("xyz"):
        view[axis] = values + 100 * i
    x, y, z = coordinates(layout.points(bytes(data)))
    assert x.dtype == np.float32 and x.tolist() == values.ravel().tolist()
    assert (y - x).tolist() == [100.0] * x.size and (z - y).tolist() == [100.0] * x.size
    chosen = values % 2 == 0
    blank(view, chosen)
    assert np.isnan(coordinates(view)[2]).tolist() == chosen.ravel().tolist()
    # What is not x, y or z is as it was.
    for row in range(height):
        for column in range(width):
            start = row * layout.row_step + column * point_step
            end = start + point_step
            assert data[start : start + gap + 1] == before[start : start + gap + 1]
            assert data[end - gap : end] == before[end - gap : end]


@pytest.mark.parametrize(
    ("layout", "size", "reason"),
    [
        (CloudLayout(1, 2, XYZ[:2], 12, 24), 24, "needs x, y and z"),
        (CloudLayout(1, 2, (("x", 0, "i4", 1), *XYZ[1:]), 12, 24), 24, r"x \(i4\)"),
        (CloudLayout(1, 2, XYZ, 12, 24), 23, "has 23 bytes for 2 x 1 points of 12 bytes"),
        (CloudLayout(2, 2, XYZ, 12, 20), 48, "in rows of 20"),
        (CloudLayout(1, 2, XYZ, 10, 20), 20, "fields up to byte 12"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(layout, size, reason):
    with pytest.raises(GeometryError, match=reason):
        layout.points(bytes(size))


def test_an_empty_cloud_has_no_points():
    assert CloudLayout(1, 0, XYZ, 12, 0).points(b"").size == 0
