"""Experiments that train: the same short run with one of the losses left out, over several seeds."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..model import RobotSeg, load_checkpoint, preset
from ..training.settings import LossSettings, TrainSettings, read_settings
from ..training.trainer import Trainer

log = logging.getLogger(__name__)

LOSSES: dict[str, dict[str, float]] = {
    "all losses": {},
    "no cycle": {"cycle": 0.0},
    "no semantic": {"semantic": 0.0},
    "no patch": {"patch": 0.0},
    "no structure": {"structure": 0.0},
    "first frame alone": {"cycle": 0.0, "semantic": 0.0, "patch": 0.0, "structure": 0.0},
}
"""Conditions of the experiment `losses`: what each sets to zero."""


@dataclass(frozen=True)
class ShortRuns:
    """How the networks of an experiment are trained: a configuration, its start, and how long."""

    config: Path
    checkpoint: Path
    steps: int
    seeds: int
    folder: Path

    def settings(self, label: str, seed: int, losses: dict[str, float], structure: bool = False) -> TrainSettings:
        """The configuration with these losses, for so many steps, into a folder of its own. structure: SEMA's structure
        branches begin anew; else they are as they are in the start."""
        base = read_settings(self.config)
        schedule = replace(base.schedule, max_minutes=None, steps=self.steps, epoch_steps=self.steps, val_clips=0)
        return replace(
            base,
            initial_checkpoint=str(self.checkpoint),
            output=str(self.folder / f"{label.replace(' ', '_')}_{seed}"),
            seed=seed,
            structure=base.structure or structure,
            anew=(*base.anew, *(_structure_names(base.model) if structure else ())),
            schedule=schedule,
            losses=_with(base.losses, losses),
        )

    def train(
        self, network: RobotSeg, label: str, seed: int, losses: dict[str, float], structure: bool = False
    ) -> RobotSeg:
        """`network` with the weights of the run; a finished run is not repeated, a begun one goes on, and one with other
        settings or another start begins anew."""
        settings = self.settings(label, seed, losses, structure)
        output = Path(settings.output)
        done, made_with = output / "finished", output / "made_with.json"
        wanted = json.dumps(asdict(settings) | {"start": hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()})
        if not made_with.exists() or made_with.read_text() != wanted:
            shutil.rmtree(output, ignore_errors=True)
            output.mkdir(parents=True)
            made_with.write_text(wanted)
        if not done.exists():
            log.info("training %s, seed %d: %d steps in %s", label, seed, self.steps, output)
            if Trainer(settings, resume=(output / "state.pt").exists()).run().finished:
                done.touch()
            else:
                raise KeyboardInterrupt
        load_checkpoint(network, output / "weights.safetensors")
        return network


def _structure_names(model: str) -> tuple[str, ...]:
    """Prefixes of the names of all that belongs to SEMA's structure branches."""
    layers = range(preset(model).attention_layers)
    return tuple(
        f"memory_attention.layers.{i}.{part}" for i in layers for part in ("structure_", "cross_attn_structure.")
    )


def _with(losses: LossSettings, changed: dict[str, float]) -> LossSettings:
    return replace(losses, **changed)
