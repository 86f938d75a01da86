"""Folders of images: order, true masks, and what is said about bad ones."""

from __future__ import annotations

import numpy as np
import pytest

from robotseg_ros.dataset import ClipError
from robotseg_ros.dataset.folders import FolderClip, list_clips, named_clip, open_folder


def test_frames_come_in_natural_order_with_their_names(tmp_path, make):
    for index in (0, 2, 10, 1):
        make.save(tmp_path / f"frame{index}.png", make.picture(index))
    frames = list(FolderClip(tmp_path))
    assert [make.number(frame.image) for frame in frames] == [0, 1, 2, 10]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert frames[3].stem == "frame10"


def test_images_are_read_only_when_asked_for(tmp_path, make):
    make.image_folder(tmp_path, 3)
    clip = FolderClip(tmp_path, fps=10.0)
    (tmp_path / "2.png").write_bytes(b"broken after opening")
    frames = iter(clip)
    assert make.number(next(frames).image) == 0
    assert next(frames).stamp_ns == 100_000_000
    with pytest.raises(ClipError, match=r"2\.png.*decoded"):
        next(frames)


def test_a_range_opens_nothing_outside_it(tmp_path, make):
    make.image_folder(tmp_path, 5)
    (tmp_path / "0.png").write_bytes(b"never looked at")
    (tmp_path / "3.png").write_bytes(b"never looked at")
    assert [frame.index for frame in FolderClip(tmp_path).frames(1, 2)] == [1, 2]
    assert list(FolderClip(tmp_path).frames(9)) == []


def test_true_masks_of_the_parts_that_have_them(tmp_path, make):
    root = make.vrs_root(tmp_path)
    (root / "mask_gt/one/001/00002.png").unlink()
    clip = named_clip(root, "one")
    assert clip.parts == ("arm", "gripper")
    first, _, last = list(clip)
    assert first.masks is not None and last.masks is not None
    np.testing.assert_array_equal(first.masks["arm"], make.square_mask(0))
    assert set(last.masks) == {"arm"}


def test_first_frame_only_supervision_never_opens_later_masks(tmp_path, make):
    root = make.vrs_root(tmp_path)
    for path in root.glob("mask_gt/one/*/0000[12].png"):
        path.write_bytes(b"not to be read")
    frames = list(named_clip(root, "one", labelled=1))
    assert frames[0].masks is not None
    assert [frame.masks for frame in frames[1:]] == [None, None]


def test_a_root_with_one_clip_and_a_clip_inside_a_root_are_the_same(tmp_path, make):
    root = make.vrs_root(tmp_path)
    for path in (root, root / "image" / "one"):
        clip = open_folder(path)
        assert (clip.name, len(clip), clip.parts) == ("one", 3, ("arm", "gripper"))


def test_a_root_with_several_clips_asks_for_one_and_lists_them(tmp_path, make):
    root = make.vrs_root(tmp_path, ("clip10", "clip2"))
    assert list_clips(root) == ["clip2", "clip10"]
    with pytest.raises(ClipError, match="clip2, clip10"):
        open_folder(root)
    with pytest.raises(ClipError, match=r"no clip 'three'; there are: clip2, clip10"):
        named_clip(root, "three")


def test_unreadable_frames_are_counted_and_left_out_when_asked(tmp_path, caplog, make):
    make.image_folder(tmp_path, 4)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.png").write_bytes(b"")
    clip = FolderClip(tmp_path, on_bad="skip")
    assert [frame.index for frame in clip] == [0, 3]
    assert [bad.index for bad in clip.skipped] == [1, 2]
    assert "1.png" in clip.skipped[0].reason
    assert caplog.text.count("left out") == 1


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path, make):
    root = make.vrs_root(tmp_path)
    make.save(root / "mask_gt/one/000/00001.png", np.zeros((10, 20), np.uint8))
    with pytest.raises(ClipError, match=r"00001\.png.*20x10.*64x48"):
        list(named_clip(root, "one"))


def test_a_folder_in_which_nothing_can_be_read_is_refused_also_when_skipping(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ClipError, match=r"none of 2 frames.*a\.png"):
        list(FolderClip(tmp_path, on_bad="skip"))


def test_missing_empty_and_ambiguous_folders_are_refused(tmp_path, make):
    with pytest.raises(ClipError, match="no such folder"):
        FolderClip(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ClipError, match="holds no images"):
        FolderClip(tmp_path)
    make.save(tmp_path / "a.png", make.picture(0))
    make.save(tmp_path / "a.jpg", make.picture(0))
    with pytest.raises(ClipError, match=r"a\.jpg and a\.png"):
        FolderClip(tmp_path)
