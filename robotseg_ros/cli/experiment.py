"""Measures what a part of the model, a loss or a prompt is worth, on rendered clips: a table and a plot for each question.

Needs the splits that `robotseg render` makes. Runs that train are kept, and not repeated when the command is called again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which experiment, on what, with which network."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments to run; none: list them")
    parser.add_argument("--clips", type=Path, default=Path(".data/clips"), help="folder of the splits (%(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many clips of a split, or episodes")
    parser.add_argument("--processes", type=int, default=1, help="of closed-loop (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/experiments"), help="default: %(default)s")
    parser.add_argument("--model", default="robotseg_nano", help="default: %(default)s")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights instead of those the model names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    trained = parser.add_argument_group("experiments that train")
    trained.add_argument("--config", type=Path, default=Path("config/training/experiment.yaml"))
    trained.add_argument("--start", type=Path, metavar="FILE", help="checkpoint that each short run starts from")
    trained.add_argument("--steps", type=int, default=200, help="of each short run (default: %(default)s)")
    trained.add_argument("--seeds", type=int, default=3, help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Runs the experiments one after the other, printing each table."""
    from ..experiments.catalog import EXPERIMENTS, TRAINED, Context
    from ..experiments.report import markdown, write
    from ..experiments.trained import ShortRuns
    from ..model import load_model
    from ..runtime import select_device

    if not args.names:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:16} {(experiment.__doc__ or '').splitlines()[0]}")
        return 0
    unknown = [name for name in args.names if name not in EXPERIMENTS]
    if unknown:
        raise BadInput(f"no experiment {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    if args.start is None and any(name in TRAINED for name in args.names):
        raise BadInput(f"{', '.join(TRAINED)} train networks: --start names the checkpoint that they start from")
    if args.start is not None and not args.start.is_file():
        raise BadInput(f"--start {args.start}: no such file")
    try:
        network = load_model(args.model, args.checkpoint, select_device(args.device))
        runs = ShortRuns(args.config, args.start or Path(), args.steps, args.seeds, args.output / "runs")
        context = Context(network, args.clips, args.limit, runs, args.output, args.processes)
        for name in args.names:
            outcome = EXPERIMENTS[name](context)
            files = write(outcome, args.output / name)
            print(f"\n{outcome.title}\n\n{markdown(outcome)}\n\n{', '.join(map(str, files))}", flush=True)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return 0
