"""A rendered room in which a robot's hand can be moved towards a ball, frame by frame; the same again for the same seed.

The hand moves in the horizontal plane of the balls' middles. Nothing collides: the arm is set as inverse kinematics says.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from ..conditioning import grown
from ..dataset.rendering import motion, postprocess
from ..dataset.rendering.embodiments import embodiment
from ..dataset.rendering.painter import Painter
from ..dataset.rendering.scene import Mounted, Scene, SceneBuilder, part_labels
from ..visual_servoing import BallFinder
from .hand import Hand

Floats = NDArray[np.float64]
SIZE = (320, 240)
SUPERSAMPLE = 2
BALL = 0.03  # radius in metres
OTHERS = 6  # balls that are not the target
ROBOT_WEARS_COLOUR = 0.5  # share of the rooms tried; of the worlds fewer, as these fit less often
_ROOMS, _STAGINGS = 30, 12


class ReachingWorld:
    """A robot, a target ball, other balls and clutter in a room with textures that training never shows.

    Of the other balls half have a colour beside the target's, half one of the robot's; where `wears_colour`, some of the
    robot's links are painted like the target. The first images show gripper and target, and nothing else that would be
    taken for the target once the robot is left out: whether the target can be told from the room is not the question.
    One world at a time: those of a process share an OpenGL context, and another one that is open disturbs the textures.
    """

    def __init__(self, robot: str, seed: int) -> None:
        """Raises assets.MissingAssets where it cannot be rendered, RuntimeError where no room was found to fit."""
        self.robot, self.seed = robot, seed
        for room in range(_ROOMS):
            rng = np.random.default_rng([seed, room])
            self._build(rng)
            if any(self._staged(rng) for _ in range(_STAGINGS)):
                return
            self.close()
        raise RuntimeError(f"no world for {robot}, seed {seed}, in {_ROOMS} rooms")

    def __enter__(self) -> ReachingWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees what drawing holds."""
        self._painter.close()

    def reset(self) -> None:
        """Back to the beginning."""
        self.hand.joints = self._start
        self._frame = 0

    def move(self, step: Floats) -> Floats:
        """Moves the hand by (2,) metres along the base's x and y, as far as it gets; returns by how much it did."""
        before = self.hand.place
        goal = np.array([*(before[:2] + step), self.target[2]])
        return (self.hand.move_to(goal) - before)[:2]

    @property
    def distance(self) -> float:
        """Metres between the gripper's and the ball's middle."""
        return float(np.linalg.norm(self.hand.place - self.target))

    def frame(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The camera's next image (H, W, 3), and the true labels (H, W): 1 arm, 2 gripper."""
        self._painter.pose(self.hand.kin.data, self._eye, self._turn, self._fovy)
        wide = self._painter.image(SUPERSAMPLE * SIZE[0], SUPERSAMPLE * SIZE[1], self._shadows)
        image = np.asarray(cv2.resize(wide, SIZE, interpolation=cv2.INTER_AREA), np.uint8)
        labels = self._painter.parts(*SIZE)
        if self._frame == 0:
            self._look = postprocess.expose(self._camera, image)
        image = postprocess.apply(self._look, image, self._frame)
        self._frame += 1
        return image, np.ascontiguousarray(labels)

    def pixel(self, point: Floats) -> Floats:
        """Where the camera sees a world position (3,): (x, y) in pixels."""
        axes = np.zeros(9)
        self.hand.kin.mj.mju_quat2Mat(axes, self._turn)
        right, up, back = axes.reshape(3, 3).T @ (point - self._eye)
        focal = SIZE[1] / 2 / np.tan(np.radians(self._fovy) / 2)
        return np.array([SIZE[0] / 2 - focal * right / back, SIZE[1] / 2 + focal * up / back]) - 0.5

    def _build(self, rng: np.random.Generator) -> None:
        entry = embodiment(self.robot)
        builder = SceneBuilder(entry, rng, evaluation=True, side=(SUPERSAMPLE * SIZE[0], SUPERSAMPLE * SIZE[1]))
        self._room = builder.room()
        height, base = builder.table()
        builder.clutter(height)
        self._shadows = bool(rng.uniform() < 0.7)
        builder.lights(self._shadows)
        robot = builder.mount(Mounted(entry, "r/", base, height))
        for index in range(1 + OTHERS):
            body = builder.spec.worldbody.add_body(name=f"ball{index}")
            builder.geom(body, "sphere", BALL, name=f"ball{index}")
            builder.geom(body, "cylinder", (0.004, 1.0), (0, 0, -1), rgba=(0.3, 0.3, 0.3, 1), name=f"post{index}")
        model = builder.spec.compile()
        scene = Scene(model, [robot], part_labels(model, [robot]), self._room)
        self._paint(scene, rng)
        self._painter = Painter(scene)
        self._kin = motion.Kinematics(scene)
        self._camera = postprocess.random_look(rng)
        self._look = self._camera

    def _paint(self, scene: Scene, rng: np.random.Generator) -> None:
        """Colours of the balls and, in some worlds, of the robot's links."""
        model, robot = scene.model, np.flatnonzero(scene.labels)
        hue = rng.uniform()
        colour = _vivid(hue, rng)
        self.colour = np.round(255 * colour).astype(np.uint8)
        self.wears_colour = bool(rng.uniform() < ROBOT_WEARS_COLOUR)
        model.geom("ball0").rgba[:3] = colour
        for index in range(1, 1 + OTHERS):
            beside = _vivid(hue + rng.choice([-1, 1]) * rng.uniform(0.1, 0.17), rng)
            model.geom(f"ball{index}").rgba[:3] = beside if index % 2 else model.geom_rgba[rng.choice(robot), :3]
        if self.wears_colour:
            bodies = np.unique(model.geom_bodyid[robot])
            chosen = rng.choice(bodies, max(1, len(bodies) // 3), replace=False)
            painted = robot[np.isin(model.geom_bodyid[robot], chosen)]
            model.geom_rgba[painted, :3] = np.clip(colour * rng.uniform(0.85, 1.1), 0, 1)

    def _staged(self, rng: np.random.Generator) -> bool:
        """Draws a posture, places of the balls and a camera; says whether they will do."""
        self.hand = Hand(self._kin, self._kin.sample(rng, 0.4))
        self._start, start = self.hand.joints, self.hand.place
        places = self._places(rng, start)
        if not places:
            return False
        self.target = places[0]
        if not self._in_reach():
            return False
        self._set_balls(places)
        self._set_camera(rng, (start + self.target) / 2)
        self.reset()
        seen = self._target_is_plain()
        self.reset()
        return seen

    def _places(self, rng: np.random.Generator, start: Floats) -> list[Floats]:
        """Where the balls stand: around the base, about as far from it as the hand; none where they do not fit."""
        base, places = self._kin.robot.base, list[Floats]()
        (x, y), height = (start - base)[:2], start[2]
        for _ in range(200):
            angle, away = np.arctan2(y, x) + rng.uniform(-1.2, 1.2), np.hypot(x, y) * rng.uniform(0.6, 1.4)
            place = np.array([base[0] + away * np.cos(angle), base[1] + away * np.sin(angle), height])
            least, most = (0.15, 0.4) if not places else (4 * BALL, np.inf)
            apart = [np.linalg.norm(place - other) for other in places]
            if least < np.linalg.norm(place - start) < most and all(gap > 3 * BALL for gap in apart):
                places.append(place)
            if len(places) == 1 + OTHERS:
                return places
        return []

    def _in_reach(self) -> bool:
        reached = self.hand.move_to(self.target)
        good = np.linalg.norm(reached - self.target) < 0.01 and self._kin.allowed(self.hand.joints)
        self.hand.joints = self._start
        return bool(good)

    def _set_balls(self, places: list[Floats]) -> None:
        model, floor = self._kin.model, self._kin.robot.floor
        for index, place in enumerate(places):
            model.body(f"ball{index}").pos = place
            half = max(0.001, (place[2] - floor) / 2)
            model.geom(f"post{index}").size[1], model.geom(f"post{index}").pos[2] = half, -half

    def _set_camera(self, rng: np.random.Generator, middle: Floats) -> None:
        """A camera that looks down at a place from somewhere before the robot."""
        azimuth, elevation, away = rng.normal(0, 0.6), rng.uniform(0.45, 0.9), rng.uniform(0.8, 1.3)
        direction = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        corner = np.array([self._room, self._room, 2.7])
        self._eye = np.clip(middle + away * direction, -corner, corner)
        self._turn = motion.look_at(self._eye, middle + rng.normal(0, 0.04, 3), rng.normal(0, 0.04))
        self._fovy = float(rng.uniform(40, 60))

    def _target_is_plain(self) -> bool:
        """Whether the first images show a whole gripper and, the robot left out, the target as the one thing of its look."""
        finder = BallFinder(self.colour)
        for _ in range(3):  # the camera's noise differs
            image, labels = self.frame()
            gripper = labels == 2
            border = np.concatenate([gripper[0], gripper[-1], gripper[:, 0], gripper[:, -1]])
            if border.any() or gripper.sum() < 200:
                return False
            finder.look(image, grown(labels > 0, 2))
            found = finder.candidates()
            if len(found) != 1 or np.linalg.norm(found[0] - self.pixel(self.target)) > 3:
                return False
        return True


def _vivid(hue: float, rng: np.random.Generator) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.75, 0.95), rng.uniform(0.75, 1)))
