"""Says what machine a benchmark ran on: absolute times mean nothing without it."""

from __future__ import annotations

import os
import platform
from datetime import date

import torch


def describe(device: torch.device) -> str:
    """Processor or GPU, cores, load before the run, versions, the day."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    load = os.getloadavg()[0]
    return (
        f"{where}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, load {load:.1f} before the run; "
        f"Python {platform.python_version()}, torch {torch.__version__}; {date.today().isoformat()}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
