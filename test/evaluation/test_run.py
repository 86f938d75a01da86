"""Evaluation runs: figures with a known answer, resuming, processes, the image protocol, and masks from folders."""

import json
from pathlib import Path

import numpy as np
import pytest

from robotseg_ros.dataset import ClipError, list_dataset
from robotseg_ros.evaluation.measures import boundary_f, jaccard
from robotseg_ros.evaluation.results import ClipResult, summarise, summary_table, write_summary
from robotseg_ros.evaluation.run import Plan, evaluate
from robotseg_ros.evaluation.sources import PredictionSource

PARTS = ("arm", "robot")


@pytest.fixture
def dataset(moving_arm, tmp_path):
    return moving_arm.write(tmp_path / "dataset")


@pytest.fixture
def predictions(moving_arm, tmp_path):
    return moving_arm.predict(tmp_path / "predicted")


def evaluated(plan, dataset, folder, processes=1):
    done = []
    results = evaluate(
        plan,
        list_dataset(dataset).clips,
        folder,
        device="cpu",
        processes=processes,
        on_frames=done.append,
    )
    assert len(results) == 2 and sum(done) == 10, "frames, for the progress bar"
    return results


def test_the_means_are_those_of_the_protocol(moving_arm, dataset, predictions, tmp_path):
    results = evaluated(Plan(PredictionSource(predictions), parts=PARTS), dataset, tmp_path / "out")
    rows = {row.part: row for row in summarise(results, PARTS)}
    for part in PARTS:
        pairs = [
            (moving_arm.masks(index, number + 2)[part], moving_arm.masks(index, number)[part])
            for number in range(2)
            for index in range(1, 4)  # the video protocol leaves the ends out
        ]
        assert rows[part].j == pytest.approx(np.mean([jaccard(*pair) for pair in pairs]))
        assert rows[part].f == pytest.approx(np.mean([boundary_f(*pair) for pair in pairs]))
        assert 0.5 < rows[part].j < 0.95 and (rows[part].clips, rows[part].frames) == (2, 10)
    assert {f"one-{kind}.jpg" for kind in ("best", "worst")} <= {p.name for p in (tmp_path / "out").rglob("*.jpg")}


def test_the_image_protocol_counts_every_frame(dataset, predictions, tmp_path):
    (predictions / "one/000/00000.png").write_bytes((predictions / "one/000/00004.png").read_bytes())
    video, images = (
        evaluated(Plan(PredictionSource(predictions), parts=PARTS, video=video), dataset, tmp_path / str(video))
        for video in (True, False)
    )
    assert images[0].mean("j", "arm") < video[0].mean("j", "arm")
    assert images[1].j == video[1].j


def test_what_was_done_is_not_done_again(dataset, predictions, tmp_path):
    plan, out = Plan(PredictionSource(predictions), parts=PARTS), tmp_path / "out"
    first = evaluated(plan, dataset, out)
    (out / "clips/automatic/two.json").write_text("cut sho")
    before = (out / "clips/automatic/one.json").stat().st_mtime_ns
    again = evaluated(plan, dataset, out)
    assert [result.j for result in again] == [result.j for result in first]
    assert (out / "clips/automatic/one.json").stat().st_mtime_ns == before


def test_changed_masks_or_clips_are_evaluated_anew(moving_arm, dataset, predictions, tmp_path):
    plan, out = Plan(PredictionSource(predictions), parts=PARTS), tmp_path / "out"
    first = evaluated(plan, dataset, out)
    moving_arm.predict(predictions, shift=0)
    assert [result.mean("j", "arm") for result in evaluated(plan, dataset, out)] == [1.0, 1.0]
    elsewhere = moving_arm.write(tmp_path / "other", frames=5)
    for path in elsewhere.glob("mask_gt/one/000/*.png"):
        moving_arm.save(path, np.zeros((48, 64), np.uint8))
    assert evaluated(plan, elsewhere, out)[0].mean("j", "arm") == 0.0 < first[0].mean("j", "arm")


def test_a_missing_prediction_is_named(dataset, predictions, tmp_path):
    (predictions / "one/000/00000.png").unlink()
    with pytest.raises(ClipError, match="one/000/00000.png"):
        evaluated(Plan(PredictionSource(predictions), parts=("arm",)), dataset, tmp_path / "out")


def test_processes_give_the_same(dataset, predictions, tmp_path):
    plan = Plan(PredictionSource(predictions), parts=PARTS)
    alone, together = (evaluated(plan, dataset, tmp_path / str(n), processes=n) for n in (1, 2))
    assert [(result.clip, result.j, result.f) for result in together] == [(r.clip, r.j, r.f) for r in alone]


def test_a_predicted_mask_of_another_size_is_named(moving_arm, dataset, tmp_path):
    wrong = tmp_path / "wrong"
    for index in range(5):
        moving_arm.save(wrong / "one" / "arm" / f"{index:05d}.png", np.zeros((10, 20), np.uint8))
    with pytest.raises(ClipError, match=r"arm/00000\.png: the mask is 20x10, its image 64x48"):
        evaluated(Plan(PredictionSource(wrong), parts=("arm",)), dataset, tmp_path / "out")


def test_results_survive_a_file(tmp_path):
    result = ClipResult("clip", "box", "key", True, ["a"], {"arm": [0.5, float("nan")]}, {"arm": [0.25, 1.0]})
    result.write(tmp_path / "deep" / "clip.json")
    read = ClipResult.read(tmp_path / "deep" / "clip.json", "key")
    assert read is not None and read.j["arm"][0] == 0.5 and np.isnan(read.j["arm"][1]) and read.f == result.f
    assert ClipResult.read(tmp_path / "deep" / "clip.json", "another") is None
    assert ClipResult.read(tmp_path / "absent.json", "key") is None


def test_parts_without_truth_have_no_figure(tmp_path):
    nan = float("nan")
    results = [ClipResult("c", "automatic", "k", True, ["0"] * 3, {"arm": [nan] * 3}, {"arm": [nan] * 3})]
    rows = summarise(results, ["arm"])
    assert "-" in summary_table(rows).splitlines()[2]
    write_summary(tmp_path, rows, {"source": "x"})
    assert json.loads((tmp_path / "scores.json").read_text())["scores"][0]["j"] is None
    assert Path(tmp_path / "scores.csv").read_text().startswith("setting,part")
