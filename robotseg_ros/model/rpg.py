"""RPG, the Robot Prompt Generator (RobotSeg, section 3.3): object tokens that stand in for clicks, made from memories.

Deterministic: farthest point sampling starts at the first foreground token in raster order (the published code starts at
a random one). No step reads a value back from the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig


def farthest_points(coordinates: Tensor, mask: Tensor, count: int) -> Tensor:
    """Indices (R, count) of tokens spread out over each region.

    coordinates (N, 2); mask (R, N) bool, the region's tokens. Starts at the first token in raster order; where a region
    has fewer tokens than `count` the first index is repeated, and an empty region gives zeros.
    """
    chosen = mask.to(torch.uint8).argmax(dim=1)
    picks = [chosen]
    outside = torch.where(mask, 0.0, -1.0)
    nearest = torch.full_like(outside, float("inf"))
    for _ in range(count - 1):
        offset = coordinates[None] - coordinates[chosen][:, None]
        nearest = torch.minimum(nearest, offset.square().sum(-1))
        chosen = torch.where(mask, nearest, outside).argmax(dim=1)
        picks.append(chosen)
    return torch.stack(picks, dim=1)


def assign_to_centres(features: Tensor, centres: Tensor) -> Tensor:
    """Nearest centre of every token by cosine distance: (R, N, C), (R, K, C) -> (R, N) indices."""
    similarity = F.normalize(features, dim=-1) @ F.normalize(centres, dim=-1).transpose(1, 2)
    return similarity.argmax(dim=-1)


class RobotPromptGenerator(nn.Module):
    """Hierarchical prototypes of the remembered robot: a few regions, each a few sub-prototypes."""

    coordinates: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.regions, self.prototypes = config.regions, config.prototypes_per_region
        self.no_memory_prompt_embeddings_fg = nn.Embedding(1, config.d_model)
        axis = torch.arange(config.grid, dtype=torch.float32)
        coordinates = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
        self.register_buffer("coordinates", coordinates, persistent=False)

    def without_memory(self, batch: int) -> Tensor:
        """Object tokens of a frame that has no memory, the learned vector for each region: (batch, regions, C)."""
        return self.no_memory_prompt_embeddings_fg.weight.expand(batch, self.regions, -1)

    def forward(self, memory: Tensor, foreground: Tensor) -> Tensor:
        """Object tokens of one memory frame, which depend on that frame alone.

        memory (B, N, Cm); foreground (B, N) bool. Returns (B, regions, C).
        """
        batch, tokens, _ = memory.shape
        regions = self._regions(memory, foreground)
        memory_r = memory[:, None].expand(-1, self.regions, -1, -1).flatten(0, 1)
        prototypes = self._prototypes(memory_r, regions.view(batch * self.regions, tokens))
        objects = F.normalize(prototypes, dim=-1).view(batch, self.regions, -1)
        empty = ~foreground.any(dim=1)
        return torch.where(empty[:, None, None], self.no_memory_prompt_embeddings_fg.weight[None].to(objects), objects)

    def _regions(self, memory: Tensor, foreground: Tensor) -> Tensor:
        """Level 1, (B, regions, N) bool; a region that got no token is the whole foreground."""
        centres = _gather(memory, farthest_points(self.coordinates, foreground, self.regions))
        member = assign_to_centres(memory, centres)
        index = torch.arange(self.regions, device=memory.device)
        regions = (member[:, None] == index[None, :, None]) & foreground[:, None]
        return torch.where(regions.any(dim=2, keepdim=True), regions, foreground[:, None])

    def _prototypes(self, memory: Tensor, region: Tensor) -> Tensor:
        """Level 2, (R, prototypes, Cm): mean feature of each cluster, its centre's feature where the cluster is empty."""
        centres = _gather(memory, farthest_points(self.coordinates, region, self.prototypes))
        member = assign_to_centres(memory, centres)
        index = torch.arange(self.prototypes, device=memory.device)
        weights = ((member[:, None] == index[None, :, None]) & region[:, None]).to(memory.dtype)
        counts = weights.sum(dim=2, keepdim=True)
        means = (weights @ memory) / counts.clamp(min=1)
        return torch.where(counts > 0, means, centres)


def _gather(features: Tensor, index: Tensor) -> Tensor:
    """(R, N, C), (R, K) -> (R, K, C)."""
    return torch.gather(features, 1, index[..., None].expand(-1, -1, features.shape[-1]))
