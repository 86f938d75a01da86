"""Depth images and point clouds of one camera without the robot, for maps and planners, and the robot alone.

`depth` and `points` are subscribed to while somebody listens to what is made of them. Each message goes with the mask of its
time and is published under its own header. Messages that find no mask are not published, but counted.

The executor's thread fills the buffers, the inference thread brings the masks, and a thread of its own does the work.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from ..geometry import GeometryError, Mask, coordinates, fitted, grown, moved
from .compatibility import transform_buffer
from .conversions import nanoseconds
from .depth_messages import camera_of, cloud_without, depth_of, depth_without, layout_of
from .endpoints import advertise, heard, subscribe
from .parameters import Settings
from .stamp_matching import StampMatcher
from .throttled_log import ThrottledLog

INPUT_DEPTH = 5


@dataclass(frozen=True)
class RobotMask:
    """Where the robot is in an image, all parts together, bool (H, W)."""

    header: Header
    exact: Mask
    margin: int

    @cached_property
    def grown(self) -> Mask:
        """With the margin."""
        return grown(self.exact, self.margin)


# A message and a mask, the exact one or the grown one, to the message without (True) or with only (False) the robot.
Filter = Callable[[Any, RobotMask, bool], Any]


class FilteredTopic:
    """An input such as `depth`, and the outputs `depth/filtered` (without the robot) and `depth/robot` (nothing else)."""

    def __init__(
        self, node: Node, topic: str, kind: type[Any], filter: Filter, settings: Settings, ready: threading.Condition
    ) -> None:
        """`ready` guards the buffers and is notified when something comes."""
        self.name = topic.rsplit("/", 1)[-1]
        self.refused = 0  # messages that could not be filtered
        self.matcher: StampMatcher[Any, RobotMask] = StampMatcher(
            int(settings.filter_tolerance * 1e9), settings.filter_buffer
        )
        self._node, self._input, self._kind, self._filter, self._ready = node, topic, kind, filter, ready
        self._log = ThrottledLog(node.get_logger())
        self._received_at = 0.0  # on the monotonic clock: the last message, or when it was opened
        self._reported = (0, 0, 0)  # messages with and without a mask, and refused ones, up to the last `trouble`
        self._outputs = {
            True: advertise(node, kind, f"{topic}/filtered"),
            False: advertise(node, kind, f"{topic}/robot"),
        }
        self._subscription: Subscription | None = None

    @property
    def topic(self) -> str:
        """The full name of the input."""
        return str(self._node.resolve_topic_name(self._input))

    @property
    def wanted(self) -> bool:
        """Whether somebody listens to an output."""
        return any(heard(publisher) for publisher in self._outputs.values())

    @property
    def is_open(self) -> bool:
        """Whether it is subscribed to its input."""
        return self._subscription is not None

    def open(self) -> None:
        """Subscribes, if it has not yet."""
        if self._subscription is None:
            self._received_at = time.monotonic()
            self._subscription, _ = subscribe(self._node, self._kind, self._input, self.receive, INPUT_DEPTH)

    def close(self) -> None:
        """Unsubscribes and forgets what waits."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        with self._ready:
            self.matcher.clear()

    def receive(self, message: Any) -> None:
        """Leaves a message for the thread that filters."""
        self._received_at = time.monotonic()
        with self._ready:
            self.matcher.add(nanoseconds(message.header.stamp), message)
            self._ready.notify_all()

    def add_mask(self, mask: RobotMask) -> None:
        """Leaves a mask."""
        with self._ready:
            self.matcher.add_mask(nanoseconds(mask.header.stamp), mask)
            self._ready.notify_all()

    def take(self) -> tuple[Any, RobotMask] | None:
        """The next message that has its mask."""
        return self.matcher.take()

    def process(self, message: Any, mask: RobotMask) -> None:
        """Publishes what is made of a message; what is wrong with it is logged and counted."""
        try:
            for without, publisher in self._outputs.items():
                if heard(publisher):
                    publisher.publish(self._filter(message, mask, without))
        except GeometryError as error:
            self.refused += 1
            self._log.error(f"{self.topic}: not filtered: {error}")
        except Exception:
            self.refused += 1
            if self._node.context.ok():  # publishing fails while the process is being ended
                self._log.error(f"{self.topic}: not filtered:\n{traceback.format_exc()}")

    def trouble(self, silence: float) -> str:
        """Why those who listen get nothing since the last call or for `silence` seconds; empty where they get something."""
        if not self.is_open:
            return ""
        counts, before = self.matcher.counts, self._reported
        self._reported = counts.matched, counts.unmatched + counts.overflowed, self.refused
        matched, unmatched, refused = (now - then for now, then in zip(self._reported, before, strict=True))
        if refused:
            return f"{self.topic}: {refused} messages could not be filtered since the last report; see the log"
        if unmatched and not matched:
            return f"{self.topic}: {unmatched} messages have found no mask of their time{self._distance()}"
        quiet = time.monotonic() - self._received_at
        if quiet > silence:
            publishers = self._node.count_publishers(self.topic)
            return f"{self.topic}: nothing for {quiet:.0f} s; publishers: {publishers}"
        return ""

    def _distance(self) -> str:
        """How far the last message was from the nearest mask, in words."""
        miss = self.matcher.nearest_miss
        if miss is None:
            return ": they have no stamp, or there are no masks"
        return f": the nearest is {miss / 1e6:.0f} ms away, filter.tolerance is {self.matcher.tolerance / 1e6:.0f} ms"

    def described(self) -> dict[str, str]:
        """Counts since configuring, for the diagnostics; nothing while nobody listens."""
        if not self.is_open:
            return {}
        counts = {**vars(self.matcher.counts), "refused": self.refused}
        return {f"{self.name}_{name}": str(count) for name, count in counts.items()}

    def destroy(self) -> None:
        """Takes the topics back."""
        self.close()
        for publisher in self._outputs.values():
            self._node.destroy_publisher(publisher)


class SelfFilter:
    """Depth, points and calibration of the camera whose topics begin with `prefix`."""

    def __init__(self, node: Node, prefix: str, settings: Settings, ready: threading.Condition) -> None:
        self._node, self._prefix, self._settings = node, prefix, settings
        depth = FilteredTopic(node, f"{prefix}depth", Image, filtered_depth, settings, ready)
        points = FilteredTopic(node, f"{prefix}points", PointCloud2, self._filtered_points, settings, ready)
        self.topics: Sequence[FilteredTopic] = (depth, points)
        self._points = points
        self._info: CameraInfo | None = None
        self._info_subscription: Subscription | None = None
        self._info_publisher = advertise(node, CameraInfo, f"{prefix}mask/camera_info")
        self._transforms: Any | None = None

    # Executor's thread

    def follow(self) -> None:
        """Subscribes to what is needed for the outputs that somebody listens to, and to nothing else."""
        for filtered in self.topics:
            filtered.open() if filtered.wanted else filtered.close()
        if self._info_subscription is None and (self._points.is_open or heard(self._info_publisher)):
            topic = f"{self._prefix}camera_info"
            self._info_subscription, _ = subscribe(self._node, CameraInfo, topic, self._receive_info, INPUT_DEPTH)
        if self._points.is_open and self._transforms is None:
            self._transforms = transform_buffer(self._node)

    def close(self) -> None:
        """Unsubscribes."""
        for topic in self.topics:
            topic.close()
        if self._info_subscription is not None:
            self._node.destroy_subscription(self._info_subscription)
            self._info_subscription = None

    def destroy(self) -> None:
        """Takes the topics back."""
        self.close()
        for topic in self.topics:
            topic.destroy()
        self._node.destroy_publisher(self._info_publisher)
        if self._transforms is not None:
            self._transforms.listener.unregister()  # which would listen for as long as the node lives

    def _receive_info(self, info: CameraInfo) -> None:
        self._info = info

    # Inference thread

    def apply(self, settings: Settings) -> None:
        """Takes over the settings that may change while running."""
        self._settings = settings

    def publish(self, header: Header, masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """The masks of an image are there: its calibration is published beside them, and what waits can be filtered."""
        info = self._info
        if info is not None and heard(self._info_publisher):
            self._info_publisher.publish(_of_image(info, header))
        topics = [topic for topic in self.topics if topic.is_open]
        if topics:
            mask = RobotMask(header, np.logical_or.reduce(list(masks.values())), self._settings.filter_margin)
            for topic in topics:
                topic.add_mask(mask)

    # The filter's thread

    def _filtered_points(self, cloud: PointCloud2, mask: RobotMask, without: bool) -> PointCloud2:
        robot = self._robot_points(cloud, mask, mask.grown if without else mask.exact)
        return cloud_without(cloud, robot if without else ~robot)

    def _robot_points(self, cloud: PointCloud2, mask: RobotMask, robot: Mask) -> Mask:
        """Which points of a cloud, (height, width), are on the robot.

        Those of an organised cloud in the image's frame are its pixels; of others it is found out by projection.
        """
        shape = (cloud.height, cloud.width)
        aligned = cloud.height > 1 and shape == robot.shape
        if aligned and cloud.header.frame_id == mask.header.frame_id:
            return robot
        try:
            return self._projected(cloud, mask.header.frame_id, robot).reshape(shape)
        except LookupError as error:
            if aligned:  # drivers call the points of their own pixels by the name of another frame
                return robot
            raise GeometryError(str(error)) from error

    def _projected(self, cloud: PointCloud2, frame: str, robot: Mask) -> Mask:
        """By the camera's calibration. Raises LookupError where it, or the way between the frames, is not known."""
        if self._info is None:
            raise LookupError(
                f"no camera_info has come on {self._node.resolve_topic_name(self._prefix + 'camera_info')}"
            )
        camera = camera_of(self._info, self._settings.filter_rectified)
        x, y, z = coordinates(layout_of(cloud).points(cloud.data))
        if cloud.header.frame_id != frame:
            x, y, z = moved((x, y, z), self._transform(frame, cloud.header))
        return camera.robot_points(x, y, z, robot)

    def _transform(self, frame: str, source: Header) -> NDArray[np.float64]:
        what = f"points are in {source.frame_id!r}, the image in {frame!r}"
        if self._transforms is None:
            raise LookupError(f"{what}, and tf2_ros, which knows the way between them, is not installed")
        try:
            stamped = self._transforms.lookup_transform(frame, source.frame_id, Time.from_msg(source.stamp))
        except Exception as error:  # tf2's exceptions have no type without tf2
            raise LookupError(f"{what}: {error}") from error
        return _matrix(stamped.transform)


def filtered_depth(message: Image, mask: RobotMask, without: bool) -> Image:
    """A depth image without the robot, or with nothing else. Raises GeometryError."""
    height, width = depth_of(message).shape  # refuses sizes that no mask can be fitted to
    shape = (height, width)
    return depth_without(message, fitted(mask.grown, shape) if without else ~fitted(mask.exact, shape))


def filter_waiting(waiting: Sequence[tuple[FilteredTopic, tuple[Any, RobotMask]]]) -> None:
    """A round of the filter's thread."""
    for topic, (message, mask) in waiting:
        topic.process(message, mask)


def _of_image(info: CameraInfo, header: Header) -> CameraInfo:
    """The same calibration under an image's header."""
    fields = ("height", "width", "distortion_model", "d", "k", "r", "p", "binning_x", "binning_y", "roi")
    return CameraInfo(header=header, **{name: getattr(info, name) for name in fields})


def _matrix(transform: Any) -> NDArray[np.float64]:
    """A geometry_msgs/Transform as (4, 4)."""
    q, t = transform.rotation, transform.translation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
