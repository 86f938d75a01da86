"""Labelling: what is there is whole and made once, in one process and on Ray with a worker killed midway."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robotseg_ros.cli.main import main
from robotseg_ros.dataset.clip import ClipError
from robotseg_ros.dataset.video import VideoClip, VideoWriter
from robotseg_ros.labelling.work import PARTIAL, Labelling, collect, label_here

PARTS = ("arm", "robot")


@pytest.fixture
def dataset(moving_arm, tmp_path):
    return moving_arm.write(tmp_path / "dataset", frames=3)


def masks_of(out):
    return sorted(str(path.relative_to(out / "masks")) for path in (out / "masks").rglob("*.png"))


def test_a_dataset_is_labelled_once(dataset, tmp_path):
    labelling = Labelling(tmp_path / "out", PARTS)
    works = collect([dataset])
    done = []
    assert label_here(labelling, works, "cpu", done.append) == [] and done == works
    assert masks_of(tmp_path / "out") == sorted(
        f"{clip}/{part}/{index:05d}.png" for clip in ("one", "two") for part in ("000", "002") for index in range(3)
    )
    first = next((tmp_path / "out" / "masks").rglob("*.png"))
    before = first.stat().st_mtime_ns
    label_here(labelling, works, "cpu", done.append)
    assert first.stat().st_mtime_ns == before
    assert not any((tmp_path / "out" / PARTIAL).iterdir())


def test_a_clip_that_died_between_masks_and_scores_is_made_anew(dataset, tmp_path):
    out = tmp_path / "out"
    stale = out / "masks" / "one" / "000" / "99999.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    label_here(Labelling(out, PARTS), collect([dataset])[:1], "cpu", lambda work: None)
    assert not stale.exists() and (out / "scores" / "one.csv").is_file()


def test_a_clip_that_cannot_be_read_is_named_and_the_others_are_labelled(dataset, tmp_path, capsys):
    for path in (dataset / "image" / "one").iterdir():
        path.write_bytes(b"no picture")
    assert main(["label", str(dataset), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 1
    printed = capsys.readouterr().out
    assert "image/one: not labelled" in printed and "1 of 2 clips" in printed


def test_a_clip_that_fails_in_an_odd_way_stops_no_other(dataset, tmp_path, monkeypatch):
    from robotseg_ros.labelling import work

    segment = work.segment_clip

    def odd(clip, *more):
        if clip.name == "one":
            raise RuntimeError("of a decoder")
        return segment(clip, *more)

    monkeypatch.setattr(work, "segment_clip", odd)
    labelling, works = Labelling(tmp_path / "out", PARTS), collect([dataset])
    assert label_here(labelling, works, "cpu", lambda work: None) == [(works[0], "RuntimeError: of a decoder")]
    assert labelling.is_done(works[1])


def test_a_full_disk_stops_the_run(dataset, tmp_path, monkeypatch):
    from robotseg_ros.labelling import work

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work, "segment_clip", full)
    with pytest.raises(OSError, match="No space left"):
        label_here(Labelling(tmp_path / "out", PARTS), collect([dataset]), "cpu", lambda work: None)


def test_wrong_numbers_of_workers_are_refused(dataset, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["label", str(dataset), "-o", str(tmp_path), "--ray", "--workers", "0"])
    assert "is not a whole number of at least 1" in capsys.readouterr().err


def test_inputs_of_many_kinds_and_their_names(dataset, tmp_path, moving_arm):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(videos / name, 10.0) as writer:
            writer.write(moving_arm.image(moving_arm.masks(0)))
    assert [work.name for work in collect([dataset, videos])] == ["one", "two", "a", "b"]
    with pytest.raises(ClipError, match="have one name"):
        collect([videos, videos / "a.mp4"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipError, match="holds no clip, bag or video"):
        collect([tmp_path / "empty"])
    with pytest.raises(ClipError, match="no such file"):
        collect([tmp_path / "absent"])


def started_here(process):
    """Whether this test's process is an ancestor: another run on the machine keeps its workers."""
    while process > 1 and process != os.getpid():
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False
        process = int(stat.rsplit(")", 1)[1].split()[1])
    return process == os.getpid()


def ray_workers():
    """Processes of this test that label on Ray."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"ray::Labeller") and started_here(int(entry.name)):
                found.append(int(entry.name))
    return found


def test_a_worker_killed_midway_costs_nothing(moving_arm, tmp_path):
    """Two workers, eight clips, one worker killed as soon as the first clip is there: nothing lost, nothing twice."""
    pytest.importorskip("ray", reason="ray is not installed: an optional dependency")
    inputs = tmp_path / "clips"
    for number in range(8):
        for index in range(6):
            moving_arm.save(inputs / "image" / f"c{number}" / f"{index}.png", moving_arm.image(moving_arm.masks(index)))
    out, killed = tmp_path / "out", []

    def kill_one():
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not killed:
            if any(out.glob("scores/*.csv")) and (workers := ray_workers()):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    command = ["label", str(inputs), "-o", str(out), "--part", "robot", "--device", "cpu", "--ray", "--workers", "2"]
    assert main(command) == 0
    killer.join()
    assert killed, "no worker was there to be killed"
    assert masks_of(out) == sorted(f"c{number}/002/{index}.png" for number in range(8) for index in range(6))
    assert len(list((out / "scores").iterdir())) == 8
    assert not (out / PARTIAL).exists(), "what the killed worker had begun is gone"
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == written


def lerobot_dataset(root, moving_arm):
    """Two episodes of 3 and 2 frames in one video of one camera."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: an optional dependency")
    from pyarrow import parquet

    key = "observation.images.front"
    video = root / "videos" / key / "chunk-000" / "file-000.mp4"
    video.parent.mkdir(parents=True)
    with VideoWriter(video, 10.0) as writer:
        for index in (0, 1, 2, 0, 1):
            writer.write(moving_arm.image(moving_arm.masks(index)))
    columns = {"episode_index": [0, 1], "length": [3, 2]}
    columns |= {f"videos/{key}/chunk_index": [0, 0], f"videos/{key}/file_index": [0, 0]}
    columns |= {f"videos/{key}/from_timestamp": [0.0, 0.3], f"videos/{key}/to_timestamp": [0.3, 0.5]}
    table = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    table.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.table(columns), table)
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            key: {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"], "info": {}},
            "action": {"dtype": "float32", "shape": [2]},
        },
    }
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "meta" / "stats.json").write_text(json.dumps({"action": {"mean": [0.5, 0.5]}}))
    return root


def test_mask_streams_lie_beside_their_camera(moving_arm, tmp_path, capsys):
    root = lerobot_dataset(tmp_path / "lerobot", moving_arm)
    from pyarrow import parquet

    command = ["label", "--lerobot", str(root), "--part", "robot", "--device", "cpu"]
    assert main(command) == 0
    key = "observation.images.front_robot_mask"
    assert capsys.readouterr().out.strip() == key
    video = root / "videos" / key / "chunk-000" / "file-000.mp4"
    frames = [frame.image for frame in VideoClip(video)]
    assert len(frames) == 5 and frames[0].shape == (48, 64, 3)
    assert all(((frame < 60) | (frame > 195)).mean() > 0.9 for frame in frames), "white on black"
    # Every episode begins with an empty memory: equal frames at the beginnings have equal masks.
    assert np.abs(frames[0].astype(int) - frames[3]).mean() < 4
    table = parquet.read_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert table[f"videos/{key}/from_timestamp"].to_pylist() == [0.0, 0.3]
    info = json.loads((root / "meta" / "info.json").read_text())
    assert info["features"][key]["shape"] == [48, 64, 3] and info["features"]["action"]["shape"] == [2]
    pixels = np.stack(frames) / 255
    found = json.loads((root / "meta" / "stats.json").read_text())
    assert found["action"] == {"mean": [0.5, 0.5]} and found[key]["count"] == [5]
    for name in ("min", "max", "mean", "std"):
        expected = getattr(pixels, name)(axis=(0, 1, 2)).reshape(3, 1, 1)
        np.testing.assert_allclose(found[key][name], expected, atol=1e-6)
    for percent in (1, 10, 50, 90, 99):
        expected = np.quantile(pixels, percent / 100, axis=(0, 1, 2), method="inverted_cdf").reshape(3, 1, 1)
        np.testing.assert_allclose(found[key][f"q{percent:02d}"], expected, atol=1e-6)
    before = video.stat().st_mtime_ns
    assert main(command) == 0 and video.stat().st_mtime_ns == before
    assert parquet.read_table(root / "meta" / "episodes").num_columns == table.num_columns


def test_masks_read_back_by_episode_and_time_are_those_of_the_stream(moving_arm, tmp_path):
    """As a policy's training reads them: an episode's row says in which video and from which second on its frames are."""
    from robotseg_ros.dataset.bags import BagClip
    from robotseg_ros.model import load_model
    from robotseg_ros.streaming import StreamSegmenter

    root = lerobot_dataset(tmp_path / "lerobot", moving_arm)
    from pyarrow import parquet

    camera = root / "videos" / "observation.images.front" / "chunk-000" / "file-000.mp4"
    demo = BagClip(Path(__file__).parents[2] / "demo" / "panda_table", "/camera/image/compressed")
    with VideoWriter(camera, 10.0) as writer:
        for frame in demo.frames(40, 5):
            writer.write(frame.image)
    assert main(["label", "--lerobot", str(root), "--part", "arm", "--part", "robot", "--device", "cpu"]) == 0
    network = load_model("robotseg_nano", None, "cpu")
    pictures = [frame.image for frame in VideoClip(camera)]
    for part in ("arm", "robot"):
        key = f"observation.images.front_{part}_mask"
        rows = parquet.read_table(root / "meta" / "episodes").to_pylist()
        info = json.loads((root / "meta" / "info.json").read_text())
        for row in rows:
            place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
            frames = [frame.image for frame in VideoClip(root / info["video_path"].format(video_key=key, **place))]
            first = round(row[f"videos/{key}/from_timestamp"] * info["fps"])
            stream = StreamSegmenter(network, parts=("arm", "robot"), fill_hole_area=network.config.fill_hole_area)
            for index in range(first, first + row["length"]):
                true, read = stream.step(pictures[index]).masks[part], frames[index][..., 0] > 127
                assert true.mean() > 0.01 and (true & read).sum() / (true | read).sum() > 0.95, (part, index)


def test_what_is_no_lerobot_v3_dataset_is_refused(tmp_path, moving_arm, capsys):
    assert main(["label", "--lerobot", str(tmp_path)]) == 2
    assert "meta/info.json is missing" in capsys.readouterr().err
    root = lerobot_dataset(tmp_path / "lerobot", moving_arm)
    assert main(["label", "--lerobot", str(root), "--camera", "top", "--device", "cpu"]) == 2
    assert "no camera 'top'; there are: observation.images.front" in capsys.readouterr().err
    info = json.loads((root / "meta" / "info.json").read_text()) | {"codebase_version": "v2.1"}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    assert main(["label", "--lerobot", str(root)]) == 2
    assert "version v2.1; convert it" in capsys.readouterr().err
    assert main(["label"]) == 2
