"""Command line of the renderer: `python -m robotseg_ros.dataset.rendering OUT --count 100`."""

from __future__ import annotations

import argparse
import sys

from .assets import MissingAssets
from .embodiments import EMBODIMENTS, names
from .render import render_clips


def main() -> int:
    """Renders the clips asked for; returns 0, or 1 with a message when something needed is not installed."""
    parser = argparse.ArgumentParser(prog="python -m robotseg_ros.dataset.rendering", description=__doc__)
    parser.add_argument("out", help="folder to write to; clips already there are kept")
    parser.add_argument("--count", type=int, default=100, help="clips in all (default %(default)s)")
    parser.add_argument(
        "--embodiments",
        nargs="+",
        choices=list(EMBODIMENTS),
        default=list(names("train")),
        metavar="NAME",
        help=f"robots to film (default those of the training split); known: {', '.join(EMBODIMENTS)}",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first clip (default %(default)s)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="which textures may appear")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    parser.add_argument("--size", nargs=2, type=int, default=(320, 240), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--frames", type=int, default=10, help="frames per clip (default %(default)s)")
    parser.add_argument("--duration", type=float, default=2.5, help="seconds per clip (default %(default)s)")
    given = parser.parse_args()
    width, height = given.size
    settings = {"split": given.split, "width": width, "height": height}
    settings |= {"frames": given.frames, "duration": given.duration}
    try:
        done = render_clips(given.out, given.count, given.embodiments, given.seed, given.workers, **settings)
    except MissingAssets as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{done} of {given.count} clips in {given.out}")
    return 0 if done == given.count else 130


if __name__ == "__main__":
    sys.exit(main())
