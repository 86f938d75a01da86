"""Rendered clips: the same seed gives the same pixels, and the masks are exactly the robot."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

os.environ.setdefault("LP_NUM_THREADS", "1")
for package in ("mujoco", "robosuite", "robosuite_models", "trimesh", "fast_simplification", "scipy"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"rendering needs {package}, which is not installed", allow_module_level=True)

from robotseg_ros.dataset.rendering import (  # noqa: E402
    EMBODIMENTS,
    SPLITS,
    ClipSpec,
    assets,
    motion,
    painter,
    render,
    render_clip,
)
from robotseg_ros.dataset.rendering import scene as scenes  # noqa: E402
from robotseg_ros.dataset.rendering.embodiments import companions  # noqa: E402
from robotseg_ros.dataset.rendering.motion import Kinematics  # noqa: E402
from robotseg_ros.dataset.rendering.render import Stage  # noqa: E402
from robotseg_ros.dataset.rendering.splits import SEEDS  # noqa: E402
from robotseg_ros.dataset.rendering.textures import library  # noqa: E402

SMALL = ClipSpec("panda", 11, width=96, height=72, frames=3, supersample=1, camera="fixed", shadows=False)


@pytest.fixture(scope="module", autouse=True)
def opengl() -> None:
    """Skips the module where no headless OpenGL works."""
    try:
        painter.gl_context(64, 64)
    except assets.MissingAssets as error:
        pytest.skip(str(error))


def _read(path: Path) -> np.ndarray:
    """A grey image from a file that must exist."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    return image


def test_same_seed_gives_the_same_pixels() -> None:
    first, second = render_clip(SMALL), render_clip(SMALL)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert first[2] == second[2]


def test_another_seed_gives_another_clip() -> None:
    assert not np.array_equal(render_clip(SMALL)[0], render_clip(replace(SMALL, seed=12))[0])


def test_shapes_and_labels() -> None:
    frames, parts, facts = render_clip(replace(SMALL, supersample=2))
    assert frames.shape == (3, 72, 96, 3) and frames.dtype == np.uint8
    assert parts.shape == (3, 72, 96) and parts.dtype == np.uint8
    assert set(np.unique(parts)) <= {0, 1, 2}
    assert facts["embodiment"] == "panda" and len(facts["coverage"]) == 3


@pytest.mark.parametrize("name", ["panda", "jaco", "tiago"])
def test_hiding_the_robot_changes_exactly_its_pixels(name: str) -> None:
    spec = replace(SMALL, embodiment=name, seed=21, camera="fixed")
    with Stage(spec) as stage:
        model = stage.scene.model
        robot = np.flatnonzero(stage.scene.labels)
        stage.pose(1)
        parts = stage.painter.parts(96, 72)
        shown = stage.painter.image(96, 72, False)
        model.geom_rgba[robot, 3] = 0
        stage.pose(1)
        hidden = stage.painter.image(96, 72, False)
    changed = (shown != hidden).any(-1)
    assert (parts > 0).any()
    assert not (changed & (parts == 0)).any()
    # A robot pixel may by chance have the colour of what is behind it.
    assert (changed & (parts > 0)).sum() >= 0.97 * (parts > 0).sum()


def test_written_masks_are_bilevel_and_robot_is_the_union(tmp_path: Path) -> None:
    frames, parts, facts = render_clip(SMALL)
    parts[:, :4, :4] = 3
    render.write_clip(tmp_path, "clip", frames, parts, facts)
    for index in range(3):
        folder = tmp_path / "mask_gt" / "clip"
        arm, gripper, robot = (_read(folder / f"{p:03d}" / f"{index:05d}.png") for p in range(3))
        assert set(np.unique(robot)) <= {0, 255}
        assert np.array_equal(arm > 0, parts[index] == 1)
        assert np.array_equal(gripper > 0, parts[index] == 2)
        assert np.array_equal(robot > 0, parts[index] > 0)
        assert (robot[:4, :4] == 255).all()
        assert _read(tmp_path / "image" / "clip" / f"{index:05d}.jpg").shape == (72, 96)


def test_depth_is_the_distance_along_the_cameras_axis() -> None:
    """A wall 2 m and a box 1 m in front of a camera that looks along -z."""
    width, height, fovy = 96, 72, 60.0
    model = assets.import_mujoco().MjModel.from_xml_string("""
        <mujoco>
          <statistic extent="1"/>
          <visual><map znear="0.02" zfar="30"/><global offwidth="96" offheight="72"/></visual>
          <worldbody>
            <geom type="box" pos="0 0 -2.5" size="9 9 0.5"/>
            <geom type="box" pos="0.1 0 -1.1" size="0.2 0.2 0.1"/>
          </worldbody>
        </mujoco>""")
    data = assets.import_mujoco().MjData(model)
    assets.import_mujoco().mj_kinematics(model, data)
    drawn = painter.Painter(SimpleNamespace(model=model, labels=np.zeros(model.ngeom, np.uint8)))
    try:
        drawn.pose(data, np.zeros(3), np.array([1.0, 0, 0, 0]), fovy)
        depth = drawn.depth(width, height)
    finally:
        drawn.close()
    assert depth.shape == (height, width) and depth.dtype == np.float32
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    along = height / 2 / np.tan(np.radians(fovy / 2))  # pixels that a metre has at 1 m
    aside = np.maximum(np.abs(columns - width / 2 - 0.1 * along), np.abs(rows - height / 2))
    front = aside < 0.2 * along
    sides = (aside > 0.2 * along - 1) & (aside < 0.2 * along + 1)  # pixels that see both
    np.testing.assert_allclose(depth[front & ~sides], 1.0, rtol=2e-3)
    np.testing.assert_allclose(depth[~front & ~sides], 2.0, rtol=2e-3)


def test_depth_changes_nothing_else() -> None:
    plain = render_clip(SMALL)
    frames, parts, facts, depths = render.render_clip_with_depth(replace(SMALL, depth=True))
    assert np.array_equal(frames, plain[0]) and np.array_equal(parts, plain[1])
    assert facts == plain[2] | {"depth": True}
    again = render.render_clip_with_depth(replace(SMALL, depth=True))[3]
    for first, second in zip(depths, again, strict=True):
        assert all(np.array_equal(first[folder], second[folder]) for folder in render.DEPTH_FOLDERS)
    assert render.render_clip_with_depth(SMALL)[3] == []


def test_the_robot_is_nearer_than_the_same_scene_without_it() -> None:
    with Stage(SMALL) as stage:
        stage.pose(1)
        parts, depth = stage.painter.parts(96, 72), stage.painter.depth(96, 72)
        stage.scene.model.geom_rgba[np.flatnonzero(stage.scene.labels), 3] = 0
        stage.pose(1)
        without = stage.painter.depth(96, 72)
    assert (depth[parts > 0] < without[parts > 0]).all()
    np.testing.assert_array_equal(depth[parts == 0], without[parts == 0])


def test_a_still_is_one_moment_of_its_clip() -> None:
    spec = replace(SMALL, postprocess=False)
    frames, parts, facts = render_clip(spec)
    moments = set()
    for seed in range(40):
        (moment,) = replace(spec, seed=seed, still=True).moments
        moments.add(moment)
    assert moments == set(range(spec.frames)) and spec.moments == list(range(spec.frames))

    still = replace(spec, still=True)
    frame, part, its_facts = render_clip(still)
    (moment,) = still.moments
    np.testing.assert_array_equal(frame, frames[moment : moment + 1])
    np.testing.assert_array_equal(part, parts[moment : moment + 1])
    assert its_facts["coverage"] == facts["coverage"][moment : moment + 1]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = render.plan(2, ["panda"], 30, width=64, height=48, frames=1, supersample=1)
    frames, parts, facts = render_clip(specs[0])
    render.write_clip(tmp_path, specs[0].name, frames, parts, facts)
    before = (tmp_path / "image" / specs[0].name / "00000.jpg").stat().st_mtime_ns
    (tmp_path / ".partial-left").mkdir()

    stop = tmp_path / "STOP"
    stop.touch()
    monkeypatch.setenv(render.STOP_VARIABLE, str(stop))
    settings = {"width": 64, "height": 48, "frames": 1, "supersample": 1}
    assert render.render_clips(tmp_path, 2, ["panda"], 30, workers=1, **settings) == 1
    stop.unlink()
    assert render.render_clips(tmp_path, 2, ["panda"], 30, workers=1, **settings) == 2
    assert (tmp_path / "image" / specs[0].name / "00000.jpg").stat().st_mtime_ns == before
    assert (tmp_path / "clips.json").exists() and (tmp_path / "contact.png").exists()
    assert not list(tmp_path.glob(".partial-*"))


def test_every_beginning_of_a_plan_is_balanced() -> None:
    planned = [spec.embodiment for spec in render.plan(7, ["panda", "ur5e", "jaco"], 0)]
    assert planned == ["panda", "ur5e", "jaco", "panda", "ur5e", "jaco", "panda"]


def test_the_hand_is_gripper_and_what_it_holds_is_background() -> None:
    for seed in range(40):
        scene = scenes.build_scene("panda", seed, False, (64, 64), False)
        held = [g for g in range(scene.model.ngeom) if scene.model.geom(g).name.startswith("held")]
        if held:
            break
    assert held and not scene.labels[held].any()
    assert {0, assets.ARM, assets.GRIPPER} == set(scene.labels.tolist())
    assert scene.labels[scene.model.geom("r/g0/hand_visual").id] == assets.GRIPPER


def test_training_scenes_have_laboratory_equipment_around_the_base_and_evaluation_has_none(monkeypatch) -> None:
    def background(evaluation: bool, share: float) -> int:
        monkeypatch.setattr(scenes, "WORKSTATIONS", share)
        scene = scenes.build_scene("panda", 3, evaluation, (64, 64), False)
        return int((scene.labels == 0).sum())

    assert background(False, 1.0) > background(False, 0.0) + 20  # nothing of it is robot
    assert background(True, 1.0) == background(True, 0.0)


def test_a_cart_stands_under_the_base_and_the_table_before_it(monkeypatch) -> None:
    def table(share: float) -> tuple[float, float]:
        monkeypatch.setattr(scenes, "WORKSTATIONS", share)
        scene = scenes.build_scene("panda", 4, False, (64, 64), False)
        boxes = scene.model.geom_pos[scene.model.geom_bodyid == 0], scene.model.geom_size[scene.model.geom_bodyid == 0]
        tops = [(p, s) for p, s in zip(*boxes, strict=True) if 0.01 <= s[2] <= 0.04 and 0.2 < p[2] < 1 and s[0] > 0.35]
        ((place, size),) = tops
        return float(place[0] - size[0]), float(scene.robots[0].base[0])

    without, with_cart = table(0.0), table(1.0)
    assert without[0] < without[1] < with_cart[0]


@pytest.mark.parametrize("name", sorted(EMBODIMENTS))
def test_home_is_above_the_table_and_fingers_move(name: str) -> None:
    scene = scenes.build_scene(name, 4, False, (64, 64), False)
    robot = scene.robots[0]
    assert robot.entry.standing is not None or robot.base[2] >= robot.floor
    kin = Kinematics(scene)
    assert kin.allowed(kin.home)
    kin.set(kin.home, 0.0)
    closed = kin.data.geom_xpos[kin.fist].copy()
    kin.set(kin.home, 1.0)
    assert np.abs(kin.data.geom_xpos[kin.fist] - closed).max() > 0.005


def test_a_second_robot_is_robot_too_and_of_the_same_side_of_the_splits() -> None:
    for seed in range(80):
        scene = scenes.build_scene("sawyer", seed, True, (64, 64), False)
        if len(scene.robots) > 1:
            break
    first, second = scene.robots
    assert first.entry.name == "sawyer" and second.entry.name in SPLITS["heldout"].embodiments
    owner = [scene.model.body(body).name for body in scene.model.geom_bodyid]
    mine = np.array([name.startswith(second.prefix) for name in owner])
    assert {assets.ARM, assets.GRIPPER} == set(scene.labels[mine].tolist())
    moved = Kinematics(scene, second)
    moved.set(moved.home, 0.0)
    still = moved.data.geom_xpos[~mine].copy()
    moved.set(moved.home + 0.2, 1.0)
    np.testing.assert_array_equal(moved.data.geom_xpos[~mine], still)


def test_a_clip_that_looks_away_begins_with_the_robot_in_view() -> None:
    spec = replace(SMALL, camera="away", frames=12, duration=4.0, width=64, height=48)
    covered = [render_clip(replace(spec, seed=seed))[2]["coverage"] for seed in (3, 4, 5)]
    assert all(shares[0] > 0.01 for shares in covered)
    assert any(min(shares) < shares[0] / 4 for shares in covered)


def _looks_aside(path: motion.CameraPath, target: np.ndarray) -> np.ndarray:
    """Angle (frames,) in radians between where the camera looks and where the target is."""
    w, x, y, z = path.quaternion.T
    ahead = -np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    to = target - path.position
    return np.arccos(np.clip((ahead * to).sum(1) / np.linalg.norm(to, axis=1), -1, 1))


def test_a_camera_that_looks_away_mostly_looks_back() -> None:
    target, back = np.array([0.3, 0.1, 0.4]), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        path = motion.camera_path(motion.random_view(rng, "away", target), rng, 24, 2.5, 3.0)
        aside = _looks_aside(path, target)
        assert aside[0] < 0.2 and aside.max() > 0.35
        back += aside[-1] < 0.2
    assert 12 < back < 36


@pytest.mark.parametrize("kind", ["fixed", "handheld", "orbit", "dolly"])
def test_cameras_move_as_they_are_called_and_keep_the_robot_in_view(kind: str) -> None:
    target, rng = np.array([0.3, 0.1, 0.4]), np.random.default_rng(5)
    path = motion.camera_path(motion.random_view(rng, kind, target), rng, 24, 2.5, 3.0)
    assert (np.ptp(path.position, axis=0).max() > 1e-3) == (kind != "fixed")
    assert _looks_aside(path, target).max() < 0.3


def test_a_wrist_camera_moves_with_the_hand() -> None:
    kin = Kinematics(scenes.build_scene("panda", 4, False, (64, 64), False))
    rng = np.random.default_rng(4)
    path, opening = motion.joint_path(kin, rng, 6, 2.5)
    cam = motion.wrist_path(kin, rng, path, opening)
    mounted = []
    for arm, gap, position in zip(path, opening, cam.position, strict=True):
        kin.set(arm, gap)
        mounted.append(kin.data.xmat[kin.hand].reshape(3, 3).T @ (position - kin.data.xpos[kin.hand]))
    assert np.ptp(cam.position, axis=0).max() > 0.02
    np.testing.assert_allclose(mounted, np.repeat(mounted[:1], 6, 0), atol=1e-9)


def test_things_before_the_robot_hide_it_and_are_background() -> None:
    for seed in range(100, 160):
        with Stage(replace(SMALL, seed=seed)) as stage:
            model, before = stage.scene.model, np.isin(stage.scene.model.geom_bodyid, stage.scene.occluders)
            if not before.any():
                continue
            assert not stage.scene.labels[before].any()
            stage.pose(1)
            shown = stage.painter.parts(96, 72) > 0
            model.geom_rgba[before, 3] = 0
            stage.pose(1)
            whole = stage.painter.parts(96, 72) > 0
        assert not (shown & ~whole).any()
        if (whole & ~shown).sum() > 20:
            return
    pytest.fail("nothing hides a robot")


def test_robots_get_other_colours_more_often_than_not() -> None:
    def colours(paint: int | None) -> np.ndarray:
        spec = assets.robot_spec(EMBODIMENTS["panda"])
        if paint is not None:
            scenes.repaint(spec, np.random.default_rng(paint))
        return np.array([geom.rgba for body in spec.bodies for geom in body.geoms])

    plain = colours(None)
    other = [painted for painted in map(colours, range(60)) if not np.array_equal(painted, plain)]
    assert 24 < len(other) < 48
    assert sum(np.ptp(painted.mean(0)[:3]) > 0.1 for painted in other) > len(other) / 4, "many are no shade of grey"


def test_no_two_splits_share_a_seed() -> None:
    starts = sorted(split.first_seed for split in SPLITS.values())
    assert min(np.diff(starts)) >= SEEDS


def test_no_robot_that_is_evaluated_as_unseen_has_a_family_in_training() -> None:
    families = {name: {EMBODIMENTS[robot].family for robot in split.embodiments} for name, split in SPLITS.items()}
    assert SPLITS["seen"].embodiments == SPLITS["train"].embodiments and len(SPLITS["train"].embodiments) >= 8
    for name in ("val", "heldout", "hard"):
        assert families[name] and not families[name] & families["train"]
    assert not families["val"] & (families["heldout"] | families["hard"])
    assert sum(len(split.embodiments) for name, split in SPLITS.items() if name != "seen") == len(EMBODIMENTS) >= 10


@pytest.mark.parametrize("split", SPLITS)
def test_the_other_robot_in_a_scene_is_of_the_same_split(split: str) -> None:
    for name in SPLITS[split].embodiments:
        others = companions(EMBODIMENTS[name])
        assert others and set(others) <= set(SPLITS[split].embodiments)


def test_photographs_and_materials_of_training_are_never_in_an_evaluation() -> None:
    for kind in ("photo", "material"):
        training, evaluation = (set(library(kind, evaluation)) for evaluation in (False, True))
        assert training and evaluation and not training & evaluation


def test_hiding_both_robots_of_a_scene_changes_exactly_what_is_labelled() -> None:
    stages = (Stage(replace(SMALL, embodiment="xarm7", seed=seed, split="heldout")) for seed in range(200))
    for stage in stages:
        with stage:
            shown, parts, hidden, other = _with_and_without_robots(stage)
        if other.sum() > 20:
            break
    changed = (shown != hidden).any(-1)
    assert not (changed & (parts == 0)).any()
    assert (parts[other] > 0).all() and (changed & (parts > 0)).sum() >= 0.97 * (parts > 0).sum()


def _with_and_without_robots(stage: Stage) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The picture, its parts, the picture without robots, and where the second robot is seen (nowhere: no such robot)."""
    scene, nothing = stage.scene, np.zeros((72, 96), bool)
    stage.pose(1)
    parts, shown = stage.painter.parts(96, 72), stage.painter.image(96, 72, False)
    if len(scene.robots) == 1:
        return shown, parts, shown, nothing
    owner = np.array([scene.model.body(body).name for body in scene.model.geom_bodyid])
    first = np.char.startswith(owner, scene.robots[0].prefix) & (scene.labels > 0)
    for group in (first, scene.labels > 0):
        scene.model.geom_rgba[group, 3] = 0
        stage.pose(1)
        hidden = stage.painter.image(96, 72, False)
        if group is first:
            alone = hidden
    return shown, parts, hidden, (alone != hidden).any(-1) & (parts > 0)


@pytest.mark.slow
def test_a_killed_process_costs_no_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed: list[int] = []

    def kill_a_worker() -> None:
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            if any((tmp_path / "facts").glob("*.json")):  # the workers are at their second clips
                killed.append(multiprocessing.active_children()[0].pid or 0)
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.005)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    settings = {"width": 96, "height": 72, "frames": 2, "supersample": 1}
    assert render.render_clips(tmp_path, 5, ["panda"], 40, workers=2, **settings) == 5
    killer.join()
    assert killed and "failed" not in capsys.readouterr().out
    assert len(list(tmp_path.glob("image/*/*.jpg"))) == 10 and len(list(tmp_path.glob("mask_gt/*/*/*.png"))) == 30


def test_clips_made_with_other_settings_are_not_taken_for_those_asked_for(tmp_path: Path) -> None:
    (spec,) = render.plan(1, ["panda"], 30, width=64, height=48, frames=1, supersample=1)
    render.write_clip(tmp_path, spec.name, *render_clip(spec))
    settings = {"width": 64, "height": 48, "frames": 1, "supersample": 1}
    assert render.render_clips(tmp_path, 1, ["panda"], 30, workers=1, **settings) == 1
    with pytest.raises(
        render.BadSettings, match="panda_0000030 was rendered with frames 1, not 2; name another folder"
    ):
        render.render_clips(tmp_path, 1, ["panda"], 30, workers=1, **settings | {"frames": 2})
    drawn = json.loads((tmp_path / "facts" / f"{spec.name}.json").read_text())["camera"]
    other = next(camera for camera in motion.CAMERAS if camera != drawn)
    with pytest.raises(render.BadSettings, match=f"with camera {drawn}, not {other}"):
        render.render_clips(tmp_path, 1, ["panda"], 30, workers=1, **settings | {"camera": other})


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"width": 31}, "31x240 are too small; the least is 32x24"),
        ({"height": 47, "supersample": 1}, "320x47 are too small; the least is 64x48"),
        ({"frames": 0}, "a clip of 0 frames"),
        ({"duration": float("nan")}, "in nan s"),
    ],
)
def test_clips_that_cannot_be_drawn_are_refused_before_any_is(settings: dict[str, float], said: str) -> None:
    with pytest.raises(render.BadSettings, match=said):
        ClipSpec("panda", 0, **settings)


def test_a_clip_that_fails_is_named_and_the_others_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"width": 64, "height": 48, "frames": 1, "supersample": 1}
    assert render.render_clips(tmp_path, 2, ["panda", "no_such_robot"], 30, workers=1, **settings) == 1
    assert "clip no_such_robot_0000031 failed" in capsys.readouterr().out


def test_missing_mujoco_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    with pytest.raises(assets.MissingAssets, match="robotseg_ros\\[render\\]"):
        assets.import_mujoco()
