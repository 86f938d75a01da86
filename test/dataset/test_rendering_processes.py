"""Rendering in several processes: one that dies costs its clips a second try, and nobody else anything."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from robotseg_ros.dataset.rendering import render  # noqa: E402


@pytest.fixture
def deadly_clips(monkeypatch):
    """The module `deadly_clips`, with its rendering instead of the true one."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("deadly_clips")
    monkeypatch.setattr(render, "_render_and_write", module.render_and_write)
    monkeypatch.delenv(render.STOP_VARIABLE, raising=False)
    return module


def outcomes(folder, embodiments):
    """What became of clips of the given embodiments, by name, in two processes."""
    jobs = [(str(folder), render.ClipSpec(name, seed)) for seed, name in enumerate(embodiments)]
    found = [(job[1].name, outcome) for job, outcome in render._outcomes(jobs, 2)]
    assert len(found) == len(jobs)
    return dict(found)


def test_a_process_that_dies_once_costs_no_clip_and_at_most_a_second_try(deadly_clips, tmp_path):
    found = outcomes(tmp_path, ["panda", "deadly_once"] + ["panda"] * 6)
    assert found == {name: {"name": name} for name in found}
    times = deadly_clips.tried(tmp_path)
    assert times["deadly_once_0000001"] == 2 and max(times.values()) == 2
    assert sum(times.values()) <= 8 + 3  # what was under way: one clip a process and one that was queued


def test_a_clip_that_always_kills_its_process_is_the_only_one_lost(deadly_clips, tmp_path):
    found = outcomes(tmp_path, ["panda", "deadly", "panda", "faulty"])
    assert isinstance(found.pop("deadly_0000001"), render.BrokenProcessPool)
    assert deadly_clips.tried(tmp_path)["deadly_0000001"] == 2
    assert isinstance(found.pop("faulty_0000003"), ValueError)
    assert found == {name: {"name": name} for name in found}


def test_a_clip_that_the_disk_has_no_room_for_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(render.cv2, "imwrite", lambda *_: False)  # as OpenCV says it
    frames, parts = np.zeros((1, 48, 64, 3), np.uint8), np.zeros((1, 48, 64), np.uint8)
    with pytest.raises(OSError, match=r"00000\.jpg: cannot be written; is the disk full\?"):
        render.write_clip(tmp_path, "clip", frames, parts, {"quality": 80})
    assert not list(tmp_path.glob("image/*")) and not list(tmp_path.glob("facts/*"))


ENDLESS = """
import sys
import deadly_clips
from robotseg_ros.dataset.rendering import render

render._render_and_write = deadly_clips.render_and_write
if __name__ == "__main__":
    render.render_clips(sys.argv[1], 2, ["endless"], workers=2)
"""


def test_processes_end_with_the_run_that_is_killed(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    paths = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    run = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=os.environ | {"PYTHONPATH": paths})
    try:
        until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    finally:
        run.kill()
        run.wait()
    until(lambda: not any(is_alive(int(file.stem)) for file in tmp_path.glob("*.pid")))


def until(reached, seconds=120.0):
    """Waits for it."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
