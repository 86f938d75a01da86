"""SAM 2's mask decoder with class tokens: one learned vector for each part that can be asked for."""

from __future__ import annotations

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from torch import Tensor, nn

from .config import ModelConfig

STABILITY_DELTA = 0.05
STABILITY_THRESHOLD = 0.98


class RobotMaskDecoder(MaskDecoder):
    """`predict_masks` is SAM 2's; class and object tokens enter it ahead of the point tokens."""

    def __init__(self, config: ModelConfig):
        super().__init__(
            transformer_dim=config.d_model,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.d_model,
                mlp_dim=config.decoder_mlp,
                num_heads=config.decoder_heads,
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=config.iou_head_width,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
        )
        self.robot_token_embedding = nn.Embedding(len(config.parts), config.d_model)


def stability(logits: Tensor) -> Tensor:
    """Area above +delta over area above -delta of mask logits (B, H, W) -> (B,); 1 for an empty mask (SAM 2)."""
    inner = (logits > STABILITY_DELTA).flatten(1).sum(dim=1).float()
    outer = (logits > -STABILITY_DELTA).flatten(1).sum(dim=1).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def choose_mask(logits: Tensor, ious: Tensor, multimask: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates on offer and the index of the one taken.

    logits (B, 4, s, s) and ious (B, 4): the single-mask output first, then three candidates. With `multimask` the best
    of the three by predicted IoU is taken; otherwise the single mask, or, when that is not stable, the best of the three
    (SAM 2, `_dynamic_multimask_via_stability`). Returns logits (B, M, s, s), ious (B, M) and index (B,).
    """
    best = ious[:, 1:].argmax(dim=1)
    if multimask:
        return logits[:, 1:], ious[:, 1:], best
    stable = stability(logits[:, 0]) >= STABILITY_THRESHOLD
    taken = torch.where(stable, torch.zeros_like(best), best + 1)
    rows = torch.arange(logits.shape[0], device=logits.device)
    return logits[rows, taken][:, None], ious[rows, taken][:, None], torch.zeros_like(best)
