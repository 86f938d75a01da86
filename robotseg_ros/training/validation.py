"""J and F of a network streamed over validation clips with memory, and pictures of its masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..drawing import caption
from ..evaluation.measures import boundary_f, jaccard
from ..model.config import PARTS
from ..model.network import RobotSeg, StepOutput
from .augment import resize_geometry, warp, warp_label
from .clip_cache import ClipCache
from .rollout import encode, stream
from .samples import part_masks

COLOURS = ((230, 60, 60), (60, 130, 255), (70, 210, 90))


@dataclass(frozen=True)
class Score:
    """Mean J and F per part over all frames, and the robot's J per clip name."""

    parts: dict[str, float]
    boundaries: dict[str, float]
    clips: dict[str, float]


@torch.no_grad()
def validate(network: RobotSeg, cache: ClipCache, limit: int, batch: int = 4) -> tuple[Score, np.ndarray]:
    """Score of the class tokens alone on up to `limit` clips spread over the cache, and a contact sheet (H, W, 3) RGB
    of each clip's worst frame, worst clip first."""
    side, device = network.config.image_size, network.no_mem_embed.device
    chosen = np.unique(np.linspace(0, len(cache) - 1, min(limit, len(cache))).round().astype(int))
    per_part: dict[str, list[float]] = {part: [] for part in PARTS}
    per_boundary: dict[str, list[float]] = {part: [] for part in PARTS}
    clips: dict[str, float] = {}
    pictures: dict[str, np.ndarray] = {}
    for names, images, labels in _batches(cache, chosen, side, batch):
        encoded = encode(network, images.transpose(0, 1).flatten(0, 1).to(device), bf16=False)
        outputs = stream(network, encoded, range(images.shape[1]))
        predicted = np.stack([predicted_masks(output, side) for output in outputs], 1)  # K T 3 S S
        truth = part_masks(labels.flatten(0, 1)).bool().unflatten(0, labels.shape[:2]).numpy()
        for k, name in enumerate(names):
            pairs = list(zip(predicted[k].reshape(-1, side, side), truth[k].reshape(-1, side, side), strict=True))
            scores = np.array([jaccard(mask, true) for mask, true in pairs]).reshape(-1, len(PARTS))
            edges = np.array([boundary_f(mask, true) for mask, true in pairs]).reshape(-1, len(PARTS))
            for index, part in enumerate(PARTS):
                per_part[part].extend(scores[:, index])
                per_boundary[part].extend(edges[:, index])
            robot = scores[:, PARTS.index("robot")]
            worst, clips[name] = int(robot.argmin()), float(robot.mean())
            pictures[name] = picture(images[k, worst].numpy(), predicted[k, worst], f"{name} {robot[worst]:.2f}")
    worst_first = [pictures[name] for name in sorted(clips, key=clips.__getitem__)]
    region, boundary = (
        {part: float(np.mean(values)) for part, values in kind.items()} for kind in (per_part, per_boundary)
    )
    return Score(region, boundary, clips), sheet(worst_first)


def _batches(
    cache: ClipCache, chosen: np.ndarray, side: int, batch: int
) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
    """Clips of equal length side by side: names, images (K, T, S, S, 3), label maps (K, T, S, S)."""
    entries = sorted((cache.clips[index] for index in chosen), key=lambda clip: clip.length)
    geometry = resize_geometry(cache.width, cache.height, side)
    while entries:
        group = [clip for clip in entries[:batch] if clip.length == entries[0].length]
        entries = entries[len(group) :]
        frames = [
            [
                (warp(cache.images[c.start + t], geometry, side), warp_label(cache.label(c, t), geometry, side))
                for t in range(c.length)
            ]
            for c in group
        ]
        images, labels = (
            torch.from_numpy(np.array([[pair[which] for pair in clip] for clip in frames])) for which in (0, 1)
        )
        yield [clip.name for clip in group], images, labels


def predicted_masks(output: StepOutput, side: int) -> np.ndarray:
    """Masks (K, 3, S, S) bool of one frame; a part with an object score <= 0 is empty."""
    logits = F.interpolate(output.finest_logits.float(), (side, side), mode="bilinear", align_corners=False)
    masks = (logits > 0) & (output.object_score > 0)[:, :, None, None]
    return masks.view(-1, len(PARTS), side, side).cpu().numpy()


def picture(image: np.ndarray, masks: np.ndarray, title: str) -> np.ndarray:
    """One frame with the robot's outline and its parts tinted, RGB."""
    view = image.copy()
    for mask, colour in zip(masks[:2], COLOURS, strict=False):
        view[mask] = (0.5 * view[mask] + 0.5 * np.array(colour)).astype(np.uint8)
    outlines, _ = cv2.findContours(masks[2].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(view, outlines, -1, COLOURS[2], 1)
    caption(view, title, (4, 12), 0.35)
    return view


def sheet(pictures: list[np.ndarray], columns: int = 6) -> np.ndarray:
    """Pictures of one size in a grid."""
    blank = np.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    return np.vstack([np.hstack(pictures[row : row + columns]) for row in range(0, len(pictures), columns)])
