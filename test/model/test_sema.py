"""SEMA's parts against the plain way of computing them, and against SAM 2's own attention."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from sam2.modeling.sam.transformer import RoPEAttention

from robotseg_ros.model import preset
from robotseg_ros.model.sema import (
    RotaryAttention,
    StructureEnhancedMemoryAssociator,
    repeat_to,
    structure_gate,
)


@pytest.mark.parametrize("scale", [4, 16])
def test_the_gate_equals_enlarging_and_shrinking(scale: int) -> None:
    structure = torch.randn(2, 1, 9, 9) * 4
    enlarged = F.interpolate(structure, scale_factor=scale, mode="bilinear", align_corners=False)
    plain = F.interpolate(torch.sigmoid(enlarged), size=(9, 9), mode="bilinear", align_corners=False)
    torch.testing.assert_close(structure_gate(structure, scale), plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("frames, pointers", [(1, 0), (3, 0), (2, 8)])
def test_rotary_attention_equals_sam2(frames: int, pointers: int) -> None:
    grid, width, key_width = 6, 32, 8
    theirs = RoPEAttention(
        embedding_dim=width,
        num_heads=1,
        downsample_rate=1,
        kv_in_dim=key_width,
        feat_sizes=(grid, grid),
        rope_k_repeat=True,
    ).eval()
    ours = RotaryAttention(width, key_width)
    ours.load_state_dict(theirs.state_dict())
    query = torch.randn(2, grid * grid, width)
    memory = torch.randn(2, frames * grid * grid + pointers, key_width)
    tables = _tables(grid, width)
    with torch.no_grad():
        expected = theirs(query, memory, memory, num_k_exclude_rope=pointers)
        torch.testing.assert_close(ours(query, memory, memory, tables), expected, rtol=1e-5, atol=1e-5)


def test_a_new_network_attends_to_the_same_place_of_its_memory() -> None:
    grid, width, key_width = 8, 64, 16
    attention = RotaryAttention(width, key_width)
    with torch.no_grad():
        torch.nn.init.eye_(attention.v_proj.weight)  # values go through
        torch.nn.init.eye_(attention.out_proj.weight)
        attention.v_proj.bias.zero_()
        attention.out_proj.bias.zero_()
        memory = torch.randn(1, grid * grid, key_width)
        marked = memory.clone()
        marked[0, 27, 0] += 1.0
        query, tables = torch.randn(1, grid * grid, width), _tables(grid, width)
        plain, changed = (attention(query, memory, values, tables)[0, :, 0] for values in (memory, marked))
    share = (changed - plain).view(grid, grid)  # of each place's attention that goes to row 3, column 3
    assert share.argmax() == 27
    assert share[3, 3] > 10 * share[3, 7] and share[3, 3] > 10 * share[7, 3]


def _tables(grid: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    from robotseg_ros.model.sema import rotary_tables

    return rotary_tables(grid, width)


def test_edges_change_the_structure_and_only_through_it() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(preset("robotseg_nano"), image_size=96)
    sema = StructureEnhancedMemoryAssociator(config).eval()
    tokens = torch.randn(1, config.tokens, config.d_model)
    memory = torch.randn(2, 2 * config.tokens, config.memory_dim)
    position = torch.zeros(1, config.tokens, config.d_model)
    none = torch.zeros(1, 1, config.grid, config.grid)
    edges = (torch.rand_like(none) > 0.5).float()
    with torch.no_grad():
        plain, without = sema(tokens, position, none, memory, torch.zeros_like(memory))
        edged, with_edges = sema(tokens, position, edges, memory, torch.zeros_like(memory))
        assert (with_edges[0] - without[0]).abs().max() > 1e-4
        assert not torch.equal(edged, plain)
        for layer in sema.layers:
            layer.structure_strength.zero_()
        ungated, _ = sema(tokens, position, none, memory, torch.zeros_like(memory))
        ungated_edged, _ = sema(tokens, position, edges, memory, torch.zeros_like(memory))
    assert torch.equal(ungated, ungated_edged)


def test_rows_are_repeated_side_by_side() -> None:
    rows = torch.tensor([[1.0], [2.0]])
    assert repeat_to(rows, 4)[:, 0].tolist() == [1, 1, 2, 2]
    assert repeat_to(rows[:1], 3)[:, 0].tolist() == [1, 1, 1]
