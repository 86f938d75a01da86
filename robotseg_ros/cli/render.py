"""Renders clips of robots with true masks of arm, gripper and robot, in the folder layout of VRS.

    robotseg render clips/train --split train --count 2700 --frames 8
    robotseg render clips/seen --split seen --count 54

Equal arguments give equal pixels. Clips already there are kept: a stopped run goes on when it is called again, and a larger
--count adds to it. OUT/contact.png shows what was made, OUT/clips.json says how each clip was filmed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..dataset.rendering.embodiments import EMBODIMENTS
from ..dataset.rendering.motion import CAMERAS
from ..dataset.rendering.splits import SEEDS, SPLITS
from .errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to render, and how many of it."""
    parser.epilog = "splits:\n" + "\n".join(
        f"  {name:8} {split.purpose}: {', '.join(split.embodiments)}" for name, split in SPLITS.items()
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--split", choices=list(SPLITS), default="train", help="robots and textures (%(default)s)")
    parser.add_argument("--count", type=_positive, default=100, help="clips in all (default: %(default)s)")
    parser.add_argument("--frames", type=_positive, default=10, help="per clip (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=2.5, help="of a clip, in seconds (default: %(default)s)")
    parser.add_argument(
        "--size", type=_positive, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"), help="default: 320 240"
    )
    parser.add_argument("--embodiments", nargs="+", metavar="NAME", help="only these of the split")
    parser.add_argument(
        "--depth",
        action="store_true",
        help="also depth, PNGs of 16 bits in millimetres: OUT/depth as a stereo camera sees it, OUT/depth_true as it is",
    )
    parser.add_argument(
        "--still",
        action="store_true",
        help="keep one frame of each clip, of any moment: also robots half in view, or gone",
    )
    parser.add_argument("--camera", choices=CAMERAS, help="how all clips are filmed (default: at random)")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave out the split's first N seeds")
    parser.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Renders what is missing; 1 where some clips failed."""
    from ..dataset.rendering.assets import MissingAssets
    from ..dataset.rendering.render import BadSettings, render_clips

    split = SPLITS[args.split]
    chosen = tuple(args.embodiments or split.embodiments)
    if foreign := [name for name in chosen if name not in split.embodiments]:
        known = "no robot of" if all(name in EMBODIMENTS for name in foreign) else "unknown; no robot of"
        raise BadInput(f"{', '.join(foreign)}: {known} the split {args.split}: {', '.join(split.embodiments)}")
    if args.skip < 0 or args.skip + args.count > SEEDS:
        raise BadInput(f"--skip {args.skip} and --count {args.count}: a split has the seeds 0 to {SEEDS - 1}")
    width, height = args.size
    settings = {"split": args.split, "width": width, "height": height, "depth": args.depth}
    settings |= {"frames": args.frames, "duration": args.duration, "still": args.still, "camera": args.camera}
    try:
        done = render_clips(args.out, args.count, chosen, split.first_seed + args.skip, args.workers, **settings)
    except (MissingAssets, BadSettings) as error:
        raise BadInput(str(error)) from error
    print(f"{done} of {args.count} clips in {args.out}; {args.out / 'contact.png'} shows them")
    return 0 if done == args.count else 1


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
