"""Milliseconds a frame and a stage of our networks, against plain SAM 2.1 tiny driven as a stream in the same run.

    python benchmarks/network.py [--models robotseg_nano robotseg] [--parts 1 3] [--frames 20] [--device auto]

The networks take turns, frame by frame, so that whatever else the machine does hits them alike; ratios are those of
the turns. Weights are those that come with a model, which say what of it is left out, else random. SAM 2.1 tiny is the
class `SAM2Base` of the sam2 package with the released configuration, one point per object on the first frame, its
memory pruned to what later frames read.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections import defaultdict
from typing import Any, Protocol

import numpy as np
import torch
from machine import describe
from numpy.typing import NDArray
from tqdm import tqdm

from robotseg_ros.evaluation.table import text_table
from robotseg_ros.model import build_network, preprocess, preset
from robotseg_ros.runtime import prepare, select_device
from robotseg_ros.streaming import StreamSegmenter

PARTS = ("robot", "arm", "gripper")
STAGES = ("preprocess", "encode_image", "track", "encode_memory", "masks")
BASELINE = "sam2.1_tiny"


class Stream(Protocol):
    """Something that takes frames and says what each stage cost."""

    def step(self, rgb: NDArray[np.uint8]) -> dict[str, float]:
        """Milliseconds by stage of one frame."""


class OurStream:
    """A model of ours, as the node runs it."""

    def __init__(self, model: str, parts: int, device: torch.device):
        network = prepare(build_network(model, device=device))
        network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(5.0)
        self._stream = StreamSegmenter(network, parts=PARTS[:parts])
        self.memory_frames = network.config.num_maskmem

    def step(self, rgb: NDArray[np.uint8]) -> dict[str, float]:
        """One frame."""
        return self._stream.step(rgb).timings


class Sam2Stream:
    """SAM 2.1 tiny as released, frame by frame, its objects as a batch."""

    def __init__(self, objects: int, device: torch.device):
        self._network: Any = _sam2_tiny().eval().to(device)
        self._objects, self._device = objects, device
        self._outputs: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        self._index = 0
        self.memory_frames = self._network.num_maskmem

    @torch.inference_mode()
    def step(self, rgb: NDArray[np.uint8]) -> dict[str, float]:
        """One frame; the mask at camera size is made too, as ours is."""
        marks = [self._now()]
        images = preprocess(rgb, preset("robotseg"), self._device)
        marks.append(self._now())
        encoded = self._network.forward_image(images)
        for key in ("backbone_fpn", "vision_pos_enc"):
            encoded[key] = [level.expand(self._objects, -1, -1, -1) for level in encoded[key]]
        _, features, positions, sizes = self._network._prepare_backbone_features(encoded)
        marks.append(self._now())
        output = self._track(features, positions, sizes)
        marks.append(self._now())
        self._remember(output, features, sizes)
        marks.append(self._now())
        masks = torch.nn.functional.interpolate(output["pred_masks"], size=rgb.shape[:2], mode="bilinear")
        (masks[:, 0] > 0).cpu().numpy()
        marks.append(self._now())
        return {name: 1e3 * (b - a) for name, a, b in zip(STAGES, marks, marks[1:], strict=False)}

    def _track(self, features: Any, positions: Any, sizes: Any) -> dict[str, Any]:
        first = self._index == 0
        points = None
        if first:
            shape = (self._objects, 1)
            points = {
                "point_coords": torch.full((*shape, 2), 500.0, device=self._device),
                "point_labels": torch.ones(shape, dtype=torch.int32, device=self._device),
            }
        output: dict[str, Any] = self._network.track_step(
            frame_idx=self._index,
            is_init_cond_frame=first,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=points,
            mask_inputs=None,
            output_dict=self._outputs,
            num_frames=10**9,
            run_mem_encoder=False,
        )
        return output

    def _remember(self, output: dict[str, Any], features: Any, sizes: Any) -> None:
        first = self._index == 0
        memory, position = self._network._encode_new_memory(
            features, sizes, output["pred_masks_high_res"], output["object_score_logits"], is_mask_from_pts=first
        )
        kept = {"maskmem_features": memory.bfloat16(), "maskmem_pos_enc": position, "obj_ptr": output["obj_ptr"]}
        self._outputs["cond_frame_outputs" if first else "non_cond_frame_outputs"][self._index] = kept
        self._outputs["non_cond_frame_outputs"].pop(self._index - self._network.max_obj_ptrs_in_encoder, None)
        self._index += 1

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _sam2_tiny() -> torch.nn.Module:
    from sam2.build_sam import build_sam2

    overrides = ["++model.binarize_mask_from_pts_for_mem_enc=true"]
    network: torch.nn.Module = build_sam2(
        "configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu", hydra_overrides_extra=overrides
    )
    network.sam_mask_decoder.pred_obj_score_head.layers[2].bias.data.fill_(5.0)  # type: ignore[union-attr, index]
    return network


def measure(streams: dict[str, Stream], warm_up: int, frames: int) -> dict[str, list[dict[str, float]]]:
    """Stage times of every frame after the warm-up, the streams taking turns."""
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(4)]
    times: dict[str, list[dict[str, float]]] = defaultdict(list)
    for index in tqdm(range(warm_up + frames), unit="frame", leave=False):
        for name, stream in streams.items():
            stages = stream.step(clip[index % len(clip)])
            if index >= warm_up:
                times[name].append(stages)
    return times


def rows(times: dict[str, list[dict[str, float]]], parts: int) -> list[list[str]]:
    """Medians of each stream, and the median of its ratio to the baseline's same turn."""
    totals = {name: [sum(frame.values()) for frame in frames] for name, frames in times.items()}
    table = []
    for name, frames in times.items():
        stages = [f"{statistics.median(frame[stage] for frame in frames):.1f}" for stage in STAGES]
        ratio = statistics.median(ours / base for ours, base in zip(totals[name], totals[BASELINE], strict=True))
        table.append([f"{name}, {parts}", f"{statistics.median(totals[name]):.1f}", *stages, f"{ratio:.3f}"])
    return table


def main() -> int:
    """Prints a table for every number of parts."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["robotseg_nano", "robotseg"])
    parser.add_argument("--parts", nargs="+", type=int, default=[1, 3], choices=[1, 2, 3])
    parser.add_argument("--frames", type=int, default=5, help="frames measured (default: 5)")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    where = describe(device)
    table: list[list[str]] = []
    for parts in arguments.parts:
        streams: dict[str, Stream] = {model: OurStream(model, parts, device) for model in arguments.models}
        streams[BASELINE] = Sam2Stream(parts, device)
        # The memory is full, and a frame costs what it will cost for ever, after this many.
        warm_up = max(stream.memory_frames for stream in streams.values()) + 1  # type: ignore[attr-defined]
        table += rows(measure(streams, warm_up, arguments.frames), parts)
    print(f"{where}\n640x480 frames, medians of {arguments.frames} in steady state, milliseconds")
    print(text_table(["network, parts", "total", *STAGES, f"/ {BASELINE}"], table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
