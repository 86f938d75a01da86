"""The training run: single frames first, then clips with memory; validated, checkpointed and resumable."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from safetensors import SafetensorError
from torch import nn

from ..model.adapter import add_adapter, save_adapter
from ..model.checkpoint import initialise_from, save_checkpoint
from ..model.config import preset
from ..model.network import RobotSeg
from .averaged import AveragedNetwork
from .checkpoints import load_state, save_state
from .clip_cache import ClipCache
from .curves import LOSS_FILES, draw_curves
from .dense_head import DenseHead
from .heap import keep_freed_memory
from .log_files import append_row, keep_rows
from .objective import Objective
from .optimiser import build_optimiser, freeze, set_rate
from .parallel import join_peers
from .pseudo_masks import dinov3_features
from .resized import resized
from .samples import Batch, BatchSource, Request, batch_loader
from .schedule import Schedule
from .settings import TrainSettings
from .validation import validate

log = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A run that cannot start or go on; the message says why."""


@dataclass
class Progress:
    """Where a run is: enough, with weights and optimiser, to go on exactly."""

    step: int = 0
    seconds: float = 0.0
    clip_count: int = 0
    best: float = 0.0
    finished: bool = False


def initial_network(settings: TrainSettings) -> RobotSeg:
    """A fresh network, or one that starts from a checkpoint, which may lack what SAM 2.1 does not have."""
    torch.manual_seed(settings.seed)
    network = RobotSeg(preset(settings.model))
    if settings.initial_checkpoint is not None:
        new = initialise_from(network, settings.initial_checkpoint, settings.anew)
        log.info("%s: %d tensors are not in it and start anew", settings.initial_checkpoint, len(new))
    if not settings.structure:
        network.memory_attention.close_gates()
    network.memory_attention.without_closed_gates()  # what has no strength is to get none
    if settings.adapter_rank is not None:
        add_adapter(network, settings.adapter_rank)
    return network


class Trainer:
    """One run in one folder: state, CSV log, validation sheets, weights."""

    def __init__(self, settings: TrainSettings, resume: bool = False) -> None:
        self.settings, self.output = settings, Path(settings.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.peers = join_peers(settings.compute.device)
        _refuse_uneven_shares(settings, self.peers.size)
        torch.set_num_threads(settings.compute.threads)
        keep_freed_memory()
        cv2.setNumThreads(1)
        self.device = torch.device(settings.compute.device)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TensorFloat-32, which convolutions have anyway
        self.network = initial_network(settings).to(self.device)
        self.dense_head = DenseHead(self.network.config).to(self.device)
        if settings.compute.channels_last:
            self.network.image_encoder.to(memory_format=torch.channels_last)
        optimiser = settings.optimiser
        self.modules = [self.network, self.dense_head]
        freeze(self.modules, optimiser)
        self.optimiser = build_optimiser(self.modules, optimiser)
        self.averaged = AveragedNetwork(self.network, optimiser.ema)
        features = dinov3_features(settings.patch_features) if settings.patch_features else None
        self.objective = Objective(settings, self.dense_head, features)
        self.schedule = Schedule(settings.schedule, optimiser)
        self.progress = Progress()
        self._sized: dict[int, RobotSeg] = {}
        self._asked_to_stop = self._stop = False  # a signal came; all processes know of one
        data = settings.data
        size = data.frame_width, data.frame_height
        self.train_clips = ClipCache(Path(data.cache, "train"), *size, data.labelled)
        self.val_clips = ClipCache(Path(data.cache, "val"), *size)
        self._begin(resume)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Trains until the schedule's end or a signal; what was learned is on disk when this returns."""
        before = {name: signal.signal(name, self._on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not self._stop and self._done() < 1.0:
                self._rescan()
                self._epoch()
                if not self._stop:
                    self._validate()
                self.progress.finished = self._done() >= 1.0
                self.save()
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)
        return self.progress

    def _epoch(self) -> None:
        source = BatchSource(self.train_clips, self.settings)
        saved = started = time.monotonic()
        before = self.progress.seconds
        for batch in batch_loader(source, self._requests(), self.settings.data.workers):
            terms = self.step(batch, before + time.monotonic() - started)
            self._log(batch, terms)
            if self._stop or self._done() >= 1.0:
                return
            ended = self.progress.step % self.settings.schedule.epoch_steps == 0  # saved once it is validated
            if not ended and time.monotonic() - saved > 60 * self.settings.schedule.checkpoint_minutes:
                self.save()
                saved = time.monotonic()

    def _requests(self) -> Iterator[Request]:
        """Steps up to the epoch's end; asked for a few batches ahead of the training."""
        length = self.settings.schedule.epoch_steps
        end = (self.progress.step // length + 1) * length
        if self.settings.schedule.steps is not None:
            end = min(end, self.settings.schedule.steps)
        peers, count = self.peers, self.progress.clip_count
        for step in range(self.progress.step, end):
            done = self.schedule.progress(step, self.progress.seconds)
            side = self.schedule.side(done, self.network.config.image_size)
            yield Request(step, self.schedule.is_video(step, done), side, count, peers.rank, peers.size)

    def _done(self) -> float:
        return self.schedule.progress(self.progress.step, self.progress.seconds)

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self, batch: Batch, seconds: float = 0.0) -> dict[str, float]:
        """Forward, backward and update on one batch, at `seconds` into the run; returns what is logged."""
        network = self._network_for(batch.images.shape[-2])
        network.train()
        # Clips hold few, alike frames: batch statistics come from the image steps.
        _set_batch_norms(network, training=not batch.video)
        torch.manual_seed(self.settings.seed * 1_000_003 + batch.step)
        rate = self.schedule.learning_rate(self.progress.step, self._done())
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.objective.terms(network, batch.to(self.device))
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        self.progress.seconds, self._stop = self.peers.average(self.modules, seconds, self._asked_to_stop)
        norm = self._update(rate)
        self.progress.step = batch.step + 1
        values = {name: float(value.detach()) for name, value in terms.items()}
        return {"loss": float(total.detach()), **values, "rate": rate, "norm": norm}

    def _update(self, rate: float) -> float:
        """One optimiser step unless the gradient is not finite; returns its norm."""
        parameters = [parameter for module in self.modules for parameter in module.parameters()]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.settings.optimiser.clip_norm))
        if norm < float("inf"):
            set_rate(self.optimiser, rate)
            self.optimiser.step()
        else:
            log.warning("step %d: gradient norm is %s, update left out", self.progress.step, norm)
        self.averaged.update(self.progress.step)
        return norm

    def _network_for(self, side: int) -> RobotSeg:
        if side not in self._sized:
            self._sized[side] = resized(self.network, side)
        return self._sized[side]

    # -- clips, validation, files ------------------------------------------------------------------------------------

    def _rescan(self) -> None:
        """Takes in clips that were rendered since; a resumed epoch keeps the clips it began with."""
        data, length = self.settings.data, self.settings.schedule.epoch_steps
        added = 0
        if self.peers.leads:
            added = self.train_clips.extend(Path(data.train))
            self.val_clips.extend(Path(data.val))
        count = self.peers.agree(len(self.train_clips))
        self.train_clips.reload()
        if count == 0:
            raise TrainingError(f"{data.train}: no complete clip (VRS: image/<clip>/, mask_gt/<clip>/000, 001, 002)")
        if self.progress.step % length == 0 or self.progress.clip_count == 0:
            self.progress.clip_count = count
        log.info("%d training clips (%d new), %d validation clips", count, added, len(self.val_clips))

    def _validate(self) -> None:
        count = min(len(self.val_clips), self.settings.schedule.val_clips)
        if count == 0 or not self.peers.leads:
            return
        began, step = time.monotonic(), self.progress.step
        # At the size trained on now: a network seen at another size than it knows looks worse than it is.
        network = resized(self.averaged.network, self.schedule.side(self._done(), self.network.config.image_size))
        score, sheet = validate(network.eval(), self.val_clips, count)
        row: dict[str, Any] = {"step": step, "minutes": round(self.progress.seconds / 60, 2)}
        row |= {part: round(value, 4) for part, value in score.parts.items()}
        row |= {f"{part}_f": round(value, 4) for part, value in score.boundaries.items()}
        append_row(self.output / "validation.csv", row)
        cv2.imwrite(str(self.output / f"validation_{step:06d}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        worst = ", ".join(f"{name} {value:.2f}" for name, value in sorted(score.clips.items(), key=lambda i: i[1])[:4])
        print(f"validation {row}; {time.monotonic() - began:.0f} s; worst: {worst}", flush=True)
        if score.parts["robot"] > self.progress.best:
            self.progress.best = score.parts["robot"]
            self._save_weights("best.safetensors")
        draw_curves(self.output)

    def _save_weights(self, name: str) -> None:
        """The moving average, or of an adapter's run the adapter alone."""
        network = self.averaged.network
        (save_checkpoint if network.adapter is None else save_adapter)(network, self.output / name)

    def save(self) -> None:
        """Weights (moving average) and the state to resume from. Raises OSError where they cannot be written."""
        if not self.peers.leads:
            return
        state = {
            "progress": asdict(self.progress),
            "network": self.network.state_dict(),
            "dense_head": self.dense_head.state_dict(),
            "averaged": self.averaged.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        try:
            self._save_weights("weights.safetensors")
            save_state(self.output, state)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk, in the words of three libraries
            raise OSError(
                f"{self.output}: step {self.progress.step} cannot be saved ({error}); what was saved before is whole: make "
                "room and go on with --resume"
            ) from error

    def _begin(self, resume: bool) -> None:
        try:
            state = load_state(self.output) if resume else None
        except ValueError as error:
            raise TrainingError(str(error)) from error
        if state is None:
            if not resume and (self.output / "state.pt").exists():
                raise TrainingError(f"{self.output}: holds a run already; resume it, or name another output folder")
            return
        try:
            self.progress = Progress(**state["progress"])
            self.network.load_state_dict(state["network"])
            self.dense_head.load_state_dict(state["dense_head"])
            self.averaged.network.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"{self.output}: its state is of a run with another model or other trained layers; resume it with the "
                f"configuration it began with, or name another output folder ({str(error).splitlines()[0]})"
            ) from error
        if self.peers.leads:
            for name in LOSS_FILES:  # what was logged after the state was saved comes again
                keep_rows(self.output / name, self.progress.step)
            keep_rows(self.output / "validation.csv", self.progress.step + 1)

    def _log(self, batch: Batch, terms: dict[str, float]) -> None:
        if not self.peers.leads:
            return
        kind = "video" if batch.video else "image"
        row: dict[str, Any] = {"step": batch.step, "minutes": round(self.progress.seconds / 60, 3)}
        append_row(self.output / f"{kind}_losses.csv", row | {name: round(value, 6) for name, value in terms.items()})
        if batch.step % 20 in (0, 1):
            shown = " ".join(f"{name} {value:.3g}" for name, value in terms.items())
            print(f"step {batch.step} {self.progress.seconds / 60:.1f} min {kind} {shown}", flush=True)

    def _on_signal(self, *_: object) -> None:
        self._asked_to_stop = True


def _refuse_uneven_shares(settings: TrainSettings, peers: int) -> None:
    schedule = settings.schedule
    used = {
        "image_batch": schedule.image_fraction > 0 or schedule.video_every > 1,
        "video_batch": schedule.image_fraction < 1,
    }
    for name in (name for name, needed in used.items() if needed and getattr(schedule, name) % peers):
        raise TrainingError(
            f"schedule.{name} {getattr(schedule, name)} cannot be shared by {peers} processes; give a multiple of {peers}"
        )


def _set_batch_norms(network: nn.Module, training: bool) -> None:
    """Statistics of what is frozen (an adapter's base, layers with a rate of zero) are not to move either."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(training and module.weight.requires_grad)
