"""J, F and J&F of a model on labelled clips, every frame streamed in order, automatic (no prompt).

    python benchmarks/accuracy.py CLIPS [CLIPS ...] [--model robotseg_nano] [--checkpoint FILE] [--sheet worst.png]

CLIPS is a folder in VRS's layout or one of our demo bags. Means are over clips of the mean over frames, the first frame
included. Figures on rendered clips are figures on rendered clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from robotseg_ros.dataset.bags import BagClip, is_bag
from robotseg_ros.dataset.clip import Clip
from robotseg_ros.dataset.folders import list_clips, vrs_clip
from robotseg_ros.demo import topics
from robotseg_ros.drawing import overlay
from robotseg_ros.evaluation.measures import boundary_f, jaccard
from robotseg_ros.evaluation.table import text_table
from robotseg_ros.model import PARTS, load_model
from robotseg_ros.runtime import prepare
from robotseg_ros.streaming import StreamSegmenter

TILE = (320, 240)


def clips_of(path: Path) -> Iterable[Clip]:
    """The labelled clips at a path."""
    if is_bag(path):
        return [BagClip(path, topics.IMAGE, truth={part: topics.truth(part) for part in PARTS})]
    return [vrs_clip(path, name) for name in list_clips(path)]


def score(stream: StreamSegmenter, clip: Clip) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Mean J and F of each part (3, 2), and the overlay of the frame whose robot fits worst."""
    stream.reset()
    rows, worst = [], (2.0, np.zeros((*TILE[::-1], 3), np.uint8))
    for frame in clip:
        assert frame.masks is not None, f"{clip.name}: frame {frame.index} has no true masks"
        masks = stream.step(frame.image).masks
        row = [(jaccard(masks[p], frame.masks[p]), boundary_f(masks[p], frame.masks[p])) for p in PARTS]
        rows.append(row)
        if row[-1][0] < worst[0]:
            shown = overlay(frame.image, {part: masks[part] for part in ("arm", "gripper")})
            worst = (row[-1][0], cv2.resize(shown, TILE, interpolation=cv2.INTER_AREA))
    return np.mean(rows, axis=0), worst[1]


def sheet(tiles: list[NDArray[np.uint8]], columns: int = 6) -> NDArray[np.uint8]:
    """Tiles side by side."""
    blank = np.zeros((*TILE[::-1], 3), np.uint8)
    padded = tiles + [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])


def main() -> int:
    """A row for each set of clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", default="robotseg_nano")
    parser.add_argument("--checkpoint")
    parser.add_argument("--sheet", type=Path, help="picture of the worst frame of the worst 24 clips")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = prepare(load_model(arguments.model, arguments.checkpoint))
    stream = StreamSegmenter(network, parts=PARTS)
    table, tiles = [], []
    for path in arguments.clips:
        scores = []
        for clip in tqdm(list(clips_of(path)), desc=path.name, leave=False):
            result, tile = score(stream, clip)
            scores.append(result)
            tiles.append((result[-1, 0], tile))
        mean = 100 * np.mean(scores, axis=0)
        figures = [f"{value:.1f}" for part in mean for value in (*part, part.mean())]
        table.append([f"{path.name} ({len(scores)})", *figures])
    print(text_table(["clips", *(f"{part} {what}" for part in PARTS for what in ("J", "F", "J&F"))], table))
    if arguments.sheet is not None:
        worst = sheet([tile for _, tile in sorted(tiles, key=lambda item: item[0])[:24]])
        cv2.imwrite(str(arguments.sheet), cv2.cvtColor(worst, cv2.COLOR_RGB2BGR))
    return 0


if __name__ == "__main__":
    sys.exit(main())
