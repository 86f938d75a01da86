"""What one batch is to teach: runs the network over it and gives the weighted loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..model.config import PARTS
from ..model.network import ImageFeatures, Prompt, RobotSeg, StepOutput
from .dense_head import dense_loss
from .label_efficient import at_patches, masked_mean, patch_error, semantic_error
from .losses import Targets, frame_loss, make_targets
from .prompts import corrected, perturbed, sample_prompt
from .pseudo_masks import PatchFeatures, propagate
from .rollout import encode, first_frame, frames_of, refined, stream, with_mask
from .samples import Batch, part_masks
from .settings import TrainSettings

LONGEST_AGE = 300  # frames; how far back a "long ago" first frame is made to look


@dataclass
class Streamed:
    """A batch as the network saw it: outputs of the places of `order`, and of the first frame's attempts before its last."""

    outputs: list[StepOutput]
    order: tuple[int, ...]
    attempts: list[StepOutput] = field(default_factory=list)


@dataclass(frozen=True)
class Objective:
    """The losses of a run; `dense_head` is trained beside the network and thrown away."""

    settings: TrainSettings
    dense_head: nn.Module
    patch_features: PatchFeatures | None = None

    def terms(self, network: RobotSeg, batch: Batch) -> dict[str, Tensor]:
        """Loss terms (scalars, weighted) of a batch; their sum is what is minimised."""
        weights, config = self.settings.losses, network.config
        masks = part_masks(batch.labels.transpose(0, 1).flatten(0, 1))  # (L * K, 3, S, S), frame-major
        clips = batch.images.shape[0]
        token_side = config.grid if batch.video and weights.structure > 0 else None
        targets = make_targets(masks.flatten(0, 1)[:, None], config.low_res, token_side)
        encoded = encode(network, batch.images.transpose(0, 1).flatten(0, 1), self.settings.compute.bf16, batch.video)
        streamed = self._streamed(network, encoded, batch, masks[:clips].flatten(0, 1)[:, None], targets)
        labelled = [targets.rows(u * clips * len(PARTS), clips * len(PARTS)) for u in range(batch.labels.shape[1])]
        terms = self._labelled_terms(streamed, labelled)
        if len(labelled) < batch.images.shape[1]:
            terms |= self._unlabelled_terms(encoded, batch, streamed, masks[:clips])
        if weights.dense > 0:
            low = targets.low[:, 0].unflatten(0, (-1, len(PARTS)))
            known = frames_of(encoded, 0, len(low))  # frame-major: the labelled frames come first
            terms["dense"] = weights.dense * dense_loss(self.dense_head(known), low, weights)
        return terms

    def _streamed(
        self, network: RobotSeg, encoded: ImageFeatures, batch: Batch, masks: Tensor, targets: Targets
    ) -> Streamed:
        """Runs the batch from a sampled prompt; `masks` (K * 3, 1, S, S) are the first frame's."""
        rng = np.random.default_rng((self.settings.seed, batch.step, 1))
        prompt = sample_prompt(rng, self.settings.prompts, masks, batch.video)
        clips = batch.images.shape[0]
        if not batch.video:
            return Streamed([first_frame(network, encoded, prompt)], batch.order)
        attempts: list[StepOutput] = []
        if prompt is not None and prompt.points is not None:
            attempts = refined(
                network,
                frames_of(encoded, 0, clips),
                prompt,
                lambda output, given: corrected(rng, given, output.low_res_logits, masks),
                self.settings.prompts.corrections,
            )
        outputs = self._tracked(rng, network, encoded, batch, targets.low[: clips * len(PARTS)], prompt, attempts)
        if prompt is not None and prompt.mask is not None:  # its own answer: nothing to learn on that frame
            return Streamed(outputs[1:], batch.order[1:])
        return Streamed(outputs, batch.order, attempts[:-1])

    def _tracked(
        self,
        rng: np.random.Generator,
        network: RobotSeg,
        encoded: ImageFeatures,
        batch: Batch,
        first: Tensor,
        prompt: Prompt | None,
        attempts: Sequence[StepOutput],
    ) -> list[StepOutput]:
        chances, clips = self.settings.prompts, batch.images.shape[0]
        corrupt, long_ago = None, None
        if rng.random() < chances.corrupt_memory:
            wrong = perturbed(rng, first)

            def corrupt(output: StepOutput) -> StepOutput:
                return with_mask(output, wrong, network.no_obj_ptr)

        if rng.random() < chances.long_stream:
            ages = np.exp(rng.uniform(0, np.log(LONGEST_AGE), clips)).round()
            long_ago = torch.from_numpy(ages).to(encoded.tokens).repeat_interleave(len(PARTS))
        return stream(network, encoded, batch.order, prompt, corrupt, long_ago, attempts)

    def _labelled_terms(self, streamed: Streamed, targets: list[Targets]) -> dict[str, Tensor]:
        """Mean frame loss where the truth is known. A palindrome's end counts by the weight of the cycle loss, but for the
        structure loss, which has its own."""
        weights = self.settings.losses
        terms: dict[str, list[Tensor]] = {}
        again = len(streamed.order) - 1 if streamed.order[-1] == 0 and len(streamed.order) > 1 else None
        known = [(output, targets[0], 1.0) for output in streamed.attempts]
        for place, (output, index) in enumerate(zip(streamed.outputs, streamed.order, strict=True)):
            if index < len(targets):
                known.append((output, targets[index], weights.cycle if place == again else 1.0))
        for output, target, weight in known:
            for name, value in frame_loss(output, target, weights).items():
                terms.setdefault(name, []).append(value if name == "structure" else weight * value)
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _unlabelled_terms(
        self, encoded: ImageFeatures, batch: Batch, streamed: Streamed, masks: Tensor
    ) -> dict[str, Tensor]:
        """LET's semantic and patch losses on the frames without labels, for the parts that frame 0 shows.

        masks (K, 3, S, S): frame 0's true ones.
        """
        weights, clips, known = self.settings.losses, batch.images.shape[0], batch.labels.shape[1]
        tokens = encoded.tokens.detach().unflatten(0, (-1, clips)).transpose(0, 1)  # K U C h w
        side = tokens.shape[-1]
        first = nn.functional.adaptive_avg_pool2d(masks, side)
        pseudo = self._pseudo_masks(batch, tokens, first)
        features = tokens.repeat_interleave(len(PARTS), 0)  # (K * 3) U C h w
        reference = masked_mean(features[:, 0], first.flatten(0, 1)[:, None])
        seen = masks.amax((2, 3)).flatten()
        semantic, patch = [], []
        for output, index in zip(streamed.outputs, streamed.order, strict=True):
            if index < known:
                continue
            best = torch.arange(len(output.best), device=output.best.device), output.best
            predicted = at_patches(output.all_logits[best][:, None], side)
            semantic.append(semantic_error(features[:, index], predicted, reference))
            patch.append(patch_error(predicted, pseudo[:, index].flatten(0, 1)[:, None]))
        terms = {"semantic": (weights.semantic, semantic), "patch": (weights.patch, patch)}
        count = seen.sum().clamp(min=1)
        return {
            name: weight * (torch.stack(errors).mean(0) * seen).sum() / count
            for name, (weight, errors) in terms.items()
            if weight > 0 and errors
        }

    def _pseudo_masks(self, batch: Batch, tokens: Tensor, first: Tensor) -> Tensor:
        """(K, U, 3, h, w) at the token grid, from DINOv3's features where they are given, else from the network's."""
        if self.patch_features is None:
            return propagate(tokens, first)
        clips, side = batch.images.shape[0], tokens.shape[-1]
        features = self.patch_features(batch.images.flatten(0, 1)).unflatten(0, (clips, -1))
        coarse = nn.functional.interpolate(first, size=features.shape[-2:], mode="area")
        masks = propagate(features, coarse)
        return nn.functional.adaptive_avg_pool2d(masks.flatten(0, 1), side).unflatten(0, (clips, -1))
