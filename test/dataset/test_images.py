"""Image files: always RGB, upright, eight bits; never half decoded."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from robotseg_ros.dataset import ClipError
from robotseg_ros.dataset.images import read_image, read_mask


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8 and image.flags.writeable
    assert image.min() > 250


def test_transparent_pixels_become_black(tmp_path):
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[:4, :, 3] = 0
    pixels[4:, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image[:4] == 0).all() and (image[4:] == 200).all()


def test_sixteen_bit_images_are_scaled(tmp_path):
    Image.fromarray(np.array([[0, 65535, 257 * 100]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 255, 100]


def test_masks_are_true_where_anything_is_set_but_alpha(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[1, 1, 2] = 1
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    mask = read_mask(tmp_path / "rgba.png")
    assert mask.dtype == bool and mask.sum() == 1 and mask[1, 1]


def test_palette_masks_count_by_index_whatever_the_colour(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    picture.putpalette([255, 255, 255, 0, 0, 0, 9, 9, 9])
    picture.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png").tolist() == [[False, True, True]]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_file_cut_in_half_is_refused_with_its_name(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ClipError, match=f"cut{suffix}"):
        read_image(path)


def test_missing_empty_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ClipError, match="no such file"):
        read_image(tmp_path / "absent.png")
    for name, content in (("empty.png", b""), ("text.png", b"hello world")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClipError, match=rf"{name}.*{len(content)} bytes"):
            read_image(tmp_path / name)
