"""Reaching in rendered worlds: the hand goes where it is told, worlds come again, true masks bring it to the ball."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

os.environ.setdefault("LP_NUM_THREADS", "1")
for package in ("mujoco", "robosuite", "robosuite_models", "trimesh", "fast_simplification", "scipy"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"rendering needs {package}, which is not installed", allow_module_level=True)

from robotseg_ros.dataset.rendering import assets, painter  # noqa: E402
from robotseg_ros.experiments import closed_loop as loop  # noqa: E402
from robotseg_ros.experiments.reaching import CONDITIONS, MOVES, MovedPixels, PredictedMasks, reach  # noqa: E402
from robotseg_ros.experiments.reaching_world import SIZE, ReachingWorld  # noqa: E402
from robotseg_ros.model import RobotSeg, build_network, load_model  # noqa: E402

PLAIN, PAINTED = ("panda", loop.FIRST_SEED), ("ur5e", loop.FIRST_SEED + 1)
"""Worlds that are found soon; in the second the robot wears the target's colour."""
NO_NETWORK: Any = None


@pytest.fixture(scope="module")
def opengl() -> None:
    """Skips what is rendered where no headless OpenGL works."""
    try:
        painter.gl_context(64, 64)
    except assets.MissingAssets as error:
        pytest.skip(str(error))


@pytest.fixture
def plain(opengl: None) -> Iterator[ReachingWorld]:
    """A world with a robot in its own colours; the only one that is open."""
    with ReachingWorld(*PLAIN) as world:
        yield world


def test_the_hand_goes_where_it_is_told_within_the_joints_limits(plain: ReachingWorld) -> None:
    plain.reset()
    hand, start = plain.hand, plain.hand.place.copy()
    for offset in ((0.1, 0, 0), (0, -0.1, 0), (-0.05, 0.1, 0.05)):
        reached = hand.move_to(start + offset)
        assert np.linalg.norm(reached - (start + offset)) < 0.005, offset
        assert np.linalg.norm(hand.place - reached) < 1e-9
        assert (hand.joints >= hand.kin.low).all() and (hand.joints <= hand.kin.high).all()
    far = hand.move_to(start + [5, 0, 0])
    assert 0.1 < np.linalg.norm(far - start) < 2, "as near as it gets"
    assert (hand.joints >= hand.kin.low).all() and (hand.joints <= hand.kin.high).all()


def test_hand_and_ball_are_where_the_camera_sees_them(plain: ReachingWorld) -> None:
    plain.reset()
    image, labels = plain.frame()
    rows, columns = np.nonzero(labels == 2)
    x, y = plain.pixel(plain.hand.place)
    assert columns.min() < x < columns.max() and rows.min() < y < rows.max()
    x, y = np.round(plain.pixel(plain.target)).astype(int)
    seen, colour = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0), plain.colour.astype(float)
    assert seen @ colour > 0.97 * np.linalg.norm(seen) * np.linalg.norm(colour)
    before = plain.distance
    plain.hand.move_to(plain.target)
    assert plain.distance < 0.01 < before


def test_a_move_is_told_as_far_as_it_came(plain: ReachingWorld) -> None:
    plain.reset()
    before = plain.hand.place.copy()
    moved = plain.move(np.array([0.03, 0.02]))
    assert moved == pytest.approx([0.03, 0.02], abs=2e-3)
    assert moved == pytest.approx((plain.hand.place - before)[:2])
    assert np.linalg.norm(plain.move(np.array([5.0, 0.0]))) < 2


def filmed(world: ReachingWorld) -> list[NDArray[np.uint8]]:
    """Image and labels of a world's beginning, and after a move."""
    world.reset()
    first = world.frame()
    world.move(np.array([0.04, 0.0]))
    return [*first, *world.frame()]


def test_a_world_is_the_same_again_for_the_same_seed_and_after_reset(opengl: None) -> None:
    with ReachingWorld(*PLAIN) as world:
        before, colour = filmed(world), world.colour
        assert all(np.array_equal(one, two) for one, two in zip(before, filmed(world), strict=True)), "reset"
    assert before[0].shape == (SIZE[1], SIZE[0], 3) and set(np.unique(before[1])) == {0, 1, 2}
    assert not np.array_equal(before[1], before[3]), "the move shows"
    with ReachingWorld(*PLAIN) as again:
        assert all(np.array_equal(one, two) for one, two in zip(before, filmed(again), strict=True))
        assert np.array_equal(again.colour, colour)
    with ReachingWorld(PLAIN[0], PLAIN[1] + 6) as other:
        assert not np.array_equal(before[0], filmed(other)[0]) and not np.array_equal(other.colour, colour)


def test_with_true_masks_the_hand_reaches_the_ball(plain: ReachingWorld) -> None:
    episode = reach(plain, CONDITIONS["true masks"], NO_NETWORK)
    assert episode.reached and episode.distances[-1] < 0.05 < episode.distances[0]
    assert set(episode.gripper) == set(episode.robot) == {1.0}
    assert len(episode.distances) == len(episode.shots) <= MOVES, "it ended before its moves did"
    again = reach(plain, CONDITIONS["true masks"], NO_NETWORK)
    assert again.distances == episode.distances


def test_a_robot_in_the_targets_colour_is_taken_for_the_ball_when_left_in(opengl: None) -> None:
    def offs(label: str) -> list[float]:
        places = [shot.ball for shot in reach(world, CONDITIONS[label], NO_NETWORK).shots]
        return [float(np.linalg.norm(place - target)) for place in places if place is not None]

    with ReachingWorld(*PAINTED) as world:
        assert world.wears_colour
        target = world.pixel(world.target)
        assert max(offs("true masks")) < 5
        assert max(offs("true, robot left in")) > 20


def test_no_room_that_fits_is_an_error_and_frees_what_was_drawn(opengl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = ReachingWorld.close
    monkeypatch.setattr(ReachingWorld, "_staged", lambda self, rng: False)
    monkeypatch.setattr(ReachingWorld, "close", lambda self: (closed.append(self.seed), close(self)))
    monkeypatch.setattr("robotseg_ros.experiments.reaching_world._ROOMS", 2)
    with pytest.raises(RuntimeError, match="no world for panda, seed 3"):
        ReachingWorld("panda", 3)
    assert closed == [3, 3]


def test_predicted_masks_are_of_the_images_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    hand, robot = PredictedMasks(build_network("robotseg_nano")).see(image, np.zeros((48, 64), np.uint8))
    assert hand.shape == robot.shape == (48, 64) and hand.dtype == robot.dtype == bool


def moving(offset: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A patterned arm, so many pixels to the right of its start, before a wall with another pattern; and its mask."""
    rng = np.random.default_rng(0)
    wall, arm = (cv2.GaussianBlur(rng.uniform(0, 255, (120, 160, 3)), (0, 0), 2.5) for _ in range(2))
    image, mask = np.clip(2 * wall - 128, 0, 255), np.zeros((120, 160), bool)
    mask[20:90, 50 + offset : 80 + offset] = True
    image[mask] = np.roll(np.clip(2 * arm - 128, 0, 255), offset, 1)[mask]
    return image.astype(np.uint8), mask


def test_without_masks_the_robot_is_what_moved_and_its_hand_hangs_lowest() -> None:
    perception, truth = MovedPixels(), np.zeros((120, 160), np.uint8)
    hand, robot = perception.see(moving(0)[0], truth)
    assert not hand.any() and robot.all(), "before anything has moved everything may be robot"
    image, mask = moving(4)
    hand, robot = perception.see(image, truth)
    assert (robot & mask).sum() / (robot | mask).sum() > 0.6
    assert 0 < hand.sum() < robot.sum() and np.nonzero(hand)[0].min() > 55
    still_hand, still_robot = perception.see(image, truth)
    assert np.array_equal(still_hand, hand) and np.array_equal(still_robot, robot), "the last answer holds"


@pytest.mark.slow
@pytest.mark.timeout(900)  # four whole episodes
def test_two_processes_play_what_one_plays(opengl: None, tmp_path: Path) -> None:
    network: RobotSeg = load_model("robotseg_nano")
    one, two = (loop.episodes(network, tmp_path / str(count), 2, processes=count) for count in (1, 2))
    assert [result["index"] for result in two] == [0, 1]
    assert one == two
    for name in ("00_panda.png", "01_ur5e.png"):
        films = [cv2.imread(str(tmp_path / count / "films" / name)) for count in ("1", "2")]
        assert films[0] is not None and np.array_equal(*films), name
