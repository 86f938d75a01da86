"""What streams survive: exceptions in the network, prompts that do not fit, and each other."""

from __future__ import annotations

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.ros


@pytest.fixture
def node(ros_env):
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("stream_test", context=context)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.fixture(scope="module")
def model():
    from robotseg_ros.model import RobotSeg, preset
    from robotseg_ros.ros.loaded_model import LoadedModel

    torch.manual_seed(0)
    network = RobotSeg(dataclasses.replace(preset("robotseg_nano"), image_size=128)).eval().requires_grad_(False)
    return LoadedModel(network, "random", torch.device("cpu"))


@pytest.fixture
def make_stream(node, model):
    import threading

    from robotseg_ros.ros.camera_stream import CameraStream
    from robotseg_ros.ros.parameter_file import description
    from robotseg_ros.ros.parameters import Settings

    defaults = {spec.name: spec.default for spec in description().node}
    settings = Settings.of_values({**defaults, "parts": ("arm",)})
    return lambda name: CameraStream(node, name, model, settings, threading.Condition(), threading.Condition())


@pytest.fixture
def stream(make_stream):
    return make_stream("")


@pytest.fixture
def failing(model, monkeypatch):
    """`failing(images)`: the network raises from now on where it gets so many images or more; None ends that."""
    encode = model.network.encode_image

    def fail(limit):
        def limited(images):
            if limit is not None and len(images) >= limit:
                raise RuntimeError("out of memory")
            return encode(images)

        monkeypatch.setattr(model.network, "encode_image", limited)

    return fail


def process(*streams, size=(40, 60)):
    from std_msgs.msg import Header

    from robotseg_ros.ros.batching import segment
    from robotseg_ros.ros.camera_stream import Arrival
    from robotseg_ros.ros.conversions import rgb_image

    image = rgb_image(Header(), np.zeros((*size, 3), np.uint8))
    segment([(stream, Arrival(image, 0.0)) for stream in streams])
    return streams[0].statistics.counts


def test_a_crash_of_the_network_costs_the_frame_and_the_memory(stream, failing):
    process(stream)
    failing(1)
    counts = process(stream)
    assert (counts.failed, counts.processed, counts.resets) == (1, 1, 1)
    assert stream.segmenter.memory_bytes == 0
    failing(None)
    assert process(stream).processed == 2


def test_a_crash_with_several_images_is_tried_again_with_each_alone(make_stream, failing):
    streams = [make_stream(name) for name in ("front", "wrist")]
    process(*streams)
    failing(2)
    process(*streams)
    assert [(s.statistics.counts.processed, s.statistics.counts.failed) for s in streams] == [(2, 0)] * 2


def test_images_of_cameras_with_one_model_are_one_batch(make_stream):
    streams = [make_stream(name) for name in ("front", "left", "wrist")]
    process(*streams[:2])
    process(*streams)
    assert [stream.statistics.batch() for stream in streams] == [2.5, 2.5, 3.0]


def test_an_image_that_cannot_be_read_does_not_keep_the_others_back(make_stream):
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from robotseg_ros.ros.batching import segment
    from robotseg_ros.ros.camera_stream import Arrival
    from robotseg_ros.ros.conversions import rgb_image

    bad, good = make_stream("front"), make_stream("wrist")
    image = rgb_image(Header(), np.zeros((40, 60, 3), np.uint8))
    segment([(bad, Arrival(Image(encoding="rgb8"), 0.0)), (good, Arrival(image, 0.0))])
    assert (bad.statistics.counts.rejected, good.statistics.counts.processed) == (1, 1)


def test_another_size_of_one_camera_starts_only_that_one_anew(make_stream):
    front, wrist = make_stream("front"), make_stream("wrist")
    process(front, wrist)
    process(front, size=(20, 30))
    process(wrist)
    assert (front.statistics.counts.resets, wrist.statistics.counts.resets) == (1, 0)


def test_cameras_are_opened_all_or_none(make_stream, monkeypatch):
    from robotseg_ros.ros.pipeline import Pipeline
    from robotseg_ros.ros.worker import Worker

    def refuse():
        raise RuntimeError("no such QoS")

    front, wrist = make_stream("front"), make_stream("wrist")
    monkeypatch.setattr(wrist, "open", refuse)
    pipeline, worker = object.__new__(Pipeline), Worker(lambda waiting: None, lambda error: None)
    pipeline.streams, pipeline._worker, pipeline._filter = [front, wrist], worker, worker
    worker.start()
    with pytest.raises(RuntimeError, match="no such QoS"):
        pipeline.open()
    assert not front.is_open
    assert worker.stop(20.0)


def test_a_stream_that_is_destroyed_listens_to_transforms_no_longer(stream, monkeypatch):
    listening = []

    class Listener:
        def __init__(self, buffer, node):
            listening.append(self)

        def unregister(self):
            listening.remove(self)

    from robotseg_ros.ros import self_filter

    monkeypatch.setitem(sys.modules, "tf2_ros", SimpleNamespace(Buffer=SimpleNamespace, TransformListener=Listener))
    monkeypatch.setattr(self_filter, "heard", lambda publisher: True)
    stream.follow()
    assert len(listening) == 1
    stream.destroy()
    assert not listening


def test_a_prompt_that_does_not_fit_the_image_costs_only_itself(stream):
    stream.prompt("arm", 0, points=[(500.0, 1.0)], labels=[1])  # before the first image, whose size nobody knows
    counts = process(stream)
    assert (counts.failed, counts.processed, counts.resets) == (0, 1, 0)


def test_a_prompt_outside_the_last_image_is_refused(stream):
    process(stream)
    with pytest.raises(ValueError, match="outside the frame of 60x40 pixels"):
        stream.prompt("arm", 0, points=[(61.0, 1.0)], labels=[1])
    assert stream.prompt("arm", 0, points=[(5.0, 1.0)], labels=[1]) == "applied to the next image"


def test_publishers_come_and_go_with_the_executors_thread_alone(stream, node):
    settings = dataclasses.replace(stream.settings, parts=("gripper",))
    before = list(node.publishers)
    stream.apply(settings)  # what the inference thread does
    process(stream)
    assert list(node.publishers) == before
    stream.follow_parts()  # and the executor's
    masks = {p.topic_name for p in node.publishers if "/mask/" in p.topic_name} - {"/mask/camera_info"}
    assert masks == {"/mask/gripper"}
