"""Starts the node for a camera or several: ros2 launch robotseg_ros robotseg.launch.py camera:=realsense_d4xx"""

from __future__ import annotations

from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from launch import LaunchContext, LaunchDescription
from robotseg_ros.resources import config_dir
from robotseg_ros.ros.environment import profile_variables
from robotseg_ros.ros.launching import (
    NODE_ARGUMENTS,
    node_logger,
    node_parameters,
    node_remappings,
    rviz_remappings,
)


def processes(context: LaunchContext) -> list[Action]:
    """The node, as the arguments say, and what they ask for beside it."""
    given = {a.name: LaunchConfiguration(a.name).perform(context).strip() for a in NODE_ARGUMENTS}
    files = [given["params_file"]] if given["params_file"] else []
    node = LifecycleNode(
        package="robotseg_ros",
        executable="robotseg_node",
        name="robotseg",
        namespace=given["namespace"],
        parameters=[*files, node_parameters(given)],
        remappings=node_remappings(given),
        ros_arguments=["--log-level", f"{node_logger(given['namespace'])}:={given['log_level']}"],
        respawn=given["respawn"] == "true",
        respawn_delay=2.0,
        output="screen",
    )
    beside = [rviz(given)] if given["rviz"] == "true" else []
    # The handlers come before the node, so that its start is not missed.
    return [*(started_by_launch(node) if given["start"] == "launch" else []), node, *beside]


def started_by_launch(node: LifecycleNode) -> list[Action]:
    """Configures the node whenever its process has started, and activates it once it is configured."""

    def ask(transition: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    return [
        RegisterEventHandler(OnProcessStart(target_action=node, on_start=[ask(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state="configuring",
                goal_state="inactive",
                entities=[ask(Transition.TRANSITION_ACTIVATE)],
            )
        ),
    ]


def rviz(given: dict[str, str]) -> Node:
    """rviz2, looking at the node's outputs."""
    return Node(
        package="rviz2",
        executable="rviz2",
        name="robotseg_rviz",
        arguments=["-d", str(config_dir() / "robotseg.rviz")],
        remappings=rviz_remappings(given),
    )


def generate_launch_description() -> LaunchDescription:
    """Arguments, the DDS profile for large images (unless one is set), the node."""
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=list(a.choices) or None
        )
        for a in NODE_ARGUMENTS
    ]
    profile = [SetEnvironmentVariable(name, value) for name, value in profile_variables().items()]
    return LaunchDescription([*declared, *profile, OpaqueFunction(function=processes)])
