"""What differs between ROS distributions (Humble to Lyrical) or may not be installed, in one place."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions


def overridable() -> QoSOverridingOptions:
    """QoS that users override the standard way: `qos_overrides./topic.subscription.reliability: reliable`."""
    return QoSOverridingOptions.with_default_policies()


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


def reliability_name(endpoint: Any) -> str:
    """'RELIABLE' or 'BEST_EFFORT' of a subscription or of an endpoint from `get_publishers_info_by_topic`."""
    return str(endpoint.qos_profile.reliability.name)
