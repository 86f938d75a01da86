"""Masks of one camera made better by its depth images, where the parameter `depth_cue` asks for that.

The executor's thread keeps the last depth images, the inference thread looks for the one of its image's time. It never
waits: masks whose depth has not come by then go out as the network made them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image

from ..geometry import Depth, Mask, fitted_depth
from ..streaming.depth_cue import CUES, DepthCue
from .conversions import nanoseconds
from .depth_messages import depth_of
from .endpoints import subscribe
from .parameters import Settings
from .throttled_log import ThrottledLog

NONE = "none"  # not "off", which YAML takes for false
INPUT_DEPTH = 5


class CameraDepthCue:
    """The cue of the camera whose topics begin with `prefix`, and the depth images that it may need."""

    def __init__(self, node: Node, prefix: str, settings: Settings) -> None:
        self._node, self._input = node, f"{prefix}depth"
        self._log = ThrottledLog(node.get_logger())
        self._tolerance = int(settings.filter_tolerance * 1e9)
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Image]] = deque(maxlen=settings.filter_buffer)
        self._subscription: Subscription | None = None
        self._name = NONE
        self._cue: DepthCue | None = None
        self.restart_counts()
        self.apply(settings)

    # Executor's thread

    def follow(self) -> None:
        """Subscribes to depth while there is a cue."""
        if self._cue is None:
            self.close()
        elif self._subscription is None:
            self._subscription, _ = subscribe(self._node, Image, self._input, self.receive, INPUT_DEPTH)

    def close(self) -> None:
        """Unsubscribes and forgets the depth images."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        with self._lock:
            self._kept.clear()

    def receive(self, message: Image) -> None:
        """Keeps a depth image, in the place of the oldest."""
        with self._lock:
            self._kept.append((nanoseconds(message.header.stamp), message))

    def restart_counts(self) -> None:
        """Counts from zero."""
        self._images = self._refined = self._refused = 0

    def described(self) -> dict[str, str]:
        """For the diagnostics: the share of the images whose masks were refined; nothing while there is no cue."""
        if self._cue is None:
            return {}
        share = self._refined / self._images if self._images else 0.0
        return {
            "depth_cue": self._name,
            "depth_cue_refined": f"{100 * share:.0f} %",
            "depth_cue_refused": str(self._refused),
        }

    # Inference thread

    @property
    def is_on(self) -> bool:
        """Whether there is a cue."""
        return self._cue is not None

    def apply(self, settings: Settings) -> None:
        """Takes over the parameter; another cue begins with nothing."""
        if settings.depth_cue != self._name:
            self._name = settings.depth_cue
            self._cue = None if self._name == NONE else CUES[self._name]()
            self.restart_counts()

    def reset(self) -> None:
        """Forgets what the cue saw."""
        if self._cue is not None:
            self._cue.reset()

    def refine(self, stamp: int, masks: dict[str, Mask]) -> dict[str, Mask]:
        """The masks, bool (H, W) by part, of the image of that stamp, refined where its depth is there, else as they are."""
        if self._cue is None or not masks:
            return masks
        self._images += 1
        message = self._depth_at(stamp)
        if message is None:
            return masks
        try:
            refined = self._cue.refine(masks, _aligned(message, masks))
        except ValueError as error:
            self._refused += 1
            self._log.error(f"{self._node.resolve_topic_name(self._input)}: no cue for the masks: {error}")
            return masks
        self._refined += 1
        return refined

    def _depth_at(self, stamp: int) -> Image | None:
        """The kept depth image nearest in time, if it is within the tolerance; an image without a stamp (0) has none."""
        with self._lock:
            kept = list(self._kept)
        near = min(kept, key=lambda entry: abs(entry[0] - stamp), default=None)
        if near is None or not stamp or abs(near[0] - stamp) > self._tolerance:
            return None
        return near[1]


def _aligned(message: Image, masks: Mapping[str, Mask]) -> Depth:
    """The depth at the masks' size. Raises GeometryError."""
    height, width = next(iter(masks.values())).shape
    return fitted_depth(depth_of(message), (height, width))
