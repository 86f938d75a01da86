"""Where the robot is in depth images and point clouds that belong to a masked camera image.

Depth images are aligned: their pixels see what the image's pixels see. Points are in the camera's optical frame, x to the
right, y down, z ahead, in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[Any]  # float32; NumPy's stubs lose the width in arithmetic
Depth = NDArray[np.uint16] | NDArray[np.float32]

DISTORTIONS = {"": 0, "plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}
"""Distortion models of sensor_msgs/CameraInfo that are understood, with their number of coefficients."""

# A distorted lens shows nothing beyond its corners, but its polynomial leads back into the image there.
_BEYOND_CORNERS = 1.1


class GeometryError(ValueError):
    """Sizes or a calibration that do not fit; the message says what came and what would fit."""


def grown(mask: Mask, margin: int) -> Mask:
    """The mask, bool (H, W), and all pixels at most `margin` rows and columns away from it."""
    if margin == 0:
        return mask
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(mask.view(np.uint8), kernel).view(np.bool_)


def fitted(mask: Mask, shape: tuple[int, int]) -> Mask:
    """The mask at the size (height, width) of an aligned depth image, which may be another one of the same proportions.

    Raises GeometryError where the proportions differ: then it is not aligned.
    """
    if mask.shape == shape:
        return mask
    _check_aligned(shape, (mask.shape[0], mask.shape[1]))
    return cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).view(np.bool_)


def fitted_depth(depth: Depth, shape: tuple[int, int]) -> Depth:
    """The depth (h, w) at the size (height, width) of the image that it is aligned to, no depths mixed.

    Raises GeometryError where the proportions differ: then it is not aligned.
    """
    if depth.shape == shape:
        return depth
    _check_aligned((depth.shape[0], depth.shape[1]), shape)
    return cv2.resize(depth, shape[::-1], interpolation=cv2.INTER_NEAREST)


def _check_aligned(depth: tuple[int, int], image: tuple[int, int]) -> None:
    """Raises GeometryError where the proportions of these sizes, (height, width), differ."""
    if abs(depth[1] * image[0] - depth[0] * image[1]) > max(image):
        raise GeometryError(
            f"depth is {depth[1]} x {depth[0]}, the image {image[1]} x {image[0]}: depth must be aligned to the image"
        )


def without(depth: Depth, robot: Mask) -> Depth:
    """A copy in which pixels of the robot, bool (H, W), have no depth: 0 for integers, NaN for floats (REP 118)."""
    kept = depth.copy()
    kept[robot] = 0 if depth.dtype.kind == "u" else np.nan
    return kept


@dataclass(frozen=True)
class Camera:
    """A calibrated camera, as sensor_msgs/CameraInfo describes it: `shape` (height, width) of its image, `matrix` (3, 3),
    coefficients of one of DISTORTIONS."""

    shape: tuple[int, int]
    matrix: NDArray[np.float64]
    coefficients: tuple[float, ...] = ()
    model: str = ""

    def __post_init__(self) -> None:
        if self.matrix[0, 0] <= 0 or self.matrix[1, 1] <= 0:
            raise GeometryError("camera_info has no focal length: the camera is not calibrated")
        if self.distorted and self.model not in DISTORTIONS:
            known = ", ".join(filter(None, DISTORTIONS))
            raise GeometryError(f"camera_info has the distortion model {self.model!r}; understood are {known}")

    @property
    def distorted(self) -> bool:
        """Whether straight lines are bent."""
        return any(self.coefficients)

    def robot_points(self, x: Floats, y: Floats, z: Floats, robot: Mask) -> Mask:
        """Which of N points the camera sees on the robot, bool (N,): the robot's own, and what it hides from the camera.

        x, y, z are (N,), and may be NaN; `robot` is bool (H, W). Raises GeometryError where the mask has not the camera's
        size.
        """
        if robot.shape != self.shape:
            raise GeometryError(
                f"camera_info is of an image of {self.shape[1]} x {self.shape[0]}, the image has "
                f"{robot.shape[1]} x {robot.shape[0]}"
            )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            columns, rows, seen = self._project(x, y, z)
            height, width = self.shape
            seen &= (columns >= -0.5) & (columns < width - 0.5) & (rows >= -0.5) & (rows < height - 0.5)
        on_robot = np.zeros(x.shape, np.bool_)
        flat = np.rint(rows[seen]).astype(np.intp) * width + np.rint(columns[seen]).astype(np.intp)
        on_robot[seen] = robot.ravel()[flat]
        return on_robot

    def _project(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Mask]:
        """Column and row of each point, and whether it is ahead and within the lens's field of view."""
        inverse = np.float32(1.0) / z
        a, b, ahead = x * inverse, y * inverse, z > 0
        if self.distorted:
            square = a * a + b * b
            ahead &= square <= self._widest
            a, b = self._bent(a, b, square)
        fx, skew, cx = (np.float32(value) for value in self.matrix[0])
        fy, cy = np.float32(self.matrix[1, 1]), np.float32(self.matrix[1, 2])
        columns = fx * a + cx if skew == 0 else fx * a + skew * b + cx
        return columns, fy * b + cy, ahead

    def _bent(self, a: Floats, b: Floats, square: Floats) -> tuple[Floats, Floats]:
        """Where the lens images the directions (a, b, 1), by OpenCV's models."""
        k = [np.float32(value) for value in self._padded]
        if self.model == "equidistant":
            radius = np.sqrt(square)
            angle = np.arctan(radius)
            turned = angle * angle
            bent = angle * (1 + turned * (k[0] + turned * (k[1] + turned * (k[2] + turned * k[3]))))
            scale = np.where(radius > 0, bent / radius, np.float32(1.0)).astype(np.float32)
            return a * scale, b * scale
        k1, k2, p1, p2, k3, k4, k5, k6 = k
        scale = 1 + square * (k1 + square * (k2 + square * k3))
        if k4 or k5 or k6:
            scale = scale / (1 + square * (k4 + square * (k5 + square * k6)))
        cross = 2 * a * b
        return a * scale + p1 * cross + p2 * (square + 2 * a * a), b * scale + p2 * cross + p1 * (square + 2 * b * b)

    @property
    def _padded(self) -> tuple[float, ...]:
        count = 4 if self.model == "equidistant" else 8
        return (*self.coefficients, *([0.0] * count))[:count]

    @cached_property
    def _widest(self) -> np.float32:
        """Largest a^2 + b^2 of a direction (a, b, 1) that the lens images."""
        height, width = self.shape
        corners = np.array([[[c, r]] for c in (0, width - 1) for r in (0, height - 1)], np.float64)
        coefficients = np.array(self._padded)
        undistort = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
        directions = undistort(corners, self.matrix, coefficients)[:, 0]
        return np.float32((directions**2).sum(axis=1).max() * _BEYOND_CORNERS**2)


def moved(points: Sequence[Floats], transform: NDArray[np.float64]) -> tuple[Floats, Floats, Floats]:
    """x, y and z, each (N,), taken to another frame by a transform (4, 4)."""
    rows = transform[:3].astype(np.float32)
    x, y, z = (row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3] for row in rows)
    return x, y, z


# Point clouds as sensor_msgs/PointCloud2 lays them out


@dataclass(frozen=True)
class CloudLayout:
    """How the points of a cloud lie in its bytes; fields are (name, offset, NumPy's type code without byte order, count)."""

    height: int
    width: int
    fields: tuple[tuple[str, int, str, int], ...]
    point_step: int
    row_step: int
    is_bigendian: bool = False

    @property
    def organised(self) -> bool:
        """Whether the points lie in rows as a camera's pixels do."""
        return self.height > 1

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One point, of `point_step` bytes; the same as sensor_msgs_py's."""
        order = ">" if self.is_bigendian else "<"
        formats = [(f"{order}{code}", (count,)) if count > 1 else f"{order}{code}" for _, _, code, count in self.fields]
        names, offsets = [field[0] for field in self.fields], [field[1] for field in self.fields]
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": self.point_step})

    def points(self, data: object) -> NDArray[np.void]:
        """A view of the bytes as points, (height, width), with rows `row_step` apart. Raises GeometryError where there are
        fewer bytes, or no x, y and z as floats."""
        kinds = {name: code for name, _, code, count in self.fields if count == 1}
        if any(kinds.get(axis) not in ("f4", "f8") for axis in "xyz"):
            fields = ", ".join(f"{name} ({code})" for name, code in kinds.items())
            raise GeometryError(
                f"a point needs x, y and z as float32 or float64; this cloud has {fields or 'no fields'}"
            )
        flat = np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
        needed = self.row_step * (self.height - 1) + self.point_step * self.width if self.height and self.width else 0
        end = max(offset + np.dtype(code).itemsize * count for _, offset, code, count in self.fields)
        if flat.size < needed or self.row_step < self.width * self.point_step or end > self.point_step:
            raise GeometryError(
                f"the cloud has {flat.size} bytes for {self.width} x {self.height} points of {self.point_step} bytes "
                f"in rows of {self.row_step}, with fields up to byte {end} of a point"
            )
        strides = (self.row_step, self.point_step)
        return np.ndarray((self.height, self.width), self.dtype, buffer=flat, strides=strides)


def coordinates(points: NDArray[np.void]) -> list[Floats]:
    """x, y and z of all points, each float32 (N,)."""
    return [points[axis].astype(np.float32, copy=False).ravel() for axis in "xyz"]


def blank(points: NDArray[np.void], chosen: Mask) -> None:
    """Makes the chosen points NaN in place, as organised clouds mark what is not there."""
    for axis in "xyz":
        points[axis][chosen] = np.nan
