"""Scores masks by the field's measures: J, F and J&F in the published settings, steadiness, speed; with a report to look at.

INPUT is a dataset (docs/datasets.md), a video or folder of frames, or a ROS 2 bag. Where the truth is not known, the masks'
steadiness is measured. Results go to OUT: report.html, scores.json, scores.csv, and a file per clip, so that a stopped run
goes on.

examples:
  robotseg evaluate .data/clips/val -o out/eval --setting automatic --setting box
  robotseg evaluate VRS/test --model robotseg --checkpoint robotseg.pt --processes 2 --fail-under 0.85
  robotseg evaluate VRS/test --predictions masks_of_another_system -o out/other --against out/eval
  robotseg evaluate BAG --topic /camera/image --truth-topic robot=/camera/robot_mask
  robotseg evaluate RECORDED --masks-topic robot=/camera/mask/robot --truth-topic robot=/camera/robot_mask --truth-bag BAG

exit code: 0, or 1 where J&F of --fail-part is under --fail-under, 2 for unusable input, 130 when interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.protocol import SETTINGS
from .errors import BadInput

if TYPE_CHECKING:
    from ..dataset.clip import Clip
    from ..evaluation.results import ClipResult, PartSummary
    from ..evaluation.sources import Source

PARTS = ("arm", "gripper", "robot")
UNDER = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to score, in which settings, and where results go."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="dataset, frames, video or bag")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/evaluation"), help="default: %(default)s")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="repeatable; default: automatic")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default: all that have true masks")
    parser.add_argument("--images", action="store_true", help="image protocol: every frame stands alone, all count")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many clips, spread over the dataset")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="clips at a time (default: %(default)s)")
    source = parser.add_argument_group("what is scored")
    source.add_argument("--model", default="robotseg_nano", help="default: %(default)s")
    source.add_argument("--checkpoint", metavar="FILE", help="weights instead of those the model names")
    source.add_argument("--adapter", metavar="FILE", help="a small adapter for one embodiment")
    source.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    source.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    source.add_argument(
        "--predictions", type=Path, metavar="DIR", help="masks as DIR/<clip>/<part>/<frame>.png instead"
    )
    source.add_argument("--sam2", metavar="FILE", help="SAM 2.1 tiny with the weights sam2.1_hiera_tiny.pt instead")
    bag = parser.add_argument_group("bags")
    bag.add_argument("--topic", help="the image topic; not needed where there is one")
    bag.add_argument("--truth-topic", action="append", type=_named_topic, metavar="PART=TOPIC", help="true masks")
    bag.add_argument("--truth-bag", type=Path, metavar="BAG", help="bag of the truth topics, if it is another one")
    bag.add_argument(
        "--masks-topic", action="append", type=_named_topic, metavar="PART=TOPIC", help="score recorded masks"
    )
    bag.add_argument("--write-bag", type=Path, metavar="NEW_BAG", help="also write the bag with the masks added")
    report = parser.add_argument_group("report")
    report.add_argument("--efficiency", action="store_true", help="also parameters, FLOPs, milliseconds and memory")
    report.add_argument("--against", type=Path, metavar="OUT", help="another run's output, to stand beside this one")
    report.add_argument("--fail-under", type=float, metavar="X", help="exit with 1 where J&F is lower (0 to 1)")
    report.add_argument("--fail-part", choices=PARTS, default="robot", help="of this part (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes the results and prints the table."""
    try:
        return _recorded(args) if args.masks_topic else _evaluated(args)
    except ValueError as error:  # of clips, checkpoints, devices, models
        raise BadInput(str(error)) from error


def _evaluated(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..evaluation.results import latency, summarise, summary_table, write_summary
    from ..evaluation.run import Plan, evaluate

    clips = _clips(args)
    source, settings = _source(args), tuple(args.setting or ["automatic"])
    parts = tuple(args.part or [part for part in PARTS if part in _parts_of(clips)] or PARTS)
    plan = Plan(source, settings, parts, video=not args.images)
    if args.predictions and settings != ("automatic",):
        raise BadInput("masks from a folder know no prompts: --predictions goes with the setting automatic alone")
    with tqdm(total=len(clips) * len(settings), unit="clip", desc=f"evaluate {source.name}") as bar:
        results = evaluate(
            plan,
            clips,
            args.output,
            device=args.device,
            processes=args.processes,
            on_done=lambda: bar.update() and None,
        )
    rows = summarise(results, parts)
    facts = _facts(args, source, results) | {"milliseconds": vars(latency(results))}
    if args.efficiency:
        facts["efficiency"] = _efficiency(args, parts)
    write_summary(args.output, rows, facts)
    print(summary_table(rows))
    _report(args, results, rows, facts)
    if args.write_bag is not None:
        _write_bag(args, plan, clips[0])
    return _verdict(args, rows)


def _clips(args: argparse.Namespace) -> list[Clip]:
    """The clips of the input: a bag's one, a dataset's, or a single one."""
    import numpy as np

    from ..dataset.bags import BagClip, is_bag
    from ..dataset.collection import list_dataset
    from ..dataset.folders import list_clips
    from ..dataset.opening import open_clip

    path = args.input
    if path.exists() and is_bag(path):
        return [BagClip(path, args.topic, truth=dict(args.truth_topic or []), on_bad="skip")]
    if args.truth_topic or args.topic:
        raise BadInput(f"{path}: is no bag, so it has no topics")
    if not path.is_dir() or not list_clips(path):
        return [open_clip(path, on_bad="skip")]
    clips: list[Clip] = list(list_dataset(path).clips)
    if args.limit is not None and len(clips) > args.limit:
        clips = [clips[int(place)] for place in np.linspace(0, len(clips) - 1, args.limit)]
    return clips


def _parts_of(clips: Sequence[Clip]) -> set[str]:
    """Parts that have true masks somewhere."""
    return {part for clip in clips for part in getattr(clip, "parts", getattr(clip, "truth", ()))}


def _source(args: argparse.Namespace) -> Source:
    from ..evaluation.sources import ModelSource, PredictionSource, Sam2Source

    if args.predictions is not None:
        return PredictionSource(args.predictions)
    if args.sam2 is not None:
        return Sam2Source(args.sam2)
    return ModelSource(args.model, args.checkpoint, args.adapter, args.precision)


def _facts(args: argparse.Namespace, source: Source, results: Sequence[ClipResult]) -> dict[str, Any]:
    from ..evaluation.report import machine

    return {
        "source": source.name,
        "source_key": source.key,
        "input": str(args.input),
        "protocol": "image" if args.images else "video",
        "unreadable_frames": sum(result.skipped for result in results),
        **machine(),
    }


def _efficiency(args: argparse.Namespace, parts: tuple[str, ...]) -> dict[str, Any]:
    from ..evaluation.efficiency import efficiency
    from ..model import load_model
    from ..runtime import prepare, select_device

    network = load_model(args.model, args.checkpoint, select_device(args.device), adapter=args.adapter)
    cost = efficiency(prepare(network, args.precision), parts)
    print(
        f"{cost.parameters / 1e6:.1f} M parameters, {cost.gflops:.1f} GFLOPs a frame ({cost.parts} parts; a multiply-add "
        f"is two), {cost.median_ms:.1f} ms median, {cost.p95_ms:.1f} ms p95, peak {cost.peak_mb:.0f} MB on {cost.device}"
    )
    return cost.as_dict()


def _report(
    args: argparse.Namespace, results: Sequence[ClipResult], rows: Sequence[PartSummary], facts: dict[str, Any]
) -> None:
    from ..evaluation.report import write_report

    try:
        path = write_report(args.output, results, rows, facts, args.against)
    except ImportError as error:
        print(f"no report.html: {error}; pip install 'robotseg_ros[report]'")
    except FileNotFoundError as error:
        raise BadInput(f"--against {args.against}: no run is there ({error})") from error
    else:
        print(path)


def _verdict(args: argparse.Namespace, rows: Sequence[PartSummary]) -> int:
    if args.fail_under is None:
        return 0
    worst = [row for row in rows if row.part == args.fail_part and not row.j_and_f >= args.fail_under]
    if not any(row.part == args.fail_part for row in rows):
        raise BadInput(f"--fail-under: {args.fail_part} was not scored")
    for row in worst:
        print(f"J&F of {row.part}, {row.setting}: {row.j_and_f:.4f} is under {args.fail_under}")
    return UNDER if worst else 0


def _recorded(args: argparse.Namespace) -> int:
    """Scores what a node put out, by the stamps of the images: what a robot would have got."""
    from ..dataset.bags import BagClip
    from ..evaluation.recorded import recorded_masks
    from ..evaluation.sequence import score_sequence

    masks, truth = dict(args.masks_topic), dict(args.truth_topic or [])
    if missing := [part for part in masks if part not in truth]:
        raise BadInput(f"--masks-topic {missing[0]}=...: name the true masks too, by --truth-topic {missing[0]}=TOPIC")
    clip = BagClip(args.truth_bag or args.input, args.topic, truth=truth, on_bad="skip")
    scores = score_sequence(
        recorded_masks(args.input, masks), ((frame.stamp_ns, frame.masks or {}) for frame in clip), list(masks)
    )
    print(scores.table())
    if args.fail_under is None:
        return 0
    return 0 if scores.parts[args.fail_part].j_and_f >= args.fail_under else UNDER


def _write_bag(args: argparse.Namespace, plan: Any, clip: Clip) -> None:
    from ..dataset.bags import BagClip
    from ..evaluation.masked_bag import write_masked_bag

    if not isinstance(clip, BagClip):
        raise BadInput(f"--write-bag: {args.input} is no bag")
    print(write_masked_bag(clip, plan.source.open(args.device)(clip.name, plan.parts), args.write_bag))


def _named_topic(text: str) -> tuple[str, str]:
    part, separator, topic = text.partition("=")
    if not separator:
        part, topic = "robot", text
    if part not in PARTS or not topic:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=TOPIC with a part of {', '.join(PARTS)}")
    return part, topic
