"""`robotseg segment`: files in, files out, exit codes, an interrupt."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from robotseg_ros.cli import segment
from robotseg_ros.dataset import open_clip
from robotseg_ros.dataset.bags import BagWriter
from robotseg_ros.dataset.video import VideoWriter


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def image_folder(video: Path, folder: Path) -> Path:
    folder.mkdir()
    for frame in open_clip(video):
        cv2.imwrite(str(folder / f"{frame.index:05d}.png"), frame.image[..., ::-1])
    return folder


def test_a_video_gives_masks_overlay_and_scores_where_no_ros_can_be_imported(robotseg, model_file, video, tmp_path):
    (tmp_path / "no_ros.py").write_text(
        "import sys\nsys.modules['rclpy'] = None\nfrom robotseg_ros.cli.main import main\nsys.exit(main())\n"
    )
    done = robotseg("segment", video, "-o", "out", "--model", model_file, module="no_ros")
    assert done.returncode == 0, done.stderr
    assert "6 frames in" in done.stdout and "out" in done.stdout
    out = tmp_path / "out"
    for folder in ("000", "001"):
        masks = sorted((out / "mask_pred" / "bar" / folder).iterdir())
        assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(6)]
        mask = cv2.imread(str(masks[0]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (48, 64) and set(np.unique(mask)) <= {0, 255}
    assert [frame.image.shape for frame in open_clip(out / "overlay.mp4")] == [(48, 64, 3)] * 6
    table = rows(out / "scores.csv")
    assert [row["frame"] for row in table] == [str(index) for index in range(6)]
    for row in table:
        for column in (
            "arm_object_score",
            "gripper_predicted_iou",
            "arm_coverage",
            "total_ms",
            "encode_image_ms",
        ):
            assert np.isfinite(float(row[column]))


def test_a_folder_and_a_bag_give_the_same_masks(command, model_file, video, tmp_path):
    folder = image_folder(video, tmp_path / "frames")
    with BagWriter(tmp_path / "bag") as writer:
        for frame in open_clip(folder):
            writer.write_image("/camera/image", frame.image, frame.stamp_ns + 1)
            writer.write_image("/other/image", frame.image, frame.stamp_ns + 1)
    common = ("--model", model_file, "--part", "robot", "--no-overlay", "--quiet")
    first = command("segment", folder, "-o", "a", *common)
    second = command("segment", "bag", "-o", "b", "--topic", "/camera/image", *common)
    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert first.output == ""
    one, two = sorted((tmp_path / "a").rglob("*.png")), sorted((tmp_path / "b").rglob("*.png"))
    assert len(one) == len(two) == 6
    assert {path.parent.name for path in one} == {"002"}
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(left)), cv2.imread(str(right)))
    third = command("segment", "bag", "-o", "c", *common)
    assert third.code == 2
    assert "several image topics" in third.errors and "/other/image  sensor_msgs/msg/Image" in third.errors


def test_a_mask_prompt_is_the_first_frames_mask(command, model_file, video, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:40, 20:44] = 255
    cv2.imwrite(str(tmp_path / "arm.png"), mask)
    done = command(
        *("segment", video, "-o", "out", "--model", model_file, "--part", "arm", "--part", "gripper"),
        *("--mask", "arm:arm.png", "--point", "gripper:30,20", "--box", "gripper:20,10,40,40"),
        *("--start", 2, "--frames", 2, "--masks", "video", "--no-overlay"),
    )
    assert done.code == 0, done.errors
    frames = list(open_clip(tmp_path / "out/mask_pred/bar/arm.mkv"))
    assert len(frames) == 2
    given, got = mask > 0, frames[0].image[..., 0] > 0
    assert (given & got).sum() / (given | got).sum() > 0.9
    assert [row["frame"] for row in rows(tmp_path / "out/scores.csv")] == ["2", "3"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.mp4",), "absent.mp4: no such file or folder"),
        (("bar.mp4", "--model", "nonsense"), "no model 'nonsense'"),
        (("bar.mp4", "--checkpoint", "absent.pt"), "absent.pt does not exist"),
        (("bar.mp4", "--checkpoint", "bar.mp4"), "bar.mp4"),
        (("bar.mp4", "--device", "tpu"), "device 'tpu' is not there"),
        (("bar.mp4", "--topic", "/image"), "is no bag"),
        (("bar.mp4", "--start", "99"), "has 6 frames, so there is none from frame 99"),
        (("bar.mp4", "--point", "robot:1,2"), "add --part robot"),
        (("bar.mp4", "--point", "arm:1000,2"), "outside the frame of 64x48"),
        (("bar.mp4", "--point", "arm:1"), "PART:X,Y"),
        (("bar.mp4", "--alpha", "2"), "between 0 and 1"),
        (("bar.mp4", "--frames", "0"), "at least 1"),
        (("bar.mp4", "--part", "leg"), "invalid choice: 'leg'"),
    ],
)
def test_bad_input_is_named_with_exit_code_2(command, model_file, video, arguments, words):
    chosen = () if "--model" in arguments else ("--model", model_file)
    done = command("segment", *arguments, "-o", "out", *chosen)
    assert done.code == 2, done.errors
    assert words in done.errors
    assert "Traceback" not in done.errors


def test_results_are_not_overwritten_without_force(command, model_file, video, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    common = ("segment", video, "-o", "out", "--model", model_file, "--frames", 1)
    refused = command(*common)
    assert refused.code == 2 and "--force" in refused.errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    assert command(*common, "--force").code == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_unreadable_frames_are_left_out_and_counted_or_refused(command, model_file, video, tmp_path):
    folder = image_folder(video, tmp_path / "frames")
    (folder / "00003.png").write_bytes(b"broken")
    lenient = command("segment", folder, "-o", "a", "--model", model_file)
    assert lenient.code == 0
    assert "00003.png" in lenient.errors and "1 unreadable frames were left out" in lenient.errors
    assert [row["frame"] for row in rows(tmp_path / "a/scores.csv")] == ["0", "1", "2", "4", "5"]
    strict = command("segment", folder, "-o", "b", "--model", model_file, "--strict")
    assert strict.code == 2 and "00003.png" in strict.errors


def test_an_interrupt_leaves_whole_files(robotseg_process, model_file, tmp_path):
    with VideoWriter(tmp_path / "long.mp4", 30.0) as writer:
        for _ in range(3000):
            writer.write(np.full((48, 64, 3), 90, np.uint8))
    process = robotseg_process("segment", "long.mp4", "-o", "out", "--model", model_file)
    table = tmp_path / "out" / "scores.csv"
    end = time.monotonic() + 60
    while not (table.exists() and len(table.read_text().splitlines()) > 2):
        assert process.poll() is None and time.monotonic() < end, "no frame within 60 s"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; what was written is complete" in errors
    written = len(rows(table))
    assert 0 < written < 3000
    assert len(list(open_clip(tmp_path / "out" / "overlay.mp4"))) == written
    for folder in ("000", "001"):
        masks = sorted((tmp_path / "out" / "mask_pred" / "long" / folder).iterdir())
        assert len(masks) == written
        assert cv2.imread(str(masks[-1])) is not None


def test_sigterm_asks_for_a_stop_and_a_second_ctrl_c_interrupts():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with segment._stop_signal() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
