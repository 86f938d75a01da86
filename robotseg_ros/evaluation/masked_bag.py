"""A bag again, with the robot's masks beside the images that they belong to."""

from __future__ import annotations

from pathlib import Path

from rosbags.highlevel import AnyReader
from tqdm import tqdm

from ..dataset.bags import BagClip, BagWriter
from .protocol import Segmenter


def write_masked_bag(clip: BagClip, stream: Segmenter, path: Path) -> Path:
    """Copies the clip's bag to a new one and adds `<image topic>/mask/<part>` (mono8, 0 and 255) with the images' stamps.

    Messages of all topics are kept as they are, whatever their types. Raises BagError where the new bag exists already.
    """
    with BagWriter(path) as writer, AnyReader([clip.path]) as reader:
        for connection, time_ns, cdr in tqdm(
            reader.messages(), total=reader.message_count, unit="message", desc=f"write {path.name}"
        ):
            writer.copy(connection, bytes(cdr), time_ns)
        for frame in tqdm(clip, total=len(clip), unit="frame", desc="masks"):
            for part, mask in stream.step(frame.image).masks.items():
                writer.write_image(f"{clip.topic.name}/mask/{part}", mask, frame.stamp_ns)
    return path
