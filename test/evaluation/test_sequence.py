"""Scores of sequences: matching by stamp, means, frames without a mask, tables and latencies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robotseg_ros.evaluation.sequence import score_sequence
from robotseg_ros.evaluation.table import text_table
from robotseg_ros.evaluation.timing import Latency

ARM = np.zeros((20, 30), bool)
ARM[5:15, 5:15] = True
NOTHING = np.zeros_like(ARM)


def test_masks_are_matched_by_stamp_and_not_by_order() -> None:
    predicted = {200: {"arm": NOTHING}, 100: {"arm": ARM}}
    scores = score_sequence(predicted, [(100, {"arm": ARM}), (200, {"arm": NOTHING})], ["arm"])
    assert scores.parts["arm"].j_and_f == 1.0


def test_part_scores_are_means_over_frames() -> None:
    predicted = {1: {"arm": ARM}, 2: {"arm": NOTHING}}
    scores = score_sequence(predicted, [(1, {"arm": ARM}), (2, {"arm": ARM})], ["arm"]).parts["arm"]
    assert [frame.j for frame in scores.frames] == [1.0, 0.0]
    assert (scores.j, scores.f, scores.j_and_f) == (0.5, 0.5, 0.5)


def test_dropped_frames_are_listed_and_not_scored() -> None:
    scores = score_sequence({1: {"arm": ARM}}, [(1, {"arm": ARM}), (2, {"arm": ARM})], ["arm"])
    assert scores.missing["arm"] == [2]
    assert [frame.stamp for frame in scores.parts["arm"].frames] == [1]


def test_a_part_without_true_masks_is_not_scored() -> None:
    scores = score_sequence({1: {"arm": ARM, "gripper": ARM}}, [(1, {"arm": ARM})], ["arm", "gripper"])
    assert scores.parts["gripper"].frames == []
    assert scores.missing["gripper"] == []
    assert math.isnan(scores.parts["gripper"].j_and_f)


def test_the_table_has_a_row_per_part_in_percent() -> None:
    scores = score_sequence({1: {"arm": ARM}}, [(1, {"arm": ARM}), (2, {"arm": ARM})], ["arm"])
    assert scores.table().splitlines()[-1].split() == ["arm", "1", "1", "100.0", "100.0", "100.0"]


def test_table_columns_are_aligned() -> None:
    lines = text_table(["part", "J"], [["arm", "9.5"], ["gripper", "10.0"]]).splitlines()
    assert lines == ["part        J", "-------  ----", "arm       9.5", "gripper  10.0"]


def test_a_table_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        text_table(["part"], [["arm", "9.5"]])


def test_latency_leaves_out_unknown_times() -> None:
    latency = Latency.of([10.0, float("nan"), 30.0, 20.0])
    assert (latency.count, latency.median, latency.worst) == (3, 20.0, 30.0)
    assert latency.p95 == pytest.approx(29.0)


def test_latency_of_nothing_is_unknown() -> None:
    assert math.isnan(Latency.of([]).median)
