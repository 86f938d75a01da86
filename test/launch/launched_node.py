"""A launch_testing test: `python -m launch_testing.launch_test launched_node.py include:=xml`. test_launch_files.py runs it.

A user's own launch file includes robotseg.launch.py: an XML one, in which launch configures and activates the node, and a
YAML one, whose node starts itself, also after it was killed.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import numpy as np
import rclpy
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_testing.markers import keep_alive
from lifecycle_msgs.srv import GetState
from sensor_msgs.msg import Image

from launch import LaunchContext, LaunchDescription
from robotseg_ros.model import RobotSeg, preset, save_checkpoint

ROBOTSEG = Path(__file__).parents[2] / "launch" / "robotseg.launch.py"
TEXTS = {
    "xml": """<launch>
  <include file="{file}">
    <arg name="namespace" value="cell"/><arg name="cameras" value="front=usb_cam@/eye"/>
    <arg name="checkpoint" value="{checkpoint}"/><arg name="device" value="cpu"/><arg name="parts" value="arm"/>
    <arg name="start" value="launch"/>
  </include>
</launch>""",
    "yaml": """launch:
- include:
    file: "{file}"
    arg:
    - {{name: namespace, value: cell}}
    - {{name: cameras, value: front=usb_cam@/eye}}
    - {{name: checkpoint, value: "{checkpoint}"}}
    - {{name: device, value: cpu}}
    - {{name: parts, value: arm}}
    - {{name: respawn, value: "true"}}
""",
}
PATIENCE_S = 60.0


def included(context: LaunchContext) -> list[IncludeLaunchDescription]:
    """A user's launch file in the language asked for."""
    folder = Path(tempfile.mkdtemp(prefix="robotseg_launch_"))
    save_checkpoint(RobotSeg(preset("robotseg_nano")), folder / "random.safetensors")
    language = LaunchConfiguration("include").perform(context)
    file = folder / f"mine.launch.{language}"
    file.write_text(TEXTS[language].format(file=ROBOTSEG, checkpoint=folder / "random.safetensors"))
    return [IncludeLaunchDescription(AnyLaunchDescriptionSource(str(file)))]


@keep_alive
def generate_test_description() -> LaunchDescription:
    """The launch under test."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("include", default_value="xml", choices=list(TEXTS)),
            OpaqueFunction(function=included),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestLaunchedNode(unittest.TestCase):
    """While it runs."""

    def setUp(self) -> None:
        """A camera and a listener."""
        rclpy.init()
        self.node = rclpy.create_node("test_camera")
        self.masks: list[Image] = []
        self.camera = self.node.create_publisher(Image, "/eye/image_raw", 5)
        self.node.create_subscription(Image, "/cell/front/mask/arm", self.masks.append, 5)
        self.state = self.node.create_client(GetState, "/cell/robotseg/get_state")

    def tearDown(self) -> None:
        """Leaves the graph."""
        self.node.destroy_node()
        rclpy.shutdown()

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Publishes images until the condition holds."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), end, f"waited {PATIENCE_S} s for {what}")
            message = Image(height=48, width=64, encoding="rgb8", step=192, data=np.zeros(48 * 192, np.uint8).tobytes())
            message.header.stamp = self.node.get_clock().now().to_msg()
            self.camera.publish(message)
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def label(self) -> str:
        """State of the node's life cycle."""
        self.wait(self.state.service_is_ready, "the node")
        future = self.state.call_async(GetState.Request())
        self.wait(future.done, "the node's state")
        return str(future.result().current_state.label)

    def test_it_is_activated_segments_and_comes_back(self, test_args: dict[str, str]) -> None:
        """Masks come; from YAML also those of a second process."""
        self.wait(lambda: self.masks, "a mask")
        self.assertEqual(self.label(), "active")
        if test_args["include"] != "yaml":
            return
        os.kill(pid_of("robotseg_node"), signal.SIGKILL)
        gone = self.node.get_clock().now().nanoseconds
        self.wait(lambda: any(stamp(mask) > gone + 10**9 for mask in self.masks), "a mask after the kill")
        self.assertEqual(self.label(), "active")


def stamp(message: Image) -> int:
    """Nanoseconds."""
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def pid_of(name: str) -> int:
    """The child process whose command line has the name."""
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                parts = (place / "cmdline").read_bytes().decode().split("\0")
                parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == os.getpid() and any(name in part for part in parts):
                return int(place.name)
    raise AssertionError(f"no child process {name}")
