"""What can still be told of a bag that cannot be opened: a copy that was cut off, a recording that was killed."""

from __future__ import annotations

import importlib
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import yaml

MAGIC = b"\x89MCAP0\r\n"
CHUNK, SCHEMA, CHANNEL = 6, 3, 4
_CHUNK_HEAD = struct.Struct("<QQQI")


def surviving_topics(path: Path) -> list[tuple[str, str]]:
    """Names and types of the topics that a damaged bag still tells of, sorted: in its metadata.yaml, else in its storage.

    Never raises: what is damaged ends in errors of all kinds, and the damage itself has been reported already.
    """
    found: set[tuple[str, str]] = set()
    for told in (_in_metadata, _in_storage):
        try:
            found.update(told(path))
        except Exception:
            continue
        if found:
            break
    return sorted(found)


def _in_metadata(path: Path) -> Iterator[tuple[str, str]]:
    content = yaml.safe_load((path / "metadata.yaml").read_text("utf-8"))
    for entry in content["rosbag2_bagfile_information"]["topics_with_message_count"]:
        yield entry["topic_metadata"]["name"], entry["topic_metadata"]["type"]


def _in_storage(path: Path) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        told = {".mcap": _in_mcap, ".db3": _in_sqlite}.get(file.suffix)
        try:
            found.update(told(file) if told is not None else ())
        except Exception:
            continue
    return found


def _in_sqlite(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
        return database.execute("SELECT name, type FROM topics").fetchall()


def _in_mcap(file: Path) -> set[tuple[str, str]]:
    """Of all channels before the cut; a chunk that is not whole, or compressed in a way not known here, tells nothing."""
    types: dict[int, str] = {}
    channels: list[tuple[int, str]] = []
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return set()
        while len(head := stream.read(9)) == 9:
            kind, size = head[0], int.from_bytes(head[1:], "little")
            if kind not in (CHUNK, SCHEMA, CHANNEL):
                stream.seek(size, 1)
                continue
            content = stream.read(size)
            for inner, record in [(kind, content)] if kind != CHUNK else _in_chunk(content):
                if inner == SCHEMA:
                    types[_number(record, 0)] = _text(record, 2)
                elif inner == CHANNEL:
                    channels.append((_number(record, 2), _text(record, 4)))
    return {(topic, types.get(schema, "of unknown type")) for schema, topic in channels}


def _in_chunk(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Records of a chunk: 28 bytes of times and sizes, the compression's name, the length of what follows."""
    compression = _text(content, _CHUNK_HEAD.size)
    try:
        records = _expanded(content[_CHUNK_HEAD.size + 4 + len(compression) + 8 :], compression)
    except Exception:
        return
    place = 0
    while place + 9 <= len(records):
        end = place + 9 + int.from_bytes(records[place + 1 : place + 9], "little")
        if end > len(records):
            return
        yield records[place], records[place + 9 : end]
        place = end


def _expanded(records: bytes, compression: str) -> bytes:
    """Raises what its decompressor does. That of zstd comes with rosbags, by one of these names."""
    if compression == "lz4":
        import lz4.frame

        return bytes(lz4.frame.decompress(records))
    if compression == "zstd":
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        return bytes(importlib.import_module(name).decompress(records))
    return records


def _number(record: bytes, place: int) -> int:
    return int.from_bytes(record[place : place + 2], "little")


def _text(record: bytes, place: int) -> str:
    (length,) = struct.unpack_from("<I", record, place)
    return record[place + 4 : place + 4 + length].decode("utf-8")
