"""Devices are chosen by name, and a prepared network gives the plain network's masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robotseg_ros.model import RobotSeg, preset
from robotseg_ros.runtime import DeviceError, prepare, select_device
from robotseg_ros.streaming import StreamSegmenter


def test_the_cpu_is_always_there() -> None:
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", ""])
def test_a_device_that_is_not_there_is_explained(name: str) -> None:
    with pytest.raises(DeviceError, match="devices are auto, cpu"):
        select_device(name)


def _trained_looking_network() -> RobotSeg:
    """Batch statistics away from their initial values, so that folding them has something to get wrong."""
    torch.manual_seed(2)
    network = RobotSeg(preset("robotseg_nano")).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_()
    return network


@pytest.mark.parametrize("precision, tolerance", [("float32", 2e-2), ("bfloat16", 2.0)])
def test_a_prepared_network_gives_the_plain_masks(precision: str, tolerance: float) -> None:
    network = _trained_looking_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain, fast = StreamSegmenter(network), StreamSegmenter(prepare(network, precision))
    rng = np.random.default_rng(0)
    for _ in range(4):
        frame = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        ours, theirs = fast.step(frame), plain.step(frame)
        scale = np.abs(theirs.low_res_logits["arm"]).max()
        np.testing.assert_allclose(
            ours.low_res_logits["arm"], theirs.low_res_logits["arm"], rtol=0, atol=tolerance * max(1.0, scale / 10)
        )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_structure_branches_without_effect_are_left_out(strength: float) -> None:
    torch.manual_seed(0)
    config = preset("robotseg_nano")
    sema = RobotSeg(config).memory_attention.eval().requires_grad_(False)
    for layer in sema.layers:
        layer.structure_strength.fill_(strength)
    tokens, memory = torch.randn(1, config.grid**2, config.d_model), torch.randn(3, config.grid**2, config.memory_dim)
    inputs = (tokens, torch.zeros_like(tokens), torch.rand(1, 1, config.grid, config.grid), memory, memory)
    all_gates, gates = sema(*inputs)
    sema.without_idle_gates()
    without, fewer = sema(*inputs)
    torch.testing.assert_close(without, all_gates, rtol=0, atol=2e-5)
    assert len(gates) == config.attention_layers
    assert len(fewer) == (0 if strength == 0 else config.attention_layers - 1)
    assert sema.uses_edges == (strength != 0)
    sema.layers[0].gated = False  # an earlier one has an effect, unless its gate is off
    assert torch.allclose(sema(*inputs)[0], all_gates, rtol=0, atol=2e-5) == (strength == 0)


@pytest.mark.parametrize("precision, tensor_float", [("float32", False), ("bfloat16", True)])
def test_float32_means_float32_on_a_gpu_too(
    precision: str, tensor_float: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare(RobotSeg(preset("robotseg_nano")), precision)
    assert torch.backends.cudnn.allow_tf32 is tensor_float


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="one of float32, bfloat16"):
        prepare(RobotSeg(preset("robotseg_nano")), "int4")
