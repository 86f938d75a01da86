"""Learning rate and phase of a run, by steps (exactly resumable) or by elapsed time (fits a wall-clock budget)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .settings import OptimiserSettings, ScheduleSettings


@dataclass(frozen=True)
class Schedule:
    """All functions of how far the run is, a `progress` between 0 and 1."""

    schedule: ScheduleSettings
    optimiser: OptimiserSettings

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the run that is done after `step` steps and `seconds` of training."""
        if self.schedule.steps is not None:
            return min(1.0, step / self.schedule.steps)
        assert self.schedule.max_minutes is not None
        return min(1.0, seconds / (60 * self.schedule.max_minutes))

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, then a cosine down to a fraction."""
        peak, floor = self.optimiser.learning_rate, self.optimiser.final_fraction
        warm = min(1.0, (step + 1) / max(1, self.schedule.warmup_steps))
        return peak * warm * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)

    def is_video(self, step: int, progress: float) -> bool:
        """True when the step is one on clips with memory; single frames go on in between."""
        return progress >= self.schedule.image_fraction and step % self.schedule.video_every == 0

    def side(self, progress: float, full: int) -> int:
        """Network input side: small pictures first, where a step costs least, the model's own `full` at the end."""
        reached = [side for start, side in self.schedule.sides if progress >= start]
        return reached[-1] if reached else full
