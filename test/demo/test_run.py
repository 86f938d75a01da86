"""The demo as a user runs it: real node, replay and recorder, ended by themselves or by Ctrl-C."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robotseg_ros.dataset.bags import list_topics
from robotseg_ros.dataset.folders import open_folder
from robotseg_ros.demo.make_bag import make_bag

from .conftest import FRAMES

pytestmark = pytest.mark.ros

START_SECONDS = 90.0


@pytest.fixture
def demo(start_process: Callable[..., Any], clip_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """`demo(*arguments)`: the command on a bag of a few frames, with random weights."""
    from robotseg_ros.model import RobotSeg, preset, save_checkpoint

    bag = make_bag(open_folder(clip_root), tmp_path / "bag", 10**6).path
    weights = tmp_path / "random.safetensors"
    save_checkpoint(RobotSeg(preset("robotseg_nano")), weights)

    def start(*arguments: str) -> Any:
        return start_process(
            "-m", "robotseg_ros", "demo", "--bag", bag, "--out", tmp_path / "out", "--device", "cpu",
            "--checkpoint", weights, *arguments,
        )  # fmt: skip

    return start


def children(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent_of(entry) == pid]


def parent_of(entry: Path) -> int:
    try:
        return int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def test_the_demo_replays_records_and_scores(demo: Callable[..., Any], tmp_path: Path) -> None:
    process = demo("--rate", "0.5")
    assert process.wait(START_SECONDS) == 0
    assert re.search(r"frames in +received +processed +dropped +latency median", process.output)
    kept = json.loads((tmp_path / "out/results.json").read_text())
    assert kept["frames"]["played"] == FRAMES
    assert kept["frames"]["received"] == kept["frames"]["processed"] + kept["frames"]["dropped"]
    counts = {topic.name: topic.count for topic in list_topics(tmp_path / "out/masks")}
    assert counts["/camera/image/compressed"] == FRAMES
    recorded = {counts[f"/camera/{name}"] for name in ("status", "mask/arm", "mask/gripper", "mask/robot")}
    assert recorded == {kept["frames"]["processed"]} != {0}
    for name in ("overlay.mp4", "overlay.png", "table.txt", "logs/node.log"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_an_interrupted_demo_leaves_no_process_behind(demo: Callable[..., Any]) -> None:
    process = demo("--rate", "0.01")
    process.wait_for_output("replaying", START_SECONDS)
    started = children(process.pid)
    assert len(started) == 3
    assert process.stop() == 130
    assert "interrupted" in process.output
    assert not [pid for pid in started if os.path.exists(f"/proc/{pid}")]


def test_a_node_that_cannot_start_ends_the_demo_with_its_own_words(demo: Callable[..., Any]) -> None:
    process = demo("--checkpoint", "/nowhere.pt")
    assert process.wait(START_SECONDS) == 1
    assert "the node did not start" in process.output
    assert "/nowhere.pt" in process.output


def test_an_unknown_bag_is_refused_with_the_names_of_those_there_are(demo: Callable[..., Any]) -> None:
    process = demo("--bag", "nowhere")
    assert process.wait(START_SECONDS) == 2
    assert "panda_table" in process.output
