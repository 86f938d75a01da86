"""Two nodes in two namespaces: one with a named camera and JPEG images, one with a remapped topic."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros

IMAGE = "front/image/compressed"


@pytest.fixture(scope="module")
def nodes(start_robotseg):
    reliable = {
        "qos_overrides./left/front/image/compressed.subscription.reliability": "reliable",
        "qos_overrides./diagnostics.publisher.depth": 3,
    }
    compressed = start_robotseg(
        "/left", {"cameras": ["front"], "transport": "compressed", "parts": ["robot"], **reliable}
    )
    remapped = start_robotseg(
        "/right",
        {"transport": "compressed", "parts": ["arm"], "use_sim_time": True},  # and nobody publishes /clock
        ["image:=/rig/camera/rgb", "mask/arm:=arm_only"],
    )
    return {"left": compressed, "right": remapped}


@pytest.fixture(scope="module")
def probes(nodes, make_probe):
    probes = {}
    for name, topic in (("left", "/left/front/image/compressed"), ("right", "/rig/camera/rgb/compressed")):
        probes[name] = make_probe(f"/{name}")
        probes[name].wait(
            lambda name=name, topic=topic: nodes[name].said(f"segmenting {topic}"),
            f"{topic} to be taken",
            timeout=90,
        )
    return probes


def compressed(probe, kind: str = "jpeg", format: str = "rgb8; jpeg compressed bgr8"):
    from sensor_msgs.msg import CompressedImage

    y, x = np.mgrid[0:48, 0:64]
    picture = np.stack([x * 4, y * 5, x + y], axis=-1).astype(np.uint8)
    return probe.stamped(CompressedImage(format=format, data=cv2.imencode(f".{kind}", picture)[1].tobytes()))


@pytest.mark.parametrize(
    "kind, format",
    [("jpeg", "rgb8; jpeg compressed bgr8"), ("jpeg", "jpeg"), ("png", "png"), ("png", "rgb8; png")],
)
def test_compressed_images_of_a_named_camera_are_segmented_below_its_name(probes, kind, format):
    image = compressed(probes["left"], kind, format)
    mask = probes["left"].answer(image, "front/mask/robot", IMAGE)
    assert mask.header == image.header
    assert (mask.encoding, mask.height, mask.width) == ("mono8", 48, 64)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda data: data[: len(data) // 2], r"truncated: no end marker in \d+ bytes"),
        (lambda data: b"", "is empty; accepted: jpeg, png"),
        (lambda data: b"not an image", "neither jpeg nor png.*accepted: jpeg, png"),
    ],
)
def test_a_damaged_jpeg_is_refused_and_the_next_good_one_segmented(probes, nodes, spoil, reason):
    probe, node = probes["left"], nodes["left"]
    before = probe.answer(compressed(probe), "front/status", IMAGE)
    node.mark()
    bad = compressed(probe)
    bad.data = spoil(bytes(bad.data))
    probe.publish(bad, IMAGE)
    probe.wait(
        lambda: node.said(rf"/left/front/image/compressed: refused compressed image.*{reason}"),
        f"refusal: {reason}",
    )
    after = probe.answer(compressed(probe), "front/status", IMAGE)
    assert after.rejected == before.rejected + 1
    assert after.frame > before.frame


def test_topics_are_remapped_and_compressed_goes_behind_the_remapped_name(probes):
    image = compressed(probes["right"])
    mask = probes["right"].answer(image, "/right/arm_only", "/rig/camera/rgb/compressed")
    assert mask.header == image.header


def test_qos_is_overridden_the_standard_way(nodes):
    assert "segmenting /left/front/image/compressed (sensor_msgs/msg/CompressedImage, RELIABLE)" in nodes["left"].log
    assert "segmenting /rig/camera/rgb/compressed (sensor_msgs/msg/CompressedImage, BEST_EFFORT)" in nodes["right"].log
    assert "does not exist" not in nodes["left"].log


def test_the_qos_of_the_diagnostics_is_overridden_too(probes):
    from rcl_interfaces.srv import GetParameters

    name = "qos_overrides./diagnostics.publisher.depth"
    answer = probes["left"].call("robotseg/get_parameters", GetParameters.Request(names=[name]), GetParameters)
    assert [value.integer_value for value in answer.values] == [3]


def test_a_publisher_whose_qos_does_not_fit_is_reported_and_harms_nobody(probes, nodes):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage

    probe, node = probes["left"], nodes["left"]
    node.mark()
    unfit = probe.node.create_publisher(CompressedImage, IMAGE, qos_profile_sensor_data)  # best effort
    probe.wait(
        lambda: node.said(
            r"/left/front/image/compressed: a publisher offers a QoS .* not take \(RELIABILITY\).*qos_overrides"
        ),
        "the report",
    )
    assert probe.answer(compressed(probe), "front/status", IMAGE)
    probe.node.destroy_publisher(unfit)


def test_the_diagnostics_name_publishers_that_cannot_match(probes, make_probe):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage, Image

    probe = probes["left"]
    probe.listen("/diagnostics")
    text = r"no image for \d+ s: /left/front/image/compressed has 2 publishers, .*"
    other = make_probe("/left")  # a process has one type for a topic
    probe.node.destroy_publisher(probe._publishers.pop(IMAGE))
    unfit = probe.node.create_publisher(CompressedImage, IMAGE, qos_profile_sensor_data)
    other.node.create_publisher(Image, IMAGE, 5)

    def told():
        statuses = [s for array in probe.received["/diagnostics"][-1:] for s in array.status]
        return next((s for s in statuses if s.name == "left/robotseg: front" and re.search(text, s.message)), None)

    status = probe.wait(told, "the diagnostics of a camera with two unfit publishers")
    best_effort = (
        r"reliability BEST_EFFORT \(probe, sensor_msgs/msg/CompressedImage\), which cannot match: Best effort publisher"
    )
    assert status.level == b"\x02"
    assert re.search(best_effort, status.message)
    assert (
        "sensor_msgs/msg/Image), which cannot match: this node takes sensor_msgs/msg/CompressedImage" in status.message
    )
    assert "fastdds" not in status.message
    probe.node.destroy_publisher(unfit)


def test_a_subscriber_whose_qos_does_not_fit_is_reported(probes, nodes):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image

    probe, node = probes["left"], nodes["left"]
    node.mark()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    unfit = probe.node.create_subscription(Image, "front/mask/robot", lambda message: None, latched)
    probe.wait(
        lambda: node.said(
            r"/left/front/mask/robot: a subscriber asks for a QoS that this node does not offer \(DURABILITY\)"
        ),
        "the report",
    )
    probe.node.destroy_subscription(unfit)


def test_simulated_time_is_the_nodes_time(probes):
    from rosgraph_msgs.msg import Clock

    probe = probes["right"]
    image = compressed(probe)
    clock = probe.node.create_publisher(Clock, "/clock", 1)
    message = Clock(clock=image.header.stamp)
    message.clock.sec += 7
    probe.wait(clock.get_subscription_count, "the node to listen to /clock")

    def aged():
        clock.publish(message)
        status = probe.answer(probe.stamped(image), "/right/status", "/rig/camera/rgb/compressed")
        return status if abs(status.age_ms) < 60_000 else None

    assert probe.wait(aged, "an age by /clock").age_ms <= 7000


def test_each_node_keeps_to_its_namespace(probes):
    names = {name for name, _ in probes["left"].node.get_topic_names_and_types()}
    outputs = {name for name in names if re.search(r"/(mask|labels|overlay|status|depth|points)", name)}
    common = {"labels", "overlay", "overlay/compressed", "status", "mask/camera_info"}
    common |= {f"{source}/{kind}" for source in ("depth", "points") for kind in ("filtered", "robot")}
    left = {f"/left/front/{name}" for name in common | {"mask/robot"}}
    right = {f"/right/{name}" for name in common | {"arm_only"}}
    assert left | right <= names
    assert outputs <= left | right
    services = {name for name, _ in probes["left"].node.get_service_names_and_types()}
    for name in ("prompt", "reset", "pause"):
        assert {f"/left/robotseg/{name}", f"/right/robotseg/{name}"} <= services
