"""Replays a recorded camera through the ROS 2 node in real time and compares its masks with the true ones.

Writes into the output folder: masks/ (a bag with images, masks, overlays and status, for Foxglove or rviz2),
overlay.mp4, overlay.png (a sheet of frames), table.txt, results.json and the logs of the three processes.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from .errors import BadInput

DEFAULT_BAG = "panda_table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `robotseg demo`."""
    parser.add_argument(
        "--bag",
        default=DEFAULT_BAG,
        help=f"name of a bag that comes with robotseg, or a path (default: {DEFAULT_BAG})",
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("out/demo"), help="folder to write (default: out/demo)")
    parser.add_argument("--model", default="robotseg_nano", help="model to run (default: robotseg_nano)")
    parser.add_argument("--checkpoint", default="", help="weights to load instead of those the model names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--part",
        action="append",
        choices=("arm", "gripper", "robot"),
        help="part to segment; may be repeated (default: all three)",
    )
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the replay (default: 1, real time)")
    parser.add_argument(
        "--start-seconds",
        type=float,
        default=120.0,
        help="how long the node may take to load its model (default: 120)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    try:
        import rclpy  # noqa: F401

        from ..msg import SegmentationStatus  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"the demo needs ROS 2 and this package built for it ({error}): run `make setup` in the source "
            "tree, or build with colcon and source the workspace"
        ) from error
    from ..dataset.clip import ClipError
    from ..demo.run import DemoSettings
    from ..demo.run import run as run_demo
    from ..ros.watch import DemoError

    if args.rate <= 0:
        raise BadInput(f"--rate is {args.rate:g}; give a number above 0 (2 plays twice as fast)")
    settings = DemoSettings(
        bag=_bag(args.bag),
        out=args.out,
        model=args.model,
        checkpoint=args.checkpoint,
        device=args.device,
        parts=tuple(args.part or ("arm", "gripper", "robot")),
        rate=args.rate,
        start_seconds=args.start_seconds,
    )
    # So that `kill` cleans up like Ctrl-C; the processes of the demo would go on alone otherwise.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        results = run_demo(settings)
    except ClipError as error:
        raise BadInput(str(error)) from error
    except DemoError as error:
        print(f"robotseg demo: {error}", file=sys.stderr)
        return 1
    print(f"\n{results.table()}\n\nfiles in {results.out}: overlay.mp4, overlay.png, masks/ (bag), logs/")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _bag(given: str) -> Path:
    """The bag at a path, or the one of that name among those that come with the package."""
    from ..dataset.bags import is_bag
    from ..resources import demo_dir

    path = Path(given)
    if path.exists():
        return path
    try:
        shipped = demo_dir()
    except FileNotFoundError as error:
        raise BadInput(f"there is no bag at {path}, and no bags came with this installation: {error}") from error
    if (shipped / given).is_dir():
        return shipped / given
    names = sorted(folder.name for folder in shipped.iterdir() if folder.is_dir() and is_bag(folder))
    raise BadInput(
        f"there is no bag at {path}, and none of that name comes with robotseg: {', '.join(names) or 'none'}"
    )
