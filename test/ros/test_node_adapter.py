"""The parameter `adapter` (one embodiment to another while the node runs), and the limits of the diagnostics."""

from __future__ import annotations

from concurrent.futures import CancelledError, TimeoutError
from types import SimpleNamespace

import pytest
import torch

from robotseg_ros.model import RobotSeg, preset
from robotseg_ros.model.adapter import add_adapter, save_adapter

pytestmark = pytest.mark.ros

NAMESPACE = "/adapted"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """An adapter that changes everything: random weights."""
    path = tmp_path_factory.mktemp("adapter") / "arm.safetensors"
    torch.manual_seed(0)
    network = RobotSeg(preset("robotseg_nano"))
    for parameter in add_adapter(network, 4).parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_adapter(network, path)
    return path


@pytest.fixture(scope="module")
def probe(start_robotseg, make_probe):
    node = start_robotseg(NAMESPACE, {"parts": ["robot"]})
    made = make_probe(NAMESPACE)
    made.wait(lambda: node.said("segmenting /adapted/image"), "the node to be active", timeout=90)
    return made


def first_score(probe):
    """The object score of the first frame of a stream."""
    from std_srvs.srv import Trigger

    assert probe.call("robotseg/reset", Trigger.Request(), Trigger).success
    return probe.answer(probe.image()).object_score[0]


def test_an_adapter_is_put_in_and_taken_out_while_running(probe, adapter):
    plain = first_score(probe)
    resets = probe.answer(probe.image()).resets
    assert probe.set_parameter("adapter", str(adapter)).successful
    assert probe.answer(probe.image()).resets > resets, "a stream's memory is not read with another adapter"
    adapted = first_score(probe)
    assert abs(adapted - plain) > 1e-3
    assert probe.set_parameter("adapter", "").successful
    assert first_score(probe) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("content", [None, b"no adapter"])
def test_an_adapter_that_cannot_be_used_is_refused_and_nothing_changes(probe, tmp_path, content):
    plain = first_score(probe)
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    answer = probe.set_parameter("adapter", str(path))
    assert not answer.successful and str(path) in answer.reason
    assert first_score(probe) == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("error", [TimeoutError, CancelledError])
def test_a_change_that_waits_too_long_for_a_frame_is_refused_and_the_node_lives(ros_env, error):
    import rclpy
    from rclpy.parameter import Parameter

    from robotseg_ros.ros.node import RobotSegNode

    def apply(settings):
        raise error

    context = rclpy.Context()
    rclpy.init(context=context)
    node = RobotSegNode(context=context, parameter_overrides=[Parameter("autostart", value=False)])
    node._pipeline = SimpleNamespace(apply=apply)
    (answer,) = node.set_parameters([Parameter("mask_threshold", value=1.0)])
    assert (answer.successful, answer.reason) == (False, "no frame was finished within 20 s")
    node.destroy_node()
    context.shutdown()


def test_limits_of_the_diagnostics_are_the_users(probe):
    from diagnostic_msgs.msg import DiagnosticStatus

    probe.listen("/diagnostics")

    def camera():
        arrays = probe.received["/diagnostics"]
        return next(
            (s for array in reversed(arrays) for s in array.status if s.name.endswith("robotseg: camera")), None
        )

    def warned(text, level=DiagnosticStatus.WARN):
        probe.publish(probe.image(), "image")
        probe.spin(0.1)
        status = camera()
        return status is not None and status.level == level and text in status.message

    assert probe.set_parameter("diagnostics.warn.rate", 900.0).successful
    probe.wait(lambda: warned("fewer than 900"), "a warning of the rate")
    assert probe.set_parameter("diagnostics.warn.rate", 0.0).successful
    assert probe.set_parameter("diagnostics.warn.latency", 0.001).successful
    probe.wait(lambda: warned("more than 0.001"), "a warning of the latency")
    assert probe.set_parameter("diagnostics.warn.latency", 0.0).successful
    assert probe.set_parameter("diagnostics.warn.object_score", 29.9).successful
    probe.wait(lambda: warned("lower than 29.9"), "a warning of the object score")
    assert probe.set_parameter("diagnostics.error.rate", 999.0).successful
    probe.wait(lambda: warned("fewer than 999", DiagnosticStatus.ERROR), "an error of the rate")
    assert probe.set_parameter("diagnostics.error.rate", 0.0).successful
    assert probe.set_parameter("diagnostics.warn.object_score", -30.0).successful
    values = {item.key: item.value for item in camera().values}
    assert {"lost", "dropped", "latency_p95_ms", "resets", "last_image_age_s"} <= set(values)
    model = next(
        s
        for array in reversed(probe.received["/diagnostics"])
        for s in array.status
        if s.name.endswith("robotseg: model")
    )
    assert float({item.key: item.value for item in model.values}["device_memory_mb"]) > 10
