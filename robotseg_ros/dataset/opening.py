"""One door to every source of frames: picks the reader by looking at the path."""

from __future__ import annotations

from pathlib import Path

from .clip import Clip, ClipError, OnBad
from .images import IMAGE_SUFFIXES

_ACCEPTED = "a video file, an image, a folder of images (or of VRS's layout), or a ROS 2 bag"


def open_clip(path: Path | str, topic: str | None = None, *, on_bad: OnBad = "raise") -> Clip:
    """The clip at a path: a video file, an image or a folder of them, or a ROS 2 bag (folder, .mcap or .db3).

    `topic` names the image topic of a bag. Raises ClipError that says what is wrong with the path.
    """
    from .bags import BagClip, is_bag
    from .folders import FolderClip, open_folder
    from .video import VideoClip

    path = Path(path)
    if not path.exists():
        raise ClipError(f"{path}: no such file or folder; accepted is {_ACCEPTED}")
    if path.suffix == ".bag":
        raise ClipError(f"{path}: a ROS 1 bag; convert it first: rosbags-convert --src {path} --dst {path.stem}")
    if is_bag(path):
        return BagClip(path, topic, on_bad=on_bad)
    if topic is not None:
        raise ClipError(f"{path}: is no bag, so it has no topic {topic}")
    if path.is_dir():
        return open_folder(path, on_bad=on_bad)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return FolderClip(path.parent, on_bad=on_bad, files=[path])
    return VideoClip(path, on_bad=on_bad)
