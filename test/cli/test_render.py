"""`robotseg render`: clips of a split, once each, and nothing of another split."""

from __future__ import annotations

import importlib.util
import json

import cv2
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
    assert first.stat().st_mtime_ns == before
    sheet = cv2.imread(str(out / "contact.png"))
    assert sheet.shape == (180, 8 * 240, 3) and sheet[:, :480].any() and not sheet[:, 480:].any()
    assert "2 of 2 clips" in capsys.readouterr().out


def test_depth_is_written_beside_the_same_images(tmp_path, capsys):
    plain, deep = tmp_path / "plain", tmp_path / "deep"
    command = ["--split", "heldout", "--count", "1", "--size", "64", "48", "--frames", "2", "--workers", "1"]
    assert main(["render", str(plain), *command]) == 0
    assert main(["render", str(deep), *command, "--depth"]) == 0
    name = "sawyer_7000000"
    for frame in ("00000", "00001"):
        image = f"image/{name}/{frame}.jpg"
        assert (plain / image).read_bytes() == (deep / image).read_bytes()
        for folder in ("depth", "depth_true"):
            depth = cv2.imread(str(deep / folder / name / f"{frame}.png"), cv2.IMREAD_UNCHANGED)
            assert depth.dtype == "uint16" and depth.shape == (48, 64) and 200 < depth[depth > 0].mean() < 20_000
    assert len(list(deep.glob("depth*/*/*.png"))) == 4 and not list(plain.glob("depth*"))
    assert main(["render", str(plain), *command, "--depth"]) == 2
    assert f"clip {name} was rendered with depth False, not True" in capsys.readouterr().err


def test_stills_of_one_camera(tmp_path, capsys):
    command = ["render", str(tmp_path), "--count", "2", "--size", "64", "48", "--frames", "5", "--workers", "1"]
    assert main([*command, "--still", "--camera", "wrist"]) == 0
    assert [path.name for path in sorted((tmp_path / "image").glob("*/*.jpg"))] == ["00000.jpg"] * 2
    assert {json.loads(path.read_text())["camera"] for path in (tmp_path / "facts").iterdir()} == {"wrist"}
    capsys.readouterr()
    assert main([*command, "--camera", "wrist"]) == 2
    assert "was rendered with still True, not False" in capsys.readouterr().err


def test_robots_of_another_split_and_unknown_ones_are_refused(tmp_path, capsys):
    assert main(["render", str(tmp_path), "--split", "train", "--embodiments", "sawyer"]) == 2
    assert "sawyer: no robot of the split train: panda" in capsys.readouterr().err
    assert main(["render", str(tmp_path), "--embodiments", "robby"]) == 2
    assert "robby: unknown" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--skip", "-1"], "--skip -1 and --count 100: a split has the seeds 0 to 999999"),
        (["--skip", "999999", "--count", "2"], "a split has the seeds 0 to 999999"),
        (["--size", "20", "10"], "clips of 20x10 are too small; the least is 32x24"),
        (["--duration", "-2"], "in -2.0 s; both must be more than 0"),
    ],
)
def test_what_cannot_be_rendered_is_refused_and_nothing_is_made(tmp_path, capsys, arguments, said):
    assert main(["render", str(tmp_path / "clips"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize(
    "arguments", [["--count", "0"], ["--split", "robots"], ["--camera", "drone"], ["--frames", "many"]]
)
def test_wrong_words_are_argparses_to_refuse(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["render", str(tmp_path), *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_the_splits_are_told(capsys):
    with pytest.raises(SystemExit):
        main(["render", "--help"])
    told = capsys.readouterr().out
    assert "heldout" in told and "sawyer, xarm7" in told
