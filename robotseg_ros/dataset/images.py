"""Image files as RGB arrays and masks: upright, without alpha, and never half decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .clip import ClipError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def _load(path: Path) -> Image.Image:
    """Whole picture, turned upright by its EXIF orientation; raises ClipError for what Pillow cannot read."""
    try:
        with Image.open(path) as file:
            file.load()
            return ImageOps.exif_transpose(file)
    except FileNotFoundError as error:
        raise ClipError(f"{path}: no such file") from error
    # Pillow's decoders raise SyntaxError, struct.error and others besides OSError for broken files.
    except Exception as error:
        size = path.stat().st_size if path.is_file() else 0
        raise ClipError(f"{path}: cannot be decoded as an image ({size} bytes): {error}") from error


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of an image file; deeper images are scaled to 8 bits, transparency is put on black.

    Raises ClipError that names the file.
    """
    picture = _load(path)
    if picture.mode.startswith("I") or picture.mode == "F":
        return np.repeat(_eight_bits(np.asarray(picture))[..., None], 3, axis=2)
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return np.array(picture.convert("RGB"))


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit integers or floats in 0..1 as 8 bits."""
    wide = np.nan_to_num(values.astype(np.float32))
    scaled = wide * 255.0 if values.dtype.kind == "f" else wide / 257.0
    eight: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return eight


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Mask bool (H, W) of an image file: True where any colour, or a palette image's index, is not zero.

    Raises ClipError that names the file.
    """
    picture = _load(path)
    values = np.asarray(picture.convert("RGB") if "A" in picture.getbands() else picture)
    return np.asarray(values.any(axis=2) if values.ndim == 3 else values != 0)


def read_label_map(path: Path) -> NDArray[np.integer]:
    """Labels (H, W) of an image file with one channel: its values, or a palette image's indices.

    Raises ClipError that names the file.
    """
    values = np.asarray(_load(path))
    if values.ndim != 2 or values.dtype.kind not in "uib":
        raise ClipError(
            f"{path}: is no label map, which has one channel of integers, but {values.shape} {values.dtype}"
        )
    return values.astype(np.int32)
