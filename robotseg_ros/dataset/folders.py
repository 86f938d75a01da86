"""Clips in folders of images: VRS's layout with a mask per part, or plain pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .clip import PART_FOLDERS, BadFrame, BadFrames, ClipError, Frame, OnBad
from .images import IMAGE_SUFFIXES, read_image, read_mask

IMAGES, MASKS = "image", "mask_gt"


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
    """A folder of pictures as a clip, with true masks from `masks/<000|001|002>/<frame>.png` where they are.

    `masks` is the folder of VRS's part folders or None; `labelled` says how many of the first frames have
    their masks read (None: all), so that first-frame-only supervision can be enforced where files are opened;
    `files` picks some of the pictures. Raises ClipError for a missing or empty folder, and at reading as
    `on_bad` says.
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
        if self.masks_folder is None:
            return ()
        return tuple(part for part, folder in PART_FOLDERS.items() if (self.masks_folder / folder).is_dir())

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
        for part in self.parts:
            path = Path(str(self.masks_folder), PART_FOLDERS[part], f"{stem}.png")
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


def list_clips(root: Path) -> list[str]:
    """Names of the clips below a VRS root (`root/image/<clip>`), in natural order; [] when it is none."""
    folder = root / IMAGES
    if not folder.is_dir():
        return []
    return [path.name for path in sorted(folder.iterdir(), key=_natural) if path.is_dir()]


def vrs_clip(root: Path, name: str, *, on_bad: OnBad = "raise", labelled: int | None = None) -> FolderClip:
    """The clip `name` of a VRS root; raises ClipError that lists the clips there are."""
    if name not in list_clips(root):
        known = list_clips(root)
        listed = ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else "none"
        raise ClipError(f"{root / IMAGES}: no clip {name!r}; there are: {listed}")
    masks = root / MASKS / name
    return FolderClip(root / IMAGES / name, masks if masks.is_dir() else None, on_bad=on_bad, labelled=labelled)


def open_folder(path: Path, *, on_bad: OnBad = "raise") -> FolderClip:
    """Clip of a folder: a VRS root with one clip, a clip in one (`root/image/<clip>`), or plain images.

    Raises ClipError for a VRS root of several clips (listed) and for folders without images.
    """
    if not path.is_dir():
        raise ClipError(f"{path}: no such folder")
    names = list_clips(path)
    if len(names) == 1:
        return vrs_clip(path, names[0], on_bad=on_bad)
    if names:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise ClipError(f"{path}: holds {len(names)} clips; name one, as {path / IMAGES}/CLIP: {shown}")
    absolute = path.resolve()
    if absolute.parent.name == IMAGES and (absolute.parent.parent / MASKS).is_dir():
        return vrs_clip(absolute.parent.parent, absolute.name, on_bad=on_bad)
    return FolderClip(path, on_bad=on_bad)
