"""`robotseg evaluate`: datasets, other systems' masks, bags with and without truth, and what it answers to CI."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from robotseg_ros.cli.main import main
from robotseg_ros.dataset.bags import BagWriter, list_topics
from robotseg_ros.evaluation.recorded import recorded_masks
from robotseg_ros.model import build_network

STEP_NS = 100_000_000


@pytest.fixture
def dataset(moving_arm, tmp_path):
    return moving_arm.write(tmp_path / "dataset")


@pytest.fixture
def predictions(moving_arm, tmp_path):
    return moving_arm.predict(tmp_path / "predicted")


def write_bag(moving_arm, path, storage="mcap"):
    """Images and true masks of the robot."""
    with BagWriter(path, storage) as writer:
        for index in range(5):
            stamp = 1_000_000_000 + index * STEP_NS
            masks = moving_arm.masks(index)
            writer.write_image("/camera/image", moving_arm.image(masks), stamp, "eye")
            writer.write_image("/camera/truth", masks["robot"] > 0, stamp, "eye")
    return path


@pytest.fixture
def bag(moving_arm, tmp_path):
    return write_bag(moving_arm, tmp_path / "bag")


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
    parameters = sum(parameter.numel() for parameter in build_network("robotseg_nano").parameters()) / 1e6
    assert re.search(r"automatic +gripper", printed)
    assert re.search(rf"parameters +GFLOPs.*\n.*\n{parameters:.1f} M", printed)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["facts"]["efficiency"]["gflops"] > 1 and len(scores["scores"]) == 6
    report = (out / "report.html").read_text()
    assert report.count("<img") == 2 * (1 + 4) and "<th>GFLOPs a frame</th>" in report
    assert not re.search(r"""(src|href)=["'](?!data:)""", report), "nothing from outside"


@pytest.mark.parametrize("protocol", [[], ["--images"]])
def test_every_published_setting_scores_videos_and_images(dataset, tmp_path, protocol):
    settings = ("automatic", "1click", "3clicks", "box", "interactive")
    chosen = [word for setting in settings for word in ("--setting", setting)]
    command = [
        "evaluate",
        str(dataset),
        "-o",
        str(tmp_path / "out"),
        "--limit",
        "1",
        "--device",
        "cpu",
        "--part",
        "arm",
    ]
    assert main([*command, *chosen, *protocol]) == 0
    rows = json.loads((tmp_path / "out/scores.json").read_text())["scores"]
    assert [row["setting"] for row in rows] == list(settings) and all(0 <= row["j_and_f"] <= 1 for row in rows)


def test_the_threshold_and_number_of_corrections_are_the_users(dataset, tmp_path):
    command = ["evaluate", str(dataset), "-o", str(tmp_path / "out"), "--setting", "interactive", "--device", "cpu"]
    assert main([*command, "--limit", "1", "--threshold", "0.9", "--corrections", "1"]) == 0
    (setting,) = json.loads((tmp_path / "out/scores.json").read_text())["facts"]["settings"]
    assert "threshold=0.9" in setting and "corrected_frames=1" in setting


def test_sam2_runs_through_the_same_harness(moving_arm, tmp_path):
    """With random weights in the form of the released file, which cannot be had here."""
    import torch

    from robotseg_ros.evaluation.baseline import sam2_tiny

    weights = tmp_path / "random.pt"
    torch.save({"model": sam2_tiny(None, torch.device("cpu")).state_dict()}, weights)
    clips = moving_arm.write(tmp_path / "dataset", frames=2)
    command = ["evaluate", str(clips), "--limit", "1", "--part", "arm", "--sam2", str(weights), "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "out"), "--setting", "mask"]) == 0
    result = json.loads((tmp_path / "out/clips/mask/one.json").read_text())
    assert len(result["j"]["arm"]) == 2 and result["object_score"]["arm"][1] is not None
    assert json.loads((tmp_path / "out/scores.json").read_text())["facts"]["source"] == "sam2.1_tiny"


def test_what_segment_writes_is_scored(moving_arm, dataset, tmp_path, capsys):
    segmented = tmp_path / "segmented"
    picture = str(dataset / "image" / "one")
    assert main(["segment", picture, "-o", str(segmented), "--no-overlay", "--device", "cpu"]) == 0
    command = ["evaluate", picture, "-o", str(tmp_path / "a"), "--device", "cpu"]
    assert main([*command, "--predictions", str(segmented)]) == 0
    assert main(["evaluate", picture, "-o", str(tmp_path / "b"), "--part", "arm", "--part", "gripper"]) == 0
    read, made = (json.loads((tmp_path / run / "clips/automatic/one.json").read_text()) for run in "ab")
    assert read["j"] == made["j"] and set(read["j"]) == {"arm", "gripper"}
    assert set(read["milliseconds"]) == {None}, "reading files is no latency"


def test_masks_of_another_system_are_compared_with_a_run(moving_arm, dataset, predictions, tmp_path, capsys):
    exact = moving_arm.predict(tmp_path / "exact", shift=0)
    assert main(["evaluate", str(dataset), "--predictions", str(exact), "-o", str(tmp_path / "a")]) == 0
    assert "100.0" in capsys.readouterr().out
    command = ["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(tmp_path / "b")]
    assert main([*command, "--against", str(tmp_path / "a")]) == 0
    report = (tmp_path / "b" / "report.html").read_text()
    assert "other J&amp;F" in report and 'class="lower"' in report and report.count("<img") == 1 + 4 + 4
    assert main([*command, "--against", str(tmp_path / "nothing")]) == 2
    assert "no run is there" in capsys.readouterr().err


def test_runs_are_compared_over_the_clips_that_both_have(moving_arm, dataset, predictions, tmp_path, capsys):
    """Else a run of an easy clip would beat one of all clips."""
    exact = moving_arm.predict(tmp_path / "exact", shift=0)
    shutil.copytree(exact / "one", predictions / "one", dirs_exist_ok=True)
    command = ["evaluate", str(dataset), "--predictions", str(predictions), "--part", "robot"]
    assert main([*command, "-o", str(tmp_path / "all")]) == 0
    one = ["evaluate", str(dataset / "image" / "one"), "--predictions", str(exact), "--part", "robot"]
    assert main([*one, "-o", str(tmp_path / "one"), "--against", str(tmp_path / "all")]) == 0
    report = (tmp_path / "one" / "report.html").read_text()
    assert '<td>1</td><td>100.0</td><td>100.0</td><td>100.0</td><td class="higher">+0.0</td>' in report
    two = ["evaluate", str(dataset / "image" / "two"), "--predictions", str(exact), "--part", "robot"]
    assert main([*two, "-o", str(tmp_path / "two"), "--against", str(tmp_path / "one")]) == 2
    assert (
        "has no clip of this one in the same setting; it has (setting/clip): automatic/one" in capsys.readouterr().err
    )


def test_the_output_must_be_a_folder(dataset, predictions, tmp_path, capsys):
    (tmp_path / "file").write_text("here already")
    command = ["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(tmp_path / "file")]
    assert main(command) == 2
    assert "cannot be used as a folder" in capsys.readouterr().err


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
        (["--truth", "."], "--truth goes with a bag or a video"),
        (["--sam2", "/nowhere.pt"], "SAM 2.1 finds nothing by itself"),
        (["--predictions", ".", "--setting", "box"], "not in the setting box"),
        (["--predictions", ".", "--efficiency"], "--efficiency measures a model"),
        (["--images", "--setting", "mask"], "give the answer away"),
        (["--write-bag", "new"], "is no bag"),
    ],
)
def test_bad_input_is_named(dataset, tmp_path, capsys, more, message):
    assert main(["evaluate", str(dataset), "-o", str(tmp_path / "out"), "--device", "cpu", *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--processes", "-1"], ["--fail-under", "85"], ["--setting", "x"]])
def test_wrong_numbers_are_refused_at_once(dataset, wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(dataset), *wrong])
    assert wrong[0] in capsys.readouterr().err


def test_masks_are_written_at_the_times_of_their_images(moving_arm, tmp_path):
    """Players go by the time of recording, which a camera's own clock may be far from."""
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(3):
            image = moving_arm.image(moving_arm.masks(index))
            writer.write_image("/camera/image", image, 1 + index * STEP_NS, "eye", time_ns=10**18 + index * STEP_NS)
    command = ["evaluate", str(tmp_path / "bag"), "-o", str(tmp_path / "out"), "--device", "cpu", "--part", "robot"]
    assert main([*command, "--write-bag", str(tmp_path / "masked")]) == 0
    with Reader(tmp_path / "masked") as reader:
        times = {}
        for connection, time_ns, _ in reader.messages():
            times.setdefault(connection.topic, []).append(time_ns)
    assert times["/camera/image/mask/robot"] == times["/camera/image"] == [10**18 + i * STEP_NS for i in range(3)]


def test_a_bag_is_scored_and_written_with_its_masks(bag, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["evaluate", str(bag), "--topic", "/camera/image", "--truth-topic", "/camera/truth", "-o", str(out)]
    assert main([*command, "--device", "cpu", "--write-bag", str(tmp_path / "masked")]) == 0
    assert "robot" in capsys.readouterr().out
    topics = {topic.name: topic.count for topic in list_topics(tmp_path / "masked")}
    assert topics == {"/camera/image": 5, "/camera/truth": 5, "/camera/image/mask/robot": 5}
    masks = recorded_masks(tmp_path / "masked", {"robot": "/camera/image/mask/robot"})
    assert list(masks) == [1_000_000_000 + index * STEP_NS for index in range(5)]
    with AnyReader([tmp_path / "masked"]) as reader:  # every message fits the definition that the bag brings
        read = [reader.deserialize(cdr, connection.msgtype) for connection, _, cdr in reader.messages()]
    assert {(message.encoding, message.header.frame_id) for message in read} == {("rgb8", "eye"), ("mono8", "eye")}
    assert main([*command, "--write-bag", str(tmp_path / "masked")]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_gives_the_same_figures_every_time(moving_arm, tmp_path, storage):
    bag, figures = write_bag(moving_arm, tmp_path / "bag", storage), []
    for run in "ab":
        command = [
            "evaluate",
            str(bag),
            "--topic",
            "/camera/image",
            "--truth-topic",
            "/camera/truth",
            "--device",
            "cpu",
        ]
        assert main([*command, "-o", str(tmp_path / run)]) == 0
        result = json.loads((tmp_path / run / "clips/automatic/bag.json").read_text())
        figures.append({name: result[name] for name in ("frames", "j", "f", "flow_iou", "stability")})
    assert figures[0] == figures[1] and len(figures[0]["frames"]) == 5


@pytest.mark.parametrize("named", ["by_frame", "by_stamp"])
def test_the_truth_of_a_bag_may_lie_in_a_folder(moving_arm, bag, tmp_path, named, capsys):
    truth = tmp_path / "truth"
    for index in range(1, 5):  # the first frame has none
        name = f"{index:05d}" if named == "by_frame" else str(1_000_000_000 + index * STEP_NS)
        moving_arm.save(truth / "robot" / f"{name}.png", moving_arm.masks(index)["robot"])
    command = ["evaluate", str(bag), "--topic", "/camera/image", "--device", "cpu"]
    assert main([*command, "--truth", str(truth), "-o", str(tmp_path / "a")]) == 0
    assert main([*command, "--truth-topic", "/camera/truth", "-o", str(tmp_path / "b")]) == 0
    folder, topic = (
        json.loads((tmp_path / run / "clips/automatic/bag.json").read_text())["j"]["robot"] for run in "ab"
    )
    assert folder == [None, *topic[1:]]


def test_truth_that_does_not_fit_is_refused(moving_arm, bag, tmp_path, capsys):
    truth, command = tmp_path / "truth", ["evaluate", str(bag), "--topic", "/camera/image", "--device", "cpu"]
    command += ["-o", str(tmp_path / "out")]
    assert main([*command, "--truth", str(truth)]) == 2
    assert "no such folder of true masks" in capsys.readouterr().err
    (truth / "robot").mkdir(parents=True)
    moving_arm.save(truth / "robot" / "picture7.png", moving_arm.masks(0)["robot"])
    assert main([*command, "--truth", str(truth)]) == 2
    assert (
        "no mask belongs to a frame of bag; masks are called as frames are, such as 00004.png"
        in capsys.readouterr().err
    )
    moving_arm.save(truth / "robot" / "00000.png", np.zeros((10, 20), np.uint8))
    assert main([*command, "--truth", str(truth)]) == 2
    assert "the mask is 20x10, its image 64x48" in capsys.readouterr().err
    assert main([*command, "--truth", str(truth), "--truth-topic", "/camera/truth"]) == 2
    assert "exclude each other" in capsys.readouterr().err


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
    out = tmp_path / "out"
    command = ["evaluate", str(recorded), "--masks-topic", "/node/mask", "--truth-bag", str(bag), "-o", str(out)]
    command += ["--truth-topic", "/camera/truth", "--topic", "/camera/image"]
    assert main(command) == 0
    figures = capsys.readouterr().out.splitlines()[2].split()
    assert figures[:8] == ["automatic", "robot", "1", "5", "2", "100.0", "100.0", "100.0"]
    result = json.loads((out / "clips/automatic/bag.json").read_text())
    assert result["j"]["robot"] == [1.0, 1.0, None, 1.0, None] and (out / "report.html").is_file()
    assert main([*command, "--fail-under", "0.9", "--fail-part", "arm"]) == 2
    assert "arm was not scored" in capsys.readouterr().err


def test_broken_bags_and_wrong_topics_are_explained(bag, tmp_path, capsys):
    assert main(["evaluate", str(bag), "--topic", "/camera/imaje"]) == 2
    assert "/camera/image  sensor_msgs/msg/Image  (5 messages)" in capsys.readouterr().err
    assert main(["evaluate", str(bag), "--topic", "/camera/image", "--truth-topic", "/camera/trush"]) == 2
    assert "/camera/truth  sensor_msgs/msg/Image  (5 messages)" in capsys.readouterr().err
    with BagWriter(tmp_path / "blind") as writer:
        writer.write("/words", "std_msgs/msg/String", b"\x00\x01\x00\x00\x01\x00\x00\x00\x00", 9_600)
    assert main(["evaluate", str(tmp_path / "blind")]) == 2
    assert "has no images" in (said := capsys.readouterr().err) and "/words  std_msgs/msg/String" in said
    assert main(["evaluate", str(tmp_path / "blind"), "--topic", "/words"]) == 2
    assert "is std_msgs/msg/String, not" in capsys.readouterr().err
    (storage,) = bag.glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[:200])
    assert main(["evaluate", str(bag), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert str(bag) in said and "/camera/image  sensor_msgs/msg/Image" in said
    assert main(["evaluate", str(tmp_path / "absent"), "--topic", "/camera/image"]) == 2
    assert "absent: no such file or folder" in capsys.readouterr().err


def test_true_masks_of_other_stamps_are_refused(moving_arm, tmp_path, capsys):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(2):
            masks = moving_arm.masks(index)
            writer.write_image("/camera/image", moving_arm.image(masks), 10**9 + index * STEP_NS)
            writer.write_image("/camera/truth", masks["robot"] > 0, 10**9 + index * STEP_NS + 5)
    command = ["evaluate", str(tmp_path / "bag"), "--topic", "/camera/image", "-o", str(tmp_path / "out")]
    assert main([*command, "--truth-topic", "/camera/truth", "--device", "cpu"]) == 2
    assert "no message of /camera/truth has the stamp of an image" in capsys.readouterr().err


def test_a_figure_to_fail_under_needs_truth(bag, tmp_path, capsys):
    assert main(["evaluate", str(bag), "--topic", "/camera/image", "--fail-under", "0.5"]) == 2
    assert "has no true masks of robot" in capsys.readouterr().err


def test_a_recording_whose_recorder_was_killed_is_scored(moving_arm, bag, tmp_path, capsys):
    with BagWriter(tmp_path / "recorded") as writer:
        for index in range(5):
            writer.write_image("/node/mask", moving_arm.masks(index)["robot"] > 0, 1_000_000_000 + index * STEP_NS)
    (tmp_path / "recorded" / "metadata.yaml").unlink()
    command = ["evaluate", str(tmp_path / "recorded"), "--masks-topic", "node/mask", "--truth-bag", str(bag)]
    command += ["--truth-topic", "camera/truth", "--topic", "camera/image", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[4:8] == ["0", "100.0", "100.0", "100.0"]


def test_an_interrupted_run_goes_on(dataset, predictions, tmp_path, monkeypatch):
    from robotseg_ros.evaluation.sources import PredictedMasks

    command = ["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(tmp_path / "out")]
    step = PredictedMasks.step

    def interrupted(self, rgb):
        if self.folder.name == "two":
            raise KeyboardInterrupt
        return step(self, rgb)

    monkeypatch.setattr(PredictedMasks, "step", interrupted)
    assert main(command) == 130
    (made,) = (tmp_path / "out").rglob("*.json")
    before = made.stat().st_mtime_ns
    monkeypatch.setattr(PredictedMasks, "step", step)
    assert main(command) == 0
    assert made.name == "one.json" and made.stat().st_mtime_ns == before
    assert len(list((tmp_path / "out" / "clips").rglob("*.json"))) == 2


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
COUNT_PICTURES = """<script>document.title = "shown " + [...document.images].filter(i => i.naturalWidth > 50).length
    + " of " + document.images.length</script>"""


def browse(page, profile, *more):
    """What a headless browser prints about a page: its document, and on stderr its console."""
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
    ]  # fmt: skip
    command = [BROWSER, *flags, f"--user-data-dir={profile}", "--window-size=1200,1800", *more, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed (Debian: apt install chromium)")
def test_the_report_opens_in_a_browser_without_complaint(dataset, predictions, tmp_path):
    out = tmp_path / "out"
    assert main(["evaluate", str(dataset), "--predictions", str(predictions), "-o", str(out)]) == 0
    shot = tmp_path / "shot.png"
    opened = browse(out / "report.html", tmp_path / "first", f"--screenshot={shot}")
    assert "CONSOLE" not in opened.stderr, opened.stderr[-2000:]
    assert shot.stat().st_size > 20_000
    counting, broken = tmp_path / "counting.html", tmp_path / "broken.html"
    counting.write_text((out / "report.html").read_text() + COUNT_PICTURES)
    assert "<title>shown 5 of 5</title>" in browse(counting, tmp_path / "second", "--dump-dom").stdout
    broken.write_text((out / "report.html").read_text() + "<script>nothing.there()</script>")
    assert "CONSOLE" in browse(broken, tmp_path / "third", "--dump-dom").stderr, "the test would not see an error"
