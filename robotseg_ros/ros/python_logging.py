"""What the ROS-free rooms log with Python's logging, said by the node's logger on the console and /rosout."""

from __future__ import annotations

import logging
from typing import Any

PACKAGE = __name__.split(".", maxsplit=1)[0]


class NodeLogHandler(logging.Handler):
    """Hands records on to a node's logger."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Says a record; the severity of a line that logs is fixed in rclpy, so each has its own."""
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def attach(self) -> None:
        """From now on, records of this package come here and nowhere else."""
        log = logging.getLogger(PACKAGE)
        log.addHandler(self)
        log.propagate = False

    def detach(self) -> None:
        """Back to Python's own handlers."""
        log = logging.getLogger(PACKAGE)
        log.removeHandler(self)
        log.propagate = True
