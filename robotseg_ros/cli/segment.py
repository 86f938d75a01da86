"""Segments a robot in a video file, a folder of images or a ROS 2 bag, without ROS.

Writes below OUT: mask_pred/CLIP/{000 arm, 001 gripper, 002 robot}/FRAME.png (or CLIP/PART.mkv), overlay.mp4
and scores.csv (object score, predicted IoU, share of the image and milliseconds per frame). Ctrl-C finishes
the current frame and the files. Coordinates of prompts are pixels of the first frame that is read.

examples:
  robotseg segment clip.mp4 -o out
  robotseg segment recording/ --topic /camera/image_raw -o out --part robot --frames 100
  robotseg segment frames/ -o out --part arm --point arm:320,240 --box gripper:300,200,380,260 --part gripper
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import prompts
from .errors import BadInput
from .numbers import count, fraction, index

if TYPE_CHECKING:
    from ..evaluation.segment_clip import ClipResult
    from ..streaming import StreamSegmenter

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Input, output, model, range and prompts."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="video file, image folder or bag")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", required=True, help="folder for the results")
    parser.add_argument("--force", action="store_true", help="replace the results of an earlier run in OUT")
    parser.add_argument(
        "--part",
        action="append",
        choices=prompts.PARTS,
        help="part to segment; repeat for several (arm, gripper)",
    )
    _add_model(parser)
    parser.add_argument("--topic", help="image topic of a bag; needed where it has several")
    parser.add_argument("--start", type=index, default=0, metavar="N", help="first frame (default: %(default)s)")
    parser.add_argument("--frames", type=count, metavar="N", help="at most so many frames")
    parser.add_argument("--strict", action="store_true", help="fail at an unreadable frame instead of leaving it out")
    parser.add_argument("--masks", choices=("png", "video", "none"), default="png", help="default: %(default)s")
    parser.add_argument("--no-overlay", action="store_true", help="write no overlay video")
    parser.add_argument("--alpha", type=fraction, default=0.5, help="opacity of the overlay (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    hints = parser.add_argument_group("prompts for the first frame (each may be repeated)")
    hints.add_argument("--point", action="append", type=prompts.point, metavar="PART:X,Y[,LABEL]", default=[])
    hints.add_argument("--box", action="append", type=prompts.box, metavar="PART:X0,Y0,X1,Y1", default=[])
    hints.add_argument("--mask", action="append", type=prompts.mask, metavar="PART:FILE.png", default=[])


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="robotseg_nano", help="name in config/models or a YAML file (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="weights instead of those the model names")
    parser.add_argument("--adapter", metavar="FILE", help="adapter for one embodiment, as `robotseg train` makes them")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Segments the clip; 0 when it was read to the end, 130 when interrupted."""
    from ..dataset import ClipError, open_clip
    from ..evaluation.segment_clip import Outputs, PromptError, prepare_folder, segment_clip

    parts = tuple(dict.fromkeys(args.part or ("arm", "gripper")))
    try:
        hints = prompts.combined([*args.point, *args.box, *args.mask], parts)
        clip = open_clip(args.input, args.topic, on_bad="raise" if args.strict else "skip")
        segmenter = _segmenter(args, parts)
        prepare_folder(args.output, args.force)
    except (ValueError, FileNotFoundError) as error:
        raise BadInput(str(error)) from error
    outputs = Outputs(args.output, args.masks, not args.no_overlay, args.alpha)
    try:
        with _progress(args, len(clip)) as bar, _stop_signal() as stop:
            result = segment_clip(
                clip,
                segmenter,
                outputs,
                prompts=hints,
                start=args.start,
                count=args.frames,
                on_frame=lambda frame: bar.update(),
                should_stop=stop.is_set,
            )
    except (ClipError, PromptError) as error:
        raise BadInput(str(error)) from error
    _report(args, result)
    return INTERRUPTED if result.stopped else 0


def _segmenter(args: argparse.Namespace, parts: tuple[str, ...]) -> StreamSegmenter:
    """The stream segmenter; raises ValueError for a model, checkpoint or device that is not there."""
    from ..model import load_model
    from ..runtime import prepare, select_device
    from ..streaming import StreamSegmenter

    device = select_device(args.device)
    network = load_model(args.model, args.checkpoint, device, args.adapter)
    return StreamSegmenter(prepare(network), parts=parts, fill_hole_area=network.config.fill_hole_area)


def _progress(args: argparse.Namespace, length: int) -> Any:
    from tqdm import tqdm

    left = max(0, length - args.start)
    total = left if args.frames is None else min(left, args.frames)
    # None: only where somebody looks at it.
    return tqdm(total=total or None, unit="frame", disable=True if args.quiet else None)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second SIGINT interrupts at once, as usual."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def set_stop(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in before:
        signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(args: argparse.Namespace, result: ClipResult) -> None:
    if result.skipped:
        print(f"robotseg segment: {result.skipped} unreadable frames were left out", file=sys.stderr)
    if result.stopped:
        print("robotseg segment: interrupted; what was written is complete", file=sys.stderr)
    if not args.quiet:
        rate = result.frames / max(result.seconds, 1e-9)
        print(f"{result.frames} frames in {result.seconds:.1f} s ({rate:.1f} frames/s) -> {args.output}")
