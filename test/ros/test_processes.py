"""Processes of nodes and their environment: private domains, users' choices kept, nothing left behind."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from robotseg_ros.ros import environment
from robotseg_ros.ros.processes import NodeProcess, stop_all

STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`module(text)`: the name under which `python -m` finds a module with this text."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def write(text: str) -> str:
        (tmp_path / "made_up_node.py").write_text(text)
        return "made_up_node"

    return write


def line_in(log: Path, word: str) -> str:
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            if line.startswith(word):
                return line
        time.sleep(0.05)
    pytest.fail(f"{word} never came: {log.read_text()}")


def test_parameters_reach_the_process_in_a_file_with_their_types(module, tmp_path: Path) -> None:
    show = module("import sys; print('given', open(sys.argv[sys.argv.index('--params-file') + 1]).read())")
    log = tmp_path / "log"
    with NodeProcess(show, "node", {"path": "/a: b", "yes": "y", "parts": ["arm"]}, log=log) as process:
        assert process.wait(20.0) and process.exit_code == 0
    for given in ('"path": "/a: b"', '"yes": "y"', '"parts": ["arm"]'):
        assert given in log.read_text()


def test_a_process_that_ignores_signals_is_ended_with_its_children(
    module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    quick = tuple((number, 0.5) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    monkeypatch.setattr("robotseg_ros.ros.processes._STOPPING", quick)
    process = NodeProcess(module(STUBBORN), "stubborn", log=tmp_path / "log")
    child = int(line_in(tmp_path / "log", "child").split()[1])
    assert process.stop() == -signal.SIGKILL
    end = time.monotonic() + 10.0
    while Path(f"/proc/{child}/stat").exists() and ") Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_tail_of_the_log_is_what_was_printed_last(module, tmp_path: Path) -> None:
    process = NodeProcess(module("for i in range(50): print(i)"), "node", log=tmp_path / "log")
    assert process.wait(20.0)
    stop_all([process])
    assert process.tail(2) == "48\n49"


def test_a_profile_that_the_user_has_set_is_kept() -> None:
    assert environment.profile_variables({"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}) == {}


def test_our_profile_goes_by_the_name_that_the_distribution_reads() -> None:
    kilted, humble = ({"ROS_DISTRO": name} for name in ("kilted", "humble"))
    assert set(environment.profile_variables(kilted)) == {"FASTDDS_DEFAULT_PROFILES_FILE"}
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" in environment.profile_variables(humble)
    assert all(Path(path).is_file() for path in environment.profile_variables(humble).values())


def test_a_sourced_ros_is_not_replaced_by_the_wheels() -> None:
    assert environment.prefix_variables({"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}) == {}
    assert environment.prefix_variables({}) in ({}, {"AMENT_PREFIX_PATH": sys.prefix})


def test_variables_apply_only_within() -> None:
    with environment.applied({"ROBOTSEG_TEST": "1"}):
        assert os.environ["ROBOTSEG_TEST"] == "1"
    assert "ROBOTSEG_TEST" not in os.environ


def test_a_domain_with_a_participant_is_not_free() -> None:
    domain = environment.free_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * domain + 10))
        with pytest.raises(RuntimeError, match="ROS_DOMAIN_ID"):
            environment.free_domain(domain, domain)
