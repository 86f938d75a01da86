"""`robotseg evaluate`: datasets, other systems' masks, bags with and without truth, and what it answers to CI."""

import json
import shutil
import subprocess

import pytest

from robotseg_ros.cli.main import main
from robotseg_ros.dataset.bags import BagWriter, list_topics
from robotseg_ros.evaluation.recorded import recorded_masks

STEP_NS = 100_000_000


@pytest.fixture
def dataset(moving_arm, tmp_path):
    return moving_arm.write(tmp_path / "dataset")


@pytest.fixture
def predictions(moving_arm, tmp_path):
    return moving_arm.predict(tmp_path / "predicted")


@pytest.fixture
def bag(moving_arm, tmp_path):
    """Images and true masks of the robot."""
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(5):
            stamp = 1_000_000_000 + index * STEP_NS
            masks = moving_arm.masks(index)
            writer.write_image("/camera/image", moving_arm.image(masks), stamp)
            writer.write_image("/camera/truth", masks["robot"] > 0, stamp)
    return tmp_path / "bag"


def test_a_model_in_two_settings_leaves_everything_to_look_at(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    command = [
        "evaluate",
        str(dataset),
        "-o",
        str(out),
        "--setting",
        "automatic",
        "--setting",
        "box",
        "--device",
        "cpu",
    ]
    assert main([*command, "--efficiency"]) == 0
    printed = capsys.readouterr().out
    assert "automatic  gripper" in printed and "3.4 M parameters" in printed
    scores = json.loads((out / "scores.json").read_text())
    assert scores["facts"]["efficiency"]["gflops"] > 1 and len(scores["scores"]) == 6
    report = (out / "report.html").read_text()
    assert report.count("<img") == 2 * (1 + 4) and "http" not in report.split("<h1>")[0]


def test_masks_of_another_system_are_compared_with_a_run(moving_arm, dataset, predictions, tmp_path, capsys):
    exact = moving_arm.predict(tmp_path / "exact", shift=0)
    assert main(["evaluate", str(dataset), "--predictions", str(exact), "-o", str(tmp_path / "a")]) == 0
    assert "100.0" in capsys.readouterr().out
    command = ["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(tmp_path / "b")]
    assert main([*command, "--against", str(tmp_path / "a")]) == 0
    report = (tmp_path / "b" / "report.html").read_text()
    assert "J&amp;F of exact" in report and 'class="lower"' in report
    assert main([*command, "--against", str(tmp_path / "nothing")]) == 2
    assert "no run is there" in capsys.readouterr().err


def test_ci_is_told_by_the_exit_code(dataset, predictions, tmp_path, capsys):
    command = ["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(tmp_path / "out"), "--fail-under"]
    assert main([*command, "0.3"]) == 0
    assert main([*command, "0.99"]) == 1
    assert "is under 0.99" in capsys.readouterr().out
    assert main([*command, "0.3", "--part", "arm"]) == 2
    assert "robot was not scored" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, message",
    [
        (["--model", "robby"], "there is no model 'robby'"),
        (["--checkpoint", "/nowhere.pt"], "/nowhere.pt does not exist"),
        (["--predictions", "/nowhere"], "/nowhere: no such folder of predictions"),
        (["--sam2", "/nowhere.pt", "--setting", "box"], "/nowhere.pt does not exist"),
        (["--topic", "/camera/image"], "is no bag, so it has no topics"),
    ],
)
def test_bad_input_is_named(dataset, tmp_path, capsys, more, message):
    assert main(["evaluate", str(dataset), "-o", str(tmp_path / "out"), "--device", "cpu", *more]) == 2
    assert message in capsys.readouterr().err


def test_a_bag_is_scored_and_written_with_its_masks(bag, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["evaluate", str(bag), "--topic", "/camera/image", "--truth-topic", "robot=/camera/truth", "-o", str(out)]
    assert main([*command, "--device", "cpu", "--write-bag", str(tmp_path / "masked")]) == 0
    assert "robot" in capsys.readouterr().out
    topics = {topic.name: topic.count for topic in list_topics(tmp_path / "masked")}
    assert topics == {"/camera/image": 5, "/camera/truth": 5, "/camera/image/mask/robot": 5}
    masks = recorded_masks(tmp_path / "masked", {"robot": "/camera/image/mask/robot"})
    assert list(masks) == [1_000_000_000 + index * STEP_NS for index in range(5)]


def test_a_bag_without_truth_is_measured_for_steadiness(bag, tmp_path):
    out = tmp_path / "out"
    assert main(["evaluate", str(bag), "--topic", "/camera/image", "-o", str(out), "--device", "cpu"]) == 0
    rows = json.loads((out / "scores.json").read_text())["scores"]
    assert {row["part"] for row in rows} == {"arm", "gripper", "robot"}
    assert all(row["j"] is None and "flicker" in row["stability"] for row in rows)


def test_recorded_masks_are_scored_by_stamp_and_dropped_frames_counted(moving_arm, bag, tmp_path, capsys):
    recorded = tmp_path / "recorded"
    with BagWriter(recorded) as writer:
        for index in (0, 1, 3):
            writer.write_image("/node/mask", moving_arm.masks(index)["robot"] > 0, 1_000_000_000 + index * STEP_NS)
    command = ["evaluate", str(recorded), "--masks-topic", "robot=/node/mask", "--truth-bag", str(bag)]
    assert main([*command, "--truth-topic", "robot=/camera/truth", "--topic", "/camera/image"]) == 0
    figures = capsys.readouterr().out.splitlines()[2].split()
    assert figures == ["robot", "3", "2", "100.0", "100.0", "100.0"]
    assert main(command) == 2
    assert "name the true masks too" in capsys.readouterr().err


def test_broken_bags_and_wrong_topics_are_explained(bag, tmp_path, capsys):
    assert main(["evaluate", str(bag), "--topic", "/camera/imaje"]) == 2
    assert "/camera/image" in capsys.readouterr().err
    (storage,) = bag.glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[:200])
    assert main(["evaluate", str(bag), "-o", str(tmp_path / "out")]) == 2
    assert str(bag) in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (Debian's package chromium)")
def test_the_report_opens_in_a_browser_without_complaint(dataset, predictions, tmp_path):
    out = tmp_path / "out"
    assert main(["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(out)]) == 0
    page, shot = out / "report.html", tmp_path / "shot.png"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]
    flags += [f"--user-data-dir={tmp_path / 'browser'}", "--no-first-run", "--disable-component-update", "--v=0"]
    done = subprocess.run(
        ["chromium", *flags, "--window-size=1200,1800", f"--screenshot={shot}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    assert shot.stat().st_size > 20_000
    dumped = subprocess.run(
        ["chromium", *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    assert dumped.count("data:image/jpeg;base64") == 4 and dumped.count("data:image/png;base64") == 1
