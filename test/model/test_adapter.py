"""Adapters change nothing when new, travel in a small file, and are swapped without touching the base."""

import pytest
import torch

from robotseg_ros.model import (
    CheckpointError,
    RobotSeg,
    add_adapter,
    load_adapter,
    preset,
    save_adapter,
    save_checkpoint,
)
from robotseg_ros.training.resized import resized
from robotseg_ros.training.rollout import encode, first_frame


@pytest.fixture
def network():
    torch.manual_seed(0)
    return resized(RobotSeg(preset("robotseg_nano")), 64).eval()


@torch.no_grad()
def logits(network):
    images = torch.arange(64 * 64 * 3, dtype=torch.uint8).view(1, 64, 64, 3)
    return first_frame(network, encode(network, images, bf16=False), None).all_logits


def test_a_new_adapter_changes_nothing_and_freezes_the_rest(network):
    before, names = logits(network), set(network.state_dict())
    adapter = add_adapter(network, rank=4)
    assert torch.equal(logits(network), before)
    trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trainable and all(name.startswith("adapter.") for name in trainable)
    load_adapter(network, None)
    assert set(network.state_dict()) == names
    assert sum(parameter.numel() for parameter in adapter.parameters()) < 3000


def test_adapters_are_swapped_by_file(network, tmp_path):
    before = logits(network)
    add_adapter(network, rank=4)
    torch.nn.init.normal_(network.adapter.tokens.up.weight)
    torch.nn.init.normal_(network.adapter.class_tokens)
    adapted = logits(network)
    save_adapter(network, tmp_path / "mine.safetensors")
    load_adapter(network, None)
    assert torch.equal(logits(network), before) and not torch.equal(adapted, before)
    load_adapter(network, tmp_path / "mine.safetensors")
    assert torch.equal(logits(network), adapted)


def test_what_is_no_adapter_of_this_model_is_refused(network, tmp_path):
    save_checkpoint(network, tmp_path / "whole.safetensors")
    with pytest.raises(CheckpointError, match="not an adapter"):
        load_adapter(network, tmp_path / "whole.safetensors")
    other = RobotSeg(preset("robotseg_small"))
    add_adapter(other, rank=4)
    save_adapter(other, tmp_path / "small.safetensors")
    with pytest.raises(CheckpointError, match="robotseg_small; it does not fit robotseg_nano"):
        load_adapter(network, tmp_path / "small.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_adapter(network, tmp_path / "none.safetensors")
    load_adapter(network, None)
    with pytest.raises(ValueError, match="no adapter"):
        save_adapter(network, tmp_path / "none.safetensors")
