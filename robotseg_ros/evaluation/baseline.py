"""SAM 2.1 tiny of the sam2 package as a stream, for comparison: plain SAM 2, without SEMA and RPG.

It has to be told what to segment: a part without a prompt on the first frame stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..model import preprocess, preset
from ..model.checkpoint import read_weights

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def sam2_tiny(checkpoint: Path | None, device: torch.device, side: int = 1024) -> Any:
    """The network, with weights of `sam2.1_hiera_tiny.pt`; without a checkpoint they are random. side: of its input, in
    pixels; the released one's is 1024. Raises CheckpointError."""
    from sam2.build_sam import build_sam2

    overrides = ["++model.binarize_mask_from_pts_for_mem_enc=true", f"++model.image_size={side}"]
    network: Any = build_sam2(CONFIG, None, device="cpu", hydra_overrides_extra=overrides)
    if checkpoint is not None:
        network.load_state_dict(read_weights(checkpoint))
    return network.eval().requires_grad_(False).to(device)


@dataclass
class Sam2Masks:
    """Masks bool (H, W) by part, and whether SAM 2 believes the part to be there (a logit)."""

    masks: dict[str, NDArray[np.bool_]]
    object_score: dict[str, float] = field(default_factory=dict)


class Sam2Stream:
    """Parts tracked one by one through a stream, each from its prompt on the first frame.

    Masks are those of sam2's own video predictor, but for two things: holes of a few pixels are not filled (the predictor
    fills them where its CUDA extension was built), and a prompt for a part that is tracked already starts it anew, as our
    streams do (the predictor refines the mask that it has).
    """

    def __init__(self, network: Any, parts: Sequence[str]):
        self.network, self.parts = network, tuple(parts)
        self._device = next(network.parameters()).device
        self._input = replace(preset("robotseg"), image_size=network.image_size)  # prepared as SAM 2's input is
        self._prompts: dict[str, dict[str, Any]] = {}
        self._outputs: dict[str, dict[str, dict[int, Any]]] = {}
        self._index = 0

    def prompt(
        self,
        part: str,
        points: Sequence[Sequence[float]] | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Where a part is in the coming frame: its tracking starts anew there."""
        self._prompts[part] = {"points": points, "labels": labels, "box": box, "mask": mask}

    @torch.inference_mode()
    def step(self, rgb: NDArray[np.uint8]) -> Sam2Masks:
        """Masks of the next frame, uint8 (H, W, 3)."""
        images = preprocess(rgb, self._input, self._device)
        _, features, positions, sizes = self.network._prepare_backbone_features(self.network.forward_image(images))
        result = Sam2Masks({})
        for part in self.parts:
            given = self._prompts.pop(part, None)
            if given is None and part not in self._outputs:
                result.masks[part] = np.zeros(rgb.shape[:2], bool)
                continue
            output = self._track(part, given, features, positions, sizes, rgb.shape[:2])
            full = F.interpolate(output["pred_masks"], size=rgb.shape[:2], mode="bilinear", align_corners=False)
            result.masks[part] = (full[0, 0] > 0).cpu().numpy()
            result.object_score[part] = float(output["object_score_logits"][0, 0])
        self._index += 1
        return result

    def _track(
        self, part: str, given: dict[str, Any] | None, features: Any, positions: Any, sizes: Any, shape: tuple[int, ...]
    ) -> dict[str, Any]:
        """One part in one frame, remembered."""
        if given is not None:
            self._outputs[part] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        points, mask = self._to_network(given, shape) if given is not None else (None, None)
        output: dict[str, Any] = self.network.track_step(
            frame_idx=self._index,
            is_init_cond_frame=given is not None,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=points,
            mask_inputs=mask,
            output_dict=self._outputs[part],
            num_frames=10**9,
            run_mem_encoder=False,
        )
        memory, position = self.network._encode_new_memory(
            features, sizes, output["pred_masks_high_res"], output["object_score_logits"], points is not None
        )
        kept = {"maskmem_features": memory.bfloat16(), "maskmem_pos_enc": position, "obj_ptr": output["obj_ptr"]}
        kind = "non_cond_frame_outputs" if given is None else "cond_frame_outputs"
        self._outputs[part][kind][self._index] = kept
        self._outputs[part]["non_cond_frame_outputs"].pop(self._index - self.network.max_obj_ptrs_in_encoder, None)
        return output

    def _to_network(self, given: dict[str, Any], shape: tuple[int, ...]) -> tuple[dict[str, Any] | None, Any]:
        """Points (a box is two of them) in the network's pixels, or a mask of its size."""
        side = self.network.image_size
        if given["mask"] is not None:
            mask = torch.from_numpy(given["mask"].astype(np.float32))[None, None].to(self._device)
            return None, (F.interpolate(mask, size=(side, side), mode="bilinear", antialias=True) >= 0.5).float()
        coordinates, labels = [], []
        if given["box"] is not None:
            coordinates += [given["box"][:2], given["box"][2:]]
            labels += [2, 3]
        if given["points"] is not None:
            coordinates += [*given["points"]]
            labels += [*(given["labels"] or [1] * len(given["points"]))]
        scale = torch.tensor([side / shape[1], side / shape[0]], device=self._device)
        points = torch.tensor(np.array(coordinates, np.float32), device=self._device) * scale
        return {"point_coords": points[None], "point_labels": torch.tensor([labels], dtype=torch.int32)}, None
