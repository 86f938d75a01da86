"""Masks recorded in bags, by the stamp of the image that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from ..dataset.bags import decode_image, header_stamp, list_topics, messages, named_topic, storage_paths

BoolMask = NDArray[np.bool_]


class MaskStore(Mapping[int, Mapping[str, BoolMask]]):
    """Masks bool (H, W) by part, by stamp in nanoseconds; kept at one bit per pixel."""

    def __init__(self) -> None:
        self._packed: dict[int, dict[str, tuple[tuple[int, int], NDArray[np.uint8]]]] = {}

    def add(self, stamp: int, part: str, mask: BoolMask) -> None:
        """Keep a mask; a second one of the same part and stamp replaces the first."""
        height, width = mask.shape
        self._packed.setdefault(stamp, {})[part] = ((height, width), np.packbits(mask))

    def __getitem__(self, stamp: int) -> dict[str, BoolMask]:
        return {part: _unpack(shape, bits) for part, (shape, bits) in self._packed[stamp].items()}

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._packed))

    def __len__(self) -> int:
        return len(self._packed)


def recorded_masks(bag: Path, topics: Mapping[str, str]) -> MaskStore:
    """All masks of a bag; `topics` names the image topic (raw or compressed) of each part.

    Any pixel that is not 0 belongs to the part. A topic without messages gives no mask.

    Raises:
        BagError: the bag cannot be read, or a topic is missing or holds no images.
        ClipError: a message is no whole image.
    """
    there = list_topics(bag)
    chosen = {part: named_topic(bag, there, name, empty=True) for part, name in topics.items()}
    part_of = {topic.name: part for part, topic in chosen.items()}
    store = MaskStore()
    for link, time_ns, cdr in messages(bag, list(chosen.values())):
        mask = np.asarray(decode_image(link.msgtype, cdr).any(axis=2))
        store.add(header_stamp(cdr) or time_ns, part_of[link.topic], mask)
    return store


STATUS = "robotseg_ros/msg/SegmentationStatus"


def recorded_latency(bag: Path) -> dict[int, float]:
    """Milliseconds from an image's arrival to its masks, by stamp in nanoseconds, as the node tells in its status.

    Empty where the bag holds no status, or that of several nodes.
    """
    with AnyReader(storage_paths(bag)) as reader:
        chosen = [connection for connection in reader.connections if connection.msgtype == STATUS]
        if len({connection.topic for connection in chosen}) != 1:
            return {}
        told = ((bytes(cdr), connection) for connection, _, cdr in reader.messages(chosen))
        return {header_stamp(cdr): _latency(reader.deserialize(cdr, connection.msgtype)) for cdr, connection in told}


def _latency(status: Any) -> float:
    return float(status.latency_ms)


def _unpack(shape: tuple[int, int], bits: NDArray[np.uint8]) -> BoolMask:
    height, width = shape
    return np.unpackbits(bits, count=height * width).reshape(shape).astype(bool)
