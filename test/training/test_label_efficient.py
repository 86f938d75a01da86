"""LET's losses on frames without labels, and the pseudo-masks, on cases whose answer is known."""

import numpy as np
import pytest
import torch

from robotseg_ros.model.config import preset
from robotseg_ros.model.network import RobotSeg, StepOutput
from robotseg_ros.training.dense_head import DenseHead
from robotseg_ros.training.label_efficient import at_patches, masked_mean, patch_error, semantic_error
from robotseg_ros.training.losses import make_targets
from robotseg_ros.training.objective import Objective, Streamed
from robotseg_ros.training.prompts import corrected, point_prompt
from robotseg_ros.training.pseudo_masks import PatchFeatures, dinov3_features, neighbourhood, propagate
from robotseg_ros.training.resized import resized
from robotseg_ros.training.samples import Batch
from robotseg_ros.training.settings import LossSettings, PromptSettings, TrainSettings


def two_halves(side: int = 8) -> torch.Tensor:
    """Features (1, 2, side, side): (1, 0) on the left half, (0, 1) on the right."""
    features = torch.zeros(1, 2, side, side)
    features[:, 0, :, : side // 2] = 1
    features[:, 1, :, side // 2 :] = 1
    return features


def test_the_semantic_loss_is_one_minus_the_cosine():
    features = two_halves()
    left, right = features[:, :1], features[:, 1:]
    reference = masked_mean(features, left)
    assert semantic_error(features, left, reference).item() == pytest.approx(0)
    assert semantic_error(features, right, reference).item() == pytest.approx(1)
    both = torch.ones_like(left)
    assert semantic_error(features, both, reference).item() == pytest.approx(1 - 2**-0.5)


def test_the_semantic_loss_moves_the_mask_towards_the_part():
    features = two_halves()
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    semantic_error(features, torch.sigmoid(logits), masked_mean(features, features[:, :1])).sum().backward()
    assert (logits.grad[..., :4] < 0).all() and (logits.grad[..., 4:] > 0).all()


def test_the_patch_loss_is_one_minus_the_soft_iou():
    left = two_halves()[:, :1]
    assert patch_error(left, left).item() == pytest.approx(0)
    assert patch_error(left, 1 - left).item() == pytest.approx(1 - 1 / 65)
    assert patch_error(0 * left, 0 * left).item() == pytest.approx(0)
    assert patch_error(torch.ones_like(left), left).item() == pytest.approx(1 - 33 / 65)


def test_probabilities_are_averaged_over_patches():
    logits = torch.full((1, 1, 8, 8), -50.0)
    logits[..., :2, :1] = 50
    assert at_patches(logits, 4)[0, 0, 0, 0].item() == pytest.approx(0.5)


def test_pseudo_masks_follow_a_part_that_moves():
    frames = 4
    features = torch.zeros(1, frames, 3, 10, 10)
    features[:, :, 2] = 1  # background
    for time in range(frames):
        for channel, row in ((0, 2), (1, 6)):  # two parts, moving right by a patch a frame
            features[0, time, :, row : row + 2, 1 + time : 4 + time] = 0
            features[0, time, channel, row : row + 2, 1 + time : 4 + time] = 1
    first = features[:, 0, :2]
    masks = propagate(features, first)
    assert masks.shape == (1, frames, 2, 10, 10)
    assert torch.equal(masks > 0.5, features[:, :, :2] > 0.5)
    assert masks.min() >= 0 and masks.max() <= 1 + 1e-6


def test_patches_beyond_the_radius_do_not_vote():
    near = neighbourhood(4, 4, 1.0)
    assert near[0].nonzero().flatten().tolist() == [0, 1, 4]
    features = torch.ones(1, 2, 1, 12, 12)
    first = torch.zeros(1, 1, 12, 12)
    first[..., :2, :2] = 1
    assert propagate(features, first)[0, 1, 0, 6:, 6:].sum() == 0


def test_dinov3_needs_its_folder_and_downloads_nothing(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed: only who brings DINOv3 needs it")
    with pytest.raises(FileNotFoundError, match="no DINOv3 there"):
        dinov3_features(str(tmp_path))


def test_dinov3s_patches_lie_where_they_lie_in_the_picture(tmp_path):
    """A small DINOv3 of random weights whose layers pass on what the patches show."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: only who brings DINOv3 needs it"
    )
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 16,
    }
    torch.manual_seed(0)
    transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**sizes)).save_pretrained(tmp_path)
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    images[:, :, 32:] = 255
    found = dinov3_features(str(tmp_path), short_side=64)(images)
    assert found.shape == (1, 32, 4, 4)
    within = torch.cosine_similarity(found[..., 0, 0], found[..., 3, 0]).item()
    across = torch.cosine_similarity(found[..., 0, 0], found[..., 0, 3]).item()
    assert within > across


def batch(labelled: int) -> Batch:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8))
    labels = torch.zeros(2, labelled, 64, 64, dtype=torch.uint8)
    labels[:, :, 10:40, 10:40] = 1
    labels[:, :, 30:40, 30:40] = 2
    return Batch(3, True, images, labels, (0, 1, 2, 3, 2, 1, 0))


def terms_of(
    labelled: int, losses: LossSettings, prompts: PromptSettings, features: PatchFeatures | None = None
) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = resized(RobotSeg(preset("robotseg_nano")), 64)
    settings = TrainSettings(losses=losses, prompts=prompts)
    return Objective(settings, DenseHead(network.config), features).terms(network, batch(labelled))


ALONE = PromptSettings(points_or_box=0.0, mask=0.0)


def test_frames_without_labels_teach_by_semantic_and_patch_loss():
    terms = terms_of(1, LossSettings(), ALONE)
    assert terms.keys() >= {"semantic", "patch", "structure", "dense", "focal", "dice", "object"}
    assert all(torch.isfinite(value) for value in terms.values())
    assert 0 < terms["patch"] <= 1
    assert "patch" not in terms_of(4, LossSettings(), ALONE)


def test_each_of_the_losses_can_be_left_out():
    without = terms_of(1, LossSettings(semantic=0.0, patch=0.0, structure=0.0), ALONE)
    assert not without.keys() & {"semantic", "patch"} and without.get("structure", torch.zeros(())).item() == 0
    cycle, none = terms_of(1, LossSettings(), ALONE), terms_of(1, LossSettings(cycle=0.0), ALONE)
    assert none["dice"] < cycle["dice"]  # the last frame's part of the mean is gone


def test_patch_features_of_another_network_decide_about_the_pseudo_masks_alone():
    def colours(images: torch.Tensor) -> torch.Tensor:
        assert images.shape == (8, 64, 64, 3) and images.dtype == torch.uint8
        return torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 8)

    own, given = terms_of(1, LossSettings(), ALONE), terms_of(1, LossSettings(), ALONE, colours)
    assert {name for name in own if not torch.equal(own[name], given[name])} == {"patch"}


def shown(logits: torch.Tensor, structure: list[torch.Tensor]) -> StepOutput:
    """A frame's output with one candidate, of a part that is surely there and whose mask is surely right."""
    ones = torch.ones(len(logits), 1)
    return StepOutput(logits, logits, ones, torch.zeros(len(logits), dtype=torch.long), 20 * ones, ones, structure)


@pytest.mark.parametrize("cycle", [1.0, 0.5, 0.0])
def test_the_cycle_loss_is_the_first_frames_loss_at_the_palindromes_end(cycle):
    mask = torch.zeros(3, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    targets = make_targets(mask, 32, 8)
    right, wrong = (40 * mask - 20), (20 - 40 * mask)
    none = [torch.full((3, 1, 8, 8), -30.0)]
    objective = Objective(TrainSettings(losses=LossSettings(cycle=cycle)), torch.nn.Identity())
    outputs = [shown(right, []), shown(wrong, none), shown(wrong, none)]
    terms = objective._labelled_terms(Streamed(outputs, (0, 1, 0)), [targets])
    dice_of_opposites = 1 - 1 / (32 * 32 + 1)
    assert terms["dice"].item() == pytest.approx(cycle * dice_of_opposites / 2, abs=1e-4)
    assert terms["iou"].item() == pytest.approx(cycle / 2, abs=1e-4)
    assert terms["structure"].item() == pytest.approx(targets.structure.mean().item())  # a loss of its own


@pytest.mark.parametrize("prompts", [PromptSettings(points_or_box=1.0, mask=0.0), PromptSettings(0.0, 1.0)])
def test_prompted_clips_give_finite_losses(prompts):
    terms = terms_of(1, LossSettings(), prompts)
    assert all(torch.isfinite(value) for value in terms.values())


def test_a_correction_click_lies_in_the_error_and_says_what_is_right():
    rng = np.random.default_rng(0)
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, 0, :16] = 1
    logits = torch.full((2, 1, 8, 8), -10.0)
    logits[0, :, :6] = 10  # too much: the error lies in rows 16 to 23
    logits[1, :, :4] = 10  # right
    prompt = corrected(rng, point_prompt(rng, masks), logits, masks)
    assert prompt.labels[0].tolist() == [1, 0] and 14 <= prompt.points[0, 1, 1] <= 26
    assert prompt.labels[1, 0].item() == 1 and prompt.points.shape == (2, 2, 2)
