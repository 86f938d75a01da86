"""What a stereo depth camera makes of true depth: noise that grows with distance, wobbling edges, holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Depth = NDArray[np.float32]


@dataclass(frozen=True)
class StereoCamera:
    """Faults of an active stereo camera of about the size of a RealSense D435. Disparities are in pixels of the depth image.

    A matching window sees fore- and background at once at an edge, so that the edge wobbles by `edge_wobble` pixels; what
    the second imager cannot see beside something near has no depth at all.
    """

    baseline: float = 0.05  # metres
    disparity_noise: float = 0.05  # standard deviation of neighbouring pixels together
    edge_wobble: float = 0.7
    edge_loss: float = 0.4  # share of the pixels at an edge of depth that are lost
    patch_loss: float = 0.03  # share of the picture lost in patches: black, shining, without texture
    nearest: float = 0.2  # metres
    farthest: float = 8.0


def millimetres(depth: Depth) -> NDArray[np.uint16]:
    """Depth in metres, (H, W), as depth images have it: in millimetres, 65535 for what is farther."""
    return np.minimum(np.round(depth * 1000), 65535).astype(np.uint16)


def seen(true: Depth, fovy: float, seed: tuple[int, ...], camera: StereoCamera | None = None) -> NDArray[np.uint16]:
    """What the camera gives for a true depth in metres, (H, W): millimetres, 0 where it sees none.

    fovy: vertical field of view in degrees. Equal seeds give equal noise.
    """
    camera = camera or StereoCamera()
    rng = np.random.default_rng(seed)
    height, width = true.shape
    pull = camera.baseline * height / 2 / np.tan(np.radians(fovy) / 2)  # disparity times depth
    disparity = (pull / np.maximum(true, 1e-3)).astype(np.float32)
    there = (
        ~_hidden(disparity) & ~_lost_at_edges(disparity, camera, rng) & ~_patches(true.shape, camera.patch_loss, rng)
    )
    disparity = _wobbled(disparity, camera.edge_wobble, rng)
    disparity = disparity + _field(true.shape, 2.0, rng) * np.float32(camera.disparity_noise)
    depth = pull / np.maximum(disparity, 1e-3)
    there &= (depth > camera.nearest) & (depth < camera.farthest)
    return np.where(there, millimetres(depth), 0).astype(np.uint16)


def _hidden(disparity: Depth) -> NDArray[np.bool_]:
    """Pixels that something nearer to their right hides from the second imager, which stands to the right."""
    place = np.arange(disparity.shape[1], dtype=np.float32) - disparity
    first = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    return first < place - 0.5


def _lost_at_edges(disparity: Depth, camera: StereoCamera, rng: np.random.Generator) -> NDArray[np.bool_]:
    kernel = np.ones((3, 3), np.uint8)
    steps = cv2.dilate(disparity, kernel) - cv2.erode(disparity, kernel)
    return (steps > 1.0) & (rng.random(disparity.shape, np.float32) < camera.edge_loss)


def _patches(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    field = _field(shape, shape[0] / 60, rng)
    return field > np.quantile(field, 1 - share)


def _wobbled(disparity: Depth, pixels: float, rng: np.random.Generator) -> Depth:
    rows, columns = np.mgrid[0 : disparity.shape[0], 0 : disparity.shape[1]].astype(np.float32)
    shifts = [_field(disparity.shape, 1.5, rng) * np.float32(pixels) for _ in range(2)]
    return cv2.remap(
        disparity, columns + shifts[0], rows + shifts[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )


def _field(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise (H, W) of mean 0 and standard deviation 1; `sigma` in pixels is its grain."""
    field = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma)
    return field / field.std()
