"""The experiments by name. Each asks one question and answers it with a table and a plot."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..dataset.clip import Frame
from ..evaluation.protocol import SETTINGS, Segmenter
from ..model import RobotSeg
from . import depth, variants
from .measure import Measured, NamedClip, measure, plain_stream, read_clips
from .report import Outcome, over_runs, part_rows, seed_rows
from .streams import WrongFirstMask, covered, to_and_fro
from .trained import LOSSES, ShortRuns

LONG, COVERED_FROM, COVERED_FOR = 60, 15, 15
STRUCTURE: dict[str, variants.Variant] = {
    "SEMA": variants.unchanged,
    "edges off": variants.without_edges,
    "structure off": variants.without_structure,
}


@dataclass(frozen=True)
class Context:
    """What an experiment works with. clips: the folder of rendered splits (`seen`, `val`, `heldout`, `hard`); output: where
    each experiment has a folder."""

    network: RobotSeg
    clips: Path
    limit: int | None
    runs: ShortRuns
    output: Path = Path("out/experiments")
    processes: int = 1

    def split(self, name: str) -> list[NamedClip]:
        """Clips of a split. Raises ValueError where it was not rendered."""
        return read_clips(self.clips / name, self.limit)

    @cached_property
    def seen(self) -> list[NamedClip]:
        """The training embodiments in scenes that were not trained on."""
        return self.split("seen")


def structure(context: Context) -> Outcome:
    """What SEMA's edges and structure branch are worth: taken away after training, and trained without.

    A network that has no structure branch gets one first: short runs with and without it, from the same start.
    """
    title = "SEMA's edges and structure branch, taken away after training"
    if context.network.memory_attention.has_open_gates:
        return _varied(context, STRUCTURE, title)
    if not context.runs.checkpoint.is_file():
        raise ValueError(
            "the network has no structure branch that could be taken away (its strength is zero): --start FILE --steps N"
            " trains one from this checkpoint first, or --model and --checkpoint name a network that has one"
        )
    groups: dict[str, list[Measured]] = {}
    for seed in range(1, context.runs.seeds + 1):
        for measured in _structure_run(context, seed):
            groups.setdefault(measured.label, []).append(measured)
    return _titled(seed_rows(groups), f"{title}: {context.runs.steps} steps from the same start")


def _structure_run(context: Context, seed: int) -> list[Measured]:
    """One seed's networks, trained with a structure branch, with one that its loss does not teach, and without: as they
    are, and with parts taken away."""

    def trained(label: str, losses: str, structure: bool) -> RobotSeg:
        return context.runs.train(copy.deepcopy(context.network), label, seed, LOSSES[losses], structure)

    taught = trained("with structure", "all losses", True)
    untaught = trained("structure without its loss", "no structure", True)
    without = trained("all losses", "all losses", False)
    conditions = {label: change(taught) for label, change in STRUCTURE.items()}
    conditions["its loss left out"] = untaught
    conditions["its loss left out, structure off"] = variants.without_structure(untaught)
    conditions["trained without it"] = without
    return [measure(label, network, context.seen) for label, network in conditions.items()]


def object_tokens(context: Context) -> Outcome:
    """What the RPG's object tokens and the class tokens are worth to the trained network."""
    changes: dict[str, variants.Variant] = {
        "class + object": variants.unchanged,
        "noise for objects": variants.noise_for_objects,
        "class alone": variants.class_token_alone,
        "objects alone": variants.object_tokens_alone,
    }
    return _varied(context, changes, "The prompts of RPG, replaced after training")


def _varied(context: Context, changes: dict[str, variants.Variant], title: str) -> Outcome:
    measured = [measure(label, change(context.network), context.seen) for label, change in changes.items()]
    return _titled(part_rows(measured), title)


def prompts(context: Context) -> Outcome:
    """Generated prompts against clicks and boxes from the ground truth."""
    measured = [measure(name, context.network, context.seen, setting) for name, setting in SETTINGS.items()]
    return _titled(part_rows(measured), "Generated prompts against clicks and boxes from the ground truth")


def embodiments(context: Context) -> Outcome:
    """Robots that were trained on, and robots that never were."""
    measured = [measure(split, context.network, context.split(split)) for split in ("seen", "val", "heldout", "hard")]
    return _titled(part_rows(measured), "Embodiments: trained on (seen), never trained on (val, heldout, hard)")


def corrupted_mask(context: Context) -> Outcome:
    """How a damaged first mask lives on in memory: J of the robot by frame, over long clips."""

    def wrong(network: RobotSeg, frames: Sequence[Frame]) -> Segmenter:
        return WrongFirstMask(plain_stream(network, frames), frames[0], shift=0.1)

    measured = [
        measure("automatic", context.network, context.seen, change=_long),
        measure("damaged first mask", context.network, context.seen, make=wrong, change=_long),
    ]
    return _by_frame(_single_runs(measured), "A first mask that is moved by a tenth of the frame and half cut away")


def occlusion(context: Context) -> Outcome:
    """Whether the masks come back after frames in which nothing can be seen."""

    def hidden(frames: Sequence[Frame]) -> list[Frame]:
        return covered(_long(frames), COVERED_FROM, COVERED_FOR)

    measured = [
        measure("undisturbed", context.network, context.seen, change=_long),
        measure(f"nothing to see for {COVERED_FOR} frames", context.network, context.seen, change=hidden),
    ]
    return _by_frame(_single_runs(measured), f"{COVERED_FOR} frames without a view, from frame {COVERED_FROM} on")


def losses(context: Context) -> Outcome:
    """First-frame supervision with and without each of LET's losses: short runs from the same start, several seeds."""
    groups = _trained(context, LOSSES, _same)
    return _titled(seed_rows(groups), f"LET's losses left out: {context.runs.steps} steps from the same start")


def drift(context: Context) -> Outcome:
    """Drift over long clips, of networks trained with and without the cycle loss."""
    conditions = {label: LOSSES[label] for label in ("all losses", "no cycle")}
    return _by_frame(_trained(context, conditions, _long), f"Drift over {LONG} frames with and without the cycle loss")


def depth_cue(context: Context) -> Outcome:
    """What refining masks by aligned depth gains and costs: fixed and moving cameras, a stereo camera's depth and true."""
    clips = depth.read_depth_clips(context.clips / "depth", context.limit)
    groups = depth.masked_groups(context.network, clips, LONG)
    return depth.outcome({label: depth.measured_group(group) for label, group in groups.items()})


def closed_loop(context: Context) -> Outcome:
    """Whether a robot reaches a ball with true masks, predicted masks and none: episodes in rendered worlds."""
    from ..dataset.rendering.assets import MissingAssets
    from . import closed_loop as loop

    folder = context.output / "closed-loop"
    try:
        count = loop.EPISODES if context.limit is None else context.limit
        results = loop.episodes(context.network, folder, count, context.processes)
    except MissingAssets as error:
        raise ValueError(str(error)) from error
    loop.plot_distances(results, folder / "distance.png")
    return loop.outcome(results)


def _trained(
    context: Context, conditions: dict[str, dict[str, float]], change: Callable[[Sequence[Frame]], list[Frame]]
) -> dict[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for seed in range(1, context.runs.seeds + 1):
        for label, changed in conditions.items():
            network = context.runs.train(copy.deepcopy(context.network), label, seed, changed)
            groups.setdefault(label, []).append(measure(f"{label} {seed}", network, context.seen, change=change))
    return groups


def _same(frames: Sequence[Frame]) -> list[Frame]:
    return list(frames)


def _long(frames: Sequence[Frame]) -> list[Frame]:
    return to_and_fro(frames, LONG)


def _single_runs(measured: list[Measured]) -> dict[str, list[Measured]]:
    return {entry.label: [entry] for entry in measured}


def _by_frame(groups: dict[str, list[Measured]], title: str) -> Outcome:
    """J of the robot at the beginning, in the middle and at the end, over runs, and by frame in the plot."""
    by_run = {label: np.array([run.j_by_frame("robot") for run in runs]) for label, runs in groups.items()}
    places = [1, COVERED_FROM - 1, COVERED_FROM + COVERED_FOR, COVERED_FROM + COVERED_FOR + 5, LONG - 1]
    rows = [[label, *(over_runs(100 * values[:, place]) for place in places)] for label, values in by_run.items()]
    curves = {label: values.mean(0) for label, values in by_run.items()}
    return Outcome(title, ["J of the robot, percent", *(f"frame {place}" for place in places)], rows, curves)


def _titled(outcome: Outcome, title: str) -> Outcome:
    outcome.title = title
    return outcome


EXPERIMENTS: dict[str, Callable[[Context], Outcome]] = {
    "structure": structure,
    "object-tokens": object_tokens,
    "prompts": prompts,
    "embodiments": embodiments,
    "corrupted-mask": corrupted_mask,
    "occlusion": occlusion,
    "losses": losses,
    "drift": drift,
    "depth-cue": depth_cue,
    "closed-loop": closed_loop,
}
TRAINED = ("losses", "drift")
"""Those that always train networks first, and take long; `structure` does where the network has no structure branch."""
