"""Clips for training and evaluation: rendered, recorded or downloaded."""

from .clip import PART_FOLDERS, BadFrame, Clip, ClipError, Frame
from .collection import Dataset, Refused, list_dataset
from .opening import open_clip

__all__ = [
    "PART_FOLDERS",
    "BadFrame",
    "Clip",
    "ClipError",
    "Dataset",
    "Frame",
    "Refused",
    "list_dataset",
    "open_clip",
]
