"""The losses of label-efficient training on frames without labels (LET, arXiv 2511.22950, section 3.4).

The cycle loss needs no function of its own: it is the frame loss of `losses.py` on the last frame of a palindrome, which is
the labelled first frame again, reached by way of the others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_MASS = 1e-3  # of a mask, in tokens: below it a mean over the mask says nothing


def masked_mean(features: Tensor, masks: Tensor) -> Tensor:
    """Mean feature over each soft mask: (B, C, h, w), (B, 1, h, w) -> (B, C)."""
    return (features * masks).sum((2, 3)) / masks.sum((2, 3)).clamp(min=SMALLEST_MASS)


def semantic_error(features: Tensor, masks: Tensor, reference: Tensor) -> Tensor:
    """LET's semantic loss, 1 - cos(f(mask), f0): what is masked looks like what was masked in frame 0. -> (B,).

    features (B, C, h, w) of the image, masks (B, 1, h, w) predicted probabilities at that size, reference (B, C): the
    feature of frame 0 averaged over its true mask. Only masks should be given a gradient: features that had one could
    agree with each other instead.
    """
    return 1 - F.cosine_similarity(masked_mean(features, masks), reference, dim=1)


def patch_error(masks: Tensor, pseudo: Tensor) -> Tensor:
    """LET's patch loss, 1 - soft IoU of predicted probabilities and pseudo-mask, both (B, 1, h, w) at stride 16. -> (B,).

    One patch of smoothing lets two empty masks agree.
    """
    overlap = (masks * pseudo).sum((1, 2, 3))
    union = (masks + pseudo - masks * pseudo).sum((1, 2, 3))
    return 1 - (overlap + 1) / (union + 1)


def at_patches(logits: Tensor, side: int) -> Tensor:
    """Probabilities of mask logits (B, 1, s, s) averaged over patches: (B, 1, side, side)."""
    return F.adaptive_avg_pool2d(torch.sigmoid(logits.float()), side)
