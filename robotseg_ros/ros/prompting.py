"""A `Prompt` request as the arguments of `StreamSegmenter.prompt`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from ..imaging import ImageError
from ..srv import Prompt
from .conversions import describe, rgb_of


def prompt_arguments(request: Prompt.Request) -> dict[str, Any]:
    """`points`, `labels`, `box` and `mask` of a request, without what it leaves empty. Raises `ValueError`.

    Only what the message's form makes possible is checked here; the segmenter checks the prompt itself.
    """
    arguments: dict[str, Any] = {}
    if not len(request.points_x) == len(request.points_y) == len(request.labels):
        raise ValueError(
            f"points_x, points_y and labels have {len(request.points_x)}, {len(request.points_y)} and "
            f"{len(request.labels)} entries; they must have the same number"
        )
    if request.points_x:
        arguments["points"] = list(zip(map(float, request.points_x), map(float, request.points_y), strict=True))
        arguments["labels"] = [int(label) for label in request.labels]
    if request.box:
        if len(request.box) != 4:
            raise ValueError(f"box has {len(request.box)} entries; it must be x0, y0, x1, y1 or empty")
        arguments["box"] = tuple(float(value) for value in request.box)
    if request.mask.data:
        arguments["mask"] = _mask_of(request.mask)
    if not arguments:
        raise ValueError("the prompt is empty; give points with labels, a box or a mask")
    return arguments


def _mask_of(image: Image) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """bool (H, W) of a mono8 mask."""
    if image.encoding not in ("mono8", "8UC1"):
        raise ValueError(f"mask is {describe(image)}; it must be mono8")
    try:
        return rgb_of(image)[..., 0] > 0
    except ImageError as error:
        raise ValueError(f"mask: {error}") from error
