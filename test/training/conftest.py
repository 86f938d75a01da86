"""Small clips in VRS's layout: a bright bar (arm) with a disc at its end (gripper) before a plain background."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest


def _write_clip(root: Path, name: str, frames: int = 6, width: int = 64, height: int = 48, age: float = 60.0) -> None:
    """A clip whose bar turns; its files look `age` seconds old."""
    folders = [root / "image" / name, *(root / "mask_gt" / name / part for part in ("000", "001", "002"))]
    for folder in folders:
        folder.mkdir(parents=True)
    for frame in range(frames):
        arm, gripper = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
        tip = (width // 3 + 2 * frame, height // 3)
        cv2.line(arm, (width // 2, height), tip, 255, 7)
        cv2.circle(gripper, tip, 6, 255, -1)
        arm[gripper > 0] = 0
        image = np.full((height, width, 3), 40, np.uint8)
        image[arm > 0], image[gripper > 0] = (60, 160, 240), (240, 80, 60)
        cv2.imwrite(str(folders[0] / f"{frame:05d}.jpg"), image)
        for folder, mask in zip(folders[1:], (arm, gripper, arm | gripper), strict=True):
            cv2.imwrite(str(folder / f"{frame:05d}.png"), mask)
    then = time.time() - age
    for folder in folders:
        os.utime(folder, (then, then))


@pytest.fixture
def write_clip():
    """Writes such a clip: write_clip(root, name, age=seconds)."""
    return _write_clip
