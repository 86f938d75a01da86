"""A camera frame becomes the network's input: resized to the square, scaled, ImageNet-normalised."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .config import ModelConfig
from .edges import IMAGENET_MEAN, IMAGENET_STD


def _normalisation_table() -> Tensor:
    """Normalised value of every byte in each channel, (256, 3), rounded as the published loader rounds."""
    unit = torch.from_numpy((np.arange(256) / 255.0).astype(np.float32))[:, None]
    return (unit - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)


_TABLE = _normalisation_table()


def preprocess(rgb: NDArray[np.uint8], config: ModelConfig, device: torch.device | str = "cpu") -> Tensor:
    """Normalised input (1, 3, S, S) float32 on `device` of a frame (H, W, 3) uint8 RGB. The frame is not kept in shape: it
    fills the square, as in SAM 2. Raises ValueError for anything that is not such a frame."""
    check_frame(rgb)
    square = torch.from_numpy(resize_to_square(rgb, config)).to(device)
    table = _TABLE.to(device)
    channels = [table[:, c][square[:, :, c].int()] for c in range(3)]
    return torch.stack(channels)[None]


def check_frame(rgb: NDArray[np.uint8]) -> None:
    """Raise ValueError unless `rgb` is a uint8 array (H, W, 3) with pixels in it."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"a frame must be a uint8 array of shape (height, width, 3) in RGB; got {got}")
    if rgb.shape[0] == 0 or rgb.shape[1] == 0:
        raise ValueError(f"a frame must have pixels; got shape {rgb.shape}")


def resize_to_square(rgb: NDArray[np.uint8], config: ModelConfig) -> NDArray[np.uint8]:
    """The frame stretched to (S, S, 3) the way the model was trained: PIL's bicubic (published) or OpenCV's area mean."""
    size = config.image_size
    if rgb.shape[:2] == (size, size):
        return np.ascontiguousarray(rgb)
    if config.resize == "pil_bicubic":
        return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC)).copy()
    shrinks = rgb.shape[0] >= size and rgb.shape[1] >= size
    return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
