"""Masks read back from bags, by stamp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robotseg_ros.dataset.bags import BagError, BagWriter
from robotseg_ros.evaluation.recorded import MaskStore, recorded_masks

MASK = np.zeros((13, 17), bool)
MASK[3:9, 2:11] = True


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    path = tmp_path / "masks"
    with BagWriter(path) as writer:
        writer.write_image("/mask/arm", MASK, 5_000, time_ns=9_000)
        writer.write_image("/mask/arm", ~MASK, 6_000, time_ns=9_500)
        writer.write("/other", "std_msgs/msg/String", b"\x00\x01\x00\x00\x01\x00\x00\x00\x00", 9_600)
    return path


def test_masks_come_back_by_the_stamp_of_their_header(bag: Path) -> None:
    masks = recorded_masks(bag, {"arm": "/mask/arm"})
    assert list(masks) == [5_000, 6_000]
    assert (masks[5_000]["arm"] == MASK).all()
    assert (masks[6_000]["arm"] == ~MASK).all()


def test_a_topic_that_is_missing_or_no_image_is_refused_with_the_list_of_topics(bag: Path) -> None:
    for topic in ("/mask/gripper", "/other"):
        with pytest.raises(BagError, match="/mask/arm  sensor_msgs/msg/Image"):
            recorded_masks(bag, {"gripper": topic})


def test_a_later_mask_of_the_same_frame_replaces_the_first() -> None:
    store = MaskStore()
    store.add(1, "arm", MASK)
    store.add(1, "arm", ~MASK)
    assert len(store) == 1
    assert (store[1]["arm"] == ~MASK).all()
