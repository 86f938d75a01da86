"""The node's services: prompt, segment one image, reset, pause."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, TimeoutError
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.service import Service
from std_srvs.srv import SetBool, Trigger

from ..srv import Prompt, Segment
from .camera_stream import CameraStream
from .conversions import nanoseconds
from .pipeline import UNANSWERED, Pipeline
from .service_messages import asked_image, prompt_arguments, segment_response


class Services:
    """`~/prompt`, `~/segment`, and `~/reset` and `~/pause` for all cameras; the last two also per camera, below its name.

    They answer in every state of the life cycle; `pipeline` gives None where the node is not configured.
    """

    def __init__(self, node: Node, pipeline: Callable[[], Pipeline | None], state: Callable[[], str]) -> None:
        self._node, self._pipeline, self._state = node, pipeline, state
        self._of_cameras: list[Service] = []
        node.create_service(Prompt, "~/prompt", self._answering(self._prompt))
        node.create_service(Segment, "~/segment", self._answering(self._segment))
        self._serve("~", lambda pipeline: pipeline.streams)

    def serve_cameras(self, names: Sequence[str]) -> None:
        """Offers what there is per camera, for those that have a name."""
        for name in filter(None, names):
            self._of_cameras += self._serve(f"~/{name}", partial(_only, name))

    def withdraw_cameras(self) -> None:
        """Takes back what `serve_cameras` offered."""
        for service in self._of_cameras:
            self._node.destroy_service(service)
        self._of_cameras = []

    def _serve(self, prefix: str, chosen: Callable[[Pipeline], Sequence[CameraStream]]) -> list[Service]:
        reset, pause = partial(self._reset, chosen), partial(self._pause, chosen)
        return [
            self._node.create_service(Trigger, f"{prefix}/reset", self._answering(reset)),
            self._node.create_service(SetBool, f"{prefix}/pause", self._answering(pause)),
        ]

    def _answering(self, action: Callable[[Pipeline, Any, Any], str]) -> Callable[[Any, Any], Any]:
        """A service's callback: `success` and `message` say what the action did, or why it could not."""

        def answer(request: Any, response: Any) -> Any:
            pipeline = self._pipeline()
            response.success = False
            if pipeline is None:
                response.message = f"the node is {self._state()}; configure it first"
                return response
            try:
                response.message = action(pipeline, request, response)
                response.success = True
            except ValueError as error:
                response.message = str(error)
            except (TimeoutError, CancelledError):
                response.message = UNANSWERED
            except Exception:
                self._node.get_logger().error(f"service failed:\n{traceback.format_exc()}")
                response.message = "failed; the node's log has the traceback"
            return response

        return answer

    def _prompt(self, pipeline: Pipeline, request: Prompt.Request, response: Prompt.Response) -> str:
        arguments = prompt_arguments(request)
        stamp = nanoseconds(request.stamp)
        stream = pipeline.named(request.camera)
        (done,) = pipeline.between_frames(lambda s: s.prompt(request.part, stamp, **arguments), [stream])
        return f"{request.part}: {done}"

    def _segment(self, pipeline: Pipeline, request: Segment.Request, response: Segment.Response) -> str:
        stream = pipeline.named(request.camera) if request.camera else pipeline.streams[0]
        header, rgb = asked_image(request)
        (found,) = pipeline.between_frames(lambda s: s.segment_alone(rgb, tuple(request.parts)), [stream])
        segment_response(response, header, found)
        return f"segmented by the model of {stream.name or 'the camera'}"

    def _reset(
        self,
        chosen: Callable[[Pipeline], Sequence[CameraStream]],
        pipeline: Pipeline,
        request: Trigger.Request,
        response: Trigger.Response,
    ) -> str:
        pipeline.between_frames(lambda stream: stream.restart("reset was called"), chosen(pipeline))
        return "the next image is the first of a new stream"

    def _pause(
        self,
        chosen: Callable[[Pipeline], Sequence[CameraStream]],
        pipeline: Pipeline,
        request: SetBool.Request,
        response: SetBool.Response,
    ) -> str:
        def pause(stream: CameraStream) -> None:
            stream.paused = request.data

        pipeline.between_frames(pause, chosen(pipeline))
        return "paused" if request.data else "running"


def _only(name: str, pipeline: Pipeline) -> list[CameraStream]:
    return [pipeline.named(name)]
