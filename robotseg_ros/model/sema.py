"""SEMA, the Structure-Enhanced Memory Associator (RobotSeg, section 3.2): SAM 2's memory attention with a second branch
that looks at edges, predicts where the robot's structure is, and strengthens the tokens there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig


def rotary_frequencies(width: int, theta: float = 10000.0) -> Tensor:
    """Radians that each of the `width` / 4 pairs of channels turns with a step along an axis: (width / 4,)."""
    return 1.0 / (theta ** (torch.arange(0, width, 4)[: width // 4].float() / width))


def rotary_tables(grid: int, width: int, theta: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of axial rotary position encoding for a square grid: two (grid * grid, width / 2) tables.

    The first half of the frequencies turns with x, the second with y (SAM 2, `compute_axial_cis`).
    """
    frequencies = rotary_frequencies(width, theta)
    token = torch.arange(grid * grid, dtype=torch.float32)
    x, y = token % grid, torch.div(token, grid, rounding_mode="floor")
    angles = torch.cat([torch.outer(x, frequencies), torch.outer(y, frequencies)], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Turn neighbouring channel pairs by the angles of their token: (..., N, C) -> (..., N, C)."""
    cos, sin = tables
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class RotaryAttention(nn.Module):
    """Single-head attention with rotary positions on grid tokens (SAM 2, `RoPEAttention`)."""

    def __init__(self, width: int, key_width: int | None = None):
        """key_width: of the memory that keys and values come from; None for self-attention."""
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(key_width or width, width)
        if key_width is not None:
            self._look_at_the_same_place()
        self.v_proj = nn.Linear(key_width or width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        """query (B, N, C), key and value (B, M, Ck) -> (B, N, C).

        M is any number of whole frames of N tokens, which are rotated, and then fewer than N tokens that are not
        (object pointers).
        """
        q = rotate(self.q_proj(query), tables)
        k = self._rotate_frames(self.k_proj(key), query.shape[1], tables)
        v = self.v_proj(value)
        out = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return self.out_proj(out)

    @torch.no_grad()
    def _look_at_the_same_place(self) -> None:
        """Equal biases, rotated, agree where places are equal: a network that is trained from the beginning attends first to
        the same place of its memory, and has not to find by chance that places correspond."""
        turning = rotary_frequencies(self.q_proj.out_features) > 0.05  # radians a token: a turn within a few tokens
        for projection in (self.q_proj, self.k_proj):
            projection.weight.mul_(0.25)
            projection.bias.copy_(2.0 * turning.repeat(2).repeat_interleave(2))

    @staticmethod
    def _rotate_frames(k: Tensor, tokens: int, tables: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, width = k.shape
        frames = length // tokens
        spatial = k[:, : frames * tokens].view(batch, frames, tokens, width)
        rotated = rotate(spatial, tables).flatten(1, 2)
        return torch.cat([rotated, k[:, frames * tokens :]], dim=1)


class SeparableConv(nn.Module):
    """Depthwise convolution -> GELU -> pointwise convolution -> GroupNorm -> GELU."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.dw = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.pw = nn.Conv2d(width, width, 1)
        self.norm = nn.GroupNorm(width // 8, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return F.gelu(self.norm(self.pw(F.gelu(self.dw(x)))))


class MultiScalePyramid(nn.Module):
    """Three receptive fields side by side, fused to one map."""

    def __init__(self, width: int):
        super().__init__()
        self.conv3 = SeparableConv(width, 3)
        self.conv5 = SeparableConv(width, 5)
        self.conv7 = SeparableConv(width, 7)
        self.fuse = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return F.gelu(self.fuse(torch.cat([self.conv3(x), self.conv5(x), self.conv7(x)], dim=1)))


def structure_gate(structure: Tensor, scale: int) -> Tensor:
    """Mean of sigmoid(S) over each token, S enlarged `scale` times bilinearly first. (B, 1, h, w) -> (B, 1, h, w).

    The published code enlarges S, applies the sigmoid and shrinks the result bilinearly. The shrinking reads the four
    centre pixels of a cell only, and each of those is a blend of four tokens: they are computed directly, with no map of
    the full size (equal to 1e-7).
    """
    toward = 1.0 / (2 * scale)  # how far a centre pixel lies towards the neighbouring token
    padded = F.pad(structure, (1, 1, 1, 1), mode="replicate")
    height, width = structure.shape[-2:]
    total = torch.zeros_like(structure)
    for dy in (0, 2):
        rows = (1 - toward) * padded[..., 1 : 1 + height, :] + toward * padded[..., dy : dy + height, :]
        for dx in (0, 2):
            blend = (1 - toward) * rows[..., 1 : 1 + width] + toward * rows[..., dx : dx + width]
            total = total + torch.sigmoid(blend)
    return total / 4


class StructureEnhancedLayer(nn.Module):
    """One layer of SEMA: SAM 2's memory attention layer, its output gated by the predicted structure.

    `gated = False` leaves structure and gate out (`StructureEnhancedMemoryAssociator.without_idle_gates`).
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, memory = config.d_model, config.memory_dim
        self.self_attn = RotaryAttention(width)
        self.cross_attn_image = RotaryAttention(width, memory)
        self.cross_attn_structure = RotaryAttention(width, memory)
        self.linear1 = nn.Linear(width, config.attention_mlp)
        self.linear2 = nn.Linear(config.attention_mlp, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.ms_pyramid = MultiScalePyramid(width)
        self.structure_head = nn.Conv2d(width, 1, 3, padding=1)
        self.structure_strength = nn.Parameter(torch.ones(()))
        self.grid, self.stride = config.grid, config.stride
        self.gated = True

    def forward(
        self, x: Tensor, edges: Tensor, memory: Tensor, keys: Tensor, tables: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """x (b, N, C), edges (b, 1, h, w), memory and keys (B, M, Cm), B a multiple of b.

        Returns tokens (B, N, C) and the structure logits (B, 1, h, w), None without a gate. Self-attention of the first
        layer sees the image alone, so it runs once an image however many parts (B / b) there are.
        """
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, tables)
        x = repeat_to(x, memory.shape[0])
        x = x + self.cross_attn_image(self.norm2(x), keys, memory, tables)
        enhanced = x + self.linear2(F.relu(self.linear1(self.norm3(x))))
        if not self.gated:
            return enhanced, None
        structure = self._structure(x, repeat_to(edges, memory.shape[0]), memory, keys, tables)
        gate = structure_gate(structure, self.stride).flatten(2).transpose(1, 2)
        return enhanced * (1 + self.structure_strength * gate), structure

    def _structure(
        self, x: Tensor, edges: Tensor, memory: Tensor, keys: Tensor, tables: tuple[Tensor, Tensor]
    ) -> Tensor:
        batch, _, width = x.shape
        grid = x.transpose(1, 2).reshape(batch, width, self.grid, self.grid)
        multi_scale = self.ms_pyramid(grid * (1 + edges))
        tokens = self.cross_attn_structure(multi_scale.flatten(2).transpose(1, 2), keys, memory, tables)
        return self.structure_head(tokens.transpose(1, 2).reshape(batch, width, self.grid, self.grid))


def repeat_to(x: Tensor, batch: int) -> Tensor:
    """Repeat each of the b rows of x so that there are `batch`: row i serves rows i * batch/b and on."""
    if x.shape[0] == batch:
        return x
    if x.shape[0] == 1:
        return x.expand(batch, *x.shape[1:])
    return x.repeat_interleave(batch // x.shape[0], dim=0)


class StructureEnhancedMemoryAssociator(nn.Module):
    """All layers of SEMA and the closing LayerNorm."""

    tables_cos: Tensor
    tables_sin: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.layers = nn.ModuleList(StructureEnhancedLayer(config) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(config.d_model)
        cos, sin = rotary_tables(config.grid, config.d_model)
        self.register_buffer("tables_cos", cos, persistent=False)
        self.register_buffer("tables_sin", sin, persistent=False)

    def close_gates(self) -> None:
        """Takes every structure branch's strength, so that none of them has an effect."""
        for layer in self._layers():
            nn.init.zeros_(layer.structure_strength)

    def without_closed_gates(self) -> None:
        """Leaves out the structure branches of no strength."""
        for layer in self._layers():
            layer.gated = bool(layer.structure_strength != 0)

    def without_idle_gates(self) -> None:
        """Leaves out all structure branches that change nothing: those of no strength, and the last layer's, whose gate
        multiplies all of a token by one number, which the closing LayerNorm divides out again (but for its epsilon)."""
        self.without_closed_gates()
        self._layers()[-1].gated = False

    @property
    def has_open_gates(self) -> bool:
        """Whether any layer's structure branch has a strength."""
        return any(bool(layer.structure_strength != 0) for layer in self._layers())

    @property
    def uses_edges(self) -> bool:
        """Whether any layer has a structure branch that is not left out."""
        return any(layer.gated for layer in self._layers())

    def _layers(self) -> list[StructureEnhancedLayer]:
        return [layer for layer in self.layers if isinstance(layer, StructureEnhancedLayer)]

    def forward(
        self, tokens: Tensor, position: Tensor, edges: Tensor, memory: Tensor, memory_position: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Condition one frame on its memories.

        tokens (b, N, C) image features; position (1, N, C) their sine encoding; edges (b, 1, h, w); memory and
        memory_position (B, M, Cm), whole frames first, then pointer tokens. Returns (B, N, C) and the structure logits
        of each layer that has a gate, (B, 1, h, w).
        """
        x = tokens + 0.1 * position
        keys = memory + memory_position
        structures = []
        for layer in self.layers:
            x, structure = layer(x, edges, memory, keys, (self.tables_cos, self.tables_sin))
            if structure is not None:
                structures.append(structure)
        return self.norm(x), structures
