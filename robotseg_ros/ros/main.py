"""The executable `robotseg_node`: one node in one executor, ended by SIGINT or SIGTERM with exit code 0."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from .node import RobotSegNode
from .parameters import ParameterError
from .python_logging import NodeLogHandler

BAD_PARAMETER = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the node until it is told to end; 2 where a parameter is given a value it cannot have."""
    # rclpy's own handlers, installed next, wake the executor and then call these: without them Python would
    # raise a KeyboardInterrupt anywhere, also in the middle of the clearing up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    rclpy.init(args=None if arguments is None else list(arguments))
    try:
        node = RobotSegNode()
    except ParameterError as error:
        rclpy.logging.get_logger("robotseg").fatal(str(error))
        rclpy.try_shutdown()
        return BAD_PARAMETER
    _spin(node)
    return 0


def _spin(node: RobotSegNode) -> None:
    """Runs callbacks until the context ends, then joins the thread that would abort the process."""
    log = NodeLogHandler(node.get_logger())
    log.attach()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():  # else a callback was cut off by the end of the context
            raise
    finally:
        rclpy.try_shutdown()
        node.stop()
        log.detach()
        executor.shutdown()
        node.destroy_node()


if __name__ == "__main__":
    sys.exit(main())
