"""Clips in folders of images: the layouts of VRS and of RoboEngine, folders that hold their own masks, plain pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .clip import BadFrame, BadFrames, ClipError, Frame, OnBad
from .images import IMAGE_SUFFIXES, read_image
from .masks import LabelMap, Masks, PartFolders, read_masks

IMAGES = "image"
GUESSED_MASKS = "mask_gt_dinov3"
"""VRS's masks for training: the first of a clip is a person's, the later ones are DINOv3's guesses and not read."""

MASKS = ("mask_gt", "mask", GUESSED_MASKS)
"""Folders of masks beside `image`: VRS's for testing and rendered clips', RoboEngine's as RobotSeg arranges it, VRS's."""

OWN_MASKS = "masks"
"""Folder of a clip's masks inside the clip."""

_JOINT = "__"  # between source, view and name of a still picture, which is a clip's name and so may become a folder's


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Key that sorts frame 2 before frame 10."""
    pieces = re.split(r"(\d+)", name)
    return [(0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces]


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder in natural order; hidden files are left out."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    return sorted((path for path in found if path.is_file()), key=lambda path: _natural(path.name))


def _refuse_twins(files: Sequence[Path]) -> None:
    """Raises ClipError for two pictures of one name, whose masks could not be told apart."""
    seen: dict[str, Path] = {}
    for path in files:
        twin = seen.setdefault(path.stem, path)
        if twin is not path:
            raise ClipError(f"{path.parent}: {twin.name} and {path.name} are frames of one name; keep one of them")


class FolderClip:
    """A folder of pictures as a clip, with true masks where there are any.

    `labelled` says how many of the first frames have their masks read (None: all), so that first-frame-only supervision
    can be enforced where files are opened; `files` picks some of the pictures. Raises ClipError for a missing or empty
    folder, and at reading as `on_bad` says.
    """

    def __init__(
        self,
        folder: Path,
        masks: Masks | None = None,
        *,
        name: str | None = None,
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
        self.folder, self.masks, self.labelled = folder, masks, labelled
        self.name = name or folder.resolve().name
        self.fps = fps
        self.on_bad: OnBad = on_bad
        self._bad = BadFrames(str(folder), on_bad)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that may have masks."""
        return self.masks.parts if self.masks is not None else ()

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
        labelled = self.labelled is None or index < self.labelled
        masks = read_masks(self.masks, path.stem, image) if labelled and self.masks is not None else None
        return Frame(index, round(index * 1e9 / self.fps), image, masks, path.stem)


@dataclass(frozen=True)
class ClipPlace:
    """Where a clip of a dataset lies: its pictures, and the folder of its part folders where there is one.

    `picture` is the only one of the folder that belongs to the clip, with a label map beside it (None: all belong).
    """

    name: str
    images: Path
    masks: Path | None
    picture: Path | None = None

    def open(self, on_bad: OnBad = "raise", labelled: int | None = None) -> FolderClip:
        """The clip, with masks of its first `labelled` frames (None: of all that have true ones). Raises ClipError."""
        if self.picture is not None:
            masks: Masks = LabelMap(self.picture)
            return FolderClip(
                self.images, masks, name=self.name, on_bad=on_bad, labelled=labelled, files=[self.picture]
            )
        if self.masks is None:
            return FolderClip(self.images, name=self.name, on_bad=on_bad, labelled=labelled)
        if self.masks.parent.name == GUESSED_MASKS:
            labelled = 1 if labelled is None else min(labelled, 1)
        return FolderClip(self.images, PartFolders(self.masks), name=self.name, on_bad=on_bad, labelled=labelled)


def _beside(root: Path) -> list[str]:
    """Clips of `image/<clip>`."""
    return [path.name for path in (root / IMAGES).iterdir() if path.is_dir()] if (root / IMAGES).is_dir() else []


def _holding_masks(root: Path) -> list[str]:
    """The folder itself where it holds pictures and masks, else those in it that hold masks."""
    if (root / OWN_MASKS).is_dir() and image_files(root):
        return [root.resolve().name]
    return [path.name for path in root.iterdir() if (path / OWN_MASKS).is_dir()]


def _stills(root: Path) -> list[str]:
    """Pictures `<source>/<view>/img_<name>.png`, each a clip of its own."""
    found = root.glob(f"*/*/{LabelMap.PICTURE}*.png")
    return [_JOINT.join((*path.parts[-3:-1], path.stem.removeprefix(LabelMap.PICTURE))) for path in found]


def list_clips(root: Path) -> list[str]:
    """Names of the clips of a dataset, in natural order; [] when it is none.

    A dataset is VRS's (`image/<clip>/<frame>.jpg`, and `<clip>/<part>/<frame>.png` below `mask_gt`, or `mask_gt_dinov3`
    for training; below `mask` for RoboEngine as RobotSeg arranges it), a clip that holds its masks (`<frame>.jpg`,
    `masks/<part>/<frame>.png`) or a folder of such clips, or RoboEngine's own (`<source>/<view>/img_<name>.png` and
    `mask_<name>.png`; every picture is a clip).
    """
    if not root.is_dir():
        return []
    names = _beside(root) if (root / IMAGES).is_dir() else _holding_masks(root) or _stills(root)
    return sorted((name for name in names if not name.startswith(".")), key=_natural)


def clip_place(root: Path, name: str) -> ClipPlace:
    """The clip `name` of a dataset; raises ClipError that lists the clips there are."""
    beside = (root / IMAGES).is_dir()
    if not beside and (root / OWN_MASKS).is_dir() and name == root.resolve().name:
        return ClipPlace(name, root, root / OWN_MASKS)
    images = root / IMAGES / name if beside else root / name
    if images.is_dir():
        candidates = [root / masks / name for masks in MASKS] if beside else [images / OWN_MASKS]
        return ClipPlace(name, images, next((folder for folder in candidates if folder.is_dir()), None))
    if not beside and name.count(_JOINT) > 1:
        source, view, still = name.split(_JOINT, 2)
        picture = root / source / view / f"{LabelMap.PICTURE}{still}.png"
        if picture.is_file():
            return ClipPlace(name, picture.parent, None, picture)
    raise ClipError(f"{images.parent}: no clip {name!r}; there are: {_shown(list_clips(root)) or 'none'}")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def named_clip(root: Path, name: str, *, on_bad: OnBad = "raise", labelled: int | None = None) -> FolderClip:
    """The clip `name` of a dataset; raises ClipError that lists the clips there are."""
    return clip_place(root, name).open(on_bad, labelled)


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
        place = clip_place(path, names[0])
        raise ClipError(
            f"{path}: holds {len(names)} clips; name one, as {place.picture or place.images}: {_shown(names)}"
        )
    absolute = path.resolve()
    dataset = absolute.parent.parent
    if absolute.parent.name == IMAGES and any((dataset / masks).is_dir() for masks in MASKS):
        return named_clip(dataset, absolute.name, on_bad=on_bad)
    return FolderClip(path, on_bad=on_bad)
