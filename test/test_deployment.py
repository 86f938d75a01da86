"""Files for machines that are not here: what can be checked without them is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from robotseg_ros.ros.environment import PROFILE_VARIABLES
from robotseg_ros.ros.launching import NODE_ARGUMENTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "setup").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_one_that_bash_reads(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_the_installation_beside_apt_refuses_to_start_without_ros(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "setup/apt_ros.sh", tmp_path / "ws"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "source /opt/ros/DISTRO/setup.bash" in done.stderr
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("name", ["deploy/Dockerfile", "deploy/jetpack6.Dockerfile", ".github/workflows/tests.yml"])
def test_files_of_ours_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for path in re.findall(r"(?<![\w/.])(?:/opt/robotseg_ros/)?((?:setup|deploy|\.ci)/[\w./]+)", text):
        assert (ROOT / path).exists(), path
    launched = re.findall(r"[\w.]+\.launch\.\w+", text)
    assert all((ROOT / "launch" / file).is_file() for file in launched)


@pytest.mark.parametrize("name", ["deploy/Dockerfile", "deploy/jetpack6.Dockerfile", ".github/workflows/tests.yml"])
def test_containers_have_the_dds_profile_and_room_for_it(name: str) -> None:
    text = (ROOT / name).read_text()
    assert set(re.findall(r"\w+_DEFAULT_PROFILES_FILE", text)) >= {PROFILE_VARIABLES[-1]}  # what Humble reads
    assert re.search(r"config/fastdds\.xml", text) and re.search(r"--shm-size=\d+g|--ipc=host", text)


def test_the_workflow_covers_the_distributions_and_pythons() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    assert jobs["apt"]["strategy"]["matrix"]["distro"] == ["humble", "jazzy", "kilted"]
    assert jobs["wheels"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]


def test_the_systemd_unit_passes_arguments_that_there_are() -> None:
    (line,) = [line for line in (ROOT / "deploy/robotseg.service").read_text().splitlines() if "ExecStart" in line]
    given = re.findall(r"(\w+):=", line)
    assert given and set(given) <= {argument.name for argument in NODE_ARGUMENTS}


def test_every_import_of_the_node_has_a_rosdep_key_or_is_named_as_having_none() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {element.text for element in root if element.tag in ("depend", "exec_depend")}
    imported = set()
    for path in (ROOT / "robotseg_ros" / "ros").glob("*.py"):
        imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
    messages = {name for name in imported if name.endswith(("_msgs", "_srvs", "_interfaces"))}
    assert messages and messages - {"composition_interfaces"} <= keys
    comment = (ROOT / "package.xml").read_text()
    assert all(name in comment for name in ("iopath", "safetensors", "sam2"))
