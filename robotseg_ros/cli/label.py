"""Writes masks for large collections: datasets, folders of bags or videos, on one machine or many; or for a LeRobot dataset.

Masks of a clip appear in OUT whole or not at all. What is there is not made again: a run that was stopped or lost machines
goes on when it is called again.

examples:
  robotseg label recordings/ -o masks --part robot
  robotseg label recordings/ more/ -o masks --ray                      # an actor per GPU of this machine
  robotseg label recordings/ -o masks --ray --ray-address auto         # of a cluster, on a folder that all machines see
  robotseg label --lerobot my_dataset --part robot --camera observation.images.front
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BadInput
from .numbers import count

if TYPE_CHECKING:
    from ..labelling.work import Failure, Labelling, Work

PARTS = ("arm", "gripper", "robot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to label, with which model, by how many."""
    parser.add_argument(
        "inputs", nargs="*", type=Path, metavar="INPUT", help="datasets, bags, videos, or folders of them"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for the masks")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable (default: arm, gripper)")
    parser.add_argument("--masks", choices=("png", "video"), default="png", help="default: %(default)s")
    parser.add_argument("--topic", help="image topic of bags; needed where they have several")
    parser.add_argument("--model", default="robotseg_nano", help="default: %(default)s")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights instead of those the model names")
    parser.add_argument("--adapter", metavar="FILE", help="adapter for one embodiment")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    many = parser.add_argument_group("many workers")
    many.add_argument("--ray", action="store_true", help="work on Ray (pip install 'robotseg_ros[ray]')")
    many.add_argument("--workers", type=count, metavar="N", help="default: one per GPU")
    many.add_argument("--ray-address", metavar="ADDRESS", help="of a cluster; default: this machine alone")
    lerobot = parser.add_argument_group("LeRobot datasets (v3)")
    lerobot.add_argument("--lerobot", type=Path, metavar="DATASET", help="add mask streams to this dataset")
    lerobot.add_argument("--camera", action="append", metavar="KEY", help="repeatable (default: all)")
    lerobot.add_argument("--force", action="store_true", help="make mask videos anew that are there")


def run(args: argparse.Namespace) -> int:
    """Labels; 0 when all is done, 1 where clips failed."""
    try:
        return _lerobot(args) if args.lerobot is not None else _label(args)
    except ValueError as error:  # of clips, models, checkpoints, devices
        raise BadInput(str(error)) from error


def _label(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..labelling.work import Labelling, clean, collect, label_here

    if not args.inputs or args.output is None:
        raise BadInput("give INPUT and -o OUT, or --lerobot DATASET")
    parts = tuple(args.part or ("arm", "gripper"))
    labelling = Labelling(args.output, parts, args.masks, args.model, args.checkpoint, args.adapter)
    works = collect(args.inputs, args.topic)
    todo = [work for work in works if not labelling.is_done(work)]
    clean(args.output)
    with tqdm(total=len(works), initial=len(works) - len(todo), unit="clip", desc="label") as bar:
        if args.ray and todo:
            failures = _on_ray(args, labelling, todo, bar)
        else:
            failures = label_here(labelling, todo, args.device, lambda work: bar.update()) if todo else []
    clean(args.output)  # workers that died left their halves
    for work, reason in failures:
        print(f"{work.path}: not labelled: {reason}")
    print(f"{sum(labelling.is_done(work) for work in works)} of {len(works)} clips in {args.output}")
    return 1 if failures else 0


def _on_ray(args: argparse.Namespace, labelling: Labelling, todo: list[Work], bar: Any) -> list[Failure]:
    from ..labelling.ray_workers import RayPool

    pool = RayPool(labelling, args.workers, args.ray_address, args.device)
    try:
        return pool.label(todo, lambda work: bar.update())
    finally:
        pool.close()


def _lerobot(args: argparse.Namespace) -> int:
    from ..labelling.lerobot import LeRobotDataset, add_masks
    from ..model import load_model
    from ..runtime import prepare, select_device
    from ..streaming import StreamSegmenter

    dataset = LeRobotDataset(args.lerobot)
    network = load_model(args.model, args.checkpoint, select_device(args.device), args.adapter)
    area = network.config.fill_hole_area
    stream = StreamSegmenter(prepare(network), parts=tuple(args.part or ("robot",)), fill_hole_area=area)
    print("\n".join(add_masks(dataset, stream, args.camera, args.force)))
    return 0
