"""`/diagnostics`: a status for the model and one per camera, by diagnostic_updater's conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from .camera_stream import CameraStream
from .compatibility import reliability_name
from .endpoints import advertise
from .loaded_model import LoadedModel
from .parameters import Settings
from .pipeline import Pipeline
from .throttled_log import ThrottledLog

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

REPEAT_S = 30.0
FILTER_PATIENCE_S = 3.0  # without depth or points that somebody waits for, where silence is never an error


@dataclass(frozen=True)
class Limits:
    """Where a camera gets into WARN or ERROR, as its user has set it."""

    silence: float
    latency: float
    rate: float
    object_score: float

    @classmethod
    def of(cls, settings: Settings, level: str) -> Limits:
        """Of a level, `warn` or `error`."""
        return cls(*(getattr(settings, f"diagnostics_{level}_{field.name}") for field in fields(cls)))

    def exceeded_by(self, stream: CameraStream, rate_out: float) -> list[str]:
        """What a camera that gives images is beyond, in words."""
        (_, latency), scores = stream.statistics.latencies(), stream.object_scores
        problems = []
        if rate_out < self.rate and stream.statistics.settled:
            problems.append(f"{rate_out:.1f} masks per second, fewer than {self.rate:g}")
        if 0 < self.latency < latency:
            problems.append(f"latency {latency:.0f} ms, more than {self.latency:g}")
        if scores and max(scores.values()) < self.object_score:
            best = max(scores, key=scores.__getitem__)
            problems.append(f"object score {scores[best]:.1f} ({best}), lower than {self.object_score:g}")
        return problems


class Diagnostics:
    """Publishes what the node's life cycle and its streams say of themselves."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = advertise(node, DiagnosticArray, "/diagnostics")
        self._log = ThrottledLog(node.get_logger(), period=REPEAT_S)
        self._bad: dict[str, int] = {}  # images that could not be segmented up to the last report, by camera
        self.failure = ""  # why the last transition failed

    def publish(self, state: str, pipeline: Pipeline | None) -> None:
        """One array with everything as it is now."""
        models = pipeline.models if pipeline is not None else []
        streams = pipeline.streams if pipeline is not None else []
        array = DiagnosticArray(status=[*self._of_models(state, models), *(self._of_stream(s) for s in streams)])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _of_models(self, state: str, models: Sequence[LoadedModel]) -> list[DiagnosticStatus]:
        """One status, also without a model, and one per model where cameras have models of their own."""
        level, message = (ERROR, self.failure) if self.failure else (OK, state)
        if len(models) <= 1:
            of_model = models[0].described() if models else {}
            return [self._status("model", level, message, {"state": state} | of_model)]
        return [self._status(f"model {m.name}", level, message, {"state": state} | m.described()) for m in models]

    def _of_stream(self, stream: CameraStream) -> DiagnosticStatus:
        statistics = stream.statistics
        counts = statistics.counts
        rate_in, rate_out = statistics.rates()
        median, high = statistics.latencies()
        values = {
            "topic": stream.topic,
            "input_hz": f"{rate_in:.1f}",
            "output_hz": f"{rate_out:.1f}",
            "received": str(counts.received),
            "processed": str(counts.processed),
            "lost": str(stream.lost),
            "dropped": str(stream.latest.dropped),
            "rejected": str(counts.rejected),
            "failed": str(counts.failed),
            "resets": str(counts.resets),
            "latency_p50_ms": f"{median:.1f}",
            "latency_p95_ms": f"{high:.1f}",
            "cameras_per_network_call": f"{statistics.batch():.1f}",
            "last_image_age_s": f"{statistics.silence():.1f}",
        }
        for topic in stream.self_filter.topics:
            values |= topic.described()
        values |= stream.depth_cue.described()
        values |= {f"object_score_{part}": f"{score:.2f}" for part, score in stream.object_scores.items()}
        level, message = self._judge(stream, rate_out)
        return self._status(stream.name or "camera", level, message, values)

    def _judge(self, stream: CameraStream, rate_out: float) -> tuple[bytes, str]:
        """Level and message of a camera; what keeps images away is also logged."""
        if not stream.is_open:
            return OK, "inactive"
        if stream.paused:
            return OK, "paused"
        bad, problems = self._losses(stream, rate_out)
        for level, limits in ((ERROR, Limits.of(stream.settings, "error")), (WARN, Limits.of(stream.settings, "warn"))):
            if 0 < limits.silence < stream.statistics.silence():
                return level, self._silence(stream, level)
            if beyond := limits.exceeded_by(stream, rate_out):
                return max(bad, level), "; ".join([*beyond, *problems])
        return bad, "; ".join(problems) or f"{rate_out:.1f} masks per second"

    def _losses(self, stream: CameraStream, rate_out: float) -> tuple[bytes, list[str]]:
        """What has come since the last report and could not be used, and how bad that is."""
        counts = stream.statistics.counts
        bad = counts.rejected + counts.failed
        new, self._bad[stream.name] = bad - self._bad.get(stream.name, 0), bad
        patience = stream.settings.diagnostics_error_silence or FILTER_PATIENCE_S
        problems = [text for topic in stream.self_filter.topics if (text := topic.trouble(patience))]
        if new <= 0:  # or counted from zero since
            return (WARN if problems else OK), problems
        lost = f"{stream.topic}: {new} images could not be segmented since the last report; see the log"
        return (WARN if rate_out else ERROR), [lost, *problems]

    def _silence(self, stream: CameraStream, level: bytes) -> str:
        """Who publishes on the topic of a camera that says nothing."""
        publishers = self._node.get_publishers_info_by_topic(stream.topic)
        number = f"{len(publishers)} publisher{'' if len(publishers) == 1 else 's'}"
        text = f"no image for {stream.statistics.silence():.0f} s: {stream.topic} has {number}"
        if not publishers:
            text += "; check the topic's name, the transport parameter and ROS_DOMAIN_ID"
        mismatches = [stream.mismatch(publisher) for publisher in publishers]
        for publisher, mismatch in zip(publishers, mismatches, strict=True):
            text += f", reliability {reliability_name(publisher)} ({publisher.node_name}, {publisher.topic_type})"
            text += f", which cannot match: {mismatch}" if mismatch else ""
        if not all(mismatches):
            text += f"; this node asks {stream.reliability}"
            text += "; large best-effort images need config/fastdds.xml at the sender too"
        if level == ERROR:
            self._log.warning(text)
        return text

    def _status(self, name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
        node = self._node.get_fully_qualified_name().lstrip("/")
        return DiagnosticStatus(
            name=f"{node}: {name}",
            hardware_id=node,
            level=level,
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
