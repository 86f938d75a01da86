"""Starts the node for a camera: ros2 launch robotseg_ros robotseg.launch.py camera:=realsense_d4xx"""

from __future__ import annotations

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchContext, LaunchDescription
from robotseg_ros.ros.environment import profile_variables
from robotseg_ros.ros.launching import NODE_ARGUMENTS, node_logger, node_parameters, node_remappings


def node(context: LaunchContext) -> list[LifecycleNode]:
    """The node, as the arguments say."""
    given = {a.name: LaunchConfiguration(a.name).perform(context).strip() for a in NODE_ARGUMENTS}
    files = [given["params_file"]] if given["params_file"] else []
    return [
        LifecycleNode(
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
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments, the DDS profile for large images (unless one is set), the node."""
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=list(a.choices) or None
        )
        for a in NODE_ARGUMENTS
    ]
    profile = [SetEnvironmentVariable(name, value) for name, value in profile_variables().items()]
    return LaunchDescription([*declared, *profile, OpaqueFunction(function=node)])
