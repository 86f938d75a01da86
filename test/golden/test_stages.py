"""Each stage of the network alone, fed with the published network's own inputs, gives its numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robotseg_ros.model import ImageFeatures, MemoryEntry, MemoryView, RobotSeg, StepOutput, preprocess

ROBOT = torch.tensor([2])
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, torch.Tensor]:
    with np.load(golden_dir / "golden1_auto_robot.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


@pytest.fixture(scope="module")
def features(golden_network: RobotSeg, golden_clip: NDArray[np.uint8]) -> list[ImageFeatures]:
    """Features of frames 0 and 1."""
    with torch.inference_mode():
        return [golden_network.encode_image(preprocess(frame, golden_network.config)) for frame in golden_clip[:2]]


@pytest.fixture(scope="module")
def memory_of_frame_0(
    golden: dict[str, torch.Tensor], golden_stages: dict[str, torch.Tensor], golden_network: RobotSeg
) -> MemoryEntry:
    """Frame 0's memory from the golden files alone: exact bfloat16 bits, its mask and its pointer."""
    bits = golden_stages["maskmem_f0_bf16bits"].numpy().astype(np.uint32) << 16
    stored = torch.from_numpy(bits.view(np.float32)).flatten(1).T[None]
    foreground = golden_network._foreground(golden["mask256_f0"][None, None])
    with torch.inference_mode():
        objects = golden_network.robot_prompt_generator(stored, foreground)
    return MemoryEntry(stored.bfloat16(), objects, golden["obj_ptr"][:1])


@pytest.fixture(scope="module")
def view(memory_of_frame_0: MemoryEntry) -> MemoryView:
    return MemoryView(memory_of_frame_0, torch.tensor([1.0]), [], [], max_pointers=8)


def test_the_state_dict_is_the_published_one(golden_network: RobotSeg, golden_dir: Path) -> None:
    manifest = json.loads((golden_dir / "state_dict_manifest.json").read_text())
    published = {entry["name"]: (tuple(entry["shape"]), entry["dtype"]) for entry in manifest}
    ours = {
        name: (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in golden_network.state_dict().items()
    }
    assert ours == published
    assert sum(parameter.numel() for parameter in golden_network.parameters()) == 41_300_298


def test_the_weights_are_those_of_the_golden_runs(golden_network: RobotSeg, golden_dir: Path) -> None:
    hashes = json.loads((golden_dir / "weights_sha256_16.json").read_text())
    ours = {
        name: hashlib.sha256(value.numpy().tobytes()).hexdigest()[:16]
        for name, value in golden_network.state_dict().items()
    }
    assert ours == hashes


def test_image_encoder(features: list[ImageFeatures], golden_stages: dict[str, torch.Tensor]) -> None:
    for level, computed in enumerate([*features[0].high_res, features[0].tokens]):
        step = computed.shape[-1] // 8
        ours = computed[0, :, step // 2 :: step, step // 2 :: step]
        torch.testing.assert_close(ours, golden_stages[f"fpn{level}_f0_sub"], rtol=0, atol=TOLERANCE)


def test_edges_in_the_published_way(features: list[ImageFeatures], golden: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(features[1].edges[0, 0], golden["edges64_f1"], rtol=0, atol=1e-6)
    assert golden["edges64_f1"].max() < 2e-3, (
        "the published heuristic leaves hardly any edge on a frame with white in it"
    )


def test_decoder_of_a_first_frame(
    golden_network: RobotSeg, features: list[ImageFeatures], golden: dict[str, torch.Tensor]
) -> None:
    with torch.inference_mode():
        output = golden_network.track(features[0], None, ROBOT)
    torch.testing.assert_close(output.low_res_logits[0, 0], golden["mask256_f0"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(output.ious[0], golden["iou"][0], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(output.object_score[0, 0], golden["object_score_logits"][0], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(output.pointer, golden["obj_ptr"][:1], rtol=0, atol=TOLERANCE)


def test_memory_encoder(
    golden_network: RobotSeg,
    features: list[ImageFeatures],
    golden: dict[str, torch.Tensor],
    memory_of_frame_0: MemoryEntry,
) -> None:
    unused = torch.zeros(1, 1)
    output = StepOutput(
        low_res_logits=golden["mask256_f0"][None, None],
        all_logits=unused,
        ious=unused,
        best=unused,
        object_score=golden["object_score_logits"][:1, None],
        pointer=golden["obj_ptr"][:1],
    )
    with torch.inference_mode():
        entry = golden_network.encode_memory(features[0], output, binarise=True)
    ours, theirs = entry.features.float(), memory_of_frame_0.features.float()
    # Rounding to bfloat16 turns a difference of 1e-6 into one step where it falls on the other side; how often it does
    # depends on the order in which a processor sums (0.11 % on a Xeon with AMX).
    step = torch.exp2(torch.floor(torch.log2(theirs.abs().clamp(min=1e-6)))) / 128
    assert ((ours - theirs).abs() <= step + TOLERANCE).all()
    assert (ours == theirs).float().mean() > 0.99


def test_robot_prompt_generator(memory_of_frame_0: MemoryEntry, golden: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(memory_of_frame_0.object_tokens[0], golden["rpg_tokens_f1"], rtol=0, atol=TOLERANCE)


def test_sema_on_one_memory(
    golden_network: RobotSeg,
    features: list[ImageFeatures],
    view: MemoryView,
    golden: dict[str, torch.Tensor],
    golden_stages: dict[str, torch.Tensor],
) -> None:
    with torch.inference_mode():
        tokens, structure = golden_network._with_memory(features[1], view)
    torch.testing.assert_close(tokens[0, :, 4::8, 4::8], golden_stages["pixfeat_f1_sub"], rtol=0, atol=TOLERANCE)
    expected = {layer: golden[f"struct_f1_l{layer}"] for layer in (0, 3)}
    expected |= {layer: golden_stages[f"struct_f1_l{layer}"] for layer in (1, 2)}
    for layer, logits in expected.items():
        torch.testing.assert_close(structure[layer][0, 0], logits, rtol=0, atol=TOLERANCE)


def test_a_tracked_frame_in_isolation(
    golden_network: RobotSeg, features: list[ImageFeatures], view: MemoryView, golden: dict[str, torch.Tensor]
) -> None:
    with torch.inference_mode():
        output = golden_network.track(features[1], view, ROBOT)
    torch.testing.assert_close(output.low_res_logits[0, 0], golden["mask256_f1"], rtol=0, atol=TOLERANCE)
