"""The policy example as a process of its own: images and masks in, actions out."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.ros
EXAMPLE = Path(__file__).parents[2] / "examples" / "policy_mask_conditioning.py"
TARGET = (230, 120, 20)


@pytest.fixture
def probe(make_probe):
    return make_probe("/cell")


@pytest.fixture
def start(start_process):
    def start(*parameters: str):
        arguments = [word for parameter in parameters for word in ("-p", parameter)]
        return start_process(EXAMPLE, "--ros-args", "-r", "__ns:=/cell", *arguments)

    return start


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A target on the right; a gripper on the left, which is of the target's colour itself."""
    image, mask = np.full((48, 64, 3), 60, np.uint8), np.zeros((48, 64), bool)
    image[20:26, 50:56] = TARGET
    mask[20:26, 8:16] = True
    image[mask] = TARGET
    return image, mask


def publish(probe, stamp_ms=None, mask_shape=None):
    from robotseg_ros.ros.conversions import mask_image, rgb_image

    image, mask = picture()
    message = probe.stamped(rgb_image(_header(), image), stamp_ms)
    probe.publish(message, "image")
    mask = mask if mask_shape is None else np.zeros(mask_shape, bool)
    probe.publish(mask_image(message.header, mask), "mask")
    return message


def _header():
    from std_msgs.msg import Header

    return Header()


def listen(probe, *topics):
    from geometry_msgs.msg import TwistStamped

    probe.kinds["action"] = TwistStamped
    probe.listen(*topics)


def answer(probe, topic="action"):
    """What comes for an image that is published until it is answered."""
    sent = []

    def answered():
        sent.append(publish(probe).header)
        probe.spin(0.1)
        return next((found for header in sent if (found := probe.find(topic, header))), None)

    return probe.wait(answered, topic)


def until_said(probe, policy, pattern, publish):
    """Publishes until the policy has said something: the first messages are lost while a connection is made."""

    def said():
        publish()
        probe.spin(0.1)
        return re.search(pattern, policy.output)

    return probe.wait(said, pattern)


def test_the_gripper_moves_to_the_target_and_not_to_its_own_paint(probe, start):
    start("mode:=masked_out")
    listen(probe, "action", "policy_image")
    action = answer(probe)
    # With the robot's paint in view the target's centre would be half way: 0.5 * 0.5 * 41 / 64
    assert action.twist.linear.x == pytest.approx(0.5 * 41 / 64, abs=0.02)
    assert action.twist.linear.y == pytest.approx(0.0, abs=0.02)
    shown = probe.wait(lambda: probe.received["policy_image"], "the image that the policy sees")[0]
    pixels = np.frombuffer(shown.data, np.uint8).reshape(48, 64, 3)
    assert (pixels[22, 10] == 0).all() and tuple(pixels[22, 52]) == TARGET


def test_an_image_without_its_mask_gets_no_action_and_a_reason(probe, start):
    from robotseg_ros.ros.conversions import rgb_image

    policy = start("mode:=only")
    listen(probe, "action")
    until_said(
        probe,
        policy,
        r"\d+ images, but no mask of their stamps on /cell/mask: no action",
        lambda: probe.publish(probe.stamped(rgb_image(_header(), picture()[0])), "image"),
    )
    assert not probe.received["action"]
    policy.wait_for_output(r"no image on /cell/image for 2 s")


def test_a_mask_of_another_size_is_refused_and_the_next_good_one_used(probe, start):
    policy = start("mode:=background")
    listen(probe, "action")
    until_said(
        probe,
        policy,
        r"no action: the mask is bool \(24, 32\); expected bool \(48, 64\)",
        lambda: publish(probe, mask_shape=(24, 32)),
    )
    assert answer(probe)


def test_a_torchscript_policy_is_run(probe, start, tmp_path):
    import torch

    class Means(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            zeros = torch.zeros(4)
            return torch.cat([image.mean()[None], mask.mean()[None], zeros])

    torch.jit.script(Means()).save(str(tmp_path / "policy.pt"))
    start("mode:=untouched", f"policy:={tmp_path / 'policy.pt'}", "side:=32")
    listen(probe, "action")
    action = answer(probe)
    image, mask = picture()
    assert action.twist.linear.x == pytest.approx(image.mean() / 255, abs=0.01)
    assert action.twist.linear.y == pytest.approx(mask.mean(), abs=0.005)


@pytest.mark.parametrize(
    ("given", "reason"),
    [([float("nan")] * 6, "which are no speeds"), ([1.0] * 5, "cannot reshape array of size 5")],
    ids=["no number", "too few"],
)
def test_a_policy_whose_answer_is_no_speed_moves_nothing(probe, start, tmp_path, given, reason):
    import torch

    class Wrong(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("given", torch.tensor(given))

        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.given

    wrong = torch.jit.script(Wrong())
    wrong.save(str(tmp_path / "policy.pt"))
    policy = start(f"policy:={tmp_path / 'policy.pt'}", "side:=32")
    listen(probe, "action")
    until_said(probe, policy, reason, lambda: publish(probe))
    assert not probe.received["action"] and policy.returncode is None


@pytest.mark.parametrize(
    ("parameter", "reason"), [("mode:=out", "allowed are untouched"), ("background:=/nowhere.png", "/nowhere.png")]
)
def test_a_wrong_parameter_ends_it_with_a_reason(start, parameter, reason):
    policy = start(parameter)
    assert policy.wait() != 0
    assert reason in policy.output


def test_it_ends_cleanly(probe, start):
    policy = start()
    policy.wait_for_output("policy Reach")
    os.kill(policy.pid, signal.SIGTERM)
    assert policy.wait() == 0, policy.output
