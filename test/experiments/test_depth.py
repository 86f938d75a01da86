"""The experiment depth-cue on clips made up here: depth is read or refused, cues get theirs, gains are counted."""

import argparse
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from robotseg_ros.cli.main import main
from robotseg_ros.dataset.clip import PART_FOLDERS, Frame
from robotseg_ros.evaluation.protocol import ClipScore
from robotseg_ros.experiments import catalog, depth
from robotseg_ros.experiments.depth import COMMAND, CONDITIONS, DepthClip
from robotseg_ros.experiments.measure import Measured
from robotseg_ros.geometry import grown
from robotseg_ros.model import PARTS

SHAPE = (240, 320)
BOX = np.s_[80:180, 100:220]
"""The robot: its left half is the arm, its right half the gripper."""
LEAK = np.s_[20:40, 20:60]
"""Some of the wall, far from the robot."""
FOLDERS = ("depth", "depth_true")


def region(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


TRUE = {"arm": region(np.s_[80:180, 100:160]), "gripper": region(np.s_[80:180, 160:220]), "robot": region(BOX)}
GROWN = {part: grown(mask, depth.GROWTH) for part, mask in TRUE.items()}


def scene(*boxes):
    """Boxes 1 m away before a wall at 3 m, in millimetres."""
    return np.where(region(*boxes), 1000, 3000).astype(np.uint16)


WALL, ROBOT = scene(), scene(BOX)


def clip(name="clip", count=3, fixed=True, seen=ROBOT, true=ROBOT):
    """Of frames that all look the same; `seen` and `true` are the depth of both kinds."""
    image = np.zeros((*SHAPE, 3), np.uint8)
    frames = [Frame(index, index, image, TRUE) for index in range(count)]
    return DepthClip(name, fixed, frames, {"depth": [seen] * count, "depth_true": [true] * count})


# Reading


def distance(folder, frame):
    """What the depth images on disk hold everywhere."""
    return 1000 * (1 + FOLDERS.index(folder)) + frame


def write_clip(root, name, camera="fixed", count=3):
    folders = {part: root / "mask_gt" / name / number for part, number in PART_FOLDERS.items()}
    folders |= {folder: root / folder / name for folder in (*FOLDERS, "image")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folders["image"] / f"{index:05d}.jpg"), np.full((*SHAPE, 3), 40 * index, np.uint8))
        for part, mask in TRUE.items():
            cv2.imwrite(str(folders[part] / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
        for folder in FOLDERS:
            image = np.full(SHAPE, distance(folder, index), np.uint16)
            cv2.imwrite(str(folders[folder] / f"{index:05d}.png"), image)
    (root / "facts").mkdir(exist_ok=True)
    (root / "facts" / f"{name}.json").write_text(json.dumps({"camera": camera}))


def test_clips_are_read_with_both_depths_of_each_frame_and_with_what_camera_filmed_them(tmp_path):
    for name, camera in (("a", "fixed"), ("b", "orbit"), ("c", "wrist")):
        write_clip(tmp_path, name, camera)
    clips = depth.read_depth_clips(tmp_path)
    assert {clip.name: clip.fixed for clip in clips} == {"a": True, "b": False, "c": False}
    for found in clips:
        assert len(found.frames) == 3 and found.depths.keys() == set(FOLDERS)
        for folder, images in found.depths.items():
            assert [image.dtype for image in images] == [np.uint16] * 3
            assert [set(image.flat) for image in images] == [{distance(folder, frame)} for frame in range(3)]
        np.testing.assert_array_equal(found.frames[2].masks["gripper"], TRUE["gripper"])
    assert [clip.name for clip in depth.read_depth_clips(tmp_path, 2)] == ["a", "c"]


@pytest.mark.parametrize("missing", [FOLDERS, FOLDERS[:1], FOLDERS[1:]])
def test_clips_without_depth_are_refused_with_the_command_that_makes_them(tmp_path, missing):
    write_clip(tmp_path, "a")
    for folder in missing:
        (tmp_path / folder).rename(tmp_path / f"not_{folder}")
    with pytest.raises(ValueError) as refused:
        depth.read_depth_clips(tmp_path)
    command = f"robotseg render {tmp_path} --split seen --depth --count 32 --skip 54 --frames 16"
    assert str(refused.value) == f"{tmp_path} holds no clips with depth; make them: {command}"


def test_the_command_that_makes_them_is_one():
    pytest.importorskip("scipy", reason="rendering needs scipy")
    from robotseg_ros.cli import render

    parser = argparse.ArgumentParser()
    render.add_arguments(parser)
    wanted = parser.parse_args(COMMAND.format(".data/clips/depth").split()[2:])
    assert wanted.depth and str(wanted.out) == ".data/clips/depth"


SPOILT = {
    "of another size": lambda file: cv2.imwrite(str(file), np.zeros((120, 160), np.uint16)),
    "of 8 bits": lambda file: cv2.imwrite(str(file), np.zeros(SHAPE, np.uint8)),
    "in colour": lambda file: cv2.imwrite(str(file), np.zeros((*SHAPE, 3), np.uint16)),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:20]),
    "no image": lambda file: file.write_text("depth"),
    "missing": lambda file: file.unlink(),
}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_depth_image_that_cannot_be_used_is_named(tmp_path, folder, spoil):
    write_clip(tmp_path, "a")
    file = tmp_path / folder / "a" / "00001.png"
    spoil(file)
    with pytest.raises(ValueError) as refused:
        depth.read_depth_clips(tmp_path)
    assert str(refused.value) == f"{file}: must be a PNG of 16 bits and of its image's size, (240, 320)"


def test_to_and_fro_depth_and_frame_stay_together():
    frames = [Frame(index, index, np.full((4, 4, 3), index, np.uint8), {}) for index in range(3)]
    depths = {folder: [np.full((4, 4), distance(folder, i), np.uint16) for i in range(3)] for folder in FOLDERS}
    long = DepthClip("clip", True, frames, depths).to_and_fro(8)
    order = [0, 1, 2, 1, 0, 1, 2, 1]
    assert (long.name, long.fixed) == ("clip", True)
    assert [frame.image[0, 0, 0] for frame in long.frames] == order
    for folder, images in long.depths.items():
        assert [image[0, 0] for image in images] == [distance(folder, frame) for frame in order]


# Groups


@pytest.fixture
def streams(monkeypatch):
    """In the place of the network's streams: they mask as many pixels as frames have come to them."""
    made = []

    class Counting:
        def __init__(self, network, frames):
            self.count = 0
            made.append(self)

        def step(self, image):
            self.count += 1
            mask = np.zeros(SHAPE, bool)
            mask.flat[: self.count] = True
            return SimpleNamespace(masks=dict.fromkeys(PARTS, mask))

    monkeypatch.setattr(depth, "plain_stream", Counting)
    return made


def masked_pixels(group):
    """By clip, of each frame's mask of the robot."""
    return {clip.name: [int(masks["robot"].sum()) for masks in found] for clip, found in group}


def test_fixed_cameras_go_on_and_the_others_do_not(streams):
    clips = [clip("fixed", 3, True), clip("orbit", 4, False), clip("still", 3, True)]
    groups = depth.masked_groups(None, clips, 5)
    fixed, short, moving, true, spoilt = groups.values()
    assert list(groups)[:3] == ["fixed camera, 5 frames", "fixed camera, as rendered", "moving camera"]
    assert masked_pixels(fixed) == {"fixed": [1, 2, 3, 4, 5], "still": [1, 2, 3, 4, 5]}
    assert masked_pixels(short) == {"fixed": [1, 2, 3], "still": [1, 2, 3]}
    assert masked_pixels(moving) == {"orbit": [1, 2, 3, 4]}
    assert [len(found.depths["depth"]) for found, _ in fixed] == [5, 5]
    assert sorted(stream.count for stream in streams) == [4, 5, 5]  # each clip once, as long as it is needed
    assert list(groups)[3:] == ["true masks", "true masks grown by 3 pixels"]
    for group, masks in ((true, TRUE), (spoilt, GROWN)):
        assert [found.name for found, _ in group] == ["fixed", "orbit", "still"]
        for found, made in group:
            assert len(made) == len(found.frames)
            for part in PARTS:
                np.testing.assert_array_equal(made[-1][part], masks[part])


@pytest.mark.parametrize(
    ("fixed", "left"), [(True, {"fixed camera, 5 frames", "fixed camera, as rendered"}), (False, {"moving camera"})]
)
def test_a_group_without_clips_is_left_out(streams, fixed, left):
    groups = depth.masked_groups(None, [clip(fixed=fixed)], 5)
    assert groups.keys() == left | {"true masks", "true masks grown by 3 pixels"}


# Cues


def test_no_cue_leaves_masks_alone():
    given = [GROWN, TRUE, GROWN]
    made = depth.refined(clip(), given, "no cue")
    assert len(made) == 3 and all(after is before for after, before in zip(made, given, strict=True))


@pytest.mark.parametrize(("condition", "folder"), [("edges", "depth"), ("edges, true depth", "depth_true")])
def test_edges_finds_the_outline_in_the_depth_of_its_condition_only(condition, folder):
    there = {"depth": {"seen": ROBOT, "true": WALL}, "depth_true": {"seen": WALL, "true": ROBOT}}
    other = next(name for name in FOLDERS if name != folder)
    for made in depth.refined(clip(**there[folder]), [GROWN] * 3, condition):
        np.testing.assert_array_equal(made["robot"], TRUE["robot"])
    for made in depth.refined(clip(**there[other]), [GROWN] * 3, condition):
        np.testing.assert_array_equal(made["robot"], GROWN["robot"])


@pytest.mark.parametrize(
    ("condition", "given"),
    [("background", {"true": ROBOT[::-1]}), ("background, true depth", {"seen": ROBOT[::-1]})],
)
def test_background_remembers_what_it_saw_in_this_clip_and_nothing_of_another(condition, given):
    long = clip(count=8, **given)
    leaking = {"robot": region(BOX, LEAK)}
    for _ in range(2):
        made = depth.refined(long, [{"robot": TRUE["robot"]}] * 7 + [leaking], condition)
        np.testing.assert_array_equal(made[-1]["robot"], TRUE["robot"])
    # With nothing learned before it, the same mask stays.
    np.testing.assert_array_equal(depth.refined(long, [leaking], condition)[0]["robot"], leaking["robot"])


# Figures

SPOILT_J = 100 * 120 / (106 * 126)  # of the robot grown by three pixels


def cells(made, label):
    """The row of that label, by column."""
    return next(dict(zip(made.header, row, strict=True)) for row in made.rows if row[0] == label)


def test_scores_are_of_the_frames_that_have_masks():
    score = depth.scored(clip(count=5), [TRUE, GROWN])
    np.testing.assert_allclose(score.j["robot"], [1, SPOILT_J])
    assert score.f.keys() == set(PARTS) and score.f["robot"][0] == 1 > score.f["robot"][1]
    assert score.clip == "clip"


def test_true_depth_brings_grown_masks_up_and_is_counted_as_better():
    """A camera that sees only the wall changes nothing, true depth of the robot gives its true outline."""
    group = [(clip(name, seen=WALL), [GROWN] * 3) for name in ("one", "two")]
    measured = depth.measured_group(group)
    assert [entry.label for entry in measured] == list(CONDITIONS)
    j = {entry.label: [score.means("robot")[0] for score in entry.clips] for entry in measured}
    for condition, value in {"no cue": SPOILT_J, "edges": SPOILT_J, "edges, true depth": 1.0}.items():
        np.testing.assert_allclose(j[condition], [value, value])
    made = depth.outcome({"grown": measured})
    assert [row[0] for row in made.rows] == [f"grown: {condition}" for condition in CONDITIONS]
    plain, better = cells(made, "grown: no cue"), cells(made, "grown: edges, true depth")
    assert plain["robot J"] == f"{100 * SPOILT_J:.1f}" and plain["better / worse"] == "0 / 0"
    assert [better[f"robot {measure}"] for measure in ("J", "F", "J&F")] == ["100.0"] * 3
    assert better["better / worse"] == "2 / 0" and cells(made, "grown: edges")["better / worse"] == "0 / 0"
    assert all(float(better[f"{part} J"]) > float(plain[f"{part} J"]) for part in PARTS)


def test_a_cue_that_is_led_astray_is_counted_as_worse():
    """Depth of a robot two pixels aside, as of a camera that is aligned badly."""
    aside = scene(np.s_[80:180, 102:222])
    group = [(clip("good", seen=ROBOT), [GROWN] * 3), (clip("bad", seen=aside), [TRUE] * 3)]
    made = depth.outcome({"both": depth.measured_group(group)})
    assert cells(made, "both: edges")["better / worse"] == "1 / 1"
    assert cells(made, "both: edges, true depth")["better / worse"] == "1 / 0"


def measured(label, gains):
    """One clip for each gain in J&F of the robot over a half; the arm is the same in all."""
    flat = np.full(3, 0.5)
    clips = []
    for index, gain in enumerate(gains):
        values = {part: flat + (gain if part == "robot" else 0) for part in PARTS}
        clips.append(ClipScore(str(index), values, values))
    return Measured(label, clips)


GAINS = (0.02, 0.0015, 0.0005, 0.0, -0.0005, -0.003)


def made_up():
    """A group in which one of the conditions has these gains, the others none."""
    return [measured(label, GAINS if label == "background" else [0.0] * len(GAINS)) for label in CONDITIONS]


def test_changes_too_small_to_notice_are_neither_better_nor_worse():
    made = depth.outcome({"group": made_up()})
    assert cells(made, "group: background")["better / worse"] == "2 / 1"
    assert cells(made, "group: edges")["better / worse"] == "0 / 0"


def test_the_plot_shows_each_clip_s_gain_and_their_mean_in_points():
    axis = Figure().subplots()
    depth.outcome({"first": made_up(), "second": made_up()}).draw(axis)
    points = [c for c in axis.collections if isinstance(c, PathCollection)]
    lines = [c for c in axis.collections if isinstance(c, LineCollection)]
    assert len(points) == len(lines) == 2 * (len(CONDITIONS) - 1)
    for place in range(2):
        drawn = 2 * 1 + place  # background is the second condition with a cue
        np.testing.assert_allclose(points[drawn].get_offsets()[:, 1], 100 * np.array(GAINS))
        assert (np.abs(points[drawn].get_offsets()[:, 0] - place) < 0.4).all()
        np.testing.assert_allclose(lines[drawn].get_segments()[0][:, 1], 100 * np.mean(GAINS))
    assert [text.get_text() for text in axis.get_xticklabels()] == ["first", "second"]
    assert axis.get_legend_handles_labels()[1] == list(CONDITIONS)[1:]


# The command


def test_the_command_measures_every_group_or_says_what_is_missing(tmp_path, capsys, monkeypatch):
    command = ["experiment", "depth-cue", "--clips", str(tmp_path), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 2
    assert f"robotseg render {tmp_path}/depth --split seen --depth" in capsys.readouterr().err
    monkeypatch.setattr(catalog, "LONG", 2)
    for name, camera in (("a", "fixed"), ("b", "orbit")):
        write_clip(tmp_path / "depth", name, camera, count=1)
    assert main(command) == 0
    printed = capsys.readouterr().out
    groups = (
        "fixed camera, 2 frames",
        "fixed camera, as rendered",
        "moving camera",
        "true masks",
        "true masks grown by 3 pixels",
    )
    for group in groups:
        assert all(f"| {group}: {condition} |" in printed for condition in CONDITIONS)
    out = tmp_path / "out" / "depth-cue"
    assert {path.name for path in out.iterdir()} == {"table.md", "table.csv", "plot.png"}
    assert cv2.imread(str(out / "plot.png")) is not None
