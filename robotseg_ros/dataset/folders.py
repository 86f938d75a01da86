"""Clips in folders of images: the layouts of VRS and RoboEngine, folders that hold their own masks, or plain pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .clip import PART_FOLDERS, BadFrame, BadFrames, ClipError, Frame, OnBad
from .images import IMAGE_SUFFIXES, read_image, read_mask

IMAGES = "image"
MASKS = ("mask_gt", "mask")
"""Folders of masks beside `image`: VRS's and rendered clips', and RoboEngine's."""

OWN_MASKS = "masks"
"""Folder of a clip's masks inside the clip."""


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Key that sorts frame 2 before frame 10."""
    pieces = re.split(r"(\d+)", path.name)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces]


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder in natural order; hidden files are left out."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in found if path.is_file() and not path.name.startswith(".")), key=_natural)


def _refuse_twins(files: Sequence[Path]) -> None:
    """Raises ClipError for two pictures of one name, whose masks could not be told apart."""
    seen: dict[str, Path] = {}
    for path in files:
        twin = seen.setdefault(path.stem, path)
        if twin is not path:
            raise ClipError(f"{path.parent}: {twin.name} and {path.name} are frames of one name; keep one of them")


class FolderClip:
    """A folder of pictures as a clip, with true masks from `masks/<part>/<frame>.png` where they are.

    `masks` is the folder of the part folders (VRS's 000, 001, 002, or arm, gripper, robot) or None; `labelled` says how
    many of the first frames have their masks read (None: all), so that first-frame-only supervision can be enforced
    where files are opened; `files` picks some of the pictures. Raises ClipError for a missing or empty folder, and at
    reading as `on_bad` says.
    """

    def __init__(
        self,
        folder: Path,
        masks: Path | None = None,
        *,
        fps: float = 30.0,
        on_bad: OnBad = "raise",
        labelled: int | None = None,
        files: Sequence[Path] | None = None,
    ) -> None:
        if not folder.is_dir():
            raise ClipError(f"{folder}: no such folder")
        self.files = image_files(folder) if files is None else list(files)
        if not self.files:
            raise ClipError(f"{folder}: holds no images; accepted are {', '.join(IMAGE_SUFFIXES)}")
        _refuse_twins(self.files)
        self.folder, self.masks_folder, self.labelled = folder, masks, labelled
        self.name = folder.resolve().name
        self.fps = fps
        self.on_bad: OnBad = on_bad
        self._bad = BadFrames(str(folder), on_bad)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that have a folder of masks."""
        return tuple(self.mask_folders)

    @property
    def mask_folders(self) -> dict[str, Path]:
        """The folder of masks of each part that has one."""
        if self.masks_folder is None:
            return {}
        places = {part: [self.masks_folder / number, self.masks_folder / part] for part, number in PART_FOLDERS.items()}
        return {part: folder for part, folders in places.items() for folder in folders[::-1] if folder.is_dir()}

    @property
    def skipped(self) -> list[BadFrame]:
        """Frames left out by the latest pass."""
        return self._bad.found

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0, count: int | None = None) -> Iterator[Frame]:
        """The readable frames of a range, as `Clip.frames` says."""
        bad = self._bad = BadFrames(str(self.folder), self.on_bad)
        good = 0
        stop = len(self.files) if count is None else min(len(self.files), start + count)
        for index in range(start, stop):
            frame = bad.read(index, partial(self.frame, index))
            if frame is not None:
                good += 1
                yield frame
        bad.require_good(good)

    def frame(self, index: int) -> Frame:
        """The frame at a place of the sorted folder; raises ClipError when image or mask is unreadable."""
        path = self.files[index]
        image = read_image(path)
        masks = self._masks(path.stem, image) if self.labelled is None or index < self.labelled else None
        return Frame(index, round(index * 1e9 / self.fps), image, masks, path.stem)

    def _masks(self, stem: str, image: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]] | None:
        """True masks of a frame; None when it has none. Raises ClipError when sizes differ."""
        masks: dict[str, NDArray[np.bool_]] = {}
        for part, folder in self.mask_folders.items():
            path = folder / f"{stem}.png"
            if not path.is_file():
                continue
            masks[part] = read_mask(path)
            if masks[part].shape != image.shape[:2]:
                height, width = masks[part].shape
                raise ClipError(
                    f"{path}: the mask is {width}x{height}, its image {image.shape[1]}x{image.shape[0]}; "
                    "they must have the same size"
                )
        return masks or None


@dataclass(frozen=True)
class ClipPlace:
    """Where a clip of a dataset lies: its pictures, and the folder of its part folders where there is one."""

    name: str
    images: Path
    masks: Path | None


def clip_place(root: Path, name: str) -> ClipPlace:
    """The clip `name` of a dataset; raises ClipError that lists the clips there are."""
    beside = (root / IMAGES).is_dir()
    images = root / IMAGES / name if beside else root / name
    if not images.is_dir():
        known = list_clips(root)
        listed = ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else "none"
        raise ClipError(f"{images.parent}: no clip {name!r}; there are: {listed}")
    candidates = [root / masks / name for masks in MASKS] if beside else [images / OWN_MASKS]
    return ClipPlace(name, images, next((folder for folder in candidates if folder.is_dir()), None))


def list_clips(root: Path) -> list[str]:
    """Names of the clips of a dataset, in natural order; [] when it is none.

    A dataset is VRS's (`image/<clip>/<frame>.jpg`, `mask_gt/<clip>/<part>/<frame>.png`), RoboEngine's (the same with
    `mask`), or a folder of clips that hold their masks (`<clip>/<frame>.jpg`, `<clip>/masks/<part>/<frame>.png`).
    """
    beside = root / IMAGES
    if beside.is_dir():
        folders = [path for path in beside.iterdir() if path.is_dir()]
    else:
        folders = [path for path in root.iterdir() if (path / OWN_MASKS).is_dir()] if root.is_dir() else []
    return [path.name for path in sorted(folders, key=_natural) if not path.name.startswith(".")]


def named_clip(root: Path, name: str, *, on_bad: OnBad = "raise", labelled: int | None = None) -> FolderClip:
    """The clip `name` of a dataset; raises ClipError that lists the clips there are."""
    place = clip_place(root, name)
    return FolderClip(place.images, place.masks, on_bad=on_bad, labelled=labelled)


def open_folder(path: Path, *, on_bad: OnBad = "raise") -> FolderClip:
    """Clip of a folder: a dataset with one clip, a clip in one (`root/image/<clip>`), or images, with or without `masks`.

    Raises ClipError for a dataset of several clips (listed) and for folders without images.
    """
    if not path.is_dir():
        raise ClipError(f"{path}: no such folder")
    names = list_clips(path)
    if len(names) == 1:
        return named_clip(path, names[0], on_bad=on_bad)
    if names:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        where = clip_place(path, names[0]).images.parent
        raise ClipError(f"{path}: holds {len(names)} clips; name one, as {where}/CLIP: {shown}")
    absolute = path.resolve()
    dataset = absolute.parent.parent
    if absolute.parent.name == IMAGES and any((dataset / masks).is_dir() for masks in MASKS):
        return named_clip(dataset, absolute.name, on_bad=on_bad)
    own = path / OWN_MASKS
    return FolderClip(path, own if own.is_dir() else None, on_bad=on_bad)
