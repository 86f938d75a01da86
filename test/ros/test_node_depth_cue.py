"""A running node refines its masks by the depth that is there in time, and says how often it was."""

from __future__ import annotations

import numpy as np
import pytest

from robotseg_ros.streaming.depth_cue import Edges

pytestmark = pytest.mark.ros

NAMESPACE = "/cue"
SIZE = (96, 128)
TRUE = np.s_[30:70, 40:90]
"""Where the depth images show something 1 m away before a wall 3 m away."""


@pytest.fixture(scope="module")
def node(start_robotseg):
    return start_robotseg(NAMESPACE, {"parts": ["robot"], "depth_cue": "edges"})


@pytest.fixture(scope="module")
def probe(node, make_probe):
    probe = make_probe(NAMESPACE)
    probe.wait(lambda: node.said("segmenting /cue/image"), "the node to be active", timeout=90)
    probe.listen("mask/robot", "status")
    probe.answer(
        probe.image(height=SIZE[0], width=SIZE[1])
    )  # the first images may be lost while the two find each other
    return probe


def true_depth(encoding):
    """A box before a wall."""
    values = np.full(SIZE, 3.0, np.float32)
    values[TRUE] = 1.0
    return (values * 1000).astype(np.uint16) if encoding == "16UC1" else values


def depth(image, encoding="16UC1"):
    """That, with the image's stamp."""
    from sensor_msgs.msg import Image

    pixels = true_depth(encoding)
    message = Image(encoding=encoding, height=SIZE[0], width=SIZE[1], step=pixels.strides[0], header=image.header)
    message.data = pixels.tobytes()
    return message


def prompted(probe):
    """An image in which the robot is said to be the box, two rows and columns too large; not sent yet."""
    from robotseg_ros.srv import Prompt

    rows, columns = TRUE
    mask = np.zeros(SIZE, np.uint8)
    mask[rows.start - 2 : rows.stop + 2, columns.start - 2 : columns.stop + 2] = 1
    message = probe.image("mono8", *SIZE)
    message.data = mask.tobytes()
    assert probe.call("robotseg/prompt", Prompt.Request(part="robot", mask=message), Prompt).success
    return probe.image(height=SIZE[0], width=SIZE[1])


def mask_of(probe, image):
    message = probe.wait(lambda: probe.find("mask/robot", image.header), "the mask")
    return np.frombuffer(message.data, np.uint8).reshape(SIZE) > 0


def stages(probe, image):
    return probe.wait(lambda: probe.find("status", image.header), "the status").stage_names


def described(probe):
    """What the next diagnostics say of the camera."""
    probe.listen("/diagnostics")
    probe.received["/diagnostics"].clear()

    def of_camera():
        statuses = {s.name: s for array in probe.received["/diagnostics"] for s in array.status}
        return statuses.get("cue/robotseg: camera")

    return {item.key: item.value for item in probe.wait(of_camera, "diagnostics").values}


def unrefined(probe):
    """The mask of a prompted image without depth: what the network makes of it."""
    image = prompted(probe)
    probe.publish(image)
    return mask_of(probe, image)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_masks_are_refined_by_the_depth_of_their_stamp(probe, encoding):
    plain = unrefined(probe)

    def refined():
        image = prompted(probe)
        probe.publish(depth(image, encoding), "depth")
        probe.spin(0.2)  # nothing waits for depth, and this machine may be slow to bring it
        probe.publish(image)
        made = mask_of(probe, image)
        return (image, made) if (made != plain).any() else None

    image, made = probe.wait(refined, "a refined mask")
    expected = Edges().refine({"robot": plain}, true_depth(encoding))["robot"]
    np.testing.assert_array_equal(made, expected)
    assert "depth_cue" in stages(probe, image)


def test_masks_without_depth_go_out_at_once_as_they_are_and_are_counted(probe):
    first, second = unrefined(probe), unrefined(probe)
    np.testing.assert_array_equal(first, second)
    values = described(probe)
    assert values["depth_cue"] == "edges"
    share = int(values["depth_cue_refined"].removesuffix(" %"))
    assert 0 < share < 100


def test_depth_that_is_not_aligned_leaves_the_masks_and_is_refused_with_a_reason(probe, node):
    before = int(described(probe)["depth_cue_refused"])
    plain = unrefined(probe)
    node.mark()

    def refused():
        image = prompted(probe)
        message = depth(image)
        message.height //= 2
        message.data = message.data[: len(message.data) // 2]
        probe.publish(message, "depth")
        probe.spin(0.2)
        probe.publish(image)
        np.testing.assert_array_equal(mask_of(probe, image), plain)
        return node.said("/cue/depth: no cue for the masks: .*must be aligned")

    probe.wait(refused, "the refusal")
    assert int(described(probe)["depth_cue_refused"]) > before


def test_depth_is_subscribed_to_only_while_there_is_a_cue_and_cues_change_while_running(probe):
    topic = probe.node.resolve_topic_name("depth")
    assert probe.node.count_subscribers(topic) == 1
    assert probe.set_parameter("depth_cue", "none").successful
    probe.wait(lambda: probe.node.count_subscribers(topic) == 0, "the node to let go of depth")
    assert "depth_cue" not in described(probe)
    refused = probe.set_parameter("depth_cue", "magic")
    assert not refused.successful and "none, edges or background" in refused.reason
    assert probe.set_parameter("depth_cue", "background").successful
    probe.wait(lambda: probe.node.count_subscribers(topic) == 1, "the node to want depth")
    assert described(probe)["depth_cue"] == "background"
