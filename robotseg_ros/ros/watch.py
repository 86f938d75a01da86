"""Observes the demo's processes over ROS and waits, with a limit, for what must be true."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_srvs.srv import Trigger

from .processes import NodeProcess
from .progress import QOS, values_of

if TYPE_CHECKING:
    from typing_extensions import Self

STEP = 0.1
CALL_SECONDS = 2.0


class DemoError(RuntimeError):
    """The demo cannot go on; the message says what it waited for and what the processes printed last."""


class Progress:
    """The latest word of a helper process."""

    def __init__(self) -> None:
        self.state = ""
        self.values: dict[str, str] = {}

    def update(self, status: DiagnosticStatus) -> None:
        self.state, self.values = status.message, values_of(status)

    def numbers(self, prefix: str) -> dict[str, int]:
        """Figures whose names begin with a word, by the rest of the name (a topic)."""
        return {key[len(prefix) :]: int(value) for key, value in self.values.items() if key.startswith(prefix)}


class LifecycleState:
    """The state of a lifecycle node, which answers nobody while it configures: a question is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._question: Future | None = None

    def ask(self) -> str:
        """A state that it has told since the last call, such as `active`; empty while it has not answered."""
        if self._question is None:
            if self._client.service_is_ready():
                self._question = self._client.call_async(GetState.Request())
            return ""
        if not self._question.done():
            return ""
        answer, self._question = self._question.result(), None
        return str(answer.current_state.label)


class Watch:
    """A ROS node of our own in a context of its own, so that Ctrl-C stays Python's KeyboardInterrupt."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("robotseg_demo", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def progress_of(self, node: str) -> Progress:
        """Follow a replay or recorder by the full name of its node."""
        progress = Progress()
        self._node.create_subscription(DiagnosticStatus, f"{node}/progress", progress.update, QOS)
        return progress

    def lifecycle_of(self, node: str) -> LifecycleState:
        """Ask for the state of a lifecycle node by its full name."""
        return LifecycleState(self._node.create_client(GetState, f"{node}/get_state"))

    def trigger(self, service: str) -> bool:
        """Call a std_srvs/Trigger; False when it does not answer or refuses."""
        answer = self._call(Trigger, service, Trigger.Request())
        return answer is not None and answer.success

    def _call(self, kind: Any, service: str, request: Any) -> Any:
        client = self._node.create_client(kind, service)
        try:
            if not client.wait_for_service(timeout_sec=CALL_SECONDS):
                return None
            future = client.call_async(request)
            self._executor.spin_until_future_complete(future, timeout_sec=CALL_SECONDS)
            return future.result() if future.done() else None
        finally:
            self._node.destroy_client(client)

    def until(self, condition: Callable[[], bool], seconds: float, what: str, processes: Sequence[NodeProcess]) -> None:
        """Wait for a condition while all these processes live.

        Raises:
            DemoError: a process ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            for process in processes:
                if not process.running:
                    raise DemoError(
                        f"the {process.name} ended with exit code {process.exit_code} while the demo waited "
                        f"for {what}; it printed last:\n{process.tail()}"
                    )
            if time.monotonic() > deadline:
                printed = "\n".join(f"--- {process.name}:\n{process.tail()}" for process in processes)
                raise DemoError(f"waited {seconds:g} s for {what} in vain; the processes printed last:\n{printed}")
            self.spin(STEP)

    def spin(self, seconds: float) -> None:
        """Take in messages for this long."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=remaining)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)
