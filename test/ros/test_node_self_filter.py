"""A running node takes the robot out of depth and points, and says what it could not do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from robotseg_ros.geometry import grown

pytestmark = pytest.mark.ros

NAMESPACE = "/filter"
SIZE = (48, 64)


@pytest.fixture(scope="module")
def node(start_robotseg):
    return start_robotseg(NAMESPACE, {"parts": ["robot"], "filter.margin": 0, "filter.buffer": 10})


@pytest.fixture(scope="module")
def probe(node, make_probe):
    from sensor_msgs.msg import CameraInfo, PointCloud2

    probe = make_probe(NAMESPACE)
    probe.kinds |= {"points/filtered": PointCloud2, "points/robot": PointCloud2, "mask/camera_info": CameraInfo}
    probe.wait(lambda: node.said("segmenting /filter/image"), "the node to be active", timeout=90)
    probe.listen("mask/robot", "depth/filtered", "depth/robot", "points/filtered", "points/robot", "mask/camera_info")
    return probe


def depth_of(message):
    dtype = {"16UC1": np.uint16, "32FC1": np.float32}[message.encoding]
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def depth(probe, image, encoding="16UC1", shift_ms=0):
    from sensor_msgs.msg import Image

    dtype = {"16UC1": np.uint16, "32FC1": np.float32}[encoding]
    values = (1 + np.arange(SIZE[0] * SIZE[1]) % 1000).astype(dtype)
    message = Image(encoding=encoding, height=SIZE[0], width=SIZE[1], step=SIZE[1] * values.itemsize)
    message.data = values.tobytes()
    return of_image(message, image, shift_ms)


def points(image, organised):
    """A plane 1 m ahead, a point for each pixel."""
    from sensor_msgs.msg import PointCloud2, PointField

    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    xyz = np.stack([(columns - 32) / 60, (rows - 24) / 60, np.ones(SIZE)], axis=-1).astype(np.float32)
    height, width = SIZE if organised else (1, SIZE[0] * SIZE[1])
    message = PointCloud2(height=height, width=width, point_step=12, row_step=12 * width, is_dense=True)
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")
    ]
    message.data = xyz.tobytes()
    return of_image(message, image)


def of_image(message, image, shift_ms=0):
    from robotseg_ros.ros.conversions import nanoseconds

    message.header.frame_id = image.header.frame_id
    stamp = nanoseconds(image.header.stamp) + shift_ms * 1_000_000
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    return message


def mask_of(probe, image):
    message = probe.wait(lambda: probe.find("mask/robot", image.header), "the mask")
    mask = np.frombuffer(message.data, np.uint8).reshape(SIZE) > 0
    assert 0.1 < mask.mean() < 0.9
    return mask


def filtered(probe, output, message, source):
    """What came on `output` for a message, sent before its image. A prompt says where the robot is in that one."""
    from robotseg_ros.srv import Prompt

    square = probe.image("mono8", *SIZE)
    square.data = np.pad(np.ones((24, 30), np.uint8), ((8, 16), (20, 14))).tobytes()
    assert probe.call("robotseg/prompt", Prompt.Request(part="robot", mask=square), Prompt).success
    topic = output.split("/")[0]
    probe.publish(message, topic)
    probe.spin(0.1)
    probe.answer(source, "mask/robot")  # a first image may get lost: sent again until there is its mask
    return probe.answer(message, output, topic, sent=True)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_loses_the_robot_and_only_the_robot(probe, encoding):
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = depth(probe, image, encoding)
    made = depth_of(filtered(probe, "depth/filtered", message, image))
    robot, values = mask_of(probe, image), depth_of(message)
    nothing = 0 if encoding == "16UC1" else np.nan
    np.testing.assert_array_equal(made, np.where(robot, nothing, values).astype(made.dtype))
    alone = probe.wait(lambda: probe.find("depth/robot", message.header), "the robot's depth")
    np.testing.assert_array_equal(depth_of(alone), np.where(robot, values, nothing).astype(made.dtype))


def test_depth_that_comes_after_the_mask_is_filtered_too_under_its_own_stamp(probe):
    image = probe.image(height=SIZE[0], width=SIZE[1])
    probe.answer(image)
    message = depth(probe, image, shift_ms=15)
    made = probe.answer(message, "depth/filtered", "depth")
    assert made.header == message.header


@pytest.mark.parametrize("organised", [True, False])
def test_points_lose_the_robot_and_only_the_robot(probe, organised):
    send_info(probe)
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = points(image, organised)
    made = filtered(probe, "points/filtered", message, image)
    robot = mask_of(probe, image).ravel()
    before = np.frombuffer(message.data, np.float32).reshape(-1, 3)
    after = np.frombuffer(made.data, np.float32).reshape(-1, 3)
    if organised:
        assert (made.height, made.width) == SIZE
        np.testing.assert_array_equal(after, np.where(robot[:, None], np.nan, before).astype(np.float32))
    else:
        np.testing.assert_array_equal(after, before[~robot])
    alone = probe.wait(lambda: probe.find("points/robot", message.header), "the robot's points")
    assert np.isfinite(np.frombuffer(alone.data, np.float32)).sum() == 3 * robot.sum()


def send_info(probe):
    """Until the node has it, which it shows by publishing it beside a mask."""
    from sensor_msgs.msg import CameraInfo

    info = CameraInfo(height=SIZE[0], width=SIZE[1])
    info.k = np.array([60.0, 0, 32, 0, 60, 24, 0, 0, 1])

    def shown():
        probe.publish(probe.stamped(info), "camera_info")
        image = probe.image(height=SIZE[0], width=SIZE[1])
        probe.answer(image)
        return probe.find("mask/camera_info", image.header)

    return probe.wait(shown, "the calibration beside the mask")


def test_the_calibration_is_published_beside_the_masks_with_their_header(probe):
    made = send_info(probe)
    assert (made.width, made.k[0]) == (SIZE[1], 60.0)
    assert made.header.frame_id == "camera_optical"


def counts(probe):
    """Of the newest diagnostics, and from now on."""
    probe.listen("/diagnostics")
    probe.received["/diagnostics"].clear()

    def of_camera():
        statuses = {s.name: s for array in probe.received["/diagnostics"] for s in array.status}
        return statuses.get("filter/robotseg: camera")

    status = probe.wait(of_camera, "diagnostics")
    return {item.key: item.value for item in status.values}


def test_depth_without_a_mask_of_its_time_is_not_published_and_counted(probe):
    before = int(counts(probe)["depth_unmatched"])
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = depth(probe, image, shift_ms=-40)
    probe.publish(message, "depth")
    probe.spin(0.1)
    probe.answer(image)
    probe.wait(lambda: int(counts(probe)["depth_unmatched"]) == before + 1, "the count")
    assert probe.find("depth/filtered", message.header) is None


def told(probe, text):
    """Publishes images until the camera's diagnostics say it as a warning."""

    def said():
        probe.publish(probe.image(height=SIZE[0], width=SIZE[1]))
        probe.spin(0.2)
        statuses = [s for array in probe.received["/diagnostics"][-1:] for s in array.status]
        return any(s.name.endswith(": camera") and s.level == b"\x01" and re.search(text, s.message) for s in statuses)

    probe.wait(said, text)


def test_the_diagnostics_say_why_somebody_who_listens_gets_no_depth(probe):
    probe.listen("/diagnostics")
    topic = probe._publishers.pop("depth")
    probe.node.destroy_publisher(topic)
    told(probe, r"/filter/depth: nothing for \d+ s; publishers: 0")

    def late():
        image = probe.image(height=SIZE[0], width=SIZE[1])
        probe.publish(depth(probe, image, shift_ms=-50), "depth")
        probe.answer(image)
        statuses = [s for array in probe.received["/diagnostics"][-1:] for s in array.status]
        text = r"/filter/depth: \d+ messages have found no mask of their time: .*, filter.tolerance is 20 ms"
        return any(re.search(text, s.message) for s in statuses)

    probe.wait(late, "the distance to the nearest mask")


def test_depth_without_pixels_is_refused_and_the_next_filtered(probe, node):
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = depth(probe, image)
    message.height = message.width = message.step = 0
    message.data = b""
    node.mark()
    probe.answer(image)
    probe.publish(message, "depth")
    probe.wait(
        lambda: node.said("/filter/depth: not filtered: image 0 x 0 '16UC1'.* truncated or empty"), "the refusal"
    )
    image = probe.image(height=SIZE[0], width=SIZE[1])
    assert filtered(probe, "depth/filtered", depth(probe, image), image)
    assert "Traceback" not in node.log


def test_depth_that_is_not_aligned_is_refused_with_a_reason(probe, node):
    before = int(counts(probe)["depth_refused"])
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = depth(probe, image)
    message.height //= 2
    message.data = message.data[: len(message.data) // 2]
    node.mark()
    probe.answer(image)
    probe.publish(message, "depth")
    probe.wait(lambda: node.said("/filter/depth: not filtered: .*must be aligned"), "the refusal")
    assert int(counts(probe)["depth_refused"]) == before + 1


def test_the_margin_changes_while_running(probe):
    assert probe.set_parameter("filter.margin", 3).successful
    image = probe.image(height=SIZE[0], width=SIZE[1])
    message = depth(probe, image)
    made = depth_of(filtered(probe, "depth/filtered", message, image))
    assert np.array_equal(made == 0, grown(mask_of(probe, image), 3))
    assert probe.set_parameter("filter.margin", 0).successful


def test_inputs_are_subscribed_to_only_while_somebody_listens(probe):
    topic = probe.node.resolve_topic_name("depth")
    assert probe.node.count_subscribers(topic) == 1
    probe.ignore("depth/filtered", "depth/robot")
    probe.wait(lambda: probe.node.count_subscribers(topic) == 0, "the node to let go of depth")
    probe.listen("depth/filtered", "depth/robot")
    probe.wait(lambda: probe.node.count_subscribers(topic) == 1, "the node to want depth")
