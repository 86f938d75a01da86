"""The edge map equals kornia's Canny magnitude, resized as the published code resizes it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kornia.filters import canny

from robotseg_ros.model.edges import IMAGENET_MEAN, IMAGENET_STD, edge_map

STRIDE = 16


def _normalised(pictures: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (pictures - mean) / std


def _by_kornia(pictures: torch.Tensor) -> torch.Tensor:
    red, green, blue = pictures.split(1, dim=1)
    gray = (0.299 * red + 0.587 * green + 0.114 * blue).clamp(0, 1)
    magnitude, _ = canny(gray, 0.1, 0.2, hysteresis=False)
    side = pictures.shape[-1] // STRIDE
    return F.interpolate(magnitude.clamp(max=1), size=(side, side), mode="bilinear", align_corners=False).clamp(0, 1)


def _pictures(seed: int, brightest: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 12, 12, generator=generator)
    smooth = F.interpolate(coarse, size=(128, 128), mode="bicubic", align_corners=False)
    blocks = F.interpolate(coarse.flip(0), size=(128, 128), mode="nearest")
    return ((smooth + blocks) / 2).clamp(0, 1) * brightest


@pytest.mark.parametrize("seed", range(3))
def test_edges_of_the_picture(seed: int) -> None:
    pictures = _pictures(seed)
    ours = edge_map(_normalised(pictures), "rgb", STRIDE)
    expected = _by_kornia(pictures)
    # Undoing the normalisation rounds; where two neighbours tie, rounding decides which is kept.
    assert ((ours - expected).abs() < 1e-4).float().mean() > 0.95
    assert ours.max() > 0.1


def test_the_published_heuristic_on_a_bright_frame_leaves_next_to_nothing() -> None:
    bright = _normalised(_pictures(0))
    assert bright.max() > 1.5
    torch.testing.assert_close(edge_map(bright, "normalised", STRIDE), _by_kornia(bright / 255))
    assert edge_map(bright, "normalised", STRIDE).max() < 0.03


def test_the_published_heuristic_on_a_dark_frame_has_real_edges() -> None:
    dark = _normalised(_pictures(0, brightest=0.7))
    assert dark.max() < 1.5
    torch.testing.assert_close(edge_map(dark, "normalised", STRIDE), _by_kornia(dark))
    assert edge_map(dark, "normalised", STRIDE).max() > 0.1


def test_each_frame_of_a_batch_is_judged_alone() -> None:
    bright, dark = _normalised(_pictures(0))[:1], _normalised(_pictures(0, brightest=0.7))[:1]
    together = edge_map(torch.cat([bright, dark]), "normalised", STRIDE)
    torch.testing.assert_close(together[1:], edge_map(dark, "normalised", STRIDE))


def test_a_flat_frame_has_no_edge() -> None:
    assert edge_map(torch.zeros(1, 3, 64, 64), "rgb", STRIDE).max() == 0
