"""Images to wrap around things: installed photographs and materials, and procedural patterns."""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from .assets import MissingAssets, asset_root

Image = NDArray[np.uint8]
_PHOTOS = (
    "astronaut",
    "brick",
    "chelsea",
    "clock_motion",
    "coffee",
    "coins",
    "color",
    "grass",
    "gravel",
    "hubble_deep_field",
    "horse",
    "ihc",
    "motorcycle_left",
    "motorcycle_right",
    "page",
    "retina",
    "rocket",
    "text",
    "camera",
    "moon",
)
_PACKAGING = ("bread", "can", "cereal", "lemon", "soda", "glass")
_SIDE = 256


def _photo_paths() -> list[Path]:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        return []
    folder = Path(found.submodule_search_locations[0]) / "data"
    return sorted(path for path in folder.glob("*.*g") if path.stem in _PHOTOS)


@cache
def library(kind: str, evaluation: bool) -> tuple[Path, ...]:
    """Files of a kind (`photo` or `material`); every fourth is kept for evaluation, away from training."""
    if kind == "photo":
        paths = _photo_paths()
    else:
        try:
            paths = sorted((asset_root("robosuite") / "textures").glob("*.png"))
            paths = [path for path in paths if path.stem not in _PACKAGING]
        except MissingAssets:
            paths = []
    return tuple(path for index, path in enumerate(paths) if (index % 4 == 3) == evaluation)


@lru_cache(maxsize=64)
def _load(path: Path, side: int) -> Image:
    # Pillow, because OpenCV's libpng prints a warning for one of the photographs.
    with PIL.Image.open(path) as file:
        image = np.asarray(file.convert("RGB"))
    short = min(image.shape[:2])
    scale = side / short
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def random_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random RGB colour in 0..1, greys and muted tones more often than vivid ones."""
    hue, saturation, value = rng.uniform(), rng.beta(1.2, 2.2), rng.uniform(0.15, 1.0)
    wheel = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return value * (1 - saturation + saturation * wheel)


def noise(rng: np.random.Generator, side: int = _SIDE) -> NDArray[np.float32]:
    """Smooth random field (side, side) in 0..1 with detail at several scales."""
    field = np.zeros((side, side), np.float32)
    weight, cells = 1.0, int(rng.integers(2, 7))
    stretch = float(rng.choice([1.0, 1.0, 4.0, 12.0]))
    while cells < side:
        grid = rng.uniform(size=(cells, max(1, int(cells / stretch)))).astype(np.float32)
        field += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        weight *= rng.uniform(0.35, 0.75)
        cells *= 2
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(1e-6, high - low)


def _mix(field: NDArray[np.float32], rng: np.random.Generator) -> Image:
    first, second = random_colour(rng), random_colour(rng)
    if rng.uniform() < 0.5:
        second = np.clip(first * rng.uniform(0.6, 1.3), 0, 1)
    return ((first + (second - first) * field[..., None]) * 255).astype(np.uint8)


def _bands(rng: np.random.Generator) -> NDArray[np.float32]:
    grid = np.arange(_SIDE, dtype=np.float32)
    period, duty = float(rng.uniform(8, 80)), float(rng.uniform(0.1, 0.9))
    band = ((grid % period) < duty * period).astype(np.float32)
    if rng.uniform() < 0.5:
        return np.repeat(band[None], _SIDE, 0)
    return np.maximum(band[None], band[:, None]) if rng.uniform() < 0.5 else np.abs(band[None] - band[:, None])


def _collage(rng: np.random.Generator) -> Image:
    """Rectangles, lines, discs and lettering, as on a cluttered wall or a shelf."""
    canvas = _mix(noise(rng), rng)
    for _ in range(int(rng.integers(5, 30))):
        colour = [int(c * 255) for c in random_colour(rng)]
        x, y = (int(v) for v in rng.integers(0, _SIDE, 2))
        width, height = (int(v) for v in rng.integers(4, 110, 2))
        shape = rng.integers(0, 5)
        if shape <= 1:
            cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, -1)
        elif shape == 2:
            cv2.line(
                canvas,
                (x, y),
                (x + width - 50, y + height - 50),
                colour,
                int(rng.integers(1, 9)),
                cv2.LINE_AA,
            )
        elif shape == 3:
            cv2.circle(canvas, (x, y), width // 3 + 1, colour, -1, cv2.LINE_AA)
        else:
            cv2.putText(canvas, "RbX7 0k3"[: int(rng.integers(1, 8))], (x, y), 0, width / 60 + 0.2, colour, 2)
    return canvas


def _crop(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    y, x = int(rng.integers(0, height - _SIDE + 1)), int(rng.integers(0, width - _SIDE + 1))
    image = image[y : y + _SIDE, x : x + _SIDE]
    if rng.uniform() < 0.5:
        image = image[:, ::-1]
    if rng.uniform() < 0.4:
        image = np.clip(image * (0.4 + 0.9 * random_colour(rng)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def random_texture(rng: np.random.Generator, evaluation: bool, photo: float = 0.3, material: float = 0.35) -> Image:
    """A random square RGB image (256, 256, 3); `photo` and `material` are the chances of those kinds."""
    draw = rng.uniform()
    kind = "photo" if draw < photo else "material" if draw < photo + material else ""
    files = library(kind, evaluation) if kind else ()
    if files:
        path = files[int(rng.integers(len(files)))]
        return _crop(_load(path, int(rng.choice([256, 320, 512]))), rng)
    choice = rng.integers(0, 4)
    if choice == 0:
        return _mix(_bands(rng) * 0.8 + noise(rng) * 0.2, rng)
    if choice == 1:
        return _collage(rng)
    return _mix(noise(rng), rng)
