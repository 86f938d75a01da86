"""Clips to show: one robot at a table, well visible, moving fluently, never in the training set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from .render import ClipSpec, Stage, contact_sheet, render_clip, write_clip, write_manifest


def _well_framed(stage: Stage) -> bool:
    """Whether 15 to 35 % of the pixels are robot throughout, and the gripper stays inside the picture."""
    for index in range(0, stage.spec.frames, 6):
        stage.pose(index)
        parts = stage.painter.parts(160, 120)
        gripper = parts == 2
        edge = np.concatenate([gripper[0], gripper[-1], gripper[:, 0], gripper[:, -1]])
        if edge.any() or gripper.mean() < 0.006 or not 0.15 < (parts > 0).mean() < 0.35:
            return False
    return True


def demo_spec(seed: int, embodiment: str = "panda", frames: int = 180, fps: float = 15.0) -> ClipSpec:
    """The first clip from `seed` on that is well framed; the last of 60 tries if none is."""
    spec = ClipSpec(embodiment, seed)
    for attempt in range(60):
        spec = ClipSpec(
            embodiment,
            seed + attempt,
            split="demo",
            width=640,
            height=480,
            frames=frames,
            duration=frames / fps,
            camera="handheld",
            coverage=0.22,
            shadows=True,
            calm=True,
        )
        with Stage(spec) as stage:
            if _well_framed(stage):
                break
    return spec


def render_demo(out_dir: Path | str, seed: int = 7_000_000, embodiment: str = "panda", frames: int = 180) -> Path:
    """Renders one 640x480 clip at 15 frames/s into `out_dir`, laid out as by `render_clips`.

    Returns the folder of its images. Raises assets.MissingAssets without mujoco, assets or OpenGL.
    """
    out = Path(out_dir)
    spec = demo_spec(seed, embodiment, frames)
    with tqdm(total=1, unit="clip", desc=f"render {out.name}") as bar:
        images, parts, facts = render_clip(spec)
        write_clip(out, spec.name, images, parts, facts)
        bar.update()
    write_manifest(out)
    contact_sheet(out, 1, 1)
    return out / "image" / spec.name
