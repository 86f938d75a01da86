"""What a result was made from, as a short text that changes with it: stale results are told by it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..dataset.bags import BagClip
from ..dataset.clip import Clip
from ..dataset.folders import FolderClip
from ..dataset.truth import TruthClip


def stamp(paths: Iterable[Path]) -> str:
    """Of paths, sizes and times of change of all these files, and of those in folders."""
    told = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path.expanduser()]:
            facts = file.stat() if file.is_file() else None
            told.update(f"{file.resolve()} {facts and (facts.st_size, facts.st_mtime_ns)}\n".encode())
    return told.hexdigest()[:16]


def clip_stamp(clip: Clip) -> str:
    """Of a clip's files, those of its true masks too."""
    topics = sorted(clip.truth.items()) if isinstance(clip, BagClip) else ()
    return f"{clip.name} {len(clip)} {topics} {stamp(_files(clip))}"


def _files(clip: Clip) -> Iterator[Path]:
    if isinstance(clip, TruthClip):
        yield from _files(clip.clip)
    if isinstance(clip, FolderClip):
        yield from clip.files
    if isinstance(clip, (FolderClip, TruthClip)):
        frames = clip.masks.all() if clip.masks is not None else {}
        yield from (file for files in frames.values() for file in files.values())
    elif (path := getattr(clip, "path", None)) is not None:
        yield path
