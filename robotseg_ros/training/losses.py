"""The losses of RobotSeg's training on low-res logits (S/4), each in a function of its own (arXiv 2511.22950, LET)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.network import StepOutput
from .settings import LossSettings


@dataclass(frozen=True)
class Targets:
    """What one frame should give for B masks: `low` (B, 1, s, s) the area-averaged true masks, `boundary` (B, 1, s, s)
    the weight near their edges, `structure` (B, 1, h, w), `present` (B,) 1 where the part is in view, `full` (B, 1, S, S)
    the true masks."""

    low: Tensor
    boundary: Tensor
    structure: Tensor | None
    present: Tensor
    full: Tensor

    def rows(self, first: int, count: int) -> Targets:
        """Those of some of the masks."""
        cut = slice(first, first + count)
        structure = None if self.structure is None else self.structure[cut]
        return Targets(self.low[cut], self.boundary[cut], structure, self.present[cut], self.full[cut])


def make_targets(masks: Tensor, low_side: int, token_side: int | None) -> Targets:
    """`masks` (B, 1, S, S) float 0 or 1; no structure target where no `token_side` is given."""
    low = F.avg_pool2d(masks, masks.shape[-1] // low_side)
    structure = None if token_side is None else structure_target(masks, token_side)
    return Targets(low, boundary_weight(low), structure, masks.amax((1, 2, 3)), masks)


def boundary_weight(low: Tensor) -> Tensor:
    """1 where the mask changes within a pixel's 3x3 neighbourhood, else 0; (B, 1, s, s)."""
    return ((F.max_pool2d(low, 3, 1, 1) + F.max_pool2d(-low, 3, 1, 1)) > 0.25).float()


def structure_target(masks: Tensor, token_side: int) -> Tensor:
    """LET's structure loss target: |Laplacian| of the true mask on the token grid, scaled to at most 1; (B, 1, h, w)."""
    padded = F.pad(masks, (1, 1, 1, 1), mode="replicate")
    # Slices: as a convolution of one channel this took a quarter of a training step.
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    edges = (across + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] - 4 * masks).abs()
    edges = F.avg_pool2d(edges, masks.shape[-1] // token_side)
    return edges / edges.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)


def focal(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 5) averaged over each mask: (B, M, s, s), target (B, 1, s, s) -> (B, M)."""
    target = target.expand_as(logits)
    probability = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    agreement = probability * target + (1 - probability) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    return (weight * (1 - agreement) ** gamma * entropy).mean((2, 3))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice coefficient with +1 smoothing: (B, M, s, s), target (B, 1, s, s) -> (B, M)."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((2, 3))
    return 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + target.sum((2, 3)) + 1)


def boundary_entropy(logits: Tensor, target: Tensor, weight: Tensor, gain: float) -> Tensor:
    """Cross-entropy that counts pixels near the true boundary `1 + gain` times: -> (B, M)."""
    entropy = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    scale = 1 + gain * weight
    return (entropy * scale).mean((2, 3)) / scale.mean((2, 3))


def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of each binarised candidate with the true mask (B, M); two empty masks agree: 1."""
    predicted, truth = logits > 0, (target > 0.5).expand_as(logits)
    union = (predicted | truth).sum((2, 3)).float()
    return torch.where(union > 0, (predicted & truth).sum((2, 3)) / union.clamp(min=1), torch.ones_like(union))


def iou_error(predicted: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    """L1 between each candidate's predicted and true IoU: -> (B, M)."""
    return (predicted - true_iou(logits.detach(), target)).abs()


def object_entropy(score: Tensor, present: Tensor) -> Tensor:
    """Binary cross-entropy of the object score logit (B, 1): -> (B,)."""
    return F.binary_cross_entropy_with_logits(score[:, 0], present, reduction="none")


def structure_error(layers: Sequence[Tensor], target: Tensor) -> Tensor:
    """LET's structure loss: L1 between sigmoid(S) and the target, averaged over SEMA's layers: -> (B,)."""
    return torch.stack([(torch.sigmoid(s) - target).abs().mean((1, 2, 3)) for s in layers]).mean(0)


def mask_loss(logits: Tensor, targets: Targets, weights: LossSettings) -> dict[str, Tensor]:
    """Mask losses of all candidates (B, M), SAM's way: the candidate of least loss is trained, the rest get a share."""
    terms = {
        "focal": weights.focal * focal(logits, targets.low),
        "dice": weights.dice * dice(logits, targets.low),
    }
    if weights.boundary > 0:
        terms["boundary"] = weights.boundary * boundary_entropy(
            logits, targets.low, targets.boundary, weights.boundary_gain
        )
    best = torch.stack(list(terms.values())).sum(0).argmin(1, keepdim=True)
    share = weights.candidate_share
    return {name: (1 - share) * values.gather(1, best)[:, 0] + share * values.mean(1) for name, values in terms.items()}


def fine_loss(fine: Tensor, targets: Targets, weights: LossSettings) -> Tensor:
    """Mask loss (B,) of refined masks (B, 1, S, S), near boundaries as far as `targets.boundary` reaches."""
    near = F.interpolate(targets.boundary, size=fine.shape[-2:], mode="nearest")
    return torch.stack([*mask_loss(fine, replace(targets, low=targets.full, boundary=near), weights).values()]).sum(0)


def frame_loss(output: StepOutput, targets: Targets, weights: LossSettings) -> dict[str, Tensor]:
    """All weighted terms of one frame, each a scalar. Masks and IoU count only where the part is in view (as SAM 2
    does: an absent part is the object score's business), a refined mask only where it is also found."""
    # autocast may hand over bfloat16, whose 8 bits are too few for the sums here
    logits, ious, score = output.all_logits.float(), output.ious.float(), output.object_score.float()
    terms = mask_loss(logits, targets, weights)
    terms["iou"] = weights.iou * iou_error(ious, logits, targets.low).mean(1)
    seen = targets.present.sum().clamp(min=1)
    scalars = {name: (values * targets.present).sum() / seen for name, values in terms.items()}
    scalars["object"] = weights.object * object_entropy(score, targets.present).mean()
    if output.structure and targets.structure is not None:
        errors = structure_error([layer.float() for layer in output.structure], targets.structure)
        scalars["structure"] = weights.structure * (errors * targets.present).sum() / seen
    if output.fine_logits is not None and weights.fine > 0:
        found = targets.present * (score[:, 0] > 0)
        errors = torch.where(found > 0, fine_loss(output.fine_logits.float(), targets, weights), 0.0)
        scalars["fine"] = weights.fine * errors.sum() / found.sum().clamp(min=1)
    return scalars
