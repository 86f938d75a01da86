"""Visual servoing without calibration: moves a robot's hand to what has a colour, as one camera sees them.

`Reach` is the policy of examples/policy_mask_conditioning.py, `Servo` that of the experiment `closed-loop`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def coloured(image: Image, colour: NDArray[np.uint8], least_likeness: float = 0.985) -> Mask:
    """Pixels (H, W) of an image (H, W, 3) that have a colour (3,), bright or dim: light and shadow on a thing do not matter.

    least_likeness: cosine of the angle between the colours.
    """
    colours, wanted = image.astype(np.float64) + 1e-6, colour.astype(np.float64)
    likeness = (colours @ wanted) / (np.linalg.norm(colours, axis=-1) * np.linalg.norm(wanted))
    return (likeness > least_likeness) & (image.max(-1) > 0.3 * wanted.max())


class Reach:
    """Velocity from the masked part's centre to the target's, in the image plane.

    Gives (6,): x to the right and y down, in `gain` per image width; nothing where part or target is not to be seen.
    """

    def __init__(self, target: NDArray[np.uint8], gain: float = 0.5, least_pixels: int = 12) -> None:
        self.target, self.gain, self.least_pixels = target, gain, least_pixels

    def __call__(self, image: Image, mask: Mask) -> Floats:
        action = np.zeros(6)
        there, here = coloured(image, self.target), mask
        if there.sum() >= self.least_pixels and here.sum() >= self.least_pixels:
            offset = np.argwhere(there).mean(0) - np.argwhere(here).mean(0)
            action[:2] = self.gain * offset[::-1] / image.shape[1]
        return action


class BallFinder:
    """Where a ball of a colour lies that does not move, in the images of a camera that does not move.

    Pixels of the robot tell nothing of what is behind them; what counts is how often a pixel that was seen had the colour.
    """

    def __init__(self, colour: NDArray[np.uint8], least_pixels: int = 25) -> None:
        self.colour, self.least_pixels = colour, least_pixels
        self.place: Floats | None = None
        self._hits: NDArray[np.int64] | int = 0
        self._views: NDArray[np.int64] | int = 0

    def look(self, image: Image, robot: Mask) -> Floats | None:
        """The ball's middle (x, y) in pixels after one more image (H, W, 3) with its mask (H, W); None: not found yet."""
        self._hits = self._hits + (coloured(image, self.colour) & ~robot)
        self._views = self._views + ~robot
        if found := self.candidates():
            self.place = found[0]
        return self.place

    def candidates(self) -> list[Floats]:
        """Middles (x, y) of all that looks like the ball, the largest first."""
        seen = np.asarray(self._hits >= 0.6 * np.maximum(self._views, 1))
        _, _, boxes, centres = cv2.connectedComponentsWithStats(seen.astype(np.uint8))
        round_ones = [i for i in range(1, len(boxes)) if self._is_round(*boxes[i, 2:])]
        return [centres[i] for i in sorted(round_ones, key=lambda i: -boxes[i, 4])]

    def _is_round(self, width: int, height: int, area: int) -> bool:
        shape, fill = min(width, height) / max(width, height), area / (np.pi / 4 * width * height)
        return area >= self.least_pixels and shape > 0.65 and 0.75 < fill < 1.2


class ImageJacobian:
    """How far a move of the hand (metres) shifts it in the image (pixels): least squares over all moves so far."""

    def __init__(self) -> None:
        self._shift_by_move, self._move_by_move = np.zeros((2, 2)), np.zeros((2, 2))

    def add(self, move: Floats, shift: Floats) -> None:
        """A move (2,) and the shift (2,) that was seen after it."""
        self._shift_by_move += np.outer(shift, move)
        self._move_by_move += np.outer(move, move)

    @property
    def matrix(self) -> Floats | None:
        """(2, 2) pixels per metre; None until moves in two directions have been seen to shift the hand in two."""
        if np.linalg.det(self._move_by_move) < 1e-8:
            return None
        matrix = self._shift_by_move @ np.linalg.inv(self._move_by_move)
        return matrix if np.linalg.cond(matrix) < 30 else None


class Servo:
    """Moves a hand in a plane to a ball of a colour; learns from its own moves how they look in the image.

    The first three moves are to try that out. `done` once the hand was where the ball is seen for three images.
    """

    def __init__(self, colour: NDArray[np.uint8], step: float = 0.04) -> None:
        """step: length of a move at most, in metres."""
        self.step, self.ball, self.jacobian = step, BallFinder(colour), ImageJacobian()
        self.hand: Floats | None = None
        self.arrived = 0
        self._trials = [step * np.array(move) for move in ((0.0, -1.0), (-1.0, 0.0), (0.0, 1.0))]
        self._before: Image | None = None
        self._last = np.zeros(2)

    @property
    def done(self) -> bool:
        """Whether it has arrived."""
        return self.arrived >= 3

    def __call__(self, image: Image, hand: Mask, robot: Mask) -> Floats:
        """The next move (2,) in metres, from an image (H, W, 3), the pixels (H, W) of the hand, and those of the robot, in
        which no ball is looked for; masks may be empty."""
        target = self.ball.look(image, robot)
        self._follow(image, largest_piece(hand))
        if self._trials:
            return self._trials.pop()
        matrix = self.jacobian.matrix
        if target is None or self.hand is None or matrix is None:
            return np.zeros(2)
        move = 0.8 * np.linalg.solve(matrix, target - self.hand)
        self.arrived = self.arrived + 1 if np.linalg.norm(move) < 0.2 * self.step else 0
        return np.asarray(move * min(1.0, self.step / max(1e-9, float(np.linalg.norm(move)))), np.float64)

    def moved(self, move: Floats) -> None:
        """What came of the move, (2,) in metres: the joints' encoders tell."""
        self._last = move

    def _follow(self, image: Image, hand: Mask, least_pixels: int = 12) -> None:
        """Where the hand is now: between where it is seen and where the last move should have taken it."""
        before, self._before = self._before, image
        seen = np.argwhere(hand).mean(0)[::-1] if hand.sum() >= least_pixels else None
        if seen is not None and before is not None:
            self.jacobian.add(self._last, np.median(shift(before, image)[hand], axis=0))
        matrix = self.jacobian.matrix
        places = [] if seen is None else [seen]
        if self.hand is not None and matrix is not None:
            places.append(self.hand + matrix @ self._last)
        self.hand = np.mean(places, axis=0) if places else self.hand


def shift(before: Image, now: Image) -> NDArray[np.float32]:
    """By how much what is at each pixel of an image (H, W, 3) has moved since another one: (H, W, 2), x and y in pixels."""
    then, here = (cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for image in (before, now))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(here, then, None)
    return -np.asarray(flow, np.float32)


def largest_piece(mask: Mask) -> Mask:
    """The mask's (H, W) largest connected piece."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(pieces == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else mask
