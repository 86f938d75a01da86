"""How far a helper process is: a latched topic `~/progress` (diagnostic_msgs/DiagnosticStatus)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

PERIOD = 0.1
QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Progress:
    """Publishes the state of a node; a subscriber that comes late gets the last one."""

    def __init__(self, node: Node) -> None:
        self._name = node.get_fully_qualified_name()
        self._publisher = node.create_publisher(DiagnosticStatus, "~/progress", QOS)
        self._last: tuple[str, dict[str, str]] = ("", {})
        self._last_time = 0.0

    def tell(self, state: str, values: Mapping[str, object], level: bytes = DiagnosticStatus.OK) -> None:
        """Publish `state` (a word) and figures: a new state at once, figures a few times a second."""
        said = (state, {key: str(value) for key, value in values.items()})
        now = time.monotonic()
        if said == self._last or (state == self._last[0] and now < self._last_time + PERIOD):
            return
        self._last, self._last_time = said, now
        pairs = [KeyValue(key=key, value=value) for key, value in said[1].items()]
        self._publisher.publish(DiagnosticStatus(level=level, name=self._name, message=state, values=pairs))

    def flush(self, seconds: float) -> None:
        """Wait until every subscriber has the last word, before the process leaves."""
        self._publisher.wait_for_all_acked(Duration(nanoseconds=int(seconds * 1e9)))


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    """The figures of a progress message as a dictionary."""
    return {pair.key: pair.value for pair in status.values}
