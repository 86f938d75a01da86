"""Records topics into a bag (mcap), messages byte for byte, under the time of their header stamps.

Recording by stamp puts a mask at the time of the image that it belongs to, whatever the latency was, so that
the bag plays in step in Foxglove and rviz2. `~/progress` says whether every topic has its publisher, and what
came.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from std_srvs.srv import Trigger

from ..dataset.bags import header_stamp
from .compatibility import matched
from .message_types import Definitions, UnknownMessageType, message_class
from .progress import Progress
from .settings import Setting, declare, values

DEPTH = 500  # a reliable subscription this deep bridges seconds in which the disk is slow
LOOK_PERIOD = 0.1
SETTLED_SECONDS = 0.3  # both ends of a match hear of it at slightly different times

SETTINGS = (
    Setting("bag", "", "Folder of the new bag; must not exist yet"),
    Setting("topics", [""], "Topics to record, relative names are in the recorder's namespace"),
    Setting("time", "header", "A message's time in the bag: header (its stamp, where it has one) or receive"),
    Setting("compress", True, "Compress the bag with zstd; masks shrink about a hundredfold"),
    Setting("when_ready", "", "Service (std_srvs/Trigger) called once when every topic has a publisher"),
)


class RecorderError(RuntimeError):
    """The recording cannot be made; the message says why."""


@dataclass(frozen=True)
class Received:
    """A message as it came: CDR bytes and the time to file it under, in nanoseconds."""

    topic: str
    time_ns: int
    cdr: bytes


class BagFile:
    """A bag being written by a thread of its own, so that receiving never waits for the disk."""

    def __init__(self, path: Path, compress: bool = True) -> None:
        if path.exists():
            raise RecorderError(f"{path} exists already; a recording never overwrites, choose another folder")
        # Version 8 is the newest whose metadata Humble reads as well.
        self._writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            self._writer.open()
        except (OSError, WriterError) as error:
            raise RecorderError(f"cannot write a bag to {path}: {error}") from error
        self._connections: dict[str, Connection] = {}
        self._definitions = Definitions()
        self._queue: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="bag writer")
        self._thread.start()

    def add_topic(self, topic: str, msgtype: str) -> None:
        """Raises UnknownMessageType when the type's definition is not to be found."""
        store = self._definitions.store(msgtype)
        with self._lock:
            self._connections[topic] = self._writer.add_connection(topic, msgtype, typestore=store)

    def write(self, message: Received) -> None:
        self._queue.put(message)

    @property
    def backlog(self) -> int:
        """Messages that wait for the disk."""
        return self._queue.qsize()

    def _write_all(self) -> None:
        while (message := self._queue.get()) is not None:
            if self.failure is not None:
                continue
            try:
                with self._lock:
                    self._writer.write(self._connections[message.topic], message.time_ns, message.cdr)
            except Exception as error:  # a full disk must be told by the node, not end this thread silently
                self.failure = error

    def close(self) -> None:
        """Write what waits, then the index and metadata.yaml."""
        self._queue.put(None)
        self._thread.join()
        if self.failure is None:
            self._writer.close()


class Recorder(Node):
    """Subscribes each topic as soon as it has a publisher, with a QoS that fits it, and files what comes."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("recorder", **arguments)
        declare(self, SETTINGS)
        self.settings = values(self, SETTINGS)
        self._check_settings()
        self._wanted = [self.resolve_topic_name(topic) for topic in self.settings.topics]
        self._bag = BagFile(Path(self.settings.bag).expanduser(), self.settings.compress)
        self._topic_subscriptions: dict[str, Subscription] = {}
        self._counts = dict.fromkeys(self._wanted, 0)
        self._last_stamps = dict.fromkeys(self._wanted, 0)
        self._matched_since: float | None = None
        self._released = not self.settings.when_ready
        self._release: Client | None = None if self._released else self.create_client(Trigger, self.settings.when_ready)
        self._progress = Progress(self)
        self.create_timer(LOOK_PERIOD, self._look)

    def _check_settings(self) -> None:
        if not self.settings.bag or not self.settings.topics:
            raise RecorderError("give the parameters bag (a new folder) and topics (a list of names)")
        if self.settings.time not in ("header", "receive"):
            raise RecorderError(f"parameter time is {self.settings.time!r}; allowed are header and receive")

    @property
    def ready(self) -> bool:
        """Every topic is subscribed and has had its publisher for a moment."""
        return self._matched_since is not None and time.monotonic() - self._matched_since > SETTLED_SECONDS

    def _look(self) -> None:
        for topic in self._wanted:
            if topic not in self._topic_subscriptions:
                self._subscribe_if_there(topic)
        unmatched = self._unmatched()
        if unmatched or self._matched_since is None:
            self._matched_since = None if unmatched else time.monotonic()
        if self.ready and not self._released:
            self._call_release()
        self._tell(unmatched)

    def _subscribe_if_there(self, topic: str) -> None:
        publishers = self.get_publishers_info_by_topic(topic)
        if not publishers:
            return
        msgtype = publishers[0].topic_type
        try:
            self._bag.add_topic(topic, msgtype)
            kind = message_class(msgtype)
        except UnknownMessageType as error:
            raise RecorderError(f"{topic} cannot be recorded: {error}") from error
        file = self._file_under_stamp if self._has_header(kind) else self._file_under_now
        self._topic_subscriptions[topic] = self.create_subscription(
            kind, topic, lambda raw, topic=topic: file(topic, raw), matching_qos(publishers), raw=True
        )

    def _has_header(self, kind: type[Any]) -> bool:
        """True when messages start with a std_msgs/Header that times them."""
        first = next(iter(kind.get_fields_and_field_types().items()), None)
        return self.settings.time == "header" and first == ("header", "std_msgs/Header")

    def _unmatched(self) -> list[str]:
        return [topic for topic in self._wanted if not self._has_publisher(topic)]

    def _has_publisher(self, topic: str) -> bool:
        subscription = self._topic_subscriptions.get(topic)
        return subscription is not None and matched(self, subscription)

    def _file_under_stamp(self, topic: str, raw: bytes) -> None:
        stamp = header_stamp(raw)
        self._last_stamps[topic] = stamp
        self._file(topic, stamp or time.time_ns(), raw)

    def _file_under_now(self, topic: str, raw: bytes) -> None:
        self._file(topic, time.time_ns(), raw)

    def _file(self, topic: str, time_ns: int, raw: bytes) -> None:
        self._bag.write(Received(topic, time_ns, raw))
        self._counts[topic] += 1

    def _call_release(self) -> None:
        if self._release is not None and self._release.service_is_ready():
            self._release.call_async(Trigger.Request())
            self._released = True

    def _tell(self, unmatched: Sequence[str]) -> None:
        if self._bag.failure is not None:
            raise RecorderError(f"writing to {self.settings.bag} failed: {self._bag.failure}")
        figures: dict[str, object] = {"ready": self.ready, "backlog": self._bag.backlog}
        figures |= {f"received {topic}": number for topic, number in self._counts.items()}
        figures |= {f"stamp {topic}": stamp for topic, stamp in self._last_stamps.items()}
        if unmatched:
            figures["without publisher"] = " ".join(unmatched)
        state = "recording" if self.ready else "waiting"
        self._progress.tell(state, figures, DiagnosticStatus.OK if self.ready else DiagnosticStatus.WARN)

    def close(self) -> int:
        """Finish the bag; returns how many messages it holds."""
        self._bag.close()
        return sum(self._counts.values())


def matching_qos(publishers: Sequence[TopicEndpointInfo]) -> QoSProfile:
    """The most that all publishers offer: reliable and latched only where every one of them is."""
    reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
    latched = all(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Process entry: records until it is told to end (SIGINT, SIGTERM); 1 when the recording failed."""
    rclpy.init(args=list(sys.argv if arguments is None else arguments))
    # Not the node's own logger: that publishes, which fails once a signal has shut ROS down.
    logger = rclpy.logging.get_logger("robotseg_recorder")
    recorder = None
    try:
        recorder = Recorder()
        _record(recorder)
        return 0
    except RecorderError as error:
        logger.error(str(error))
        return 1
    finally:
        if recorder is not None:
            logger.info(f"{recorder.close()} messages in {recorder.settings.bag}")
            recorder.destroy_node()
        rclpy.try_shutdown()


def _record(recorder: Recorder) -> None:
    executor = SingleThreadedExecutor(context=recorder.context)
    executor.add_node(recorder)
    try:
        while recorder.context.ok():
            executor.spin_once(timeout_sec=0.5)
    except (ExternalShutdownException, KeyboardInterrupt):
        pass
    finally:
        executor.shutdown()


if __name__ == "__main__":
    sys.exit(main())
