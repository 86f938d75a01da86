"""The launch files themselves: loaded and run where the launch packages are, compiled and read everywhere."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from robotseg_ros.dataset.bags import BagWriter
from robotseg_ros.ros import launching

LAUNCH_FOLDER = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH_FOLDER.glob("*.launch.py"))
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


def test_both_launch_files_are_there() -> None:
    assert [path.name for path in FILES] == ["replay.launch.py", "robotseg.launch.py"]


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
    )
    assert launched.wait(150.0) == 0
    counts = {topic.name: topic.count for topic in list_topics(tmp_path / "new")}
    assert counts["/eye/image"] == 20
    assert counts["/camera/mask/arm"] == counts["/camera/status"] > 0


def images(path: Path, count: int) -> None:
    import numpy as np

    with BagWriter(path) as writer:
        for index in range(count):
            picture = np.full((48, 64, 3), index, np.uint8)
            writer.write_image("/eye/image", picture, 10**18 + index * 100_000_000, "eye")
