"""A bag again, with the robot's masks beside the images that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..dataset.bags import BagClip, BagWriter, header_frame_id, header_stamp, list_topics, messages
from .protocol import SETTINGS, Segmenter, segment
from .sources import announced


def write_masked_bag(clip: BagClip, stream: Segmenter, parts: Sequence[str], path: Path) -> Path:
    """Copies the clip's bag to a new one and adds `<image topic>/mask/<part>` (mono8, 0 and 255) with the images' stamps and
    frame_ids, at the times at which the images were recorded: a player shows each mask with its image.

    Messages of all topics are kept as they are, whatever their types. Raises BagError where the new bag exists already or
    the clip's is damaged.
    """
    images: dict[int, tuple[str, int]] = {}
    total = sum(topic.count for topic in list_topics(clip.path))
    with BagWriter(path) as writer:
        for link, time_ns, cdr in tqdm(messages(clip.path), total=total, unit="message", desc=f"write {path.name}"):
            writer.copy(link, cdr, time_ns)
            if link.topic == clip.topic.name:
                images[header_stamp(cdr) or time_ns] = header_frame_id(cdr), time_ns
        frames = tqdm(announced(clip, stream), total=len(clip), unit="frame", desc="masks")
        for frame, masks in segment(frames, stream, SETTINGS["automatic"], parts):
            frame_id, time_ns = images.get(frame.stamp_ns, ("", frame.stamp_ns))
            for part, mask in masks.items():
                writer.write_image(f"{clip.topic.name}/mask/{part}", mask, frame.stamp_ns, frame_id, time_ns)
    return path
