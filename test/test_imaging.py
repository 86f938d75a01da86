"""Decoding of sensor images equals plain NumPy for all encodings, steps and byte orders."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotseg_ros.imaging import SUPPORTED_ENCODINGS, ImageError, decode_compressed, decode_raw

COLOR_ORDER = {"rgb": [0, 1, 2], "rgba": [0, 1, 2], "bgr": [2, 1, 0], "bgra": [2, 1, 0], "mono": [0, 0, 0]}
CHANNELS = {"rgb": 3, "rgba": 4, "bgr": 3, "bgra": 4, "mono": 1}
PLAIN = {f"{kind}{bits}": (kind, bits) for kind in COLOR_ORDER for bits in (8, 16)} | {
    "8UC1": ("mono", 8),
    "8UC3": ("bgr", 8),
    "8UC4": ("bgra", 8),
    "16UC1": ("mono", 16),
    "16UC3": ("bgr", 16),
    "16UC4": ("bgra", 16),
}
UYVY, YUYV = ("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")
# Colours of the four mosaic sites, row by row.
MOSAICS = {"rggb": "rggb", "bggr": "bggr", "gbrg": "gbrg", "grbg": "grbg"}

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
paddings = st.integers(0, 7)
seeds = st.integers(0, 2**32 - 1)


def packed(pixels: np.ndarray, padding: int, big: bool = False, full_last_row: bool = True) -> tuple[bytes, int]:
    """Rows of `pixels` with `padding` bytes of noise after each, and their step."""
    ordered = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = [row.tobytes() + b"\xa5" * padding for row in ordered]
    data = b"".join(rows)
    return data[: len(data) - (0 if full_last_row else padding)], len(rows[0])


def test_every_name_is_tested():
    bayer = {f"bayer_{pattern}{bits}" for pattern in MOSAICS for bits in (8, 16)}
    assert set(SUPPORTED_ENCODINGS) == {*PLAIN, *UYVY, *YUYV, *bayer, "32FC1", "32FC3"}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PLAIN)), sizes, paddings, st.booleans(), st.booleans(), seeds)
def test_plain_encodings_equal_numpy(encoding, size, padding, big, full_last_row, seed):
    kind, bits = PLAIN[encoding]
    channels = CHANNELS[kind]
    pixels = np.random.default_rng(seed).integers(0, 2**bits, (*size, channels)).astype(f"u{bits // 8}")
    data, step = packed(pixels, padding, big, full_last_row)
    eight = pixels if bits == 8 else np.round(pixels / 65535.0 * 255.0).astype(np.uint8)

    rgb = decode_raw(data, *size, encoding, step, is_bigendian=big)

    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, eight[..., COLOR_ORDER[kind]])


def yuv_to_rgb(luma: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, video range."""
    y, u, v = 1.164 * (luma - 16.0), u - 128.0, v - 128.0
    return np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1).clip(0, 255)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(UYVY + YUYV), sizes, paddings, seeds)
def test_packed_yuv_equals_the_standard(encoding, size, padding, seed):
    height, width = size[0], 2 * size[1]
    rng = np.random.default_rng(seed)
    luma = rng.integers(16, 236, (height, width)).astype(np.uint8)
    u, v = (rng.integers(16, 241, (height, width // 2)).astype(np.uint8) for _ in range(2))
    chroma = np.stack([u, v], axis=-1).reshape(height, width)
    pair = [chroma, luma] if encoding in UYVY else [luma, chroma]
    data, step = packed(np.stack(pair, axis=-1), padding)

    rgb = decode_raw(data, height, width, encoding, step)

    expected = yuv_to_rgb(luma.astype(float), np.repeat(u, 2, axis=1), np.repeat(v, 2, axis=1))
    assert np.abs(rgb - expected).max() <= 2


def mosaic_of(color: np.ndarray, pattern: str, height: int, width: int) -> np.ndarray:
    """What a sensor behind `pattern` sees of a wall of one colour."""
    tile = np.array([color["rgb".index(site)] for site in MOSAICS[pattern]], color.dtype).reshape(2, 2)
    return np.tile(tile, (height, width))[:height, :width]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(MOSAICS)),
    st.sampled_from([8, 16]),
    st.tuples(st.integers(2, 12), st.integers(2, 12)),
    paddings,
    st.booleans(),
    seeds,
)
def test_a_bayer_image_of_one_colour_is_that_colour_to_the_border(pattern, bits, size, padding, big, seed):
    color = np.random.default_rng(seed).integers(0, 256, 3).astype(f"u{bits // 8}") * (1 if bits == 8 else 257)
    data, step = packed(mosaic_of(color, pattern, *size), padding, big)

    rgb = decode_raw(data, *size, f"bayer_{pattern}{bits}", step, is_bigendian=big)

    expected = color if bits == 8 else color // 257
    np.testing.assert_array_equal(rgb, np.broadcast_to(expected, (*size, 3)))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["32FC1", "32FC3"]), sizes, paddings, st.booleans(), seeds)
def test_float_intensities_are_scaled(encoding, size, padding, big, seed):
    channels = int(encoding[-1])
    pixels = np.random.default_rng(seed).random((*size, channels), np.float32)
    data, step = packed(pixels, padding, big)

    rgb = decode_raw(data, *size, encoding, step, is_bigendian=big)

    expected = pixels[..., [0, 0, 0] if channels == 1 else [2, 1, 0]] * 255.0
    assert np.abs(rgb - expected).max() <= 0.51


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_image_with_a_hole_is_refused(bad):
    pixels = np.full((4, 4), 0.5, np.float32)
    pixels[1, 2] = bad
    with pytest.raises(ImageError, match="1 of 16 values NaN or infinite"):
        decode_raw(pixels.tobytes(), 4, 4, "32FC1", 16)


def test_depth_in_metres_is_refused():
    depth = np.full((4, 4), 2.5, np.float32)
    with pytest.raises(ImageError, match="depth.*between 0 and 1"):
        decode_raw(depth.tobytes(), 4, 4, "32FC1", 16)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, lambda d: array.array("B", d), lambda d: np.frombuffer(d, np.uint8)]
)
def test_rgb8_is_not_copied(kind):
    data = kind(bytes(range(48)))
    rgb = decode_raw(data, 4, 4, "rgb8", 12)
    assert np.shares_memory(rgb, np.frombuffer(data, np.uint8))
    np.testing.assert_array_equal(rgb.ravel(), np.arange(48))


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ((b"", 0, 0, "rgb8", 0), "0 x 0 pixels"),
        ((b"", 0, 4, "rgb8", 12), "4 x 0 pixels"),
        ((b"\0" * 48, 4, 4, "rgb9", 12), "unknown encoding 'rgb9'; accepted: rgb8"),
        ((b"\0" * 48, 4, 4, "", 12), "unknown encoding ''"),
        ((b"\0" * 47, 4, 4, "rgb8", 12), "truncated: 47 bytes for 4 x 4 rgb8 with step 12, which is 48"),
        ((b"\0" * 49, 4, 4, "rgb8", 12), "too long: 49 bytes"),
        ((b"\0" * 48, 4, 4, "rgb8", 4), "step is 4 bytes, but a row of 4 rgb8 pixels has 12"),
        ((b"\0" * 48, 4, 4, "rgb8", 0), "step is 0"),
        ((b"\0" * 48, 4, 4, "rgb8", 16), "truncated"),
        ((b"\0" * 24, 4, 3, "yuv422", 6), "width must be even, not 3"),
        ((b"\0" * 4, 1, 4, "bayer_rggb8", 4), "at least 2 x 2"),
        (("no bytes", 1, 1, "mono8", 1), "no contiguous buffer"),
    ],
)
def test_what_does_not_add_up_is_refused(arguments, reason):
    with pytest.raises(ImageError, match=reason):
        decode_raw(*arguments)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.integers(-2, 20),
    st.integers(-2, 20),
    st.sampled_from([*SUPPORTED_ENCODINGS, "nonsense"]),
    st.integers(-2, 100),
    st.booleans(),
)
def test_garbage_is_an_image_or_an_image_error(data, height, width, encoding, step, big):
    try:
        rgb = decode_raw(data, height, width, encoding, step, big)
    except ImageError:
        return
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth colour picture, RGB, that JPEG keeps well."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 120 // (height + width)], axis=-1).astype(np.uint8)


def encoded(rgb: np.ndarray, kind: str) -> bytes:
    return cv2.imencode(f".{kind}", rgb[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("format", ["jpeg", "jpg", "", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8"])
def test_jpeg_is_decoded_to_rgb(format):
    rgb = decode_compressed(encoded(picture(), "jpeg"), format)
    assert np.abs(rgb.astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("format", ["png", "rgba8; png compressed bgr8", "png; png"])
def test_png_is_decoded_exactly(format):
    np.testing.assert_array_equal(decode_compressed(encoded(picture(), "png"), format), picture())


def test_image_compressed_as_rgb_has_red_and_blue_exchanged_in_the_file():
    file = cv2.imencode(".png", picture())[1].tobytes()  # the encoder takes this for BGR
    np.testing.assert_array_equal(decode_compressed(file, "rgb8; png compressed rgb8"), picture())


def test_grey_png_of_16_bits_becomes_grey():
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 16
    rgb = decode_compressed(cv2.imencode(".png", grey)[1], "mono16; png compressed mono16")
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb[..., 0] - grey / 257.0).max() <= 1.0


@pytest.mark.parametrize("bits", [8, 16])
def test_compressed_mosaic_gets_its_colours_back(bits):
    color = np.array([200, 100, 40], f"u{bits // 8}") * (1 if bits == 8 else 257)
    file = cv2.imencode(".png", mosaic_of(color, "gbrg", 10, 14))[1]
    rgb = decode_compressed(file, f"bayer_gbrg{bits}; png compressed ")
    np.testing.assert_array_equal(rgb, np.broadcast_to([200, 100, 40], (10, 14, 3)))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@settings(max_examples=60, deadline=None)
@given(keep=st.floats(0.0, 0.999))
def test_a_cut_image_is_refused_not_grey(kind, keep):
    whole = encoded(picture(), kind)
    with pytest.raises(ImageError):
        decode_compressed(whole[: min(int(len(whole) * keep), len(whole) - 8)], kind)


def test_a_cut_jpeg_is_called_truncated():
    whole = encoded(picture(), "jpeg")
    with pytest.raises(ImageError, match=f"truncated: no end marker in {len(whole) // 2} bytes"):
        decode_compressed(whole[: len(whole) // 2], "jpeg")


def test_a_cut_jpeg_with_a_whole_thumbnail_is_refused():
    thumbnail, whole = encoded(picture(16, 16), "jpeg"), encoded(picture(), "jpeg")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    assert decode_compressed(with_thumbnail, "jpeg").shape == (48, 64, 3)
    with pytest.raises(ImageError, match="truncated"):
        decode_compressed(with_thumbnail[: len(with_thumbnail) - len(whole) // 3], "jpeg")


@pytest.mark.parametrize("tail", [b"\0" * 500, b"\xff" * 3, b"camera"])
def test_bytes_after_a_jpeg_are_allowed(tail):
    assert decode_compressed(encoded(picture(), "jpeg") + tail, "jpeg").shape == (48, 64, 3)


@pytest.mark.parametrize(
    "data, format, reason",
    [
        (b"", "jpeg", "is empty"),
        (b"no image at all", "jpeg", "neither jpeg nor png: it starts with 6e 6f"),
        (encoded(picture(), "webp"), "webp", "neither jpeg nor png"),
        (encoded(picture(), "png"), "16UC1; compressedDepth png", "depth image"),
        (encoded(picture(), "png"), "bayer_rggb8; png compressed ", "has 3 channels"),
    ],
)
def test_other_formats_are_refused(data, format, reason):
    with pytest.raises(ImageError, match=reason):
        decode_compressed(data, format)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", encoded(picture(), "png")[:60]]),
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd9", b"\0\0\0\0IEND\xaeB`\x82"]),
    st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "bayer_rggb8; jpeg compressed ", ";;"]),
)
def test_compressed_garbage_is_an_image_or_an_image_error(start, middle, end, format):
    try:
        rgb = decode_compressed(start + middle + end, format)
    except ImageError:
        return
    assert rgb.ndim == 3 and rgb.shape[2] == 3


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["jpeg", "png"]),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_damaged_files_are_an_image_or_an_image_error(kind, damage):
    data = bytearray(encoded(picture(), kind))
    for where, value in damage:
        data[int(where * len(data))] = value
    try:
        rgb = decode_compressed(data, kind)
    except ImageError:
        return
    assert rgb.ndim == 3 and rgb.shape[2] == 3
