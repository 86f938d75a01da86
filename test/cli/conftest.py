"""Runs the command in this process, and where it matters as users do, in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import robotseg_ros

PACKAGE_ROOT = Path(robotseg_ros.__file__).parents[1]


def environment() -> dict[str, str]:
    """This environment, with the package that is tested ahead of others and one thread for torch."""
    path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def robotseg(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`robotseg("segment", …, module="robotseg_ros")`: the finished process, its output as text."""

    def run(*arguments: object, module: str = "robotseg_ros") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        return subprocess.run(
            command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed (warnings included)."""

    code: int
    output: str
    errors: str


@pytest.fixture
def command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., Ended]:
    """`command("segment", …)`: the same in this process, which has imported torch already."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ended:
        from robotseg_ros.cli.main import main

        caplog.clear()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return Ended(code, shown.out, shown.err + caplog.text)

    return run


@pytest.fixture
def robotseg_process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """As `robotseg`, but the process still runs; it is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "robotseg_ros", *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment(), cwd=tmp_path, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with weights of its own: the shipped architecture, untrained, the same in every run."""
    import torch

    from robotseg_ros.model import RobotSeg, preset, save_checkpoint

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_checkpoint(RobotSeg(preset("robotseg_nano")), folder / "untrained.safetensors")
    path = folder / "untrained.yaml"
    path.write_text("name: untrained\npreset: robotseg_nano\ncheckpoint: untrained.safetensors\nedge_source: rgb\n")
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Six frames of a bright bar that moves over a dark ground, 64x48."""
    from robotseg_ros.dataset.video import VideoWriter

    path = tmp_path / "bar.mp4"
    with VideoWriter(path, 10.0) as writer:
        for index in range(6):
            image = np.full((48, 64, 3), 40, np.uint8)
            image[10:40, 10 + 4 * index : 20 + 4 * index] = 230
            writer.write(image)
    return path
