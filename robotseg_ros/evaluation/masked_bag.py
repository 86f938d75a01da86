"""A bag again, with the robot's masks beside the images that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rosbags.highlevel import AnyReader
from tqdm import tqdm

from ..dataset.bags import BagClip, BagWriter, header_frame_id, header_stamp
from .protocol import SETTINGS, Segmenter, segment
from .sources import announced


def write_masked_bag(clip: BagClip, stream: Segmenter, parts: Sequence[str], path: Path) -> Path:
    """Copies the clip's bag to a new one and adds `<image topic>/mask/<part>` (mono8, 0 and 255) with the images' stamps and
    frame_ids.

    Messages of all topics are kept as they are, whatever their types. Raises BagError where the new bag exists already.
    """
    frame_ids: dict[int, str] = {}
    with BagWriter(path) as writer, AnyReader([clip.path]) as reader:
        for connection, time_ns, cdr in tqdm(
            reader.messages(), total=reader.message_count, unit="message", desc=f"write {path.name}"
        ):
            writer.copy(connection, bytes(cdr), time_ns)
            if connection.topic == clip.topic.name:
                frame_ids[header_stamp(bytes(cdr)) or time_ns] = header_frame_id(bytes(cdr))
        frames = tqdm(announced(clip, stream), total=len(clip), unit="frame", desc="masks")
        for frame, masks in segment(frames, stream, SETTINGS["automatic"], parts):
            for part, mask in masks.items():
                name = f"{clip.topic.name}/mask/{part}"
                writer.write_image(name, mask, frame.stamp_ns, frame_ids.get(frame.stamp_ns, ""))
    return path
