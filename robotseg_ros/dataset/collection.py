"""Datasets on disk: which clips can be used, and which cannot and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .clip import ClipError, OnBad
from .folders import FolderClip, clip_place, list_clips, named_clip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refused:
    """A clip that cannot be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The clips of a folder that have pictures and masks, in natural order, and those left out."""

    root: Path
    clips: tuple[FolderClip, ...]
    refused: tuple[Refused, ...]


def list_dataset(root: Path | str, *, labelled: int | None = None, on_bad: OnBad = "skip") -> Dataset:
    """The clips of a dataset in the layout of VRS, of RoboEngine, or of folders that hold their masks.

    labelled: how many first frames of a clip have their masks read (None: all that there are). Every clip's folders are
    looked at, and the sizes of its first picture and masks; nothing is decoded. A clip that cannot be used is named in a
    warning and in `refused`, or with `on_bad="raise"` a ClipError. Raises ClipError where there is no clip at all.
    """
    root = Path(root)
    names = list_clips(root)
    if not names:
        raise ClipError(
            f"{root}: holds no dataset; accepted are image/<clip>/<frame>.jpg with mask_gt/<clip>/<part>/<frame>.png (VRS) "
            "or mask/<clip>/<part>/<frame>.png (RoboEngine), and <clip>/<frame>.jpg with <clip>/masks/<part>/<frame>.png"
        )
    clips, refused = [], []
    for name in names:
        try:
            clips.append(_checked(root, name, labelled))
        except ClipError as error:
            if on_bad == "raise":
                raise
            logger.warning("left out: %s", error)
            refused.append(Refused(name, str(error)))
    return Dataset(root, tuple(clips), tuple(refused))


def _checked(root: Path, name: str, labelled: int | None) -> FolderClip:
    """A clip with pictures and with masks that belong to them."""
    if clip_place(root, name).masks is None:
        raise ClipError(f"{root}: clip {name} has no folder of masks")
    clip = named_clip(root, name, labelled=labelled)
    folders = clip.mask_folders
    if not folders:
        raise ClipError(f"{clip.masks_folder}: no folder of a part; they are 000 or arm, 001 or gripper, 002 or robot")
    places = {path.stem: index for index, path in enumerate(clip.files)}
    masks = [path for folder in folders.values() for path in sorted(folder.glob("*.png"))]
    strangers = [path for path in masks if path.stem not in places]
    if strangers:
        raise ClipError(f"{strangers[0]}: belongs to no picture of {clip.folder} ({len(strangers)} such masks)")
    first = min((places[path.stem] for path in masks), default=None)
    if first is None or first >= (labelled or len(clip.files)):
        wanted = "any frame" if labelled is None else f"the first {labelled} frames"
        raise ClipError(f"{clip.masks_folder}: holds no mask of {wanted}")
    for path in _of_frame(masks, clip.files[first].stem):
        if _size(path) != _size(clip.files[first]):
            raise ClipError(
                f"{path}: the mask is {_size(path)}, its image {_size(clip.files[first])}; they must have the same size"
            )
    return clip


def _of_frame(masks: list[Path], stem: str) -> Iterator[Path]:
    return (path for path in masks if path.stem == stem)


def _size(path: Path) -> str:
    """Width x height of an image file, as shown, from its header. Raises ClipError."""
    try:
        with Image.open(path) as file:
            width, height = file.size
            turned = file.getexif().get(0x0112, 1) > 4  # EXIF orientations 5 to 8 lie on their side
    except Exception as error:
        raise ClipError(f"{path}: cannot be read as an image: {error}") from error
    return f"{height}x{width}" if turned else f"{width}x{height}"
