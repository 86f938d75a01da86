"""Real nodes in processes of their own, and a probe that plays camera and policy beside them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WAIT_S = 30.0
REPUBLISH_S = 1.0


class Robotseg:
    """A running `robotseg` node: its process and what it logs."""

    def __init__(self, process: Any, log: Path) -> None:
        self.process = process
        self._log = log
        self._read = 0

    @property
    def log(self) -> str:
        """All it said."""
        return self._log.read_text("utf-8", "replace")

    def mark(self) -> None:
        """Only what is said from here on counts for `said`."""
        self._read = len(self.log)

    def said(self, pattern: str) -> re.Match[str] | None:
        """A match of `pattern` in what it said since the last mark."""
        return re.search(pattern, self.log[self._read :])


class Probe:
    """A node of the test's own: publishes images, remembers outputs, calls services; waits on conditions."""

    def __init__(self, namespace: str) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("probe", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._publishers: dict[str, Any] = {}
        self.received: dict[str, list[Any]] = {}
        self._subscriptions: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._stamp = 1_000_000  # ms
        self.kinds: dict[str, Any] = {}  # message types of topics that are not images, statuses or diagnostics

    def close(self) -> None:
        """Leaves the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.shutdown()

    # Waiting

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = WAIT_S) -> Any:
        """Spins until `condition` gives something true, which is returned."""
        end = time.monotonic() + timeout
        while not (result := condition()):
            if time.monotonic() > end:
                pytest.fail(f"waited {timeout} s for {what}")
            self._executor.spin_once(timeout_sec=0.02)
        return result

    def spin(self, seconds: float) -> None:
        """Spins for a time: only to see that something does not happen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)

    # Topics

    def listen(self, *topics: str) -> None:
        """Remembers what comes on these outputs from now on, and waits until the node serves them."""
        for topic in topics:
            if topic not in self._subscriptions:
                self.received[topic] = []
                self._subscriptions[topic] = self.node.create_subscription(
                    self.kinds.get(topic) or _type_of(topic), topic, self.received[topic].append, 50
                )
        for topic in topics:
            name = self.node.resolve_topic_name(topic)
            self.wait(lambda name=name: self.node.count_publishers(name), f"a publisher of {name}")

    def ignore(self, *topics: str) -> None:
        """Unsubscribes."""
        for topic in topics:
            self.node.destroy_subscription(self._subscriptions.pop(topic))
            del self.received[topic]

    def publish(self, message: Any, topic: str = "image") -> None:
        """Publishes one image, once the node listens."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, 5)
        publisher = self._publishers[topic]
        self.wait(publisher.get_subscription_count, f"a subscriber of {topic}")
        publisher.publish(message)

    def image(self, encoding: str = "rgb8", height: int = 48, width: int = 64, stamp_ms: int | None = None) -> Any:
        """A small picture with a new, later stamp."""
        from sensor_msgs.msg import Image

        channels = {"rgb8": 3, "bgr8": 3, "mono8": 1, "32FC1": 4}[encoding]
        pixels = np.arange(height * width * channels, dtype=np.uint32) // 7 % 256
        message = Image(encoding=encoding, height=height, width=width, step=width * channels)
        message.data = pixels.astype(np.uint8).tobytes()
        return self.stamped(message, stamp_ms)

    def stamped(self, message: Any, stamp_ms: int | None = None) -> Any:
        """The message with a frame name and a stamp, 100 ms after the last one unless given."""
        self._stamp = self._stamp + 100 if stamp_ms is None else stamp_ms
        message.header.stamp.sec, milli = divmod(self._stamp, 1000)
        message.header.stamp.nanosec = milli * 1_000_000
        message.header.frame_id = "camera_optical"
        return message

    def answer(self, message: Any, output: str = "status", topic: str = "image", sent: bool = False) -> Any:
        """Publishes an image until `output` has a message of its stamp, which is returned. One that was sent already is
        sent again only if nothing comes: a first message may get lost, while the two sides find each other."""
        self.listen(output)
        last = [time.monotonic() if sent else 0.0]

        def answered() -> Any:
            if time.monotonic() - last[0] > REPUBLISH_S:
                last[0] = time.monotonic()
                self.publish(message, topic)
            return self.find(output, message.header)

        return self.wait(answered, f"{output} for {message.header.stamp}")

    def find(self, topic: str, header: Any) -> Any:
        """What came on `topic` with this stamp, or None."""
        return next((m for m in reversed(self.received[topic]) if m.header.stamp == header.stamp), None)

    # Services

    def call(self, service: str, request: Any, kind: Any) -> Any:
        """The answer of a service."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        self.wait(client.service_is_ready, f"service {service}")
        future = client.call_async(request)
        self.wait(future.done, f"the answer of {service}")
        return future.result()

    def set_parameter(self, name: str, value: Any, node: str = "robotseg") -> Any:
        """The result of setting one parameter."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(f"{node}/set_parameters", request, SetParameters).results[0]

    def transition(self, label: str) -> bool:
        """Whether a transition of the node's life cycle succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        numbers = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}
        request = ChangeState.Request(transition=Transition(id=numbers[label]))
        return self.call("robotseg/change_state", request, ChangeState).success

    def state(self) -> str:
        """The node's state."""
        from lifecycle_msgs.srv import GetState

        return self.call("robotseg/get_state", GetState.Request(), GetState).current_state.label


def _type_of(topic: str) -> Any:
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import CompressedImage, Image

    from robotseg_ros.msg import SegmentationStatus

    special = {"status": SegmentationStatus, "compressed": CompressedImage, "diagnostics": DiagnosticArray}
    return special.get(topic.rsplit("/", 1)[-1], Image)


Start = Callable[..., Robotseg]


@pytest.fixture(scope="module")
def start_robotseg(
    ros_env: dict[str, str], checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """`start_robotseg(namespace, parameters={}, remaps=[])`: nodes that end with the module."""
    from robotseg_ros.ros.processes import NodeProcess

    started: list[Robotseg] = []

    def start(namespace: str, parameters: Mapping[str, Any] | None = None, remaps: Sequence[str] = ()) -> Robotseg:
        log = tmp_path_factory.mktemp("node") / "log.txt"
        process = NodeProcess(
            "robotseg_ros.ros.main",
            "robotseg",
            {"checkpoint": checkpoint, **(parameters or {})},
            [f"__ns:={namespace}", *remaps],
            log=log,
        )
        started.append(Robotseg(process, log))
        return started[-1]

    yield start
    for node in started:
        node.process.stop()
        print(f"--- robotseg {node.process.pid}, exit code {node.process.exit_code}\n{node.log}")


@pytest.fixture(scope="module")
def make_probe(ros_env: dict[str, str]) -> Iterator[Callable[[str], Probe]]:
    """`make_probe(namespace)`: probes that leave with the module."""
    probes: list[Probe] = []

    def make(namespace: str) -> Probe:
        probes.append(Probe(namespace))
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of weights for `robotseg_nano`: its own, or random ones where the repository has none."""
    from robotseg_ros.model import RobotSeg, model_info, save_checkpoint

    info = model_info("robotseg_nano")
    if info.checkpoint is not None and info.checkpoint.is_file():
        return str(info.checkpoint)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_checkpoint(RobotSeg(info.config), path)
    return str(path)
