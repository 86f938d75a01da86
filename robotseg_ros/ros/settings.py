"""Parameters of the helper processes (replay, recorder): given at the start, read-only, described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True)
class Setting:
    """A parameter of its default's type. `[""]` stands for an empty list of words, which ROS cannot type."""

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None


def declare(node: Node, settings: Sequence[Setting]) -> None:
    """Declare all of them on a node; a value of a wrong type or out of range raises rclpy's exception."""
    for setting in settings:
        node.declare_parameter(setting.name, setting.default, _descriptor(setting))


def values(node: Node, settings: Sequence[Setting]) -> SimpleNamespace:
    """Values by name; words that are empty are dropped from lists."""
    return SimpleNamespace(**{setting.name: _value(node, setting) for setting in settings})


def _value(node: Node, setting: Setting) -> Any:
    value = node.get_parameter(setting.name).value
    return [word for word in value if word] if isinstance(setting.default, list) else value


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=setting.description, read_only=True)
    if setting.low is None or setting.high is None:
        return descriptor
    if isinstance(setting.default, int):
        descriptor.integer_range = [IntegerRange(from_value=int(setting.low), to_value=int(setting.high), step=0)]
    else:
        descriptor.floating_point_range = [FloatingPointRange(from_value=setting.low, to_value=setting.high, step=0.0)]
    return descriptor
