"""Rendering in several processes: one that dies costs its clips a second try, and nobody else anything."""

from __future__ import annotations

import importlib
from pathlib import Path

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
