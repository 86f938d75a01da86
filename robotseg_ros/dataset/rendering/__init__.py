"""Clips of robots rendered with MuJoCo, with true masks of arm, gripper and robot; reproducible by seed."""

from .demo import render_demo
from .embodiments import EMBODIMENTS, Embodiment
from .render import ClipSpec, render_clip, render_clips
from .splits import SPLITS, Split

__all__ = ["EMBODIMENTS", "SPLITS", "ClipSpec", "Embodiment", "Split", "render_clip", "render_clips", "render_demo"]
