"""One door for all sources: the right reader, or a message that says what is accepted."""

from __future__ import annotations

import pytest

from robotseg_ros.dataset import ClipError, open_clip


def test_every_kind_of_source_gives_frames(tmp_path, make):
    make.save(tmp_path / "single" / "photo.PNG", make.picture(0))
    path = make.bag(tmp_path / "bag", 2)
    sources = {
        make.image_folder(tmp_path / "images", 2): 2,
        make.vrs_root(tmp_path / "vrs", count=2): 2,
        make.video(tmp_path / "a.mp4", 2): 2,
        path: 2,
        next(path.glob("*.mcap")): 2,
        tmp_path / "single" / "photo.PNG": 1,
    }
    for source, count in sources.items():
        clip = open_clip(str(source))
        assert [frame.image.shape for frame in clip] == [(48, 64, 3)] * count
        assert clip.name and clip.fps > 0 and len(clip) == count


def test_what_is_not_there_or_not_readable_is_named(tmp_path):
    with pytest.raises(ClipError, match=r"absent: no such file or folder; accepted is a video file"):
        open_clip(tmp_path / "absent")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    with pytest.raises(ClipError, match="rosbags-convert"):
        open_clip(tmp_path / "old.bag")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ClipError, match=r"notes\.txt.*accepted are \.mp4"):
        open_clip(tmp_path / "notes.txt")


def test_a_topic_is_for_bags_only(tmp_path, make):
    with pytest.raises(ClipError, match="no bag"):
        open_clip(make.image_folder(tmp_path), "/camera/image")
