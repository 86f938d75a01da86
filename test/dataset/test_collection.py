"""Datasets: the layouts that are known, and what is said of clips that cannot be used."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotseg_ros.dataset import ClipError, list_dataset
from robotseg_ros.dataset.folders import list_clips, open_folder
from robotseg_ros.training.clip_cache import read_clip


def as_roboengine(root):
    """Moves a VRS root to RoboEngine's layout: masks of the whole robot alone."""
    (root / "mask_gt").rename(root / "mask")
    for clip in (root / "mask").iterdir():
        (clip / "000").rename(clip / "002")
        shutil.rmtree(clip / "001")
    return root


def as_own_folders(root):
    """Moves a VRS root to folders that hold their masks, under the parts' names, of the first frame only."""
    for clip in list((root / "image").iterdir()):
        clip.rename(root / clip.name)
        for number, part in (("000", "arm"), ("001", "gripper")):
            source, target = root / "mask_gt" / clip.name / number, root / clip.name / "masks" / part
            target.mkdir(parents=True)
            (source / "00000.png").rename(target / "00000.png")
    shutil.rmtree(root / "mask_gt")
    (root / "image").rmdir()
    return root


@pytest.mark.parametrize(
    "arrange, parts",
    [(lambda root: root, ("arm", "gripper")), (as_roboengine, ("robot",)), (as_own_folders, ("arm", "gripper"))],
)
def test_every_layout_gives_its_clips_with_their_masks(tmp_path, make, arrange, parts):
    root = arrange(make.vrs_root(tmp_path, ("clip10", "clip2")))
    dataset = list_dataset(root, labelled=1)
    assert [clip.name for clip in dataset.clips] == ["clip2", "clip10"] and not dataset.refused
    frames = list(dataset.clips[0])
    assert len(frames) == 3 and [frame.masks is not None for frame in frames] == [True, False, False]
    assert set(frames[0].masks) == set(parts)
    np.testing.assert_array_equal(frames[0].masks[parts[0]], make.square_mask(0))


def test_folders_with_first_masks_alone_can_be_trained_on(tmp_path, make):
    root = as_own_folders(make.vrs_root(tmp_path, ("one", "two")))
    images, labels = read_clip(root, "one", 64, 48, labelled=1)
    assert images.shape == (3, 48, 64, 3) and labels.shape == (1, 48, 64) and labels.any()
    assert open_folder(root / "one").frame(0).masks is not None


def test_whole_robot_masks_are_not_trained_on(tmp_path, make):
    root = as_roboengine(make.vrs_root(tmp_path))
    with pytest.raises(ClipError, match="has masks of robot; training needs arm and gripper told apart"):
        read_clip(root, "one", 64, 48)


def _empty(root):
    shutil.rmtree(root / "image/bad")
    (root / "image/bad").mkdir()


def _no_masks(root):
    shutil.rmtree(root / "mask_gt/bad")


def _no_part(root):
    for part in ("000", "001"):
        (root / "mask_gt/bad" / part).rename(root / "mask_gt/bad" / f"part{part}")


def _no_first_mask(root):
    for part in ("000", "001"):
        (root / "mask_gt/bad" / part / "00000.png").unlink()


def _stranger(root):
    (root / "mask_gt/bad/000/00000.png").rename(root / "mask_gt/bad/000/00077.png")


def _broken(root):
    (root / "mask_gt/bad/001/00000.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (_empty, "holds no images"),
        (_no_masks, "clip bad has no folder of masks"),
        (_no_part, "no folder of a part; they are 000 or arm"),
        (_no_first_mask, "holds no mask of the first 1 frames"),
        (_stranger, r"00077\.png: belongs to no picture"),
        (_broken, r"001/00000\.png: cannot be read as an image"),
    ],
)
def test_a_bad_clip_is_named_and_skipped_or_refused(tmp_path, make, caplog, spoil, reason):
    root = make.vrs_root(tmp_path, ("bad", "good"))
    spoil(root)
    dataset = list_dataset(root, labelled=1)
    assert [clip.name for clip in dataset.clips] == ["good"]
    ((name, text),) = [(refused.name, refused.reason) for refused in dataset.refused]
    assert name == "bad"
    with pytest.raises(ClipError, match=reason) as raised:
        list_dataset(root, labelled=1, on_bad="raise")
    assert str(raised.value) == text and text in caplog.text


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path, make):
    root = make.vrs_root(tmp_path)
    make.save(root / "mask_gt/one/000/00000.png", np.zeros((20, 30), np.uint8))
    (refused,) = list_dataset(root).refused
    assert "the mask is 30x20, its image 64x48" in refused.reason


def test_what_is_no_dataset_says_what_would_be_one(tmp_path):
    with pytest.raises(ClipError, match="holds no dataset; accepted are image/<clip>"):
        list_dataset(tmp_path)


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.text("ab01 ._-é", min_size=1, max_size=6).filter(lambda name: name.strip(".")), max_size=6),
    st.booleans(),
)
def test_any_names_of_clips_are_listed_once_and_hidden_ones_never(names, beside):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in names:
            (root / "image" / name if beside else root / name / "masks").mkdir(parents=True)
        assert sorted(list_clips(root)) == sorted(name for name in names if not name.startswith("."))
