"""What a stream survives: exceptions in the segmenter, and prompts that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.ros


class Segmenter:
    """Stands in for the network, to fail when told."""

    def __init__(self):
        self.error: Exception | None = None
        self.resets = 0
        self.prompts: list[str] = []

    def step(self, rgb):
        from robotseg_ros.streaming import Segmentation

        error, self.error = self.error, None
        if error is not None:
            raise error
        mask = np.zeros(rgb.shape[:2], bool)
        return Segmentation({"arm": mask}, {}, {"arm": 1.0}, {"arm": 0.5}, {"network": 1.0})

    def reset(self):
        self.resets += 1

    def prompt(self, part, **arguments):
        self.prompts.append(part)


@pytest.fixture
def node(ros_env):
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("stream_test", context=context)
    yield node
    node.destroy_node()
    context.shutdown()


@pytest.fixture
def segmenter():
    return Segmenter()


@pytest.fixture
def stream(node, segmenter):
    from robotseg_ros.ros.camera_stream import CameraStream
    from robotseg_ros.ros.parameters import PARAMETERS, Settings
    from robotseg_ros.ros.worker import Worker

    settings = Settings(**{spec.name: spec.default for spec in PARAMETERS})
    return CameraStream(node, "", "stand-in", segmenter, settings, Worker(lambda error: None))


def process(stream, size=(4, 6)):
    from std_msgs.msg import Header

    from robotseg_ros.ros.camera_stream import Arrival
    from robotseg_ros.ros.conversions import rgb_image

    stream.process(Arrival(rgb_image(Header(), np.zeros((*size, 3), np.uint8)), 0.0))
    return stream.statistics.counts


def test_a_crash_of_the_network_costs_the_frame_and_the_memory(stream, segmenter):
    process(stream)
    segmenter.error = RuntimeError("out of memory")
    counts = process(stream)
    assert (counts.failed, counts.processed, segmenter.resets) == (1, 1, 1)
    assert process(stream).processed == 2


def test_a_prompt_that_does_not_fit_the_image_costs_only_itself(stream, segmenter):
    process(stream)
    segmenter.error = ValueError("prompt point (900, 1) lies outside the frame")  # the segmenter drops it
    counts = process(stream)
    assert (counts.failed, counts.processed, segmenter.resets) == (0, 2, 0)


def test_a_prompt_outside_the_last_image_is_refused(stream, segmenter):
    process(stream)
    with pytest.raises(ValueError, match="outside the frame of 6x4 pixels"):
        stream.prompt("arm", points=[(7.0, 1.0)], labels=[1])
    stream.prompt("arm", points=[(5.0, 1.0)], labels=[1])
    assert segmenter.prompts == ["arm"]
