"""Smooth random motion: joint paths that stay above the table, camera paths that look at the robot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from . import assets
from .scene import Mounted, Scene

Array = NDArray[np.float64]
CAMERAS = ("fixed", "handheld", "orbit", "dolly", "wrist", "away")


class Kinematics:
    """A robot's joints, and the parts whose height decides whether a configuration is allowed.

    Robots of one scene share `data`, the state of the world.
    """

    def __init__(self, scene: Scene, robot: Mounted | None = None, data: Any = None):
        self.mj = assets.import_mujoco()
        self.robot, self.model = robot or scene.robots[0], scene.model
        self.data = self.mj.MjData(scene.model) if data is None else data
        entry, prefix, model = self.robot.entry, self.robot.prefix, scene.model
        fingers = {f"{prefix}g{i}/{n}": (o, c) for i, g in enumerate(entry.grippers) for n, o, c in g.fingers}
        names = [model.joint(index).name for index in range(model.njnt)]
        self.arm = [i for i, name in enumerate(names) if name.startswith(prefix) and name[len(prefix)] != "g"]
        self.fingers = [(model.jnt_qposadr[names.index(name)], *ends) for name, ends in fingers.items()]
        self.address = model.jnt_qposadr[self.arm]
        limited = model.jnt_limited[self.arm].astype(bool)
        self.home = np.resize(np.array(entry.home, float), len(self.arm))
        reach = np.where(limited[:, None], model.jnt_range[self.arm], self.home[:, None] + np.array([-3.1, 3.1]))
        self.low, self.high = reach[:, 0] + 0.02, reach[:, 1] - 0.02
        self.home = np.clip(self.home, self.low, self.high)
        self.hand = model.body(f"{prefix}{entry.grippers[0].body}").id
        self.grip = model.site(f"{prefix}g0/grip_site").id
        self.width = np.array([0.0 if any(word in names[i] for word in entry.still) else 0.45 for i in self.arm])
        if not entry.arm_roots:
            self.width[0], self.width[-1] = 0.7, 1.0
        owner = [model.body(body).name for body in model.geom_bodyid]
        mine = np.array([name.startswith(prefix) for name in owner])
        self.arms = np.flatnonzero(mine & np.isin(scene.labels, (assets.ARM, assets.GRIPPER)))
        self.fist = self.arms[[owner[geom].startswith(f"{prefix}g0/") for geom in self.arms]]
        self.moving = self.arms[self._joints_above(model)[model.geom_bodyid[self.arms]] >= 3]

    @staticmethod
    def _joints_above(model: Any) -> NDArray[np.int64]:
        """Number of joints between the world and each body (nbody,)."""
        count = np.zeros(model.nbody, np.int64)
        for body in range(1, model.nbody):
            count[body] = count[model.body_parentid[body]] + model.body_jntnum[body]
        return count

    def set(self, arm: Array, opening: float) -> None:
        """Moves the robot: `arm` joint values, `opening` from 0 (closed) to 1 (open)."""
        self.data.qpos[self.address] = arm
        for address, opened, closed in self.fingers:
            self.data.qpos[address] = closed + (opened - closed) * opening
        self.mj.mj_kinematics(self.model, self.data)

    def lowest(self) -> float:
        """Height (m) of the lowest corner of the moving links' bounding boxes."""
        up = self.data.geom_xmat[self.moving].reshape(-1, 3, 3)[:, 2]
        centre, half = self.model.geom_aabb[self.moving, :3], self.model.geom_aabb[self.moving, 3:]
        heights = self.data.geom_xpos[self.moving, 2] + (up * centre).sum(1) - (np.abs(up) * half).sum(1)
        return float(heights.min())

    def grip_point(self) -> Array:
        """World position (3,) between the first gripper's fingers, or its middle if the file does not say."""
        site, hand = self.data.site_xpos[self.grip], self.data.xpos[self.hand]
        return site if np.linalg.norm(site - hand) > 0.02 else self.data.geom_xpos[self.fist].mean(0)

    def allowed(self, arm: Array, opening: float = 1.0) -> bool:
        """Whether the links stay above the table and the hand away from the robot's own base."""
        self.set(arm, opening)
        grip = self.grip_point() - self.robot.base
        clear = len(self.robot.entry.grippers) > 1 or np.hypot(grip[0], grip[1]) > 0.2 or grip[2] > 0.6
        return bool(clear and self.lowest() > self.robot.floor + 0.005)

    def sample(self, rng: np.random.Generator, scale: float) -> Array:
        """A random allowed configuration around home; home itself if none was found."""
        for _ in range(40):
            arm = self.home + rng.normal(size=len(self.arm)) * self.width * scale * self.robot.entry.spread
            arm = np.clip(arm, self.low, self.high)
            if self.allowed(arm):
                return arm
            scale *= 0.95
        return self.home.copy()


def joint_path(
    kin: Kinematics, rng: np.random.Generator, frames: int, duration: float, calm: bool = False
) -> tuple[Array, Array]:
    """Joint values (frames, joints) and gripper openings (frames,) of a smooth motion of `duration` seconds.

    `calm` means a pose every 1.5 s and a hand that opens and closes fully in turn.
    """
    time = np.linspace(0, 1, frames)
    knots = max(2, int(round(duration / rng.uniform(0.8, 2.0))) + 1)
    levels = np.repeat(rng.uniform(0, 1, knots), 2) if rng.uniform() < 0.7 else np.full(2 * knots, rng.uniform())
    if calm:
        knots = int(round(duration / 1.5)) + 1
        levels = np.repeat(np.arange(knots) % 2, 2).astype(float)
    opening = np.interp(time, np.linspace(0, 1, 2 * knots), levels)
    scale = rng.uniform(0.5, 1.3)
    local = rng.uniform(0.25, 1.0)
    if calm:
        scale, local = 0.75, 1.0
    path = np.repeat(kin.home[None], frames, 0)
    for _ in range(12):
        first = kin.sample(rng, scale)
        points = [first]
        for _ in range(knots - 1):
            points.append(first + (kin.sample(rng, scale) - first) * local)
        path = CubicSpline(np.linspace(0, 1, knots), np.array(points), bc_type="clamped")(time)
        path = np.clip(path, kin.low, kin.high)
        if all(kin.allowed(arm, gap) for arm, gap in zip(path[::3], opening[::3], strict=True)):
            break
        scale *= 0.85
        local *= 0.8
    return path, opening


@dataclass
class CameraPath:
    """Camera positions (frames, 3), quaternions (frames, 4) and the vertical field of view (degrees)."""

    position: Array
    quaternion: Array
    fovy: float
    kind: str


def look_at(position: Array, target: Array, roll: float = 0.0) -> Array:
    """Quaternion (w, x, y, z) of a camera at `position` that looks at `target`, rolled by `roll` radians."""
    back = position - target
    back = back / max(1e-9, float(np.linalg.norm(back)))
    right = np.cross([0, 0, 1], back)
    if np.linalg.norm(right) < 1e-3:
        right = np.array([1.0, 0, 0])
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    matrix = np.stack([cosine * right + sine * up, cosine * up - sine * right, back], 1)
    quaternion = np.zeros(4)
    assets.import_mujoco().mju_mat2Quat(quaternion, matrix.ravel())
    return quaternion


def wander(rng: np.random.Generator, frames: int, scale: float, knots: int) -> Array:
    """A smooth random walk (frames, 3) around zero of about `scale`."""
    points = rng.normal(size=(max(2, knots), 3)) * scale
    return CubicSpline(np.linspace(0, 1, len(points)), points)(np.linspace(0, 1, frames))


@dataclass
class View:
    """One guess of how to film: direction, distance, target and kind; turned into a path by `camera_path`."""

    kind: str
    azimuth: float
    elevation: float
    distance: float
    target: Array
    fovy: float
    roll: float


def random_view(rng: np.random.Generator, kind: str, target: Array, calm: bool = False) -> View:
    """A random view of `target` from a random side, mostly from above; `calm` means from the front."""
    if calm:
        azimuth = rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)
        return View(kind, azimuth, rng.uniform(0.25, 0.5), 1.3, target, rng.uniform(42, 52), 0.0)
    return View(
        kind=kind,
        azimuth=rng.uniform(-np.pi, np.pi) if rng.uniform() < 0.5 else rng.normal(0, 0.9),
        elevation=float(np.clip(rng.normal(0.45, 0.35), -0.15, 1.4)),
        distance=rng.uniform(0.7, 1.6),
        target=target,
        fovy=rng.uniform(35, 70),
        roll=rng.normal(0, 0.04),
    )


def camera_path(view: View, rng: np.random.Generator, frames: int, duration: float, room: float) -> CameraPath:
    """Turns a view into a path of `frames` poses over `duration` seconds, within the room."""
    time = np.linspace(0, 1, frames)
    azimuth, distance = np.full(frames, view.azimuth), np.full(frames, view.distance)
    elevation, target = np.full(frames, view.elevation), np.repeat(view.target[None], frames, 0)
    if view.kind == "orbit":
        azimuth = azimuth + rng.uniform(-0.8, 0.8) * (time - 0.5)
        elevation = elevation + rng.uniform(-0.2, 0.2) * (time - 0.5)
    elif view.kind == "dolly":
        distance = distance * (1 + rng.uniform(-0.45, 0.45) * (time - 0.5))
        target = target + np.outer(time - 0.5, rng.normal(0, 0.12, 3))
    elif view.kind == "away":
        side = np.array([-np.sin(view.azimuth), np.cos(view.azimuth), 0.0]) * rng.choice([-1, 1])
        leaves, returns = rng.uniform(0.05, 0.4), rng.uniform(0.65, 0.95) if rng.uniform() < 0.6 else 2.0
        swing = np.clip(np.minimum(time - leaves, returns - time) * 4, 0, 1) * view.distance * rng.uniform(0.9, 1.8)
        target = target + np.outer(swing, side)
    direction = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1
    )
    position = target + direction * distance[:, None]
    if view.kind == "away":
        position = view.target + direction * distance[:, None]
    if view.kind != "fixed":
        shake = rng.uniform(0.3, 1.0)
        position = position + wander(rng, frames, 0.012 * shake, int(2 * duration) + 2)
        target = target + wander(rng, frames, 0.02 * shake, int(2 * duration) + 2)
    position = np.clip(position, [-room, -room, 0.06], [room, room, 2.7])
    turns = np.array([look_at(p, t, view.roll) for p, t in zip(position, target, strict=True)])
    return CameraPath(position, turns, view.fovy, view.kind)


def wrist_path(kin: Kinematics, rng: np.random.Generator, path: Array, opening: Array) -> CameraPath:
    """A camera bolted beside the hand that looks along the fingers, for each configuration of `path`."""
    kin.set(path[0], opening[0])
    hand, grip = kin.data.xpos[kin.hand], kin.grip_point()
    turn = kin.data.xmat[kin.hand].reshape(3, 3)
    along = turn.T @ (grip - hand)
    length = max(0.08, float(np.linalg.norm(along)))
    along = along / max(1e-6, np.linalg.norm(along))
    side = rng.normal(size=3)
    side -= along * (side @ along)
    side /= np.linalg.norm(side)
    spot = side * rng.uniform(0.07, 0.16) + along * rng.uniform(-0.12, 0.03)
    focus = along * (length + rng.uniform(0.0, 0.15)) + side * rng.uniform(-0.03, 0.03)
    roll = float(rng.choice([0, 0, np.pi / 2, np.pi])) + rng.normal(0, 0.05)
    positions, turns = [], []
    mount = np.zeros(4)
    back = spot - focus
    back /= np.linalg.norm(back)
    right = np.cross(side, back)
    right /= np.linalg.norm(right)
    local = np.stack([right, np.cross(back, right), back], 1)
    spin = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    for arm, gap in zip(path, opening, strict=True):
        kin.set(arm, gap)
        turn = kin.data.xmat[kin.hand].reshape(3, 3)
        positions.append(kin.data.xpos[kin.hand] + turn @ spot)
        kin.mj.mju_mat2Quat(mount, (turn @ local @ spin).ravel())
        turns.append(mount.copy())
    return CameraPath(np.array(positions), np.array(turns), rng.uniform(50, 85), "wrist")
