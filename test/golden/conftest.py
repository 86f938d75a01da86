"""The published network with the deterministic weights of the golden data, and the clip they were run on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robotseg_ros.model import RobotSeg, build_network

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, GOLDEN / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def golden_clip() -> NDArray[np.uint8]:
    """Eight frames, uint8 (8, 1024, 1024, 3)."""
    clip: NDArray[np.uint8] = _module("gen_video").gen_video(7)
    return clip


@pytest.fixture(scope="session")
def golden_network() -> RobotSeg:
    """The published network, `edge_source: normalised`."""
    network = build_network("robotseg")
    network.load_state_dict(_module("fill_weights").fill(network.state_dict()))
    return network


@pytest.fixture(scope="session")
def golden_stages() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "golden1_stages_auto_robot.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}
