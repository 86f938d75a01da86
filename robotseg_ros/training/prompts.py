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

LOST = 0.15  # of perturbed masks are empty


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
    """One foreground point in each mask (B, 1, S, S); an empty mask gets a padding point."""
    points, found = random_pixels(rng, masks[:, 0] > 0.5)
    labels = torch.where(found, FOREGROUND, PADDING)
    return Prompt(points=points[:, None], labels=labels[:, None], mask=None)


def box_prompt(rng: Rng, masks: Tensor, slack: float = 0.1) -> Prompt:
    """A box around each mask, its sides off by up to `slack` of its size; an empty mask gets padding corners."""
    side = masks.shape[-1]
    inside = masks[:, 0] > 0.5
    columns, rows = inside.any(1), inside.any(2)
    first = torch.stack([_first(columns), _first(rows)], 1)
    end = side - torch.stack([_first(columns.flip(1)), _first(rows.flip(1))], 1)
    corners = torch.stack([first, end], 1).float()
    off = torch.from_numpy(rng.uniform(-slack, slack, corners.shape)).to(corners)
    corners = (corners + off * (end - first)[:, None]).clamp(0, side - 1)
    found = columns.any(1)[:, None]
    labels = torch.where(found, torch.tensor(CORNERS, device=masks.device), PADDING)
    return Prompt(points=torch.where(found[..., None], corners, 0.0), labels=labels, mask=None)


def _first(there: Tensor) -> Tensor:
    """Index of each row's first True: (B, n) -> (B,)."""
    return there.to(torch.uint8).argmax(1)


def random_pixels(rng: Rng, there: Tensor) -> tuple[Tensor, Tensor]:
    """The centre (x, y) of a random True pixel of each (B, S, S) map, 0 where there is none, and whether there is one.

    No loop over maps and no wait for the device: a batch on a GPU has hundreds of them. -> (B, 2) float, (B,) bool
    """
    side = there.shape[-1]
    reached = there.flatten(1).cumsum(1, dtype=torch.int32)
    count = reached[:, -1]
    share = torch.from_numpy(rng.random(len(there))).to(there.device)
    wanted = torch.minimum((share * count).to(torch.int32) + 1, count.clamp(min=1))
    index = torch.searchsorted(reached, wanted[:, None])[:, 0].clamp(max=side * side - 1)
    points = torch.stack([index % side, index // side], 1).float() + 0.5
    found = count > 0
    return torch.where(found[:, None], points, 0.0), found


def corrected(rng: Rng, prompt: Prompt, logits: Tensor, masks: Tensor) -> Prompt:
    """The prompt with one more click for each mask: a random pixel that is wrong, labelled by what it should be.

    logits (B, 1, s, s) of the mask so far, masks (B, 1, S, S) the true ones. Where nothing is wrong the click is padding.
    """
    assert prompt.points is not None and prompt.labels is not None
    side = masks.shape[-1]
    predicted = F.interpolate(logits.detach().float(), (side, side), mode="bilinear", align_corners=False) > 0
    truth = masks[:, 0] > 0.5
    points, found = random_pixels(rng, predicted[:, 0] != truth)
    x, y = points.long().unbind(1)
    label = torch.where(found, truth[torch.arange(len(truth), device=truth.device), y, x].long(), PADDING)
    return Prompt(
        points=torch.cat([prompt.points.to(points), points[:, None]], 1),
        labels=torch.cat([prompt.labels.to(label), label[:, None]], 1),
        mask=None,
    )


def perturbed(rng: Rng, masks: Tensor) -> Tensor:
    """Masks (B, 1, s, s) as a failing tracker might leave them: shifted, grown or shrunk, a piece or all of it lost, a
    blob added."""
    wrong = [_perturbed(rng, (mask > 0.5).astype(np.uint8)) for mask in masks[:, 0].cpu().numpy()]
    return torch.from_numpy(np.stack(wrong)).to(masks)[:, None]


def _perturbed(rng: Rng, mask: np.ndarray) -> np.ndarray:
    side = mask.shape[0]
    if rng.random() < LOST:
        return np.zeros_like(mask)
    reach = max(1, side // 16)
    kernel = np.ones((int(rng.integers(2, 2 * reach + 2)),) * 2, np.uint8)
    mask = cv2.dilate(mask, kernel) if rng.random() < 0.5 else cv2.erode(mask, kernel)
    mask = np.roll(mask, tuple(rng.integers(-reach, reach + 1, 2)), (0, 1))
    for value in (0, 1):
        if rng.random() < 0.5:
            centre = tuple(int(place) for place in rng.integers(0, side, 2))
            cv2.circle(mask, centre, int(rng.integers(reach, 4 * reach)), value, -1)
    return mask
