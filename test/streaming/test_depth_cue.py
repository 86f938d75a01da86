"""Masks refined by aligned depth: a box before a wall gets its true outline, and what depth cannot decide stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotseg_ros.geometry import grown
from robotseg_ros.streaming.depth_background import BackgroundModel
from robotseg_ros.streaming.depth_cue import CUES, Background, Edges
from robotseg_ros.streaming.inverse_depth import band_pixels, inverse

SHAPE = (240, 320)
RADIUS = band_pixels(SHAPE[0])
BOX = np.s_[80:180, 100:220]
LEAK = np.s_[20:40, 20:60]
"""Some of the wall, far from the box."""


def region(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


def scene(box=BOX, at=1.0, wall=3.0):
    """Depth in metres of a box before a wall."""
    depth = np.full(SHAPE, wall, np.float32)
    depth[box] = at
    return depth


def shrunk(mask, margin):
    return ~grown(~mask, margin)


def moved(mask, rows, columns):
    return np.roll(mask, (rows, columns), (0, 1))


def edges(mask, depth):
    return Edges().refine({"robot": mask}, depth)["robot"]


SPOILT = {
    "too large": grown(region(BOX), 4),
    "too small": shrunk(region(BOX), 4),
    "shifted": moved(region(BOX), 3, -4),
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("in_millimetres", [False, True])
def test_a_box_before_a_wall_gets_its_true_outline(spoilt, in_millimetres):
    depth = (scene() * 1000).astype(np.uint16) if in_millimetres else scene()
    before = spoilt.copy()
    np.testing.assert_array_equal(edges(spoilt, depth), region(BOX))
    np.testing.assert_array_equal(spoilt, before)


def test_a_tilted_robot_before_a_tilted_wall_gets_its_true_outline():
    across = np.linspace(0, 0.15, SHAPE[1], dtype=np.float32)[None]  # planes in space are planes in 1/m
    near = np.where(region(BOX), 1 + across, 0.4 - across)
    np.testing.assert_array_equal(edges(grown(region(BOX), 4), (1 / near).astype(np.float32)), region(BOX))


def sides(length):
    """Where a box begins and ends: at the picture's border, or so far within that enough of the wall is beside its mask."""
    begin = st.just(0) | st.integers(3 * RADIUS, length // 3)
    return st.tuples(begin, st.just(length) | st.integers(length // 2, length - 3 * RADIUS))


@settings(max_examples=25, deadline=None)
@given(sides(SHAPE[0] - 20), sides(SHAPE[1]), st.integers(-RADIUS, RADIUS))
def test_any_box_gets_its_true_outline_also_where_it_leaves_the_picture(rows, columns, error):
    box = np.s_[slice(*rows), slice(*columns)]
    true = region(box)
    beyond = np.pad(true, RADIUS, "edge")
    spoilt = grown(beyond, error) if error > 0 else shrunk(beyond, -error)
    np.testing.assert_array_equal(edges(spoilt[RADIUS:-RADIUS, RADIUS:-RADIUS], scene(box)), true)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(sorted(CUES)))
def test_pixels_without_depth_keep_what_the_mask_says(seed, name):
    rng = np.random.default_rng(seed)
    depth = scene() + rng.normal(0, 0.01, SHAPE).astype(np.float32)
    nothing = rng.random(SHAPE) < 0.3
    depth[nothing] = rng.choice(np.array([0, np.nan, np.inf, -1], np.float32), nothing.sum())
    cue = CUES[name]()
    for _ in range(6):
        cue.refine({"robot": region(BOX)}, depth)
    mask = moved(region(BOX, LEAK), 2, 3)
    made = cue.refine({"robot": mask}, depth)["robot"]
    np.testing.assert_array_equal(made[nothing], mask[nothing])
    assert (made != mask).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_edges_change_nothing_outside_the_band(seed):
    rng = np.random.default_rng(seed)
    mask = moved(region(BOX), *rng.integers(-20, 20, 2))
    made = edges(mask, rng.choice(np.array([1.0, 3.0], np.float32), SHAPE))
    band = grown(mask, RADIUS) & ~shrunk(mask, RADIUS)
    np.testing.assert_array_equal(made[~band], mask[~band])


def test_rough_depth_leaves_the_mask_alone():
    """Things before and behind the robot, as near it in depth as they differ among themselves."""
    rng = np.random.default_rng(0)
    things = np.kron(rng.uniform(0.7, 1.5, (30, 40)), np.ones((8, 8)))
    clutter = np.where(region(BOX), 1.0, things).astype(np.float32)
    mask = SPOILT["shifted"]
    np.testing.assert_array_equal(edges(mask, clutter), mask)


def test_a_robot_as_far_as_what_is_behind_it_keeps_its_mask():
    mask = SPOILT["shifted"]
    np.testing.assert_array_equal(edges(mask, scene(at=2.95)), mask)


def test_the_border_of_arm_and_gripper_is_left_alone():
    """Even where depth jumps near it; the outlines of both are corrected all the same."""
    depth = scene()
    depth[80:180, 163:220] = 0.7  # the gripper, which the masks let begin 3 pixels too early
    arm, gripper = region(np.s_[76:184, 96:160]), region(np.s_[76:184, 160:224])
    made = Edges().refine({"arm": arm, "gripper": gripper, "robot": arm | gripper}, depth)
    np.testing.assert_array_equal(made["arm"], region(np.s_[80:180, 100:160]))
    np.testing.assert_array_equal(made["gripper"], region(np.s_[80:180, 160:220]))
    np.testing.assert_array_equal(made["robot"], region(BOX))


@pytest.mark.parametrize("name", CUES)
def test_an_empty_mask_stays_empty_and_no_masks_stay_none(name):
    cue = CUES[name]()
    for _ in range(8):
        assert not cue.refine({"robot": region()}, scene())["robot"].any()
        assert cue.refine({}, scene()) == {}


@pytest.mark.parametrize("name", CUES)
@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (np.ones((120, 160), np.float32), r"mask of arm is \(240, 320\), the depth \(120, 160\)"),
        (np.ones(SHAPE, np.float64), r"depth is float64 \(240, 320\); it must be \(H, W\), uint16 in millimetres"),
        (np.ones((*SHAPE, 1), np.float32), r"depth is float32 \(240, 320, 1\)"),
    ],
)
def test_depth_of_another_size_or_type_is_refused(name, depth, said):
    with pytest.raises(ValueError, match=said):
        CUES[name]().refine({"arm": region(BOX)}, depth)


@given(st.integers(0, 65535))
def test_millimetres_and_metres_are_the_same_depth(millimetres):
    short, long = np.full((1, 1), millimetres, np.uint16), np.full((1, 1), millimetres / 1000, np.float32)
    np.testing.assert_allclose(inverse(short), inverse(long), rtol=1e-5)
    assert (inverse(short)[0, 0] > 0) == (millimetres > 0)


# A fixed camera's background


def learned(frames=5, **given):
    """A cue that has seen the box before the wall with right masks."""
    cue = Background(BackgroundModel(**given))
    for _ in range(frames):
        cue.refine({"robot": region(BOX)}, scene())
    return cue


def test_background_in_the_mask_is_taken_away_once_it_is_known():
    leaking = {"robot": region(BOX, LEAK)}
    np.testing.assert_array_equal(learned(3).refine(leaking, scene())["robot"], leaking["robot"])
    made = learned(5).refine(leaking, scene())["robot"]
    np.testing.assert_array_equal(made, region(BOX))
    assert leaking["robot"][LEAK].all()


def test_what_stands_before_the_background_beside_the_mask_is_added_if_it_is_as_far_away():
    cue = learned()
    went_on, hand = np.s_[80:180, 200:260], np.s_[80:180, 260:300]
    depth = scene(went_on)
    depth[hand] = 0.5
    too_small = region(np.s_[80:180, 203:257])
    made = cue.refine({"robot": too_small}, depth)["robot"]
    assert made[too_small].all() and not made[hand].any()
    # 220 was the box's end: behind the box that stood there nothing is known, so nothing is added there.
    known = grown(too_small, RADIUS) & region(went_on) & ~grown(region(BOX), RADIUS)
    assert made[known].all() and known.sum() > too_small.sum() // 2


def test_the_background_behind_the_robot_is_learned_when_it_has_gone():
    cue = learned()
    away = np.s_[80:180, 240:300]
    assert not cue.model.known[BOX].any()
    for _ in range(5):
        cue.refine({"robot": region(away)}, scene(away))
    assert cue.model.known[BOX].all()


def test_a_leak_that_was_there_from_the_first_frame_stays():
    """What is always taken for robot is never seen to be background."""
    cue = Background()
    leaking = region(BOX, LEAK)
    for _ in range(40):
        made = cue.refine({"robot": leaking}, scene())["robot"]
    np.testing.assert_array_equal(made, leaking)


def test_a_camera_that_moved_learns_anew():
    cue = learned()
    other = scene(wall=2.0)
    leaking = {"robot": region(BOX, LEAK)}
    np.testing.assert_array_equal(cue.refine(leaking, other)["robot"], leaking["robot"])
    assert cue.model.moves == 1
    for _ in range(5):
        cue.refine({"robot": region(BOX)}, other)
    np.testing.assert_array_equal(cue.refine(leaking, other)["robot"], region(BOX))
    assert cue.model.moves == 1


def test_something_new_becomes_background_only_after_a_while_and_what_it_hid_soon():
    cue = learned(20)
    crate = np.s_[10:60, 240:300]
    with_crate = scene()
    with_crate[crate] = 2.0
    for frame in range(60):
        cue.refine({"robot": region(BOX)}, with_crate)
        if frame == 5:
            assert not cue.model.is_background(inverse(with_crate))[crate].any()
    assert cue.model.is_background(inverse(with_crate))[crate].all()
    for _ in range(12):
        cue.refine({"robot": region(BOX)}, scene())
    assert cue.model.is_background(inverse(scene()))[crate].all()
    assert not cue.model.is_background(inverse(with_crate))[crate].any()
    assert cue.model.moves == 0


def test_memory_is_bounded_and_counters_never_wrap():
    model = BackgroundModel()
    rng = np.random.default_rng(0)
    for _ in range(600):
        near = inverse(scene() + rng.normal(0, 0.02, SHAPE).astype(np.float32))
        model.observe(region(BOX), grown(region(BOX), RADIUS), near)
    assert model.nbytes == 6 * SHAPE[0] * SHAPE[1]
    assert model.known[~grown(region(BOX), RADIUS)].all() and model.moves == 0


def test_reset_and_another_size_forget_the_background():
    leaking = {"robot": region(BOX, LEAK)}
    cue = learned()
    cue.reset()
    np.testing.assert_array_equal(cue.refine(leaking, scene())["robot"], leaking["robot"])
    cue = learned()
    half = {"robot": leaking["robot"][::2, ::2]}
    np.testing.assert_array_equal(cue.refine(half, scene()[::2, ::2].copy())["robot"], half["robot"])
