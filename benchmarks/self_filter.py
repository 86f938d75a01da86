"""What it costs to take the robot out of depth images and point clouds, without the network and without transport.

    python benchmarks/self_filter.py [--repeats 30] [--sizes 640x480 1280x720]

From the message and the mask to the message that is published, in one thread; the robot covers a fifth of the image.
Points have 32 bytes (x, y, z, padding, rgb, padding), as drivers and point_cloud_xyzrgb send them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from machine import describe
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from robotseg_ros.evaluation.table import text_table
from robotseg_ros.geometry import coordinates
from robotseg_ros.ros.conversions import bytes_of
from robotseg_ros.ros.depth_messages import camera_of, cloud_without, layout_of
from robotseg_ros.ros.self_filter import RobotMask, filtered_depth

MARGIN = 5
LENS = [-0.05, 0.06, 0.0005, -0.0003, -0.02]
HEADER = ("size", "input", "MB", "without the robot ms", "p95 ms")


def robot_mask(height: int, width: int) -> RobotMask:
    """An arm-like shape, new each time: its margin is part of the cost."""
    mask = np.zeros((height, width), np.uint8)
    cv2.line(mask, (width // 2, height), (width // 3, height // 3), 1, height // 4)
    return RobotMask(Header(frame_id="eye"), mask.view(np.bool_), MARGIN)


def depth_message(height: int, width: int, encoding: str) -> Image:
    """A tilted plane."""
    values = np.linspace(500, 3000, height * width).reshape(height, width)
    pixels = values.astype(np.uint16) if encoding == "16UC1" else (values / 1000).astype(np.float32)
    return Image(height=height, width=width, encoding=encoding, step=pixels.strides[0], data=bytes_of(pixels))


def cloud_message(height: int, width: int, organised: bool) -> PointCloud2:
    """The points that the pixels of a camera see."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = np.linspace(0.5, 3.0, height * width, dtype=np.float32).reshape(height, width)
    points = np.zeros((height, width, 8), np.float32)
    points[..., 0], points[..., 1] = (columns - width / 2) / width * depth, (rows - height / 2) / width * depth
    points[..., 2] = depth
    cloud = PointCloud2(header=Header(frame_id="eye"), point_step=32, data=bytes_of(points))
    cloud.height, cloud.width = (height, width) if organised else (1, height * width)
    cloud.row_step = 32 * cloud.width
    offsets = {"x": 0, "y": 4, "z": 8, "rgb": 16}
    cloud.fields = [PointField(name=n, offset=o, datatype=PointField.FLOAT32, count=1) for n, o in offsets.items()]
    return cloud


def calibration(height: int, width: int, coefficients: list[float]) -> CameraInfo:
    """Of the camera that sees the cloud."""
    info = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=coefficients)
    info.k = np.array([width, 0, width / 2, 0, width, height / 2, 0, 0, 1], np.float64)
    return info


def projected(cloud: PointCloud2, info: CameraInfo, mask: RobotMask) -> PointCloud2:
    """As the node does with a cloud that is not organised."""
    robot = camera_of(info, False).robot_points(*coordinates(layout_of(cloud).points(cloud.data)), mask.grown)
    return cloud_without(cloud, robot.reshape(1, -1))


def cases(height: int, width: int) -> dict[str, tuple[int, Callable[[], object]]]:
    """Bytes of the input, and the work, by name."""
    short, long = (depth_message(height, width, encoding) for encoding in ("16UC1", "32FC1"))
    organised, loose = cloud_message(height, width, True), cloud_message(height, width, False)
    straight, bent = calibration(height, width, []), calibration(height, width, LENS)

    def mask() -> RobotMask:
        return robot_mask(height, width)

    return {
        "depth 16UC1": (len(short.data), lambda: filtered_depth(short, mask(), True)),
        "depth 32FC1": (len(long.data), lambda: filtered_depth(long, mask(), True)),
        "points, organised": (len(organised.data), lambda: cloud_without(organised, mask().grown)),
        "points, projected": (len(loose.data), lambda: projected(loose, straight, mask())),
        "points, projected through a lens": (len(loose.data), lambda: projected(loose, bent, mask())),
    }


def milliseconds(work: Callable[[], object], repeats: int) -> NDArray[np.float64]:
    """Of each call, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e3)
    return np.array(times)


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720"], metavar="WxH")
    arguments = parser.parse_args()
    machine = describe(torch.device("cpu"))
    cv2.setNumThreads(1)
    rows = []
    for size in arguments.sizes:
        width, height = (int(number) for number in size.split("x"))
        for name, (number, work) in cases(height, width).items():
            times = milliseconds(work, arguments.repeats)
            figures = (statistics.median(times), np.percentile(times, 95))
            rows.append([size, name, f"{number / 1e6:.1f}", *(f"{figure:.2f}" for figure in figures)])
    print(machine)
    print(text_table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
