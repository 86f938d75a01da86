"""Publishers and subscriptions whose QoS users override the standard ROS way, and whose QoS events are logged.

qos_overrides./front/image.subscription.reliability: reliable
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from .compatibility import (
    PublisherEventCallbacks,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
    policy_name,
)
from .throttled_log import ThrottledLog

# Reliable publishers serve best-effort subscribers too; a short history bounds what a slow one costs.
DEPTH = 5


class Events:
    """What the middleware says of one endpoint; `lost` counts messages that were sent and did not arrive."""

    def __init__(self, node: Node, topic: str) -> None:
        self.lost = 0
        self._topic = node.resolve_topic_name(topic)
        self._log = ThrottledLog(node.get_logger(), period=30.0)

    def of_subscription(self) -> SubscriptionEventCallbacks:
        """Callbacks of a subscription."""
        return SubscriptionEventCallbacks(incompatible_qos=self._on_publisher, message_lost=self._on_lost)

    def of_publisher(self) -> PublisherEventCallbacks:
        """Callbacks of a publisher."""
        return PublisherEventCallbacks(incompatible_qos=self._on_subscriber)

    def _on_publisher(self, event: Any) -> None:
        self._log.warning(
            f"{self._topic}: a publisher offers a QoS that this node does not take ({policy_name(event)}): "
            "none of its messages arrive; the parameter qos_overrides changes what this node asks"
        )

    def _on_subscriber(self, event: Any) -> None:
        self._log.warning(
            f"{self._topic}: a subscriber asks for a QoS that this node does not offer ({policy_name(event)}): "
            "it gets no messages; the parameter qos_overrides changes what this node offers"
        )

    def _on_lost(self, event: Any) -> None:
        self.lost += event.total_count_change
        self._log.warning(f"{self._topic}: {event.total_count_change} messages were lost on the way")


def advertise(node: Node, kind: type[Any], topic: str) -> Publisher:
    """A reliable publisher with a short history, unless the user overrides that."""
    options = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
    try:
        events = Events(node, topic).of_publisher()
        return node.create_publisher(kind, topic, QoSProfile(depth=DEPTH), event_callbacks=events, **options)
    except UnsupportedEventTypeError:
        return node.create_publisher(kind, topic, QoSProfile(depth=DEPTH), **options)


def subscribe(
    node: Node, kind: type[Any], topic: str, callback: Callable[[Any], None], depth: int
) -> tuple[Subscription, Events]:
    """A best-effort subscription, unless the user overrides that."""
    qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
    options = {"qos_overriding_options": QoSOverridingOptions.with_default_policies()}
    events = Events(node, topic)
    try:
        made = node.create_subscription(kind, topic, callback, qos, event_callbacks=events.of_subscription(), **options)
    except UnsupportedEventTypeError:
        made = node.create_subscription(kind, topic, callback, qos, **options)
    return made, events


def heard(publisher: Publisher) -> bool:
    """Whether anybody subscribes to it."""
    return bool(publisher.get_subscription_count() > 0)
