"""Summaries of measured times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Latency:
    """Milliseconds over a run; nan where nothing was measured."""

    count: int
    median: float
    p95: float
    worst: float

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> Latency:
        """Summary of measured values; nan among them (time not known) is left out."""
        values = np.array([value for value in milliseconds if not np.isnan(value)], float)
        if values.size == 0:
            return cls(0, *[float("nan")] * 3)
        median, p95 = np.percentile(values, [50, 95])
        return cls(values.size, float(median), float(p95), float(values.max()))
