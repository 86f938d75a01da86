"""A round of the inference thread: the newest image of every camera that has one, through the network together."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from ..streaming import step_together
from .camera_stream import Arrival, CameraStream, Frame


def segment(waiting: Sequence[tuple[CameraStream, Arrival]]) -> None:
    """Segments and publishes a round; images of cameras with the same model are one batch of the network."""
    by_network: dict[int, list[tuple[CameraStream, Arrival]]] = {}
    for stream, arrival in waiting:
        by_network.setdefault(id(stream.segmenter.network), []).append((stream, arrival))
    for same in by_network.values():
        frames = [(stream, frame) for stream, arrival in same if (frame := stream.prepare(arrival)) is not None]
        if frames:
            _segment(frames)


def _segment(frames: Sequence[tuple[CameraStream, Frame]]) -> None:
    """An exception costs a camera this image and its memory, and concerns no other camera."""
    try:
        results = step_together(
            [stream.segmenter for stream, _ in frames],
            [frame.rgb for _, frame in frames],
            [frame.stamp for _, frame in frames],
        )
    except Exception:
        if len(frames) == 1:
            frames[0][0].fail(f"segmentation failed:\n{traceback.format_exc()}")
        else:
            for alone in frames:
                _segment([alone])
        return
    for (stream, frame), result in zip(frames, results, strict=True):
        try:
            stream.publish(frame, result, len(frames))
        except Exception:
            stream.fail(f"publishing failed:\n{traceback.format_exc()}")
