"""A stream: parts, prompts, resets, bounded memory, and the same masks however it is driven."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robotseg_ros.model import RobotSeg, preset
from robotseg_ros.streaming import Segmentation, StreamSegmenter

Frame = NDArray[np.uint8]


@pytest.fixture(scope="module")
def network() -> RobotSeg:
    """Random weights: what is tested here does not depend on what the network has learned."""
    torch.manual_seed(0)
    network = RobotSeg(dataclasses.replace(preset("robotseg_nano"), image_size=128)).eval().requires_grad_(False)
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(10.0)
    return network


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    return [np.roll(base, 3 * i, axis=1) for i in range(24)]


def _logits(result: Segmentation, part: str) -> NDArray[np.float32]:
    return result.low_res_logits[part]


def _without_second_look(network: RobotSeg) -> RobotSeg:
    """The same weights; with random ones a second look may overrule the memory on every frame."""
    single = copy.copy(network)
    single.config = dataclasses.replace(network.config, second_look=False)
    return single


def test_a_result_has_what_is_promised(network: RobotSeg, frames: list[Frame]) -> None:
    result = StreamSegmenter(network, parts=("arm", "robot")).step(frames[0])
    assert list(result.masks) == ["arm", "robot"]
    assert result.masks["arm"].shape == frames[0].shape[:2] and result.masks["arm"].dtype == bool
    assert result.low_res_logits["robot"].shape == (32, 32)
    assert result.low_res_logits["robot"].dtype == np.float32
    assert 0 <= result.predicted_iou["arm"] <= 1 and isinstance(result.object_score["arm"], float)
    assert {"preprocess", "encode_image", "track", "encode_memory", "masks"} == set(result.timings)


def test_parts_do_not_touch_each_other(network: RobotSeg, frames: list[Frame]) -> None:
    together = StreamSegmenter(network, parts=("arm", "gripper", "robot"))
    alone = StreamSegmenter(network, parts=("gripper",))
    for frame in frames[:8]:
        both, one = together.step(frame), alone.step(frame)
        np.testing.assert_allclose(_logits(both, "gripper"), _logits(one, "gripper"), rtol=0, atol=2e-2)


def test_memory_changes_the_masks_and_a_reset_forgets_it(network: RobotSeg, frames: list[Frame]) -> None:
    stream = StreamSegmenter(_without_second_look(network), parts=("robot",))
    first = _logits(stream.step(frames[0]), "robot")
    stream.step(frames[1])
    remembered = _logits(stream.step(frames[0]), "robot")
    assert np.abs(remembered - first).max() > 1e-3
    stream.reset()
    assert np.array_equal(_logits(stream.step(frames[0]), "robot"), first)


def test_the_bank_does_not_grow(network: RobotSeg, frames: list[Frame]) -> None:
    stream = StreamSegmenter(network, parts=("arm", "gripper"))
    for frame in frames[:20]:
        stream.step(frame)
    held = stream.memory_bytes
    for i in range(280):
        stream.step(frames[i % len(frames)])
    assert stream.memory_bytes == held > 0


def test_every_frame_does_the_same_work(network: RobotSeg, frames: list[Frame]) -> None:
    """Counted in floating-point operations, which no other load on the machine disturbs."""
    from torch.utils.flop_counter import FlopCounterMode

    stream = StreamSegmenter(network, parts=("arm", "gripper"))

    def flops(frame: Frame) -> int:
        with FlopCounterMode(display=False) as counter:
            stream.step(frame)
        return counter.get_total_flops()

    counts = [flops(frames[i % len(frames)]) for i in range(20)]
    for i in range(100):
        stream.step(frames[i % len(frames)])
    assert counts[0] < counts[1] < counts[-1]
    assert flops(frames[0]) == counts[-1]


def test_a_prompt_starts_its_part_anew_and_no_other(network: RobotSeg, frames: list[Frame]) -> None:
    prompted = StreamSegmenter(network, parts=("arm", "robot"))
    plain = StreamSegmenter(network, parts=("arm", "robot"))
    for frame in frames[:6]:
        prompted.step(frame)
        plain.step(frame)
    prompted.prompt("arm", points=[(50, 60)], labels=[1])
    ours, theirs = prompted.step(frames[6]), plain.step(frames[6])
    np.testing.assert_allclose(_logits(ours, "robot"), _logits(theirs, "robot"), rtol=0, atol=2e-2)

    fresh = StreamSegmenter(network, parts=("arm",))
    fresh.prompt("arm", points=[(50, 60)], labels=[1])
    np.testing.assert_allclose(_logits(ours, "arm"), _logits(fresh.step(frames[6]), "arm"), rtol=0, atol=1e-4)


def test_parts_that_started_apart_become_one_batch_again(network: RobotSeg, frames: list[Frame]) -> None:
    stream = StreamSegmenter(network, parts=("arm", "robot"))
    for frame in frames[:3]:
        stream.step(frame)
    stream.prompt("robot", box=(20, 20, 90, 100))
    stream.step(frames[3])
    assert len(stream._groups) == 2
    alone = StreamSegmenter(network, parts=("robot",))
    alone.prompt("robot", box=(20, 20, 90, 100))
    alone.step(frames[3])
    for frame in frames[4:16]:
        joined, one = stream.step(frame), alone.step(frame)
    assert len(stream._groups) == 1
    np.testing.assert_allclose(_logits(joined, "robot"), _logits(one, "robot"), rtol=0, atol=2e-2)


def test_a_mask_prompt_comes_out_as_it_went_in(network: RobotSeg, frames: list[Frame]) -> None:
    mask = np.zeros(frames[0].shape[:2], bool)
    mask[30:90, 40:120] = True
    stream = StreamSegmenter(network, parts=("arm",))
    stream.prompt("arm", mask=mask)
    result = stream.step(frames[0])
    agreement = (result.masks["arm"] & mask).sum() / (result.masks["arm"] | mask).sum()
    assert agreement > 0.95
    assert result.object_score["arm"] > 0


def test_parts_can_change_while_streaming(network: RobotSeg, frames: list[Frame]) -> None:
    stream = StreamSegmenter(network, parts=("arm", "gripper"))
    lasting = StreamSegmenter(network, parts=("gripper",))
    for frame in frames[:5]:
        stream.step(frame)
        lasting.step(frame)
    stream.parts = ("gripper", "robot")
    ours, theirs = stream.step(frames[5]), lasting.step(frames[5])
    assert list(ours.masks) == ["gripper", "robot"]
    np.testing.assert_allclose(_logits(ours, "gripper"), _logits(theirs, "gripper"), rtol=0, atol=2e-2)


def test_an_absent_part_has_an_empty_mask(network: RobotSeg, frames: list[Frame]) -> None:
    bias = network.sam_mask_decoder.pred_obj_score_head.layers[2].bias
    before = bias.clone()
    try:
        bias.fill_(-50.0)
        result = StreamSegmenter(network, parts=("arm",)).step(frames[0])
    finally:
        bias.copy_(before)
    assert not result.masks["arm"].any() and result.object_score["arm"] < 0


def test_the_threshold_moves_the_border(network: RobotSeg, frames: list[Frame]) -> None:
    logits = _logits(StreamSegmenter(network, parts=("arm",)).step(frames[0]), "arm")
    middle = float(np.median(logits))
    areas = [
        StreamSegmenter(network, parts=("arm",), mask_threshold=t).step(frames[0]).masks["arm"].mean()
        for t in (middle - 100, middle, middle + 100)
    ]
    assert areas[0] == 1.0 and 0.2 < areas[1] < 0.8 and areas[2] == 0.0


@pytest.mark.parametrize("parts", [(), ("leg",), ("arm", "arm")])
def test_wrong_parts_are_refused(network: RobotSeg, parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="parts must be"):
        StreamSegmenter(network, parts=parts)


def test_a_prompt_for_a_part_not_streamed_is_refused(network: RobotSeg) -> None:
    with pytest.raises(ValueError, match="has the parts arm"):
        StreamSegmenter(network, parts=("arm",)).prompt("robot", points=[(1, 1)])


def test_a_bad_frame_or_prompt_leaves_the_stream_as_it_was(network: RobotSeg, frames: list[Frame]) -> None:
    stream, untouched = (StreamSegmenter(network, parts=("arm",)) for _ in range(2))
    for frame in frames[:3]:
        stream.step(frame)
        untouched.step(frame)
    with pytest.raises(ValueError, match="a frame must"):
        stream.step(np.zeros((4, 4), np.uint8))
    stream.prompt("arm", points=[(5000, 1)])
    with pytest.raises(ValueError, match="outside the frame"):
        stream.step(frames[3])
    assert np.array_equal(_logits(stream.step(frames[3]), "arm"), _logits(untouched.step(frames[3]), "arm"))


def test_masks_are_the_refined_ones_and_low_res_logits_are_not(network: RobotSeg, frames: list[Frame]) -> None:
    other = copy.deepcopy(network)
    assert other.refiner is not None
    other.refiner.correction.get_parameter("bias").fill_(100.0)
    plain, refined = (StreamSegmenter(one, parts=("arm",)) for one in (network, other))
    for frame in frames[:3]:
        before, after = plain.step(frame), refined.step(frame)
        assert after.masks["arm"].all() and not before.masks["arm"].all()
        assert np.array_equal(_logits(before, "arm"), _logits(after, "arm"))


def test_holes_are_filled_in_refined_masks_too(network: RobotSeg, frames: list[Frame]) -> None:
    filling = StreamSegmenter(network, parts=("arm",), fill_hole_area=32 * 32)
    leaving = StreamSegmenter(network, parts=("arm",))
    filled, left = filling.step(frames[0]).masks["arm"], leaving.step(frames[0]).masks["arm"]
    assert left.any() and not left.all() and filled.all()


def test_what_was_prompted_is_found_by_memory_alone(network: RobotSeg, frames: list[Frame]) -> None:
    both = (network, _without_second_look(network))
    streams = [StreamSegmenter(net, parts=("arm", "robot"), history=4) for net in both]
    for stream in streams:
        stream.prompt("arm", box=(20, 20, 90, 70))
    for frame in frames[:4]:
        twice, once = (stream.step(frame) for stream in streams)
        np.testing.assert_allclose(_logits(twice, "arm"), _logits(once, "arm"), rtol=0, atol=1e-3)
    for stream in streams:  # a frame that has been counts as prompted just as well
        stream.step(frames[4], stamp=5)
        stream.prompt("robot", points=[(40, 40)], stamp=5)
    twice, once = (stream.step(frames[5]) for stream in streams)
    np.testing.assert_allclose(_logits(twice, "robot"), _logits(once, "robot"), rtol=0, atol=1e-3)
