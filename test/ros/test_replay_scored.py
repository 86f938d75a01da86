"""The way of `replay.launch.py` with its real processes: a bag played into the node, its masks recorded and scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robotseg_ros.dataset.bags import BagWriter, list_topics

pytestmark = pytest.mark.ros

FRAMES, START_NS, STEP_NS = 20, 1_700_000_000 * 10**9, 100_000_000
IMAGE, TRUTH, MASK = "/eye/image", "/truth/robot", "/camera/mask/robot"


@pytest.fixture
def bag(moving_arm: Any, tmp_path: Path) -> Path:
    """Images and true masks of the robot, at 10 Hz."""
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(FRAMES):
            masks = moving_arm.masks(index % 10)
            writer.write_image(IMAGE, moving_arm.image(masks), START_NS + index * STEP_NS, "eye")
            writer.write_image(TRUTH, masks["robot"], START_NS + index * STEP_NS, "eye")
    return tmp_path / "bag"


def replayed(bag: Path, recording: Path, rate: float) -> None:
    """Plays a bag into the node as the launch file does, until the masks of the last image are recorded."""
    from robotseg_ros.ros.launching import REPLAY_ARGUMENTS, node_parameters, node_remappings, replay_plan
    from robotseg_ros.ros.processes import NodeProcess, stop_all
    from robotseg_ros.ros.watch import Watch

    given = {argument.name: argument.default for argument in REPLAY_ARGUMENTS}
    given |= {"bag": str(bag), "image_topic": IMAGE, "record": str(recording), "parts": "robot", "device": "cpu"}
    plan = replay_plan(given | {"rate": str(rate)})
    assert plan.recorder is not None
    node = {**given, "camera": "", "cameras": "", **plan.node}
    remaps = ["__ns:=/camera", *(f"{name}:={topic}" for name, topic in node_remappings(node))]
    parameters = {"autostart": True} | node_parameters(node)
    processes = [
        NodeProcess("robotseg_ros.ros.main", "robotseg", parameters, remaps, log=bag.parent / "node.log"),
        NodeProcess("robotseg_ros.ros.replay", "replay", plan.replay, log=bag.parent / "replay.log"),
        NodeProcess("robotseg_ros.ros.recorder", "recorder", plan.recorder, log=bag.parent / "recorder.log"),
    ]
    node_process, replay, recorder = processes
    try:
        with Watch() as watch:
            recorded = watch.progress_of("/recorder")

            def last_mask_is_there() -> bool:
                stamps = recorded.numbers("stamp ")
                return not replay.running and stamps.get(MASK) == stamps.get("/camera/status") == last

            last = START_NS + (FRAMES - 1) * STEP_NS
            watch.until(last_mask_is_there, 150.0, "the last mask", [node_process, recorder])
        assert replay.exit_code == 0 and recorder.stop() == 0
    finally:
        stop_all(processes)


@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_what_a_robot_would_get_is_scored_by_stamp(
    bag: Path, tmp_path: Path, ros_env: dict[str, str], rate: float, capsys: pytest.CaptureFixture[str]
) -> None:
    from robotseg_ros.cli.main import main

    recording, out = tmp_path / "recorded", tmp_path / "out"
    replayed(bag, recording, rate)
    counts = {topic.name: topic.count for topic in list_topics(recording)}
    assert counts[IMAGE] == FRAMES and counts[MASK] == counts["/camera/status"] > 0
    command = ["evaluate", str(recording), "--masks-topic", MASK, "--truth-bag", str(bag), "--topic", IMAGE]
    assert main([*command, "--truth-topic", TRUTH, "-o", str(out)]) == 0
    (row,) = json.loads((out / "scores.json").read_text())["scores"]
    assert row["frames"] == FRAMES and row["missing"] == FRAMES - counts[MASK]
    if rate > 10:
        assert row["missing"] > 0, "200 images a second are more than a CPU can segment"
    result = json.loads((out / "clips/automatic/bag.json").read_text())
    timed = [value is not None for value in result["milliseconds"]]
    assert timed == [value is not None for value in result["j"]["robot"]] and sum(timed) == counts[MASK]
    assert (out / "report.html").is_file()
