"""Whether large images get from one process to another here, with the DDS settings that this environment has.

`large_images()` receives; `python -m robotseg_ros.ros.transport_check` is the process that sends.
"""

from __future__ import annotations

import array
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environment import free_domain, prefix_variables
from .processes import NodeProcess

WIDTH, HEIGHT = 1280, 720
IMAGES, RATE = 40, 20.0
TOPIC = "robotseg_transport_check"
MATCH_SECONDS = 20.0
LINGER_SECONDS = 1.0


class TransportError(RuntimeError):
    """The sending process failed or was never found; the message has what it printed."""


@dataclass(frozen=True)
class Arrival:
    """How many of the images came, and the median of their time on the way (NaN for none)."""

    received: int
    median_ms: float


def large_images() -> Arrival:
    """Sends best-effort images of 1280x720 through the middleware, on a ROS domain that nobody uses: about 6 s.

    Raises:
        TransportError: the sender did not run, or no connection came about.
    """
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    delays: list[float] = []

    def on_image(message: Any) -> None:
        sent = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        delays.append((time.time_ns() - sent) * 1e-6)

    domain = free_domain()
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("robotseg_transport_receiver", context=context)
    node.create_subscription(Image, TOPIC, on_image, qos_profile_sensor_data)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        with tempfile.TemporaryDirectory() as folder:
            environment = {"ROS_DOMAIN_ID": str(domain), **prefix_variables()}
            log = Path(folder, "sender.log")
            with NodeProcess(__name__, "sender", environment=environment, log=log) as sender:
                end = time.monotonic() + 2 * MATCH_SECONDS
                while sender.running and time.monotonic() < end:
                    executor.spin_once(timeout_sec=0.05)
                if sender.exit_code != 0:
                    raise TransportError(sender.tail(3) or f"the sender ended with exit code {sender.exit_code}")
    finally:
        executor.shutdown()
        node.destroy_node()
        context.shutdown()
    return Arrival(len(delays), statistics.median(delays) if delays else float("nan"))


def main() -> int:
    """Sends the images as soon as somebody listens; 1 when nobody does."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("robotseg_transport_sender")
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
    message.data = array.array("B", bytes(3 * WIDTH * HEIGHT))
    end = time.monotonic() + MATCH_SECONDS
    while not publisher.get_subscription_count():
        if time.monotonic() > end:
            print(f"no connection between two processes within {MATCH_SECONDS:.0f} s", flush=True)
            return 1
        rclpy.spin_once(node, timeout_sec=0.05)
    for _ in range(IMAGES):
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        publisher.publish(message)
        time.sleep(1 / RATE)
    time.sleep(LINGER_SECONDS)  # what is still on its way is lost when the sender leaves
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
