"""The boundary refiner: nothing until trained; then it corrects the mask shown, and nothing that is remembered."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from robotseg_ros.model import Prompt, RobotSeg, StepOutput, preset
from robotseg_ros.model.network import ABSENT_LOGIT
from robotseg_ros.model.refiner import BoundaryRefiner, enlarged

SMALL = dataclasses.replace(preset("robotseg_nano"), image_size=96)
PARTS = torch.arange(3)


@pytest.fixture
def network() -> RobotSeg:
    torch.manual_seed(4)
    network = RobotSeg(SMALL).eval().requires_grad_(False)
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(10.0)
    return network


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


def _refiner(network: RobotSeg) -> BoundaryRefiner:
    assert network.refiner is not None
    return network.refiner


def _track(network: RobotSeg, images: Tensor, parts: Tensor = PARTS) -> StepOutput:
    return network.track(network.encode_image(images), None, parts)


def _trained(network: RobotSeg) -> None:
    torch.manual_seed(5)
    torch.nn.init.normal_(_refiner(network).correction.weight, std=0.1)


def test_it_begins_as_the_identity(network: RobotSeg, images: Tensor) -> None:
    output = _track(network, images[:1])
    assert output.fine_logits is not None
    torch.testing.assert_close(output.fine_logits, enlarged(output.low_res_logits, 4))
    assert output.finest_logits is output.fine_logits


def test_what_is_remembered_does_not_depend_on_it(network: RobotSeg, images: Tensor) -> None:
    features = network.encode_image(images[:1])
    before = network.track(features, None, PARTS)
    memory = network.encode_memory(features, before, binarise=True)
    _trained(network)
    after = network.track(features, None, PARTS)
    again = network.encode_memory(features, after, binarise=True)
    assert not torch.allclose(after.finest_logits, before.finest_logits, atol=1e-3)
    assert torch.equal(after.low_res_logits, before.low_res_logits)
    assert torch.equal(memory.features, again.features) and torch.equal(memory.object_tokens, again.object_tokens)


def test_images_and_parts_do_not_touch_each_other(network: RobotSeg, images: Tensor) -> None:
    _trained(network)
    together = _track(network, images, torch.tensor([0, 2, 0, 2])).finest_logits
    for row, (image, part) in enumerate([(0, 0), (0, 2), (1, 0), (1, 2)]):
        alone = _track(network, images[image : image + 1], torch.tensor([part])).finest_logits
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


def test_it_sees_single_pixels(network: RobotSeg, images: Tensor) -> None:
    """A change of one pixel moves logits around that pixel and none far from it, given the same masks."""
    refiner = _refiner(network)
    _trained(network)
    finest, taken, candidates = torch.randn(1, 16, 24, 24), torch.randn(1, 1, 24, 24), torch.randn(1, 4, 24, 24)
    changed = images[:1].clone()
    changed[..., 40, 40] += 3
    before, after = (refiner(refiner.look(image, finest), taken, candidates) for image in (images[:1], changed))
    moved = (before - after).abs()[0, 0] > 1e-6
    assert moved[38:43, 38:43].any()
    assert not moved[:30].any() and not moved[52:].any() and not moved[:, :30].any() and not moved[:, 52:].any()


def test_an_absent_part_stays_absent(network: RobotSeg, images: Tensor) -> None:
    _trained(network)
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(-10.0)
    assert (_track(network, images[:1]).finest_logits == ABSENT_LOGIT).all()


def test_a_given_mask_is_shown_to_the_pixel(network: RobotSeg, images: Tensor) -> None:
    mask = (torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    output = network.track(network.encode_image(images[:1]), None, None, Prompt(mask=mask))
    assert torch.equal(output.finest_logits > 0, mask > 0)


def test_the_published_network_has_none() -> None:
    assert preset("robotseg").refiner_width == preset("robotseg_small").refiner_width == 0
    network = RobotSeg(dataclasses.replace(SMALL, refiner_width=0)).eval().requires_grad_(False)
    assert not any("refiner" in name for name in network.state_dict())
    output = _track(network, torch.randn(1, 3, 96, 96))
    assert output.fine_logits is None and output.finest_logits is output.low_res_logits
