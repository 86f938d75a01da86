"""Child processes with a ROS node each: started with our own Python and parameters, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# A node that is asked politely finishes its bag and tidies its DDS segments; one that hangs must not stay.
_STOPPING = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class NodeProcess:
    """A module with a `main` that runs a node, as a process in a group of its own (Ctrl-C reaches only us).

    Args:
        module: to run with `python -m`, by this very interpreter.
        name: of the process in messages and log file, and of the node where it takes a parameter file.
        parameters: ROS parameters; a file carries them, so that no value is misread on a command line.
        remaps: ROS arguments `from:=to`, such as `__ns:=/camera`.
        environment: added to our own.
        log: file that gets what the process prints; None lets it print to our terminal.
    """

    def __init__(
        self,
        module: str,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        remaps: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.name, self.log = name, log
        self._scratch = tempfile.TemporaryDirectory(prefix=f"robotseg-{name}-")
        self._output: IO[bytes] | None = None if log is None else log.open("wb")
        command = [sys.executable, "-m", module, "--ros-args"]
        command += ["--params-file", str(self._parameter_file(parameters or {}))]
        for remap in remaps:
            command += ["-r", remap]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def _parameter_file(self, parameters: Mapping[str, Any]) -> Path:
        path = Path(self._scratch.name, "parameters.yaml")
        # JSON is YAML with every text in quotes; without them ROS reads y, on or 1e3 as something else.
        path.write_text(json.dumps({"/**": {"ros__parameters": dict(parameters)}}), "utf-8")
        return path

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def tail(self, lines: int = 15) -> str:
        """The last lines it printed, for an error message."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def wait(self, seconds: float) -> bool:
        """True when it ended by itself within this time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> int | None:
        """End the process and what it started: first as Ctrl-C does, then harder. Returns the exit code."""
        for number, patience in _STOPPING:
            if not self.running:
                break
            self._signal(number)
            self.wait(patience)
        self._signal(signal.SIGKILL)
        if self._output is not None:
            self._output.close()
        self._scratch.cleanup()
        return self.exit_code

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_all(processes: Sequence[NodeProcess]) -> None:
    """Stop several at once: all are asked first, then waited for."""
    for process in processes:
        if process.running:
            process._signal(signal.SIGINT)
    deadline = time.monotonic() + 10.0
    for process in processes:
        process.wait(max(0.1, deadline - time.monotonic()))
    for process in processes:
        process.stop()
