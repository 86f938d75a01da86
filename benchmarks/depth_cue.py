"""What it costs to refine masks by aligned depth, against making the masks, without ROS.

    python benchmarks/depth_cue.py [--repeats 32] [--sizes 640x480 1280x720] [--parts 1 3] [--model robotseg_nano]

Masks and cues take turns, frame by frame, in one thread, so that whatever else the machine does hits them alike;
ratios are those of the turns: a frame with its cue to the same frame without, in CPU time, which leaves out what other
processes took. The cues get masks of an arm that swings before a wall, three pixels too large, and depth with a stereo
camera's noise and holes; they do not get what the network (of random weights, which change no time) makes of noise,
because what a cue costs depends on the robot's size. It covers a fifth of the image here.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import torch
from machine import describe
from network import PARTS, OurStream
from numpy.typing import NDArray
from tqdm import tqdm

from robotseg_ros.evaluation.table import text_table
from robotseg_ros.geometry import grown
from robotseg_ros.streaming.depth_cue import CUES
from robotseg_ros.streaming.inverse_depth import Mask

POSES = 16
WARM_UP = 2 * POSES  # the memory is full, and the background was seen everywhere
ERROR = 3  # pixels
NOISE = 0.004  # of inverse depth, in 1/m: 4 mm at 1 m
HOLES = 0.05  # of the image
HEADER = ("size", "parts", "cue", "masks ms", "CPU ms", "cue ms", "p95 ms", "CPU ms", "with / without")


@dataclass(frozen=True)
class Cost:
    """Of one call, in milliseconds."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, work: Callable[..., object], *given: object) -> Cost:
        """Measured."""
        wall, cpu = time.perf_counter(), time.thread_time()
        work(*given)
        return cls((time.perf_counter() - wall) * 1e3, (time.thread_time() - cpu) * 1e3)


@dataclass
class Turns:
    """Costs on the same frames."""

    masks: list[Cost] = field(default_factory=list)
    cues: dict[str, list[Cost]] = field(default_factory=lambda: {name: [] for name in CUES})


def scene(height: int, width: int, pose: float, rng: np.random.Generator) -> tuple[dict[str, Mask], NDArray[np.uint16]]:
    """Masks by part and depth in millimetres of an arm that swings to `pose`, from -1 to 1."""
    foot, hand = (width // 2, height), (int(width * (0.5 + 0.2 * pose)), height // 3)
    elbow = tuple((2 * end + start) // 3 for start, end in zip(foot, hand, strict=True))
    arm, gripper = (np.zeros((height, width), np.uint8) for _ in range(2))
    cv2.line(arm, foot, elbow, 1, height // 3)
    cv2.line(gripper, elbow, hand, 1, height // 5)
    gripper[arm > 0] = 0
    near = np.tile(np.linspace(0.35, 0.5, width, dtype=np.float32), (height, 1))  # a wall, 2 to 2.9 m away
    near[(arm | gripper) > 0] = 1.0
    near += rng.normal(0, NOISE, near.shape).astype(np.float32)
    depth = (1000 / near).astype(np.uint16)
    patches = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), height / 60)
    depth[patches > np.quantile(patches, 1 - HOLES)] = 0
    true = {"arm": arm > 0, "gripper": gripper > 0, "robot": (arm | gripper) > 0}
    return {part: grown(mask, ERROR) for part, mask in true.items()}, depth


def measure(height: int, width: int, parts: int, model: str, repeats: int) -> Turns:
    """Costs on `repeats` frames, after the warm-up."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(4)]
    swing = np.sin(np.linspace(0, 2 * np.pi, POSES, endpoint=False))
    scenes = [scene(height, width, float(pose), rng) for pose in swing]
    stream, cues = OurStream(model, parts, torch.device("cpu")), {name: make() for name, make in CUES.items()}
    turns = Turns()
    for index in tqdm(range(WARM_UP + repeats), desc=f"{width}x{height}, {parts}", unit="frame", leave=False):
        masks, depth = scenes[index % POSES]
        chosen = dict(islice(((part, masks[part]) for part in PARTS), parts))
        making = Cost.of(stream.step, images[index % len(images)])
        turn = {name: Cost.of(cue.refine, chosen, depth) for name, cue in cues.items()}
        if index >= WARM_UP:
            turns.masks.append(making)
            for name, cost in turn.items():
                turns.cues[name].append(cost)
    return turns


def rows(size: str, parts: int, turns: Turns) -> list[list[str]]:
    """Medians, and the median ratio of a turn."""
    table = []
    for name, costs in turns.cues.items():
        pairs = zip(turns.masks, costs, strict=True)
        ratio = statistics.median((alone.cpu + cue.cpu) / alone.cpu for alone, cue in pairs)
        masks, cue = (medians(measured) for measured in (turns.masks, costs))
        worst = float(np.percentile([cost.wall for cost in costs], 95))
        table.append(
            [size, str(parts), name, *(f"{figure:.1f}" for figure in (*masks, cue[0], worst, cue[1])), f"{ratio:.2f}"]
        )
    return table


def medians(costs: Sequence[Cost]) -> tuple[float, float]:
    """Of wall-clock and CPU time."""
    return statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs)


def main() -> int:
    """Prints a table."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=32)
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720"], metavar="WxH")
    parser.add_argument("--parts", nargs="+", type=int, default=[1, 3], choices=[1, 2, 3])
    parser.add_argument("--model", default="robotseg_nano")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    machine = describe(torch.device("cpu"))
    table = []
    for size in arguments.sizes:
        width, height = (int(number) for number in size.split("x"))
        for parts in arguments.parts:
            table += rows(size, parts, measure(height, width, parts, arguments.model, arguments.repeats))
    print(f"{machine}\n{arguments.model}, medians of {arguments.repeats} frames in turns")
    print(text_table(HEADER, table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
