"""Datasets on disk: which clips can be used, and which cannot and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .clip import ClipError, OnBad
from .folders import FolderClip, list_clips, named_clip
from .masks import PartFolders

logger = logging.getLogger(__name__)

_LAYOUTS = """
  image/<clip>/<frame>.jpg with mask_gt/<clip>/<part>/<frame>.png (VRS; its mask_gt_dinov3, or RoboEngine's mask)
  <clip>/<frame>.jpg with <clip>/masks/<part>/<frame>.png, or one such <clip>
  <source>/<view>/img_<name>.png with mask_<name>.png (RoboEngine's own)"""


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
    """The clips of a dataset in any layout that `folders.list_clips` knows.

    labelled: how many first frames of a clip have their masks read (None: all that there are). Every clip's folders are
    looked at, and the sizes of its first masks and of their picture; nothing is decoded. A clip that cannot be used is named
    in a warning and in `refused`, or with `on_bad="raise"` a ClipError. Raises ClipError where no clip can be used at all.
    """
    root = Path(root)
    names = list_clips(root)
    if not names:
        raise ClipError(f"{root}: holds no dataset; accepted are:{_LAYOUTS}")
    clips, refused = [], []
    for name in names:
        try:
            clips.append(_checked(named_clip(root, name, labelled=labelled)))
        except ClipError as error:
            if on_bad == "raise":
                raise
            logger.warning("left out: %s", error)
            refused.append(Refused(name, str(error)))
    if not clips:
        raise ClipError(f"{root}: none of {len(refused)} clips can be used; {refused[0].name}: {refused[0].reason}")
    return Dataset(root, tuple(clips), tuple(refused))


def _checked(clip: FolderClip) -> FolderClip:
    """The clip, if it has masks and they belong to its pictures."""
    if clip.masks is None:
        raise ClipError(f"{clip.folder}: has no masks")
    if not clip.parts:
        raise ClipError(f"{clip.masks.where}: {PartFolders.NONE}")
    places = {path.stem: index for index, path in enumerate(clip.files)}
    masks = clip.masks.all()
    strangers = [next(iter(files.values())) for frame, files in masks.items() if frame not in places]
    if strangers:
        raise ClipError(f"{strangers[0]}: belongs to no picture of {clip.folder} ({len(strangers)} such masks)")
    first = min((places[frame] for frame in masks), default=None)
    if first is None or (clip.labelled is not None and first >= clip.labelled):
        wanted = "any frame" if clip.labelled is None else f"the first {clip.labelled} frames"
        raise ClipError(f"{clip.masks.where}: holds no mask of {wanted}")
    picture = clip.files[first]
    for path in masks[picture.stem].values():
        if _size(path) != _size(picture):
            raise ClipError(
                f"{path}: the mask is {_size(path)}, its image {_size(picture)}; they must have the same size"
            )
    return clip


def _size(path: Path) -> str:
    """Width x height of an image file, as shown, from its header. Raises ClipError."""
    try:
        with Image.open(path) as file:
            width, height = file.size
            turned = file.getexif().get(0x0112, 1) > 4  # EXIF orientations 5 to 8 lie on their side
    except Exception as error:
        raise ClipError(f"{path}: cannot be read as an image: {error}") from error
    return f"{height}x{width}" if turned else f"{width}x{height}"
