"""What the launch files make of their arguments: the node's parameters, and remaps to the driver's topics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robotseg_ros.cameras import available_cameras
from robotseg_ros.dataset.bags import BagError, BagWriter
from robotseg_ros.resources import config_dir
from robotseg_ros.ros.launching import (
    NODE_ARGUMENTS,
    REPLAY_ARGUMENTS,
    node_logger,
    node_parameters,
    node_remappings,
    replay_plan,
    rviz_remappings,
)


def node_arguments(**given: str) -> dict[str, str]:
    return {argument.name: argument.default for argument in NODE_ARGUMENTS} | given


def replay_arguments(**given: str) -> dict[str, str]:
    return {argument.name: argument.default for argument in REPLAY_ARGUMENTS} | given


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        writer.write_compressed("/eye/image/compressed", b"jpeg", "jpeg", 1)
    return path


def test_arguments_have_descriptions_and_their_defaults_are_allowed() -> None:
    for argument in (*NODE_ARGUMENTS, *REPLAY_ARGUMENTS):
        assert argument.description
        assert not argument.choices or argument.default in argument.choices


def test_without_arguments_everything_is_left_to_the_node() -> None:
    assert node_parameters(node_arguments()) == {}
    assert node_remappings(node_arguments()) == []


def test_arguments_become_parameters() -> None:
    given = node_arguments(model="robotseg", parts="arm, robot", device="cpu", start="manager", transport="raw")
    assert node_parameters(given) == {
        "model": "robotseg",
        "parts": ["arm", "robot"],
        "device": "cpu",
        "autostart": False,
        "transport": "raw",
    }


def test_a_camera_brings_its_transport_and_topics() -> None:
    given = node_arguments(camera="compressed_only")
    assert node_parameters(given)["transport"] == "compressed"
    assert ("image", "/camera/image_raw") in node_remappings(given)


def test_several_cameras_bring_transports_and_topics_each() -> None:
    given = node_arguments(cameras="front=zed,wrist=compressed_only@/hand", parts="robot")
    assert node_parameters(given) == {
        "parts": ["robot"],
        "cameras": ["front", "wrist"],
        "front.transport": "raw",
        "wrist.transport": "compressed",
    }
    remappings = node_remappings(given)
    assert {("front/image", "/zed/zed_node/rgb/color/rect/image"), ("wrist/image", "/hand/image_raw")} <= set(
        remappings
    )
    assert rviz_remappings(given)[0] == ("/camera/overlay", "/camera/front/overlay")
    assert node_parameters({**given, "transport": "raw"})["transport"] == "raw"


def test_rviz_looks_at_the_nodes_outputs() -> None:
    assert rviz_remappings(node_arguments()) == []
    assert rviz_remappings(node_arguments(namespace="/"))[0] == ("/camera/overlay", "/overlay")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": "zed"}, "expected NAME=DRIVER"),
        ({"cameras": "a=zed,a=oak_d"}, "each name once"),
        ({"cameras": "a=zed", "camera": "zed"}, "exclude each other"),
        ({"cameras": "a=zed", "image_topic": "/x"}, "exclude each other"),
        ({"start": "launch", "respawn": "true"}, "start:=node"),
        ({"cameras": "a=kodak"}, "there is no camera 'kodak'"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        node_parameters(node_arguments(**arguments))


def test_given_transport_and_topic_win_over_the_cameras() -> None:
    given = node_arguments(camera="realsense_d4xx", transport="compressed", image_topic="/eye/compressed")
    assert node_parameters(given)["transport"] == "compressed"
    assert ("image", "/eye") in node_remappings(given)


@pytest.mark.parametrize(("namespace", "logger"), [("", "robotseg"), ("/a/b/", "a.b.robotseg")])
def test_the_log_level_is_set_for_the_node_in_its_namespace(namespace: str, logger: str) -> None:
    assert node_logger(namespace) == logger


@pytest.mark.ros
@pytest.mark.parametrize("camera", ["", *available_cameras()])
def test_every_parameter_that_is_passed_is_one_that_the_node_declares_and_accepts(camera: str) -> None:
    from robotseg_ros.ros.parameter_file import description

    specs = description().of(())
    everything = node_arguments(
        camera=camera, model="robotseg_nano", checkpoint="/x", parts="arm gripper robot", device="cuda:0",
        precision="bfloat16", adapter="/y", start="node", use_sim_time="true",
    )  # fmt: skip
    passed = node_parameters(everything)
    assert passed.pop("use_sim_time") is True  # every ROS node has it
    for name, value in passed.items():
        specs[name].read(value)


@pytest.mark.ros
def test_the_example_parameter_file_has_all_parameters_with_their_defaults(flat_parameters: Any) -> None:
    from robotseg_ros.ros.parameter_file import description

    content = yaml.safe_load((config_dir() / "robotseg.yaml").read_text())["/**"]["ros__parameters"]
    given = flat_parameters(content)
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()} == {
        name: spec.default for name, spec in description().of(()).items()
    }


@pytest.mark.ros
def test_every_parameter_of_replay_and_recorder_is_one_that_they_declare(bag: Path) -> None:
    from robotseg_ros.ros import recorder, replay

    plan = replay_plan(replay_arguments(bag=str(bag), record="new"))
    assert plan.recorder is not None
    assert set(plan.replay) <= {setting.name for setting in replay.SETTINGS}
    assert set(plan.recorder) <= {setting.name for setting in recorder.SETTINGS}


def test_a_replay_finds_the_image_topic_and_its_transport(bag: Path) -> None:
    plan = replay_plan(replay_arguments(bag=str(bag), rate="2"))
    assert node_remappings(node_arguments(**plan.node)) == [("image", "/eye/image")]
    assert node_parameters(node_arguments(**plan.node))["transport"] == "compressed"
    assert plan.replay["rate"] == 2.0
    assert plan.replay["wait_for"] == ["/eye/image/compressed"]
    assert plan.recorder is None


def test_a_recorded_replay_waits_until_the_recorder_has_everything(bag: Path) -> None:
    plan = replay_plan(replay_arguments(bag=str(bag), record="new", parts="arm", namespace="/left"))
    assert plan.replay["start_paused"] and plan.replay["listeners"] == 2
    assert plan.recorder is not None
    assert plan.recorder["when_ready"] == "/replay/resume"
    assert {"/eye/image/compressed", "/left/mask/arm", "/left/status"} <= set(plan.recorder["topics"])


def test_a_recording_is_scored_with_the_bags_true_masks(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for name in ("/eye/image", "/truth/arm"):
            writer.write_image(name, np.zeros((2, 2), np.uint8), 1)
    given = {"bag": str(tmp_path / "bag"), "image_topic": "/eye/image", "parts": "arm", "namespace": "/left"}
    assert replay_plan(replay_arguments(**given, record="new")).score is None
    plan = replay_plan(replay_arguments(**given, record="new", truth="arm=truth/arm"))
    assert plan.score is not None
    command = " ".join(plan.score)
    assert "evaluate new" in command and command.endswith("-o new_scores")
    assert "--masks-topic arm=/left/mask/arm --truth-topic arm=/truth/arm" in command
    for wrong, message in (
        ({"record": "new", "truth": "robot=/truth/arm"}, "'robot=/truth/arm'; expected PART=TOPIC with a part of arm"),
        ({"record": "new", "truth": "arm=/truth/leg"}, "has no topic /truth/leg"),
        ({"truth": "arm=/truth/arm"}, "give record:=NEW_BAG too"),
        ({"record": "new", "truth": "arm=/truth/arm", "loop": "true"}, "scores one pass"),
    ):
        with pytest.raises(ValueError, match=message):
            replay_plan(replay_arguments(**given, **wrong))


def test_a_replay_without_images_is_refused_with_the_topics_there_are(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/a", np.zeros((2, 2), np.uint8), 1)
        writer.write_image("/b", np.zeros((2, 2), np.uint8), 1)
    with pytest.raises(BagError, match="/b"):
        replay_plan(replay_arguments(bag=str(tmp_path / "bag")))
