"""Several streams on one network: the same masks as each alone, from fewer calls; and prompts for earlier frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robotseg_ros.model import RobotSeg, preset
from robotseg_ros.streaming import Segmentation, StreamSegmenter, step_together

Frame = NDArray[np.uint8]


@pytest.fixture(scope="module")
def network() -> RobotSeg:
    """Random weights that see every part."""
    torch.manual_seed(0)
    network = RobotSeg(dataclasses.replace(preset("robotseg_nano"), image_size=128)).eval().requires_grad_(False)
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(10.0)
    return network


@pytest.fixture
def calls(network: RobotSeg) -> Iterator[list[tuple[str, int]]]:
    """The network's calls: stage, and the number of images or rows."""
    made: list[tuple[str, int]] = []

    def counted(name: str, count: Any) -> None:
        plain = getattr(network, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            made.append((name, count(arguments)))
            return plain(*arguments, **keywords)

        setattr(network, name, call)

    counted("encode_image", lambda arguments: len(arguments[0]))
    counted("track", lambda arguments: 1 if arguments[2] is None else len(arguments[2]))
    yield made
    del network.encode_image, network.track


def clip(seed: int, height: int = 60, width: int = 80, count: int = 12) -> list[Frame]:
    rng = np.random.default_rng(seed)
    base = np.kron(rng.integers(0, 256, (height // 10, width // 10, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    return [np.roll(base, 3 * i, axis=1) for i in range(count)]


def together(streams: list[StreamSegmenter], frames: list[Frame]) -> list[Segmentation]:
    return step_together(streams, frames, [0] * len(frames))


def assert_close(ours: Segmentation, theirs: Segmentation) -> None:
    assert list(ours.masks) == list(theirs.masks)
    for part, logits in theirs.low_res_logits.items():
        np.testing.assert_allclose(ours.low_res_logits[part], logits, rtol=0, atol=1e-3)
        assert ours.masks[part].shape == theirs.masks[part].shape


def test_streams_together_give_what_each_gives_alone(network: RobotSeg) -> None:
    """Of other sizes, with other parts, and with memories of another age."""
    clips = [clip(1), clip(2, 90, 50), clip(3, 40, 120)]
    parts = [("arm", "gripper"), ("robot",), ("gripper", "arm")]
    ours = [StreamSegmenter(network, p) for p in parts]
    alone = [StreamSegmenter(network, p) for p in parts]
    for i in range(12):
        there = [n for n in range(3) if not (n == 1 and i % 3) and not (n == 2 and i < 4)]
        results = together([ours[n] for n in there], [clips[n][i] for n in there])
        for n, result in zip(there, results, strict=True):
            assert_close(result, alone[n].step(clips[n][i]))


def test_images_and_parts_of_several_streams_share_the_networks_calls(network: RobotSeg, calls: list[Any]) -> None:
    clips = [clip(1), clip(2), clip(3)]
    streams = [StreamSegmenter(network, ("arm", "gripper")) for _ in clips]
    for i in range(3):
        together(streams, [frames[i] for frames in clips])
    assert calls == [("encode_image", 3), ("track", 6)] * 3


def test_memories_of_another_age_are_tracked_apart_until_they_agree(network: RobotSeg, calls: list[Any]) -> None:
    old, young = StreamSegmenter(network, ("arm",)), StreamSegmenter(network, ("arm", "gripper"))
    frames = clip(1, count=8)
    for frame in frames[:2]:
        old.step(frame)
    calls.clear()
    for frame in frames * 3:
        together([old, young], [frame, frame])
    assert calls[:3] == [("encode_image", 2), ("track", 1), ("track", 2)]
    assert calls[-2:] == [("encode_image", 2), ("track", 3)]


def test_a_prompt_of_one_stream_does_not_touch_the_others(network: RobotSeg) -> None:
    frames = clip(4)
    streams = [StreamSegmenter(network, ("arm",)) for _ in range(2)]
    alone = [StreamSegmenter(network, ("arm",)) for _ in range(2)]
    for i, frame in enumerate(frames[:6]):
        if i == 3:
            for stream in (streams[0], alone[0]):
                stream.prompt("arm", box=(5, 5, 40, 40))
        for result, plain in zip(together(streams, [frame, frame[::-1]]), alone, strict=True):
            assert_close(result, plain.step(frame if plain is alone[0] else frame[::-1]))


def test_the_memory_of_a_stream_is_bounded_also_in_company(network: RobotSeg) -> None:
    frames = clip(5)
    streams = [StreamSegmenter(network, ("arm",)), StreamSegmenter(network, ("arm", "robot"))]
    for frame in frames * 2:
        together(streams, [frame, frame])
    held = [stream.memory_bytes for stream in streams]
    for frame in frames * 3:
        together(streams, [frame, frame])
    assert [stream.memory_bytes for stream in streams] == held


def test_when_the_network_raises_no_stream_has_changed(network: RobotSeg, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = clip(6)
    streams = [StreamSegmenter(network, ("arm",), history=3) for _ in range(2)]
    untouched = [StreamSegmenter(network, ("arm",)) for _ in range(2)]
    for frame in frames[:3]:
        together(streams, [frame, frame])
        together(untouched, [frame, frame])
    streams[0].prompt("arm", points=[(9, 9)])
    untouched[0].prompt("arm", points=[(9, 9)])
    with monkeypatch.context() as patch:
        patch.setattr(network, "encode_memory", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            together(streams, [frames[3], frames[3]])
    for result, plain in zip(together(streams, [frames[3]] * 2), together(untouched, [frames[3]] * 2), strict=True):
        assert np.array_equal(result.low_res_logits["arm"], plain.low_res_logits["arm"])


def test_streams_of_different_networks_are_refused(network: RobotSeg) -> None:
    other = RobotSeg(network.config).eval()
    with pytest.raises(ValueError, match="share one network"):
        together([StreamSegmenter(network), StreamSegmenter(other)], clip(1)[:2])


# Prompts for earlier frames


def test_a_prompt_for_the_last_frame_shows_in_the_next_mask(network: RobotSeg) -> None:
    """As if the prompt had come with that frame."""
    frames = clip(7)
    late, plain, early = (StreamSegmenter(network, ("arm", "robot"), history=4) for _ in range(3))
    for number, frame in enumerate(frames[:4], start=1):
        late.step(frame, stamp=number)
        plain.step(frame)
    assert late.keeps(4)
    late.prompt("arm", box=(10, 10, 50, 50), stamp=4)
    early.prompt("arm", box=(10, 10, 50, 50))
    early.step(frames[3])
    ours, without, theirs = late.step(frames[4], stamp=5), plain.step(frames[4]), early.step(frames[4])
    np.testing.assert_allclose(ours.low_res_logits["arm"], theirs.low_res_logits["arm"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(ours.low_res_logits["robot"], without.low_res_logits["robot"], rtol=0, atol=1e-3)
    assert np.abs(ours.low_res_logits["arm"] - without.low_res_logits["arm"]).max() > 1e-2


@pytest.mark.parametrize("back", [1, 3])
def test_the_memory_of_an_earlier_frame_has_that_frames_age(network: RobotSeg, back: int) -> None:
    stream = StreamSegmenter(network, ("arm",), history=5)
    frames = clip(8)
    for number, frame in enumerate(frames[:6], start=1):
        stream.step(frame, stamp=number)
    stream.prompt("arm", points=[(20, 20)], stamp=7 - back)
    stream.step(frames[6])
    (group,) = stream._groups
    assert group.bank.view().conditioning_age.tolist() == [back + 1]
    assert group.bank.layout == (1, 1)


@pytest.mark.parametrize("stamp", [1, 99, 0])
def test_a_prompt_for_a_frame_that_is_not_kept_is_for_the_coming_one(network: RobotSeg, stamp: int) -> None:
    frames = clip(9)
    stream, plain = StreamSegmenter(network, ("arm",), history=2), StreamSegmenter(network, ("arm",))
    for number, frame in enumerate(frames[:4], start=1):
        stream.step(frame, stamp=number)
        plain.step(frame)
    assert not stream.keeps(stamp)
    stream.prompt("arm", points=[(20, 20)], stamp=stamp)
    plain.prompt("arm", points=[(20, 20)])
    assert np.array_equal(stream.step(frames[4]).masks["arm"], plain.step(frames[4]).masks["arm"])


def test_a_prompt_that_does_not_fit_the_kept_frame_is_refused_at_once(network: RobotSeg) -> None:
    stream = StreamSegmenter(network, ("arm",), history=2)
    stream.step(clip(1)[0], stamp=5)
    with pytest.raises(ValueError, match="outside the frame of 80x60"):
        stream.prompt("arm", points=[(500, 5)], stamp=5)


def test_a_reset_forgets_the_frames_too(network: RobotSeg) -> None:
    stream = StreamSegmenter(network, ("arm",), history=2)
    stream.step(clip(1)[0], stamp=5)
    stream.reset()
    assert not stream.keeps(5)
