"""`robotseg doctor`: says what works, what does not and what to do, and ends with the right code."""

from __future__ import annotations

import re
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from robotseg_ros import installation
from robotseg_ros.installation import Finding, examine


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_working_installation_is_said_to_work(command, model_file):
    done = command("doctor", "--model", model_file, "--device", "cpu")
    assert done.code == 0, done.output
    for words in (
        "ok    machine:",
        "ok    python:",
        "ok    torch:",
        "ok    sam2:",
        "ok    device: cpu -> cpu",
        "ok    test image: 640x480",
    ):
        assert words in done.output
    assert "all required things work" in done.output


def test_a_model_that_does_not_load_fails_with_advice(command, model_file):
    (model_file.parent / "untrained_copy.yaml").write_text("preset: robotseg_nano\ncheckpoint: absent.safetensors\n")
    done = command("doctor", "--model", model_file.parent / "untrained_copy.yaml")
    assert done.code == 1
    assert "FAIL  model" in done.output and "absent.safetensors does not exist" in done.output
    assert "->" in done.output


def test_a_users_own_checkpoint_is_tried(model_file):
    weights = str(model_file.with_suffix(".safetensors"))
    found = by_name(examine("robotseg_nano", checkpoint=weights))
    assert found["model robotseg_nano"].status == "ok" and weights in found["model robotseg_nano"].detail
    assert found["test image"].status == "ok"


def test_an_unknown_device_fails_with_what_there_is(model_file):
    found = by_name(examine(str(model_file), device="tpu"))
    assert found["device"].status == "fail" and "cpu" in found["device"].detail
    assert found["test image"].status == "fail"


@pytest.mark.parametrize(
    ("version", "status"), [((3, 9, 1), "fail"), ((3, 10, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "note")]
)
def test_a_python_too_old_fails_and_one_not_tried_is_noted(monkeypatch, version, status):
    monkeypatch.setattr(sys, "version_info", version)
    assert next(installation._python()).status == status


def test_a_missing_package_fails_with_the_command_that_installs_it(monkeypatch, model_file):
    monkeypatch.setitem(sys.modules, "rosbags", None)
    found = by_name(examine(str(model_file)))
    assert (found["rosbags"].status, found["rosbags"].advice) == ("fail", "pip install rosbags")


def test_every_requirement_of_the_package_is_looked_at():
    config = ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    required = {line.split()[0] for line in config["options"]["install_requires"].splitlines() if line}
    of_sam2 = {"hydra-core", "iopath"}  # without them sam2 does not import
    assert required == {*installation._REQUIRED.values(), "torch", "sam2", *of_sam2}


def test_what_an_advice_has_the_user_make_can_be_made():
    targets = re.findall(r"^([a-z-]+):", (Path(__file__).parents[2] / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)`", Path(installation.__file__).read_text())) <= set(targets)


@pytest.mark.parametrize(("required", "status"), [(False, "note"), (True, "fail")])
def test_ros_is_optional_unless_it_is_asked_for(monkeypatch, required, status):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    (finding,) = installation._ros(required)
    assert finding.status == status
    assert "setup.bash" in finding.advice


@pytest.mark.ros
@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({}, "note", "no Fast DDS profile is set"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/absent.xml"}, "fail", "/absent.xml"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": __file__}, "ok", __file__),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, "ok", "rmw_cyclonedds_cpp"),
    ],
)
def test_the_dds_profile_is_looked_at_where_there_is_ros(monkeypatch, variables, status, words):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = installation._dds_profile()
    assert found.status == status and words in found.detail
    assert status == "ok" or "fastdds.xml" in found.advice


@pytest.mark.ros
def test_the_profile_is_named_as_the_distribution_reads_it(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert "FASTRTPS_DEFAULT_PROFILES_FILE=/" in installation._profile_advice()
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in installation._profile_advice()


def test_every_finding_that_is_not_in_order_says_what_to_do(monkeypatch, model_file):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.setitem(sys.modules, "lz4", None)
    for finding in examine(str(model_file), device="cuda:99", ros=True):
        if finding.status == "fail":
            assert finding.advice, finding


def test_a_check_that_breaks_is_a_finding(monkeypatch, model_file):
    def broken(model, checkpoint):
        raise RuntimeError("segfault, nearly")
        yield

    monkeypatch.setattr(installation, "_models", broken)
    found = by_name(examine(str(model_file)))
    assert found["models"].status == "fail" and "segfault, nearly" in found["models"].detail
    assert found["test image"].status == "ok"


@pytest.mark.ros
def test_large_images_are_sent_between_two_processes(start_process, model_file):
    doctor = start_process("-m", "robotseg_ros.cli.main", "doctor", "--ros", "--model", model_file, "--device", "cpu")
    assert doctor.wait(90.0) == 0, doctor.output
    assert "ok    large images:" in doctor.output and "of 40 best-effort images of 1280x720" in doctor.output


@pytest.mark.ros
@pytest.mark.parametrize(
    ("received", "profile", "status", "words"),
    [
        (40, "", "ok", ""),
        (3, "", "fail", "export FASTDDS_DEFAULT_PROFILES_FILE="),
        (3, "/a.xml", "fail", "docs/deployment.md"),
        (None, "", "fail", "ROS_AUTOMATIC_DISCOVERY_RANGE"),
    ],
)
def test_lost_images_are_a_finding_with_what_to_do(monkeypatch, received, profile, status, words):
    from robotseg_ros.ros import transport_check

    def large_images():
        if received is None:
            raise transport_check.TransportError("no connection between two processes within 20 s")
        return transport_check.Arrival(received, 4.2)

    monkeypatch.setattr(transport_check, "large_images", large_images)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", profile)
    (finding,) = installation._large_images(True)
    assert finding.status == status and words in finding.advice
    assert ("no connection" if received is None else f"{received} of 40") in finding.detail


@pytest.mark.ros
def test_a_sender_that_fails_says_why(ros_env, monkeypatch):
    from robotseg_ros.ros import transport_check

    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_absent_cpp")
    with pytest.raises((transport_check.TransportError, RuntimeError), match="rmw_absent_cpp"):
        transport_check.large_images()
