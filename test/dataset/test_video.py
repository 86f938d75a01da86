"""Video files: frames, times, ranges, rotation, and files that are cut or no video."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from robotseg_ros.dataset import ClipError
from robotseg_ros.dataset.video import VideoClip, VideoWriter, mp4_codec


def test_frames_come_in_order_with_times(tmp_path, make):
    clip = VideoClip(make.video(tmp_path / "a.mp4", count=5, fps=20.0))
    frames = list(clip)
    assert [make.number(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.stamp_ns for frame in frames] == [index * 50_000_000 for index in range(5)]
    assert (len(clip), clip.fps, clip.name) == (5, 20.0, "a")
    assert frames[0].masks is None


def test_a_clip_can_be_read_again_and_in_parts(tmp_path, make):
    clip = VideoClip(make.video(tmp_path / "a.mp4", count=6))
    assert [frame.index for frame in clip] == [frame.index for frame in clip]
    part = list(clip.frames(2, 3))
    assert [(frame.index, make.number(frame.image)) for frame in part] == [(2, 2), (3, 3), (4, 4)]
    assert list(clip.frames(10)) == []


def test_a_rotation_tag_turns_the_frames_upright(tmp_path, make):
    path = make.video(tmp_path / "phone.mp4", count=2)
    content = bytearray(path.read_bytes())
    # The display matrix of the track header lies 44 bytes into a version 0 `tkhd` box, counted from its name.
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    assert next(iter(VideoClip(path))).image.shape == (64, 48, 3)


def test_missing_empty_cut_and_foreign_files_are_refused(tmp_path, make):
    with pytest.raises(ClipError, match="no such file"):
        VideoClip(tmp_path / "absent.mp4")
    whole = make.video(tmp_path / "whole.mp4").read_bytes()
    for name, content in (("empty.mp4", b""), ("text.mp4", b"hello"), ("cut.mp4", whole[: len(whole) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClipError, match=rf"{name}.*\({len(content)} bytes\)"):
            list(VideoClip(tmp_path / name))


def long_noise(path):
    """A lossless video of noise, whose data ends where the file is cut."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)
    with VideoWriter(path, 10.0) as writer:
        for image in noise:
            writer.write(image)
    return path


def test_a_video_that_ends_early_is_refused_or_counted(tmp_path):
    path = long_noise(tmp_path / "cut.mkv")
    expected = len(VideoClip(path))
    if expected < 20:
        pytest.skip("this FFmpeg gives no frame count for Matroska")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = VideoClip(path, on_bad="skip")
    read = len(list(clip))
    if len(clip) < 20:
        pytest.skip("the frame count is gone with the file's end")
    assert 0 < read < 15
    assert clip.skipped[0].index == read and "of 20 frames" in clip.skipped[0].reason
    with pytest.raises(ClipError, match="ends or breaks"):
        list(VideoClip(path))


@pytest.mark.parametrize(("height", "width"), [(47, 63), (48, 63), (48, 64)])
def test_lossless_video_keeps_every_value_and_pads_odd_sides(tmp_path, height, width):
    noise = np.random.default_rng(0).integers(0, 2, (height, width), dtype=np.uint8) * np.uint8(255)
    with VideoWriter(tmp_path / "a.mkv", 10.0) as writer:
        writer.write(noise)
    image = next(iter(VideoClip(tmp_path / "a.mkv"))).image
    assert image.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_array_equal(image[:height, :width, 0], noise)


def test_colours_survive_the_overlay_codec(tmp_path, make):
    clip = VideoClip(make.video(tmp_path / "a.mp4", count=2, height=47, width=63))
    image = list(clip)[1].image
    assert image.shape == (48, 64, 3)
    np.testing.assert_allclose(image.reshape(-1, 3).mean(0), make.picture(1)[0, 0], atol=6)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path, make):
    with VideoWriter(tmp_path / "a.mp4", 10.0) as writer:
        writer.write(make.picture(0))
        writer.write(make.picture(1, 96, 128))
    assert [frame.image.shape for frame in VideoClip(tmp_path / "a.mp4")] == [(48, 64, 3)] * 2


def test_writer_says_what_it_cannot_write(tmp_path, make):
    with pytest.raises(ValueError, match=r"\.mp4 or \.mkv"):
        VideoWriter(tmp_path / "a.webm", 10.0)
    with pytest.raises(OSError, match="absent"), VideoWriter(tmp_path / "absent" / "a.mp4", 10.0) as writer:
        writer.write(make.picture(0))


def test_codec_is_one_that_can_be_written():
    assert mp4_codec() in ("avc1", "mp4v")
