"""Tiny clips made on the spot: pictures whose frame number can be read back from their colours.

Tests reach these functions through the fixture `make`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import cv2
import numpy as np
import pytest

from robotseg_ros.dataset.bags import BagWriter
from robotseg_ros.dataset.video import VideoWriter

HEIGHT, WIDTH = 48, 64
STEP_NS = 50_000_000


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """RGB picture of one colour: red tells the frame number (modulo 12)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[...] = (20 + 20 * (index % 12), 128, 60)
    return image


def number(image: np.ndarray) -> int:
    """The frame number in a picture, also after lossy coding."""
    return round((float(image[..., 0].mean()) - 20) / 20)


def square_mask(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[5:15, index : index + 10] = True
    return mask


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    assert cv2.imwrite(str(path), bgr)


def image_folder(folder: Path, count: int = 4, suffix: str = ".png") -> Path:
    for index in range(count):
        save(folder / f"{index}{suffix}", picture(index))
    return folder


def vrs_root(root: Path, clips: tuple[str, ...] = ("one",), count: int = 3) -> Path:
    for clip in clips:
        for index in range(count):
            save(root / "image" / clip / f"{index:05d}.jpg", picture(index))
            for folder in ("000", "001"):
                mask = square_mask(index).astype(np.uint8) * 255
                save(root / "mask_gt" / clip / folder / f"{index:05d}.png", mask)
    return root


def video(path: Path, count: int = 5, fps: float = 20.0, height: int = HEIGHT, width: int = WIDTH) -> Path:
    with VideoWriter(path, fps) as writer:
        for index in range(count):
            writer.write(picture(index, height, width))
    return path


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def bag(path: Path, count: int = 5, storage: Literal["mcap", "sqlite3"] = "mcap", compressed: bool = False) -> Path:
    """A bag with one image topic, `/camera/image` or its compressed twin, and a topic of another type."""
    with BagWriter(path, storage) as writer:
        writer.write("/chatter", "std_msgs/msg/String", b"\x00\x01\x00\x00\x03\x00\x00\x00hi\x00", 1)
        for index in range(count):
            stamp = 1_000_000_000 + index * STEP_NS
            if compressed:
                writer.write_compressed("/camera/image/compressed", jpeg(picture(index)), "jpeg", stamp, "camera")
            else:
                writer.write_image("/camera/image", picture(index), stamp, "camera")
    return path


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above and the time between frames, `STEP_NS`."""
    functions = (picture, number, square_mask, save, image_folder, vrs_root, video, jpeg, bag)
    return SimpleNamespace(STEP_NS=STEP_NS, **{function.__name__: function for function in functions})
