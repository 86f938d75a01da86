"""Bags without ROS: reading both storages, joining true masks, choosing topics, and damaged files."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from robotseg_ros.dataset import ClipError
from robotseg_ros.dataset.bags import (
    STORAGE_SUFFIXES,
    BagClip,
    BagError,
    BagWriter,
    Topic,
    is_bag,
    list_topics,
)

STRING = "std_msgs/msg/String"
HELLO = b"\x00\x01\x00\x00\x03\x00\x00\x00hi\x00"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compressed", [False, True])
def test_images_of_both_storages_and_kinds(tmp_path, storage, compressed, make):
    path = make.bag(tmp_path / "bag", storage=storage, compressed=compressed)
    clip = BagClip(path)
    frames = list(clip)
    assert [make.number(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000 + index * make.STEP_NS for index in range(5)]
    assert (clip.name, len(clip), clip.skipped) == ("bag", 5, [])
    assert clip.fps == pytest.approx(20.0)
    assert frames[0].image.flags.writeable and frames[0].image.flags.c_contiguous


def test_a_storage_file_alone_and_a_folder_without_metadata_are_read(tmp_path, make):
    path = make.bag(tmp_path / "bag")
    (storage,) = path.glob("*.mcap")
    assert len(list(BagClip(storage))) == 5
    (path / "metadata.yaml").unlink()
    assert is_bag(path)
    assert len(list(BagClip(path))) == 5


def test_topics_are_listed_with_types_and_counts(tmp_path, make):
    assert list_topics(make.bag(tmp_path / "bag", count=3)) == [
        Topic("/camera/image", "sensor_msgs/msg/Image", 3),
        Topic("/chatter", STRING, 1),
    ]


def test_a_range_decodes_nothing_before_it(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_compressed("/image", b"no image", "jpeg", 10)
        for index in range(1, 4):
            writer.write_compressed("/image", make.jpeg(make.picture(index)), "jpeg", 10 + index)
    assert [frame.index for frame in BagClip(tmp_path / "bag").frames(1, 2)] == [1, 2]


def test_frames_without_a_stamp_get_the_time_of_recording(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/image", make.picture(0), 0, time_ns=123)
    assert next(iter(BagClip(tmp_path / "bag"))).stamp_ns == 123


def test_true_masks_are_joined_by_stamp_whatever_the_order_of_recording(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(6):
            late, early = 1000 + index * 10 + 25, 1000 + index * 10 - 5
            stamp = 1000 + index * 10
            writer.write_image("/image", make.picture(index), stamp, time_ns=stamp)
            if index != 3:
                writer.write_image("/truth/arm", make.square_mask(index), stamp, time_ns=late)
            writer.write_image("/truth/gripper", ~make.square_mask(index), stamp, time_ns=early)
    clip = BagClip(tmp_path / "bag", "/image", truth={"arm": "/truth/arm", "gripper": "/truth/gripper"})
    frames = list(clip)
    assert [make.number(frame.image) for frame in frames] == list(range(6))
    for frame in frames:
        assert frame.masks is not None
        assert set(frame.masks) == ({"gripper"} if frame.index == 3 else {"arm", "gripper"})
        np.testing.assert_array_equal(frame.masks["gripper"], ~make.square_mask(frame.index))


def test_true_masks_of_another_size_are_named(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/image", make.picture(0), 5)
        writer.write_image("/truth", make.square_mask(0, 20, 30), 5)
    with pytest.raises(ClipError, match="/truth is 30x20, its image 64x48"):
        list(BagClip(tmp_path / "bag", "/image", truth={"arm": "/truth"}))


def test_the_only_image_topic_is_found_and_raw_goes_before_its_compressed_twin(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/camera/image", make.picture(0), 5)
        writer.write_compressed("/camera/image/compressed", make.jpeg(make.picture(0)), "jpeg", 5)
        writer.write_compressed("/depth/image/compressedDepth", b"depth", "16UC1; compressedDepth png", 5)
    assert BagClip(tmp_path / "bag").topic.name == "/camera/image"
    assert BagClip(tmp_path / "bag", "camera/image/compressed").topic.name == "/camera/image/compressed"


def test_several_image_topics_are_listed(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/left/image", make.picture(0), 5)
        writer.write_image("/right/image", make.picture(0), 5)
        writer.write("/chatter", STRING, HELLO, 5)
    with pytest.raises(BagError, match=r"several image topics(.|\n)*/left/image(.|\n)*/right/image") as caught:
        BagClip(tmp_path / "bag")
    assert "/chatter" not in str(caught.value)


@pytest.mark.parametrize(
    ("topic", "words"),
    [("/absent", "no topic /absent"), ("/chatter", "is std_msgs/msg/String, not sensor_msgs/msg/Image")],
)
def test_wrong_topics_are_refused_with_the_topics_there_are(tmp_path, topic, words, make):
    path = make.bag(tmp_path / "bag")
    with pytest.raises(BagError, match=words) as caught:
        BagClip(path, topic)
    assert "/camera/image  sensor_msgs/msg/Image  (5 messages)" in str(caught.value)


def test_a_bag_without_images_is_refused_with_the_topics_there_are(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/chatter", STRING, HELLO, 5)
    with pytest.raises(BagError, match=r"has no images(.|\n)*/chatter  std_msgs/msg/String  \(1 messages\)"):
        BagClip(tmp_path / "bag")


def test_bad_frames_are_left_out_and_counted_or_refused(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(5):
            data = make.jpeg(make.picture(index))
            writer.write_compressed("/image", data[: len(data) // 2] if index == 2 else data, "jpeg", 10 + index)
    clip = BagClip(tmp_path / "bag", on_bad="skip")
    assert [frame.index for frame in clip] == [0, 1, 3, 4]
    assert [bad.index for bad in clip.skipped] == [2]
    with pytest.raises(ClipError, match="/image: frame 2: .*truncated"):
        list(BagClip(tmp_path / "bag"))


def test_messages_that_are_cut_are_bad_frames(tmp_path, make):
    whole = tmp_path / "whole"
    with BagWriter(whole) as writer:
        writer.write_image("/image", make.picture(0), 5)
    with Reader(whole) as reader:
        ((_, _, cdr),) = reader.messages()
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/image", "sensor_msgs/msg/Image", cdr, 5)
        writer.write("/image", "sensor_msgs/msg/Image", cdr[:40], 6)
        writer.write("/image", "sensor_msgs/msg/Image", b"", 7)
    clip = BagClip(tmp_path / "bag", on_bad="skip")
    assert len(list(clip)) == 1
    assert [bad.index for bad in clip.skipped] == [1, 2]


def test_a_topic_of_unknown_encoding_only_is_refused_with_the_reason(tmp_path, make):
    path = make.bag(tmp_path / "bag", count=1)
    with Reader(path) as reader:
        cdr = next(bytes(data) for link, _, data in reader.messages() if link.topic == "/camera/image")
    with BagWriter(tmp_path / "odd") as writer:
        writer.write("/image", "sensor_msgs/msg/Image", cdr.replace(b"rgb8", b"xyz8"), 5)
    with pytest.raises(ClipError, match="none of 1 frames.*unknown encoding 'xyz8'"):
        list(BagClip(tmp_path / "odd", on_bad="skip"))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.97])
def test_a_truncated_bag_is_named_with_what_may_mend_it(tmp_path, storage, keep, make):
    path = make.bag(tmp_path / "bag", count=30, storage=storage)
    file = next(file for file in path.iterdir() if file.suffix in STORAGE_SUFFIXES)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    with pytest.raises(ClipError, match=r"bag.*(ros2 bag reindex|messages promised)"):
        list(BagClip(path))


def test_a_bag_that_breaks_in_the_middle_gives_what_comes_before(tmp_path, make):
    path = make.bag(tmp_path / "bag", count=300)
    (file,) = path.glob("*.mcap")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200_000] = bytes(200_000)
    file.write_bytes(content)
    clip = BagClip(path, on_bad="skip")
    read = len(list(clip))
    assert 0 < read < 300
    assert clip.skipped
    with pytest.raises(ClipError, match=f"only {read} of the 300 messages"):
        list(BagClip(path))


def test_missing_and_empty_places_are_refused(tmp_path):
    with pytest.raises(BagError, match="no such bag"):
        list_topics(tmp_path / "absent")
    with pytest.raises(BagError, match="neither metadata.yaml nor"):
        list_topics(tmp_path)
    (tmp_path / "metadata.yaml").write_text("nonsense: [")
    with pytest.raises(BagError, match="not readable as a ROS 2 bag"):
        list_topics(tmp_path)


def test_unknown_message_types_elsewhere_in_the_bag_do_not_matter(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_type("my_robot/msg/Odd", "float32[] values\nstd_msgs/Header header\n")
        writer.write("/odd", "my_robot/msg/Odd", b"\x00\x01\x00\x00" + bytes(8), 1)
        writer.write_image("/image", make.picture(0), 5)
    assert len(list(BagClip(tmp_path / "bag"))) == 1


def test_what_the_writer_writes_other_readers_read(tmp_path, make):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/mask", make.square_mask(0), 3_000_000_007, "camera")
    with AnyReader([tmp_path / "bag"]) as reader:
        ((link, time, data),) = reader.messages()
        message: Any = reader.deserialize(data, link.msgtype)
    assert (message.encoding, message.step, message.header.frame_id, time) == (
        "mono8",
        64,
        "camera",
        3_000_000_007,
    )
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 7)
    assert sorted(np.unique(message.data)) == [0, 255]


def test_a_writer_that_is_left_by_an_error_leaves_a_whole_bag(tmp_path, make):
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/image", make.picture(0), 5)
        raise KeyboardInterrupt
    assert len(list(BagClip(tmp_path / "bag"))) == 1


def test_the_writer_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path)
    with BagWriter(tmp_path / "bag") as writer:
        with pytest.raises(BagError, match="my_robot/msg/Odd .* is not known"):
            writer.write("/odd", "my_robot/msg/Odd", b"", 1)
        writer.write("/chatter", STRING, HELLO, 1)
        with pytest.raises(BagError, match="cannot become"):
            writer.write("/chatter", "sensor_msgs/msg/Image", b"", 1)
        with pytest.raises(ValueError, match="uint8"):
            writer.write_image("/image", np.zeros((4, 4), np.float32), 1)


def test_a_recording_in_several_files_is_one_clip(tmp_path, make):
    first, second = make.bag(tmp_path / "a", count=3), make.bag(tmp_path / "b", count=2)
    whole = tmp_path / "split"
    whole.mkdir()
    shutil.copy(next(first.glob("*.mcap")), whole / "split_0.mcap")
    shutil.copy(next(second.glob("*.mcap")), whole / "split_1.mcap")
    assert [make.number(frame.image) for frame in BagClip(whole)] == [0, 1, 2, 0, 1]
