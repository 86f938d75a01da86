"""Masks as video streams of a LeRobot dataset (v3 layout), beside the camera that they belong to.

A camera `observation.images.front` gets `observation.images.front_robot_mask`: videos of the same names, frames and times,
white on black, the columns of meta/episodes that say where each episode lies in them, and the statistics in meta/stats.json
that training normalises with. Policy training loads it as one more camera.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..dataset.clip import ClipError
from ..dataset.video import VideoClip, VideoWriter, mp4_codec
from ..streaming import StreamSegmenter

QUANTILES = (1, 10, 50, 90, 99)  # percent; some policies normalise by them
COLUMNS = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


class LeRobotDataset:
    """The meta data of a dataset. Raises ClipError for a folder that is none, or of another version."""

    def __init__(self, root: Path):
        self.root = root
        path = root / "meta" / "info.json"
        if not path.is_file():
            raise ClipError(f"{root}: no LeRobot dataset (meta/info.json is missing)")
        self.info: dict[str, Any] = json.loads(path.read_text("utf-8"))
        version = str(self.info.get("codebase_version"))
        if not version.startswith("v3"):
            raise ClipError(f"{root}: LeRobot dataset of version {version}; convert it to v3.0 first")
        self.fps = float(self.info["fps"])

    @property
    def cameras(self) -> list[str]:
        """Keys of the video features that are no masks."""
        features = self.info["features"].items()
        return [key for key, entry in features if entry.get("dtype") == "video" and not key.endswith("_mask")]

    def video(self, key: str, chunk: int, file: int) -> Path:
        """Path of a video file."""
        return self.root / self.info["video_path"].format(video_key=key, chunk_index=chunk, file_index=file)

    def tables(self) -> list[tuple[Path, Any]]:
        """The episodes' tables. Raises ImportError without pyarrow."""
        from pyarrow import parquet

        return [
            (path, parquet.read_table(path)) for path in sorted((self.root / "meta" / "episodes").rglob("*.parquet"))
        ]

    def starts(self, camera: str) -> dict[tuple[int, int], list[int]]:
        """The first frames of the episodes in each video (chunk, file) of a camera."""
        found: dict[tuple[int, int], list[int]] = {}
        for _, table in self.tables():
            columns = [table[f"videos/{camera}/{name}"].to_pylist() for name in COLUMNS[:3]]
            for chunk, file, begins in zip(*columns, strict=True):
                found.setdefault((int(chunk), int(file)), []).append(round(float(begins) * self.fps))
        return {place: sorted(frames) for place, frames in found.items()}

    def add_stream(self, camera: str, key: str) -> None:
        """Makes the videos of `key`, which lie as those of `camera` do, part of the dataset; twice is as once."""
        from pyarrow import parquet

        for path, table in self.tables():
            for name in COLUMNS:
                column = f"videos/{key}/{name}"
                if column in table.column_names:
                    table = table.drop_columns([column])
                table = table.append_column(column, table[f"videos/{camera}/{name}"])
            partial = path.with_suffix(".partial")
            parquet.write_table(table, partial)
            os.replace(partial, path)
        self._write_statistics(key, self.starts(camera))
        feature = json.loads(json.dumps(self.info["features"][camera]))
        feature.setdefault("info", {})["video.codec"] = "h264" if mp4_codec() == "avc1" else "mpeg4"
        self.info["features"][key] = feature
        self._write_meta("info.json", self.info)

    def _write_statistics(self, key: str, videos: Iterable[tuple[int, int]]) -> None:
        """Training looks up the statistics of every camera, and fails without."""
        path = self.root / "meta" / "stats.json"
        known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        known[key] = statistics(self.video(key, *place) for place in videos)
        self._write_meta("stats.json", known)

    def _write_meta(self, name: str, content: dict[str, Any]) -> None:
        partial = self.root / "meta" / f"{name}.partial"
        partial.write_text(json.dumps(content, indent=4), "utf-8")
        os.replace(partial, self.root / "meta" / name)


def statistics(videos: Iterable[Path]) -> dict[str, Any]:
    """Of all pixels, as LeRobot has them: min, max, mean, std and quantiles (q01 to q99) of each channel in 0..1, (3, 1, 1);
    the count of frames."""
    count, values = 0, np.arange(256) / 255.0
    seen = np.zeros((3, 256), np.int64)  # pixels of each channel and value: all figures follow from these
    for video in videos:
        for frame in VideoClip(video):
            count += 1
            seen += [np.bincount(frame.image[..., channel].reshape(-1), minlength=256) for channel in range(3)]
    total = seen.sum(axis=1, keepdims=True)
    share = seen / np.maximum(1, total)
    mean = share @ values
    figures = {"mean": mean, "std": np.sqrt(np.maximum(0.0, share @ values**2 - mean**2))}
    figures["min"], figures["max"] = values[(seen > 0).argmax(axis=1)], values[255 - (seen > 0)[:, ::-1].argmax(axis=1)]
    for percent in QUANTILES:
        figures[f"q{percent:02d}"] = values[(100 * seen.cumsum(axis=1) < percent * total).sum(axis=1).clip(max=255)]
    return {name: figure.reshape(3, 1, 1).tolist() for name, figure in figures.items()} | {"count": [count]}


def add_masks(
    dataset: LeRobotDataset, stream: StreamSegmenter, cameras: Sequence[str] | None = None, force: bool = False
) -> list[str]:
    """Segments the videos of the cameras (None: all), each episode as a stream of its own, and adds a mask stream for each
    part of `stream`. Videos that are there are kept unless `force`. Returns the new keys. Raises ClipError.
    """
    added = []
    for camera in cameras or dataset.cameras:
        if camera not in dataset.cameras:
            raise ClipError(f"{dataset.root}: no camera {camera!r}; there are: {', '.join(dataset.cameras) or 'none'}")
        keys = {part: f"{camera}_{part}_mask" for part in stream.parts}
        for (chunk, file), starts in tqdm(dataset.starts(camera).items(), desc=camera, unit="video"):
            targets = {part: dataset.video(key, chunk, file) for part, key in keys.items()}
            if force or not all(path.is_file() for path in targets.values()):
                _segment_video(dataset.video(camera, chunk, file), dataset.fps, set(starts), stream, targets)
        for key in keys.values():
            dataset.add_stream(camera, key)
            added.append(key)
    return added


def _segment_video(
    source: Path, fps: float, starts: set[int], stream: StreamSegmenter, targets: dict[str, Path]
) -> None:
    """Mask videos of one video file, moved to their places when all frames are written."""
    partial = {part: path.with_name(f".partial-{path.name}") for part, path in targets.items()}
    for path in targets.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    writers = {part: VideoWriter(path, fps) for part, path in partial.items()}
    try:
        for frame in VideoClip(source):
            if frame.index in starts or frame.index == 0:
                stream.reset()
            for part, mask in stream.step(frame.image).masks.items():
                writers[part].write(np.repeat(mask[..., None].astype(np.uint8) * np.uint8(255), 3, axis=2))
    finally:
        for writer in writers.values():
            writer.close()
    for part, path in targets.items():
        os.replace(partial[part], path)
