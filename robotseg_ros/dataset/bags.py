"""ROS 2 bags (mcap, sqlite3) read and written without ROS: topics, images as clips, a writer."""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from ..imaging import ImageError, decode_compressed, decode_raw
from .clip import BadFrame, BadFrames, ClipError, Frame, OnBad
from .cut_bags import surviving_topics

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

STORAGE_SUFFIXES = (".mcap", ".db3")
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW, COMPRESSED)
_FALLBACK_FPS = 30.0
_FPS_SAMPLE = 30
_JOIN_WINDOW = 120


class BagError(ClipError):
    """A bag that cannot be used; the message names it, what is wrong and, where it helps, its topics."""


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its name, message type (`package/msg/Type`) and number of messages."""

    name: str
    type: str
    count: int


@lru_cache(maxsize=1)
def _types() -> Typestore:
    """Message types. Those of images are the same in every distribution, so a bag's own are not needed."""
    return get_typestore(Stores.ROS2_JAZZY)


def is_bag(path: Path) -> bool:
    """True for a storage file (.mcap, .db3) and a folder that has one or a bag's metadata.yaml."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(_storage_files(path))
    return path.suffix in STORAGE_SUFFIXES


def _storage_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in STORAGE_SUFFIXES and path.is_file())


def _reading_error(path: Path, error: BaseException) -> BagError:
    reason = str(error).rstrip(".") or type(error).__name__
    topics = [f"\n  {name}  {kind}" for name, kind in surviving_topics(path)]
    return BagError(
        f"{path}: not readable as a ROS 2 bag: {reason}. If the recorder was "
        "killed or the copy was cut off, `ros2 bag reindex` or `mcap recover` may mend it; accepted are bags "
        f"in mcap or sqlite3 storage. {'The topics that it still tells of:' if topics else ''}{''.join(topics)}".rstrip()
    )


def _readers(path: Path) -> list[Reader]:
    """Unopened readers of a bag; a folder without metadata (its recorder was killed) is read file by file."""
    paths = storage_paths(path)
    if paths != [path]:
        logger.warning("%s: metadata.yaml is missing; reading its storage files one by one", path)
    return [Reader(file) for file in paths]


@contextmanager
def _opened(path: Path) -> Iterator[list[Reader]]:
    """Open readers of a bag; raises BagError."""
    if not path.exists():
        raise BagError(f"{path}: no such bag")
    with ExitStack() as stack:
        try:
            readers = [stack.enter_context(reader) for reader in _readers(path)]
        except BagError:
            raise
        # rosbags lets struct, type, key, codec and sqlite errors of damaged files through.
        except Exception as error:
            raise _reading_error(path, error) from error
        yield readers


def list_topics(path: Path) -> list[Topic]:
    """Topics of a bag, sorted by name; raises BagError."""
    counts: dict[tuple[str, str], int] = {}
    with _opened(Path(path)) as readers:
        for reader in readers:
            for link in reader.connections:
                counts[link.topic, link.msgtype] = counts.get((link.topic, link.msgtype), 0) + link.msgcount
    return [Topic(name, kind, count) for (name, kind), count in sorted(counts.items())]


def messages(path: Path, topics: Sequence[Topic] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
    """Connection (topic, type), time of recording (ns) and bytes of all messages of these topics (None: of all), file after
    file. Raises BagError."""
    wanted = {(topic.name, topic.type) for topic in topics} if topics is not None else None
    with _opened(path) as readers:
        stream = _merged(readers, wanted)
        while True:
            try:
                item = next(stream, None)
            # As in _opened: damaged storage ends in errors of many kinds.
            except Exception as error:
                raise _reading_error(path, error) from error
            if item is None:
                return
            yield item


def storage_paths(path: Path) -> list[Path]:
    """What rosbags opens for a bag: itself, or where metadata.yaml is missing, its storage files. Raises BagError."""
    if not path.is_dir() or (path / "metadata.yaml").is_file():
        return [path]
    files = _storage_files(path)
    if not files:
        raise BagError(f"{path}: no bag: neither metadata.yaml nor a .mcap or .db3 file is in this folder")
    return files


def _listed(topics: Sequence[Topic]) -> str:
    lines = [f"\n  {topic.name}  {topic.type}  ({topic.count} messages)" for topic in topics]
    return "".join(lines) or " none"


def choose_topic(path: Path, topics: Sequence[Topic], wanted: str | None) -> Topic:
    """The image topic to read: `wanted`, or the only one (of a raw topic and its compressed twin: raw).

    Raises BagError that lists the topics when none fits, or several do, or `wanted` is no image or empty.
    """
    if wanted is not None:
        return named_topic(path, topics, wanted)
    images = [topic for topic in topics if topic.type in IMAGE_TYPES and topic.count]
    names = {topic.name for topic in images}
    images = [
        topic
        for topic in images
        if not topic.name.endswith("/compressedDepth")
        and topic.name.removesuffix("/compressed") not in names - {topic.name}
    ]
    if len(images) == 1:
        return images[0]
    if not images:
        raise BagError(f"{path}: has no images ({' or '.join(IMAGE_TYPES)}); its topics are:{_listed(topics)}")
    raise BagError(f"{path}: has several image topics; name the one to read:{_listed(images)}")


def named_topic(path: Path, topics: Sequence[Topic], wanted: str, empty: bool = False) -> Topic:
    """The image topic of that name, also without the first slash; empty: it may have no messages. Raises BagError that lists
    the topics."""
    name = wanted if wanted.startswith("/") else f"/{wanted}"
    found = [topic for topic in topics if topic.name == name]
    if not found:
        raise BagError(f"{path}: has no topic {name}; its topics are:{_listed(topics)}")
    images = [topic for topic in found if topic.type in IMAGE_TYPES]
    if not images:
        raise BagError(
            f"{path}: topic {name} is {found[0].type}, not {' or '.join(IMAGE_TYPES)}; its topics are:{_listed(topics)}"
        )
    if not images[0].count and not empty:
        raise BagError(f"{path}: topic {name} has no messages; its topics are:{_listed(topics)}")
    return images[0]


def header_stamp(cdr: bytes) -> int:
    """Nanoseconds of the stamp with which a serialised stamped message begins; 0 when it was not set."""
    if len(cdr) < 12:
        return 0
    sec, nanosec = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def header_frame_id(cdr: bytes) -> str:
    """The frame_id of the header with which a serialised stamped message begins; empty where it is cut."""
    if len(cdr) < 16:
        return ""
    (length,) = struct.unpack_from("<I" if cdr[1] & 1 else ">I", cdr, 12)
    return cdr[16 : 16 + max(0, length - 1)].decode("utf-8", "replace")  # a zero ends the text


def decode_image(msgtype: str, cdr: bytes) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3), writable, of a serialised Image or CompressedImage; raises ClipError."""
    try:
        message: Any = _types().deserialize_cdr(cdr, msgtype)
    # A cut message ends the decoder in whatever field it reaches: struct, index, Unicode or assertion errors.
    except Exception as error:
        raise ClipError(f"message of {len(cdr)} bytes is no whole {msgtype}: {error!r}") from error
    try:
        if msgtype == RAW:
            image = decode_raw(
                message.data,
                message.height,
                message.width,
                message.encoding,
                message.step,
                bool(message.is_bigendian),
            )
        else:
            image = decode_compressed(message.data, message.format)
    except ImageError as error:
        raise ClipError(str(error)) from error
    return np.ascontiguousarray(image) if image.flags.writeable else np.array(image)


@dataclass
class _Pending:
    """A frame that waits for its true masks."""

    index: int
    stamp: int
    cdr: bytes


class BagClip:
    """Images of one topic of a bag as a clip, with true masks from other topics of it where they are named.

    `truth` maps parts to image topics whose messages carry the stamp of the frame they belong to (every
    non-zero pixel is part of the mask). A frame's stamp is its header's, or the time of recording
    when that is zero. Raises BagError for an unusable bag or topic, at reading ClipError as `on_bad` says.
    """

    def __init__(
        self,
        path: Path | str,
        topic: str | None = None,
        *,
        truth: Mapping[str, str] | None = None,
        on_bad: OnBad = "raise",
    ) -> None:
        self.path = Path(path)
        topics = list_topics(self.path)
        self.topic = choose_topic(self.path, topics, topic)
        self.truth = {part: named_topic(self.path, topics, name) for part, name in (truth or {}).items()}
        self.name = self.path.stem if self.path.suffix in STORAGE_SUFFIXES else self.path.resolve().name
        self.on_bad: OnBad = on_bad
        self._bad = BadFrames(f"{self.path} {self.topic.name}", on_bad)
        self.fps = self._measured_fps()

    @property
    def skipped(self) -> list[BadFrame]:
        """Frames left out by the latest pass."""
        return self._bad.found

    def __len__(self) -> int:
        return self.topic.count

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[Frame]:
        """The readable frames of a range, as `Clip.frames` says; images before it are not decoded."""
        bad = self._bad = BadFrames(f"{self.path} {self.topic.name}", self.on_bad)
        good, unmatched = 0, set(self.truth)
        for pending, masks in self._joined(bad):
            unmatched -= set(masks)
            if pending.index < start:
                continue
            if count is not None and pending.index >= start + count:
                return
            frame = bad.read(pending.index, partial(self._frame, pending, masks))
            if frame is not None:
                good += 1
                yield frame
        bad.require_good(good)
        for part in unmatched:  # seen only in a pass to the end
            raise ClipError(
                f"{self.path}: no message of {self.truth[part].name} has the stamp of an image on {self.topic.name}; true "
                "masks carry the stamps of the images that they belong to"
            )

    def _frame(self, pending: _Pending, masks: Mapping[str, bytes]) -> Frame:
        image = decode_image(self.topic.type, pending.cdr)
        decoded: dict[str, NDArray[np.bool_]] = {}
        for part, cdr in masks.items():
            topic = self.truth[part]
            decoded[part] = np.asarray(decode_image(topic.type, cdr).any(axis=2))
            if decoded[part].shape != image.shape[:2]:
                height, width = decoded[part].shape
                raise ClipError(
                    f"the mask in {topic.name} is {width}x{height}, its image "
                    f"{image.shape[1]}x{image.shape[0]}; they must have the same size"
                )
        return Frame(pending.index, pending.stamp, image, decoded or None)

    def _joined(self, bad: BadFrames) -> Iterator[tuple[_Pending, dict[str, bytes]]]:
        """Serialised frames in order with their masks, which may be recorded a little before or after."""
        waiting: deque[_Pending] = deque()
        masks: dict[int, dict[str, bytes]] = {}
        index = 0
        for topic, log_time, cdr in self._messages(bad):
            stamp = header_stamp(cdr) or log_time
            for part, source in self.truth.items():
                if topic == source.name:
                    masks.setdefault(stamp, {})[part] = cdr
            if topic == self.topic.name:
                waiting.append(_Pending(index, stamp, cdr))
                index += 1
            while waiting and (len(masks.get(waiting[0].stamp, ())) == len(self.truth) or len(waiting) > _JOIN_WINDOW):
                pending = waiting.popleft()
                yield pending, masks.pop(pending.stamp, {})
            while len(masks) > 2 * _JOIN_WINDOW:
                del masks[next(iter(masks))]
        for pending in waiting:
            yield pending, masks.pop(pending.stamp, {})

    def _messages(self, bad: BadFrames) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of recording (ns) and bytes of the wanted messages; broken storage ends the clip."""
        wanted = {(topic.name, topic.type) for topic in (self.topic, *self.truth.values())}
        read = 0
        with _opened(self.path) as readers:
            stream = _merged(readers, wanted)
            while True:
                try:
                    item = next(stream, None)
                # As in _opened: damaged storage ends in errors of many kinds.
                except Exception as error:
                    bad.add(read, str(_reading_error(self.path, error)))
                    return
                if item is None:
                    break
                read += item[0].topic == self.topic.name
                yield item[0].topic, *item[1:]
        # Damage that falls between messages goes unnoticed by the reader: count.
        if read < self.topic.count:
            bad.add(read, f"only {read} of the {self.topic.count} messages promised by the bag's index are there")

    def _measured_fps(self) -> float:
        """Median rate of the first stamps, so that a dropped frame does not change it."""
        stamps: list[int] = []
        for topic, log_time, cdr in self._messages(BadFrames(str(self.path), "skip")):
            if topic == self.topic.name:
                stamps.append(header_stamp(cdr) or log_time)
            if len(stamps) == _FPS_SAMPLE:
                break
        steps = np.diff(np.array(stamps))
        steps = steps[steps > 0]
        return float(np.clip(1e9 / np.median(steps), 0.1, 1000.0)) if steps.size else _FALLBACK_FPS


def _merged(readers: Sequence[Reader], wanted: set[tuple[str, str]] | None) -> Iterator[tuple[Connection, int, bytes]]:
    """Messages of the wanted (topic, type) pairs, file after file, as those of one bag follow each other."""
    for reader in readers:
        links = [link for link in reader.connections if wanted is None or (link.topic, link.msgtype) in wanted]
        if links:
            for link, log_time, cdr in reader.messages(connections=links):
                yield link, log_time, bytes(cdr)


class BagWriter:
    """Writes a bag that `ros2 bag`, rviz2 and Foxglove open; the folder must not exist yet.

    Messages come serialised (`write`, as raw subscriptions give them) or as arrays. Leaving the `with` block
    finishes the bag, after an error too, so that what was recorded stays readable. For one thread only.
    Raises BagError.
    """

    def __init__(self, path: Path | str, storage: Literal["mcap", "sqlite3"] = "mcap") -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f"{self.path}: exists already; a bag is only written to a new folder")
        # Version 8 is the newest whose metadata older distributions (Humble) read as well.
        self._writer = Writer(self.path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._links: dict[str, Connection] = {}
        self._writer.open()
        self._open = True

    def add_type(self, msgtype: str, definition: str) -> None:
        """Makes a type known that is not ROS's own: `package/msg/Name` and the text of its .msg file."""
        self._types.register(get_types_from_msg(definition, msgtype))

    def write(self, topic: str, msgtype: str, cdr: bytes, time_ns: int) -> None:
        """Appends a serialised message, recorded at `time_ns`; BagError for an unknown or changed type."""
        link = self._links.get(topic)
        if link is None:
            if msgtype not in self._types.types:
                raise BagError(f"{self.path}: type {msgtype} of {topic} is not known; give its definition to add_type")
            link = self._links[topic] = self._writer.add_connection(topic, msgtype, typestore=self._types)
        if link.msgtype != msgtype:
            raise BagError(f"{self.path}: {topic} is {link.msgtype} so far and cannot become {msgtype}")
        self._writer.write(link, time_ns, cdr)

    def copy(self, source: Connection, cdr: bytes, time_ns: int) -> None:
        """Appends a message of another bag's connection as it is, also of a type that is not known here."""
        link = self._links.get(source.topic)
        if link is None:
            link = self._links[source.topic] = self._writer.add_connection(
                source.topic, source.msgtype, msgdef=source.msgdef.data, rihs01=source.digest
            )
        self._writer.write(link, time_ns, cdr)

    def write_image(
        self, topic: str, image: NDArray[Any], stamp_ns: int, frame_id: str = "", time_ns: int | None = None
    ) -> None:
        """Appends an Image: rgb8 from uint8 (H, W, 3), mono8 from uint8 or bool (H, W) (0, 255)."""
        pixels = image.astype(np.uint8) * np.uint8(255) if image.dtype == np.bool_ else image
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
            raise ValueError(f"an image is uint8 (H, W, 3) or (H, W), or bool (H, W), not {image.dtype} {image.shape}")
        height, width = pixels.shape[:2]
        message = self._types.types[RAW](
            header=self._header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding="rgb8" if pixels.ndim == 3 else "mono8",
            is_bigendian=0,
            step=pixels.size // height if height else 0,
            data=np.ascontiguousarray(pixels).reshape(-1),
        )
        self._append(topic, RAW, message, stamp_ns if time_ns is None else time_ns)

    def write_compressed(
        self,
        topic: str,
        data: bytes,
        form: str,
        stamp_ns: int,
        frame_id: str = "",
        time_ns: int | None = None,
    ) -> None:
        """Appends a CompressedImage of the file bytes `data`; `form` is its format, `jpeg` or `png`."""
        message = self._types.types[COMPRESSED](
            header=self._header(stamp_ns, frame_id), format=form, data=np.frombuffer(data, np.uint8)
        )
        self._append(topic, COMPRESSED, message, stamp_ns if time_ns is None else time_ns)

    def _append(self, topic: str, msgtype: str, message: object, time_ns: int) -> None:
        self.write(topic, msgtype, bytes(self._types.serialize_cdr(message, msgtype)), time_ns)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        stamp = self._types.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
        return self._types.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)

    def close(self) -> None:
        """Writes index and metadata; a second call does nothing."""
        if self._open:
            self._open = False
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
