"""Deterministic pseudo-random weights, see RULE.md. Depends on numpy (+ torch only for the tensor type)."""

import hashlib
import math

import numpy as np

OBJ_SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"  # shape (1,)
IOU_BIAS = "sam_mask_decoder.iou_prediction_head.layers.2.bias"  # shape (4,)


def value(name, shape):
    """float32 ndarray for one tensor; depends on nothing but (name, shape)."""
    shape = tuple(int(s) for s in shape)
    n = int(np.prod(shape, dtype=np.int64)) if shape else 1
    seed = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")
    x = np.random.Generator(np.random.PCG64(seed)).standard_normal(n, dtype=np.float32).reshape(shape)
    f = np.float32
    if name == OBJ_SCORE_BIAS:
        return np.full(shape, 5.0, dtype=np.float32)  # documented exception 1
    if name == IOU_BIAS:
        return np.array([0.0, -0.4, 0.4, 0.0], dtype=np.float32)  # documented exception 2
    if name.endswith("positional_encoding_gaussian_matrix"):
        return x  # scale 1.0
    if name.endswith(".structure_strength"):
        return (f(1.0) + f(0.02) * x).astype(np.float32)
    if name.endswith(".gamma"):
        return (f(0.1) + f(0.02) * x).astype(np.float32)
    if len(shape) == 1 and name.endswith(".weight"):  # LayerNorm / GroupNorm / LayerNorm2d
        return (f(1.0) + f(0.02) * x).astype(np.float32)
    if len(shape) >= 2:  # conv / linear / embedding / *_embed / *_enc / *_ptr
        fan_in = int(np.prod(shape[1:], dtype=np.int64))
        return (f(1.0 / math.sqrt(fan_in)) * x).astype(np.float32)
    return (f(0.02) * x).astype(np.float32)  # 1-D (or 0-D): biases


def fill(state_dict):
    """state_dict {name: tensor} -> new {name: tensor}; non-float tensors are returned unchanged."""
    import torch

    out = {}
    for name in sorted(state_dict):
        t = state_dict[name]
        if not t.dtype.is_floating_point:
            out[name] = t.clone()
            continue
        out[name] = torch.from_numpy(np.ascontiguousarray(value(name, t.shape))).reshape(t.shape).to(t.dtype)
    return {k: out[k] for k in state_dict}
