"""What a model costs: parameters, floating-point operations, milliseconds and memory, in steady state."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..model import RobotSeg
from ..streaming import StreamSegmenter
from .timing import Latency


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

    def as_dict(self) -> dict[str, float | int | str]:
        """For reports."""
        return asdict(self)


def efficiency(
    network: RobotSeg, parts: tuple[str, ...], frames: int = 30, size: tuple[int, int] = (480, 640)
) -> Efficiency:
    """Streams noise of `size` (height, width) through a network until its memories are full, then measures some frames."""
    device = network.position.device
    stream = StreamSegmenter(network, parts=parts, fill_hole_area=network.config.fill_hole_area)
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for _ in range(max(network.config.num_maskmem, stream.max_pointers) + 2):
        stream.step(picture)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(frames):
        began = time.perf_counter()
        stream.step(picture)
        times.append(1e3 * (time.perf_counter() - began))
    # Written out as matrix products, attention is counted on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        stream.step(picture)
    spent = Latency.of(times)
    return Efficiency(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=counter.get_total_flops() / 1e9,
        median_ms=spent.median,
        p95_ms=spent.p95,
        peak_mb=_peak_bytes(device) / 1e6,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        parts=len(parts),
    )


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
