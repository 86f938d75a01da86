"""Looks at this installation: Python, torch, device, models, ROS 2, DDS; segments a test image and sends large ones.

Every finding that is not in order says what to do. Exit code 1 when something required fails.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, device and whether ROS is required."""
    parser.add_argument("--model", default="robotseg_nano", help="model that must work (default: %(default)s)")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights instead of those the model names")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--ros", action="store_true", help="ROS 2 and the built messages are required too")
    parser.add_argument("--quick", action="store_true", help="leave out sending large images between two processes")


def run(args: argparse.Namespace) -> int:
    """Prints the findings; 1 when one failed."""
    from ..installation import examine

    failed = 0
    for finding in examine(args.model, args.device, args.ros, args.checkpoint, transport=not args.quick):
        failed += finding.status == "fail"
        mark = "FAIL" if finding.status == "fail" else finding.status
        print(f"{mark:<5} {finding.name}: {finding.detail}", flush=True)
        if finding.advice:
            print(f"      -> {finding.advice}", flush=True)
    print(f"{failed} required things do not work" if failed else "all required things work")
    return 1 if failed else 0
