"""The outputs of one camera: masks, labels, overlay and status, none computed while nobody subscribes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..drawing import label_map, overlay
from ..imaging import Rgb
from ..msg import SegmentationStatus
from ..streaming import Segmentation
from .conversions import compressed_image, grey_image, mask_image, rgb_image
from .endpoints import advertise, heard


class Outputs:
    """Publishers below `prefix` ('' or 'front/').

    The executor's thread alone makes and destroys them: rclpy's executor fails, and with it the process, where another
    thread destroys a publisher while it gathers what to wait for.
    """

    def __init__(self, node: Node, prefix: str, parts: Iterable[str]) -> None:
        self._node = node
        self._prefix = prefix
        self._parts = tuple(parts)
        self._masks: dict[str, Publisher] = {}
        self._in_use = threading.Lock()  # held while masks go out: their publishers must not go meanwhile
        self._labels = self._publisher(Image, "labels")
        self._status = self._publisher(SegmentationStatus, "status")
        self._overlay = self._publisher(Image, "overlay")
        self._overlay_compressed = self._publisher(CompressedImage, "overlay/compressed")
        self.follow()

    # Executor's thread

    def follow(self) -> None:
        """Advertises a mask topic for each of the parts and no other."""
        with self._in_use:
            parts = self._parts
            for part in set(self._masks) - set(parts):
                self._node.destroy_publisher(self._masks.pop(part))
            for part in parts:
                if part not in self._masks:
                    self._masks[part] = self._publisher(Image, f"mask/{part}")

    def destroy(self) -> None:
        """Takes the topics back."""
        self._parts = ()
        self.follow()
        for publisher in (self._labels, self._status, self._overlay, self._overlay_compressed):
            self._node.destroy_publisher(publisher)

    def _publisher(self, kind: type[Any], topic: str) -> Publisher:
        return advertise(self._node, kind, self._prefix + topic)

    # Inference thread

    def set_parts(self, parts: Iterable[str]) -> None:
        """Whose masks are given out; `follow` sees to their topics."""
        self._parts = tuple(parts)

    def publish_masks(self, header: Header, segmentation: Segmentation) -> None:
        """A mask of 0 and 255 for each part, and the label map."""
        with self._in_use:
            for part, publisher in self._masks.items():
                mask = segmentation.masks.get(part)
                if mask is not None and heard(publisher):
                    publisher.publish(mask_image(header, mask))
        if heard(self._labels):
            self._labels.publish(grey_image(header, label_map(segmentation.masks)))

    def publish_status(self, make: Callable[[], SegmentationStatus]) -> None:
        """The frame's status."""
        if heard(self._status):
            self._status.publish(make())

    def publish_overlay(self, header: Header, rgb: Rgb, segmentation: Segmentation, alpha: float) -> None:
        """The image with coloured masks, raw and as JPEG."""
        raw, compressed = heard(self._overlay), heard(self._overlay_compressed)
        if not raw and not compressed:
            return
        drawn = overlay(rgb, segmentation.masks, alpha)
        if raw:
            self._overlay.publish(rgb_image(header, drawn))
        if compressed:
            self._overlay_compressed.publish(compressed_image(header, drawn))
