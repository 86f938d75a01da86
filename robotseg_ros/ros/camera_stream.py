"""One camera's way through the node: subscription, mailbox, segmenter with its memory, outputs and counters.

The executor's thread opens, closes and fills the mailbox; everything else happens in the inference thread.
"""

from __future__ import annotations

import math
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from ..imaging import ImageError, Rgb
from ..msg import SegmentationStatus
from ..streaming import Segmentation, StreamSegmenter
from ..streaming.prompts import frame_prompt
from .compatibility import overridable, reliability_name
from .continuity import Continuity
from .conversions import describe, nanoseconds, rgb_of
from .latest import Latest
from .parameters import Settings
from .publishing import Outputs
from .statistics import StreamStatistics
from .throttled_log import ThrottledLog
from .worker import Worker


@dataclass(frozen=True)
class Arrival:
    """A message and when it came, in seconds on the statistics' clock."""

    message: Image | CompressedImage
    received: float


class CameraStream:
    """A camera by its name ('' for the only one): made at configure, open while the node is active."""

    def __init__(
        self,
        node: Node,
        name: str,
        model: str,
        segmenter: StreamSegmenter,
        settings: Settings,
        worker: Worker,
    ) -> None:
        self.name = name
        self.latest: Latest[Arrival] = Latest(worker.ready)
        self.statistics = StreamStatistics()
        self.paused = False
        self.object_scores: dict[str, float] = {}  # of the last frame
        self._node = node
        self._model = model
        self._segmenter = segmenter
        self._settings = settings
        self._log = ThrottledLog(node.get_logger())
        self._prefix = f"{name}/" if name else ""
        self._outputs = Outputs(node, self._prefix, settings.parts)
        self._continuity = Continuity()
        self._frame = 0
        self._subscription: Subscription | None = None

    # Executor's thread

    @property
    def topic(self) -> str:
        """The full name of the topic that images come from.

        `compressed` goes behind the remapped name: image:=/front/rgb means /front/rgb/compressed, as in
        image_transport.
        """
        if self._subscription is not None:
            return str(self._subscription.topic_name)
        base = self._node.resolve_topic_name(f"{self._prefix}image")
        return str(base if self._settings.transport == "raw" else f"{base}/compressed")

    @property
    def _message_type(self) -> type[Image] | type[CompressedImage]:
        return Image if self._settings.transport == "raw" else CompressedImage

    @property
    def kind(self) -> str:
        """The type of its images, as in `ros2 topic info`."""
        return f"sensor_msgs/msg/{self._message_type.__name__}"

    @property
    def reliability(self) -> str:
        """What the subscription asks of publishers: RELIABLE (also after a QoS override) or BEST_EFFORT."""
        return reliability_name(self._subscription) if self._subscription is not None else "nothing"

    @property
    def is_open(self) -> bool:
        """Whether it is subscribed to its images."""
        return self._subscription is not None

    def open(self) -> None:
        """Subscribes and counts from zero."""
        self.statistics.restart()
        self.latest.clear()
        self._subscription = self._node.create_subscription(
            self._message_type,
            self.topic,
            self.receive,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=overridable(),
        )

    def close(self) -> None:
        """Unsubscribes and forgets the image that waits; one in work is still published."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.latest.clear()

    def receive(self, message: Image | CompressedImage) -> None:
        """Leaves an image for the inference thread."""
        received = self.statistics.arrived(self.paused)
        if not self.paused:
            self.latest.put(Arrival(message, received))

    def destroy(self) -> None:
        """Takes the topics back; the inference thread has ended by then."""
        self.close()
        self.latest.close()
        self._outputs.destroy()

    # Inference thread

    def process(self, arrival: Arrival) -> None:
        """Decodes, segments and publishes one image; what is wrong with it is logged and counted."""
        started = time.perf_counter()
        rgb = self._decode(arrival.message)
        if rgb is None:
            return
        decode_ms = (time.perf_counter() - started) * 1e3
        header = arrival.message.header
        reason = self._continuity.break_before((rgb.shape[0], rgb.shape[1]), nanoseconds(header.stamp))
        if reason is not None:
            self.restart(reason)
        segmentation = self._segment(rgb)
        if segmentation is not None:
            segmentation_timings = {"decode": decode_ms, **segmentation.timings}
            self._publish(arrival, rgb, segmentation, segmentation_timings)
            self._frame += 1

    def apply(self, settings: Settings) -> None:
        """Takes over the settings that may change while running."""
        self._settings = settings
        self._segmenter.parts = settings.parts
        self._segmenter.mask_threshold = settings.mask_threshold
        self._outputs.set_parts(settings.parts)

    def restart(self, reason: str) -> None:
        """Forgets all that was seen: the next image is the first."""
        self._segmenter.reset()
        self._frame = 0
        self.statistics.add("resets")
        self._log.warning(f"{self.topic}: stream starts anew: {reason}")

    def forget(self) -> None:
        """Like `restart`, for the end of an activation, which counts and reports nothing."""
        self._segmenter.reset()
        self._continuity = Continuity()
        self._frame = 0

    def prompt(self, part: str, **arguments: Any) -> None:
        """Tells the segmenter what `part` is in the coming image. Raises `ValueError`."""
        if self._continuity.size is not None:
            frame_prompt(**arguments).check_fits(*self._continuity.size)
        self._segmenter.prompt(part, **arguments)

    def _decode(self, message: Image | CompressedImage) -> Rgb | None:
        try:
            return rgb_of(message)
        except ImageError as error:
            self.statistics.add("rejected")
            self._log.error(f"{self.topic}: refused {describe(message)}: {error}")
            return None

    def _segment(self, rgb: Rgb) -> Segmentation | None:
        """One step of the segmenter. An exception in it costs this frame and the memory, not the node."""
        try:
            return self._step(rgb)
        except Exception:
            self.statistics.add("failed")
            self._log.error(f"{self.topic}: segmentation failed:\n{traceback.format_exc()}")
            self.restart("segmentation failed")
            return None

    def _step(self, rgb: Rgb) -> Segmentation:
        try:
            return self._segmenter.step(rgb)
        except ValueError as error:  # a prompt that does not fit this image: it is dropped, and the stream as it was
            self._log.error(f"{self.topic}: {error}")
            return self._segmenter.step(rgb)

    def _publish(self, arrival: Arrival, rgb: Rgb, segmentation: Segmentation, timings: dict[str, float]) -> None:
        header = arrival.message.header
        started = time.perf_counter()
        self._outputs.publish_masks(header, segmentation)
        timings["publish"] = (time.perf_counter() - started) * 1e3
        latency_ms = self.statistics.published(arrival.received)
        self.object_scores = dict(segmentation.object_score)
        self._outputs.publish_status(lambda: self._status(arrival, segmentation, timings, latency_ms))
        self._outputs.publish_overlay(header, rgb, segmentation, self._settings.overlay_alpha)

    def _status(
        self, arrival: Arrival, segmentation: Segmentation, timings: dict[str, float], latency_ms: float
    ) -> SegmentationStatus:
        header = arrival.message.header
        parts = list(segmentation.masks)
        counts = self.statistics.counts
        scores = [float(segmentation.object_score[part]) for part in parts]
        return SegmentationStatus(
            header=header,
            model=self._model,
            parts=parts,
            present=[score > 0.0 for score in scores],
            object_score=scores,
            predicted_iou=[float(segmentation.predicted_iou[part]) for part in parts],
            coverage=[float(np.mean(segmentation.masks[part])) for part in parts],
            frame=self._frame,
            received=counts.received,
            processed=counts.processed,
            dropped=self.latest.dropped,
            rejected=counts.rejected,
            resets=counts.resets,
            latency_ms=latency_ms,
            age_ms=self._age_ms(nanoseconds(header.stamp)),
            stage_names=list(timings),
            stage_ms=[float(value) for value in timings.values()],
        )

    def _age_ms(self, stamp: int) -> float:
        """Milliseconds since `stamp` on the node's clock; NaN where the camera gives no stamp."""
        return (self._node.get_clock().now().nanoseconds - stamp) / 1e6 if stamp else math.nan
