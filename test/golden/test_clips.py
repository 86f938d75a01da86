"""A stream of the published network gives the published masks, frame by frame."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robotseg_ros.model import RobotSeg
from robotseg_ros.runtime import prepare
from robotseg_ros.streaming import StreamSegmenter

CLIP_POINTERS = 8  # the published predictor limits pointers to the clip's length

Golden = dict[str, NDArray[np.float32]]


def _tolerance(frame: int) -> float:
    """Memories are rounded to bfloat16, which amplifies 1e-6 of noise to 4e-3 within a few frames."""
    return {0: 1e-3, 1: 2e-3}.get(frame, 2e-2)


def _run(network: RobotSeg, clip: NDArray[np.uint8], golden: Golden, prompt: dict[str, Any] | None = None) -> None:
    stream = StreamSegmenter(network, parts=("robot",), max_pointers=CLIP_POINTERS)
    if prompt is not None:
        stream.prompt("robot", **prompt)
    for index, frame in enumerate(clip):
        result = stream.step(frame)
        logits = result.low_res_logits["robot"]
        blocks = logits.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(blocks, golden["masks64"][index], rtol=0, atol=_tolerance(index))
        assert result.object_score["robot"] == pytest.approx(golden["object_score_logits"][index], abs=5e-3)
        assert result.predicted_iou["robot"] == pytest.approx(np.nanmax(golden["iou"][index]), abs=5e-3)
        full = golden.get(f"mask256_f{index}")
        if full is not None:
            np.testing.assert_allclose(logits, full, rtol=0, atol=_tolerance(index))
            assert _iou(logits > 0, full > 0) >= 0.999


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def _golden(folder: Path, name: str) -> Golden:
    with np.load(folder / f"{name}.npz") as file:
        return {key: np.asarray(file[key]) for key in file.files}


def _with_edges(network: RobotSeg, edge_source: str) -> RobotSeg:
    """The same weights with another edge source."""
    other = RobotSeg(replace(network.config, edge_source=edge_source)).eval().requires_grad_(False)
    other.load_state_dict(network.state_dict(), assign=True)
    return other


FIRST = 4  # frames of the fast tests: the first with memories of both kinds and pointers of several ages comes last


def test_automatic_first_frames(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    _run(golden_network, golden_clip[:FIRST], _golden(golden_dir, "golden1_auto_robot"))


def test_point_prompt_first_frames(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    golden = _golden(golden_dir, "golden1_point_robot")
    _run(golden_network, golden_clip[:2], golden, {"points": [(512, 480)], "labels": [1]})


def test_edges_of_the_picture_first_frames(
    golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path
) -> None:
    golden = _golden(golden_dir, "golden2_rgbraw_auto_robot")
    golden.pop("mask256_f0", None)
    _run(_with_edges(golden_network, "rgb"), golden_clip[:2], golden)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_automatic_on_cuda(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    network = prepare(copy.deepcopy(golden_network).to("cuda"))
    _run(network, golden_clip, _golden(golden_dir, "golden1_auto_robot"))


@pytest.mark.slow
def test_automatic(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    _run(golden_network, golden_clip, _golden(golden_dir, "golden1_auto_robot"))


@pytest.mark.slow
def test_point_prompt(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    golden = _golden(golden_dir, "golden1_point_robot")
    _run(golden_network, golden_clip, golden, {"points": [(512, 480)], "labels": [1]})


@pytest.mark.slow
def test_edges_of_the_picture(golden_network: RobotSeg, golden_clip: NDArray[np.uint8], golden_dir: Path) -> None:
    _run(_with_edges(golden_network, "rgb"), golden_clip, _golden(golden_dir, "golden2_rgbraw_auto_robot"))


def test_the_golden_clip_tells_frames_apart(golden_dir: Path) -> None:
    """The tolerances mean something: masks of neighbouring frames, and of the three runs, differ by far more."""
    runs = ("golden1_auto_robot", "golden1_point_robot", "golden2_rgbraw_auto_robot")
    masks = torch.stack([torch.from_numpy(_golden(golden_dir, run)["masks64"]) for run in runs])
    assert (masks[:, 1:] - masks[:, :-1]).abs().amax(dim=(2, 3)).min() > 0.1
    assert (masks[0] - masks[1]).abs().amax() > 0.1
