"""Topics of bags that cannot be opened any more."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Writer

from robotseg_ros.dataset.bags import BagError, BagWriter, list_topics
from robotseg_ros.dataset.cut_bags import surviving_topics

TOPICS = [("/eye/image", "sensor_msgs/msg/Image"), ("/words", "std_msgs/msg/String")]


def write(path: Path, storage: str) -> Path:
    """Images and words; the storage file."""
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    with BagWriter(path, storage) as writer:  # type: ignore[arg-type]
        for index in range(60):
            writer.write_image(TOPICS[0][0], picture, index + 1)
            writer.write(*TOPICS[1], b"\x00\x01\x00\x00\x01\x00\x00\x00\x00", index + 1)
    return next(file for file in path.iterdir() if file.suffix != ".yaml")


def cut(file: Path, kept: float) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])


@pytest.fixture
def zstd(monkeypatch):
    """Bags with compressed chunks."""
    begin = Writer.open

    def compressed(self):
        self.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        begin(self)

    monkeypatch.setattr(Writer, "open", compressed)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_an_error_lists_the_topics_that_the_metadata_tells_of(tmp_path, storage):
    cut(write(tmp_path / "bag", storage), 0.1)
    with pytest.raises(BagError, match=r"still tells of:\n  /eye/image  sensor_msgs/msg/Image\n  /words  std_msgs"):
        list_topics(tmp_path / "bag")


def test_without_metadata_the_storage_is_asked(tmp_path):
    file = write(tmp_path / "bag", "mcap")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    cut(file, 0.8)
    assert surviving_topics(tmp_path / "bag") == surviving_topics(file) == TOPICS
    cut(file, 0.05)  # in the midst of the first chunk
    assert surviving_topics(file) == TOPICS
    with pytest.raises(BagError, match="/words  std_msgs/msg/String"):
        list_topics(file)


def test_whole_compressed_chunks_are_read_and_others_passed_over(tmp_path, zstd):
    file = write(tmp_path / "bag", "mcap")
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    assert surviving_topics(file) == TOPICS
    file.write_bytes(whole[:200])
    assert surviving_topics(file) == []


def test_sqlite_storage_is_asked_as_well(tmp_path):
    file = write(tmp_path / "bag", "sqlite3")
    assert surviving_topics(file) == TOPICS
    cut(file, 0.001)
    assert surviving_topics(file) == []


def test_what_is_no_bag_tells_nothing(tmp_path):
    (tmp_path / "words.mcap").write_text("not a bag")
    (tmp_path / "metadata.yaml").write_text(": {")
    assert surviving_topics(tmp_path) == surviving_topics(tmp_path / "absent") == []
