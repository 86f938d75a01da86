"""Datasets: the layouts that are known, and what is said of clips that cannot be used."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robotseg_ros.dataset import ClipError, list_dataset
from robotseg_ros.dataset.folders import clip_place, list_clips, named_clip, open_folder
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


def _broken_picture(root):
    (root / "image/bad/00000.jpg").write_bytes(b"")


def _twins(root):
    shutil.copy(root / "image/bad/00000.jpg", root / "image/bad/00000.png")


def _other_size(root):
    assert cv2.imwrite(str(root / "mask_gt/bad/001/00000.png"), np.zeros((20, 30), np.uint8))


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (_empty, "holds no images"),
        (_no_masks, "image/bad: has no masks"),
        (_no_part, "no folder of a part; they are 000 or arm"),
        (_no_first_mask, "holds no mask of the first 1 frames"),
        (_stranger, r"00077\.png: belongs to no picture"),
        (_broken, r"001/00000\.png: cannot be read as an image"),
        (_broken_picture, r"image/bad/00000\.jpg: cannot be read as an image"),
        (_twins, r"00000\.jpg and 00000\.png are frames of one name"),
        (_other_size, r"001/00000\.png: the mask is 30x20, its image 64x48"),
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


def test_a_dataset_without_one_usable_clip_says_why(tmp_path, make):
    root = make.vrs_root(tmp_path, ("bad",))
    _empty(root)
    with pytest.raises(ClipError, match="none of 1 clips can be used; bad: .*image/bad: holds no images"):
        list_dataset(root)


def test_what_is_no_dataset_says_what_would_be_one(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ClipError, match=r"holds no dataset; accepted are:\n  image/<clip>"):
            list_dataset(path)


def test_later_masks_of_training_clips_of_vrs_are_guesses_and_not_read(tmp_path, make):
    root = make.vrs_root(tmp_path)
    (root / "mask_gt").rename(root / "mask_gt_dinov3")
    for path in root.glob("mask_gt_dinov3/one/*/0000[12].png"):
        path.write_bytes(b"not to be read")
    for labelled in (None, 1, 3):
        (clip,) = list_dataset(root, labelled=labelled).clips
        assert [frame.masks is not None for frame in clip] == [True, False, False]
    assert clip_place(root, "one").open(labelled=0).frame(0).masks is None
    (root / "mask_gt/one/000").mkdir(parents=True)
    make.save(root / "mask_gt/one/000/00002.png", make.square_mask(2).astype(np.uint8))
    assert [frame.masks is not None for frame in named_clip(root, "one")] == [False, False, True]


def test_a_clip_that_holds_its_masks_is_a_dataset_of_one(tmp_path, make):
    root = as_own_folders(make.vrs_root(tmp_path, ("one", "two")))
    (clip,) = list_dataset(root / "one").clips
    assert (clip.name, len(clip), clip.parts) == ("one", 3, ("arm", "gripper"))
    images, labels = read_clip(root / "one", "one", 64, 48, labelled=1)
    assert len(images) == 3 and labels.any()


def roboseg(root, make, names=("0001_pick_up", "0002_a__b")):
    """RoboEngine's own layout: stills, each beside a label map of robot (1, 2) and what it handles (3)."""
    for number, name in enumerate(names):
        labels = np.zeros((48, 64), np.uint8)
        labels[:10], labels[10:20], labels[20:30] = 1, 2, 3
        make.save(root / "bridge" / "EYE_image_0" / f"img_{name}.png", make.picture(number))
        make.save(root / "bridge" / "EYE_image_0" / f"mask_{name}.png", labels)
    return root


def test_stills_of_roboengine_are_clips_of_one_frame(tmp_path, make):
    dataset = list_dataset(roboseg(tmp_path, make))
    assert [clip.name for clip in dataset.clips] == [
        "bridge__EYE_image_0__0001_pick_up",
        "bridge__EYE_image_0__0002_a__b",
    ]
    ((frame,), (other,)) = dataset.clips
    assert (make.number(frame.image), make.number(other.image), set(frame.masks)) == (0, 1, {"robot"})
    assert frame.masks["robot"][:20].all() and not frame.masks["robot"][20:].any()


def test_stills_without_their_label_map_or_with_a_coloured_one_are_named(tmp_path, make):
    root = roboseg(tmp_path, make)
    (root / "bridge/EYE_image_0/mask_0001_pick_up.png").unlink()
    (refused,) = list_dataset(root).refused
    assert refused.name.endswith("0001_pick_up") and "mask_0001_pick_up.png: holds no mask" in refused.reason
    make.save(root / "bridge/EYE_image_0/mask_0001_pick_up.png", make.picture(0))
    with pytest.raises(ClipError, match=r"mask_0001_pick_up\.png: is no label map"):
        list(named_clip(root, refused.name))
    with pytest.raises(ClipError, match="no clip 'bridge__EYE_image_0__absent'; there are: bridge__EYE_image_0__0001"):
        named_clip(root, "bridge__EYE_image_0__absent")
    with pytest.raises(ClipError, match=r"holds 2 clips; name one, as .*img_0001_pick_up\.png"):
        open_folder(root)


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


FRAMES = st.sets(st.integers(0, 30), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 12), st.tuples(FRAMES, FRAMES, FRAMES, st.booleans()), min_size=1, max_size=5),
    st.sampled_from(["mask_gt", "mask", "mask_gt_dinov3"]),
    st.sampled_from([None, 1, 2]),
)
def test_every_clip_is_used_or_refused_and_used_ones_give_their_true_masks(clips, folder, labelled):
    """Clips by number: the frames that there are, those with a mask of arm and of gripper, and whether sizes agree."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for number, (frames, arm, gripper, fits) in clips.items():
            _write(root / f"image/clip{number}", frames, (8, 6), ".jpg")
            for part, masked in (("000", arm), ("gripper", gripper)):
                _write(root / folder / f"clip{number}" / part, masked, (8, 6) if fits else (4, 4), ".png")
        good = []
        for number, (frames, arm, gripper, fits) in sorted(clips.items()):
            masked, count = arm | gripper, 1 if folder == "mask_gt_dinov3" else labelled
            if fits and masked <= frames and masked & set(sorted(frames)[:count]):
                good.append(number)
        if not good:
            with pytest.raises(ClipError, match=f"none of {len(clips)} clips can be used"):
                list_dataset(root, labelled=labelled)
            return
        dataset = list_dataset(root, labelled=labelled)
        assert [clip.name for clip in dataset.clips] == [f"clip{number}" for number in good]
        assert {bad.name for bad in dataset.refused} == {f"clip{number}" for number in clips if number not in good}
        for clip, number in zip(dataset.clips, good, strict=True):
            frames, arm, gripper, _ = clips[number]
            allowed = sorted(frames)[: 1 if folder == "mask_gt_dinov3" else labelled]
            assert [int(frame.stem[1:]) for frame in clip] == sorted(frames)
            for frame in clip:
                index = int(frame.stem[1:])
                expected = {part for part, masked in (("arm", arm), ("gripper", gripper)) if index in masked}
                assert set(frame.masks or ()) == (expected if index in allowed else set())


def _write(folder, frames, size, suffix):
    folder.mkdir(parents=True)
    for frame in frames:
        Image.new("L", size, 255).save(folder / f"f{frame}{suffix}")
