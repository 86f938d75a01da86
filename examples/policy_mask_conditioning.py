#!/usr/bin/env python3
"""A policy node that is shown the robot's image without the robot, with nothing else, or before another background.

Pairs each image with the mask of the same stamp, makes the image that the policy is to see (robotseg_ros.conditioning),
and publishes what the policy answers. Beside a running robotseg node:

    ros2 launch robotseg_ros robotseg.launch.py camera:=realsense_d4xx parts:=gripper,robot
    python3 examples/policy_mask_conditioning.py --ros-args -r image:=/camera/camera/color/image_raw \\
        -r mask:=/camera/mask/gripper -p mode:=masked_out -p target:="[230, 120, 20]"

`policy` names a TorchScript file: it gets the image, float32 (1, 3, side, side) in [0, 1], and the mask, float32
(1, 1, side, side), and gives six numbers: linear and angular velocity. Without one, `Reach` is used, which is no
learned policy but a few lines of visual servoing (robotseg_ros/visual_servoing.py): it moves the masked part towards
what has the target's colour.
With `mode:=masked_out` it cannot mistake the robot's own paint for the target.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from robotseg_ros.conditioning import MODES, conditioned
from robotseg_ros.imaging import ImageError
from robotseg_ros.ros.conversions import nanoseconds, rgb_image, rgb_of
from robotseg_ros.ros.stamp_matching import StampMatcher
from robotseg_ros.ros.throttled_log import ThrottledLog
from robotseg_ros.visual_servoing import Reach

Policy = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float64]]
WAITING = 30  # images that wait for their mask, which comes a latency later
SILENCE_S = 2.0


class TorchPolicy:
    """A TorchScript policy; see the top of this file for what it gets and gives."""

    def __init__(self, path: str, side: int) -> None:
        import torch

        self._torch, self._side = torch, side
        self._module = torch.jit.load(path, map_location="cpu").eval()

    def __call__(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        size = (self._side, self._side)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)[None].astype(np.float32) / 255
        where = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)[None, None]
        with self._torch.inference_mode():
            action = self._module(self._torch.from_numpy(small), self._torch.from_numpy(where))
        return np.asarray(action, np.float64).reshape(6)


class PolicyNode(Node):
    """Images and masks in, `action` (geometry_msgs/TwistStamped) and `policy_image` out, with the image's header."""

    def __init__(self) -> None:
        super().__init__("mask_conditioned_policy")
        self.mode = self.declare_parameter("mode", "masked_out").value
        self.margin = self.declare_parameter("margin", 3).value
        self.background = self._background(self.declare_parameter("background", "").value)
        path, side = self.declare_parameter("policy", "").value, self.declare_parameter("side", 224).value
        target = np.array(self.declare_parameter("target", [230, 120, 20]).value, np.uint8)
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; allowed are {', '.join(MODES)}")
        self.policy: Policy = TorchPolicy(path, side) if path else Reach(target)

        self._log = ThrottledLog(self.get_logger())
        self._pairs: StampMatcher[Image, Image] = StampMatcher(tolerance=0, capacity=WAITING)
        self._acted = self._newest = 0
        self._actions = self.create_publisher(TwistStamped, "action", 5)
        self._shown = self.create_publisher(Image, "policy_image", QoSProfile(depth=1))
        self.create_subscription(Image, "image", self._on_image, qos_profile_sensor_data)
        self.create_subscription(Image, "mask", self._on_mask, qos_profile_sensor_data)
        self.create_timer(SILENCE_S, self._on_silence)
        self.get_logger().info(f"robot {self.mode}, policy {path or 'Reach'}")

    def _background(self, path: str) -> NDArray[np.uint8]:
        if not path:
            return np.zeros(3, np.uint8)
        read = cv2.imread(path, cv2.IMREAD_COLOR)
        if read is None:
            raise ValueError(f"background {path} cannot be read as an image")
        return np.asarray(read[..., ::-1], np.uint8)

    def _on_image(self, message: Image) -> None:
        self._newest += 1
        self._pairs.add(nanoseconds(message.header.stamp), message)
        self._act()

    def _on_mask(self, message: Image) -> None:
        self._pairs.add_mask(nanoseconds(message.header.stamp), message)
        self._act()

    def _act(self) -> None:
        """The policy acts on the newest pair; older ones that were found with it are of the past."""
        newest = None
        while (pair := self._pairs.take()) is not None:
            newest = pair
        if newest is not None:
            self._answer(*newest)

    def _answer(self, image: Image, mask: Image) -> None:
        try:
            pixels, where = rgb_of(image), rgb_of(mask)[..., 0] > 127
            shown = conditioned(pixels, where, self.mode, self.background, self.margin)
            speed = self.policy(shown, where)
        except (ImageError, ValueError, RuntimeError) as error:  # the last is what TorchScript raises
            self._log.error(f"no action: {error}")
            return
        if not np.isfinite(speed).all():
            self._log.error(f"no action: the policy gave {speed.tolist()}, which are no speeds")
            return
        action = TwistStamped(header=image.header)
        action.twist.linear.x, action.twist.linear.y, action.twist.linear.z = map(float, speed[:3])
        action.twist.angular.x, action.twist.angular.y, action.twist.angular.z = map(float, speed[3:])
        self._actions.publish(action)
        self._acted += 1
        if self._shown.get_subscription_count():
            self._shown.publish(rgb_image(image.header, shown))

    def _on_silence(self) -> None:
        """A policy that says nothing must say why."""
        came, acted, self._newest, self._acted = self._newest, self._acted, 0, 0
        if not came:
            self._log.warning(f"no image on {self.resolve_topic_name('image')} for {SILENCE_S:.0f} s: no action")
        elif not acted:
            counts = self._pairs.counts
            self._log.warning(
                f"{came} images, but no mask of their stamps on {self.resolve_topic_name('mask')}: no action "
                f"({counts.unmatched + counts.overflowed} of {counts.received} images had none so far)"
            )


def main() -> None:
    """Runs the node until SIGINT or SIGTERM."""
    rclpy.init()
    node = PolicyNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # else the end of the context cut something off
            raise
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
