"""Clips for training and evaluation: rendered, recorded or downloaded."""

from .clip import PART_FOLDERS, BadFrame, Clip, ClipError, Frame
from .opening import open_clip

__all__ = ["PART_FOLDERS", "BadFrame", "Clip", "ClipError", "Frame", "open_clip"]
