"""A rendered robot's hand, moved by inverse kinematics: damped least squares within the joints' limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..dataset.rendering.motion import Kinematics

Floats = NDArray[np.float64]
_ITERATIONS, _DAMPING = 30, 0.03
_UPRIGHT = 0.15  # metres that a radian of turning counts as
_LONGEST = 0.25  # radians that a joint turns in one iteration


class Hand:
    """The middle of the box around a robot's first gripper, whose sides are along the hand's axes.

    The robot stands as `joints` (radians) say: set them, or move the hand, which keeps its orientation as well as it can.
    """

    def __init__(self, kin: Kinematics, joints: Floats) -> None:
        self.kin, self._joints = kin, joints
        kin.set(joints, 1.0)
        self._upright = self._turn()
        self._middle = self._box_middle()
        self._columns = kin.model.jnt_dofadr[kin.arm]

    @property
    def joints(self) -> Floats:
        """Joint values (n,)."""
        return self._joints

    @joints.setter
    def joints(self, joints: Floats) -> None:
        self._joints = joints
        self.kin.set(joints, 1.0)

    @property
    def place(self) -> Floats:
        """World position (3,) in metres."""
        return self.kin.data.xpos[self.kin.hand] + self._turn() @ self._middle

    def move_to(self, goal: Floats) -> Floats:
        """Brings the hand as near to a world position (3,) as it gets; returns where it is then."""
        for _ in range(_ITERATIONS):
            offset = goal - self.place
            if np.linalg.norm(offset) < 1e-3:
                break
            turn = 0.5 * np.cross(self._turn(), self._upright, axis=0).sum(1)
            error = np.concatenate([offset, _UPRIGHT * turn])
            jacobian = self._jacobian()
            damped = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
            change = jacobian.T @ np.linalg.solve(damped, error)
            change *= min(1.0, _LONGEST / max(1e-9, float(np.abs(change).max())))
            self.joints = np.clip(self.joints + change, self.kin.low, self.kin.high)
        return self.place

    def _turn(self) -> Floats:
        turn: Floats = self.kin.data.xmat[self.kin.hand].reshape(3, 3).copy()
        return turn

    def _box_middle(self) -> Floats:
        """In the hand's frame."""
        kin, corners = self.kin, []
        for geom in kin.fist:
            box = kin.model.geom_aabb[geom]
            signs = 2 * np.array(list(np.ndindex(2, 2, 2))) - 1
            inside = kin.data.geom_xmat[geom].reshape(3, 3) @ (box[:3] + signs * box[3:]).T
            corners.append(kin.data.geom_xpos[geom] + inside.T - kin.data.xpos[kin.hand])
        boxed = np.concatenate(corners) @ self._turn()
        return (boxed.min(0) + boxed.max(0)) / 2

    def _jacobian(self) -> Floats:
        """(6, n): metres of the hand and weighted radians for each joint."""
        kin = self.kin
        kin.mj.mj_comPos(kin.model, kin.data)
        linear, angular = np.zeros((3, kin.model.nv)), np.zeros((3, kin.model.nv))
        kin.mj.mj_jac(kin.model, kin.data, linear, angular, self.place, kin.hand)
        return np.concatenate([linear, _UPRIGHT * angular])[:, self._columns]
