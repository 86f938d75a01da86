"""Training runs as processes of their own: several that share the work, and one that is killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from robotseg_ros.model.checkpoint import read_weights

CONFIG = {
    "seed": 3,
    "data": {"frame_width": 64, "frame_height": 48, "workers": 0},
    "clips": {"palindrome_frames": 2, "forward_frames": 2},
    "compute": {"threads": 1},
    "schedule": {
        "steps": 6,
        "sides": [[0.0, 64]],
        "image_fraction": 0.5,
        "image_batch": 2,
        "video_batch": 2,
        "warmup_steps": 1,
        "epoch_steps": 2,
        "checkpoint_minutes": 0.001,
    },
}


@pytest.fixture
def command(tmp_path, write_clip):
    """Makes the command line of a run whose files lie in a folder of that name."""
    for split in ("train", "val"):
        write_clip(tmp_path / split, "clip")

    def make(name: str, *launcher: str) -> tuple[list[str], Path]:
        data = CONFIG["data"] | {split: str(tmp_path / split) for split in ("train", "val")}
        data |= {"cache": str(tmp_path / f"{name}-cache")}
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump(CONFIG | {"data": data, "output": str(tmp_path / name)}))
        return [sys.executable, *launcher, "-m", "robotseg_ros.training", str(config)], tmp_path / name

    return make


def finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_one_network(command):
    launched, output = command("both", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    finish(launched)
    weights = read_weights(output / "weights.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert steps_taken(output) == CONFIG["schedule"]["steps"], "one process writes, once a step"


@pytest.mark.parametrize("steps_before", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_run_killed_anywhere_and_resumed_ends_with_the_same_weights(command, steps_before):
    launched, whole = command("whole")
    finish(launched)
    launched, killed = command("killed")
    process = subprocess.Popen(launched, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while steps_taken(killed) < steps_before and process.poll() is None:
        assert time.monotonic() < deadline, "the run takes no steps"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    finish([*launched, "--resume"])
    expected, got = (read_weights(folder / "weights.safetensors") for folder in (whole, killed))
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name


def steps_taken(output: Path) -> int:
    """Lines of the logs, which are written as steps are taken."""
    logs = (output / f"{kind}_losses.csv" for kind in ("image", "video"))
    return sum(max(0, len(log.read_text().splitlines()) - 1) for log in logs if log.exists())
