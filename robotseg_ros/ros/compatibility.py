"""What differs between ROS distributions (Humble to Lyrical) or may not be installed, in one place."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible, qos_policy_name_from_kind

try:
    from rclpy.event_handler import PublisherEventCallbacks as PublisherEventCallbacks
    from rclpy.event_handler import SubscriptionEventCallbacks as SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks as PublisherEventCallbacks
    from rclpy.qos_event import SubscriptionEventCallbacks as SubscriptionEventCallbacks

UnsupportedEventTypeError: type[Exception] = rclpy_implementation.UnsupportedEventTypeError
"""What creating a publisher or subscription raises where the middleware does not know an event."""


def policy_name(event: Any) -> str:
    """The policy that an event of an incompatible QoS is about, such as RELIABILITY."""
    return str(qos_policy_name_from_kind(event.last_policy_kind))


def incompatibility(offered: QoSProfile, asked: QoSProfile) -> str:
    """Why a publisher's messages cannot reach a subscription, empty where they can or where it cannot be told."""
    verdict, reason = qos_check_compatible(offered, asked)
    return str(reason).removeprefix("ERROR: ").strip(" ;") if verdict == QoSCompatibility.ERROR else ""


def matched(node: Node, subscription: Any) -> bool:
    """Whether a publisher's messages reach a subscription; Humble can only tell whether there is a publisher."""
    count = getattr(subscription, "get_publisher_count", None)
    return bool(count() if count else node.count_publishers(subscription.topic_name))


def steady_clock() -> Clock:
    """A clock for timers that run on real time, also under `use_sim_time` while nobody publishes /clock."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def given_parameters(node: Node) -> dict[str, Any]:
    """The parameters that were given on the command line or in a file, declared or not.

    rclpy has no public way to ask; where a distribution keeps them elsewhere, there are none.
    """
    return {name: given.value for name, given in getattr(node, "_parameter_overrides", {}).items()}


def cv_bridge() -> Any | None:
    """A CvBridge, or None where it is not installed (no Python registry has it) or fails with this NumPy."""
    try:
        from cv_bridge import CvBridge
    except (ImportError, AttributeError):
        return None
    return CvBridge()


def transform_buffer(node: Node) -> Any | None:
    """A tf2 buffer that listens to /tf and /tf_static, or None where tf2_ros is not installed (the wheels lack it)."""
    try:
        from tf2_ros import Buffer, TransformListener
    except ImportError:
        return None
    buffer = Buffer()
    buffer.listener = TransformListener(buffer, node)  # kept alive by what it fills
    return buffer


def reliability_name(endpoint: Any) -> str:
    """'RELIABLE' or 'BEST_EFFORT' of a subscription or of an endpoint from `get_publishers_info_by_topic`."""
    return str(endpoint.qos_profile.reliability.name)
