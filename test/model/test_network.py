"""The network's promises that the golden data do not cover: sizes from the config, mask prompts, parts, statelessness."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from robotseg_ros.model import MemoryEntry, MemoryView, ModelConfig, Prompt, RobotSeg, preset
from robotseg_ros.model.config import HieraTrunk, MobileTrunk
from robotseg_ros.model.mask_decoder import choose_mask, stability

NANO = preset("robotseg_nano")
SMALL_HIERA = dataclasses.replace(NANO, trunk=HieraTrunk(embed_dim=16, stages=(1, 1, 2, 1), global_blocks=(3,)))


@pytest.fixture(scope="module")
def network() -> RobotSeg:
    torch.manual_seed(3)
    return RobotSeg(NANO).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(1, 3, NANO.image_size, NANO.image_size)


def _view(entry: MemoryEntry) -> MemoryView:
    ages = torch.ones(entry.pointer.shape[0])
    return MemoryView(entry, ages, [], [], max_pointers=NANO.max_pointers)


@pytest.mark.parametrize(
    "config",
    [
        NANO,
        dataclasses.replace(NANO, image_size=160, d_model=64, num_maskmem=2),
        dataclasses.replace(
            NANO, trunk=MobileTrunk(8, (((1, 8, 1),), ((2, 8, 1),), ((2, 16, 1),), ((2, 24, 1),), ((2, 32, 1),)))
        ),
        SMALL_HIERA,
    ],
)
def test_every_size_follows_from_the_config(config: ModelConfig) -> None:
    network = RobotSeg(config).eval().requires_grad_(False)
    parts = torch.arange(3)
    features = network.encode_image(torch.randn(1, 3, config.image_size, config.image_size))
    first = network.track(features, None, parts)
    entry = network.encode_memory(features, first, binarise=True)
    second = network.track(features, _view(entry), parts)
    assert second.low_res_logits.shape == (3, 1, config.low_res, config.low_res)
    assert second.ious.shape == (3, 3)
    assert entry.features.shape == (3, config.tokens, config.memory_dim)
    assert entry.object_tokens.shape == (3, config.regions, config.d_model)
    assert [s.shape for s in second.structure] == [(3, 1, config.grid, config.grid)] * config.attention_layers


@pytest.mark.parametrize(
    "change", [{"image_size": 250}, {"d_model": 100}, {"edge_source": "bgr"}, {"num_maskmem": 1}, {"resize": "magic"}]
)
def test_a_config_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(NANO, **change)


def test_parts_of_one_image_are_rows_of_one_batch(network: RobotSeg, images: Tensor) -> None:
    features = network.encode_image(images)
    together = network.track(features, None, torch.arange(3))
    memory = network.encode_memory(features, together, binarise=True)
    tracked = network.track(features, _view(memory), torch.arange(3))
    for part in range(3):
        alone = network.track(features, None, torch.tensor([part]))
        torch.testing.assert_close(alone.all_logits[0], together.all_logits[part], rtol=1e-4, atol=1e-4)
        row = MemoryEntry(
            memory.features[part : part + 1], memory.object_tokens[part : part + 1], memory.pointer[part : part + 1]
        )
        tracked_alone = network.track(features, _view(row), torch.tensor([part]))
        torch.testing.assert_close(tracked_alone.all_logits[0], tracked.all_logits[part], rtol=1e-4, atol=1e-4)


def test_images_of_a_batch_do_not_touch_each_other(network: RobotSeg, images: Tensor) -> None:
    both = torch.cat([images, torch.randn_like(images)])
    features = network.encode_image(both)
    together = network.track(features, None, torch.tensor([0, 2, 0, 2]))
    alone = network.track(network.encode_image(both[1:]), None, torch.tensor([0, 2]))
    torch.testing.assert_close(together.all_logits[2:], alone.all_logits, rtol=1e-4, atol=1e-4)


def test_the_network_keeps_nothing_between_calls(network: RobotSeg, images: Tensor) -> None:
    ids = torch.tensor([2])
    first = network.track(network.encode_image(images), None, ids)
    other = network.encode_image(torch.randn_like(images))
    entry = network.encode_memory(other, network.track(other, None, ids), binarise=True)
    network.track(other, _view(entry), ids)
    again = network.track(network.encode_image(images), None, ids)
    assert torch.equal(first.all_logits, again.all_logits)


def test_a_mask_prompt_is_the_output_as_in_sam2(network: RobotSeg, images: Tensor) -> None:
    mask = torch.zeros(1, 1, NANO.image_size, NANO.image_size)
    mask[..., 60:180, 40:200] = 1.0
    features = network.encode_image(images)
    ours = network.track(features, None, None, Prompt(mask=mask))
    theirs = _sam2(network)._use_mask_as_output(features.tokens, features.high_res, mask)
    _, _, ious, low_res, _, pointer, score = theirs
    torch.testing.assert_close(ours.low_res_logits, low_res)
    torch.testing.assert_close(ours.pointer, pointer)
    torch.testing.assert_close(ours.object_score, score)
    torch.testing.assert_close(ours.ious, ious)


def test_an_empty_mask_prompt_says_that_the_part_is_absent(network: RobotSeg, images: Tensor) -> None:
    mask = torch.zeros(1, 1, NANO.image_size, NANO.image_size)
    output = network.track(network.encode_image(images), None, None, Prompt(mask=mask))
    assert output.object_score.item() < 0
    assert torch.equal(output.pointer, network.no_obj_ptr)


def _sam2(network: RobotSeg) -> SAM2Base:
    """SAM 2's own class with our network's weights."""
    other = SAM2Base(
        image_encoder=network.image_encoder,
        memory_attention=network.memory_attention,
        memory_encoder=network.memory_encoder,
        image_size=NANO.image_size,
        use_high_res_features_in_sam=True,
        use_obj_ptrs_in_encoder=True,
        proj_tpos_enc_in_obj_ptrs=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        use_mlp_for_obj_ptr_proj=True,
    )
    other.sam_prompt_encoder, other.sam_mask_decoder = network.sam_prompt_encoder, network.sam_mask_decoder
    other.mask_downsample, other.obj_ptr_proj = network.mask_downsample, network.obj_ptr_proj
    other.no_obj_ptr = network.no_obj_ptr
    return other.eval()


def test_two_points_give_one_mask_and_one_point_gives_three(network: RobotSeg, images: Tensor) -> None:
    features = network.encode_image(images)
    one = Prompt(torch.tensor([[[10.0, 10.0]]]), torch.tensor([[1]]))
    two = Prompt(torch.tensor([[[10.0, 10.0], [99.0, 80.0]]]), torch.tensor([[1, 0]]))
    assert network.track(features, None, torch.tensor([0]), one).ious.shape == (1, 3)
    assert network.track(features, None, torch.tensor([0]), two).ious.shape == (1, 1)


def test_an_unstable_single_mask_falls_back_to_the_best_candidate() -> None:
    logits = torch.zeros(2, 4, 8, 8)
    logits[0, 0] = 5.0  # stable
    logits[1, 0] = 0.0  # every pixel within delta of zero
    logits[:, 2] = 3.0
    ious = torch.tensor([[0.1, 0.2, 0.9, 0.3], [0.1, 0.2, 0.9, 0.3]])
    assert stability(logits[:, 0]).tolist() == [1.0, 0.0]
    chosen, iou, best = choose_mask(logits, ious, multimask=False)
    assert chosen[0, 0].mean() == 5.0 and chosen[1, 0].mean() == 3.0
    assert iou[:, 0].tolist() == pytest.approx([0.1, 0.9]) and best.tolist() == [0, 0]


def test_gradients_reach_every_part_of_the_network(images: Tensor) -> None:
    network = RobotSeg(NANO).train()
    ids = torch.arange(3)
    features = network.encode_image(images)
    with torch.no_grad():
        network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(5.0)
    first = network.track(features, None, ids)
    entry = network.encode_memory(features, first, binarise=False)
    second = network.track(features, _view(entry), ids)
    loss = second.finest_logits.mean() + second.all_logits.mean() + second.ious.mean() + second.object_score.mean()
    (loss + sum(s.mean() for s in second.structure)).backward()
    silent = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    # Only what this frame does not use: mask prompts, the first frame's and an absent part's vectors.
    assert silent <= {"mask_downsample", "no_mem_pos_enc", "no_obj_ptr", "sam_prompt_encoder", "robot_prompt_generator"}


def test_a_second_look_takes_what_expects_more_row_by_row_where_nobody_prompted(
    network: RobotSeg, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.arange(3)
    features = network.encode_image(images)
    fresh = network.track(features, None, ids)
    entry = network.encode_memory(network.encode_image(images.flip(-1)), fresh, binarise=True)
    remembered = network.track(features, _view(entry), ids)
    scores = iter([[0.3, 0.3, 0.7], [0.6, 0.6, 0.6]])  # predicted IoU of arm, gripper and robot: with memory, without
    decode = network.sam_mask_decoder.predict_masks

    def scored(**inputs: object) -> tuple[Tensor, ...]:
        logits, ious, tokens, score = decode(**inputs)
        best = ious == ious[:, 1:].amax(1, keepdim=True)
        return logits, torch.where(best, torch.tensor(next(scores))[:, None], 0.0), tokens, score

    monkeypatch.setattr(network.sam_mask_decoder, "predict_masks", scored)
    view = dataclasses.replace(_view(entry), unprompted=torch.tensor([True, False, True]))
    output = network.track(features, view, ids)
    assert not torch.allclose(fresh.finest_logits, remembered.finest_logits, atol=1e-2)
    for row, expected in enumerate((fresh, remembered, remembered)):  # better; better, but prompted; worse
        torch.testing.assert_close(output.finest_logits[row], expected.finest_logits[row], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(output.pointer[row], expected.pointer[row], atol=1e-4, rtol=1e-4)
    assert len(output.structure) == NANO.attention_layers


def test_no_second_look_in_the_published_network() -> None:
    assert not preset("robotseg").second_look and not preset("robotseg_small").second_look
