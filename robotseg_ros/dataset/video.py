"""Video files as clips, and the writer of overlay and mask videos, both through OpenCV's FFmpeg."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from .clip import BadFrame, BadFrames, ClipError, Frame, OnBad

if TYPE_CHECKING:
    from typing_extensions import Self

VIDEO_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".avi",
    ".mov",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ogv",
    ".ts",
    ".wmv",
    ".gif",
)
_FALLBACK_FPS = 30.0
_STDERR_LOCK = threading.Lock()


def _open(path: Path) -> cv2.VideoCapture:
    """Opened capture that turns frames upright by the file's rotation tag; raises ClipError."""
    if not path.is_file():
        raise ClipError(f"{path}: no such file")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        size = path.stat().st_size
        raise ClipError(
            f"{path}: cannot be opened as a video ({size} bytes); it may be cut off (an MP4 whose recording "
            f"was interrupted has no index) or of another type; accepted are {', '.join(VIDEO_SUFFIXES)}"
        )
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


class VideoClip:
    """A video file as a clip; raises ClipError for a missing file, no video, or none of its frames readable.

    A file that ends before the number of frames its index promises counts as one bad frame at that place.
    """

    def __init__(self, path: Path, *, on_bad: OnBad = "raise") -> None:
        capture = _open(path)
        try:
            fps = float(capture.get(cv2.CAP_PROP_FPS))
            self._count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        finally:
            capture.release()
        self.path = path
        self.name = path.stem
        self.fps = fps if np.isfinite(fps) and 0 < fps <= 1000 else _FALLBACK_FPS
        self.on_bad: OnBad = on_bad
        self._bad = BadFrames(str(path), on_bad)

    @property
    def skipped(self) -> list[BadFrame]:
        """What the latest pass could not read."""
        return self._bad.found

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[Frame]:
        """The frames of a range, as `Clip.frames` says; earlier ones are passed over unconverted."""
        bad = self._bad = BadFrames(str(self.path), self.on_bad)
        capture = _open(self.path)
        index, stamp = 0, -1
        try:
            while count is None or index < start + count:
                if not capture.grab():
                    self._check_end(index, bad)
                    break
                stamp = self._stamp(capture, index, stamp)
                if index >= start:
                    yield Frame(index, stamp, _retrieve(capture, self.path))
                index += 1
        finally:
            capture.release()

    def _stamp(self, capture: cv2.VideoCapture, index: int, previous: int) -> int:
        """Nanoseconds since the start; from the frame rate where the container's times do not move on."""
        stamp = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamp if stamp > previous else max(previous + 1, round(index * 1e9 / self.fps))

    def _check_end(self, read: int, bad: BadFrames) -> None:
        """Reports a video that ended early. Indices are often one or two frames off; that is no error."""
        if read == 0:
            raise ClipError(f"{self.path}: no frame of this video can be decoded")
        if read < self._count - max(2, self._count // 100):
            bad.add(read, f"the video ends or breaks here, after {read} of {self._count} frames")


def _retrieve(capture: cv2.VideoCapture, path: Path) -> NDArray[np.uint8]:
    """The grabbed frame as RGB."""
    ok, bgr = capture.retrieve()
    if not ok:
        raise ClipError(f"{path}: a frame was found but cannot be converted")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Sends file descriptor 2 elsewhere for a moment: Python cannot stop what FFmpeg's libraries print."""
    with _STDERR_LOCK, tempfile.TemporaryFile() as sink:
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _writer(path: Path, codec: str, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    return cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)


@lru_cache(maxsize=1)
def mp4_codec() -> str:
    """`avc1` (H.264, which browsers play) where this OpenCV can encode it, else `mp4v`."""
    with tempfile.TemporaryDirectory() as folder, _quiet_stderr():
        writer = _writer(Path(folder, "probe.mp4"), "avc1", 10.0, (64, 64))
        usable = writer.isOpened()
        writer.release()
    return "avc1" if usable else "mp4v"


class VideoWriter:
    """Writes RGB or grey frames to a video: `.mp4` for looking at, `.mkv` (FFV1) where no value may change.

    The first frame sets the size; later frames of another size are scaled to it. Codecs need even sides, so
    an odd picture gets its last row or column twice. `close` (or leaving the `with` block) finishes the file.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix not in (".mp4", ".mkv"):
            raise ValueError(f"{path}: a video is written as .mp4 or .mkv (lossless), not {path.suffix!r}")
        self.path, self.fps = path, fps
        self._codec = "FFV1" if path.suffix == ".mkv" else mp4_codec()
        self._size: tuple[int, int] | None = None
        self._video: cv2.VideoWriter | None = None

    def write(self, image: NDArray[np.uint8]) -> None:
        """Appends a frame, uint8 (H, W, 3) RGB or (H, W); raises OSError when the file cannot be opened."""
        height, width = image.shape[:2]
        if self._size is None:
            self._size = (width, height)
            self._video = _writer(self.path, self._codec, self.fps, (width + width % 2, height + height % 2))
        if self._video is None or not self._video.isOpened():
            raise OSError(f"{self.path}: cannot be opened for writing with codec {self._codec}")
        if (width, height) != self._size:
            exact = cv2.INTER_NEAREST if self._codec == "FFV1" else cv2.INTER_AREA
            image = np.asarray(cv2.resize(image, self._size, interpolation=exact), np.uint8)
        self._video.write(_even_bgr(image))

    def close(self) -> None:
        """Finishes the file; nothing can be written any more."""
        if self._video is not None:
            self._video.release()
            self._video = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _even_bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR picture with even sides."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.ndim == 3 else cv2.COLOR_GRAY2BGR)
    height, width = bgr.shape[:2]
    return np.asarray(cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
