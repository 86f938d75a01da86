"""Prompts of the first frame while training, sampled from the true masks, and first memories made wrong on purpose."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.network import Prompt
from .settings import PromptSettings

Rng = np.random.Generator

FOREGROUND, CORNERS, PADDING = 1, (2, 3), -1


def sample_prompt(rng: Rng, settings: PromptSettings, masks: Tensor, video: bool) -> Prompt | None:
    """One kind of prompt for the whole batch: None (class token alone), a point, a box, or, in clips, the mask.

    masks: (B, 1, S, S) float 0 or 1. On single frames a mask prompt would be its own answer, so there is none.
    """
    draw = rng.random()
    if draw < settings.points_or_box:
        return point_prompt(rng, masks) if rng.random() < 0.5 else box_prompt(rng, masks)
    if video and draw < settings.points_or_box + settings.mask:
        return Prompt(points=None, labels=None, mask=masks)
    return None


def point_prompt(rng: Rng, masks: Tensor) -> Prompt:
    """One foreground point in each mask; an empty mask gets a padding point."""
    points = np.zeros((len(masks), 1, 2), np.float32)
    labels = np.full((len(masks), 1), PADDING, np.int64)
    for index, mask in enumerate(masks[:, 0].cpu().numpy()):
        rows, columns = np.nonzero(mask)
        if len(rows):
            pick = rng.integers(len(rows))
            points[index, 0], labels[index, 0] = (columns[pick] + 0.5, rows[pick] + 0.5), FOREGROUND
    return Prompt(points=torch.from_numpy(points), labels=torch.from_numpy(labels), mask=None)


def box_prompt(rng: Rng, masks: Tensor, slack: float = 0.1) -> Prompt:
    """A box around each mask, its sides off by up to `slack` of its size; an empty mask gets padding corners."""
    side = masks.shape[-1]
    points = np.zeros((len(masks), 2, 2), np.float32)
    labels = np.full((len(masks), 2), PADDING, np.int64)
    for index, mask in enumerate(masks[:, 0].cpu().numpy()):
        rows, columns = np.nonzero(mask)
        if len(rows):
            corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)
            off = rng.uniform(-slack, slack, (2, 2)) * (corners[1] - corners[0])
            points[index], labels[index] = np.clip(corners + off, 0, side - 1), CORNERS
    return Prompt(points=torch.from_numpy(points), labels=torch.from_numpy(labels), mask=None)


def corrected(rng: Rng, prompt: Prompt, logits: Tensor, masks: Tensor) -> Prompt:
    """The prompt with one more click for each mask: a random pixel that is wrong, labelled by what it should be.

    logits (B, 1, s, s) of the mask so far, masks (B, 1, S, S) the true ones. Where nothing is wrong the click is padding.
    """
    assert prompt.points is not None and prompt.labels is not None
    side = masks.shape[-1]
    predicted = F.interpolate(logits.detach().float(), (side, side), mode="bilinear", align_corners=False) > 0
    wrong = (predicted != (masks > 0.5))[:, 0].cpu().numpy()
    points = np.zeros((len(masks), 1, 2), np.float32)
    labels = np.full((len(masks), 1), PADDING, np.int64)
    for index, error in enumerate(wrong):
        rows, columns = np.nonzero(error)
        if len(rows):
            pick = rng.integers(len(rows))
            points[index, 0] = columns[pick] + 0.5, rows[pick] + 0.5
            labels[index, 0] = int(masks[index, 0, rows[pick], columns[pick]] > 0.5)
    more_points, more_labels = torch.from_numpy(points), torch.from_numpy(labels)
    return Prompt(
        points=torch.cat([prompt.points.cpu(), more_points], 1),
        labels=torch.cat([prompt.labels.cpu(), more_labels], 1),
        mask=None,
    )


def perturbed(rng: Rng, masks: Tensor) -> Tensor:
    """Masks (B, 1, s, s) as a failing tracker might leave them: shifted, grown or shrunk, a piece lost, a blob added."""
    wrong = [_perturbed(rng, (mask > 0.5).astype(np.uint8)) for mask in masks[:, 0].cpu().numpy()]
    return torch.from_numpy(np.stack(wrong)).to(masks)[:, None]


def _perturbed(rng: Rng, mask: np.ndarray) -> np.ndarray:
    side = mask.shape[0]
    reach = max(1, side // 16)
    kernel = np.ones((int(rng.integers(2, 2 * reach + 2)),) * 2, np.uint8)
    mask = cv2.dilate(mask, kernel) if rng.random() < 0.5 else cv2.erode(mask, kernel)
    mask = np.roll(mask, tuple(rng.integers(-reach, reach + 1, 2)), (0, 1))
    for value in (0, 1):
        if rng.random() < 0.5:
            centre = tuple(int(place) for place in rng.integers(0, side, 2))
            cv2.circle(mask, centre, int(rng.integers(reach, 4 * reach)), value, -1)
    return mask
