"""Plays a ROS 2 bag into topics: messages byte for byte (so with original stamps), in real time or at a rate.

`ros2 bag play` does this where ROS is installed from packages; this process also runs on ROS from Python
wheels, waits until its listeners are there, and says on `~/progress` how far it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosbags.interfaces import Connection, ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from ..dataset.bags import BagError, list_topics
from .message_types import UnknownMessageType, message_class
from .progress import Progress
from .settings import Setting, declare, values

CLOCK_PERIOD = 0.01
SERVICE_PERIOD = 0.2
DEPTH = 100  # messages kept for a reliable listener that is behind; a best-effort one takes no notice

SETTINGS = (
    Setting("bag", "", "Bag to play: a rosbag2 folder, or a single .mcap or .db3 file"),
    Setting("topics", [""], "Topics to play; empty plays all"),
    Setting("rate", 1.0, "Speed: 2.0 plays twice as fast as recorded", 1e-3, 1e3),
    Setting("loop", False, "Start again at the end; stamps then jump back to the beginning"),
    Setting("clock", False, "Publish /clock with the bag's time, for nodes with use_sim_time"),
    Setting("start_paused", False, "Wait for the service ~/resume before the first message"),
    Setting("wait_for", [""], "Played topics that must have listeners before the first message"),
    Setting("listeners", 1, "How many listeners each topic of wait_for must have", 1, 100),
    Setting("wait_timeout", 60.0, "Seconds to wait for these listeners before giving up", 0.0, 86400.0),
)


class ReplayError(RuntimeError):
    """The bag cannot be played; the message says why and what would be right."""


class Bag:
    """The playable topics of an open ROS 2 bag; raises BagError for one that cannot be read."""

    def __init__(self, path: Path, topics: Sequence[str] = ()) -> None:
        there = list_topics(path)
        missing = sorted(set(topics) - {topic.name for topic in there})
        if missing or not there:
            listed = ", ".join(f"{topic.name} ({topic.type})" for topic in there)
            raise ReplayError(f"{path} has no {', '.join(missing) or 'topic'}; it has: {listed or 'none'}")
        self.path = path
        self._reader = Reader(path)
        self._reader.open()
        self._connections = [c for c in self._reader.connections if not topics or c.topic in topics]
        for connection in self._connections:
            if encoding(connection) != "cdr":
                found = f"{connection.topic} is stored as {encoding(connection)!r}"
                raise ReplayError(f"{path}: {found}; only cdr, which ROS 2 writes, can be played")

    def connections(self) -> dict[str, Connection]:
        """One connection (type and recorded QoS) per topic."""
        return {connection.topic: connection for connection in reversed(self._connections)}

    def messages(self, topics: set[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of recording in nanoseconds and CDR bytes, in the order of recording."""
        chosen = [connection for connection in self._connections if connection.topic in topics]
        for connection, time_ns, cdr in self._reader.messages(chosen):
            yield connection.topic, time_ns, bytes(cdr)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


@dataclass
class Pace:
    """When a message recorded at a bag time is due on the wall clock; a pause moves everything after it."""

    rate: float
    now: Callable[[], float] = time.monotonic
    _start_wall: float = field(default=0.0, init=False)
    _start_bag: int | None = field(default=None, init=False)

    def restart(self) -> None:
        """The next message asked about is due at once and starts the count."""
        self._start_bag = None

    def shift(self, seconds: float) -> None:
        """Everything is due this much later."""
        self._start_wall += seconds

    def remaining(self, time_ns: int) -> float:
        """Seconds from now until a message of this bag time is due; negative when it is late."""
        if self._start_bag is None:
            self._start_bag, self._start_wall = time_ns, self.now()
        return self._start_wall + (time_ns - self._start_bag) * 1e-9 / self.rate - self.now()

    def bag_time(self) -> int:
        """The bag's time now, in nanoseconds."""
        if self._start_bag is None:
            return 0
        return self._start_bag + int((self.now() - self._start_wall) * self.rate * 1e9)


class Replay(Node):
    """Publishers for a bag's topics, services `~/pause` and `~/resume`, `~/progress`, optional `/clock`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("replay", **arguments)
        declare(self, SETTINGS)
        self.settings = values(self, SETTINGS)
        self._bag = Bag(Path(self.settings.bag).expanduser(), self.settings.topics)
        self._pace = Pace(self.settings.rate)
        self._paused = self.settings.start_paused
        self._counts: dict[str, int] = {}
        self._late = 0.0
        self._topic_publishers = self._create_publishers()
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if self.settings.clock else None
        self._progress = Progress(self)
        self.create_service(Trigger, "~/pause", self._on_pause)
        self.create_service(Trigger, "~/resume", self._on_resume)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)

    def _create_publishers(self) -> dict[str, Publisher]:
        publishers = {}
        for topic, connection in self._bag.connections().items():
            try:
                kind = message_class(connection.msgtype)
            except UnknownMessageType as error:
                self.get_logger().warning(f"{topic} is left out: {error}")
                continue
            publishers[topic] = self.create_publisher(kind, topic, offered_qos(connection))
        if not publishers:
            raise ReplayError(f"no topic of {self._bag.path} has a message type that is installed here")
        absent = sorted(set(self.settings.wait_for) - set(publishers))
        if absent:
            played = ", ".join(sorted(publishers))
            raise ReplayError(f"wait_for names {', '.join(absent)}, which is not played; played are {played}")
        return publishers

    def play(self) -> None:
        """Play to the end (or for ever with `loop`), after the listeners are there and nobody holds us.

        Raises:
            ReplayError: no listeners within `wait_timeout`.
            ExternalShutdownException: the process was told to end.
        """
        self._wait_for_listeners()
        for _ in count():
            self._hold_while_paused("paused")
            self._pace.restart()
            self._play_once()
            if not self.settings.loop:
                break
        self._flush()

    def _play_once(self) -> None:
        for topic, time_ns, cdr in self._bag.messages(set(self._topic_publishers)):
            self._wait_until_due(time_ns)
            self._topic_publishers[topic].publish(cdr)
            self._counts[topic] = self._counts.get(topic, 0) + 1
            self._tell("playing")

    def _wait_until_due(self, time_ns: int) -> None:
        period = SERVICE_PERIOD if self._clock_publisher is None else CLOCK_PERIOD
        while (remaining := self._pace.remaining(time_ns)) > 0:
            self._spin(min(remaining, period))
            if self._paused:
                started = time.monotonic()
                self._hold_while_paused("paused")
                self._pace.shift(time.monotonic() - started)
        self._late = max(self._late, -remaining)
        self._spin(0.0)

    def _wait_for_listeners(self) -> None:
        deadline = time.monotonic() + self.settings.wait_timeout
        while deaf := self._without_listeners():
            self._tell("waiting")
            if time.monotonic() > deadline:
                raise ReplayError(
                    f"fewer than {self.settings.listeners} listeners on {', '.join(deaf)} after "
                    f"{self.settings.wait_timeout:g} s: is the node active, in the same ROS_DOMAIN_ID and "
                    "subscribed to that topic?"
                )
            self._spin(0.05)

    def _without_listeners(self) -> list[str]:
        publishers = {topic: self._topic_publishers[topic] for topic in self.settings.wait_for}
        needed = self.settings.listeners
        return [topic for topic, there in publishers.items() if there.get_subscription_count() < needed]

    def _hold_while_paused(self, state: str) -> None:
        while self._paused:
            self._tell(state)
            self._spin(0.05)

    def _spin(self, seconds: float) -> None:
        """Serve services and /clock for at most this long."""
        if not self.context.ok():
            raise ExternalShutdownException
        if self._clock_publisher is not None and (now := self._pace.bag_time()):
            self._clock_publisher.publish(Clock(clock=Time(nanoseconds=now).to_msg()))
        self._executor.spin_once(timeout_sec=seconds)

    def _flush(self) -> None:
        """Leave only when every reliable listener has everything: the history of a process ends with it."""
        for publisher in self._topic_publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=5))
        self._tell("finished")
        self._progress.flush(2.0)

    def _tell(self, state: str) -> None:
        sent = {f"sent {topic}": number for topic, number in self._counts.items()}
        total = sum(self._counts.values())
        self._progress.tell(state, {"sent": total, "late ms": f"{1e3 * self._late:.1f}", **sent})

    def _on_pause(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self._paused = True
        answer.success, answer.message = True, "paused"
        return answer

    def _on_resume(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self._paused = False
        answer.success, answer.message = True, "playing"
        return answer

    def close(self) -> None:
        """Let go of the bag and the executor."""
        self._executor.remove_node(self)
        self._executor.shutdown()
        self._bag.close()


def encoding(connection: Connection) -> str:
    """How a recorded topic's messages are serialised; ROS 2 writes cdr."""
    if isinstance(connection.ext, ConnectionExtRosbag2):
        return connection.ext.serialization_format
    return "unknown"


def offered_qos(connection: Connection) -> QoSProfile:
    """QoS to play a topic with: reliable, which serves best-effort listeners too; latched where it was."""
    recorded = connection.ext.offered_qos_profiles if isinstance(connection.ext, ConnectionExtRosbag2) else []
    latched = any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in recorded)
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def main(arguments: Sequence[str] | None = None) -> int:
    """Process entry: 0 when the bag was played, 1 when it could not be."""
    rclpy.init(args=list(sys.argv if arguments is None else arguments))
    node = None
    try:
        node = Replay()
        node.play()
    except (ExternalShutdownException, KeyboardInterrupt):
        pass
    except (ReplayError, BagError) as error:
        rclpy.logging.get_logger("robotseg_replay").error(str(error))
        return 1
    except rclpy_implementation.RCLError:
        if rclpy.ok():  # else a signal came between asking for the context and using it
            raise
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
