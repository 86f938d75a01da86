"""The launch files themselves: loaded and run where the launch packages are, compiled and read everywhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from robotseg_ros.dataset.bags import BagWriter
from robotseg_ros.ros import launching

LAUNCH_FOLDER = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH_FOLDER.glob("*.launch.py"))
THIN_FILES = sorted(LAUNCH_FOLDER.glob("*.launch.xml"))
HAS_LAUNCH = all(importlib.util.find_spec(name) for name in ("launch", "launch_ros"))
needs_launch = pytest.mark.skipif(not HAS_LAUNCH, reason="launch and launch_ros are not installed (apt ROS has them)")


# What `ros2 launch FILE NAME:=VALUE ...` does.
RUN_LAUNCH_FILE = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [argument.split(":=") for argument in sys.argv[2:]]
included = IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)
service = LaunchService()
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.name.replace(".", "_"), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_launch_files_are_there() -> None:
    assert [path.name for path in FILES] == ["replay.launch.py", "robotseg.launch.py"]
    names = ["mobile_manipulator.launch.xml", "realsense.launch.xml", "zed_and_wrist.launch.xml"]
    assert [path.name for path in THIN_FILES] == names


def passed_on(path: Path) -> dict[str, str]:
    """What a thin launch file gives robotseg.launch.py where none of its own arguments is given."""
    root = ElementTree.parse(path).getroot()
    share = {"$(find-pkg-share robotseg_ros)": str(LAUNCH_FOLDER.parent)}
    own = {f"$(var {arg.get('name')})": str(arg.get("default")) for arg in root.findall("arg")}

    def filled(text: str) -> str:
        for name, value in (own | share).items():
            text = text.replace(name, value)
        return filled(text) if any(name in text for name in own | share) else text

    (include,) = root.findall("include")
    assert filled(str(include.get("file"))) == str(LAUNCH_FOLDER / "robotseg.launch.py")
    assert all(arg.get("description") for arg in root.findall("arg"))
    return {str(arg.get("name")): filled(str(arg.get("value"))) for arg in include.findall("arg")}


@pytest.mark.parametrize("path", THIN_FILES, ids=lambda path: path.name)
def test_what_a_thin_launch_file_passes_on_is_taken(path: Path) -> None:
    given = passed_on(path)
    arguments = {argument.name: argument.default for argument in launching.NODE_ARGUMENTS}
    assert set(given) <= set(arguments)
    parameters = launching.node_parameters(arguments | given)
    remappings = dict(launching.node_remappings(arguments | given))
    cameras = parameters.get("cameras", [""])
    assert len({remappings[f"{name}/image" if name else "image"] for name in cameras}) == len(cameras)


@pytest.mark.ros
def test_the_mobile_manipulators_parameters_are_accepted(flat_parameters: Any) -> None:
    from robotseg_ros.ros.parameter_file import description

    given = passed_on(LAUNCH_FOLDER / "mobile_manipulator.launch.xml")
    content = yaml.safe_load(Path(given["params_file"]).read_text())["/**"]["ros__parameters"]
    arguments = {argument.name: argument.default for argument in launching.NODE_ARGUMENTS}
    cameras = tuple(launching.node_parameters(arguments | given)["cameras"])
    specs = description().of(cameras)
    for name, value in flat_parameters(content).items():
        specs[name].read(value)
    assert set(cameras) <= set(content)


def test_layouts_show_topics_that_the_node_has() -> None:
    outputs = {"overlay", "overlay/compressed", "depth/filtered", "points/filtered"}
    rviz = yaml.safe_load((LAUNCH_FOLDER.parent / "config" / "robotseg.rviz").read_text())
    shown = {display["Topic"]["Value"] for display in rviz["Visualization Manager"]["Displays"]}
    assert shown <= {f"/camera/{output}" for output in outputs}
    panels = json.loads((LAUNCH_FOLDER.parent / "config" / "foxglove.json").read_text())
    text = json.dumps(panels["layout"])
    assert all(f'"{panel}"' in text for panel in panels["configById"])
    images = {p["imageMode"]["imageTopic"] for p in panels["configById"].values() if "imageMode" in p}
    assert images <= {f"/camera/{output}" for output in outputs}
    fields = set(re.findall(r"/camera/status\.(\w+)", json.dumps(panels)))
    message = (LAUNCH_FOLDER.parent / "msg" / "SegmentationStatus.msg").read_text()
    assert fields and all(re.search(rf"^\S+ {field}\b", message, re.MULTILINE) for field in fields)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_compiles_and_what_it_takes_from_us_exists(path: Path) -> None:
    tree = ast.parse(path.read_text(), str(path))
    compile(tree, str(path), "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("robotseg_ros"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)
    assert any(isinstance(n, ast.FunctionDef) and n.name == "generate_launch_description" for n in tree.body)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_executables_that_are_launched_are_built(path: Path) -> None:
    """CMakeLists.txt installs each executable that a launch file names."""
    build = (LAUNCH_FOLDER.parent / "CMakeLists.txt").read_text()
    names = ["robotseg_node"] if path.name == "robotseg.launch.py" else ["robotseg_replay", "robotseg_recorder"]
    for name in names:
        assert f"install_executable({name} " in build


@needs_launch
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("robotseg.launch.py", launching.NODE_ARGUMENTS), ("replay.launch.py", launching.REPLAY_ARGUMENTS)],
)
def test_the_description_declares_all_arguments_with_choices(name: str, arguments: Any) -> None:
    description = loaded(LAUNCH_FOLDER / name).generate_launch_description()
    declared = {a.name: a for a in description.get_launch_arguments()}
    assert list(declared) == [argument.name for argument in arguments]
    for argument in arguments:
        assert argument.description in declared[argument.name].description
        assert tuple(declared[argument.name].choices or ()) == argument.choices


@needs_launch
@pytest.mark.ros
@pytest.mark.slow
def test_the_node_is_launched_and_segments_a_replayed_bag(start_process: Any, tmp_path: Path) -> None:
    """The real thing: replay.launch.py with the node, a bag and a recording, ended by itself."""
    from robotseg_ros.dataset.bags import list_topics
    from robotseg_ros.model import RobotSeg, preset, save_checkpoint

    save_checkpoint(RobotSeg(preset("robotseg_nano")), tmp_path / "random.safetensors")
    images(tmp_path / "bag", 20)
    launched = start_process(
        "-c",
        RUN_LAUNCH_FILE,
        LAUNCH_FOLDER / "replay.launch.py",
        f"bag:={tmp_path / 'bag'}",
        f"record:={tmp_path / 'new'}",
        f"checkpoint:={tmp_path / 'random.safetensors'}",
        "parts:=arm",
        "device:=cpu",
        "image_topic:=/eye/image",
        "truth:=arm=/eye/truth",
    )
    assert launched.wait(150.0) == 0, launched.output
    counts = {topic.name: topic.count for topic in list_topics(tmp_path / "new")}
    assert counts["/eye/image"] == 20
    assert counts["/camera/mask/arm"] == counts["/camera/status"] > 0
    (row,) = json.loads((tmp_path / "new_scores" / "scores.json").read_text())["scores"]
    assert row["part"] == "arm" and row["frames"] == 20 and row["missing"] == 20 - counts["/camera/mask/arm"]


@needs_launch
@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.parametrize("include", ["xml", "yaml"])
def test_an_included_launch_file_starts_the_node_and_restarts_it(start_process: Any, include: str) -> None:
    """`launch_testing` on robotseg.launch.py: from XML launch starts it, from YAML it is killed. See launched_node.py."""
    if importlib.util.find_spec("launch_testing") is None:
        pytest.skip("launch_testing is not installed (apt ROS has it)")
    script = Path(__file__).parent / "launched_node.py"
    launched = start_process("-m", "launch_testing.launch_test", script, f"include:={include}")
    assert launched.wait(150.0) == 0, launched.output


def images(path: Path, count: int) -> None:
    import numpy as np

    with BagWriter(path) as writer:
        for index in range(count):
            picture = np.full((48, 64, 3), index, np.uint8)
            writer.write_image("/eye/image", picture, 10**18 + index * 100_000_000, "eye")
            writer.write_image("/eye/truth", picture[..., 0] > 9, 10**18 + index * 100_000_000, "eye")
