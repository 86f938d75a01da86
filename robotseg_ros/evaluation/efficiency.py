"""What a model costs: parameters, floating-point operations, milliseconds and memory, in steady state."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .sources import ModelSource, Sam2Source
from .timing import Latency

WARM_UP = 18  # frames until memories are full: 7 of them, and 16 object pointers, in SAM 2 as here


@dataclass(frozen=True)
class Efficiency:
    """Per frame in steady state. gflops: 10^9 operations, a multiply-add being two, of all convolutions, matrix products and
    attentions; peak_mb: of the GPU, or on a CPU of the whole process."""

    parameters: int
    gflops: float
    median_ms: float
    p95_ms: float
    peak_mb: float
    device: str
    parts: int

    HEADER: ClassVar = ("parameters", "GFLOPs a frame", "ms median", "ms p95", "peak memory", "parts", "device")

    def as_dict(self) -> dict[str, float | int | str]:
        """For files."""
        return asdict(self)

    def cells(self) -> list[str]:
        """What HEADER names."""
        costs = [f"{self.parameters / 1e6:.1f} M", f"{self.gflops:.1f}", f"{self.median_ms:.1f}", f"{self.p95_ms:.1f}"]
        return [*costs, f"{self.peak_mb:.0f} MB", str(self.parts), self.device]


def efficiency(
    source: ModelSource | Sam2Source,
    device: str,
    parts: Sequence[str],
    frames: int = 30,
    size: tuple[int, int] = (480, 640),
) -> Efficiency:
    """Streams noise of `size` (height, width) through a model until its memories are full, then measures some frames.

    Raises ValueError for a model or device that is not there.
    """
    network = source.load(device)
    stream = source.stream(network, parts)
    place = next(network.parameters()).device
    height, width = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if source.needs_prompt:
        for part in parts:
            stream.prompt(part, box=(width / 4, height / 4, width / 2, height / 2))
    for _ in range(WARM_UP):
        stream.step(picture)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    times = []
    for _ in range(frames):
        began = time.perf_counter()
        stream.step(picture)
        times.append(1e3 * (time.perf_counter() - began))
    spent = Latency.of(times)
    return Efficiency(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=operations(lambda: stream.step(picture)) / 1e9,
        median_ms=spent.median,
        p95_ms=spent.p95,
        peak_mb=_peak_bytes(place) / 1e6,
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU",
        parts=len(parts),
    )


def operations(call: Callable[[], object]) -> int:
    """Floating-point operations of a call. Attention is written out as matrix products: so it counts on every device."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
