"""The demo's pictures: the node's overlays as a video, and a sheet of frames with true outlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader

from ..dataset.bags import BagClip, header_stamp, list_topics
from ..dataset.clip import Frame
from ..dataset.video import VideoWriter
from ..drawing import caption
from ..evaluation.measures import boundary
from ..evaluation.sequence import Masks, SequenceScores
from . import topics

Rgb = NDArray[np.uint8]

COLUMNS, ROWS = 4, 3
TILE_WIDTH = 480
OUTLINE = (255, 255, 255)


def draw(clip: BagClip, recording: Path, scores: SequenceScores, out: Path) -> None:
    """Write overlay.mp4 and overlay.png into `out`.

    The video has a frame for every image that was played, with the overlay that a viewer saw then: where
    the node made none (frame dropped) the one before stays, and before the first the bare image is shown. The
    sheet shows frames that have an overlay, evenly spread.
    """
    chosen = _spread(_overlay_stamps(recording), COLUMNS * ROWS)
    tiles: list[Rgb] = []
    shown: Rgb | None = None
    with VideoWriter(out / "overlay.mp4", clip.fps) as video:
        for frame, drawn in in_step(clip, recording):
            shown = drawn if drawn is not None else shown
            video.write(frame.image if shown is None else shown)
            if drawn is not None and frame.stamp_ns in chosen:
                tiles.append(tile(drawn, frame, _caption(frame, scores)))
    if tiles:
        picture = cv2.cvtColor(contact_sheet(tiles), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(out / "overlay.png"), picture)


def in_step(clip: BagClip, recording: Path) -> Iterator[tuple[Frame, Rgb | None]]:
    """Frames of the played bag with the overlay of the same stamp, or None; both are in order of time."""
    overlays = _overlays(recording)
    coming = next(overlays, None)
    for frame in clip:
        while coming is not None and coming.stamp_ns < frame.stamp_ns:
            coming = next(overlays, None)
        fits = coming is not None and coming.stamp_ns == frame.stamp_ns
        yield frame, coming.image if coming is not None and fits else None


def _spread(stamps: list[int], count: int) -> set[int]:
    """About `count` of the stamps, evenly spread."""
    if not stamps:
        return set()
    places = np.linspace(0, len(stamps) - 1, count).round().astype(int)
    return {stamps[place] for place in places}


def _overlay_stamps(recording: Path) -> list[int]:
    with Reader(recording) as reader:
        chosen = [connection for connection in reader.connections if connection.topic == topics.OVERLAY]
        return [header_stamp(bytes(cdr)) for _, _, cdr in (reader.messages(chosen) if chosen else ())]


def _overlays(recording: Path) -> Iterator[Frame]:
    counts = {topic.name: topic.count for topic in list_topics(recording)}
    if counts.get(topics.OVERLAY, 0):
        yield from BagClip(recording, topics.OVERLAY)


def tile(overlay: Rgb, frame: Frame, text: str) -> Rgb:
    """One picture of the sheet: the overlay with the outlines of the true masks and a caption, scaled."""
    picture = overlay.copy()
    for edge in _outlines(frame.masks or {}):
        picture[edge] = OUTLINE
    height = round(picture.shape[0] * TILE_WIDTH / picture.shape[1])
    picture = np.asarray(cv2.resize(picture, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    caption(picture, text, (8, 18), 0.5)
    return picture


def _outlines(masks: Masks) -> Iterator[NDArray[np.bool_]]:
    for mask in masks.values():
        yield boundary(mask)


def _caption(frame: Frame, scores: SequenceScores) -> str:
    by_part: Mapping[str, float] = {
        part: score.j
        for part, all_scores in scores.parts.items()
        for score in all_scores.frames
        if score.stamp == frame.stamp_ns
    }
    return " ".join([f"frame {frame.index}", *(f"{part} J {100 * j:.0f}" for part, j in by_part.items())])


def contact_sheet(tiles: list[Rgb], columns: int = COLUMNS) -> Rgb:
    """Pictures of one size side by side, row by row; black where the last row has none."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for place, picture in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return sheet
