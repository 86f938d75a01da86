"""The lifecycle node `robotseg`: camera images in, masks of the robot out.

configure loads and warms up the model, activate subscribes, deactivate stops, cleanup frees. Whatever goes
wrong on the way is logged in full, because rclpy keeps exceptions of these callbacks to itself.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, TimeoutError
from functools import partial, wraps
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from . import parameters
from .compatibility import steady_clock
from .diagnostics import Diagnostics
from .pipeline import FRAME_PATIENCE_S, UNANSWERED, Pipeline
from .services import Services
from .throttled_log import ThrottledLog

DIAGNOSTICS_PERIOD_S = 1.0
FOLLOW_PERIOD_S = 0.2  # after this time at most, a new part has its topic and a new subscriber's output its input

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
    """The life cycle, the parameters and the services; from configure to cleanup also a `Pipeline`, which does the work."""

    def __init__(self, **arguments: Any) -> None:
        """Raises `ParameterError` where a parameter is given a value it cannot have."""
        super().__init__("robotseg", **arguments)
        self._pipeline: Pipeline | None = None
        settings = parameters.declare(self)
        for text in parameters.unknown_parameters(self):
            self.get_logger().warning(text)
        self._crash_log = ThrottledLog(self.get_logger())
        self.diagnostics = Diagnostics(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._offered = Services(self, lambda: self._pipeline, lambda: self.state)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._on_diagnostics, clock=steady_clock())
        self.create_timer(FOLLOW_PERIOD_S, self._on_follow, clock=steady_clock())
        if settings.autostart:
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
        parameters.declare_cameras(self)
        settings = parameters.current(self)
        try:
            self._pipeline = Pipeline(self, settings, partial(self._on_crash, "frame lost"))
            if not self.context.ok():
                return TransitionCallbackReturn.FAILURE
            self._offered.serve_cameras(settings.cameras)
        except Exception:
            self._free()
            raise
        for model in self._pipeline.models:
            self.get_logger().info(
                f"model {model.name} on {model.device}: {model.frame_ms:.0f} ms per frame, loaded in {model.load_s:.1f} s"
            )
        return TransitionCallbackReturn.SUCCESS

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes to the images."""
        assert self._pipeline is not None
        self._pipeline.open()
        for stream in self._pipeline.streams:
            parts = ", ".join(stream.segmenter.parts)
            self.get_logger().info(f"segmenting {stream.topic} ({stream.kind}, {stream.reliability}): {parts}")
        return super().on_activate(state)

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribes; when this returns, the last mask is out."""
        assert self._pipeline is not None
        self._pipeline.close()
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
        if self._pipeline is not None and not self._pipeline.stop():
            self.get_logger().error(f"inference did not end within {FRAME_PATIENCE_S:.0f} s")

    def _free(self) -> None:
        self._offered.withdraw_cameras()
        if self._pipeline is not None:
            self._pipeline.free()
        self._pipeline = None

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
        free = self.state in ("unconfigured", "configuring")  # configuring declares what cameras have of their own
        try:
            for change in changes:
                value = parameters.checked_change(self, change.name, change.value, free)
                if value is not None:
                    values[change.name] = value
            if values and self._pipeline is not None:
                self._pipeline.apply(parameters.current(self, values))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except (TimeoutError, CancelledError):  # an exception of this callback would end the process
            return SetParametersResult(successful=False, reason=UNANSWERED)
        return SetParametersResult(successful=True)

    def _on_follow(self) -> None:
        try:
            if self._pipeline is not None:
                self._pipeline.follow()
        except Exception as error:  # an exception of a timer would end the process
            self._on_crash("following parts and subscribers failed", error)

    def _on_diagnostics(self) -> None:
        try:
            self.diagnostics.publish(self.state, self._pipeline)
        except Exception as error:  # an exception of a timer would end the process
            self._on_crash("diagnostics failed", error)
