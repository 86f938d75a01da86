"""Models are found by name or file, and a wrong name or file is explained."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from robotseg_ros.model import (
    CheckpointError,
    available_models,
    build_network,
    load_model,
    model_info,
)
from robotseg_ros.model.config import PRESETS


def test_the_models_we_ship_are_there() -> None:
    assert {"robotseg", "robotseg_nano"} <= set(available_models())
    for name in available_models():
        info = model_info(name)
        assert info.name == name and info.config.name in PRESETS and info.description and info.source


def test_the_published_model_brings_no_weights_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert model_info("robotseg").checkpoint is None
    assert model_info("robotseg").config.edge_source == "normalised"
    with caplog.at_level(logging.WARNING):
        network = build_network("robotseg")
    assert "weights are random" in caplog.text
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_a_model_without_weights_cannot_be_used() -> None:
    with pytest.raises(CheckpointError, match="robotseg comes without weights.*Where to get it"):
        load_model("robotseg")


def test_the_small_model_comes_with_its_weights() -> None:
    info = model_info("robotseg_nano")
    assert info.checkpoint is not None and info.checkpoint.is_file()
    assert info.checkpoint.stat().st_size < 30e6
    assert build_network("robotseg_nano").config.edge_source == "rgb"


def test_the_edge_source_can_be_chosen() -> None:
    assert build_network("robotseg_nano", edge_source="normalised").config.edge_source == "normalised"


def test_the_same_weights_serve_another_input_size(tmp_path: Path) -> None:
    path = tmp_path / "smaller.yaml"
    path.write_text(f"preset: robotseg_nano\nimage_size: 192\ncheckpoint: {model_info('robotseg_nano').checkpoint}\n")
    smaller, usual = build_network(path), build_network("robotseg_nano")
    assert smaller.config.image_size == 192 < usual.config.image_size
    assert all(torch.equal(smaller.state_dict()[name], tensor) for name, tensor in usual.state_dict().items())


def test_a_model_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("preset: robotseg_nano\ncheckpoint: weights/mine.safetensors\n")
    info = model_info(path)
    assert (info.name, info.checkpoint) == ("mine", tmp_path / "weights/mine.safetensors")
    with pytest.raises(CheckpointError, match="mine.safetensors does not exist"):
        build_network(path)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("preset: nothing", "presets are"),
        ("name: x", "no 'preset'"),
        ("preset: robotseg_nano\nweights: a", "unknown keys"),
        ("preset: robotseg_nano\nedge_source: bgr", "edge_source is 'bgr'"),
        ("preset: robotseg_nano\nimage_size: 250", "image_size is 250; it must be a multiple of 32"),
        ("preset: robotseg_nano\nimage_size: large", "wrong.yaml"),
        ("- a", "must be a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_model_file_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=expected):
        model_info(path)


@pytest.mark.parametrize("name", ["robotseg_huge", "../robotseg", "missing.yaml"])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there is no model|does not exist"):
        model_info(name)
