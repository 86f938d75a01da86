"""Plays a bag into the node: ros2 launch robotseg_ros replay.launch.py bag:=BAG record:=NEW_BAG"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from robotseg_ros.ros.launching import REPLAY_ARGUMENTS, replay_plan

# The masks of the last images are still on their way when the replay has ended.
LAST_MASKS_SECONDS = 5.0


def processes(context: LaunchContext) -> list[Action]:
    """Node, replay and recorder; everything ends a little after the replay."""
    plan = replay_plan({a.name: LaunchConfiguration(a.name).perform(context).strip() for a in REPLAY_ARGUMENTS})
    robotseg = Path(__file__).parent / "robotseg.launch.py"
    replay = helper("replay", plan.replay)
    end = TimerAction(period=LAST_MASKS_SECONDS, actions=[EmitEvent(event=Shutdown(reason="the bag was played"))])
    started = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(robotseg)), launch_arguments=list(plan.node.items())
        ),
        replay,
        RegisterEventHandler(OnProcessExit(target_action=replay, on_exit=[end])),
    ]
    if plan.recorder is None:
        return started
    recorder = helper("recorder", plan.recorder)
    return [
        *started,
        recorder,
        RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=recorder_ended)),
    ]


def recorder_ended(event: ProcessExited, context: LaunchContext) -> EmitEvent | None:
    """Without its recorder the replay would wait for ever. At a shutdown it ends too: no second one then."""
    if context.is_shutdown:
        return None
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
