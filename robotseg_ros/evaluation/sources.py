"""Where masks that are evaluated come from: a model, SAM 2.1, a folder that any other system has written, a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..dataset.clip import PART_FOLDERS, Clip, ClipError, Frame
from ..dataset.images import read_mask
from .inputs import stamp
from .protocol import Segmenter
from .recorded import MaskStore, recorded_latency, recorded_masks

Make = Callable[[str, Sequence[str]], Segmenter]
"""Makes a fresh stream for a clip, by its name, and parts."""


class Source(Protocol):
    """What is evaluated. It is handed to other processes before it is opened there."""

    @property
    def name(self) -> str: ...

    def key(self, clip: str) -> str:
        """Changes where results of this clip would."""

    def open(self, device: str) -> Make:
        """Loads what it needs. Raises ValueError."""


@dataclass(frozen=True)
class ModelSource:
    """A model of this package, as the product runs it."""

    model: str = "robotseg_nano"
    checkpoint: str | None = None
    adapter: str | None = None
    precision: str = "float32"

    needs_prompt = False

    @property
    def name(self) -> str:
        return self.model

    def key(self, clip: str) -> str:
        from ..model import model_info

        info = model_info(self.model)
        files = [self.checkpoint or info.checkpoint, self.adapter]
        network = f"{info.config.image_size} {info.config.edge_source}"
        return f"{self.model} {network} {self.precision} {stamp(Path(file) for file in files if file)}"

    def load(self, device: str) -> Any:
        """The network. Raises ValueError."""
        from ..model import load_model
        from ..runtime import prepare, select_device

        network = load_model(self.model, self.checkpoint, select_device(device), adapter=self.adapter)
        return prepare(network, self.precision)

    def stream(self, network: Any, parts: Sequence[str]) -> Segmenter:
        """A fresh stream."""
        from ..streaming import StreamSegmenter

        return StreamSegmenter(network, parts=tuple(parts), fill_hole_area=network.config.fill_hole_area)

    def open(self, device: str) -> Make:
        network = self.load(device)
        return lambda clip, parts: self.stream(network, parts)


@dataclass(frozen=True)
class Sam2Source:
    """SAM 2.1 tiny; it needs its weights, and a setting that tells it what to segment."""

    checkpoint: str

    name = "sam2.1_tiny"
    needs_prompt = True

    def key(self, clip: str) -> str:
        return f"{self.name} {stamp([Path(self.checkpoint)])}"

    def load(self, device: str) -> Any:
        """The network. Raises ValueError."""
        from ..runtime import select_device
        from .baseline import sam2_tiny

        return sam2_tiny(Path(self.checkpoint), select_device(device))

    def stream(self, network: Any, parts: Sequence[str]) -> Segmenter:
        """A fresh stream."""
        from .baseline import Sam2Stream

        return Sam2Stream(network, parts)

    def open(self, device: str) -> Make:
        network = self.load(device)
        return lambda clip, parts: self.stream(network, parts)


@dataclass
class MadeBefore:
    """Masks bool (H, W) of a frame by part, and what making them took, where that is known."""

    masks: dict[str, NDArray[np.bool_]]
    milliseconds: float = float("nan")
    object_score: dict[str, float] = field(default_factory=dict)


class MadeMasks:
    """A stream of masks that were made before; `coming` is the frame that `step` is asked for next."""

    coming: Frame

    def prompt(self, *_: Any, **__: Any) -> None:
        """Masks that were made before cannot be prompted."""
        raise ClipError("masks that were made before know no prompts; evaluate them in the setting automatic")

    def step(self, rgb: NDArray[np.uint8]) -> MadeBefore:
        """Its masks. Raises ClipError."""
        raise NotImplementedError


def announced(frames: Clip | Sequence[Frame], stream: Segmenter) -> Iterator[Frame]:
    """The frames; masks that were made before are told which one comes."""
    for frame in frames:
        if isinstance(stream, MadeMasks):
            stream.coming = frame
        yield frame


@dataclass(frozen=True)
class PredictionSource:
    """Masks in `<folder>/<clip>/<part>/<frame>.png` (part: 000, 001, 002 or its name). The output folders of
    `robotseg segment` and `robotseg label`, which hold such a folder, may be given as well."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def key(self, clip: str) -> str:
        return f"predictions {stamp([self._of(clip)])}"

    def open(self, device: str) -> Make:
        if not self.folder.is_dir():
            raise ClipError(f"{self.folder}: no such folder of predictions")
        return lambda clip, parts: PredictedMasks(self._of(clip), parts)

    def parts(self, clips: Sequence[str]) -> list[str]:
        """Parts that there are masks of, in any of the clips."""
        return [
            part
            for part, number in PART_FOLDERS.items()
            if any((self._of(clip) / name).is_dir() for clip in clips for name in (number, part))
        ]

    def _of(self, clip: str) -> Path:
        roots = (self.folder, self.folder / "mask_pred", self.folder / "masks")
        return next((root / clip for root in roots if (root / clip).is_dir()), self.folder / clip)


@dataclass
class PredictedMasks(MadeMasks):
    """A clip's predicted masks."""

    folder: Path
    parts: Sequence[str]

    def step(self, rgb: NDArray[np.uint8]) -> MadeBefore:
        """Raises ClipError for a mask that is missing or of another size."""
        masks = {part: read_mask(self._file(part)) for part in self.parts}
        for part, mask in masks.items():
            if mask.shape != rgb.shape[:2]:
                size, image = (f"{shape[1]}x{shape[0]}" for shape in (mask.shape, rgb.shape))
                raise ClipError(f"{self._file(part)}: the mask is {size}, its image {image}")
        return MadeBefore(masks)

    def _file(self, part: str) -> Path:
        places = [self.folder / folder / f"{self.coming.stem}.png" for folder in (PART_FOLDERS[part], part)]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            there = len(list(places[0].parent.glob("*.png")) + list(places[1].parent.glob("*.png")))
            raise ClipError(
                f"{places[0]}: no such file, nor {part}/{places[1].name}: the predictions lack this frame ({there} masks of "
                f"{part} are there); every frame needs one, an empty one where nothing is seen"
            )
        return found


@dataclass(frozen=True)
class RecordedSource:
    """What a node put out: masks in a bag by the stamp of their image; a frame without one was dropped. topics: (part,
    topic)."""

    bag: Path
    topics: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return self.bag.name

    def key(self, clip: str) -> str:
        return f"recorded {self.topics} {stamp([self.bag])}"

    def open(self, device: str) -> Make:
        store, latency = recorded_masks(self.bag, dict(self.topics)), recorded_latency(self.bag)
        return lambda clip, parts: RecordedMasks(store, latency)


@dataclass
class RecordedMasks(MadeMasks):
    """Recorded masks, and the node's own word about the time from image to masks."""

    store: MaskStore
    latency: Mapping[int, float]

    def step(self, rgb: NDArray[np.uint8]) -> MadeBefore:
        """Nothing for a frame that was dropped. Raises ClipError for a mask of another size."""
        masks = dict(self.store.get(self.coming.stamp_ns, {}))
        for part, mask in masks.items():
            if mask.shape != rgb.shape[:2]:
                raise ClipError(
                    f"the recorded mask of {part} at {self.coming.stamp_ns} is {mask.shape}, its image {rgb.shape}"
                )
        return MadeBefore(masks, self.latency.get(self.coming.stamp_ns, float("nan")))
