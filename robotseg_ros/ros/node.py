"""The lifecycle node `robotseg`: camera images in, masks of the robot out.

configure loads and warms up the model, activate subscribes, deactivate stops, cleanup frees. Whatever goes
wrong on the way is logged in full, because rclpy keeps exceptions of these callbacks to itself.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, TimeoutError
from dataclasses import replace
from functools import partial, wraps
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from ..srv import Prompt
from . import parameters
from .camera_stream import CameraStream
from .compatibility import steady_clock
from .diagnostics import Diagnostics
from .loaded_model import LoadedModel, load, release
from .parameters import ParameterError
from .prompting import prompt_arguments
from .throttled_log import ThrottledLog
from .worker import Worker

DIAGNOSTICS_PERIOD_S = 1.0
# How long a service waits for the frame in work; the slowest model on a CPU takes a few seconds for one.
FRAME_PATIENCE_S = 20.0

Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def _reported(transition: Transition) -> Transition:
    """A transition whose exception is logged and makes it fail: the node goes back to where it was."""

    @wraps(transition)
    def run(self: RobotSegNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            result = transition(self, state)
        except Exception as error:
            if not self.context.ok():  # the process is being ended meanwhile: then most things fail
                return TransitionCallbackReturn.FAILURE
            expected = isinstance(error, (ValueError, OSError))  # their messages are written for users
            self.fail(f"{transition.__name__} failed: {error if expected else traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        self.diagnostics.failure = ""
        return result

    return run


class RobotSegNode(LifecycleNode):
    """Owns the model, the inference thread and a `CameraStream` per camera."""

    def __init__(self, **arguments: Any) -> None:
        """Raises `ParameterError` where a parameter is given a value it cannot have."""
        super().__init__("robotseg", **arguments)
        self._model: LoadedModel | None = None
        self._worker: Worker | None = None
        self._streams: list[CameraStream] = []
        self._settings = parameters.declare(self)
        for text in parameters.unknown_parameters(self):
            self.get_logger().warning(text)
        self._crash_log = ThrottledLog(self.get_logger())
        self.diagnostics = Diagnostics(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.create_service(Prompt, "~/prompt", self._on_prompt)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._on_diagnostics, clock=steady_clock())
        if self._settings.autostart:
            self._autostart = self.create_timer(0.001, self._on_autostart, clock=steady_clock())

    # Life cycle

    @property
    def state(self) -> str:
        """The life cycle's state: unconfigured, inactive, active, ..."""
        return str(self._state_machine.current_state[1])

    def fail(self, message: str) -> None:
        """Says in the log and in the diagnostics why a transition failed."""
        self.diagnostics.failure = message
        self.get_logger().error(message)

    @_reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads and warms up the model and advertises the outputs."""
        self._settings = parameters.current(self)
        log = self.get_logger()
        log.info(f"loading model {self._settings.model} on device {self._settings.device} ...")
        try:
            self._worker = Worker(partial(self._on_crash, "frame lost"))
            self._worker.start()
            self._model = self._worker.call(partial(load, self._settings, self.context.ok)).result()
            if not self.context.ok():
                return TransitionCallbackReturn.FAILURE
            self._add_stream(self._settings.camera, self._model, self._worker)
        except Exception:
            self._free()
            raise
        parts = ", ".join(self._settings.parts)
        log.info(
            f"model {self._model.name} on {self._model.device}: {self._model.frame_ms:.0f} ms per frame, "
            f"loaded in {self._model.load_s:.1f} s; parts: {parts}"
        )
        return TransitionCallbackReturn.SUCCESS

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes to the images."""
        for stream in self._streams:
            stream.open()
            self.get_logger().info(f"segmenting {stream.topic} ({stream.kind}, {stream.reliability})")
        return super().on_activate(state)

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribes; when this returns, the last mask is out."""
        self._close()
        return super().on_deactivate(state)

    @_reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Frees the model and takes the topics back."""
        self._free()
        return super().on_cleanup(state)

    @_reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Whatever the state was, ends in nothing held."""
        self._free()
        return super().on_shutdown(state)

    @_reported
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self._free()
        return super().on_error(state)

    def stop(self) -> None:
        """Ends the inference thread, for the end of the process; the ROS context may be gone already."""
        if self._worker is not None and not self._worker.stop(FRAME_PATIENCE_S):
            self.get_logger().error(f"inference did not end within {FRAME_PATIENCE_S:.0f} s")
        self._worker = None

    def _add_stream(self, camera: str, model: LoadedModel, worker: Worker) -> None:
        segmenter = model.new_stream(self._settings)
        stream = CameraStream(self, camera, model.name, segmenter, self._settings, worker)
        self._streams.append(stream)
        worker.serve(stream)

    def _close(self) -> None:
        for stream in self._streams:
            stream.close()
        if self._worker is not None:
            for stream in self._streams:
                self._worker.call(stream.forget).result(FRAME_PATIENCE_S)

    def _free(self) -> None:
        for stream in self._streams:
            stream.close()
        self.stop()
        for stream in self._streams:
            stream.destroy()
        self._streams = []
        if self._model is not None:
            device = self._model.device
            self._model = None
            release(device)

    def _on_autostart(self) -> None:
        self.destroy_timer(self._autostart)
        if self.state != "unconfigured":  # somebody was faster
            return
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            if not self.context.ok():
                return
            name = self.get_fully_qualified_name()
            self.get_logger().error(
                f"not started; mend the above, then: ros2 lifecycle set {name} configure, and activate"
            )
            return
        self.trigger_activate()

    def _on_crash(self, what: str, error: Exception) -> None:
        """Logs an unexpected exception of a thread or callback that goes on."""
        if self.context.ok():  # publishing fails while the process is being ended
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            self._crash_log.error(f"{what}:\n{text}")

    # Parameters

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuses what cannot be; the inference thread takes the rest over before the next frame."""
        values: dict[str, Any] = {}
        try:
            for change in changes:
                value = parameters.checked_change(change.name, change.value, self.state == "unconfigured")
                if value is not None:
                    values[change.name] = value
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = replace(self._settings, **values)
        if values and self._worker is not None:
            for stream in self._streams:
                self._worker.call(partial(stream.apply, self._settings))
        return SetParametersResult(successful=True)

    # Services

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._between_frames(
            lambda stream: stream.restart("reset was called"), "the next image is the first of a new stream"
        )
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        def pause(stream: CameraStream) -> None:
            stream.paused = request.data

        response.success, response.message = self._between_frames(pause, "paused" if request.data else "running")
        return response

    def _on_prompt(self, request: Prompt.Request, response: Prompt.Response) -> Prompt.Response:
        try:
            arguments = prompt_arguments(request)
        except ValueError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = self._between_frames(
            lambda stream: stream.prompt(request.part, **arguments),
            f"{request.part}: applied to the next image",
        )
        return response

    def _between_frames(self, action: Callable[[CameraStream], None], done: str) -> tuple[bool, str]:
        """Has the inference thread do something to every stream; success, and `done` or what went wrong."""
        if self._worker is None:
            return False, f"the node is {self.state}; configure it first"
        try:
            for stream in self._streams:
                self._worker.call(partial(action, stream)).result(FRAME_PATIENCE_S)
        except ValueError as error:
            return False, str(error)
        except (TimeoutError, CancelledError):
            return False, f"no frame was finished within {FRAME_PATIENCE_S:.0f} s"
        except Exception:
            self.get_logger().error(f"service failed:\n{traceback.format_exc()}")
            return False, "failed; the node's log has the traceback"
        return True, done

    def _on_diagnostics(self) -> None:
        try:
            self.diagnostics.publish(self.state, self._model, self._streams)
        except Exception as error:  # an exception of a timer would end the process
            self._on_crash("diagnostics failed", error)
