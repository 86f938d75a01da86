"""Small holes in a mask are filled, as the published predictor fills them (SAM 2, `fill_holes_in_mask_scores`)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

FILLED_LOGIT = 0.1


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Logits (B, 1, s, s) whose patches of background of at most `area` pixels (8-connected) are made foreground.

    Runs on the CPU, where the published code needs a CUDA extension of its own.
    """
    masks = logits[:, 0].float().cpu().numpy()
    holes = np.stack([_holes(mask <= 0, area) for mask in masks])
    return torch.where(torch.from_numpy(holes).to(logits.device)[:, None], FILLED_LOGIT, logits)


def _holes(background: np.ndarray, area: int) -> np.ndarray:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(background.astype(np.uint8), connectivity=8)
    small = statistics[:, cv2.CC_STAT_AREA] <= area
    small[0] = False  # the foreground
    return small[labels]
