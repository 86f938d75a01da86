"""The network that the node runs, on its device and warmed up: `configure` makes it, `cleanup` frees it."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..model import RobotSeg, load_model, model_info
from ..model.adapter import load_adapter
from ..runtime import prepare, select_device
from ..streaming import StreamSegmenter, step_together
from .parameters import Settings

# The second frame is the first one that reads the memory.
WARM_UP_FRAMES = 3
WARM_UP_SIZE = (480, 640)


@dataclass
class LoadedModel:
    """A network ready for use, and what to say about it."""

    network: RobotSeg
    name: str
    device: torch.device
    adapter: str = ""
    load_s: float = 0.0
    frame_ms: float = 0.0  # of the last frame of the warm-up, alone

    def described(self) -> dict[str, str]:
        """For the diagnostics."""
        return {
            "model": self.name,
            "adapter": self.adapter,
            "device": str(self.device),
            "device_memory_mb": f"{_memory_mb(self.device):.0f}",
            "load_s": f"{self.load_s:.2f}",
            "warm_up_frame_ms": f"{self.frame_ms:.1f}",
        }

    def take_adapter(self, path: str) -> None:
        """Changes to another embodiment's adapter, or to none. Raises `CheckpointError` for one that does not fit."""
        load_adapter(self.network, path or None)
        self.adapter = path

    def new_stream(self, settings: Settings) -> StreamSegmenter:
        """A segmenter with its own memory on the shared network."""
        return StreamSegmenter(
            self.network,
            parts=settings.parts,
            mask_threshold=settings.mask_threshold,
            fill_hole_area=self.network.config.fill_hole_area,
            history=settings.prompt_history,
        )


def load(settings: Settings, cameras: int, wanted: Callable[[], bool]) -> LoadedModel:
    """Builds, places and warms up the network for so many cameras; leaves off once it is not `wanted` any more.

    Called in the thread that will use it: CUDA's handles and OpenMP's workers belong to a thread.
    Raises `ValueError` or `OSError` for settings that cannot be met.
    """
    started = time.monotonic()
    device = select_device(settings.device)
    network = load_model(settings.model, settings.checkpoint or None, device, settings.adapter or None)
    name = model_info(settings.model).name
    model = LoadedModel(prepare(network, settings.precision), name, device, settings.adapter)
    # A GPU chooses its kernels anew for every number of images; a CPU has nothing to choose.
    for together in range(cameras, 0, -1) if device.type == "cuda" else (1,):
        _warm_up(model, [model.new_stream(settings) for _ in range(together)], wanted)
    model.load_s = time.monotonic() - started
    return model


def _warm_up(model: LoadedModel, streams: list[StreamSegmenter], wanted: Callable[[], bool]) -> None:
    frames = [np.zeros((*WARM_UP_SIZE, 3), np.uint8)] * len(streams)
    for _ in range(WARM_UP_FRAMES):
        if not wanted():
            break
        before = time.monotonic()
        step_together(streams, frames, [0] * len(streams))
        model.frame_ms = (time.monotonic() - before) * 1e3


def _memory_mb(device: torch.device) -> float:
    """Of the GPU, what this process holds; on a CPU what of the machine's memory this process holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 1e6
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def release(device: torch.device) -> None:
    """Gives memory back that a model, of which no reference is left, held on `device`."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
