"""Runs the demo: node, replay and recorder as processes, in an order that loses no message."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from ..ros.environment import applied, private_variables
from ..ros.processes import NodeProcess, stop_all
from ..ros.watch import DemoError, Progress, Watch
from . import topics
from .results import Results, collect, truth_clip

NODE = f"{topics.NAMESPACE}/robotseg"
REPLAY, RECORDER = "/replay", "/recorder"
QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class DemoSettings:
    """What to run: a bag with the demo's topics, where to write, and the node's parameters."""

    bag: Path
    out: Path
    model: str = "robotseg_nano"
    checkpoint: str = ""
    device: str = "auto"
    parts: Sequence[str] = ("arm", "gripper", "robot")
    rate: float = 1.0
    start_seconds: float = 120.0

    @property
    def recording(self) -> Path:
        return self.out / "masks"

    @property
    def logs(self) -> Path:
        return self.out / "logs"

    def recorded_topics(self) -> list[str]:
        """The input, so that the new bag shows image and masks together, and what the node makes of it."""
        return [topics.IMAGE, topics.STATUS, topics.OVERLAY, *(topics.mask(part) for part in self.parts)]


Tell = Callable[[str], None]


def run(settings: DemoSettings, tell: Tell = print) -> Results:
    """Replay the bag through the node, record what it makes of it, write the files and give the figures.

    Raises:
        DemoError: a process failed or did not get ready in time.
        ClipError: the bag cannot be used.
    """
    clip = truth_clip(settings.bag, settings.parts)  # refuses a bag that cannot be scored before anything runs
    _clear(settings)
    _replay(settings, len(clip), tell)
    tell("scoring and drawing ...")
    return collect(settings.bag, settings.recording, settings.out, settings.parts)


def _clear(settings: DemoSettings) -> None:
    """Remove what an earlier run left, and nothing else."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    if settings.recording.exists():
        shutil.rmtree(settings.recording)


def _replay(settings: DemoSettings, frames: int, tell: Tell) -> None:
    """Run the processes until the last image's masks are recorded."""
    with ExitStack() as cleanup:
        cleanup.enter_context(applied(private_variables()))
        processes: list[NodeProcess] = []
        cleanup.callback(lambda: stop_all(processes))
        node, replay, recorder = _start(settings, processes)
        watch = cleanup.enter_context(Watch())
        playing, recording = watch.progress_of(REPLAY), watch.progress_of(RECORDER)
        tell(f"starting the node with model {settings.model} ...")
        _wait_until_active(watch, settings, node, processes)
        watch.until(lambda: _ready(recording), 30.0, "the recorder to find every topic", processes)
        watch.until(lambda: watch.trigger(f"{REPLAY}/resume"), 20.0, "the replay to answer", processes)
        watch.until(lambda: playing.state in ("playing", "finished"), 30.0, "the first image", processes)
        tell(f"replaying {settings.bag} ...")
        with tqdm(total=frames, unit="frame", disable=None, leave=False) as bar:
            _wait_until_played(watch, settings, playing, processes, bar)
        _wait_until_quiet(watch, recording, [node, recorder])
        _finish(recorder)


def _start(settings: DemoSettings, processes: list[NodeProcess]) -> tuple[NodeProcess, NodeProcess, NodeProcess]:
    """Start all three at once, since starting takes longest; `processes` has each as soon as it lives."""
    parameters: dict[str, dict[str, Any]] = {
        "node": {
            "model": settings.model,
            "checkpoint": settings.checkpoint,
            "device": settings.device,
            "parts": list(settings.parts),
            "transport": "compressed",
            "autostart": True,
        },
        "replay": {
            "bag": str(settings.bag.resolve()),
            "topics": [topics.IMAGE],
            "rate": settings.rate,
            "start_paused": True,
            "wait_for": [topics.IMAGE],
            "listeners": 2,  # the node and the recorder
            "wait_timeout": settings.start_seconds + 60.0,
        },
        "recorder": {"bag": str(settings.recording.resolve()), "topics": settings.recorded_topics()},
    }
    modules = {"node": "main", "replay": "replay", "recorder": "recorder"}
    for name, module in modules.items():
        remaps = [f"__ns:={topics.NAMESPACE}"] if name == "node" else []
        log = settings.logs / f"{name}.log"
        process = NodeProcess(f"robotseg_ros.ros.{module}", name, parameters[name], remaps, log=log)
        processes.append(process)
    node, replay, recorder = processes
    return node, replay, recorder


def _wait_until_active(
    watch: Watch, settings: DemoSettings, node: NodeProcess, processes: Sequence[NodeProcess]
) -> None:
    """A node that stays unconfigured has refused its model; waiting longer would not help."""
    lifecycle = watch.lifecycle_of(NODE)
    unconfigured_since: float | None = None

    def active() -> bool:
        nonlocal unconfigured_since
        state = lifecycle.ask()
        if state == "unconfigured":
            unconfigured_since = unconfigured_since or time.monotonic()
            if time.monotonic() - unconfigured_since > 2.0:
                raise DemoError(f"the node did not start; it printed last:\n{node.tail()}")
        elif state:
            unconfigured_since = None
        return state == "active"

    watch.until(active, settings.start_seconds, "the node to be active", processes)


def _ready(recording: Progress) -> bool:
    return recording.values.get("ready") == "True"


def _wait_until_played(
    watch: Watch,
    settings: DemoSettings,
    playing: Progress,
    processes: Sequence[NodeProcess],
    bar: tqdm[NoReturn],
) -> None:
    node, replay, recorder = processes

    def played() -> bool:
        bar.update(playing.numbers("sent ").get(topics.IMAGE, 0) - bar.n)
        return not replay.running

    seconds = bag_seconds(settings.bag) / settings.rate + 60.0
    watch.until(played, seconds, "the end of the replay", [node, recorder])
    if replay.exit_code != 0:
        raise DemoError(f"the replay failed; it printed last:\n{replay.tail()}")


def bag_seconds(bag: Path) -> float:
    """Duration of a bag as its index tells."""
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        return max(0.0, reader.duration * 1e-9)


def _wait_until_quiet(watch: Watch, recording: Progress, processes: Sequence[NodeProcess]) -> None:
    """The last image is always segmented (newest wins): wait for its status, then for silence."""
    last, since = recording.values, time.monotonic()

    def quiet() -> bool:
        nonlocal last, since
        if recording.values != last:
            last, since = recording.values, time.monotonic()
        stamps = recording.numbers("stamp ")
        caught_up = stamps.get(topics.STATUS) == stamps.get(topics.IMAGE)
        return caught_up and time.monotonic() - since > QUIET_SECONDS

    watch.until(quiet, 30.0, "the masks of the last image", processes)


def _finish(recorder: NodeProcess) -> None:
    """End the recorder first and by itself: what it holds is the result."""
    if recorder.stop() != 0:
        raise DemoError(f"the recording failed; the recorder printed last:\n{recorder.tail()}")
