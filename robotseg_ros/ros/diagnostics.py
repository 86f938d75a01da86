"""`/diagnostics`: a status for the model and one per camera, by diagnostic_updater's conventions."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from .camera_stream import CameraStream
from .compatibility import reliability_name
from .loaded_model import LoadedModel
from .pipeline import Pipeline
from .throttled_log import ThrottledLog

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

REPEAT_S = 30.0


class Diagnostics:
    """Publishes what the node's life cycle and its streams say of themselves."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
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
        if stream.statistics.silence() > stream.settings.diagnostics_silence:
            message = self._silence(stream)
            self._log.warning(message)
            return ERROR, message
        bad = stream.statistics.counts.rejected + stream.statistics.counts.failed
        new, self._bad[stream.name] = bad - self._bad.get(stream.name, 0), bad
        if new <= 0:  # or counted from zero since
            return self._measured(stream, rate_out)
        level = WARN if rate_out else ERROR
        return (
            level,
            f"{stream.topic}: {new} images could not be segmented since the last report; see the log",
        )

    @staticmethod
    def _measured(stream: CameraStream, rate_out: float) -> tuple[bytes, str]:
        """WARN where a camera that works is beyond a limit that its user has set."""
        settings, (_, latency) = stream.settings, stream.statistics.latencies()
        problems = []
        if rate_out < settings.diagnostics_rate:
            problems.append(f"{rate_out:.1f} masks per second, fewer than {settings.diagnostics_rate:g}")
        if 0 < settings.diagnostics_latency < latency:
            problems.append(f"latency {latency:.0f} ms, more than {settings.diagnostics_latency:g}")
        scores = stream.object_scores
        if scores and max(scores.values()) < settings.diagnostics_object_score:
            best = max(scores, key=scores.__getitem__)
            problems.append(
                f"object score {scores[best]:.1f} ({best}), lower than {settings.diagnostics_object_score:g}"
            )
        return (WARN, "; ".join(problems)) if problems else (OK, f"{rate_out:.1f} masks per second")

    def _silence(self, stream: CameraStream) -> str:
        """Who publishes on the topic of a camera that says nothing."""
        publishers = self._node.get_publishers_info_by_topic(stream.topic)
        number = f"{len(publishers)} publisher{'' if len(publishers) == 1 else 's'}"
        text = f"no image for {stream.statistics.silence():.0f} s: {stream.topic} has {number}"
        if not publishers:
            return f"{text}; check the topic's name, the transport parameter and ROS_DOMAIN_ID"
        offers = ", ".join(f"{info.node_name} ({info.topic_type}, {reliability_name(info)})" for info in publishers)
        return (
            f"{text}: {offers}; this node takes {stream.kind} {stream.reliability}; "
            "large best-effort images need config/fastdds.xml at the sender too"
        )

    def _status(self, name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
        node = self._node.get_fully_qualified_name().lstrip("/")
        return DiagnosticStatus(
            name=f"{node}: {name}",
            hardware_id=node,
            level=level,
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
