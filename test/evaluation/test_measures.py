"""J and F: known answers, the properties that the benchmark's definitions imply, and the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from robotseg_ros.evaluation.measures import boundary, boundary_f, j_and_f, jaccard, tolerance_pixels

SIDES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
MASKS = arrays.arrays(bool, SIDES)
PAIRS = SIDES.flatmap(lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape)))


def rectangle(top: int, left: int, height: int, width: int, shape: tuple[int, int] = (100, 100)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_jaccard_of_half_overlapping_rectangles_is_one_third() -> None:
    assert jaccard(rectangle(10, 10, 20, 20), rectangle(10, 20, 20, 20)) == pytest.approx(1 / 3)


def test_jaccard_takes_any_value_but_zero_as_foreground() -> None:
    mask = rectangle(10, 10, 20, 20)
    assert jaccard(mask * np.uint8(255), mask.astype(np.int32)) == 1.0


@pytest.mark.parametrize("measure", [jaccard, boundary_f, j_and_f])
def test_two_empty_masks_agree(measure) -> None:
    assert measure(np.zeros((8, 9), bool), np.zeros((8, 9), bool)) == 1.0


@pytest.mark.parametrize("measure", [jaccard, boundary_f, j_and_f])
def test_a_missed_or_an_invented_object_scores_nothing(measure) -> None:
    something, nothing = rectangle(10, 10, 20, 20), np.zeros((100, 100), bool)
    assert measure(something, nothing) == 0.0
    assert measure(nothing, something) == 0.0


def test_boundary_is_one_pixel_wide_above_and_left_of_the_edge() -> None:
    # Columns 3 and 6: left of the first and at the last pixel column of the object; rows alike.
    edge = boundary(rectangle(4, 4, 3, 3, (10, 10)))
    assert set(zip(*np.nonzero(edge), strict=True)) == (
        {(row, column) for row in (3, 6) for column in range(3, 7)}
        | {(row, column) for row in range(3, 7) for column in (3, 6)}
    )


def test_the_image_border_is_no_boundary() -> None:
    assert not boundary(np.ones((5, 7), bool)).any()


def test_tolerance_is_a_rounded_up_fraction_of_the_diagonal_or_pixels() -> None:
    assert tolerance_pixels((480, 640)) == 7  # 0.008 * 800 = 6.4
    assert tolerance_pixels((600, 800)) == 8  # exactly 8
    assert tolerance_pixels((480, 640), 3) == 3


def test_boundaries_within_the_tolerance_count_and_beyond_it_do_not() -> None:
    true = rectangle(20, 20, 30, 30)
    assert boundary_f(np.roll(true, 2, axis=1), true, tolerance=2) == 1.0
    assert boundary_f(np.roll(true, 2, axis=1), true, tolerance=1) < 1.0


def test_the_tolerance_is_a_disk_not_a_square() -> None:
    # Single pixels make small boundaries; a diagonal step of 3 is 4.2 pixels long.
    near, far = rectangle(50, 50, 1, 1), rectangle(53, 53, 1, 1)
    assert boundary_f(near, far, tolerance=3) < 1.0
    assert boundary_f(near, far, tolerance=5) == 1.0


def test_boundary_f_is_the_harmonic_mean_of_precision_and_recall() -> None:
    true = rectangle(10, 10, 20, 20)
    found = true | rectangle(60, 60, 20, 20)  # as much boundary again, far away: precision 1/2, recall 1
    assert boundary_f(found, true) == pytest.approx(2 / 3)


@settings(deadline=None)
@given(PAIRS)
def test_measures_are_symmetric_and_between_zero_and_one(pair) -> None:
    first, second = pair
    for measure in (jaccard, boundary_f, j_and_f):
        assert 0.0 <= measure(first, second) <= 1.0
        assert measure(first, second) == pytest.approx(measure(second, first))


@settings(deadline=None)
@given(MASKS)
def test_a_mask_agrees_with_itself(mask) -> None:
    assert j_and_f(mask, mask) == 1.0


@settings(deadline=None)
@given(PAIRS)
def test_a_wider_tolerance_never_lowers_f(pair) -> None:
    scores = [boundary_f(*pair, tolerance=pixels) for pixels in (1, 2, 4, 8)]
    assert scores == sorted(scores)


@settings(deadline=None)
@given(PAIRS)
def test_boundary_f_equals_its_definition_by_distances(pair) -> None:
    first, second = (np.argwhere(boundary(mask)) for mask in pair)
    radius = tolerance_pixels(pair[0].shape)
    if len(first) == 0 or len(second) == 0:
        assert boundary_f(*pair) == float(len(first) == len(second))
        return
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    precision, recall = (distances.min(axis) <= radius for axis in (1, 0))
    total = precision.mean() + recall.mean()
    expected = 2 * precision.mean() * recall.mean() / total if total else 0.0
    assert boundary_f(*pair) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [jaccard, boundary_f])
@pytest.mark.parametrize("shapes", [((4, 5), (5, 4)), ((4, 5, 3), (4, 5, 3)), ((20,), (20,))])
def test_masks_of_other_shapes_are_refused_with_both_shapes(measure, shapes) -> None:
    with pytest.raises(ValueError, match=str(shapes[0]).replace("(", r"\(").replace(")", r"\)")):
        measure(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="-0.1"):
        boundary_f(np.zeros((4, 4)), np.zeros((4, 4)), tolerance=-0.1)
