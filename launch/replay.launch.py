"""Plays a bag into the node: ros2 launch robotseg_ros replay.launch.py bag:=BAG record:=NEW_BAG truth:=robot=/truth/robot"""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event import Event
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ProcessExited, SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robotseg_ros.ros.launching import REPLAY_ARGUMENTS, replay_plan

# The masks of the last images are still on their way when the replay has ended.
LAST_MASKS_SECONDS = 5.0


def processes(context: LaunchContext) -> list[Action]:
    """Node, replay and recorder; everything ends a little after the replay, or where true masks are named, after scoring."""
    plan = replay_plan({a.name: LaunchConfiguration(a.name).perform(context).strip() for a in REPLAY_ARGUMENTS})
    robotseg = Path(__file__).parent / "robotseg.launch.py"
    replay = helper("replay", plan.replay)
    recorder = helper("recorder", plan.recorder) if plan.recorder is not None else None
    ending: Event = Shutdown(reason="the bag was played")
    if plan.score is not None:  # the recorder finishes its bag; what then happens, recorder_ended says
        ending = SignalProcess(signal_number=signal.SIGINT, process_matcher=matches_action(recorder))
    end = TimerAction(period=LAST_MASKS_SECONDS, actions=[EmitEvent(event=ending)])
    started = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(robotseg)), launch_arguments=list(plan.node.items())
        ),
        replay,
        RegisterEventHandler(OnProcessExit(target_action=replay, on_exit=[end])),
    ]
    if recorder is None:
        return started
    ended = partial(recorder_ended, score=plan.score)
    return [*started, recorder, RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=ended))]


def recorder_ended(event: ProcessExited, context: LaunchContext, score: list[str] | None = None) -> Action | None:
    """Without its recorder the replay would wait for ever. At a shutdown it ends too: no second one then. What it has
    recorded is scored where that is wanted."""
    if context.is_shutdown:
        return None
    if score is not None and event.returncode == 0:
        done = EmitEvent(event=Shutdown(reason="the recording was scored"))
        return ExecuteProcess(cmd=[sys.executable, *score], name="evaluate", output="screen", on_exit=[done])
    return EmitEvent(event=Shutdown(reason=f"the recorder ended with exit code {event.returncode}"))


def helper(name: str, parameters: dict[str, Any]) -> Node:
    """One of our own processes."""
    return Node(
        package="robotseg_ros",
        executable=f"robotseg_{name}",
        name=name,
        parameters=[parameters],
        output="screen",
    )


def generate_launch_description() -> LaunchDescription:
    """Arguments and the processes."""
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=list(a.choices) or None
        )
        for a in REPLAY_ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])
