"""Shared by all tests: a ROS 2 domain per test run, real processes of this Python, waiting on conditions."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import robotseg_ros
from robotseg_ros.ros.environment import prefix_variables, profile_variables

HIGHEST_DOMAIN = 101  # above it, ROS 2's ports can fall into the range the system hands out
STOP_SECONDS = 10.0

# `make test` tests the installed modules, `python -m pytest` in the repository its own; processes follow.
PACKAGE_ROOT = Path(robotseg_ros.__file__).parents[1]


def pytest_report_header() -> str:
    """Says which copy of the package is tested."""
    return f"robotseg_ros: {PACKAGE_ROOT / 'robotseg_ros'}"


def _missing_for_ros() -> str | None:
    for module in ("rclpy", "robotseg_ros.msg"):
        if importlib.util.find_spec(module) is None:
            return f"needs ROS 2 and the built messages ({module} is not importable): `make setup`"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked `ros` where there is no ROS."""
    missing = _missing_for_ros()
    for item in items:
        if missing and item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def ros_domain_id() -> Iterator[int]:
    """A domain that no other test run of this machine has: parallel runs do not see each other's topics."""
    folder = Path(tempfile.gettempdir()) / "robotseg_ros_domains"
    folder.mkdir(exist_ok=True)
    first = os.getpid() % HIGHEST_DOMAIN
    for offset in range(HIGHEST_DOMAIN):
        domain = (first + offset) % HIGHEST_DOMAIN + 1
        with (folder / str(domain)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    pytest.fail(f"all {HIGHEST_DOMAIN} ROS domains are taken by other test runs (locks in {folder})")


@pytest.fixture(scope="session")
def ros_env(ros_domain_id: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of ROS processes. It also applies to the test's own process, for rclpy in the test."""
    home = tmp_path_factory.mktemp("ros")
    search_path = [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]
    changes = {
        **profile_variables({"ROS_DISTRO": os.environ.get("ROS_DISTRO", "")}),
        "PYTHONPATH": os.pathsep.join(filter(None, search_path)),
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(ros_domain_id),
        "ROS_LOG_DIR": str(home / "log"),
        "HOME": os.environ.get("HOME", str(home)),  # rclpy.init fails without one
        **prefix_variables(),  # launch looks up packages there
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)
        yield dict(os.environ)


class Process:
    """A started program whose output can be waited for; standard error is part of the output."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: Path) -> None:
        self.command = command
        self._lines: list[str] = []
        self._popen = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a signal to the test run is not one to the process
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.append(line)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return "".join(self._lines)

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._popen.poll()

    def wait_for_output(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """The first match of a regular expression in the output; fails when it does not come in time."""
        end = time.monotonic() + timeout
        while True:
            ended = self.returncode is not None
            if ended:
                self._reader.join(timeout=1.0)
            found = re.search(pattern, self.output)
            if found:
                return found
            if ended:
                pytest.fail(f"ended with {self.returncode} before printing {pattern!r}:\n{self.output}")
            if time.monotonic() > end:
                pytest.fail(f"did not print {pattern!r} within {timeout} s:\n{self.output}")
            time.sleep(0.02)

    def wait(self, timeout: float = 20.0) -> int:
        """The exit status, once it ends by itself; fails when it does not."""
        try:
            status = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still runs after {timeout} s: {self.command}\n{self.output}")
        self._reader.join(timeout=1.0)
        return status

    def stop(self) -> int:
        """Interrupts it as Ctrl-C does, kills it where that does not help, and returns the exit status."""
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._popen.poll() is not None:
                break
            self._popen.send_signal(signal_number)
            try:
                self._popen.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        self._reader.join(timeout=1.0)
        return self._popen.wait()


@pytest.fixture
def start_process(ros_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`start_process("-m", "robotseg_ros.ros.main", …, env={})`: runs this Python; stopped after the test."""
    processes: list[Process] = []

    def start(*arguments: str | Path, env: dict[str, str] | None = None) -> Process:
        command = [sys.executable, *map(str, arguments)]
        processes.append(Process(command, {**ros_env, **(env or {})}, tmp_path))
        return processes[-1]

    yield start
    for process in reversed(processes):
        process.stop()
        # pytest shows this for tests that failed
        print(f"--- {' '.join(process.command)} (exit status {process.returncode})\n{process.output}")


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, what, timeout=20, step=None)`: calls step (a spin, or it sleeps) until then."""

    def wait(
        condition: Callable[[], object],
        what: str,
        timeout: float = 20.0,
        step: Callable[[], object] | None = None,
    ) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"waited {timeout} s for {what}")
            if step is None:
                time.sleep(0.02)
            else:
                step()

    return wait


class MovingArm:
    """A small dataset of an arm that moves to the right with its gripper on top, and masks predicted for it."""

    height, width = 48, 64
    folders = {"arm": "000", "gripper": "001", "robot": "002"}

    def masks(self, index: int, shift: int = 0) -> dict[str, np.ndarray]:
        """Masks (H, W), 0 and 255, of a frame by part."""
        arm, gripper = (np.zeros((self.height, self.width), np.uint8) for _ in range(2))
        x = 10 + 2 * index + shift
        arm[16:44, x : x + 12] = 255
        gripper[6:16, x : x + 8] = 255
        return {"arm": arm, "gripper": gripper, "robot": arm | gripper}

    def image(self, masks: dict[str, np.ndarray]) -> np.ndarray:
        """A picture with these parts."""
        image = np.full((self.height, self.width, 3), 90, np.uint8)
        image[masks["arm"] > 0], image[masks["gripper"] > 0] = (30, 200, 90), (220, 60, 40)
        return image

    def write(self, root: Path, frames: int = 5) -> Path:
        """Two clips, `one` and `two`, in VRS's layout."""
        for number, clip in enumerate(("one", "two")):
            for index in range(frames):
                masks = self.masks(index, number)
                self.save(root / "image" / clip / f"{index:05d}.jpg", self.image(masks))
                for part, folder in self.folders.items():
                    self.save(root / "mask_gt" / clip / folder / f"{index:05d}.png", masks[part])
        return root

    def predict(self, root: Path, shift: int = 2, frames: int = 5) -> Path:
        """Masks of the same clips, `shift` pixels off."""
        for number, clip in enumerate(("one", "two")):
            for index in range(frames):
                for part, mask in self.masks(index, number + shift).items():
                    self.save(root / clip / self.folders[part] / f"{index:05d}.png", mask)
        return root

    @staticmethod
    def save(path: Path, image: np.ndarray) -> None:
        """Writes an image file, its folder too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)


@pytest.fixture
def moving_arm() -> MovingArm:
    """Writes a small dataset, and predictions for it."""
    return MovingArm()
