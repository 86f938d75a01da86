"""A clip segmented into files, with a segmenter that takes bright pixels for the robot."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from robotseg_ros.dataset import BadFrame, ClipError, Frame, open_clip
from robotseg_ros.evaluation.segment_clip import (
    ClipPrompt,
    OutputError,
    Outputs,
    PromptError,
    prepare_folder,
    segment_clip,
)


class Brightness:
    """Arm: pixels over 100; gripper: those over 200. Remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def reset(self) -> None:
        self.calls.append("reset")

    def prompt(self, part: str, **given: Any) -> None:
        if part == "robot":
            raise ValueError("part 'robot' is not segmented")
        self.calls.append((part, given))

    def step(self, rgb: np.ndarray) -> Any:
        self.calls.append("step")
        masks = {"arm": rgb[..., 0] > 100, "gripper": rgb[..., 0] > 200}
        scores = {"arm": 1.5, "gripper": -2.0}
        return SimpleNamespace(
            masks=masks, object_score=scores, predicted_iou=scores, timings={"track": 3.0, "masks": 0.25}
        )


class Clip:
    """Frames in memory: black, with a rectangle that moves right."""

    name, fps = "clip", 10.0

    def __init__(self, count: int = 4, sizes: dict[int, tuple[int, int]] | None = None) -> None:
        self.count, self.sizes = count, sizes or {}
        self.skipped: list[BadFrame] = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        return self.frames()

    def frames(self, start: int = 0, count: int | None = None):
        for index in range(start, self.count if count is None else min(self.count, start + count)):
            image = np.zeros((*self.sizes.get(index, (30, 40)), 3), np.uint8)
            image[5:15, index : index + 8] = 150
            image[5:8, index : index + 8] = 250
            yield Frame(index, index * 100_000_000, image)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_masks_in_vrs_layout_overlay_and_scores(tmp_path):
    progress: list[int] = []
    result = segment_clip(Clip(), Brightness(), Outputs(tmp_path), on_frame=lambda frame: progress.append(frame.index))
    assert (result.frames, result.skipped, result.stopped) == (4, 0, False)
    assert progress == [0, 1, 2, 3]
    mask = cv2.imread(str(tmp_path / "mask_pred/clip/001/00002.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (30, 40) and sorted(np.unique(mask)) == [0, 255]
    assert (mask[5:8, 2:10] == 255).all() and mask.sum() == 24 * 255
    assert len(list((tmp_path / "mask_pred/clip/000").iterdir())) == 4
    assert len(list(open_clip(tmp_path / "overlay.mp4"))) == 4
    table = rows(tmp_path / "scores.csv")
    assert [row["frame"] for row in table] == ["0", "1", "2", "3"]
    assert table[1]["stamp_ns"] == "100000000"
    assert table[1]["arm_object_score"] == "1.5000" and table[1]["gripper_predicted_iou"] == "-2.0000"
    assert float(table[1]["arm_coverage"]) == pytest.approx(80 / 1200, abs=1e-5)
    assert (table[1]["total_ms"], table[1]["masks_ms"]) == ("3.250", "0.250")


def test_mask_videos_keep_every_pixel(tmp_path):
    segment_clip(Clip(), Brightness(), Outputs(tmp_path, masks="video", overlay=False))
    frames = list(open_clip(tmp_path / "mask_pred/clip/arm.mkv"))
    for given, frame in zip(Clip(), frames, strict=True):
        np.testing.assert_array_equal(frame.image[..., 0] == 255, given.image[..., 0] > 100)
        assert sorted(np.unique(frame.image)) == [0, 255]
    assert not (tmp_path / "overlay.mp4").exists()


def test_scores_alone(tmp_path):
    segment_clip(Clip(), Brightness(), Outputs(tmp_path, masks="none", overlay=False))
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_prompts_come_before_the_first_frame_of_the_range(tmp_path):
    segmenter = Brightness()
    mask = np.ones((30, 40), bool)
    prompts = [
        ClipPrompt("arm", points=((3.0, 4.0), (5.0, 6.0)), labels=(1, 0), box=(0.0, 0.0, 9.0, 9.0)),
        ClipPrompt("gripper", mask=mask),
    ]
    segment_clip(Clip(), segmenter, Outputs(tmp_path), prompts=prompts, start=2, count=1)
    assert segmenter.calls == [
        "reset",
        ("arm", {"points": [(3.0, 4.0), (5.0, 6.0)], "labels": [1, 0], "box": (0.0, 0.0, 9.0, 9.0)}),
        ("gripper", {"mask": mask}),
        "step",
    ]
    assert [row["frame"] for row in rows(tmp_path / "scores.csv")] == ["2"]


def test_a_prompt_that_does_not_fit_names_the_frame(tmp_path):
    with pytest.raises(PromptError, match="frame 1: part 'robot' is not segmented"):
        segment_clip(Clip(), Brightness(), Outputs(tmp_path), prompts=[ClipPrompt("robot", points=((1, 1),))], start=1)


def test_a_change_of_size_starts_the_stream_anew(tmp_path, caplog):
    segmenter = Brightness()
    segment_clip(Clip(4, {2: (60, 80), 3: (60, 80)}), segmenter, Outputs(tmp_path))
    assert segmenter.calls == ["reset", "step", "step", "reset", "step", "step"]
    assert "frame 2 is (60, 80, 3), not (30, 40, 3)" in caplog.text
    assert cv2.imread(str(tmp_path / "mask_pred/clip/000/00003.png")).shape == (60, 80, 3)
    assert [frame.image.shape for frame in open_clip(tmp_path / "overlay.mp4")] == [(30, 40, 3)] * 4


def test_a_stopped_run_leaves_whole_files(tmp_path):
    seen: list[int] = []
    result = segment_clip(
        Clip(100),
        Brightness(),
        Outputs(tmp_path),
        on_frame=lambda frame: seen.append(frame.index),
        should_stop=lambda: len(seen) >= 3,
    )
    assert (result.frames, result.stopped) == (3, True)
    assert len(list(open_clip(tmp_path / "overlay.mp4"))) == 3
    assert len(rows(tmp_path / "scores.csv")) == 3
    for part in ("000", "001"):
        assert len(list((tmp_path / "mask_pred/clip" / part).iterdir())) == 3


def test_files_are_whole_after_an_error_in_the_middle(tmp_path):
    class Failing(Brightness):
        def step(self, rgb):
            if self.calls.count("step") == 2:
                raise RuntimeError("out of memory")
            return super().step(rgb)

    with pytest.raises(RuntimeError, match="out of memory"):
        segment_clip(Clip(), Failing(), Outputs(tmp_path))
    assert len(list(open_clip(tmp_path / "overlay.mp4"))) == 2


def test_a_range_without_frames_is_refused(tmp_path):
    with pytest.raises(ClipError, match="has 4 frames, so there is none from frame 9 on"):
        segment_clip(Clip(), Brightness(), Outputs(tmp_path), start=9)


def test_output_folder_must_be_empty_or_forced(tmp_path):
    out = tmp_path / "new" / "out"
    prepare_folder(out)
    prepare_folder(out)
    segment_clip(Clip(), Brightness(), Outputs(out))
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty.*--force"):
        prepare_folder(out)
    prepare_folder(out, force=True)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    for place in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OutputError, match="cannot be used as output folder"):
            prepare_folder(place)
