"""One node with several cameras: each has its own topics, parts, transport, memory and fate."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros

NAMESPACE = "/rig"
WRIST = "wrist/image/compressed"


@pytest.fixture(scope="module")
def node(start_robotseg):
    own = {"wrist.parts": ["gripper"], "wrist.transport": "compressed", "front.parts": ["robot"]}
    return start_robotseg(NAMESPACE, {"cameras": ["front", "wrist", "rear"], **own})


@pytest.fixture(scope="module")
def module_probe(node, make_probe):
    probe = make_probe(NAMESPACE)
    probe.wait(lambda: node.said("segmenting /rig/rear/image"), "the node to be active", timeout=90)
    return probe


@pytest.fixture
def probe(module_probe, node):
    front(module_probe, module_probe.image())
    node.mark()
    return module_probe


def front(probe, image):
    return probe.answer(image, "front/status", "front/image")


def wrist(probe, stamp_ms=None, size=(48, 64)):
    return probe.answer(jpeg(probe, stamp_ms, size), "wrist/status", WRIST)


def jpeg(probe, stamp_ms=None, size=(48, 64)):
    from sensor_msgs.msg import CompressedImage

    picture = np.full((*size, 3), 90, np.uint8)
    return probe.stamped(CompressedImage(format="jpeg", data=cv2.imencode(".jpg", picture)[1].tobytes()), stamp_ms)


def test_each_camera_has_its_own_parts_and_transport(probe):
    assert list(front(probe, probe.image()).parts) == ["robot"]
    assert list(wrist(probe).parts) == ["gripper"]
    assert list(probe.answer(probe.image(), "rear/status", "rear/image").parts) == ["arm", "gripper"]
    names = {name for name, _ in probe.node.get_topic_names_and_types()}
    masks = {
        f"/rig/{mask}" for mask in ("front/mask/robot", "wrist/mask/gripper", "rear/mask/arm", "rear/mask/gripper")
    }
    calibrations = {f"/rig/{camera}/mask/camera_info" for camera in ("front", "wrist", "rear")}
    assert {name for name in names if "/mask/" in name} == masks | calibrations


def test_a_camera_that_comes_back_at_another_size_concerns_no_other(probe):
    before = wrist(probe), front(probe, probe.image())
    after = wrist(probe, size=(60, 80)), front(probe, probe.image())
    assert (after[0].frame, after[0].resets) == (0, before[0].resets + 1)
    assert after[1].frame > before[1].frame and after[1].resets == before[1].resets


def test_a_camera_that_stops_is_an_error_of_its_own_and_the_others_go_on(probe):
    probe.listen("/diagnostics")

    def told():
        rear = probe.answer(probe.image(), "rear/status", "rear/image")
        statuses = {s.name.split()[-1]: s for array in probe.received["/diagnostics"][-1:] for s in array.status}
        front = statuses.get("front")
        silent = front is not None and front.level == b"\x02" and "no image for" in front.message
        return silent and statuses["rear"].level == b"\x00" and rear.processed

    probe.wait(told, "an error of the camera that stopped, and of no other")
    assert front(probe, probe.image()).processed


def test_a_slow_camera_is_served_beside_a_fast_one(probe):
    """60 and 5 Hz: the fast one always has an image waiting, and every image of the slow one is segmented."""
    probe.listen("front/status", "wrist/status")
    started = front(probe, probe.image())
    wrist(probe)
    slow = []
    for _ in range(5):
        image = jpeg(probe)
        probe.publish(image, WRIST)
        while not (status := probe.find("wrist/status", image.header)):
            probe.publish(probe.image(), "front/image")
            probe.spin(1 / 60)
        slow.append(status)
    first, last = slow[0], slow[-1]
    assert last.processed - first.processed == last.received - first.received == 4
    assert last.dropped == first.dropped
    assert front(probe, probe.image()).processed - started.processed > 5


def test_images_that_wait_together_share_the_networks_call(probe):
    """Both cameras faster than the model: the diagnostics tell."""
    probe.listen("/diagnostics")

    def shared():
        for _ in range(3):
            probe.publish(probe.image(), "front/image")
            probe.publish(probe.image(), "rear/image")
            probe.spin(0.005)
        statuses = {s.name: s for array in probe.received["/diagnostics"][-1:] for s in array.status}
        rear = statuses.get("rig/robotseg: rear")
        values = {item.key: item.value for item in rear.values} if rear else {}
        return float(values.get("cameras_per_network_call", "0")) > 1.3

    probe.wait(shared, "images of two cameras in one call")


def test_one_camera_is_paused_and_reset_by_its_name(probe):
    from std_srvs.srv import SetBool, Trigger

    before = front(probe, probe.image()), wrist(probe)
    assert probe.call("robotseg/wrist/pause", SetBool.Request(data=True), SetBool).success
    unseen = jpeg(probe)
    probe.publish(unseen, WRIST)
    probe.spin(0.2)
    assert probe.call("robotseg/wrist/pause", SetBool.Request(data=False), SetBool).success
    assert probe.call("robotseg/front/reset", Trigger.Request(), Trigger).success
    after = front(probe, probe.image()), wrist(probe)
    assert (after[0].resets, after[0].frame) == (before[0].resets + 1, 0)
    assert after[1].resets == before[1].resets and not probe.find("wrist/status", unseen.header)


def test_a_prompt_names_its_camera(probe):
    from robotseg_ros.srv import Prompt

    wrist(probe)
    box = [5.0, 5.0, 30.0, 30.0]
    answer = probe.call("robotseg/prompt", Prompt.Request(camera="wrist", part="gripper", box=box), Prompt)
    assert answer.success, answer.message
    for request, reason in (
        (Prompt.Request(part="gripper", box=box), "there is no camera ''; name one of: front, wrist, rear"),
        (Prompt.Request(camera="top", part="gripper", box=box), "there is no camera 'top'"),
        (Prompt.Request(camera="wrist", part="arm", box=box), "has the parts gripper"),
    ):
        answer = probe.call("robotseg/prompt", request, Prompt)
        assert not answer.success and reason in answer.message


def test_parts_of_one_camera_change_while_running(probe):
    assert probe.set_parameter("front.parts", ["arm"]).successful
    assert list(front(probe, probe.image()).parts) == ["arm"]
    assert list(wrist(probe).parts) == ["gripper"]
    assert probe.set_parameter("front.parts", [""]).successful  # as the node's
    assert list(front(probe, probe.image()).parts) == ["arm", "gripper"]
    assert probe.set_parameter("parts", ["gripper"]).successful
    assert list(front(probe, probe.image()).parts) == ["gripper"]
    assert not probe.set_parameter("front.parts", ["hand"]).successful
    assert probe.set_parameter("parts", ["arm", "gripper"]).successful
    assert probe.set_parameter("front.parts", ["robot"]).successful


def test_every_camera_has_a_status_in_the_diagnostics(probe):
    probe.listen("/diagnostics")
    names = {"rig/robotseg: model", "rig/robotseg: front", "rig/robotseg: wrist", "rig/robotseg: rear"}
    probe.wait(lambda: names <= {s.name for a in probe.received["/diagnostics"][-1:] for s in a.status}, "all of them")


# Other nodes


def test_a_camera_may_have_a_model_of_its_own(start_robotseg, make_probe, tmp_path_factory):
    from robotseg_ros.model import RobotSeg, preset, save_checkpoint

    folder = tmp_path_factory.mktemp("models")
    save_checkpoint(RobotSeg(preset("robotseg_nano")), folder / "other.safetensors")
    (folder / "other.yaml").write_text("preset: robotseg_nano\ncheckpoint: other.safetensors\n")
    node = start_robotseg(
        "/models", {"cameras": ["front", "wrist"], "wrist.model": str(folder / "other.yaml"), "parts": ["arm"]}
    )
    probe = make_probe("/models")
    probe.wait(lambda: node.said("segmenting /models/wrist/image"), "the node to be active", timeout=90)
    assert front(probe, probe.image()).model == "robotseg_nano"
    assert probe.answer(probe.image(), "wrist/status", "wrist/image").model == "other"
    probe.listen("/diagnostics")
    names = {"models/robotseg: model robotseg_nano", "models/robotseg: model other"}
    probe.wait(lambda: names <= {s.name for a in probe.received["/diagnostics"] for s in a.status}, "both models")
    node.process.stop()


def test_cameras_change_while_the_node_is_unconfigured(start_robotseg, make_probe):
    node = start_robotseg("/changing", {"autostart": False, "right.parts": ["gripper"]})
    probe = make_probe("/changing")
    probe.wait(lambda: node.said("parameter 'right.parts' is given but does not exist"), "the warning")
    assert probe.set_parameter("cameras", ["left", "right"]).successful
    assert probe.transition("configure")
    assert probe.set_parameter("left.parts", ["arm"]).successful
    assert not probe.set_parameter("cameras", ["left"]).successful
    assert probe.transition("activate")
    assert list(probe.answer(probe.image(), "left/status", "left/image").parts) == ["arm"]
    assert list(probe.answer(probe.image(), "right/status", "right/image").parts) == ["gripper"]
    node.process.stop()
