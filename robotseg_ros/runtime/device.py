"""Chooses the device a network runs on."""

from __future__ import annotations

import torch


class DeviceError(ValueError):
    """A device that is not there; the message says which there are."""


def select_device(name: str = "auto") -> torch.device:
    """The device called `name`: `auto` (CUDA where there is any, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(f"cuda:{i}" for i in range(count))]
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in there:
        hint = "" if count else "; torch sees no CUDA device (is the CUDA build of torch installed, and the driver?)"
        raise DeviceError(f"device {name!r} is not there; devices are auto, {', '.join(there)}{hint}")
    return torch.device(wanted)
