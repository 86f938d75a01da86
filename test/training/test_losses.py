"""Losses on cases whose answer is known."""

import math

import pytest
import torch
import torch.nn.functional as F

from robotseg_ros.model.network import StepOutput
from robotseg_ros.training import losses
from robotseg_ros.training.settings import LossSettings


def square(side: int = 32) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., 8:24, 8:24] = 1
    return mask


def sure(mask: torch.Tensor) -> torch.Tensor:
    return (mask * 2 - 1) * 20


def test_focal_at_even_odds_is_the_weighted_quarter_of_log_2():
    ones, zeros = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    assert losses.focal(zeros, ones).item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert losses.focal(zeros, zeros).item() == pytest.approx(0.75 * 0.25 * math.log(2))


def test_perfect_masks_cost_nothing_and_opposite_ones_much():
    low = square()
    weight = losses.boundary_weight(low)
    assert losses.focal(sure(low), low).item() < 1e-6
    assert losses.dice(sure(low), low).item() == pytest.approx(0, abs=1e-4)
    assert losses.boundary_entropy(sure(low), low, weight, 4.0).item() < 1e-6
    assert losses.dice(sure(1 - low), low).item() > 0.99


def test_dice_of_a_half_covered_square():
    half = square()
    half[..., 16:] = 0
    expected = 1 - (2 * 128 + 1) / (128 + 256 + 1)
    assert losses.dice(sure(half), square()).item() == pytest.approx(expected, abs=1e-4)


def test_boundary_errors_weigh_more_than_errors_inside():
    low, weight = square(), losses.boundary_weight(square())
    at_edge, inside = low.clone(), low.clone()
    at_edge[..., 8, 8:12], inside[..., 15, 14:18] = 0, 0
    edge_loss = losses.boundary_entropy(sure(at_edge), low, weight, 4.0)
    assert edge_loss.item() == pytest.approx(5 * losses.boundary_entropy(sure(inside), low, weight, 4.0).item())


def test_true_iou_counts_two_empty_masks_as_agreement():
    low = square()
    assert losses.true_iou(sure(low), low).item() == 1
    assert losses.true_iou(sure(0 * low), 0 * low).item() == 1
    assert losses.true_iou(sure(0 * low), low).item() == 0
    assert losses.iou_error(torch.tensor([[0.7]]), sure(low), low).item() == pytest.approx(0.3)


def test_the_structure_target_is_the_outline_on_the_token_grid():
    target = losses.structure_target(F.interpolate(square(), scale_factor=2), 8)
    assert target.shape == (1, 1, 8, 8)
    assert target.max() == pytest.approx(1)
    assert target[0, 0, 3, 3] == 0 and target[0, 0, 7, 7] == 0  # inside and far outside
    assert target[0, 0, 2, 2] > 0 and target[0, 0, 2, 4] > 0
    wrong = losses.structure_error([torch.full((1, 1, 8, 8), -30.0)], target)
    assert wrong.item() == pytest.approx(target.mean().item())


def test_only_the_best_candidate_is_trained_but_for_the_share():
    low = square()
    candidates = torch.cat([sure(1 - low), sure(low), sure(0 * low)], 1).requires_grad_()
    targets = losses.make_targets(low, 32, None)
    alone = losses.mask_loss(candidates, targets, LossSettings(candidate_share=0.0))
    assert sum(term.item() for term in alone.values()) == pytest.approx(0, abs=1e-3)
    shared = losses.mask_loss(candidates, targets, LossSettings(candidate_share=0.5))
    assert shared["dice"].item() > 0.1


def step_output(logits: torch.Tensor, score: float, **more: object) -> StepOutput:
    one = torch.ones(1, 1)
    return StepOutput(logits, logits, one, torch.zeros(1, dtype=torch.long), score * one, one, **more)


def test_an_absent_part_is_the_object_scores_business_alone():
    empty = torch.zeros(1, 1, 32, 32)
    targets = losses.make_targets(empty, 32, 8)
    output = step_output(sure(1 - empty), score=8.0, structure=[torch.zeros(1, 1, 8, 8)])
    terms = losses.frame_loss(output, targets, LossSettings())
    assert terms["object"].item() == pytest.approx(8.0, abs=1e-2)
    assert sum(value.item() for name, value in terms.items() if name != "object") == 0


def refined_terms(fine: torch.Tensor, score: float) -> dict[str, torch.Tensor]:
    targets = losses.make_targets(square(), 8, None)
    return losses.frame_loss(step_output(sure(targets.low), score, fine_logits=fine), targets, LossSettings())


def test_a_refined_mask_is_judged_by_every_pixel_of_the_true_one():
    one_off = square()
    one_off[..., 8, 8] = 0
    assert refined_terms(sure(square()), 8.0)["fine"].item() == pytest.approx(0, abs=1e-3)
    assert refined_terms(sure(one_off), 8.0)["fine"].item() > 0.01
    far = square()
    far[..., 15, 15] = 0  # as many pixels wrong, but none near the boundary
    assert refined_terms(sure(far), 8.0)["fine"].item() < refined_terms(sure(one_off), 8.0)["fine"].item()


def test_a_part_that_is_not_found_teaches_the_refiner_nothing():
    fine = torch.full((1, 1, 32, 32), -1024.0, requires_grad=True)
    loss = refined_terms(fine, -8.0)["fine"]
    loss.backward()
    assert loss.item() == 0 and fine.grad.abs().max() == 0
