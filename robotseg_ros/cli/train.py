"""Train a model as a YAML file says (see config/training/): losses, validation pictures and weights go to its output folder.

An interrupted run (Ctrl-C, SIGTERM, a kill) goes on with --resume.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from .errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration file and whether to go on from the output folder's state."""
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml", help="training settings")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the state in the output folder, if there is one"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="instead of the configuration's output folder")
    parser.add_argument("--minutes", type=float, help="wall-clock budget, instead of the configuration's schedule")


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when the schedule ended, 1 when it was stopped before."""
    from dataclasses import replace

    from ..runtime import DeviceError, select_device
    from ..training.settings import read_settings
    from ..training.trainer import Trainer, TrainingError

    logging.getLogger("robotseg_ros.training").setLevel(logging.INFO)
    try:
        settings = read_settings(args.config)
        if args.output is not None:
            settings = replace(settings, output=str(args.output))
        if args.minutes is not None:
            settings = replace(settings, schedule=replace(settings.schedule, max_minutes=args.minutes, steps=None))
        select_device(settings.compute.device)
        trainer = Trainer(settings, args.resume)
    # ValueError: settings, checkpoints and clips that cannot be used; FileNotFoundError: no DINOv3 where it should be
    except (ValueError, FileNotFoundError, DeviceError, TrainingError) as error:
        raise BadInput(str(error)) from error
    try:
        return 0 if trainer.run().finished else 1
    except TrainingError as error:
        raise BadInput(str(error)) from error
