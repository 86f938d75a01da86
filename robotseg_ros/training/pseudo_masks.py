"""Pseudo-masks for frames without labels: frame 0's true mask, carried on by the similarity of patch features (LET).

The published recipe takes DINOv3's features; where their weights are not at hand the network's own image encoder serves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

PatchFeatures = Callable[[Tensor], Tensor]
"""uint8 images (B, S, S, 3) -> features (B, C, h, w), at any stride."""

TOP, CONTEXT, TEMPERATURE = 5, 7, 0.2
RADIUS = 12 / 60  # of the frame's side: 12 patches of the 60 that DINOv3 sees at 960 pixels


@torch.no_grad()
def propagate(features: Tensor, first: Tensor) -> Tensor:
    """Masks of a clip's frames from its first frame's.

    features (K, T, C, h, w) of K clips, frames in order of time; first (K, P, h, w) soft masks of frame 0. Returns
    (K, T, P, h, w).
    Each patch takes the softmax-weighted masks of its 5 most similar patches within the radius, in frame 0 and the 7 frames
    before it.
    """
    clips, frames, _, height, width = features.shape
    tokens = F.normalize(features.float().flatten(3), dim=2)  # K T C N
    near = neighbourhood(height, width, max(1.0, RADIUS * max(height, width))).to(features.device)
    masks = [first.float().flatten(2)]  # K P N each
    for time in range(1, frames):
        context = [0, *range(max(1, time - CONTEXT), time)]
        keys = torch.cat([tokens[:, index] for index in context], dim=2)
        values = torch.cat([masks[index] for index in context], dim=2)
        similar = torch.einsum("kcn,kcm->knm", tokens[:, time], keys)
        similar = similar.masked_fill(~near.repeat(1, len(context)), -torch.inf)
        best, where = similar.topk(min(TOP, similar.shape[2]), dim=2)
        weights = torch.softmax(best / TEMPERATURE, dim=2)  # K N 5
        rows = torch.arange(clips, device=features.device)[:, None, None]
        taken = values.transpose(1, 2)[rows, where]  # K N 5 P
        masks.append((weights[..., None] * taken).sum(2).transpose(1, 2))
    return torch.stack(masks, 1).unflatten(3, (height, width))


def neighbourhood(height: int, width: int, radius: float) -> Tensor:
    """Which patches lie within `radius` of each other: (N, N) bool."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).float()
    return torch.cdist(places, places) <= radius


def dinov3_features(weights: str, short_side: int = 960) -> PatchFeatures:
    """Features of a DINOv3 that `transformers` can load from the folder `weights`; nothing is downloaded.

    Raises ImportError without transformers and FileNotFoundError for a folder without a model.
    """
    from transformers import AutoModel

    if not Path(weights, "config.json").is_file():
        raise FileNotFoundError(
            f"{weights}: no DINOv3 there; patch_features names a folder that transformers has saved one to"
        )

    model = AutoModel.from_pretrained(weights, local_files_only=True).eval().requires_grad_(False)
    patch = int(model.config.patch_size)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    @torch.no_grad()
    def features(images: Tensor) -> Tensor:
        model.to(images.device)
        pixels = images.permute(0, 3, 1, 2).float() / 255
        side = short_side // patch * patch
        pixels = F.interpolate(pixels, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
        hidden = model((pixels - mean.to(pixels)) / std.to(pixels)).last_hidden_state
        grid = side // patch
        return hidden[:, -grid * grid :].transpose(1, 2).unflatten(2, (grid, grid))

    return features
