"""Demo bags: all frames with true masks, stamped alike, within the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robotseg_ros.dataset.bags import BagClip, Topic, list_topics
from robotseg_ros.dataset.clip import PART_FOLDERS, ClipError
from robotseg_ros.dataset.folders import open_folder
from robotseg_ros.demo import topics
from robotseg_ros.demo.make_bag import START_NS, folder_bytes, main, make_bag
from robotseg_ros.resources import demo_dir

from .conftest import FRAMES, image, true_masks

COMPRESSED = "sensor_msgs/msg/CompressedImage"
TRUTH = {part: topics.truth(part) for part in PART_FOLDERS}


def test_the_bag_has_the_image_and_a_topic_of_true_masks_per_part(clip_root: Path, tmp_path: Path) -> None:
    make_bag(open_folder(clip_root), tmp_path / "bag", 10**6)
    names = ["/camera/image/compressed", "/truth/arm", "/truth/gripper", "/truth/robot"]
    assert list_topics(tmp_path / "bag") == [Topic(name, COMPRESSED, FRAMES) for name in names]


def test_masks_are_exact_and_share_the_stamp_of_their_image(clip_root: Path, tmp_path: Path) -> None:
    make_bag(open_folder(clip_root), tmp_path / "bag", 10**6)
    frames = list(BagClip(tmp_path / "bag", topics.IMAGE, truth=TRUTH))
    assert [frame.stamp_ns for frame in frames] == [START_NS + round(i * 1e9 / 15) for i in range(FRAMES)]
    for index, frame in enumerate(frames):
        assert frame.masks is not None
        for part, mask in true_masks(index).items():
            assert (frame.masks[part] == mask).all()
        assert np.abs(frame.image.astype(int) - image(index)).mean() < 25  # noise, through JPEG


def test_jpeg_files_are_taken_as_they_are_when_they_fit(clip_root: Path, tmp_path: Path) -> None:
    made = make_bag(open_folder(clip_root), tmp_path / "bag", 10**6)
    assert made.quality == 0
    stored = (tmp_path / "bag" / "bag.mcap").read_bytes()
    assert (clip_root / "image/box/00003.jpg").read_bytes() in stored


def test_quality_goes_down_until_the_bag_fits(clip_root: Path, tmp_path: Path) -> None:
    clip = open_folder(clip_root)
    limit = make_bag(clip, tmp_path / "whole", 10**6).size * 2 // 3
    made = make_bag(clip, tmp_path / "small", limit)
    assert 0 < made.quality < 95
    assert folder_bytes(tmp_path / "small") == made.size <= limit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "vrs", "whole"]  # no scratch is left


def test_only_the_first_frames_on_request(clip_root: Path, tmp_path: Path) -> None:
    make_bag(open_folder(clip_root), tmp_path / "bag", 10**6, frames=5)
    assert {topic.count for topic in list_topics(tmp_path / "bag")} == {5}


def test_a_limit_that_cannot_be_met_is_refused_with_the_size_it_takes(clip_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12 frames of box take"):
        make_bag(open_folder(clip_root), tmp_path / "bag", 1000)
    assert not (tmp_path / "bag").exists()


def test_a_clip_without_masks_is_refused(clip_root: Path, tmp_path: Path) -> None:
    (clip_root / "mask_gt/box/000/00002.png").unlink()
    for part in ("001", "002"):
        (clip_root / f"mask_gt/box/{part}/00002.png").unlink()
    with pytest.raises(ClipError, match="00002"):
        make_bag(open_folder(clip_root), tmp_path / "bag", 10**6)


def test_the_command_line_makes_a_bag_and_refuses_to_overwrite_it(
    clip_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(clip_root), str(tmp_path / "bag"), "--max-mb", "1"]
    assert main(arguments) == 0
    assert "12 frames" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_shipped_bags_are_complete_and_small() -> None:
    bags = sorted(path.parent for path in demo_dir().glob("*/metadata.yaml"))
    assert [bag.name for bag in bags] == ["panda_table", "sawyer_unseen"]
    assert sum(folder_bytes(bag) for bag in bags) <= 8_000_000
    for bag in bags:
        counts = {topic.name: topic.count for topic in list_topics(bag)}
        assert set(counts) == {topics.IMAGE, *TRUTH.values()}
        assert len(set(counts.values())) == 1
