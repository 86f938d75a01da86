"""Experiments on tiny clips and a random network: the conditions differ where they should, files are written."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from robotseg_ros.cli.main import main
from robotseg_ros.dataset.clip import Frame
from robotseg_ros.evaluation.protocol import ClipScore
from robotseg_ros.experiments import variants
from robotseg_ros.experiments.catalog import EXPERIMENTS
from robotseg_ros.experiments.measure import Measured
from robotseg_ros.experiments.report import over_runs
from robotseg_ros.experiments.streams import covered, damaged, to_and_fro
from robotseg_ros.model import PARTS, RobotSeg, build_network, model_info, preset, save_checkpoint
from robotseg_ros.streaming import StreamSegmenter


def frames(count: int = 3) -> list[Frame]:
    rng = np.random.default_rng(0)
    mask = np.zeros((48, 64), bool)
    mask[10:40, 20:50] = True
    true = dict.fromkeys(PARTS, mask)
    return [Frame(i, i, rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), true) for i in range(count)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("robotseg_nano")


def scores(network, count=3):
    """What a short stream ends with; noise shows no robot, so that its masks would all be empty."""
    stream = StreamSegmenter(network, parts=PARTS)
    outputs = [stream.step(frame.image) for frame in frames(count)]
    return np.array([(outputs[-1].object_score[part], outputs[-1].predicted_iou[part]) for part in PARTS])


def test_every_variant_changes_the_outcome_and_leaves_the_network_as_it_was():
    torch.manual_seed(0)
    # Random, as of trained weights a branch may be worth nothing; by memory alone, as the branches are memory's.
    network = RobotSeg(replace(preset("robotseg_nano"), second_look=False)).eval()
    before = scores(network)
    for change in (
        variants.without_edges,
        variants.without_structure,
        variants.noise_for_objects,
        variants.class_token_alone,
        variants.object_tokens_alone,
    ):
        assert not np.array_equal(scores(change(network)), before), change.__name__
        assert np.array_equal(scores(network), before), change.__name__
    assert variants.unchanged(network) is network


def test_long_clips_have_no_cut():
    names = [frame.image[0, 0, 0] for frame in frames()]
    long = to_and_fro(frames(), 8)
    assert [frame.image[0, 0, 0] for frame in long] == [names[i] for i in (0, 1, 2, 1, 0, 1, 2, 1)]
    assert [frame.index for frame in long] == list(range(8))


def test_covered_frames_show_nothing_and_are_not_scored():
    hidden = covered(frames(4), 1, 2)
    assert [frame.masks is None for frame in hidden] == [False, True, True, False]
    assert np.ptp(hidden[1].image) == 0


def test_a_damaged_mask_is_moved_and_halved():
    mask = frames()[0].masks["arm"]
    wrong = damaged(mask, 0.1)
    assert 0.3 < wrong.sum() / mask.sum() < 0.7 and (wrong & ~mask).any()


def write_split(root, name):
    for index, frame in enumerate(frames()):
        folders = [root / "image" / name, *(root / "mask_gt" / name / part for part in ("000", "001", "002"))]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folders[0] / f"{index:05d}.jpg"), frame.image)
        for folder in folders[1:]:
            cv2.imwrite(str(folder / f"{index:05d}.png"), frame.masks["arm"].astype(np.uint8) * 255)


def test_the_command_lists_runs_and_refuses(tmp_path, capsys):
    assert main(["experiment"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXPERIMENTS)
    assert main(["experiment", "embodiments", "--clips", str(tmp_path)]) == 2
    assert "holds no dataset" in capsys.readouterr().err
    assert main(["experiment", "nothing"]) == 2 and main(["experiment", "losses"]) == 2
    assert "--start names the checkpoint" in capsys.readouterr().err
    assert main(["experiment", "losses", "--start", str(tmp_path / "absent.pt")]) == 2
    assert "absent.pt: no such file" in capsys.readouterr().err
    write_split(tmp_path / "seen", "clip")
    out = tmp_path / "out"
    command = ["experiment", "structure", "--clips", str(tmp_path), "-o", str(out), "--device", "cpu"]
    assert main(command) == 2  # three equal rows would say nothing
    assert "no structure branch that could be taken away" in capsys.readouterr().err
    weights = tmp_path / "with_structure.safetensors"
    save_checkpoint(RobotSeg(preset("robotseg_nano")), weights)
    assert main([*command, "--checkpoint", str(weights)]) == 0
    assert "| SEMA |" in capsys.readouterr().out
    assert {path.name for path in (out / "structure").iterdir()} == {"table.md", "table.csv", "plot.png"}
    assert cv2.imread(str(out / "structure" / "plot.png")) is not None


@pytest.mark.parametrize(
    "name, rows",
    [
        ("object-tokens", ["class + object", "noise for objects", "class alone", "objects alone"]),
        ("prompts", ["automatic", "1click", "3clicks", "box", "interactive"]),
        ("embodiments", ["seen", "val", "heldout", "hard"]),
        ("corrupted-mask", ["automatic", "damaged first mask"]),
        ("occlusion", ["undisturbed", "nothing to see for 15 frames"]),
    ],
)
def test_each_experiment_has_its_conditions_in_a_table_and_a_plot(tmp_path, monkeypatch, name, rows):
    monkeypatch.setattr("robotseg_ros.experiments.catalog.LONG", 36)
    for split in ("seen", "val", "heldout", "hard"):
        write_split(tmp_path / split, "clip")
    out = tmp_path / "out"
    assert main(["experiment", name, "--clips", str(tmp_path), "-o", str(out), "--device", "cpu"]) == 0
    table = (out / name / "table.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table[1:]] == rows
    assert cv2.imread(str(out / name / "plot.png")) is not None


def test_j_by_frame_leaves_out_what_is_not_scored():
    nan = float("nan")
    clips = [
        ClipScore(name, {"robot": np.array(j)}, {}) for name, j in (("a", [1.0, nan, nan]), ("b", [0.5, 0.25, nan]))
    ]
    np.testing.assert_array_equal(Measured("", clips).j_by_frame("robot"), [0.75, 0.25, nan])


def test_a_figure_over_runs_says_how_they_differ():
    assert over_runs([80.0, 82.0, 84.0]) == "82.0 ± 2.0" and over_runs([80.0]) == "80.0"


@pytest.fixture
def training_command(tmp_path, monkeypatch):
    """The experiments that train, in one step from the shipped weights, each over two seeds; without their names."""
    monkeypatch.setattr("robotseg_ros.experiments.catalog.LONG", 36)
    for split in ("seen", "train"):
        write_split(tmp_path / split, "clip")
    monkeypatch.setattr("robotseg_ros.training.clip_cache.SETTLED_SECONDS", -1.0)
    config = tmp_path / "let.yaml"
    config.write_text(f"""
model: robotseg_nano
data:
  {{train: {tmp_path}/train, val: {tmp_path}/seen, cache: {tmp_path}/cache, frame_width: 64, frame_height: 48, workers: 0}}
clips: {{palindrome_frames: 3}}
schedule: {{steps: 1, sides: [[0.0, 64]], image_fraction: 0.0, video_every: 1, video_batch: 1, warmup_steps: 1}}
compute: {{threads: 1}}
""")
    command = ["experiment", "--clips", str(tmp_path), "-o", str(tmp_path / "out"), "--config", str(config)]
    start = str(model_info("robotseg_nano").checkpoint)
    return [*command, "--steps", "1", "--seeds", "2", "--device", "cpu", "--start", start]


@pytest.mark.slow  # it trains six networks
def test_a_network_without_a_structure_branch_is_given_one_to_take_away(training_command, tmp_path):
    assert main([*training_command, "structure"]) == 0
    table = (tmp_path / "out" / "structure" / "table.csv").read_text().splitlines()
    rows = ["SEMA", "edges off", "structure off", "its loss left out", '"its loss left out', "trained without it"]
    assert [row.split(",")[0] for row in table[1:]] == rows
    assert all(row.count("±") == 3 for row in table[1:])
    strengths = {
        path.parent.name: load_file(path)["memory_attention.layers.0.structure_strength"].item()
        for path in (tmp_path / "out" / "runs").glob("*/weights.safetensors")
    }
    assert {name: strength != 0 for name, strength in strengths.items()} == {
        "with_structure_1": True,
        "with_structure_2": True,
        "structure_without_its_loss_1": True,
        "structure_without_its_loss_2": True,
        "all_losses_1": False,
        "all_losses_2": False,
    }


@pytest.mark.slow  # it trains eight networks and runs each on two streams
def test_a_loss_is_left_out_over_two_seeds_and_nothing_is_trained_twice(
    training_command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("robotseg_ros.experiments.catalog.LOSSES", {"all losses": {}, "no cycle": {"cycle": 0.0}})
    command = [*training_command, "losses", "drift"]
    assert main(command) == 0
    assert capsys.readouterr().out.count("| no cycle |") == 2
    drift = (tmp_path / "out" / "drift" / "table.csv").read_text().splitlines()
    assert len(drift) == 3 and all(row.count("±") == 5 for row in drift[1:])
    weights = sorted((tmp_path / "out" / "runs").glob("*/weights.safetensors"))
    assert len(weights) == 4
    times = [path.stat().st_mtime_ns for path in weights]
    assert main(command) == 0 and [path.stat().st_mtime_ns for path in weights] == times
    other = tmp_path / "other.safetensors"
    save_checkpoint(build_network("robotseg_nano"), other)
    command[command.index("--start") + 1] = str(other)
    assert main(command) == 0 and not set(times) & {path.stat().st_mtime_ns for path in weights}
