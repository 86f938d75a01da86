"""Frames to look at: a clip's best and worst, with the outlines of true and predicted masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import Frame
from ..drawing import PART_COLORS, caption

WIDTH = 480
TRUE_COLOUR = (255, 255, 255)


def outlined(
    frame: Frame, masks: Mapping[str, NDArray[np.bool_]], parts: Sequence[str], width: int = WIDTH
) -> NDArray[np.uint8]:
    """The frame, uint8 (h, `width`, 3): predicted masks tinted and outlined in their colours, true ones outlined white."""
    scale = width / frame.image.shape[1]
    size = width, max(1, round(frame.image.shape[0] * scale))
    view = np.array(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    made = [part for part in parts if part in masks]  # a dropped frame has none
    for part in made:
        mask = _resized(masks[part], size)
        colour = np.array(PART_COLORS[part])
        view[mask] = (0.65 * view[mask] + 0.35 * colour).astype(np.uint8)
    for part in made:
        _outline(view, _resized(masks[part], size), PART_COLORS[part], 2)
    for part in parts:
        if frame.masks is not None and part in frame.masks:
            _outline(view, _resized(frame.masks[part], size), TRUE_COLOUR, 1)
    return view


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def _outline(view: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int], thickness: int) -> None:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(view, found, -1, colour, thickness)


class Extremes:
    """Keeps the best and the worst frame of a clip as JPEGs: by mean J over the parts, or where there is no truth, by how
    well the masks follow the motion."""

    def __init__(self, parts: Sequence[str]):
        self._parts = tuple(parts)
        self._kept: dict[str, tuple[float, bytes]] = {}

    def add(
        self, frame: Frame, masks: Mapping[str, NDArray[np.bool_]], scores: Mapping[str, tuple[float, float]]
    ) -> None:
        """The next frame; scores: J and steadiness by part, nan where not known."""
        for kind in (0, 1):
            known = [pair[kind] for pair in scores.values() if not math.isnan(pair[kind])]
            if known:
                self._offer(float(np.mean(known)), frame, masks)
                return

    def _offer(self, score: float, frame: Frame, masks: Mapping[str, NDArray[np.bool_]]) -> None:
        better = {
            name
            for name, wins in (("worst", score < self._score("worst", 2.0)), ("best", score > self._score("best", -1)))
            if wins
        }
        if better:
            view = cv2.cvtColor(outlined(frame, masks, self._parts), cv2.COLOR_RGB2BGR)
            caption(view, f"{frame.stem}  {100 * score:.0f}", (6, 16), 0.5)
            coded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
            self._kept |= dict.fromkeys(better, (score, coded))

    def _score(self, name: str, otherwise: float) -> float:
        return self._kept[name][0] if name in self._kept else otherwise

    def write(self, stem: Path) -> None:
        """`<stem>-best.jpg` and `<stem>-worst.jpg`."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        for name, (_, coded) in self._kept.items():
            stem.with_name(f"{stem.name}-{name}.jpg").write_bytes(coded)
