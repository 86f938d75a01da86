"""What one batch is to teach: runs the network over it and gives the weighted loss terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..model.config import PARTS
from ..model.network import ImageFeatures, Prompt, RobotSeg, StepOutput
from .dense_head import dense_loss
from .losses import Targets, frame_loss, make_targets
from .prompts import perturbed, sample_prompt
from .rollout import encode, first_frame, stream, with_mask
from .samples import Batch, part_masks
from .settings import TrainSettings

LONGEST_AGE = 300  # frames; how far back a "long ago" first frame is made to look


@dataclass(frozen=True)
class Objective:
    """The losses of a run; `dense_head` is trained beside the network and thrown away."""

    settings: TrainSettings
    dense_head: nn.Module

    def terms(self, network: RobotSeg, batch: Batch) -> dict[str, Tensor]:
        """Loss terms (scalars, weighted) of a batch; their sum is what is minimised."""
        weights = self.settings.losses
        masks = part_masks(batch.labels.transpose(0, 1).flatten(0, 1))  # (U * K, 3, S, S), frame-major
        clips = batch.images.shape[0]
        config = network.config
        token_side = config.grid if batch.video and weights.structure > 0 else None
        targets = make_targets(masks.flatten(0, 1)[:, None], config.low_res, token_side)
        frames = [targets.rows(u * clips * len(PARTS), clips * len(PARTS)) for u in range(batch.images.shape[1])]
        rng = np.random.default_rng((self.settings.seed, batch.step, 1))
        prompt = sample_prompt(rng, self.settings.prompts, masks[:clips].flatten(0, 1)[:, None], batch.video)
        encoded = encode(network, batch.images.transpose(0, 1).flatten(0, 1), self.settings.compute.bf16)
        if batch.video:
            outputs = self._stream(rng, network, encoded, batch, frames[0], prompt)
        else:
            outputs = [first_frame(network, encoded, prompt)]
        order = batch.order
        if prompt is not None and prompt.mask is not None:  # its own answer: nothing to learn on that frame
            outputs, order = outputs[1:], order[1:]
        terms = self._mean_terms(outputs, [frames[index] for index in order])
        if weights.dense > 0:
            low = targets.low[:, 0].unflatten(0, (-1, len(PARTS)))
            terms["dense"] = weights.dense * dense_loss(self.dense_head(encoded), low, weights)
        return terms

    def _stream(
        self,
        rng: np.random.Generator,
        network: RobotSeg,
        encoded: ImageFeatures,
        batch: Batch,
        first: Targets,
        prompt: Prompt | None,
    ) -> list[StepOutput]:
        chances, clips = self.settings.prompts, batch.images.shape[0]
        corrupt, long_ago = None, None
        if rng.random() < chances.corrupt_memory:
            wrong = perturbed(rng, first.low)

            def corrupt(output: StepOutput) -> StepOutput:
                return with_mask(output, wrong)

        if rng.random() < chances.long_stream:
            ages = np.exp(rng.uniform(0, np.log(LONGEST_AGE), clips)).round()
            long_ago = torch.from_numpy(ages).to(encoded.tokens).repeat_interleave(len(PARTS))
        return stream(network, encoded, batch.order, prompt, corrupt, long_ago)

    def _mean_terms(self, outputs: list[StepOutput], targets: list[Targets]) -> dict[str, Tensor]:
        terms: dict[str, list[Tensor]] = {}
        for output, target in zip(outputs, targets, strict=True):
            frame = frame_loss(
                output.all_logits,
                output.ious,
                output.object_score,
                output.structure,
                target,
                self.settings.losses,
            )
            for name, value in frame.items():
                terms.setdefault(name, []).append(value)
        return {name: torch.stack(values).mean() for name, values in terms.items()}
