"""Frames become the network's input with the published rounding; anything else is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from robotseg_ros.model import preprocess, preset

RNG = np.random.default_rng(5)


def _published(square: NDArray[np.uint8]) -> NDArray[np.float32]:
    x = (square / 255.0).astype(np.float32)
    x -= np.float32([0.485, 0.456, 0.406])
    x /= np.float32([0.229, 0.224, 0.225])
    return x.transpose(2, 0, 1)


def test_a_square_frame_is_normalised_to_the_last_bit() -> None:
    config = preset("robotseg")
    frame = RNG.integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    assert np.array_equal(preprocess(frame, config)[0].numpy(), _published(frame))


def test_the_published_model_resizes_with_pil() -> None:
    frame = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    square = np.asarray(Image.fromarray(frame).resize((1024, 1024), Image.Resampling.BICUBIC))
    assert np.array_equal(preprocess(frame, preset("robotseg"))[0].numpy(), _published(square))


@pytest.mark.parametrize("shape", [(480, 640), (720, 1280), (100, 90), (1, 1), (3000, 200)])
def test_any_size_fills_the_square(shape: tuple[int, int]) -> None:
    frame = np.full((*shape, 3), 200, np.uint8)
    out = preprocess(frame, preset("robotseg_nano"))
    side = preset("robotseg_nano").image_size
    assert out.shape == (1, 3, side, side) and out.dtype == torch.float32
    assert np.allclose(out[0].numpy(), _published(np.full((side, side, 3), 200, np.uint8)))


def test_a_view_with_odd_strides_is_read_right() -> None:
    frame = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    flipped = frame[:, ::-1, ::-1]
    assert torch.equal(
        preprocess(flipped, preset("robotseg_nano")), preprocess(flipped.copy(), preset("robotseg_nano"))
    )


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(ValueError, match="a frame must"):
        preprocess(frame, preset("robotseg_nano"))  # type: ignore[arg-type]
