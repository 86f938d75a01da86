"""The small trunk and its way back down."""

import torch

from robotseg_ros.model.config import MobileTrunk
from robotseg_ros.model.trunk import InvertedResidual, MobileNetTrunk, TopDown

LEVELS = (((1, 8, 1),), ((2, 12, 1),), ((2, 16, 1),), ((2, 24, 1),), ((2, 32, 1),))


def test_the_way_down_begins_as_the_identity_and_can_leave_it():
    down = TopDown((12, 16, 24, 32), ((2, 1), (6, 2), (6, 2))).eval()
    maps = [torch.randn(2, width, 32 >> level, 32 >> level) for level, width in enumerate((12, 16, 24, 32))]
    assert all(torch.equal(before, after) for before, after in zip(maps, down(maps), strict=True))
    sum(level.square().sum() for level in down.train()(maps)).backward()
    assert all(narrow[1].weight.grad.abs().sum() > 0 for narrow in down.narrow)


def test_the_finest_map_hears_of_the_coarsest():
    torch.manual_seed(0)
    config = MobileTrunk(stem=8, levels=LEVELS, top_down=((2, 1), (2, 1), (2, 1)))
    trunk = MobileNetTrunk(config).eval()
    for narrow in trunk.top_down.narrow:
        torch.nn.init.ones_(narrow[1].weight)
    maps = [
        torch.randn(1, width, 64 >> level, 64 >> level, requires_grad=True)
        for level, width in enumerate(config.channels)
    ]
    trunk.top_down(maps)[0].sum().backward()
    assert maps[3].grad.abs().sum() > 0


def test_maps_have_the_strides_of_the_neck_with_and_without_a_way_down():
    for top_down in ((), ((2, 1), (2, 1), (2, 1))):
        maps = MobileNetTrunk(MobileTrunk(stem=8, levels=LEVELS, top_down=top_down)).eval()(torch.rand(1, 3, 64, 64))
        assert [tuple(level.shape[1:]) for level in maps] == [(12, 16, 16), (16, 8, 8), (24, 4, 4), (32, 2, 2)]


def test_a_strided_block_trains_in_bfloat16_as_it_runs_in_float32():
    """Its depthwise convolution is left out of bfloat16 while training on a CPU; nothing else is different."""
    block = InvertedResidual(8, 8, 2, 2)
    x = torch.randn(2, 8, 16, 16)
    exact = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block(x)
    assert mixed.shape == exact.shape == (2, 8, 8, 8)
    torch.testing.assert_close(mixed.float(), exact, rtol=0, atol=0.1)
    mixed.float().sum().backward()
    assert block.filter[0].weight.grad.isfinite().all()
