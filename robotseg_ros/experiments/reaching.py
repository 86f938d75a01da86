"""One episode of reaching: what a policy is told of the robot in each image, and how near it brings the hand to the ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conditioning import grown
from ..evaluation.measures import jaccard
from ..model import RobotSeg
from ..streaming import StreamSegmenter
from ..visual_servoing import Servo, largest_piece, shift
from .reaching_world import ReachingWorld

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOVES = 20
"""Moves at most in an episode."""
REACHED = 0.05
"""Metres between the middles of gripper and ball at which the ball counts as reached: it is between the fingers."""
_MARGIN = 2  # pixels around the robot in which no ball is looked for


class Perception(Protocol):
    """Where hand and robot are in the images of an episode, one after the other."""

    def see(self, image: Image, truth: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        """The pixels (H, W) of the hand and of the whole robot in an image (H, W, 3); no pixels where they are not seen.

        truth: labels (H, W), 1 arm, 2 gripper, for those that are allowed to know.
        """
        ...


class TrueMasks:
    """The renderer's masks."""

    def see(self, image: Image, truth: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        return truth == 2, truth > 0


class PredictedMasks:
    """The network's masks, in streaming mode and without prompts, as on a robot."""

    def __init__(self, network: RobotSeg) -> None:
        self._stream = StreamSegmenter(network, ("gripper", "robot"), fill_hole_area=network.config.fill_hole_area)

    def see(self, image: Image, truth: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        masks = self._stream.step(image).masks
        return masks["gripper"], masks["robot"]


class MovedPixels:
    """No masks: the robot is what moved since the last image, its hand what moved fastest and hangs lowest.

    That works here because camera and room stand still; shadows move too. While nothing moves, the last answer holds, and
    before anything has moved everything may be robot. Its constants were chosen on other worlds than the experiment's.
    """

    least_shift = 1.0  # pixels
    hand_speed = 0.6  # of the fastest
    hand_share = 0.3  # of what is as fast: the wrist above the gripper is, too

    def __init__(self) -> None:
        self._before: Image | None = None
        self._last: tuple[Mask, Mask] | None = None

    def see(self, image: Image, truth: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        before, self._before = self._before, image
        if before is not None:
            speed = np.linalg.norm(shift(before, image), axis=-1) * _changed(before, image)
            robot = speed > self.least_shift
            if robot.sum() > 50:
                fast = largest_piece(speed > self.hand_speed * np.percentile(speed[robot], 95))
                self._last = _lower_part(fast, self.hand_share), robot
        return self._last or (np.zeros(image.shape[:2], bool), np.ones(image.shape[:2], bool))


def _changed(before: Image, now: Image) -> Mask:
    """Pixels (H, W) that differ by more than the camera's noise, and those around them."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for image in (before, now)]
    difference = cv2.absdiff(*grey)
    return grown(difference > max(6.0, 9.0 * float(np.median(difference))), 2)


def _lower_part(mask: Mask, share: float) -> Mask:
    """The lowest pixels, a share of all."""
    lower = mask.copy()
    lower[: int(np.quantile(np.nonzero(mask)[0], 1 - share))] = False
    return lower


@dataclass(frozen=True)
class Condition:
    """How a policy knows the robot. robot_left_in: it looks for the ball on the robot too."""

    perception: Callable[[RobotSeg], Perception]
    robot_left_in: bool = False


CONDITIONS: dict[str, Condition] = {
    "true masks": Condition(lambda network: TrueMasks()),
    "true, robot left in": Condition(lambda network: TrueMasks(), robot_left_in=True),
    "predicted masks": Condition(PredictedMasks),
    "predicted, robot left in": Condition(PredictedMasks, robot_left_in=True),
    "no masks: motion": Condition(lambda network: MovedPixels()),
}


@dataclass(frozen=True)
class Shot:
    """What the policy knew at one step, for people: pixels of hand and robot, where it thinks hand and ball are."""

    image: Image
    hand_mask: Mask
    robot: Mask
    hand: Floats | None
    ball: Floats | None


@dataclass
class Episode:
    """How it went. distances: metres from the ball before each move and at the end; gripper, robot: J by image."""

    distances: list[float] = field(default_factory=list)
    gripper: list[float] = field(default_factory=list)
    robot: list[float] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether the hand ended at the ball."""
        return self.distances[-1] < REACHED


def reach(world: ReachingWorld, condition: Condition, network: RobotSeg) -> Episode:
    """Lets the policy move the hand from the world's beginning, until it says that it has arrived or has no moves left."""
    perception, policy, episode = condition.perception(network), Servo(world.colour), Episode()
    world.reset()
    episode.distances.append(world.distance)
    for _ in range(MOVES):
        image, truth = world.frame()
        hand, robot = perception.see(image, truth)
        nowhere = np.zeros_like(robot)
        step = policy(image, hand, nowhere if condition.robot_left_in else grown(robot, _MARGIN))
        episode.gripper.append(jaccard(hand, truth == 2))
        episode.robot.append(jaccard(robot, truth > 0))
        episode.shots.append(Shot(image, hand, robot, policy.hand, policy.ball.place))
        if policy.done:
            break
        policy.moved(world.move(step))
        episode.distances.append(world.distance)
    return episode
