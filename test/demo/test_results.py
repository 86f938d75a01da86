"""The figures and pictures made of a recording, on recordings whose answer is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from robotseg_ros.dataset.bags import BagWriter
from robotseg_ros.dataset.folders import open_folder
from robotseg_ros.dataset.video import VideoClip
from robotseg_ros.demo import topics
from robotseg_ros.demo.make_bag import START_NS, jpeg, make_bag
from robotseg_ros.demo.results import collect

from .conftest import FRAMES, HEIGHT, WIDTH, image, true_masks

PARTS = ("arm", "gripper", "robot")
STATUS_TYPE = "robotseg_ros/msg/SegmentationStatus"
STATUS_FILE = Path(__file__).parents[2] / "msg" / "SegmentationStatus.msg"


@pytest.fixture
def bag(clip_root: Path, tmp_path: Path) -> Path:
    return make_bag(open_folder(clip_root), tmp_path / "bag", 10**6).path


def recording(path: Path, frames: Sequence[int], shift: int = 0) -> Path:
    """What a node would leave that segmented these frames, its masks `shift` pixels to the right."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(STATUS_FILE.read_text(), STATUS_TYPE))
    with BagWriter(path) as bag:
        bag.add_type(STATUS_TYPE, STATUS_FILE.read_text())
        for place, index in enumerate(frames):
            stamp = START_NS + round(index * 1e9 / 15)
            for part, mask in true_masks(index).items():
                bag.write_image(topics.mask(part), np.roll(mask, shift, axis=1), stamp)
            bag.write_compressed(topics.OVERLAY, jpeg(255 - image(index), 95), "jpeg", stamp)
            status = status_message(types, stamp, processed=place + 1, dropped=index - place)
            bag.write(topics.STATUS, STATUS_TYPE, bytes(types.serialize_cdr(status, STATUS_TYPE)), stamp)
    return path


def status_message(types, stamp: int, processed: int, dropped: int):
    time = types.types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    nothing = np.zeros(0, np.float32)
    return types.types[STATUS_TYPE](
        header=types.types["std_msgs/msg/Header"](stamp=time, frame_id="eye"),
        model="robotseg_nano",
        parts=list(PARTS),
        present=np.ones(3, bool),
        object_score=nothing,
        predicted_iou=nothing,
        coverage=nothing,
        frame=processed - 1,
        received=processed + dropped,
        processed=processed,
        dropped=dropped,
        rejected=0,
        resets=0,
        latency_ms=10.0 * processed,
        age_ms=float("nan"),
        stage_names=[],
        stage_ms=nothing,
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_perfect_masks_score_one_hundred_percent(bag: Path, out: Path) -> None:
    results = collect(bag, recording(out / "masks", range(FRAMES)), out, PARTS)
    assert all(score.j_and_f == 1.0 for score in results.scores.parts.values())
    assert (results.counts.played, results.counts.processed, results.counts.dropped) == (FRAMES, FRAMES, 0)


def test_masks_beside_the_robot_score_less(bag: Path, out: Path) -> None:
    results = collect(bag, recording(out / "masks", range(FRAMES), shift=10), out, PARTS)
    assert results.scores.parts["robot"].j == pytest.approx(30 / 50)


def test_dropped_frames_are_counted_and_latency_is_that_of_the_status(bag: Path, out: Path) -> None:
    results = collect(bag, recording(out / "masks", [0, 3, 6, 11]), out, PARTS)
    assert (results.counts.played, results.counts.processed, results.counts.dropped) == (FRAMES, 4, 8)
    assert len(results.scores.missing["arm"]) == 8
    assert (results.latency.median, results.latency.worst) == (25.0, 40.0)


def test_the_table_is_printed_and_kept_for_people_and_programs(bag: Path, out: Path) -> None:
    results = collect(bag, recording(out / "masks", range(FRAMES)), out, PARTS)
    assert (out / "table.txt").read_text() == results.table() + "\n"
    for word in ("frames in", "processed", "dropped", "latency median", "p95", "J&F", "robot"):
        assert word in results.table()
    kept = json.loads((out / "results.json").read_text())
    assert kept["parts"]["robot"]["J&F"] == 1.0
    assert kept["frames"]["processed"] == FRAMES


def test_the_video_runs_at_camera_speed_and_shows_an_old_overlay_for_a_dropped_frame(bag: Path, out: Path) -> None:
    collect(bag, recording(out / "masks", [2, 5]), out, PARTS)
    video = VideoClip(out / "overlay.mp4")
    frames = [frame.image.astype(int) for frame in video]
    assert (len(frames), round(video.fps)) == (FRAMES, 15)
    assert np.abs(frames[0] - image(0)).mean() < 40  # nothing to show yet: the bare image
    assert np.abs(frames[4] - (255 - image(2).astype(int))).mean() < 40
    assert np.abs(frames[7] - (255 - image(5).astype(int))).mean() < 40


def test_the_sheet_shows_frames_with_overlays_only(bag: Path, out: Path) -> None:
    collect(bag, recording(out / "masks", [1, 4, 9]), out, PARTS)
    sheet = cv2.imread(str(out / "overlay.png"))
    height = round(HEIGHT * 480 / WIDTH)
    assert sheet.shape == (height, 4 * 480, 3)
    assert not sheet[:, 3 * 480 :].any() and sheet[:, 2 * 480 : 3 * 480].any()


def test_a_node_that_made_nothing_gives_unknown_scores_and_no_error(bag: Path, out: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    with Writer(out / "masks", version=8, storage_plugin=StoragePlugin.MCAP) as empty:
        empty.add_connection(topics.mask("arm"), "sensor_msgs/msg/Image", typestore=types)
        empty.add_connection(topics.OVERLAY, "sensor_msgs/msg/CompressedImage", typestore=types)
    results = collect(bag, out / "masks", out, ("arm",))
    assert (results.counts.played, results.counts.processed) == (FRAMES, 0)
    assert len(results.scores.missing["arm"]) == FRAMES
    assert json.loads((out / "results.json").read_text())["parts"]["arm"]["J&F"] is None
    assert not (out / "overlay.png").exists()
