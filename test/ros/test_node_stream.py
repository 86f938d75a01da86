"""One running node, fed by the test: what comes out, what is refused, what starts the stream anew."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros

NAMESPACE = "/stream"


@pytest.fixture(scope="module")
def node(start_robotseg):
    return start_robotseg(NAMESPACE)


@pytest.fixture(scope="module")
def module_probe(node, make_probe):
    probe = make_probe(NAMESPACE)
    probe.wait(lambda: node.said("segmenting /stream/image"), "the node to be active", timeout=90)
    return probe


@pytest.fixture
def probe(module_probe, node):
    module_probe.answer(module_probe.image())  # alive, whatever the test before did
    node.mark()
    return module_probe


def pixels(message, channels: int) -> np.ndarray:
    flat = np.frombuffer(message.data, np.uint8)
    return flat.reshape(message.height, message.width, channels)


def status_after(probe, message):
    return probe.answer(message)


def test_every_output_has_the_size_and_the_header_of_the_image(probe):
    outputs = ["mask/arm", "mask/gripper", "labels", "overlay", "overlay/compressed", "status"]
    probe.listen(*outputs)
    image = probe.image(height=50, width=70)
    probe.answer(image)
    probe.wait(lambda: all(probe.find(topic, image.header) for topic in outputs), "all outputs")
    found = {topic: probe.find(topic, image.header) for topic in outputs}

    assert all(message.header == image.header for message in found.values())
    for topic in ("mask/arm", "mask/gripper", "labels"):
        message = found[topic]
        assert (message.encoding, message.height, message.width, message.step) == ("mono8", 50, 70, 70)
    assert set(np.unique(pixels(found["mask/arm"], 1))) <= {0, 255}
    assert set(np.unique(pixels(found["labels"], 1))) <= {0, 1, 2}
    assert (found["overlay"].encoding, found["overlay"].step) == ("rgb8", 210)
    assert pixels(found["overlay"], 3).shape == (50, 70, 3)
    assert found["overlay/compressed"].format == "rgb8; jpeg compressed bgr8"
    assert cv2.imdecode(np.frombuffer(found["overlay/compressed"].data, np.uint8), 1).shape == (50, 70, 3)
    probe.ignore("mask/gripper", "labels", "overlay", "overlay/compressed")


def test_status_tells_what_was_done(probe):
    before = status_after(probe, probe.image())
    status = status_after(probe, probe.image())

    assert status.model == "robotseg_nano"
    assert list(status.parts) == ["arm", "gripper"]
    assert len(status.present) == len(status.object_score) == len(status.predicted_iou) == len(status.coverage) == 2
    for present, score, coverage in zip(status.present, status.object_score, status.coverage, strict=True):
        assert present == (score > 0)
        assert 0 <= coverage <= 1 and (present or coverage == 0)
    assert status.frame == before.frame + 1
    assert status.received > before.received and status.processed == before.processed + 1
    assert status.stage_names[0] == "decode" and status.stage_names[-1] == "publish"
    assert 0 < sum(status.stage_ms) <= status.latency_ms
    assert status.age_ms > 0


def test_an_image_without_a_stamp_has_no_age(probe):
    image = probe.image()
    image.header.stamp.sec = image.header.stamp.nanosec = 0
    assert np.isnan(status_after(probe, image).age_ms)


def test_a_slow_model_drops_frames_and_never_works_on_old_ones(probe):
    probe.listen("status")
    before = status_after(probe, probe.image())
    for _ in range(100):  # many more than the model can do meanwhile
        image = probe.image()
        probe.publish(image)
        probe.spin(0.002)
    answered = len(probe.received["status"])
    after = probe.wait(lambda: probe.find("status", image.header), "the newest image to be answered")

    received, processed = after.received - before.received, after.processed - before.processed
    assert 0 < processed < received
    assert after.dropped - before.dropped == received - processed
    # One image may have been in work and one on its way back; with a queue, all the others would come now.
    assert len(probe.received["status"]) - answered <= 3


BAD_IMAGES = {
    "truncated data": (lambda m: m.data.pop(), r"truncated: 9215 bytes for 64 x 48 rgb8"),
    "wrong step": (
        lambda m: setattr(m, "step", 64),
        r"step is 64 bytes, but a row of 64 rgb8 pixels has 192",
    ),
    "unknown encoding": (
        lambda m: setattr(m, "encoding", "yuv9"),
        r"(unknown )?encoding 'yuv9'.*accepted.*rgb8, bgr8",
    ),
    "zero size": (
        lambda m: (setattr(m, "height", 0), setattr(m, "width", 0)),
        r"0 x 0 pixels; both must be at least 1",
    ),
    "no data": (lambda m: setattr(m, "data", b""), r"data is empty: 0 bytes"),
    "odd width": (
        lambda m: (setattr(m, "encoding", "yuv422"), setattr(m, "width", 63)),
        r"width must be even, not 63",
    ),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_and_the_next_good_one_segmented(probe, node, kind):
    spoil, reason = BAD_IMAGES[kind]
    before = status_after(probe, probe.image())
    image = probe.image()
    spoil(image)
    probe.publish(image)
    probe.wait(lambda: node.said(rf"/stream/image: refused image .*{reason}"), f"the refusal: {reason}")

    after = status_after(probe, probe.image())
    assert after.rejected == before.rejected + 1
    assert after.frame > before.frame  # the stream goes on


def test_nan_in_a_float_image_is_refused(probe, node):
    values = np.full((48, 64), 0.5, np.float32)
    image = probe.image("32FC1")
    image.data = values.tobytes()
    good = status_after(probe, image)
    values[3, 4] = np.nan
    image = probe.image("32FC1")
    image.data = values.tobytes()
    probe.publish(image)
    probe.wait(lambda: node.said(r"/stream/image: refused .*1 of 3072 values NaN"), "the refusal")
    assert status_after(probe, probe.image()).rejected == good.rejected + 1


def test_a_stream_of_bad_images_does_not_flood_the_log(probe, node):
    for _ in range(20):
        image = probe.image()
        image.encoding = "flood"
        probe.publish(image)
        probe.spin(0.01)
    status_after(probe, probe.image())
    assert node.log.count("'flood'") <= 2


def test_another_image_size_starts_the_stream_anew(probe, node):
    before = status_after(probe, probe.image(height=48, width=64))
    after = status_after(probe, probe.image(height=60, width=80))
    assert (after.frame, after.resets) == (0, before.resets + 1)
    assert "starts anew: image size changed from" in node.log  # of this change or, within 5 s, of another one


def test_time_going_back_starts_the_stream_anew(probe, node):
    late = probe.image()
    before = status_after(probe, late)
    after = status_after(probe, probe.image(stamp_ms=1000 * late.header.stamp.sec - 50_000))
    assert (after.frame, after.resets) == (0, before.resets + 1)
    probe.wait(lambda: node.said("starts anew: time went back by 5"), "the reason")


def test_a_clock_that_is_adjusted_by_milliseconds_does_not(probe):
    image = probe.image()
    before = status_after(probe, image)
    milliseconds = 1000 * image.header.stamp.sec + image.header.stamp.nanosec // 1_000_000
    after = status_after(probe, probe.image(stamp_ms=milliseconds - 20))
    assert (after.frame, after.resets) == (before.frame + 1, before.resets)


def test_reset_starts_the_stream_anew(probe):
    from std_srvs.srv import Trigger

    before = status_after(probe, probe.image())
    answer = probe.call("robotseg/reset", Trigger.Request(), Trigger)
    assert answer.success and "next image is the first" in answer.message
    after = status_after(probe, probe.image())
    assert (after.frame, after.resets) == (0, before.resets + 1)


def test_pause_ignores_images_until_it_ends(probe):
    from std_srvs.srv import SetBool

    before = status_after(probe, probe.image())
    assert probe.call("robotseg/pause", SetBool.Request(data=True), SetBool).message == "paused"
    for _ in range(3):
        probe.publish(probe.image())
        probe.spin(0.1)
    assert probe.call("robotseg/pause", SetBool.Request(data=False), SetBool).message == "running"
    after = status_after(probe, probe.image())
    assert after.processed == before.processed + 1


def test_parts_change_while_running(probe):
    probe.listen("mask/arm")
    assert probe.set_parameter("parts", ["robot"]).successful
    probe.listen("mask/robot")
    image = probe.image()
    status = status_after(probe, image)
    assert list(status.parts) == ["robot"]
    mask = probe.wait(lambda: probe.find("mask/robot", image.header), "the mask of the new part")
    assert mask.header == image.header
    arm = probe.node.resolve_topic_name("mask/arm")
    probe.wait(lambda: probe.node.count_publishers(arm) == 0, "the old part's topic to go")
    assert probe.find("mask/arm", image.header) is None

    assert probe.set_parameter("parts", ["arm", "gripper"]).successful
    assert list(status_after(probe, probe.image()).parts) == ["arm", "gripper"]


def test_parts_may_change_all_the_time(probe):
    """rclpy's executor fails where a publisher goes while it gathers what to wait for: the node must not meet that."""
    for _ in range(60):
        for parts in (["robot"], ["arm"], ["arm", "gripper"]):
            assert probe.set_parameter("parts", parts).successful
        probe.publish(probe.image())
    assert list(status_after(probe, probe.image()).parts) == ["arm", "gripper"]
    probe.listen("mask/arm", "mask/gripper")
    robot = probe.node.resolve_topic_name("mask/robot")
    probe.wait(lambda: probe.node.count_publishers(robot) == 0, "the old part's topic to go")


def test_threshold_and_overlay_change_while_running(probe):
    probe.listen("overlay")
    assert probe.set_parameter("mask_threshold", 20).successful  # an integer, too
    assert probe.set_parameter("overlay_alpha", 1.0).successful
    image = probe.image()
    status = status_after(probe, image)
    assert max(status.coverage) == 0.0  # no pixel is that certain
    drawn = probe.wait(lambda: probe.find("overlay", image.header), "the overlay")
    np.testing.assert_array_equal(drawn.data, image.data)
    assert probe.set_parameter("mask_threshold", 0.0).successful
    assert probe.set_parameter("overlay_alpha", 0.5).successful
    probe.ignore("overlay")


@pytest.mark.parametrize(
    "name, value, reason",
    [
        (
            "parts",
            ["hand"],
            "parameter 'parts' cannot be ['hand']; allowed: at least one of arm, gripper, robot",
        ),
        ("parts", ["arm", "arm"], "parameter 'parts' cannot be ['arm', 'arm']"),
        ("parts", "arm", "parameter 'parts' cannot be 'arm'"),
        (
            "overlay_alpha",
            "strong",
            "parameter 'overlay_alpha' cannot be 'strong'; allowed: a number from 0 to 1",
        ),
        ("overlay_alpha", 2, "parameter 'overlay_alpha' cannot be 2; allowed: a number from 0 to 1"),
        ("overlay_alpha", 2.0, "overlay_alpha out of range"),  # rclpy's own words
        (
            "mask_threshold",
            True,
            "parameter 'mask_threshold' cannot be True; allowed: a number from -20 to 20",
        ),
        (
            "device",
            "cpu",
            "parameter 'device' cannot become 'cpu' now: it changes while the node is unconfigured",
        ),
        ("autostart", False, "read-only parameter: autostart"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_value_and_what_is_allowed(probe, name, value, reason):
    result = probe.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason


def test_a_prompt_is_applied_to_the_next_image(probe):
    from robotseg_ros.srv import Prompt

    points = Prompt.Request(part="arm", points_x=[30.0], points_y=[20.0], labels=[1])
    box = Prompt.Request(part="gripper", box=[5.0, 5.0, 30.0, 30.0])
    mask = Prompt.Request(part="arm", mask=probe.image("mono8"))
    for request in (points, box, mask):
        answer = probe.call("robotseg/prompt", request, Prompt)
        assert answer.success, answer.message
        status_after(probe, probe.image())


def test_a_prompt_names_its_image_by_the_stamp_and_shows_in_the_next_mask(probe):
    from std_srvs.srv import Trigger

    from robotseg_ros.srv import Prompt

    request = Prompt.Request(part="arm", mask=probe.image("mono8"))
    request.mask.data = np.pad(np.full((32, 40), 255, np.uint8), ((8, 8), (12, 12))).tobytes()

    def scores(prompted: bool) -> dict[str, float]:
        """Of the third image of a new stream."""
        assert probe.call("robotseg/reset", Trigger.Request(), Trigger).success
        first = probe.image()
        status_after(probe, first)
        status_after(probe, probe.image())
        if prompted:
            request.stamp = first.header.stamp
            answer = probe.call("robotseg/prompt", request, Prompt)
            assert (answer.success, answer.message) == (True, "arm: applied to the image of that stamp")
        status = status_after(probe, probe.image())
        return dict(zip(status.parts, status.object_score, strict=True))

    without, prompted = scores(False), scores(True)
    assert abs(prompted["arm"] - without["arm"]) > 1e-3
    assert prompted["gripper"] == pytest.approx(without["gripper"], abs=1e-4)


def test_a_prompt_for_an_image_that_is_long_gone_is_for_the_next(probe):
    from robotseg_ros.srv import Prompt

    request = Prompt.Request(part="arm", box=[5.0, 5.0, 30.0, 30.0])
    request.stamp.sec = 1
    answer = probe.call("robotseg/prompt", request, Prompt)
    assert answer.success and answer.message == "arm: the image of that stamp is not kept: applied to the next one"


def test_one_image_is_segmented_without_touching_the_stream(probe):
    from robotseg_ros.srv import Segment

    before = status_after(probe, probe.image())
    image = probe.image(height=30, width=44)
    first = probe.call("robotseg/segment", Segment.Request(image=image, parts=["robot", "arm"]), Segment)
    assert first.success, first.message
    assert list(first.parts) == ["robot", "arm"]
    assert len(first.object_score) == len(first.predicted_iou) == 2
    for mask in first.masks:
        assert mask.header == image.header
        assert (mask.encoding, mask.height, mask.width, mask.step) == ("mono8", 30, 44, 44)
        assert set(np.unique(pixels(mask, 1))) <= {0, 255}
    second = probe.call("robotseg/segment", Segment.Request(image=image, parts=["robot", "arm"]), Segment)
    assert list(second.object_score) == list(first.object_score)  # nothing is remembered
    after = status_after(probe, probe.image())
    assert (after.frame, after.resets, after.received) == (before.frame + 1, before.resets, before.received + 1)


def test_a_compressed_image_is_segmented_too(probe):
    from sensor_msgs.msg import CompressedImage

    from robotseg_ros.srv import Segment

    jpeg = cv2.imencode(".jpg", np.full((20, 30, 3), 80, np.uint8))[1].tobytes()
    answer = probe.call("robotseg/segment", Segment.Request(compressed=CompressedImage(data=jpeg)), Segment)
    assert answer.success, answer.message
    assert list(answer.parts) == ["arm", "gripper"] and answer.masks[0].width == 30


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({}, "the request has no image"),
        ({"parts": ["hand"]}, "got ['hand']"),
        ({"camera": "front"}, "there is no camera 'front'"),
        ({"encoding": "yuv9"}, "encoding 'yuv9'"),
    ],
)
def test_an_image_that_cannot_be_segmented_is_refused_with_a_reason(probe, fields, reason):
    from robotseg_ros.srv import Segment

    request = Segment.Request(camera=fields.get("camera", ""), parts=fields.get("parts", []))
    if fields:
        request.image = probe.image()
        request.image.encoding = fields.get("encoding", "rgb8")
    answer = probe.call("robotseg/segment", request, Segment)
    assert not answer.success and reason in answer.message


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"part": "arm"}, "prompt is empty"),
        ({"part": "arm", "points_x": [1.0], "points_y": [1.0]}, "must have the same number"),
        ({"part": "arm", "box": [1.0, 2.0]}, "box has 2 entries"),
        ({"part": "hand", "box": [1.0, 2.0, 3.0, 4.0]}, "hand"),
    ],
)
def test_a_wrong_prompt_is_refused_with_a_reason(probe, fields, reason):
    from robotseg_ros.srv import Prompt

    answer = probe.call("robotseg/prompt", Prompt.Request(**fields), Prompt)
    assert not answer.success
    assert reason in answer.message


def test_diagnostics_tell_of_model_and_camera(probe):
    probe.listen("/diagnostics")

    def healthy():
        statuses = {s.name: s for array in probe.received["/diagnostics"][-1:] for s in array.status}
        camera = statuses.get("stream/robotseg: camera")
        return statuses if camera is not None and "masks per second" in camera.message else None

    probe.received["/diagnostics"].clear()
    status_after(probe, probe.image())
    statuses = probe.wait(healthy, "diagnostics of a running camera")
    camera = {item.key: item.value for item in statuses["stream/robotseg: camera"].values}
    model = {item.key: item.value for item in statuses["stream/robotseg: model"].values}
    assert camera["topic"] == "/stream/image"
    assert float(camera["latency_p50_ms"]) <= float(camera["latency_p95_ms"])
    assert (model["state"], model["model"], model["device"].split(":")[0]) == (
        "active",
        "robotseg_nano",
        model["device"],
    )


def test_a_silent_camera_is_reported_with_who_publishes(probe, node):
    found = probe.wait(
        lambda: node.said(
            r"no image for \d+ s: /stream/image has 1 publisher, reliability RELIABLE \(probe, .*BEST_EFFORT"
        ),
        "the report",
        timeout=15,
    )
    assert found
