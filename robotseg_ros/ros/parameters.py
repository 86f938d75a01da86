"""The node's parameters as one table, from which declaration, validation and the refusals' texts come."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node

from ..model import PARTS, available_models
from ..runtime import PRECISIONS
from .compatibility import given_parameters

Value = bool | float | str | tuple[str, ...]

# Parameters that ROS itself declares or reads.
_OF_ROS = re.compile(r"use_sim_time|qos_overrides\..*|start_type_description_service|automatically_declare.*")


class ParameterError(ValueError):
    """A parameter has a value it cannot have; the message names it, the value and what is allowed."""


class Change(Enum):
    """When a parameter may change."""

    RUNNING = "at any time"
    UNCONFIGURED = "while the node is unconfigured"
    NEVER = "only at start"


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its type is that of `default`; `allowed` says in words what `accepts` tests."""

    name: str
    default: Value
    description: str
    change: Change
    allowed: str = ""
    accepts: Callable[[Any], bool] = lambda value: True
    low: float | None = None
    high: float | None = None

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows.

        Typed dynamically, because rclpy's own check of the type refuses 0 for 0.0 and does not say which
        parameter it refuses.
        """
        descriptor = ParameterDescriptor(description=f"{self.description} Changes {self.change.value}.")
        descriptor.additional_constraints = self.allowed
        descriptor.dynamic_typing = True
        descriptor.read_only = self.change is Change.NEVER
        if self.low is not None and self.high is not None:
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
        return descriptor

    def read(self, value: Any) -> Value:
        """The value in this parameter's type. Raises `ParameterError`."""
        typed = _typed(value, self.default)
        if typed is None or not self.accepts(typed) or not self._in_range(typed):
            shown = list(value) if isinstance(value, (list, tuple)) else value
            raise ParameterError(f"parameter '{self.name}' cannot be {shown!r}; allowed: {self._allowed_text()}")
        return typed

    def _in_range(self, value: Value) -> bool:
        if self.low is None or self.high is None:
            return True
        return isinstance(value, float) and self.low <= value <= self.high

    def _allowed_text(self) -> str:
        if self.low is not None and self.high is not None:
            return f"a number from {self.low:g} to {self.high:g}"
        return self.allowed or {bool: "true or false", str: "a text"}.get(type(self.default), "a list of texts")


def _typed(value: Any, default: Value) -> Value | None:
    """`value` in the type of `default`, None if it is of another."""
    if isinstance(default, tuple):
        is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return tuple(value) if is_list and all(isinstance(item, str) for item in value) else None
    if isinstance(default, float):
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return value if isinstance(value, type(default)) else None


def _known_model(name: str) -> bool:
    return name in available_models() or (name.endswith((".yaml", ".yml")) and Path(name).expanduser().is_file())


def _distinct_parts(parts: tuple[str, ...]) -> bool:
    return bool(parts) and len(set(parts)) == len(parts) and set(parts) <= set(PARTS)


def _relative_name(name: str) -> bool:
    return re.fullmatch(r"|[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", name) is not None


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        "model",
        "robotseg_nano",
        "Model that makes the masks: a file of config/models, or the path of one.",
        Change.UNCONFIGURED,
        allowed=f"one of {', '.join(available_models())}, or the path of a model's YAML file",
        accepts=_known_model,
    ),
    ParameterSpec(
        "checkpoint",
        "",
        "Path of the weights; empty for those that the model's file names.",
        Change.UNCONFIGURED,
        allowed="a path or nothing",
    ),
    ParameterSpec(
        "device",
        "auto",
        "Device the network runs on; auto takes a GPU where there is one.",
        Change.UNCONFIGURED,
        allowed="auto, cpu, cuda or cuda:N",
        accepts=lambda name: re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is not None,
    ),
    ParameterSpec(
        "precision",
        "float32",
        "Number format the network computes in.",
        Change.UNCONFIGURED,
        allowed=" or ".join(PRECISIONS),
        accepts=lambda name: name in PRECISIONS,
    ),
    ParameterSpec(
        "camera",
        "",
        "Name before the camera's topics (<camera>/image, <camera>/mask/arm); empty for none.",
        Change.UNCONFIGURED,
        allowed="nothing, or a relative ROS name such as front or left/rgb",
        accepts=_relative_name,
    ),
    ParameterSpec(
        "transport",
        "raw",
        "How images come: raw (topic image) or compressed (topic image/compressed, JPEG or PNG).",
        Change.UNCONFIGURED,
        allowed="raw or compressed",
        accepts=lambda name: name in ("raw", "compressed"),
    ),
    ParameterSpec(
        "parts",
        ("arm", "gripper"),
        "Parts of the robot that get a mask each.",
        Change.RUNNING,
        allowed=f"at least one of {', '.join(PARTS)}, each once",
        accepts=_distinct_parts,
    ),
    ParameterSpec(
        "mask_threshold",
        0.0,
        "Logit above which a pixel belongs to the part; higher makes smaller masks.",
        Change.RUNNING,
        low=-20.0,
        high=20.0,
    ),
    ParameterSpec(
        "overlay_alpha",
        0.5,
        "How strongly the masks colour the overlay: 0 not at all, 1 opaque.",
        Change.RUNNING,
        low=0.0,
        high=1.0,
    ),
    ParameterSpec(
        "autostart",
        True,
        "Whether the node configures and activates itself; false leaves that to a life-cycle manager.",
        Change.NEVER,
    ),
)

_BY_NAME = {spec.name: spec for spec in PARAMETERS}


@dataclass(frozen=True)
class Settings:
    """The parameters' values; fields are named as the parameters."""

    model: str
    checkpoint: str
    device: str
    precision: str
    camera: str
    transport: str
    parts: tuple[str, ...]
    mask_threshold: float
    overlay_alpha: float
    autostart: bool


assert [field.name for field in fields(Settings)] == [spec.name for spec in PARAMETERS]


def declare(node: Node) -> Settings:
    """Declares all parameters and gives their values. Raises `ParameterError` with all that are refused."""
    given = given_parameters(node)
    problems = []
    for spec in PARAMETERS:
        try:
            spec.read(given.get(spec.name, spec.default))
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise ParameterError("; ".join(problems))
    for spec in PARAMETERS:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        node.declare_parameter(spec.name, default, spec.descriptor())
    return current(node)


def current(node: Node) -> Settings:
    """The values the parameters have now."""
    values: dict[str, Any] = {spec.name: spec.read(node.get_parameter(spec.name).value) for spec in PARAMETERS}
    return Settings(**values)


def checked_change(name: str, value: Any, unconfigured: bool) -> Value | None:
    """The value as the parameter takes it, None for one of ROS. Raises `ParameterError` if it may not."""
    spec = _BY_NAME.get(name)
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
    texts = []
    for name in sorted(given_parameters(node)):
        if name in _BY_NAME or _OF_ROS.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(_BY_NAME)}"
        texts.append(f"parameter '{name}' is given but does not exist{hint}")
    return texts
