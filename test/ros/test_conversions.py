"""Messages to arrays and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from robotseg_ros.imaging import ImageError

pytestmark = pytest.mark.ros


@pytest.fixture
def conversions():
    from robotseg_ros.ros import conversions

    return conversions


@pytest.fixture
def header():
    from std_msgs.msg import Header

    header = Header(frame_id="optical")
    header.stamp.sec, header.stamp.nanosec = 3, 7
    return header


def test_images_come_back_as_they_were_sent(conversions, header):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    message = conversions.rgb_image(header, rgb)
    np.testing.assert_array_equal(conversions.rgb_of(message), rgb)
    grey = conversions.grey_image(header, rgb[::-1, :, 1])  # also where it is not contiguous
    np.testing.assert_array_equal(conversions.rgb_of(grey)[..., 0], rgb[::-1, :, 1])
    assert message.header == grey.header == header


def test_an_rgb8_message_is_read_without_a_copy(conversions, header):
    message = conversions.rgb_image(header, np.zeros((4, 4, 3), np.uint8))
    assert np.shares_memory(conversions.rgb_of(message), np.frombuffer(message.data, np.uint8))


def test_a_compressed_image_has_its_colours(conversions, header):
    rgb = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    message = conversions.compressed_image(header, rgb)
    assert np.abs(conversions.rgb_of(message).astype(int) - rgb).max() <= 4
    assert np.abs(cv2.imdecode(np.frombuffer(message.data, np.uint8), 1)[..., ::-1].astype(int) - rgb).max() <= 4


def unknown_image(encoding: str = "nv21"):
    from sensor_msgs.msg import Image

    return Image(encoding=encoding, height=2, width=2, step=2, data=b"\0" * 6)


def test_an_encoding_that_we_do_not_know_goes_to_cv_bridge_where_there_is_one(conversions, monkeypatch):
    class Bridge:
        def imgmsg_to_cv2(self, message, encoding):
            assert (message.encoding, encoding) == ("nv21", "rgb8")
            return np.full((2, 2, 3), 9, np.uint8)

    monkeypatch.setattr(conversions, "_bridge", Bridge)
    assert (conversions.rgb_of(unknown_image()) == 9).all()


def test_what_cv_bridge_cannot_read_either_is_refused(conversions, monkeypatch):
    class Bridge:
        def imgmsg_to_cv2(self, message, encoding):
            raise RuntimeError("unrecognised")

    monkeypatch.setattr(conversions, "_bridge", Bridge)
    with pytest.raises(ImageError, match="encoding 'nv99': cv_bridge: unrecognised; accepted without it: rgb8"):
        conversions.rgb_of(unknown_image("nv99"))


def test_without_cv_bridge_it_is_refused_with_what_is_accepted(conversions, monkeypatch):
    monkeypatch.setattr(conversions, "_bridge", lambda: None)
    with pytest.raises(ImageError, match="unknown encoding 'nv21'; accepted: rgb8"):
        conversions.rgb_of(unknown_image())


def test_a_prompt_request_becomes_arguments_for_the_segmenter(header):
    from robotseg_ros.ros.conversions import grey_image
    from robotseg_ros.ros.service_messages import prompt_arguments
    from robotseg_ros.srv import Prompt

    request = Prompt.Request(part="arm", points_x=[1.0, 2.0], points_y=[3.0, 4.0], labels=[1, 0])
    request.box = [0.0, 1.0, 2.0, 3.0]
    assert prompt_arguments(request) == {
        "points": [(1.0, 3.0), (2.0, 4.0)],
        "labels": [1, 0],
        "box": (0.0, 1.0, 2.0, 3.0),
    }
    mask = np.array([[0, 255], [1, 0]], np.uint8)
    (given,) = prompt_arguments(Prompt.Request(mask=grey_image(header, mask))).values()
    np.testing.assert_array_equal(given, mask > 0)
