"""A small clip in VRS layout: a grey box, its upper half the gripper, that moves over a noisy floor."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from robotseg_ros.dataset.clip import PART_FOLDERS

HEIGHT, WIDTH, FRAMES = 120, 160, 12


def true_masks(index: int) -> dict[str, np.ndarray]:
    """The masks of a frame."""
    robot = np.zeros((HEIGHT, WIDTH), bool)
    robot[30:90, 20 + 5 * index : 60 + 5 * index] = True
    gripper = robot.copy()
    gripper[60:] = False
    return {"arm": robot & ~gripper, "gripper": gripper, "robot": robot}


def image(index: int) -> np.ndarray:
    """RGB picture of a frame."""
    picture = np.random.default_rng(index).integers(0, 120, (HEIGHT, WIDTH, 3), np.uint8)
    picture[true_masks(index)["robot"]] = 200
    return picture


@pytest.fixture
def clip_root(tmp_path: Path) -> Path:
    root = tmp_path / "vrs"
    for folder in ("image/box", *(f"mask_gt/box/{name}" for name in PART_FOLDERS.values())):
        (root / folder).mkdir(parents=True)
    for index in range(FRAMES):
        bgr = cv2.cvtColor(image(index), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / f"image/box/{index:05d}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
        for part, mask in true_masks(index).items():
            path = root / f"mask_gt/box/{PART_FOLDERS[part]}/{index:05d}.png"
            cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return root
