"""What a real camera does to an image: blur, noise, exposure, colour cast, vignette. Masks stay."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class CameraLook:
    """One camera's faults, drawn once per clip.

    `brightness` is the mean grey level (0..1) its automatic exposure aims at; `quality` is the JPEG quality.
    """

    brightness: float
    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    blur: float
    streak: float
    streak_angle: float
    noise: float
    vignette: float
    quality: int
    seed: int


def random_look(rng: np.random.Generator) -> CameraLook:
    """Draws a camera; a third of them are nearly perfect."""
    strength = 0.25 if rng.uniform() < 0.33 else 1.0
    cast = rng.normal(0, 0.06, 3) * strength
    gain = np.exp(rng.normal(0, 0.1) * strength) * (1 + cast)
    return CameraLook(
        brightness=float(np.clip(rng.normal(0.46, 0.1), 0.2, 0.75)),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        gamma=float(np.exp(rng.normal(0, 0.15) * strength)),
        contrast=1 + rng.normal(0, 0.15) * strength,
        saturation=float(np.clip(1 + rng.normal(0, 0.3) * strength, 0, 1.8)),
        blur=float(rng.uniform(0.3, 1.2)) if rng.uniform() < 0.35 * strength else 0.0,
        streak=float(rng.uniform(2, 7)) if rng.uniform() < 0.2 * strength else 0.0,
        streak_angle=float(rng.uniform(0, np.pi)),
        noise=float(min(rng.exponential(4.0), 14.0)) * strength,
        vignette=float(rng.uniform(0, 0.45)) if rng.uniform() < 0.4 else 0.0,
        quality=int(rng.integers(45, 96)),
        seed=int(rng.integers(2**31)),
    )


def calm_look() -> CameraLook:
    """A good camera: no blur, hardly any noise, JPEG quality 85."""
    return CameraLook(0.5, (1.0, 1.0, 1.0), 1.0, 1.0, 0.95, 0.35, 0.0, 0.0, 1.5, 0.1, 85, 0)


def expose(look: CameraLook, image: Image) -> CameraLook:
    """The camera with its gains set by automatic exposure to a clip's first image (H, W, 3)."""
    level = max(0.02, float(image.mean()) / 255)
    scale = float(np.clip(look.brightness / level, 0.55, 4.0))
    return replace(look, gain=(look.gain[0] * scale, look.gain[1] * scale, look.gain[2] * scale))


def _streak(image: NDArray[np.float32], length: float, angle: float) -> NDArray[np.float32]:
    size = int(length) | 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    dx, dy = np.cos(angle) * middle, np.sin(angle) * middle
    cv2.line(
        kernel,
        (round(middle - dx), round(middle - dy)),
        (round(middle + dx), round(middle + dy)),
        1.0,
        1,
        cv2.LINE_AA,
    )
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.float32)


def apply(look: CameraLook, image: Image, frame: int) -> Image:
    """The image (H, W, 3) as that camera would deliver it as its `frame`-th, before JPEG compression."""
    height, width = image.shape[:2]
    pixels: NDArray[np.float32] = image.astype(np.float32) / np.float32(255)
    if look.streak:
        pixels = _streak(pixels, look.streak * width / 320, look.streak_angle)
    if look.blur:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), look.blur * width / 320), np.float32)
    pixels = pixels * np.array(look.gain, np.float32)
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * look.saturation
    pixels = (pixels - 0.5) * look.contrast + 0.5
    if look.vignette:
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        pixels *= (1 - look.vignette * (x**2 + y**2) / 2)[..., None].astype(np.float32)
    pixels = np.clip(pixels, 0, 1) ** look.gamma
    if look.noise > 0.3:
        rng = np.random.default_rng([look.seed, frame])
        pixels += rng.standard_normal((height, width, 3), dtype=np.float32) * (look.noise / 255)
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
