"""What the node adds to the network: from the arrival of an image to its masks, and on the wire.

    python benchmarks/node.py [--frames 60] [--model robotseg_nano] [--sizes 640x480 1280x720] [--checkpoint
    PATH]

A node runs in a process of its own; images are sent one by one, each when the masks of the one before are
here. The network's time is that of the same frames in the same process, as the node's status gives it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CompressedImage, Image

from robotseg_ros.evaluation.table import text_table
from robotseg_ros.msg import SegmentationStatus
from robotseg_ros.ros.conversions import bytes_of
from robotseg_ros.ros.environment import applied, private_variables
from robotseg_ros.ros.processes import NodeProcess

WARM_UP = 5
PATIENCE_S = 120.0
OWN_STAGES = ("decode", "publish")  # of the node; all other stages are the network's
HEADER = (
    "input",
    "network ms",
    "node ms",
    "added ms",
    "decode ms",
    "publish ms",
    "node / network",
    "round trip ms",
)


@dataclass(frozen=True)
class Sample:
    """One frame, in milliseconds."""

    network: float
    node: float  # arrival in the node's callback to masks published
    decode: float
    publish: float
    round_trip: float  # image published to the last mask received, here

    @classmethod
    def of(cls, status: SegmentationStatus, round_trip: float) -> Sample:
        """From what the node says of the frame."""
        stages = dict(zip(status.stage_names, status.stage_ms, strict=True))
        network = sum(value for name, value in stages.items() if name not in OWN_STAGES)
        return cls(network, status.latency_ms, stages["decode"], stages["publish"], round_trip)


class Camera:
    """Publishes test images and waits for the masks and the status of each."""

    def __init__(self, transport: str, parts: list[str]) -> None:
        self._node = rclpy.create_node("benchmark")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._compressed = transport == "compressed"
        topic = "image/compressed" if self._compressed else "image"
        self._publisher = self._node.create_publisher(CompressedImage if self._compressed else Image, topic, 1)
        self._came: dict[str, Any] = {}
        for name, kind in {**{f"mask/{part}": Image for part in parts}, "status": SegmentationStatus}.items():
            self._node.create_subscription(kind, name, lambda m, name=name: self._came.update({name: m}), 1)
        self._outputs = len(parts) + 1
        self._stamp = 0

    def close(self) -> None:
        """Leaves the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def wait(self, condition: Any, what: str) -> None:
        """Spins until `condition` holds; raises TimeoutError."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
            self._executor.spin_once(timeout_sec=0.5)

    def connect(self) -> None:
        """Waits until the node listens."""
        self.wait(self._publisher.get_subscription_count, "the node to subscribe")

    def measure(self, rgb: np.ndarray) -> Sample:
        """Sends one image and waits for what comes back."""
        message = self._message(rgb)
        self._came.clear()
        started = time.perf_counter()
        self._publisher.publish(message)
        self.wait(self._complete, "masks and status")
        return Sample.of(self._came["status"], (time.perf_counter() - started) * 1e3)

    def _complete(self) -> bool:
        fresh = [m for m in self._came.values() if m.header.stamp.sec == self._stamp]
        return len(fresh) == self._outputs

    def _message(self, rgb: np.ndarray) -> Image | CompressedImage:
        height, width = rgb.shape[:2]
        if self._compressed:
            message = CompressedImage(format="jpeg")
            message.data = bytes_of(cv2.imencode(".jpg", rgb[..., ::-1])[1])
        else:
            message = Image(encoding="rgb8", height=height, width=width, step=3 * width)
            message.data = bytes_of(rgb)
        self._stamp += 1
        message.header.stamp.sec = self._stamp
        return message


def picture(width: int, height: int, shift: int) -> np.ndarray:
    """A smooth picture that moves with `shift`, so that JPEG has something to do."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x + 3 * shift) / 37.0), np.cos((y + shift) / 23.0), np.sin((x + y) / 51.0)]
    return (np.stack(waves, axis=-1) * 127 + 128).astype(np.uint8)


def run(width: int, height: int, transport: str, arguments: argparse.Namespace) -> list[Sample]:
    """Samples of one image size through one transport, from a node started for them."""
    parameters = {"model": arguments.model, "checkpoint": arguments.checkpoint, "transport": transport}
    parameters |= {"parts": arguments.parts, "device": arguments.device}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "node.log")
        with NodeProcess("robotseg_ros.ros.main", "robotseg", parameters, log=log) as node:
            camera = Camera(transport, arguments.parts)
            try:
                camera.connect()
                frames = [picture(width, height, shift) for shift in range(8)]
                samples = [camera.measure(frames[i % 8]) for i in range(WARM_UP + arguments.frames)]
            except TimeoutError as error:
                raise SystemExit(f"{error}; the node said:\n{node.tail(30)}") from error
            finally:
                camera.close()
    return samples[WARM_UP:]


def row(label: str, samples: list[Sample]) -> list[str]:
    """Medians."""
    network = statistics.median(s.network for s in samples)
    node = statistics.median(s.node for s in samples)
    added = statistics.median(s.node - s.network for s in samples)
    decode, publish = (statistics.median(getattr(s, name) for s in samples) for name in OWN_STAGES)
    ratio = statistics.median(s.node / s.network for s in samples)
    round_trip = statistics.median(s.round_trip for s in samples)
    figures = [f"{value:.2f}" for value in (network, node, added, decode, publish)]
    return [label, *figures, f"{ratio:.3f}", f"{round_trip:.2f}"]


def main() -> int:
    """Measures every size and transport and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60, help="frames measured per row (default: 60)")
    parser.add_argument("--model", default="robotseg_nano")
    parser.add_argument("--checkpoint", default="", help="weights (default: the model's own)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", nargs="+", default=["arm", "gripper"])
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720"], metavar="WxH")
    arguments = parser.parse_args()
    rows = []
    with applied(private_variables()):
        rclpy.init()
        for size in arguments.sizes:
            width, height = (int(number) for number in size.split("x"))
            for transport in ("raw", "compressed"):
                samples = run(width, height, transport, arguments)
                rows.append(row(f"{size} {transport}", samples))
        rclpy.try_shutdown()
    print(f"{arguments.model}, parts {', '.join(arguments.parts)}; medians of {arguments.frames} frames")
    print(text_table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
