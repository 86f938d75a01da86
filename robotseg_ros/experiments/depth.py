"""Rendered clips with depth, and what the depth cues make of masks on them: of a network's, of true and of spoilt ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..dataset.clip import Frame
from ..evaluation.protocol import ClipScore, score_frame
from ..geometry import grown
from ..model import PARTS, RobotSeg
from ..streaming.depth_cue import CUES
from .measure import Measured, plain_stream, read_clips
from .report import Outcome
from .streams import to_and_fro, to_and_fro_order

Masks = Mapping[str, NDArray[np.bool_]]

COMMAND = "robotseg render {} --split seen --depth --count 32 --skip 54 --frames 16"
CONDITIONS: dict[str, tuple[str, str] | None] = {
    "no cue": None,
    "edges": ("edges", "depth"),
    "background": ("background", "depth"),
    "edges, true depth": ("edges", "depth_true"),
    "background, true depth": ("background", "depth_true"),
}
"""The cue and the folder of its depth: as a stereo camera sees it, or as it is."""
GROWTH = 3  # pixels
NOTICED = 0.001  # of J&F: what is less is no change of a clip


@dataclass(frozen=True)
class DepthClip:
    """A clip with depth by folder, uint16 (H, W) in millimetres for each frame; `fixed`: whether its camera was."""

    name: str
    fixed: bool
    frames: list[Frame]
    depths: dict[str, list[NDArray[np.uint16]]]

    def to_and_fro(self, length: int) -> DepthClip:
        """A longer one without a cut."""
        order = to_and_fro_order(len(self.frames), length)
        depths = {folder: [images[index] for index in order] for folder, images in self.depths.items()}
        return DepthClip(self.name, self.fixed, to_and_fro(self.frames, length), depths)


Masked = list[tuple[DepthClip, list[Masks]]]
"""Clips with masks of their frames; where these are fewer, of the first frames."""


def read_depth_clips(root: Path, limit: int | None = None) -> list[DepthClip]:
    """Clips that were rendered with depth. Raises ValueError where there are none."""
    folders = {depth for _, depth in filter(None, CONDITIONS.values())}
    if not all((root / folder).is_dir() for folder in folders):
        raise ValueError(f"{root} holds no clips with depth; make them: {COMMAND.format(root)}")
    clips = []
    for clip in read_clips(root, limit):
        facts = json.loads((root / "facts" / f"{clip.name}.json").read_text())
        depths = {folder: [_depth(root / folder / clip.name, frame) for frame in clip.frames] for folder in folders}
        clips.append(DepthClip(clip.name, facts["camera"] == "fixed", clip.frames, depths))
    return clips


def _depth(folder: Path, frame: Frame) -> NDArray[np.uint16]:
    file = folder / f"{frame.stem}.png"
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.shape != frame.image.shape[:2]:
        raise ValueError(f"{file}: must be a PNG of 16 bits and of its image's size, {frame.image.shape[:2]}")
    return image.astype(np.uint16, copy=False)


def masked_groups(network: RobotSeg, clips: Sequence[DepthClip], long: int) -> dict[str, Masked]:
    """Clips with masks, by what kind of camera and of masks they are. The network sees each frame once; fixed cameras go
    on for `long` frames, and their first frames count apart too."""
    fixed = [clip.to_and_fro(long) for clip in clips if clip.fixed]
    made = {clip.name: _segmented(network, clip) for clip in tqdm([*fixed, *(c for c in clips if not c.fixed)])}
    true: Masked = [(clip, [frame.masks or {} for frame in clip.frames]) for clip in clips]
    spoilt: Masked = [(clip, [_grown(of) for of in masks]) for clip, masks in true]
    groups: dict[str, Masked] = {
        f"fixed camera, {long} frames": [(clip, made[clip.name]) for clip in fixed],
        "fixed camera, as rendered": [(clip, made[clip.name][: len(clip.frames)]) for clip in clips if clip.fixed],
        "moving camera": [(clip, made[clip.name]) for clip in clips if not clip.fixed],
        "true masks": true,
        f"true masks grown by {GROWTH} pixels": spoilt,
    }
    return {label: group for label, group in groups.items() if group}


def _grown(masks: Masks) -> Masks:
    return {part: grown(mask, GROWTH) for part, mask in masks.items()}


def _segmented(network: RobotSeg, clip: DepthClip) -> list[Masks]:
    stream = plain_stream(network, clip.frames)
    return [stream.step(frame.image).masks for frame in clip.frames]


def refined(clip: DepthClip, masks: Sequence[Masks], condition: str) -> list[Masks]:
    """A clip's masks as the cue of a condition makes them, frame after frame."""
    chosen = CONDITIONS[condition]
    if chosen is None:
        return list(masks)
    name, folder = chosen
    cue = CUES[name]()
    return [cue.refine(of, depth) for of, depth in zip(masks, clip.depths[folder], strict=False)]


def measured_group(group: Masked) -> list[Measured]:
    """Scores of all conditions on a group of clips."""
    return [
        Measured(condition, [scored(clip, refined(clip, masks, condition)) for clip, masks in group])
        for condition in CONDITIONS
    ]


def scored(clip: DepthClip, masks: Sequence[Masks]) -> ClipScore:
    """J and F of all parts in the frames that have masks."""
    pairs = list(zip(clip.frames, masks, strict=False))
    table = {part: np.array([score_frame(frame, dict(of), part) for frame, of in pairs]) for part in PARTS}
    return ClipScore(
        clip.name, {p: rows[:, 0] for p, rows in table.items()}, {p: rows[:, 1] for p, rows in table.items()}
    )


def outcome(groups: Mapping[str, list[Measured]]) -> Outcome:
    """J, F and J&F by part for each group and condition, and on how many clips the robot's J&F rose or fell; in the plot,
    the gain on each clip."""
    header = ["percent", *(f"{part} {measure}" for part in PARTS for measure in ("J", "F", "J&F")), "better / worse"]
    rows = [_row(f"{label}: {entry.label}", entry, group[0]) for label, group in groups.items() for entry in group]
    made = Outcome("Masks refined by aligned depth", header, rows)
    made.draw = lambda axis: _draw_gains(axis, groups)
    return made


def _row(label: str, entry: Measured, plain: Measured) -> list[str]:
    cells = []
    for part in PARTS:
        j, f = np.nanmean([clip.means(part) for clip in entry.clips], axis=0)
        cells += [f"{100 * value:.1f}" for value in (j, f, (j + f) / 2)]
    gains = _gains(entry, plain)
    return [label, *cells, f"{(gains > NOTICED).sum()} / {(gains < -NOTICED).sum()}"]


def _gains(entry: Measured, plain: Measured) -> NDArray[np.float64]:
    """By how much the robot's J&F is better than without a cue, on each clip."""
    pairs = zip(entry.clips, plain.clips, strict=True)
    return np.array([np.mean(clip.means("robot")) - np.mean(before.means("robot")) for clip, before in pairs])


def _draw_gains(axis: Any, groups: Mapping[str, list[Measured]]) -> None:
    """A point for each clip, a line for their mean."""
    width = 0.8 / (len(CONDITIONS) - 1)
    for index, condition in enumerate(list(CONDITIONS)[1:]):
        for place, group in enumerate(groups.values()):
            gains = 100 * _gains(group[index + 1], group[0])
            middle = place - 0.4 + width * (index + 0.5)
            spread = middle + width * np.linspace(-0.3, 0.3, len(gains))
            label = condition if place == 0 else None
            axis.scatter(spread, gains, s=6, color=f"C{index}", alpha=0.5)
            axis.hlines(gains.mean(), middle - width / 2, middle + width / 2, color=f"C{index}", lw=2, label=label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(
        range(len(groups)), [label.replace(", ", ",\n").replace(" by", "\nby") for label in groups], fontsize=8
    )
    axis.set(ylabel="gain in J&F of the robot, points")
