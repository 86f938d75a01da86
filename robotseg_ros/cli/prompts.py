"""Prompts as words on a command line: `PART:X,Y[,LABEL]`, `PART:X0,Y0,X1,Y1` and `PART:FILE.png`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..dataset.clip import PART_FOLDERS, ClipError
from ..dataset.images import read_mask
from ..evaluation.segment_clip import ClipPrompt

PARTS = tuple(PART_FOLDERS)


def _split(text: str, form: str) -> tuple[str, str]:
    """Part and rest of an argument; raises argparse's error that shows the right form."""
    part, colon, rest = text.partition(":")
    if not colon or part not in PARTS or not rest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}, with PART one of {', '.join(PARTS)}")
    return part, rest


def _numbers(text: str, rest: str, form: str, counts: tuple[int, ...]) -> list[float]:
    words = rest.split(",")
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) not in counts or not all(math.isfinite(value) for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not {form} with plain numbers (pixels)")
    return values


def point(text: str) -> ClipPrompt:
    """A point in pixels; label 1 (the default) says it is on the part, 0 that it is not."""
    form = "PART:X,Y or PART:X,Y,LABEL"
    part, rest = _split(text, form)
    x, y, *label = _numbers(text, rest, form, (2, 3))
    if label and label[0] not in (0, 1):
        raise argparse.ArgumentTypeError(f"{text!r}: the label is 1 (on the part) or 0 (not on it), not {label[0]:g}")
    return ClipPrompt(part, points=((x, y),), labels=(int(label[0]) if label else 1,))


def box(text: str) -> ClipPrompt:
    """A box in pixels, from its upper left to its lower right corner."""
    form = "PART:X0,Y0,X1,Y1"
    part, rest = _split(text, form)
    x0, y0, x1, y1 = _numbers(text, rest, form, (4,))
    if x1 <= x0 or y1 <= y0:
        raise argparse.ArgumentTypeError(f"{text!r}: X1 must be greater than X0 and Y1 greater than Y0")
    return ClipPrompt(part, box=(x0, y0, x1, y1))


def mask(text: str) -> ClipPrompt:
    """A mask file, non-zero on the part."""
    part, rest = _split(text, "PART:FILE.png")
    try:
        return ClipPrompt(part, mask=read_mask(Path(rest)))
    except ClipError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def combined(prompts: Iterable[ClipPrompt], parts: Iterable[str]) -> list[ClipPrompt]:
    """One prompt per part.

    Raises ValueError for a part that is not segmented, a second box or mask, and a mask with points or a box.
    """
    wanted = tuple(parts)
    merged: dict[str, ClipPrompt] = {}
    for given in prompts:
        if given.part not in wanted:
            raise ValueError(f"a prompt is for {given.part}, which is not segmented; add --part {given.part}")
        merged[given.part] = _joined(merged.get(given.part, ClipPrompt(given.part)), given)
    return list(merged.values())


def _joined(first: ClipPrompt, second: ClipPrompt) -> ClipPrompt:
    part = first.part
    if (first.box and second.box) or (first.mask is not None and second.mask is not None):
        raise ValueError(f"two boxes or two masks for {part}; one of a kind is taken")
    both = replace(
        first,
        points=first.points + second.points,
        labels=first.labels + second.labels,
        box=first.box or second.box,
        mask=first.mask if second.mask is None else second.mask,
    )
    if both.mask is not None and (both.points or both.box):
        raise ValueError(f"a mask for {part} and points or a box; a mask stands alone")
    return both
