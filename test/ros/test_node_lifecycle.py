"""The node's life: transitions, a missing checkpoint, wrong parameters at start, signals, sudden death."""

from __future__ import annotations

import re
import signal

import pytest

pytestmark = pytest.mark.ros

NAMESPACE = "/life"


@pytest.fixture(scope="module")
def node(start_robotseg):
    return start_robotseg(NAMESPACE, {"autostart": False, "checkpoint": "/nowhere/robotseg.safetensors"})


@pytest.fixture(scope="module")
def probe(node, make_probe):
    return make_probe(NAMESPACE)


def test_a_missing_checkpoint_fails_in_configure_with_the_path_and_the_node_lives(probe, node):
    assert probe.state() == "unconfigured"
    assert not probe.transition("configure")
    assert node.said(r"on_configure failed: .*/nowhere/robotseg\.safetensors")
    assert "Traceback" not in node.log
    assert probe.state() == "unconfigured"


def test_the_diagnostics_say_why(probe):
    probe.listen("/diagnostics")

    def failing():
        latest = probe.received["/diagnostics"][-1:]
        return [s for array in latest for s in array.status if s.name == "life/robotseg: model" and s.level == b"\x02"]

    (status,) = probe.wait(failing, "an error in the diagnostics")
    assert "/nowhere/robotseg.safetensors" in status.message


def test_services_of_an_unconfigured_node_say_so(probe):
    from std_srvs.srv import Trigger

    answer = probe.call("robotseg/reset", Trigger.Request(), Trigger)
    assert not answer.success
    assert "unconfigured; configure it first" in answer.message


def test_an_unconfigured_node_takes_another_checkpoint_and_goes_through_its_life(probe, checkpoint):
    assert probe.set_parameter("checkpoint", checkpoint).successful
    image, mask = probe.node.resolve_topic_name("image"), probe.node.resolve_topic_name("mask/arm")
    for _ in range(2):
        assert probe.transition("configure")
        assert probe.state() == "inactive"
        assert probe.node.count_subscribers(image) == 0
        assert probe.transition("activate")
        assert probe.state() == "active"
        status = probe.answer(probe.image())
        assert (status.frame, status.processed, status.resets) == (0, 1, 0)
        assert probe.transition("deactivate")
        probe.wait(lambda: probe.node.count_subscribers(image) == 0, "the subscription to go")
        assert probe.transition("cleanup")
        assert probe.state() == "unconfigured"
        probe.wait(lambda: probe.node.count_publishers(mask) == 0, "the outputs to go")


def test_a_transition_that_is_not_possible_is_refused(probe):
    assert not probe.transition("activate")
    assert probe.state() == "unconfigured"


def test_deactivating_with_frames_in_work_publishes_nothing_afterwards(probe):
    assert probe.transition("configure") and probe.transition("activate")
    probe.answer(probe.image())
    for _ in range(5):
        probe.publish(probe.image())
    assert probe.transition("deactivate")
    probe.spin(0.3)  # what was published before may still be on its way
    count = len(probe.received["status"])
    probe.spin(1.0)
    assert len(probe.received["status"]) == count
    assert probe.transition("activate")
    assert probe.answer(probe.image()).frame == 0  # the memory of before is gone


def test_sigterm_ends_an_active_node_cleanly(probe, node):
    node.process._signal(signal.SIGTERM)
    assert node.process.wait(20.0)
    assert node.process.exit_code == 0
    assert "Traceback" not in node.log and "terminate called" not in node.log


def test_a_killed_node_is_replaced_and_serves_the_same_subscribers(probe, start_robotseg):
    first = start_robotseg(NAMESPACE)
    probe.wait(lambda: first.said("segmenting"), "the node to be active", timeout=90)
    probe.answer(probe.image())
    first.process._signal(signal.SIGKILL)
    assert first.process.wait(10.0)

    second = start_robotseg(NAMESPACE)
    probe.wait(lambda: second.said("segmenting"), "the node to be active", timeout=90)
    assert probe.answer(probe.image()).frame == 0
    second.process._signal(signal.SIGINT)
    assert second.process.wait(20.0)
    assert second.process.exit_code == 0
    assert "Traceback" not in second.log


def test_a_signal_while_the_model_loads_ends_the_node_cleanly(start_robotseg, make_probe):
    node = start_robotseg("/early")
    make_probe("/early").wait(lambda: node.said("loading model robotseg"), "the loading", timeout=60)
    node.process._signal(signal.SIGINT)
    assert node.process.wait(30.0)
    assert node.process.exit_code == 0
    assert "Traceback" not in node.log


def test_wrong_parameters_at_start_are_all_named(start_robotseg):
    qos = "qos_overrides./wrong/image.subscription"
    node = start_robotseg(
        "/wrong",
        {
            "parts": ["hand"],
            "overlay_alpha": 3.0,
            "overlay_alfa": 1.0,
            f"{qos}.reliability": "relaible",
            f"{qos}.depth": 0,
        },
    )
    assert node.process.wait(60.0)
    assert node.process.exit_code == 2
    assert "parameter 'parts' cannot be ['hand']; allowed: at least one of arm, gripper, robot" in node.log
    assert "parameter 'overlay_alpha' cannot be 3.0; allowed: a number from 0 to 1" in node.log
    assert re.search(rf"parameter '{qos}.reliability' cannot be 'relaible'; allowed: .*best_effort", node.log)
    assert f"parameter '{qos}.depth' cannot be 0; allowed: an integer from 1" in node.log
    assert "Traceback" not in node.log
