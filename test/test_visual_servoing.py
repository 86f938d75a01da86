"""Visual servoing on drawn worlds: what is taken for the ball, how moves look in the image, where the hand ends."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from robotseg_ros.visual_servoing import BallFinder, ImageJacobian, Reach, Servo, coloured, largest_piece, shift

RED = np.array([220, 40, 30], np.uint8)
HEIGHT, WIDTH = 120, 160
NOWHERE = np.zeros((HEIGHT, WIDTH), bool)


def disk(middle: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    """Pixels (HEIGHT, WIDTH) of a disk around (x, y)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(np.hypot(x - middle[0], y - middle[1]) <= radius)


def box(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    """Pixels (HEIGHT, WIDTH) of a rectangle, right and bottom left out."""
    mask = NOWHERE.copy()
    mask[top:bottom, left:right] = True
    return mask


def drawn(*things: tuple[NDArray[np.bool_], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """An image of a grey room with things in it, the last one in front."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for mask, colour in things:
        image[mask] = colour
    return image


def texture(seed: int) -> NDArray[np.uint8]:
    """A grey pattern (HEIGHT, WIDTH, 3) that optical flow can follow."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH))
    pattern = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 40, 200, cv2.NORM_MINMAX)
    return np.repeat(pattern.astype(np.uint8)[..., None], 3, axis=2)


def test_light_and_shadow_on_a_thing_do_not_change_its_colour() -> None:
    row = np.array([[RED, RED // 2, [40, 220, 30], [240, 240, 240], [0, 0, 0], RED // 10]], np.uint8)
    assert coloured(row, RED)[0].tolist() == [True, True, False, False, False, False]


def test_reach_goes_from_the_mask_to_the_colour_by_the_image_width() -> None:
    action = Reach(RED, gain=0.5)(drawn((disk((120, 30), 6), RED)), disk((40, 70), 8))
    assert action == pytest.approx([0.5 * 80 / WIDTH, 0.5 * -40 / WIDTH, 0, 0, 0, 0], abs=1e-9)


def test_reach_stays_where_it_is_without_ball_or_hand() -> None:
    ball, hand = disk((120, 30), 6), disk((40, 70), 8)
    assert not Reach(RED)(drawn(), hand).any()
    assert not Reach(RED)(drawn((ball, RED)), NOWHERE).any()
    assert Reach(RED)(drawn((ball, RED)), hand).any()


def test_the_robots_paint_is_not_taken_for_the_ball() -> None:
    robot, painted, ball = box(10, 10, 70, 110), disk((40, 40), 12), disk((120, 80), 6)
    image = drawn((robot, np.array([200, 200, 200], np.uint8)), (painted, RED), (ball, RED))
    assert BallFinder(RED).look(image, robot) == pytest.approx([120, 80])
    assert BallFinder(RED).look(image, NOWHERE) == pytest.approx([40, 40]), "left in, the larger one is the ball"


def test_a_ball_stays_where_it_was_seen_while_the_robot_is_before_it() -> None:
    finder, ball, robot = BallFinder(RED), disk((120, 80), 6), box(90, 50, 150, 110)
    finder.look(drawn((ball, RED)), NOWHERE)
    for _ in range(10):
        place = finder.look(drawn((ball, RED), (robot, np.array([200, 200, 200], np.uint8))), robot)
    assert place == pytest.approx([120, 80])
    assert len(finder.candidates()) == 1, "what the robot hides was not seen to be gone"


def test_a_ball_behind_the_robot_is_found_once_the_robot_has_moved_away() -> None:
    finder, ball, grey = BallFinder(RED), disk((120, 80), 6), np.array([200, 200, 200], np.uint8)
    whole, half = box(90, 50, 150, 110), box(90, 50, 120, 110)
    assert finder.look(drawn((ball, RED), (whole, grey)), whole) is None
    assert finder.look(drawn((ball, RED), (half, grey)), half) is None, "half a ball is not round"
    assert finder.look(drawn((ball, RED)), NOWHERE) == pytest.approx([120, 80])


def test_what_had_the_colour_in_one_image_of_many_is_no_ball() -> None:
    finder = BallFinder(RED)
    finder.look(drawn((disk((50, 50), 6), RED)), NOWHERE)
    for _ in range(2):
        finder.look(drawn((disk((120, 80), 6), RED)), NOWHERE)
    assert [place.tolist() for place in finder.candidates()] == [[120, 80]]


@pytest.mark.parametrize(
    "thing",
    [box(40, 50, 100, 58), disk((60, 60), 12) & ~disk((60, 60), 9), disk((60, 60), 2.3)],
    ids=["bar", "ring", "too small"],
)
def test_only_round_things_of_some_size_are_balls(thing: NDArray[np.bool_]) -> None:
    assert BallFinder(RED).look(drawn((thing, RED)), NOWHERE) is None


def test_the_image_jacobian_is_recovered_from_moves_in_two_directions() -> None:
    true, jacobian = np.array([[300.0, -80.0], [60.0, 250.0]]), ImageJacobian()
    assert jacobian.matrix is None
    for move in ((0.04, 0.0), (-0.03, 0.0)):
        jacobian.add(np.array(move), true @ move)
        assert jacobian.matrix is None, "one direction alone"
    jacobian.add(np.array([0.01, -0.04]), true @ [0.01, -0.04])
    assert jacobian.matrix == pytest.approx(true, rel=1e-6)


def test_moves_that_all_look_the_same_in_the_image_give_no_jacobian() -> None:
    jacobian = ImageJacobian()
    for move in ((0.04, 0.0), (0.0, 0.04), (-0.04, 0.01)):
        jacobian.add(np.array(move), np.array([200.0, 100.0]) * sum(move))
    assert jacobian.matrix is None


def test_shift_is_where_things_went() -> None:
    before = texture(0)
    moved = np.median(shift(before, np.roll(before, (2, -4), (0, 1))).reshape(-1, 2), axis=0)
    assert moved == pytest.approx([-4, 2], abs=0.2)


def test_largest_piece_leaves_the_others_out() -> None:
    assert np.array_equal(largest_piece(disk((40, 40), 10) | disk((100, 80), 5)), disk((40, 40), 10))
    assert not largest_piece(NOWHERE).any()


class Canvas:
    """A flat world: a red ball, and a disk for a hand that a move (metres) shifts by `matrix` (pixels per metre)."""

    matrix = np.array([[220.0, 60.0], [-45.0, 170.0]])
    ball = (118.0, 34.0)

    def __init__(self) -> None:
        self.hand = self._start = np.array([52.0, 78.0])

    def image(self) -> NDArray[np.uint8]:
        """The hand has a pattern of its own, and hides the ball where it is before it."""
        image = texture(1) // 4 + 60
        image[disk(self.ball, 5)] = RED
        move = np.hstack([np.eye(2), (self.hand - self._start)[:, None]])
        pattern = cv2.warpAffine(texture(2), move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_WRAP)
        image[self.mask()] = pattern[self.mask()]
        return image

    def mask(self) -> NDArray[np.bool_]:
        """Pixels of the hand."""
        return disk((self.hand[0], self.hand[1]), 14)

    def played(self, servo: Servo, unseen: range = range(0), moves: int = 20) -> list[float]:
        """Pixels from the ball after each move; in `unseen` images the mask is empty."""
        distances = []
        for index in range(moves):
            seen = NOWHERE if index in unseen else self.mask()
            move = servo(self.image(), seen, self.mask())
            if servo.done:
                break
            servo.moved(move)
            self.hand = self.hand + self.matrix @ move
            distances.append(float(np.linalg.norm(self.hand - self.ball)))
        return distances


def test_servo_brings_the_hand_to_the_ball_and_says_so() -> None:
    servo = Servo(RED)
    distances = Canvas().played(servo)
    assert servo.done and distances[-1] < 3, distances
    assert len(distances) > 5 and distances[3] > 20, "it was not there from the beginning"


def test_servo_goes_on_by_what_its_moves_do_while_the_hand_is_not_seen() -> None:
    servo = Servo(RED)
    distances = Canvas().played(servo, unseen=range(6, 20))
    assert servo.done and distances[-1] < 6, distances


def test_no_move_of_servo_is_longer_than_its_step() -> None:
    world, servo = Canvas(), Servo(RED, step=0.02)
    for _ in range(6):
        move = servo(world.image(), world.mask(), world.mask())
        assert np.linalg.norm(move) <= 0.02 + 1e-9
        servo.moved(move)
        world.hand = world.hand + world.matrix @ move
    assert np.linalg.norm(move) == pytest.approx(0.02), "far from the ball it makes whole steps"


@pytest.mark.parametrize("missing", ["hand", "ball"])
def test_servo_stands_still_after_its_trials_when_hand_or_ball_was_never_seen(missing: str) -> None:
    world, servo = Canvas(), Servo(RED)
    everywhere = np.ones_like(NOWHERE)
    for index in range(6):
        hand = NOWHERE if missing == "hand" else world.mask()
        move = servo(world.image(), hand, everywhere if missing == "ball" else world.mask())
        assert move.any() == (index < 3), f"image {index}"
        servo.moved(move)
        world.hand = world.hand + world.matrix @ move
    assert not servo.done
