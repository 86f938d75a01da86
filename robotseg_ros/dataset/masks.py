"""How true masks lie on disk: a folder for each part, or a label map beside the picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .clip import PART_FOLDERS, ClipError
from .images import read_label_map, read_mask


class Masks(Protocol):
    """The mask files of one clip. `where` is the place to name in messages, `parts` are those that may have masks."""

    where: Path
    parts: tuple[str, ...]

    def of(self, frame: str) -> Mapping[str, Path]:
        """The file of each part of a frame (its picture's name without suffix) that is there; nothing else is listed."""

    def all(self) -> Mapping[str, Mapping[str, Path]]:
        """The files of each frame that has any, by the frame's name."""

    def read(self, file: Path) -> NDArray[np.bool_]:
        """Mask bool (H, W) of one of the files; raises ClipError that names it."""


def read_masks(masks: Masks, frame: str, image: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]] | None:
    """True masks of a frame by its name; None when it has none. Raises ClipError where sizes differ from the image's."""
    found: dict[str, NDArray[np.bool_]] = {}
    for part, file in masks.of(frame).items():
        found[part] = masks.read(file)
        if found[part].shape != image.shape[:2]:
            height, width = found[part].shape
            raise ClipError(
                f"{file}: the mask is {width}x{height}, its image {image.shape[1]}x{image.shape[0]}; "
                "they must have the same size"
            )
    return found or None


class PartFolders:
    """`<folder>/<part>/<frame>.png`, parts called 000, 001, 002 (VRS) or arm, gripper, robot; what is not black is mask."""

    NONE = "no folder of a part; they are 000 or arm, 001 or gripper, 002 or robot"

    def __init__(self, folder: Path) -> None:
        self.where = folder
        places = [(part, folder / name) for part, number in PART_FOLDERS.items() for name in (number, part)]
        self.folders = {part: place for part, place in places if place.is_dir()}
        self.parts = tuple(self.folders)

    def of(self, frame: str) -> dict[str, Path]:
        """As `Masks.of`."""
        files = {part: folder / f"{frame}.png" for part, folder in self.folders.items()}
        return {part: file for part, file in files.items() if file.is_file()}

    def all(self) -> dict[str, dict[str, Path]]:
        """As `Masks.all`."""
        found: dict[str, dict[str, Path]] = {}
        for part, folder in self.folders.items():
            for file in sorted(folder.glob("*.png")):
                found.setdefault(file.stem, {})[part] = file
        return found

    def read(self, file: Path) -> NDArray[np.bool_]:
        """As `Masks.read`."""
        return read_mask(file)


class LabelMap:
    """`mask_<name>.png` beside the picture `img_<name>.png`, as RoboEngine has it: 1 and 2 are robot, 3 what it handles."""

    PICTURE, MASK = "img_", "mask_"
    ROBOT = (1, 2)

    def __init__(self, picture: Path) -> None:
        self.where = picture.with_name(f"{self.MASK}{picture.stem.removeprefix(self.PICTURE)}.png")
        self.parts: tuple[str, ...] = ("robot",)
        self._frame = picture.stem

    def of(self, frame: str) -> dict[str, Path]:
        """As `Masks.of`."""
        return {"robot": self.where} if frame == self._frame and self.where.is_file() else {}

    def all(self) -> dict[str, dict[str, Path]]:
        """As `Masks.all`."""
        return {self._frame: self.of(self._frame)} if self.where.is_file() else {}

    def read(self, file: Path) -> NDArray[np.bool_]:
        """As `Masks.read`."""
        return np.isin(read_label_map(file), self.ROBOT)
