"""Where masks that are evaluated come from: a model, SAM 2.1, or a folder that any other system has written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import PART_FOLDERS, ClipError
from ..dataset.images import read_mask
from .protocol import Segmenter


class Source(Protocol):
    """What is evaluated. It is handed to other processes before it is opened there."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str:
        """Changes where results would."""

    def open(self, device: str) -> Callable[[str, Sequence[str]], Segmenter]:
        """Loads what it needs; the answer makes a fresh stream for a clip and parts. Raises ValueError."""


@dataclass(frozen=True)
class ModelSource:
    """A model of this package, as the product runs it."""

    model: str = "robotseg_nano"
    checkpoint: str | None = None
    adapter: str | None = None
    precision: str = "float32"

    @property
    def name(self) -> str:
        return self.model

    @property
    def key(self) -> str:
        from ..model import model_info

        files = [self.checkpoint or model_info(self.model).checkpoint, self.adapter]
        return f"{self.model} {self.precision} " + " ".join(_stamp(file) for file in files if file)

    def open(self, device: str) -> Callable[[str, Sequence[str]], Segmenter]:
        from ..model import load_model
        from ..runtime import prepare, select_device
        from ..streaming import StreamSegmenter

        network = prepare(
            load_model(self.model, self.checkpoint, select_device(device), adapter=self.adapter), self.precision
        )
        area = network.config.fill_hole_area
        return lambda clip, parts: StreamSegmenter(network, parts=tuple(parts), fill_hole_area=area)


@dataclass(frozen=True)
class Sam2Source:
    """SAM 2.1 tiny; it needs its weights, and a setting that tells it what to segment."""

    checkpoint: str

    name = "sam2.1_tiny"

    @property
    def key(self) -> str:
        return f"{self.name} {_stamp(self.checkpoint)}"

    def open(self, device: str) -> Callable[[str, Sequence[str]], Segmenter]:
        from ..runtime import select_device
        from .baseline import Sam2Stream, sam2_tiny

        network = sam2_tiny(Path(self.checkpoint), select_device(device))
        return lambda clip, parts: Sam2Stream(network, parts)


@dataclass(frozen=True)
class PredictionSource:
    """Masks in `<folder>/<clip>/<part>/<frame>.png` (part: 000, 001, 002 or its name), as `robotseg segment` writes them."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def key(self) -> str:
        return f"predictions {self.folder.resolve()}"

    def open(self, device: str) -> Callable[[str, Sequence[str]], Segmenter]:
        if not self.folder.is_dir():
            raise ClipError(f"{self.folder}: no such folder of predictions")
        return lambda clip, parts: PredictedMasks(self.folder / clip, parts)


@dataclass
class _Read:
    masks: dict[str, NDArray[np.bool_]]


@dataclass
class PredictedMasks:
    """A clip's predicted masks; `coming` is the name of the frame that `step` is asked for next."""

    folder: Path
    parts: Sequence[str]
    coming: str = ""

    def step(self, rgb: NDArray[np.uint8]) -> _Read:
        """The masks of the next frame. Raises ClipError for one that is missing or of another size."""
        masks = {part: read_mask(self._file(part)) for part in self.parts}
        for part, mask in masks.items():
            if mask.shape != rgb.shape[:2]:
                size, image = (f"{shape[1]}x{shape[0]}" for shape in (mask.shape, rgb.shape))
                raise ClipError(f"{self._file(part)}: the mask is {size}, its image {image}")
        return _Read(masks)

    def prompt(self, *_: Any, **__: Any) -> None:
        """Masks that were made before cannot be prompted."""
        raise ClipError(f"{self.folder}: masks from a folder know no prompts; evaluate them in the setting automatic")

    def _file(self, part: str) -> Path:
        places = [self.folder / folder / f"{self.coming}.png" for folder in (PART_FOLDERS[part], part)]
        return next((path for path in places if path.is_file()), places[0])


def _stamp(file: str | Path) -> str:
    """A file's path, size and time of change."""
    path = Path(file).expanduser()
    facts = os.stat(path) if path.exists() else None
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}" if facts else f"{path} missing"
