"""What a model costs: operations are counted with attention, a multiply-add as two, and parts are paid for."""

import pytest
import torch
import torch.nn.functional as F

from robotseg_ros.evaluation.efficiency import WARM_UP, efficiency, operations
from robotseg_ros.evaluation.sources import ModelSource


def test_a_matrix_product_counts_two_operations_for_a_multiply_add():
    left, right = torch.ones(8, 16), torch.ones(16, 4)
    assert operations(lambda: left @ right) == 2 * 8 * 16 * 4


def test_attention_counts_as_its_two_products():
    query, key, value = (torch.ones(1, 2, length, 8) for length in (5, 7, 7))
    assert operations(lambda: F.scaled_dot_product_attention(query, key, value)) == 2 * (2 * 2 * 5 * 7 * 8)


@pytest.mark.parametrize("grad", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_attention_counts_in_every_mode_and_once(grad):
    """Streams run in inference mode, in which an operation may reach the counter whole or taken apart."""
    attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    tokens = torch.ones(1, 5, 16)
    with grad():
        counted = operations(lambda: attention(tokens, tokens, tokens, need_weights=False))
    projections, products = 4 * 2 * 5 * 16 * 16, 2 * (2 * 2 * 5 * 5 * 8)
    assert counted == projections + products


def test_a_convolution_counts_by_its_kernel_groups_and_output():
    layer = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)
    assert operations(lambda: layer(torch.ones(1, 6, 10, 12))) == 2 * (8 * 5 * 6) * (3 * 9)


class KnownSource:
    """A network of 24 parameters, with one convolution of 2 * 2 * 12 operations a pixel, as a source."""

    needs_prompt = True

    def load(self, device):
        return torch.nn.Conv2d(3, 2, 2, bias=False).to(device)

    def stream(self, network, parts):
        class Stream:
            steps, prompts = 0, []

            def prompt(self, part, **given):
                assert self.steps == 0
                self.prompts.append((part, *given))

            @torch.inference_mode()
            def step(self, rgb):
                self.steps += 1
                for _ in parts:
                    network(torch.from_numpy(rgb).float().permute(2, 0, 1)[None])

        self.made = Stream()
        return self.made


def test_the_columns_of_a_network_whose_count_is_known():
    source = KnownSource()
    cost = efficiency(source, "cpu", ("arm", "gripper"), frames=4, size=(11, 21))
    assert cost.parameters == 24 and cost.gflops * 1e9 == pytest.approx(2 * (10 * 20) * 2 * 2 * 12)
    assert source.made.prompts == [("arm", "box"), ("gripper", "box")], "SAM 2 must be told, once"
    assert source.made.steps == WARM_UP + 4 + 1, "memories full, then timed, then counted"
    assert cost.cells()[0] == "0.0 M" and (cost.parts, cost.device) == (2, "CPU")


def test_a_model_is_measured_with_full_memories():
    one = efficiency(ModelSource(), "cpu", ("arm",), frames=3)
    two = efficiency(ModelSource(), "cpu", ("arm", "gripper"), frames=3)
    assert 3.5e6 < one.parameters == two.parameters < 4.5e6
    assert one.gflops < two.gflops < 2 * one.gflops, "the image is encoded once for all parts"
    assert 0 < one.median_ms <= one.p95_ms and one.peak_mb > 50
    assert len(one.cells()) == len(one.HEADER)


def test_a_missing_model_is_named():
    with pytest.raises(ValueError, match="there is no model 'robby'"):
        efficiency(ModelSource("robby"), "cpu", ("arm",))
