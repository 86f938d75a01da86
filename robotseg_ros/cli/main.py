"""The `robotseg` command: finds the sub-command in a table, imports only that one, gives an exit code.

A sub-command is a module with `add_arguments(parser)` and `run(args) -> int`; it imports heavy packages
inside `run`. Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from robotseg_ros import __version__

from .errors import BadInput

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """A row of the command table: the module is imported only when its command is used."""

    module: str
    summary: str
    extra: str = ""

    @property
    def shipped(self) -> bool:
        """True when this installation has the module (it need not be importable)."""
        return importlib.util.find_spec(self.module) is not None


COMMANDS: dict[str, Command] = {
    "segment": Command("robotseg_ros.cli.segment", "masks and an overlay video of a video, image folder or bag"),
    "demo": Command("robotseg_ros.cli.demo", "replay a recorded bag through the ROS node and measure it"),
    "evaluate": Command("robotseg_ros.cli.evaluate", "score masks: accuracy, steadiness, speed; with a report"),
    "label": Command(
        "robotseg_ros.cli.label", "masks for large collections, on many machines; LeRobot datasets", "ray"
    ),
    "render": Command("robotseg_ros.cli.render", "render clips of robots with true masks", "render"),
    "train": Command("robotseg_ros.cli.train", "train a model", "train"),
    "experiment": Command("robotseg_ros.cli.experiment", "what a part, a loss or a prompt is worth", "train"),
    "doctor": Command("robotseg_ros.cli.doctor", "what is installed here, what works and what to do"),
}


def _parser(chosen: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    """Parser with all shipped commands, of which only `chosen` has its arguments."""
    parser = argparse.ArgumentParser(
        prog="robotseg",
        description="Segments robots, their arms and their grippers in images, videos and camera streams.",
        epilog="robotseg COMMAND --help explains one. Exit codes: 0 done, 1 failed, 2 wrong usage or input.",
    )
    parser.add_argument("--version", action="version", version=f"robotseg {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if command.shipped:
            described = module.__doc__ if module is not None and name == chosen else None
            sub = commands.add_parser(
                name,
                help=command.summary,
                description=described or command.summary,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            if module is not None and name == chosen:
                module.add_arguments(sub)
    return parser


def _chosen(argv: Sequence[str]) -> str | None:
    """The command named in the arguments, if it is one of ours."""
    named = next((word for word in argv if not word.startswith("-")), None)
    return named if named in COMMANDS and COMMANDS[named].shipped else None


def _missing(command: str, error: ImportError) -> str:
    extra = COMMANDS[command].extra
    what = f"pip install 'robotseg_ros[{extra}]'" if extra else f"pip install {error.name or 'the missing package'}"
    return f"robotseg {command}: needs a package that does not import here: {error}. Try: {what}"


def _ended(command: str, error: BaseException, debug: bool) -> int:
    """Prints how a command ended and gives the exit code for it."""
    if debug and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        print(f"robotseg {command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, BadInput):
        print(f"robotseg {command}: {error}", file=sys.stderr)
        return BAD_INPUT
    if isinstance(error, ImportError):
        print(_missing(command, error), file=sys.stderr)
        return FAILED
    hint = "" if debug else " (robotseg --debug shows the traceback)"
    print(f"robotseg {command}: failed: {type(error).__name__}: {error}{hint}", file=sys.stderr)
    return FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; argparse's own exits (--help, usage) raise SystemExit."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    chosen = _chosen(argv)
    debug = "--debug" in argv
    try:
        module = importlib.import_module(COMMANDS[chosen].module) if chosen else None
    except ImportError as error:
        return _ended(chosen or "", error, debug)
    args = _parser(chosen, module).parse_args(argv)
    assert module is not None  # argparse refused every name that is no command
    try:
        return int(module.run(args) or OK)
    except (Exception, KeyboardInterrupt) as error:
        return _ended(args.command, error, args.debug)


if __name__ == "__main__":
    sys.exit(main())
