"""The node's parameters as its description file has them: declared, read, and checked when they change."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, ReliabilityPolicy

from .compatibility import given_parameters
from .parameter_file import Change, Check, ParameterError, ParameterSpec, Value, description

__all__ = [
    "ParameterError",
    "Settings",
    "checked_change",
    "current",
    "declare",
    "declare_cameras",
    "unknown_parameters",
]

# Parameters that ROS itself declares or reads.
_OF_ROS = re.compile(r"use_sim_time|qos_overrides\./clock\..*|start_type_description_service|automatically_declare.*")


def _policy(policies: Any, default: str) -> tuple[str, Check]:
    words = [name.lower() for name in policies.__members__ if not name.startswith("RMW") and name != "UNKNOWN"]
    return default, Check(lambda value: value.lower() in words, ", ".join(words))


# What an override of a topic's QoS may say, with a default of its type.
_QOS_POLICIES: dict[str, tuple[Value, Check]] = {
    "depth": (1, Check(lambda value: value >= 1, "an integer from 1")),
    "history": _policy(HistoryPolicy, "keep_last"),
    "reliability": _policy(ReliabilityPolicy, "reliable"),
}
_QOS_OVERRIDE = re.compile(rf"qos_overrides\./.+\.(?:publisher|subscription)\.({'|'.join(_QOS_POLICIES)})")


@dataclass(frozen=True)
class Settings:
    """The parameters' values; fields are named as the parameters, with _ for a dot. `of_cameras` holds what cameras
    have of their own, by camera and name."""

    model: str
    checkpoint: str
    adapter: str
    device: str
    precision: str
    cameras: tuple[str, ...]
    transport: str
    parts: tuple[str, ...]
    mask_threshold: float
    overlay_alpha: float
    prompt_history: int
    depth_cue: str
    filter_margin: int
    filter_tolerance: float
    filter_buffer: int
    filter_rectified: bool
    diagnostics_warn_silence: float
    diagnostics_warn_latency: float
    diagnostics_warn_rate: float
    diagnostics_warn_object_score: float
    diagnostics_error_silence: float
    diagnostics_error_latency: float
    diagnostics_error_rate: float
    diagnostics_error_object_score: float
    autostart: bool
    of_cameras: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    @classmethod
    def of_values(cls, values: Mapping[str, Value]) -> Settings:
        """From the values of all parameters by name."""
        cameras = values["cameras"]
        assert isinstance(cameras, tuple)
        own = {spec.name.replace(".", "_"): values[spec.name] for spec in description().node}
        of_cameras = {
            name: {spec.name: values.get(f"{name}.{spec.name}", spec.default) for spec in description().camera}
            for name in cameras
        }
        return cls(**own, of_cameras=of_cameras)  # type: ignore[arg-type]

    def of_camera(self, name: str) -> Settings:
        """With what this camera has of its own; a model of its own does not take the node's checkpoint and adapter."""
        own = {key: value for key, value in self.of_cameras[name].items() if value and value != ("",)}
        if "model" in own:
            own = {"checkpoint": "", "adapter": "", **own}
        return replace(self, **own)  # type: ignore[arg-type]


assert [field.name for field in fields(Settings)][:-1] == [s.name.replace(".", "_") for s in description().node]


def declare(node: Node) -> Settings:
    """Declares all parameters and gives their values. Raises `ParameterError` with all that are refused."""
    given = given_parameters(node)
    problems = []
    for spec in (*_specs(_cameras_given(given)).values(), *_overrides(given)):
        try:
            spec.read(given.get(spec.name, spec.default))
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise ParameterError("; ".join(problems))
    for spec in description().node:
        _declare(node, spec)
    declare_cameras(node)
    return current(node)


def _overrides(given: Mapping[str, Any]) -> list[ParameterSpec]:
    """Of the QoS of topics, as given. ROS declares these, but of a wrong one says, and not before the topic is made, neither
    its name nor what it may be."""
    found = [match for match in map(_QOS_OVERRIDE.fullmatch, given) if match]
    policies = [_QOS_POLICIES[match[1]] for match in found]
    return [
        ParameterSpec(match[0], default, "", Change.NEVER, (check,))
        for match, (default, check) in zip(found, policies, strict=True)
    ]


def _cameras_given(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Those named at the start; none where that is no list of names, which is reported elsewhere."""
    spec = description().of(())["cameras"]
    try:
        return spec.read(given.get("cameras", spec.default))  # type: ignore[return-value]
    except ParameterError:
        return ()


def declare_cameras(node: Node) -> None:
    """Declares what the cameras have of their own and is not declared yet. Raises `ParameterError`."""
    for name, spec in _specs(_cameras(node)).items():
        if not node.has_parameter(name):
            spec.read(given_parameters(node).get(name, spec.default))
            _declare(node, spec)


def current(node: Node, changes: Mapping[str, Value] | None = None) -> Settings:
    """The values the parameters have now, or will have with `changes`."""
    specs = _specs(_cameras(node))
    values = {
        name: spec.read(node.get_parameter(name).value) for name, spec in specs.items() if node.has_parameter(name)
    }
    return Settings.of_values({**values, **(changes or {})})


def _cameras(node: Node) -> tuple[str, ...]:
    return tuple(node.get_parameter("cameras").value)


def _specs(cameras: tuple[str, ...]) -> dict[str, ParameterSpec]:
    return description().of(cameras)


def _declare(node: Node, spec: ParameterSpec) -> None:
    default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
    node.declare_parameter(spec.name, default, _descriptor(spec))


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """What `ros2 param describe` shows.

    Typed dynamically, because rclpy's own check of the type refuses 0 for 0.0 and does not say which parameter it
    refuses.
    """
    descriptor = ParameterDescriptor(description=f"{spec.description} Changes {spec.change.value}.")
    descriptor.additional_constraints = spec.allowed
    descriptor.dynamic_typing = True
    descriptor.read_only = spec.change is Change.NEVER
    if spec.bounds is not None:
        low, high = spec.bounds
        if isinstance(spec.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


def checked_change(node: Node, name: str, value: Any, unconfigured: bool) -> Value | None:
    """The value as the parameter takes it, None for one of ROS. Raises `ParameterError` if it may not."""
    spec = _specs(_cameras(node)).get(name)
    if spec is None:
        return None
    if spec.change is Change.UNCONFIGURED and not unconfigured:
        raise ParameterError(
            f"parameter '{name}' cannot become {value!r} now: it changes {spec.change.value} "
            "(ros2 lifecycle set: deactivate, cleanup, then change it and configure)"
        )
    return spec.read(value)


def unknown_parameters(node: Node) -> list[str]:
    """Texts about given parameters that this node does not have, which ROS would ignore without a word."""
    known = _specs(_cameras(node))
    texts = []
    for name in sorted(given_parameters(node)):
        if name in known or _OF_ROS.fullmatch(name) or _QOS_OVERRIDE.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(known)}"
        texts.append(f"parameter '{name}' is given but does not exist{hint}")
    return texts
