"""Scores masks by the field's measures: J, F and J&F in the published settings, steadiness, speed; with a report to look at.

INPUT is a dataset (docs/datasets.md), a video or folder of frames, or a ROS 2 bag. Where the truth is not known, the masks'
steadiness is measured. Results go to OUT: report.html, scores.json, scores.csv, and a file per clip, so that a stopped run
goes on.

examples:
  robotseg evaluate .data/clips/val -o out/eval --setting automatic --setting box
  robotseg evaluate VRS/test --model robotseg --checkpoint robotseg.pt --processes 2 --fail-under 0.85
  robotseg evaluate VRS/test --predictions masks_of_another_system -o out/other --against out/eval
  robotseg evaluate BAG --topic /camera/image --truth-topic /camera/robot_mask
  robotseg evaluate BAG --topic /camera/image --truth MASKS
  robotseg evaluate RECORDED --masks-topic robot=/camera/mask/robot --truth-topic /camera/robot_mask --truth-bag BAG

exit code: 0, or 1 where J&F of --fail-part is under --fail-under, 2 for unusable input, 130 when interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.protocol import FIRST_MASK, SETTINGS, Setting
from .errors import BadInput
from .numbers import count, fraction, index

if TYPE_CHECKING:
    from ..dataset.bags import BagClip
    from ..dataset.clip import Clip
    from ..evaluation.results import ClipResult, PartSummary
    from ..evaluation.run import Plan
    from ..evaluation.sources import Source

PARTS = ("arm", "gripper", "robot")
ALL_SETTINGS = {**SETTINGS, FIRST_MASK.name: FIRST_MASK}
INTERACTIVE = SETTINGS["interactive"]
UNDER = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to score, in which settings, and where results go."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="dataset, frames, video or bag")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/evaluation"), help="default: %(default)s")
    parser.add_argument("--setting", action="append", choices=list(ALL_SETTINGS), help="repeatable; default: automatic")
    parser.add_argument(
        "--threshold", type=fraction, metavar="IOU", default=INTERACTIVE.threshold,
        help="of the setting interactive: frames under it are corrected (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--corrections", type=index, metavar="N", default=INTERACTIVE.corrected_frames,
        help="of the setting interactive: in at most so many frames a clip (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default: all that have true masks")
    parser.add_argument("--images", action="store_true", help="image protocol: every frame stands alone, all count")
    parser.add_argument("--limit", type=count, metavar="N", help="at most so many clips, spread over the dataset")
    parser.add_argument(
        "--processes", type=count, default=1, metavar="N", help="clips at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--truth", type=Path, metavar="DIR", help="true masks of a bag or video, as DIR/<part>/<frame or stamp>.png"
    )
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
    bag.add_argument(
        "--truth-topic", action="append", type=_named_topic, metavar="[PART=]TOPIC", help="true masks (of the robot)"
    )
    bag.add_argument("--truth-bag", type=Path, metavar="BAG", help="bag of the truth topics, if it is another one")
    bag.add_argument(
        "--masks-topic", action="append", type=_named_topic, metavar="[PART=]TOPIC", help="score what a node put out"
    )
    bag.add_argument("--write-bag", type=Path, metavar="NEW_BAG", help="also write the bag with the masks added")
    report = parser.add_argument_group("report")
    report.add_argument("--efficiency", action="store_true", help="also parameters, FLOPs, milliseconds and memory")
    report.add_argument("--against", type=Path, metavar="OUT", help="another run's output, to stand beside this one")
    report.add_argument("--fail-under", type=fraction, metavar="X", help="exit with 1 where J&F is lower (0 to 1)")
    report.add_argument("--fail-part", choices=PARTS, default="robot", help="of this part (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes the results and prints the table."""
    try:
        return _evaluated(args)
    except ValueError as error:  # of clips, checkpoints, devices, models
        raise BadInput(str(error)) from error


def _evaluated(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..evaluation.results import latency, summarise, summary_table, write_summary
    from ..evaluation.run import evaluate

    clips = _clips(args)
    plan = _plan(args, clips)
    _refuse(args, plan, clips)
    total = len(plan.settings) * sum(len(clip) for clip in clips)
    with tqdm(total=total, unit="frame", desc=f"evaluate {plan.source.name}") as bar:
        results = evaluate(
            plan,
            clips,
            args.output,
            device=args.device,
            processes=args.processes,
            on_frames=lambda count: bar.update(count) and None,
        )
    rows = summarise(results, plan.parts)
    facts = _facts(args, plan, results) | {"milliseconds": vars(latency(results))}
    print(summary_table(rows))
    if args.efficiency:
        facts["efficiency"] = _efficiency(args, plan)
    write_summary(args.output, rows, facts)
    _report(args, results, rows, facts)
    if args.write_bag is not None:
        _write_bag(args, plan)
    return _verdict(args, rows)


def _plan(args: argparse.Namespace, clips: Sequence[Clip]) -> Plan:
    from ..evaluation.run import Plan
    from ..evaluation.sources import PredictionSource, RecordedSource

    source = _source(args)
    there: Sequence[str] = PARTS
    if isinstance(source, PredictionSource):
        there = source.parts([clip.name for clip in clips]) or PARTS
    elif isinstance(source, RecordedSource):
        there = [part for part in PARTS if part in dict(source.topics)]
    known = _parts_of(clips)
    parts = tuple(args.part or [part for part in there if part in known] or there)
    settings = [ALL_SETTINGS[name] for name in dict.fromkeys(args.setting or ["automatic"])]
    return Plan(source, tuple(_tuned(args, setting) for setting in settings), parts, video=not args.images)


def _tuned(args: argparse.Namespace, setting: Setting) -> Setting:
    if setting is not INTERACTIVE:
        return setting
    return replace(setting, threshold=args.threshold, corrected_frames=args.corrections)


def _refuse(args: argparse.Namespace, plan: Plan, clips: Sequence[Clip]) -> None:
    """Raises BadInput for what would fail, or say nothing, after all the work."""
    from ..dataset.bags import is_bag

    told = [setting.name for setting in plan.settings if setting != SETTINGS["automatic"]]
    if (args.predictions or args.masks_topic) and told:
        raise BadInput(f"masks that were made before know no prompts: not in the setting {told[0]}, only in automatic")
    if args.sam2 and len(told) < len(plan.settings):
        raise BadInput("SAM 2.1 finds nothing by itself: give --setting box, 1click, 3clicks, interactive or mask")
    if args.images and FIRST_MASK in plan.settings:
        raise BadInput("--images with --setting mask would give the answer away: every frame is a first one")
    if args.efficiency and (args.predictions or args.masks_topic):
        raise BadInput("--efficiency measures a model; of masks that were made before nothing is known")
    if args.fail_under is not None and args.fail_part not in plan.parts:
        raise BadInput(
            f"--fail-under: {args.fail_part} was not scored; --fail-part names one of {', '.join(plan.parts)}"
        )
    if args.fail_under is not None and args.fail_part not in _parts_of(clips):
        raise BadInput(
            f"--fail-under: {args.input} has no true masks of {args.fail_part}, so there is no J&F to judge; name some with "
            "--truth-topic or --truth"
        )
    if args.write_bag is not None and not is_bag(args.input):
        raise BadInput(f"--write-bag: {args.input} is no bag")
    if args.write_bag is not None and args.write_bag.exists():
        raise BadInput(f"--write-bag: {args.write_bag} exists already; a bag is only written to a new folder")
    if args.against is not None:
        _refuse_other_run(args.against, plan, clips)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"-o {args.output}: cannot be used as a folder: {error.strerror}") from error


def _refuse_other_run(folder: Path, plan: Plan, clips: Sequence[Clip]) -> None:
    """Raises BadInput for a run that has nothing to stand beside this one."""
    if not (folder / "scores.json").is_file():
        raise BadInput(f"--against {folder}: no run is there (scores.json is missing)")
    there = sorted(path.relative_to(folder / "clips").with_suffix("") for path in folder.glob("clips/*/*.json"))
    wanted = {(setting.name, clip.name) for setting in plan.settings for clip in clips}
    if not wanted & {(path.parent.name, path.name) for path in there}:
        listed = ", ".join(map(str, there[:5])) + (", …" if len(there) > 5 else "")
        raise BadInput(
            f"--against {folder}: that run has no clip of this one in the same setting; it has (setting/clip): {listed}"
        )


def _clips(args: argparse.Namespace) -> list[Clip]:
    """The clips of the input: a bag's one, a dataset's, or a single one."""
    import numpy as np

    from ..dataset.bags import is_bag
    from ..dataset.collection import list_dataset
    from ..dataset.folders import list_clips
    from ..dataset.opening import open_clip
    from ..dataset.truth import TruthClip

    path = args.input
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; INPUT is a dataset, frames, a video or a ROS 2 bag")
    if is_bag(path):
        bag = _bag_clip(args)
        return [TruthClip(bag, args.truth) if args.truth is not None else bag]
    if args.truth_topic or args.masks_topic or args.truth_bag or args.topic:
        raise BadInput(f"{path}: is no bag, so it has no topics")
    if not path.is_dir() or not list_clips(path):
        clip = open_clip(path, on_bad="skip")
        return [TruthClip(clip, args.truth) if args.truth is not None else clip]
    if args.truth is not None:
        raise BadInput(f"{path}: is a dataset, which holds its true masks; --truth goes with a bag or a video")
    clips: list[Clip] = list(list_dataset(path).clips)
    if args.limit is not None and len(clips) > args.limit:
        clips = [clips[int(place)] for place in np.linspace(0, len(clips) - 1, args.limit)]
    return clips


def _bag_clip(args: argparse.Namespace) -> BagClip:
    """Images with their true masks: of the input, or with --truth-bag of the bag that was played."""
    from ..dataset.bags import BagClip

    if args.truth is not None and args.truth_topic:
        raise BadInput("--truth and --truth-topic exclude each other")
    return BagClip(args.truth_bag or args.input, args.topic, truth=dict(args.truth_topic or []), on_bad="skip")


def _parts_of(clips: Sequence[Clip]) -> set[str]:
    """Parts that have true masks somewhere."""
    return {part for clip in clips for part in getattr(clip, "parts", getattr(clip, "truth", ()))}


def _source(args: argparse.Namespace) -> Source:
    from ..evaluation.sources import ModelSource, PredictionSource, RecordedSource, Sam2Source

    if args.masks_topic:
        return RecordedSource(args.input, tuple(args.masks_topic))
    if args.predictions is not None:
        return PredictionSource(args.predictions)
    if args.sam2 is not None:
        return Sam2Source(args.sam2)
    return ModelSource(args.model, args.checkpoint, args.adapter, args.precision)


def _facts(args: argparse.Namespace, plan: Plan, results: Sequence[ClipResult]) -> dict[str, Any]:
    from ..evaluation.report import machine

    return {
        "source": plan.source.name,
        "source_key": plan.source.key(""),
        "input": str(args.input),
        "settings": [str(setting) for setting in plan.settings],
        "protocol": "image" if args.images else "video",
        "unreadable_frames": sum(result.skipped for result in results),
        **machine(),
    }


def _efficiency(args: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    from ..evaluation.efficiency import Efficiency, efficiency
    from ..evaluation.sources import ModelSource, Sam2Source
    from ..evaluation.table import text_table

    assert isinstance(plan.source, (ModelSource, Sam2Source))  # others were refused
    cost = efficiency(plan.source, args.device, plan.parts)
    print(text_table(Efficiency.HEADER, [cost.cells()]))
    return cost.as_dict()


def _report(
    args: argparse.Namespace, results: Sequence[ClipResult], rows: Sequence[PartSummary], facts: dict[str, Any]
) -> None:
    from ..evaluation.report import write_report

    try:
        path = write_report(args.output, results, rows, facts, args.against)
    except ImportError as error:
        print(f"no report.html: {error}; pip install 'robotseg_ros[report]'")
    else:
        print(path)


def _verdict(args: argparse.Namespace, rows: Sequence[PartSummary]) -> int:
    if args.fail_under is None:
        return 0
    worst = [row for row in rows if row.part == args.fail_part and not row.j_and_f >= args.fail_under]
    for row in worst:
        print(f"J&F of {row.part}, {row.setting}: {row.j_and_f:.4f} is under {args.fail_under}")
    return UNDER if worst else 0


def _write_bag(args: argparse.Namespace, plan: Plan) -> None:
    from ..evaluation.masked_bag import write_masked_bag

    clip = _bag_clip(args)
    stream = plan.source.open(args.device)(clip.name, plan.parts)
    print(write_masked_bag(clip, stream, plan.parts, args.write_bag))


def _named_topic(text: str) -> tuple[str, str]:
    part, separator, topic = text.partition("=")
    if not separator:
        part, topic = "robot", text
    if part not in PARTS or not topic:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=TOPIC with a part of {', '.join(PARTS)}")
    return part, topic
