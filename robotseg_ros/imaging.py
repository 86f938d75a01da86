"""Sensor images to RGB without ROS: what `sensor_msgs/Image` and `sensor_msgs/CompressedImage` hold.

Rows are addressed through `step` on the sender's own buffer, so padding of any size costs nothing and never
skews the picture. Whatever does not add up raises `ImageError` with what came and what is accepted; a picture
is never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Buffer = Any  # bytes, bytearray, memoryview, array.array or a uint8 ndarray: anything with the buffer protocol
Pixels = NDArray[Any]
Rgb = NDArray[np.uint8]

JPEG_START = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
JPEG_SCAN = 0xDA
JPEG_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
PNG_START = b"\x89PNG\r\n\x1a\n"

# Interpolation of a sender (resizing, rectification) may overshoot [0, 1] a little; one 8-bit level is no
# sign of depth.
FLOAT_TOLERANCE = 1.0 / 255.0


class ImageError(ValueError):
    """The bytes are not the image that the message says they are, or not of a kind this package reads."""


@dataclass(frozen=True)
class Layout:
    """How one encoding lies in memory and how it becomes RGB."""

    dtype: str  # NumPy's code without byte order: u1, u2 or f4
    channels: int  # values per pixel; 2 for the packed YUV 4:2:2 pairs
    to_rgb: Callable[[Pixels], Rgb]  # (H, W) or (H, W, channels), native byte order -> (H, W, 3) uint8
    even_width: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel."""
        return self.channels * np.dtype(self.dtype).itemsize


def _to_8_bit(pixels: Pixels) -> Pixels:
    """Full-scale 16 bit to 8 bit, rounded: 65535 is white, whatever the sensor's own bit depth."""
    return cv2.convertScaleAbs(pixels, alpha=255.0 / 65535.0)


def _float_to_8_bit(pixels: Pixels) -> Pixels:
    """Intensities in [0, 1] to 8 bit. NaN, infinity and values beyond that are refused, not painted over."""
    finite = np.isfinite(pixels)
    if not finite.all():
        missing = finite.size - int(finite.sum())
        raise ImageError(
            f"float image has {missing} of {finite.size} values NaN or infinite; "
            "accepted are intensities between 0 and 1"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low < -FLOAT_TOLERANCE or high > 1.0 + FLOAT_TOLERANCE:
        raise ImageError(
            f"float image has values from {low:g} to {high:g} (depth?); accepted are intensities between 0 and 1"
        )
    return np.clip(pixels * np.float32(255.0) + np.float32(0.5), 0.0, 255.0).astype(np.uint8)


def _as_is(pixels: Pixels) -> Rgb:
    return pixels


def _color(code: int) -> Callable[[Pixels], Rgb]:
    return lambda pixels: cv2.cvtColor(pixels, code)


def _color16(code: int | None) -> Callable[[Pixels], Rgb]:
    def convert(pixels: Pixels) -> Rgb:
        eight = _to_8_bit(pixels)
        return eight if code is None else cv2.cvtColor(eight, code)

    return convert


def _grey_float(pixels: Pixels) -> Rgb:
    return cv2.cvtColor(_float_to_8_bit(pixels), cv2.COLOR_GRAY2RGB)


def _mosaic(code: int) -> Callable[[Pixels], Rgb]:
    """Bilinear demosaicing. The border is mirrored, which keeps the mosaic's phase: OpenCV leaves it flat."""

    def convert(pixels: Pixels) -> Rgb:
        eight = pixels if pixels.dtype == np.uint8 else _to_8_bit(pixels)
        if min(eight.shape) < 2:
            raise ImageError(f"a bayer image needs at least 2 x 2 pixels, not {eight.shape[1]} x {eight.shape[0]}")
        framed = cv2.copyMakeBorder(eight, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
        return cv2.cvtColor(framed, code)[2:-2, 2:-2]

    return convert


# OpenCV names a mosaic by the second row's second and third pixel, ROS by the first row's first two.
_MOSAIC_CODES = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}


def _layouts() -> dict[str, Layout]:
    layouts = {
        "rgb8": Layout("u1", 3, _as_is),
        "bgr8": Layout("u1", 3, _color(cv2.COLOR_BGR2RGB)),
        "rgba8": Layout("u1", 4, _color(cv2.COLOR_RGBA2RGB)),
        "bgra8": Layout("u1", 4, _color(cv2.COLOR_BGRA2RGB)),
        "mono8": Layout("u1", 1, _color(cv2.COLOR_GRAY2RGB)),
        "mono16": Layout("u2", 1, _color16(cv2.COLOR_GRAY2RGB)),
        "rgb16": Layout("u2", 3, _color16(None)),
        "bgr16": Layout("u2", 3, _color16(cv2.COLOR_BGR2RGB)),
        "rgba16": Layout("u2", 4, _color16(cv2.COLOR_RGBA2RGB)),
        "bgra16": Layout("u2", 4, _color16(cv2.COLOR_BGRA2RGB)),
        "yuv422": Layout("u1", 2, _color(cv2.COLOR_YUV2RGB_UYVY), even_width=True),
        "yuv422_yuy2": Layout("u1", 2, _color(cv2.COLOR_YUV2RGB_YUY2), even_width=True),
        "32FC1": Layout("f4", 1, _grey_float),
        "32FC3": Layout("f4", 3, lambda pixels: cv2.cvtColor(_float_to_8_bit(pixels), cv2.COLOR_BGR2RGB)),
    }
    for pattern, code in _MOSAIC_CODES.items():
        layouts[f"bayer_{pattern}8"] = Layout("u1", 1, _mosaic(code))
        layouts[f"bayer_{pattern}16"] = Layout("u2", 1, _mosaic(code))
    # The newer names of the YUV pairs, and OpenCV's untyped names, whose channel order is OpenCV's.
    same = {
        "uyvy": "yuv422",
        "yuyv": "yuv422_yuy2",
        "8UC1": "mono8",
        "8UC3": "bgr8",
        "8UC4": "bgra8",
        "16UC1": "mono16",
        "16UC3": "bgr16",
        "16UC4": "bgra16",
    }
    return layouts | {name: layouts[meaning] for name, meaning in same.items()}


_LAYOUTS = _layouts()
SUPPORTED_ENCODINGS: tuple[str, ...] = tuple(_LAYOUTS)
SUPPORTED_FORMATS: tuple[str, ...] = ("jpeg", "png")


def decode_raw(data: Buffer, height: int, width: int, encoding: str, step: int, is_bigendian: bool = False) -> Rgb:
    """An uncompressed image as RGB, uint8 (height, width, 3).

    `data` is `height` rows of `step` bytes (the last row's padding may be missing), as `sensor_msgs/Image`
    lays them out. For `rgb8` the result is a view of `data` (read-only if `data` is, rows `step` apart), else
    a new array. 16-bit images are scaled from full range; `32FC1` and `32FC3` are intensities in [0, 1] and
    refused when NaN or infinite.

    Raises `ImageError` for an unknown encoding, an empty size, and a step or a number of bytes that does not
    fit.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise ImageError(f"unknown encoding {encoding!r}; accepted: {', '.join(SUPPORTED_ENCODINGS)}")
    flat = _bytes_of(data)
    _check_size(layout, encoding, height, width, step, len(flat))
    try:
        return layout.to_rgb(_pixels(flat, layout, height, width, step, is_bigendian))
    except cv2.error as error:
        raise ImageError(f"{encoding} image of {width} x {height} cannot be converted: {error}") from error


def _bytes_of(data: Buffer) -> NDArray[np.uint8]:
    """The data as flat bytes, uncopied."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise ImageError(f"image data is no contiguous buffer of bytes but {type(data).__name__}: {error}") from error


def _check_size(layout: Layout, encoding: str, height: int, width: int, step: int, size: int) -> None:
    """Raises `ImageError` unless rows of `step` bytes hold the width and the data holds the rows, no more."""
    if height <= 0 or width <= 0:
        raise ImageError(f"image is {width} x {height} pixels; both must be at least 1")
    if layout.even_width and width % 2:
        raise ImageError(f"{encoding} shares colour between pairs of pixels: the width must be even, not {width}")
    row = width * layout.pixel_bytes
    if step < row:
        raise ImageError(
            f"step is {step} bytes, but a row of {width} {encoding} pixels has {row}; step must be at least that"
        )
    least, most = step * (height - 1) + row, step * height
    if not least <= size <= most:
        what = "empty" if size == 0 else "truncated" if size < least else "too long"
        raise ImageError(
            f"data is {what}: {size} bytes for {width} x {height} {encoding} with step {step}, which is {most} bytes"
        )


def _pixels(flat: NDArray[np.uint8], layout: Layout, height: int, width: int, step: int, is_bigendian: bool) -> Pixels:
    """The pixels in native byte order: a view of `flat`, or a copy where bytes must be moved for that."""
    dtype = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, layout.pixel_bytes)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, dtype.itemsize)
    view: Pixels = np.ndarray(shape, dtype, buffer=flat, strides=strides)
    if not flat.flags.writeable:
        view.flags.writeable = False
    if step % dtype.itemsize or not view.flags.aligned:
        view = view.copy()  # OpenCV takes no rows that start inside a value
    return view.astype(dtype.newbyteorder("="), copy=False)


def decode_compressed(data: Buffer, format: str = "") -> Rgb:
    """A JPEG or PNG as RGB, uint8 (H, W, 3).

    `format` is that of `sensor_msgs/CompressedImage`: plain ("jpeg") or image_transport's "rgb8; jpeg
    compressed bgr8". The content decides between JPEG and PNG; the string decides what its channels mean (red
    and blue exchanged, or a bayer mosaic).

    Raises `ImageError` for anything else, for an image without its end (which decoders fill with grey), and
    for damage they report.
    """
    content = _bytes_of(data)
    if content.size == 0:
        raise ImageError(f"compressed image (format {format!r}) is empty; accepted: {', '.join(SUPPORTED_FORMATS)}")
    if "compressedDepth" in format:
        raise ImageError(f"format {format!r} is a depth image; accepted are colour images as jpeg or png")
    _check_complete(content.data, format)
    source, _, compressed = (part.strip() for part in format.partition(";"))
    if source.startswith("bayer_") and "compressed" in compressed and "compressed bgr" not in compressed:
        return _decode_mosaic(content, source, format)
    rgb = _imdecode(content, cv2.IMREAD_COLOR, format)
    # image_transport's convention: an image compressed as "rgb" was given to the encoder in that order, which
    # expects BGR.
    swapped = "compressed rgb" in compressed
    return rgb if swapped else cv2.cvtColor(rgb, cv2.COLOR_BGR2RGB, dst=rgb)


def _decode_mosaic(content: NDArray[np.uint8], encoding: str, format: str) -> Rgb:
    """A bayer mosaic that was compressed as if it were a grey image."""
    grey = np.ascontiguousarray(_imdecode(content, cv2.IMREAD_UNCHANGED, format))
    if grey.ndim != 2:
        raise ImageError(f"format {format!r} says bayer mosaic, but the image has {grey.shape[2]} channels, not 1")
    depth = 8 * grey.itemsize
    pattern = encoding.rstrip("0123456789")
    height, width = grey.shape
    return decode_raw(grey.tobytes(), height, width, f"{pattern}{depth}", grey.strides[0], False)


def _imdecode(content: NDArray[np.uint8], flags: int, format: str) -> Pixels:
    try:
        image = cv2.imdecode(content, flags)
    except cv2.error as error:
        raise ImageError(f"compressed image (format {format!r}) cannot be decoded: {error}") from error
    if image is None:
        raise ImageError(f"compressed image (format {format!r}, {content.size} bytes) is damaged: it cannot be decoded")
    return image


def _check_complete(content: memoryview, format: str) -> None:
    """Raises `ImageError` unless this is a whole JPEG or PNG: OpenCV turns a cut JPEG grey without a word."""
    if content[:2] == JPEG_START:
        complete = _jpeg_ends(content)
    elif content[: len(PNG_START)] == PNG_START:
        complete = _png_ends(content)
    else:
        start = bytes(content[:8]).hex(" ")
        raise ImageError(
            f"compressed image (format {format!r}) is neither jpeg nor png: it starts with {start}; "
            f"accepted: {', '.join(SUPPORTED_FORMATS)}"
        )
    if not complete:
        raise ImageError(f"compressed image (format {format!r}) is truncated: no end marker in {len(content)} bytes")


def _jpeg_ends(content: memoryview) -> bool:
    """Whether the end marker follows the first scan. Bytes after it are allowed: USB cameras pad.

    The segments before the scan are skipped by their length, because an embedded thumbnail has an end marker
    of its own.
    """
    at, size = len(JPEG_START), len(content)
    while at + 4 <= size:
        if content[at] != 0xFF:
            return False
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte before a marker
            at += 1
        elif marker == JPEG_SCAN:
            return bytes(content[at:]).rfind(JPEG_END) >= 0
        elif marker in JPEG_WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False


def _png_ends(content: memoryview) -> bool:
    """Whether the chunks lead, by their lengths, to the end chunk."""
    at, size = len(PNG_START), len(content)
    while at + 12 <= size:
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False
