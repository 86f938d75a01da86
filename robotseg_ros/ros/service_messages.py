"""What requests of the services say, in the terms of the streams, and what is answered."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ..imaging import ImageError, Rgb
from ..srv import Prompt, Segment
from ..streaming import Segmentation
from .conversions import describe, mask_image, rgb_of


def prompt_arguments(request: Prompt.Request) -> dict[str, Any]:
    """`points`, `labels`, `box` and `mask` as `StreamSegmenter.prompt` takes them, without what a request leaves empty.

    Only what the message's form makes possible is checked here; the segmenter checks the prompt itself. Raises
    `ValueError`.
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


def asked_image(request: Segment.Request) -> tuple[Header, Rgb]:
    """The image to segment, raw or compressed. Raises `ValueError`."""
    message = request.image if request.image.data else request.compressed
    if not message.data:
        raise ValueError("the request has no image; give one as `image` or as `compressed`")
    try:
        return message.header, rgb_of(message)
    except ImageError as error:
        raise ValueError(f"{describe(message)}: {error}") from error


def segment_response(response: Segment.Response, header: Header, found: Segmentation) -> None:
    """Writes the masks into the answer."""
    response.parts = list(found.masks)
    response.masks = [mask_image(header, mask) for mask in found.masks.values()]
    response.object_score = [float(found.object_score[part]) for part in found.masks]
    response.predicted_iou = [float(found.predicted_iou[part]) for part in found.masks]
