"""Camera files: those that come with the package are valid, wrong ones are refused with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotseg_ros.cameras import CameraFileError, available_cameras, load_camera

GOOD = "description: a camera\ntransport: raw\nnamespace: /eye\ntopics:\n  image: rgb\n"


def written(folder: Path, text: str) -> str:
    path = folder / "eye.yaml"
    path.write_text(text)
    return str(path)


def test_the_promised_cameras_are_there() -> None:
    assert set(available_cameras()) >= {"realsense_d4xx", "zed", "oak_d", "usb_cam", "compressed_only"}


@pytest.mark.parametrize("name", available_cameras())
def test_a_shipped_camera_is_valid_and_remaps_its_image(name: str) -> None:
    camera = load_camera(name)
    assert camera.description
    assert ("image", camera.topics["image"]) in camera.remappings()


def test_a_camera_of_the_users_own_is_read_from_its_path(tmp_path: Path) -> None:
    camera = load_camera(written(tmp_path, GOOD))
    assert (camera.name, camera.transport) == ("eye", "raw")
    assert camera.remappings() == [("image", "/eye/rgb")]


def test_a_given_topic_replaces_the_image_only(tmp_path: Path) -> None:
    camera = load_camera(written(tmp_path, GOOD + "  depth: depth\n"))
    assert camera.remappings("/other") == [("image", "/other"), ("depth", "/eye/depth")]


def test_a_driver_in_another_namespace_and_a_named_camera(tmp_path: Path) -> None:
    camera = load_camera(written(tmp_path, GOOD + "  depth: /absolute/depth\n") + "@/wrist")
    assert camera.remappings(camera="hand") == [("hand/image", "/wrist/rgb"), ("hand/depth", "/absolute/depth")]
    with pytest.raises(CameraFileError, match="absolute namespace"):
        load_camera("zed@wrist")


def test_compressed_images_on_an_unusual_topic_get_a_remap_of_their_own(tmp_path: Path) -> None:
    camera = load_camera(written(tmp_path, GOOD + "  image/compressed: /eye/jpeg\n"))
    assert camera.remappings() == [("image", "/eye/rgb"), ("/eye/rgb/compressed", "/eye/jpeg")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "description, transport, namespace, topics"),
        ("{", "cannot be read as YAML"),
        (GOOD + "extra: 1\n", "extra"),
        (GOOD.replace("raw", "h264"), "h264"),
        (GOOD.replace("  image: rgb", "  depth: depth"), "topic of the image"),
        (GOOD + "  smell: /eye/smell\n", "smell"),
        (GOOD.replace("/eye", "eye"), "absolute"),
        (GOOD.replace("rgb", "rgb/"), "below the namespace"),
    ],
)
def test_wrong_camera_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(CameraFileError, match=named) as refused:
        load_camera(written(tmp_path, text))
    assert "eye.yaml" in str(refused.value)


def test_an_unknown_camera_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CameraFileError, match="realsense_d4xx"):
        load_camera("kodak")
