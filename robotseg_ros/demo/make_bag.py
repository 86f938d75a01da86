"""Makes a bag for the demo of a clip in VRS's folders: JPEG images and PNG true masks, of bounded size.

python -m robotseg_ros.demo.make_bag CLIP BAG [--frames 180] [--max-mb 5]
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..dataset.bags import BagWriter
from ..dataset.clip import ClipError
from ..dataset.folders import FolderClip, open_folder
from . import topics

FPS = 15.0
START_NS = 1_700_000_000 * 10**9  # a plausible date: a stamp of zero would mean that none was set
AS_IT_IS = 0
QUALITIES = (AS_IT_IS, 90, 85, 80, 75, 70, 65, 60, 55, 50)


@dataclass(frozen=True)
class MadeBag:
    """What was written: bytes of the folder, frames, JPEG quality that fitted (0: the clip's own files)."""

    path: Path
    size: int
    frames: int
    quality: int


def make_bag(clip: FolderClip, path: Path, max_bytes: int, fps: float = FPS, frames: int | None = None) -> MadeBag:
    """Write the first `frames` of a clip at the best JPEG quality with which the bag fits into `max_bytes`.

    JPEG files are taken as they are if they fit. Stamps are 1/fps s apart, those of masks equal to their
    image's, and the same as the time of recording.

    Raises:
        ClipError: the bag exists, the clip lacks true masks or cannot be read.
        ValueError: even the lowest quality does not fit.
    """
    if path.exists():
        raise ClipError(f"{path}: exists already; give a folder that does not")
    count = len(clip) if frames is None else min(frames, len(clip))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as scratch:
        for quality in QUALITIES:
            # The storage file is named after its folder, so the folder has its final name from the start.
            made = Path(scratch, str(quality), path.name)
            made.parent.mkdir()
            _write(clip, made, quality, fps, count)
            size = folder_bytes(made)
            if size <= max_bytes:
                shutil.move(made, path)
                return MadeBag(path, size, count, quality)
    raise ValueError(
        f"{count} frames of {clip.name} take {size / 1e6:.1f} MB at JPEG quality {QUALITIES[-1]}, "
        f"more than {max_bytes / 1e6:.1f} MB: choose fewer frames or a larger limit"
    )


def _write(clip: FolderClip, path: Path, quality: int, fps: float, count: int) -> None:
    with BagWriter(path) as bag:
        for topic, form, data, stamp in _messages(clip, quality, fps, count):
            bag.write_compressed(topic, data, form, stamp, topics.FRAME_ID)


def _messages(clip: FolderClip, quality: int, fps: float, count: int) -> Iterator[tuple[str, str, bytes, int]]:
    """Topic, format, file bytes and stamp of every message, the masks of a frame after its image."""
    for frame in clip.frames(0, count):
        stamp = START_NS + round(frame.index * 1e9 / fps)
        if frame.masks is None:
            raise ClipError(f"{clip.folder}: frame {frame.stem} has no true masks; the demo compares with them")
        yield topics.IMAGE, "jpeg", _picture(clip.files[frame.index], frame.image, quality), stamp
        for part, mask in frame.masks.items():
            yield topics.truth(part), "png", png(mask), stamp


def _picture(file: Path, rgb: NDArray[np.uint8], quality: int) -> bytes:
    if quality == AS_IT_IS and file.suffix.lower() in (".jpg", ".jpeg"):
        return file.read_bytes()
    return jpeg(rgb, quality or 95)


def jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG file of an image, uint8 (H, W, 3)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def png(mask: NDArray[np.bool_]) -> bytes:
    """PNG file, mono8 0 or 255, of a mask, bool (H, W)."""
    pixels = mask.astype(np.uint8) * np.uint8(255)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: list[str] | None = None) -> int:
    """Command line: see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m robotseg_ros.demo.make_bag", description=__doc__)
    parser.add_argument("clip", type=Path, help="folder of a clip in VRS layout: ROOT, or ROOT/image/CLIP")
    parser.add_argument("bag", type=Path, help="folder of the new bag")
    parser.add_argument("--frames", type=int, help="how many frames, from the first (default: all)")
    parser.add_argument("--fps", type=float, default=FPS, help="frames per second of the stamps (default: 15)")
    parser.add_argument("--max-mb", type=float, default=8.0, help="upper limit of the bag's size (default: 8)")
    args = parser.parse_args(arguments)
    try:
        made = make_bag(open_folder(args.clip), args.bag, math.floor(args.max_mb * 1e6), args.fps, args.frames)
    except (ClipError, ValueError) as error:
        print(f"make_bag: {error}", file=sys.stderr)
        return 1
    quality = f"quality {made.quality}" if made.quality else "files as they are"
    print(f"{made.path}: {made.frames} frames, {made.size / 1e6:.2f} MB, JPEG {quality}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
