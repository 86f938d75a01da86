"""Clips packed into the cache and the batches drawn from it."""

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from robotseg_ros.dataset import masks
from robotseg_ros.dataset.clip import ClipError
from robotseg_ros.training.augment import resize_geometry, sample_window, travelling, warp, warp_label, without_robot
from robotseg_ros.training.clip_cache import ClipCache, read_clip
from robotseg_ros.training.samples import BatchSource, Request, clip_order, part_masks, window
from robotseg_ros.training.settings import AugmentSettings, ClipSettings, ScheduleSettings, TrainSettings


@pytest.fixture
def folder(tmp_path, write_clip):
    for index in range(3):
        write_clip(tmp_path / "clips", f"c{index}")
    return tmp_path / "clips"


@pytest.fixture
def cache(tmp_path, folder):
    packed = ClipCache(tmp_path / "cache", 64, 48)
    packed.extend(folder)
    return packed


def test_packing_keeps_pictures_and_labels_and_is_not_repeated(cache, folder):
    assert len(cache) == 3 and cache.images.shape == (18, 48, 64, 3)
    assert set(np.unique(cache.labels)) == {0, 1, 2}
    assert cache.extend(folder) == 0
    again = ClipCache(cache.folder, 64, 48)
    assert np.array_equal(again.labels, cache.labels)


def test_clips_rendered_later_are_appended_and_unfinished_ones_wait(cache, folder, write_clip):
    write_clip(folder, "a_new_one")
    write_clip(folder, "still_rendering", age=0.0)
    before = cache.labels.copy()
    assert cache.extend(folder) == 1
    assert [clip.name for clip in cache.clips] == ["c0", "c1", "c2", "a_new_one"]
    assert np.array_equal(cache.labels[:18], before)


def test_a_clip_without_a_mask_is_named_and_left_out(cache, folder, write_clip, caplog):
    write_clip(folder, "broken")
    for part in ("000", "001", "002"):
        (folder / "mask_gt" / "broken" / part / "00003.png").unlink()
        os.utime(folder / "mask_gt" / "broken" / part, (1, 1))
    assert cache.extend(folder) == 0
    assert "broken" in caplog.text and "00003" in caplog.text


def test_what_a_killed_packing_left_behind_is_overwritten(cache, folder, write_clip):
    with open(cache.folder / "labels.u8", "ab") as file:
        file.write(b"half a frame")
    write_clip(folder, "c3")
    reopened = ClipCache(cache.folder, 64, 48)
    assert reopened.extend(folder) == 1
    assert np.array_equal(reopened.labels[18], reopened.labels[0])


def test_a_cache_of_another_size_is_refused(cache):
    with pytest.raises(ClipError, match="'width': 64.*wanted.*'width': 32"):
        ClipCache(cache.folder, 32, 24)
    with pytest.raises(ClipError, match="'labelled': None.*wanted.*'labelled': 1"):
        ClipCache(cache.folder, 64, 48, labelled=1)


@pytest.mark.parametrize("name", ["frames.rgb", "labels.u8", "index.json"])
def test_a_cache_that_was_cut_short_is_named(cache, name):
    os.truncate(cache.folder / name, 20)
    with pytest.raises(ClipError, match=f"{name}: the cache is damaged .*; delete .*cache, it is made anew"):
        ClipCache(cache.folder, 64, 48)


def test_a_batch_is_a_function_of_its_request(cache):
    settings = TrainSettings(schedule=ScheduleSettings(steps=1, image_batch=4, video_batch=2))
    for video, frames in ((False, 1), (True, None)):
        request = Request(7, video, 64, 3)
        first, second = BatchSource(cache, settings)[request], BatchSource(cache, settings)[request]
        assert torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)
        assert first.images.shape == (2 if video else 4, frames or max(first.order) + 1, 64, 64, 3)
        other = BatchSource(cache, settings)[Request(8, video, 64, 3)]
        assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)


def test_peers_share_a_batch_without_overlap_and_agree_on_its_order(cache):
    settings = TrainSettings(schedule=ScheduleSettings(steps=1, image_batch=4, video_batch=2))
    left, right = (BatchSource(cache, settings)[Request(7, True, 64, 3, rank, 2)] for rank in (0, 1))
    assert left.order == right.order and len(left.images) == len(right.images) == 1
    assert not torch.equal(left.images, right.images)


def test_orders_are_palindromes_or_plain():
    rng = np.random.default_rng(0)
    assert clip_order(rng, 1.0, 4, 5) == (0, 1, 2, 3, 2, 1, 0)
    assert clip_order(rng, 0.0, 4, 5) == (0, 1, 2, 3, 4)


def test_moved_stills_show_one_labelled_frame_that_moves_with_its_labels(tmp_path, folder):
    packed = ClipCache(tmp_path / "first", 64, 48, labelled=1)
    packed.extend(folder)
    plain = AugmentSettings(
        **dict.fromkeys(("colour", "recolour_robot", "background", "occluder", "blur", "noise", "jpeg"), 0.0)
    )
    clips = ClipSettings(stills=1.0, forward_frames=6)
    settings = TrainSettings(clips=clips, augment=plain, schedule=ScheduleSettings(steps=1, video_batch=4))
    batch = BatchSource(packed, settings)[Request(7, True, 64, 3)]
    assert batch.order == (0, 1, 2, 3, 4, 5)
    assert batch.images.shape == (4, 6, 64, 64, 3) and batch.labels.shape == (4, 6, 64, 64)
    for clip in range(4):
        assert not torch.equal(batch.labels[clip, 0], batch.labels[clip, 5])
        for image, label in zip(batch.images[clip].numpy(), batch.labels[clip].numpy(), strict=True):
            inside = cv2.erode((label == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert not inside.any() or image[inside, 0].mean() > 190  # the bar is orange, the rest is dark


def test_windows_stay_within_their_clip(cache):
    rng = np.random.default_rng(0)
    clip = cache.clips[1]
    for stride in (1, 2, 9):
        indices = window(rng, clip, 4, stride)
        assert len(indices) == 4 and min(indices) >= 0 and max(indices) < clip.length
    for _ in range(20):
        assert window(rng, replace(clip, labelled=1), 4, 1) == [0, 1, 2, 3]
    assert window(rng, replace(clip, labelled=1), 3, 2) == [0, 2, 4]


def test_clips_of_one_length_make_a_batch(tmp_path, folder, write_clip):
    """Palindromes need frames; clips of one frame among the others have none to give."""
    short = tmp_path / "short"
    for index in range(4):
        write_clip(short, f"s{index}", frames=1)
    mixed = ClipCache(tmp_path / "mixed", 64, 48, labelled=1)
    mixed.extend(short)
    clips = ClipSettings(palindrome_frames=4, strides=(1, 9))
    settings = TrainSettings(clips=clips, schedule=ScheduleSettings(steps=1, video_batch=3))
    assert BatchSource(mixed, settings)[Request(0, True, 64, len(mixed))].images.shape[:2] == (3, 4)
    mixed.extend(folder)
    for step in range(6):
        batch = BatchSource(mixed, settings)[Request(step, True, 64, len(mixed))]
        assert batch.images.shape[:2] == (3, 4) and batch.labels.shape[:2] == (3, 1)
        assert (batch.images[:, 0] != batch.images[:, 1]).any()


def test_travelling_stills_lose_the_robot_and_find_it():
    rng = np.random.default_rng(0)
    label = np.zeros((48, 64), np.uint8)
    label[20:34, 24:40] = 1
    seen = np.array([[warp_label(label, g, 32).any() for g in travelling(rng, label, 32, 6)] for _ in range(200)])
    leaves, comes = seen[:, 0] & ~seen[:, -1], ~seen[:, 0] & seen[:, -1]
    assert leaves.mean() > 0.05 and comes.mean() > 0.05 and seen.all(1).mean() > 0.1


def test_part_masks_follow_the_order_of_the_parts():
    masks = part_masks(torch.tensor([[[0, 1], [2, 3]]]))
    assert masks[0].int().tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]], [[0, 1], [1, 1]]]


def test_the_plain_geometry_is_a_resize(cache):
    plain = resize_geometry(64, 48, 64)
    image, label = warp(cache.images[0], plain, 64), warp_label(cache.labels[0], plain, 64)
    assert image.shape == (64, 64, 3)
    assert abs((label > 0).mean() - (cache.labels[0] > 0).mean()) < 0.01


def test_pieces_of_a_frame_often_show_no_robot_and_match_their_labels():
    rng = np.random.default_rng(0)
    image, label = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    image[16:32, 2:18], label[16:32, 2:18] = 255, 1
    shown = []
    for _ in range(40):
        geometry = sample_window(rng, label, 32)
        seen = warp_label(label, geometry, 32) > 0
        shown.append(seen.any())
        assert np.mean(seen == (warp(image, geometry, 32)[..., 0] > 127)) > 0.95
    assert 5 < sum(shown) < 35, "a robot at the side is neither always nor never there"


def test_a_backdrop_shows_nothing_of_its_robot():
    image, label = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), np.uint8)
    image[20:40, 20:40], label[20:40, 20:40] = 10, 1
    assert without_robot(image, label).min() > 150


def test_first_frame_supervision_never_opens_a_later_mask(tmp_path, folder, monkeypatch):
    for path in (folder / "mask_gt").rglob("*.png"):
        if path.stem != "00000":
            path.write_bytes(b"not a picture")
    opened = []
    read = masks.read_mask
    monkeypatch.setattr(masks, "read_mask", lambda path: opened.append(path.name) or read(path))
    packed = ClipCache(tmp_path / "first", 64, 48, labelled=1)
    assert packed.extend(folder) == 3 and set(opened) == {"00000.png"}
    assert len(packed.labels) == 3 and len(packed.images) == 18
    with pytest.raises(IndexError, match="c1: frame 1 has no labels"):
        packed.label(packed.clips[1], 1)
    with pytest.raises(ClipError, match=r"0000\d.png"):
        read_clip(folder, "c0", 64, 48, labelled=None)


def test_label_efficient_batches_hold_the_first_frames_labels_alone(tmp_path, folder):
    packed = ClipCache(tmp_path / "first", 64, 48, labelled=1)
    packed.extend(folder)
    settings = TrainSettings(schedule=ScheduleSettings(steps=1, image_batch=4, video_batch=2))
    for step in range(6):
        video, image = (BatchSource(packed, settings)[Request(step, kind, 64, 3)] for kind in (True, False))
        assert video.order == (0, 1, 2, 3, 2, 1, 0) and video.images.shape[:2] == (2, 4)
        assert video.labels.shape[:2] == (2, 1) and image.labels.shape[:2] == (4, 1)
