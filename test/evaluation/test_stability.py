"""Steadiness of masks where nobody knows the truth."""

import cv2
import numpy as np
import pytest

from robotseg_ros.evaluation.stability import StabilityMeter


def scene(shift=0.0):
    """A textured picture that moves to the right, and the mask of a thing in it that moves along."""
    rng = np.random.default_rng(1)
    grey = cv2.GaussianBlur(rng.uniform(0, 255, (120, 160)).astype(np.float32), (0, 0), 3)
    grey = np.uint8(255 * (grey - grey.min()) / np.ptp(grey))
    mask = np.zeros((120, 160), np.uint8)
    mask[40:90, 50:90] = 1
    motion = np.float32([[1, 0, shift], [0, 1, 0]])
    moved, moved_mask = (
        cv2.warpAffine(plane, motion, (160, 120), borderMode=cv2.BORDER_REFLECT) for plane in (grey, mask)
    )
    return np.repeat(moved[..., None], 3, 2), moved_mask > 0


def measured(frames, scores=None):
    meter = StabilityMeter()
    for index, (image, mask) in enumerate(frames):
        meter.add(image, {"robot": mask}, {"robot": scores[index]} if scores else {})
    return meter.parts["robot"]


def test_masks_that_move_with_the_picture_are_steady():
    steady = measured([scene(3.0 * index) for index in range(5)])
    assert np.isnan(steady.iou[0]) and min(steady.iou[1:]) > 0.93
    assert (steady.flicker, steady.area_jumps, steady.score_dips) == (0, 0, 0)
    still = scene()[1]
    left_behind = measured([(scene(6.0 * index)[0], still) for index in range(5)])
    assert max(left_behind.iou[1:]) < 0.9 < min(steady.iou[1:])


def test_flicker_and_jumps_are_counted():
    image, mask = scene()
    empty, large = np.zeros_like(mask), np.ones_like(mask)
    steady = measured([(image, m) for m in (mask, empty, empty, mask, large, mask)])
    assert (steady.flicker, steady.area_jumps) == (2, 2)
    assert np.isnan(steady.iou[2]) and steady.iou[1] == 0


def test_dips_of_the_object_score_are_counted():
    image, mask = scene()
    scores = [9.0, 9.1, 8.8, 9.0, 9.2, 9.0, 1.0, 9.0, 8.0]
    assert measured([(image, mask)] * len(scores), scores).score_dips == 1


def test_a_change_of_size_begins_anew():
    image, mask = scene()
    meter = StabilityMeter()
    meter.add(image, {"robot": mask}, {})
    found = meter.add(image[:100], {"robot": mask[:100]}, {})
    assert np.isnan(found["robot"])


def test_the_summary_is_of_what_is_known():
    image, mask = scene()
    summary = measured([(image, mask)] * 3).as_dict()
    assert summary["iou"] == pytest.approx(1.0) and summary["iou_p5"] == pytest.approx(1.0)
    assert np.isnan(measured([(image, mask)]).as_dict()["iou"])
