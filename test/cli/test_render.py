"""`robotseg render`: clips of a split, once each, and nothing of another split."""

from __future__ import annotations

import importlib.util

import pytest

from robotseg_ros.cli.main import main

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("mujoco", "robosuite", "robosuite_models")),
    reason="rendering needs mujoco and the asset packs, which are not installed",
)
SMALL = ["--size", "64", "48", "--frames", "1", "--workers", "1"]


def test_a_split_is_rendered_once_and_added_to(tmp_path, capsys):
    out = tmp_path / "clips"
    assert main(["render", str(out), "--split", "heldout", "--count", "1", *SMALL]) == 0
    first = next((out / "image").glob("*/*.jpg"))
    assert first.parent.name == "sawyer_7000000"
    before = first.stat().st_mtime_ns
    assert main(["render", str(out), "--split", "heldout", "--count", "2", *SMALL]) == 0
    assert sorted(path.name for path in (out / "image").iterdir()) == ["sawyer_7000000", "xarm7_7000001"]
    assert first.stat().st_mtime_ns == before and (out / "contact.png").is_file()
    assert "2 of 2 clips" in capsys.readouterr().out


def test_robots_of_another_split_and_unknown_ones_are_refused(tmp_path, capsys):
    assert main(["render", str(tmp_path), "--split", "train", "--embodiments", "sawyer"]) == 2
    assert "sawyer: no robot of the split train: panda" in capsys.readouterr().err
    assert main(["render", str(tmp_path), "--embodiments", "robby"]) == 2
    assert "robby: unknown" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_splits_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["render", "--help"])
    told = capsys.readouterr().out
    assert "heldout" in told and "sawyer, xarm7" in told
