"""How steady masks are, where nobody knows the truth: what is measured needs the images and the masks alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .measures import jaccard

FLOW_WIDTH = 320
AREA_JUMP = 1.5  # areas of consecutive masks that differ by more than this factor
DIP = 4.0  # logits that the object score falls below its running median


@dataclass
class Steadiness:
    """Of one part over a clip. iou: of each mask with the one before, moved as the image moved (nan for the first frame and
    where both are empty). flicker: changes between there and not there. area_jumps: frames whose mask grew or shrank by
    more than half again. score_dips: frames whose object score fell far below its usual value."""

    iou: list[float] = field(default_factory=list)
    flicker: int = 0
    area_jumps: int = 0
    score_dips: int = 0

    def as_dict(self) -> dict[str, float]:
        """Means and counts for reports; nan where there is nothing to say."""
        known = [value for value in self.iou if not np.isnan(value)]
        mean, low = (float(np.mean(known)), float(np.quantile(known, 0.05))) if known else (float("nan"),) * 2
        counts = {"flicker": self.flicker, "area_jumps": self.area_jumps, "score_dips": self.score_dips}
        return {"iou": mean, "iou_p5": low, **counts}


class StabilityMeter:
    """Takes a clip's frames in order; motion between them is dense optical flow (DIS, Kroeger et al. 2016)."""

    def __init__(self) -> None:
        self.parts: dict[str, Steadiness] = {}
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._grey: NDArray[np.uint8] | None = None
        self._masks: dict[str, NDArray[np.bool_]] = {}
        self._scores: dict[str, list[float]] = {}

    def add(
        self, rgb: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_]], scores: Mapping[str, float]
    ) -> dict[str, float]:
        """The next frame, uint8 (H, W, 3), its masks and object scores (logits). Returns each part's IoU with the last."""
        grey = _small_grey(rgb)
        comes_from = self._origin(grey)
        small = {part: _resized(mask, grey.shape) for part, mask in masks.items()}
        found = {}
        for part, mask in small.items():
            steadiness = self.parts.setdefault(part, Steadiness())
            before = self._masks.get(part)
            found[part] = _moved_iou(before, mask, comes_from)
            steadiness.iou.append(found[part])
            if before is not None:
                self._count(steadiness, float(before.mean()), float(mask.mean()))
            if part in scores:
                steadiness.score_dips += self._dips(part, scores[part])
        self._grey, self._masks = grey, small
        return found

    def _origin(self, grey: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Where each pixel (x, y) was in the frame before; None without one of this size."""
        if self._grey is None or self._grey.shape != grey.shape:
            return None
        flow = self._flow.calc(grey, self._grey, None)
        rows, columns = np.indices(grey.shape, np.float32)
        return (flow + np.stack([columns, rows], -1)).astype(np.float32)

    @staticmethod
    def _count(steadiness: Steadiness, before: float, now: float) -> None:
        steadiness.flicker += (before > 0) != (now > 0)
        if before > 0 and now > 0:
            steadiness.area_jumps += max(before / now, now / before) > AREA_JUMP

    def _dips(self, part: str, score: float) -> bool:
        history = self._scores.setdefault(part, [])
        dips = len(history) >= 5 and score < float(np.median(history[-30:])) - DIP
        history.append(score)
        return dips


def _small_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    scale = min(1.0, FLOW_WIDTH / width)
    size = max(16, round(width * scale)), max(16, round(height * scale))
    return np.asarray(cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.uint8)


def _resized(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return cv2.resize(mask.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST) > 0


def _moved_iou(
    before: NDArray[np.bool_] | None, now: NDArray[np.bool_], comes_from: NDArray[np.float32] | None
) -> float:
    """IoU of a mask with the former one moved along; nan where either is unknown or both are empty."""
    if before is None or comes_from is None or not (before.any() or now.any()):
        return float("nan")
    moved = cv2.remap(before.astype(np.uint8), comes_from, None, cv2.INTER_NEAREST)
    inside = ((comes_from >= 0) & (comes_from < before.shape[::-1])).all(-1)  # what came into view has no past
    return jaccard(moved.astype(bool) & inside, now & inside)
