"""What a model costs: operations are counted with attention, a multiply-add as two, and parts are paid for."""

import pytest
import torch
import torch.nn.functional as F

from robotseg_ros.evaluation.efficiency import efficiency, operations
from robotseg_ros.evaluation.sources import ModelSource


def test_a_matrix_product_counts_two_operations_for_a_multiply_add():
    left, right = torch.ones(8, 16), torch.ones(16, 4)
    assert operations(lambda: left @ right) == 2 * 8 * 16 * 4


def test_attention_counts_as_its_two_products():
    query, key, value = (torch.ones(1, 2, length, 8) for length in (5, 7, 7))
    assert operations(lambda: F.scaled_dot_product_attention(query, key, value)) == 2 * (2 * 2 * 5 * 7 * 8)


def test_a_model_is_measured_with_full_memories():
    one = efficiency(ModelSource(), "cpu", ("arm",), frames=3)
    two = efficiency(ModelSource(), "cpu", ("arm", "gripper"), frames=3)
    assert 3e6 < one.parameters == two.parameters < 4e6
    assert one.gflops < two.gflops < 2 * one.gflops, "the image is encoded once for all parts"
    assert 0 < one.median_ms <= one.p95_ms and one.peak_mb > 50
    assert len(one.cells()) == len(one.HEADER)


def test_a_missing_model_is_named():
    with pytest.raises(ValueError, match="there is no model 'robby'"):
        efficiency(ModelSource("robby"), "cpu", ("arm",))
