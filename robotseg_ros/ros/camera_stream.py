"""One camera in the node: subscription, mailbox, segmenter with its memory, outputs and counters.

The executor's thread opens, closes and fills the mailbox; everything else happens in the inference thread, where
`batching` takes the images of all cameras through the network.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image

from ..imaging import ImageError, Rgb
from ..msg import SegmentationStatus
from ..streaming import Segmentation
from ..streaming.prompts import frame_prompt
from .compatibility import incompatibility, reliability_name
from .continuity import Continuity
from .conversions import describe, nanoseconds, rgb_of
from .depth_cue import CameraDepthCue
from .endpoints import Events, subscribe
from .latest import Latest
from .loaded_model import LoadedModel
from .parameters import Settings
from .publishing import Outputs
from .self_filter import SelfFilter
from .statistics import StreamStatistics
from .throttled_log import ThrottledLog


@dataclass(frozen=True)
class Arrival:
    """A message and when it came, in seconds on the statistics' clock."""

    message: Image | CompressedImage
    received: float


@dataclass(frozen=True)
class Frame:
    """An image ready for the network."""

    arrival: Arrival
    rgb: Rgb
    stamp: int  # in nanoseconds; 0: none
    decode_ms: float


class CameraStream:
    """A camera by its name ('' for the only one): made at configure, open while the node is active."""

    def __init__(
        self,
        node: Node,
        name: str,
        model: LoadedModel,
        settings: Settings,
        ready: threading.Condition,
        filter_ready: threading.Condition,
    ) -> None:
        """`ready` is notified when an image comes, `filter_ready` for the self filter; the settings are this camera's."""
        self.name = name
        self.latest: Latest[Arrival] = Latest(ready)
        self.statistics = StreamStatistics()
        self.paused = False
        self.segmenter = model.new_stream(settings)
        self.object_scores: dict[str, float] = {}  # of the last frame
        self._node = node
        self.model = model
        self.settings = settings
        self._log = ThrottledLog(node.get_logger())
        self._prefix = f"{name}/" if name else ""
        self._outputs = Outputs(node, self._prefix, settings.parts)
        self.self_filter = SelfFilter(node, self._prefix, settings, filter_ready)
        self.depth_cue = CameraDepthCue(node, self._prefix, settings)
        self._continuity = Continuity()
        self._frame = 0
        self._subscription: Subscription | None = None
        self._events: Events | None = None

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
        return str(base if self.settings.transport == "raw" else f"{base}/compressed")

    @property
    def _message_type(self) -> type[Image] | type[CompressedImage]:
        return Image if self.settings.transport == "raw" else CompressedImage

    @property
    def kind(self) -> str:
        """The type of its images, as in `ros2 topic info`."""
        return f"sensor_msgs/msg/{self._message_type.__name__}"

    @property
    def reliability(self) -> str:
        """What the subscription asks of publishers: RELIABLE (also after a QoS override) or BEST_EFFORT."""
        return reliability_name(self._subscription) if self._subscription is not None else "nothing"

    def mismatch(self, publisher: TopicEndpointInfo) -> str:
        """Why a publisher's messages cannot reach this camera's subscription; empty where they can."""
        if publisher.topic_type != self.kind:
            return f"this node takes {self.kind}"
        if self._subscription is None:
            return ""
        return incompatibility(publisher.qos_profile, self._subscription.qos_profile)

    @property
    def is_open(self) -> bool:
        """Whether it is subscribed to its images."""
        return self._subscription is not None

    @property
    def lost(self) -> int:
        """Images that the middleware says were sent and never arrived, since it was opened."""
        return self._events.lost if self._events is not None else 0

    def open(self) -> None:
        """Subscribes and counts from zero."""
        self.statistics.restart()
        self.depth_cue.restart_counts()
        self.latest.clear()
        self._subscription, self._events = subscribe(self._node, self._message_type, self.topic, self.receive, depth=1)

    def close(self) -> None:
        """Unsubscribes and forgets the image that waits; one in work is still published."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.self_filter.close()
        self.depth_cue.close()
        self.latest.clear()

    def follow(self) -> None:
        """Subscribes to what the camera gives beside images while something is made of it."""
        self.self_filter.follow()
        self.depth_cue.follow()

    def follow_parts(self) -> None:
        """Advertises the masks of the parts and no other."""
        self._outputs.follow()

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
        self.self_filter.destroy()

    # Inference thread

    def take(self) -> Arrival | None:
        """The newest image, or None."""
        return self.latest.take()

    def prepare(self, arrival: Arrival) -> Frame | None:
        """Decodes an image and makes the stream ready for it. What is wrong with it is logged and counted: None then."""
        started = time.perf_counter()
        rgb = self._decode(arrival.message)
        if rgb is None:
            return None
        decode_ms = (time.perf_counter() - started) * 1e3
        stamp = nanoseconds(arrival.message.header.stamp)
        reason = self._continuity.break_before((rgb.shape[0], rgb.shape[1]), stamp)
        if reason is not None:
            self.restart(reason)
        try:
            self.segmenter.admit(rgb)
        except ValueError as error:  # a prompt that does not fit this image: it is dropped, and the stream as it was
            self._log.error(f"{self.topic}: {error}")
        return Frame(arrival, rgb, stamp, decode_ms)

    def publish(self, frame: Frame, segmentation: Segmentation, batch: int) -> None:
        """Gives out what came of a frame that went through the network with those of other cameras, `batch` in all."""
        header = frame.arrival.message.header
        segmentation = self._refined(frame.stamp, segmentation)
        started = time.perf_counter()
        self._outputs.publish_masks(header, segmentation)
        self.self_filter.publish(header, segmentation.masks)
        timings = {"decode": frame.decode_ms, **segmentation.timings}
        timings["publish"] = (time.perf_counter() - started) * 1e3
        latency_ms = self.statistics.published(frame.arrival.received, batch)
        self.object_scores = dict(segmentation.object_score)
        self._outputs.publish_status(lambda: self._status(frame, segmentation, timings, latency_ms))
        self._outputs.publish_overlay(header, frame.rgb, segmentation, self.settings.overlay_alpha)
        self._frame += 1

    def _refined(self, stamp: int, segmentation: Segmentation) -> Segmentation:
        """By the depth of that stamp. The network's memory holds the masks as it made them."""
        if not self.depth_cue.is_on:
            return segmentation
        started = time.perf_counter()
        masks = self.depth_cue.refine(stamp, segmentation.masks)
        timings = {**segmentation.timings, "depth_cue": (time.perf_counter() - started) * 1e3}
        return replace(segmentation, masks=masks, timings=timings)

    def fail(self, what: str) -> None:
        """Counts a frame that was lost to an exception, and forgets the memory, which may be the cause."""
        if self._node.context.ok():  # most things fail while the process is being ended
            self.statistics.add("failed")
            self._log.error(f"{self.topic}: {what}")
            self.restart("the last image failed")

    def apply(self, settings: Settings) -> None:
        """Takes over the settings that may change while running."""
        self.settings = settings
        self.segmenter.parts = settings.parts
        self.segmenter.mask_threshold = settings.mask_threshold
        self._outputs.set_parts(settings.parts)
        self.self_filter.apply(settings)
        self.depth_cue.apply(settings)

    def restart(self, reason: str) -> None:
        """Forgets all that was seen: the next image is the first."""
        self.segmenter.reset()
        self.depth_cue.reset()
        self._frame = 0
        self.statistics.add("resets")
        self._log.warning(f"{self.topic}: stream starts anew: {reason}")

    def forget(self) -> None:
        """Like `restart`, for the end of an activation, which counts and reports nothing."""
        self.segmenter.reset()
        self.depth_cue.reset()
        self._continuity = Continuity()
        self._frame = 0

    def prompt(self, part: str, stamp: int, **arguments: Any) -> str:
        """Tells the segmenter what `part` is in the image of that stamp, in nanoseconds (0: the coming one), and says which
        image it takes. Raises `ValueError`."""
        kept = self.segmenter.keeps(stamp)
        if not kept and self._continuity.size is not None:
            frame_prompt(**arguments).check_fits(*self._continuity.size)
        self.segmenter.prompt(part, stamp=stamp, **arguments)
        if kept:
            return "applied to the image of that stamp"
        return "the image of that stamp is not kept: applied to the next one" if stamp else "applied to the next image"

    def segment_alone(self, rgb: Rgb, parts: Sequence[str]) -> Segmentation:
        """One image by the camera's model and, where none are named, its parts; its memory is not touched. Raises
        `ValueError`."""
        settings = replace(self.settings, parts=tuple(parts) or self.settings.parts, prompt_history=0)
        return self.model.new_stream(settings).step(rgb)

    def _decode(self, message: Image | CompressedImage) -> Rgb | None:
        try:
            return rgb_of(message)
        except ImageError as error:
            self.statistics.add("rejected")
            self._log.error(f"{self.topic}: refused {describe(message)}: {error}")
            return None

    def _status(
        self, frame: Frame, segmentation: Segmentation, timings: dict[str, float], latency_ms: float
    ) -> SegmentationStatus:
        parts = list(segmentation.masks)
        counts = self.statistics.counts
        scores = [float(segmentation.object_score[part]) for part in parts]
        return SegmentationStatus(
            header=frame.arrival.message.header,
            model=self.model.name,
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
            age_ms=self._age_ms(frame.stamp),
            stage_names=list(timings),
            stage_ms=[float(value) for value in timings.values()],
        )

    def _age_ms(self, stamp: int) -> float:
        """Milliseconds since `stamp` on the node's clock; NaN where the camera gives no stamp."""
        return (self._node.get_clock().now().nanoseconds - stamp) / 1e6 if stamp else math.nan
