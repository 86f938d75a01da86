"""Image messages to arrays and back, without copying pixels where that is possible."""

from __future__ import annotations

import array
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..imaging import SUPPORTED_ENCODINGS, ImageError, Rgb, decode_compressed, decode_raw
from .compatibility import cv_bridge

JPEG_QUALITY = 85


def rgb_of(message: Image | CompressedImage) -> Rgb:
    """The message's pixels as RGB, uint8 (H, W, 3); a view of the message for `rgb8`. Raises `ImageError`."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data, message.format)
    if message.encoding not in SUPPORTED_ENCODINGS and (bridge := _bridge()) is not None:
        return _rgb_by_bridge(bridge, message)
    return decode_raw(
        message.data,
        message.height,
        message.width,
        message.encoding,
        message.step,
        bool(message.is_bigendian),
    )


@lru_cache(maxsize=1)
def _bridge() -> Any | None:
    return cv_bridge()


def _rgb_by_bridge(bridge: Any, message: Image) -> Rgb:
    """Pixels of an encoding that only cv_bridge may know."""
    if not message.data or not message.height or not message.width:
        raise ImageError(f"image is empty: {describe(message)}")
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)
    except Exception as error:  # cv_bridge lets out its own, OpenCV's, and NumPy's
        accepted = ", ".join(SUPPORTED_ENCODINGS)
        raise ImageError(
            f"encoding {message.encoding!r}: cv_bridge: {error}; accepted without it: {accepted}"
        ) from error


def describe(message: Image | CompressedImage) -> str:
    """What came, in a few words for a log."""
    if isinstance(message, CompressedImage):
        return f"compressed image, format {message.format!r}, {len(message.data)} bytes"
    order = " big-endian" if message.is_bigendian else ""
    return (
        f"image {message.width} x {message.height} {message.encoding!r}{order}, "
        f"step {message.step}, {len(message.data)} bytes"
    )


def bytes_of(pixels: NDArray[Any]) -> array.array[int]:
    """The bytes as rclpy takes them fastest: it may check NumPy arrays and bytes element by element."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return data


def grey_image(header: Header, pixels: NDArray[np.uint8]) -> Image:
    """uint8 (H, W) as mono8."""
    return _image(header, pixels, "mono8", 1)


def mask_image(header: Header, mask: NDArray[np.bool_]) -> Image:
    """bool (H, W) as mono8, 0 or 255."""
    return grey_image(header, mask.view(np.uint8) * np.uint8(255))


def rgb_image(header: Header, pixels: Rgb) -> Image:
    """uint8 (H, W, 3) as rgb8."""
    return _image(header, pixels, "rgb8", 3)


def _image(header: Header, pixels: NDArray[np.uint8], encoding: str, channels: int) -> Image:
    message = Image(header=header, encoding=encoding, height=pixels.shape[0], width=pixels.shape[1])
    message.step = pixels.shape[1] * channels
    message.data = bytes_of(pixels)
    return message


def compressed_image(header: Header, pixels: Rgb) -> CompressedImage:
    """RGB uint8 (H, W, 3) as JPEG, with the format string that image_transport's plugins write."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = bytes_of(encoded)
    return message


def nanoseconds(stamp: Any) -> int:
    """A `builtin_interfaces/Time` as one number."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
