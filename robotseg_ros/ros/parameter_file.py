"""The description of the node's parameters, config/parameters.yaml, read and shown as README.md's table.

    python -m robotseg_ros.ros.parameter_file [README.md]

prints the table, or puts it into that file. The description is in the format of generate_parameter_library, of which
this reads what the file uses; nothing here needs ROS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ..model import available_models
from ..resources import config_dir
from ..runtime import PRECISIONS

Value = bool | int | float | str | tuple[str, ...]

TABLE_START, TABLE_END = "<!-- parameters: made from config/parameters.yaml -->", "<!-- end of parameters -->"

_TYPES = {"bool": bool, "int": int, "double": float, "string": str, "string_array": tuple}
_IN_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text", tuple: "a list of texts"}
_KEYS = {"type", "default_value", "description", "additional_constraints", "read_only", "validation"}
_MAP = "__map_cameras"
_ROS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


class ParameterError(ValueError):
    """A parameter has a value it cannot have; the message names it, the value and what is allowed."""


class Change(Enum):
    """When a parameter may change."""

    RUNNING = "at any time"
    UNCONFIGURED = "while the node is unconfigured"
    NEVER = "only at start"


@dataclass(frozen=True)
class Check:
    """A validator: what it accepts, and that in words."""

    accepts: Callable[[Any], bool]
    allowed: str


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter; `bounds` of numbers, both ends included."""

    name: str
    default: Value
    description: str
    change: Change
    checks: tuple[Check, ...] = ()
    bounds: tuple[float, float] | None = None

    def read(self, value: Any) -> Value:
        """The value in this parameter's type. Raises `ParameterError`."""
        typed = _typed(value, type(self.default))
        if typed is None or (typed != self.default and not all(check.accepts(typed) for check in self.checks)):
            shown = list(value) if isinstance(value, (list, tuple)) else value
            raise ParameterError(f"parameter '{self.name}' cannot be {shown!r}; allowed: {self.allowed}")
        return typed

    @property
    def allowed(self) -> str:
        """What it accepts, in words."""
        return " ".join(check.allowed for check in self.checks) or _IN_WORDS[type(self.default)]

    def of_camera(self, camera: str) -> ParameterSpec:
        """The same for one camera."""
        return ParameterSpec(
            f"{camera}.{self.name}", self.default, self.description, self.change, self.checks, self.bounds
        )


@dataclass(frozen=True)
class Description:
    """The file: parameters of the node, and those that each camera has below its name."""

    node: tuple[ParameterSpec, ...]
    camera: tuple[ParameterSpec, ...]

    def of(self, cameras: Sequence[str]) -> dict[str, ParameterSpec]:
        """All parameters of a node with these cameras, by name; a camera without a name has none of its own."""
        mapped = [spec.of_camera(name) for name in cameras if name for spec in self.camera]
        return {spec.name: spec for spec in (*self.node, *mapped)}


@lru_cache(maxsize=1)
def description() -> Description:
    """What config/parameters.yaml says. Raises ValueError for what this does not understand."""
    content = yaml.safe_load((config_dir() / "parameters.yaml").read_text("utf-8"))
    return described(content)


def described(content: Mapping[str, Any]) -> Description:
    """The parameters of a file's content. Raises ValueError that names the parameter and what is wrong."""
    ((_, parameters),) = content.items()
    mapped = parameters.get(_MAP, {})
    own = {name: value for name, value in parameters.items() if name != _MAP}
    return Description(tuple(_specs(own)), tuple(_specs(mapped)))


def _specs(parameters: Mapping[str, Any], prefix: str = "") -> list[ParameterSpec]:
    specs = []
    for name, value in parameters.items():
        if "type" in value:
            specs.append(_spec(prefix + name, value))
        else:
            specs += _specs(value, f"{prefix}{name}.")
    return specs


def _spec(name: str, given: Mapping[str, Any]) -> ParameterSpec:
    unknown = sorted(set(given) - _KEYS)
    if unknown or given["type"] not in _TYPES or "default_value" not in given:
        what = f"unknown {', '.join(unknown)}" if unknown else f"needs a default_value and one of {', '.join(_TYPES)}"
        raise ValueError(f"parameter '{name}': {what}")
    default = _typed(given["default_value"], _TYPES[given["type"]])
    if default is None:
        raise ValueError(f"parameter '{name}': its default {given['default_value']!r} is no {given['type']}")
    validation = given.get("validation", {})
    checks = tuple(_check(name, validator, arguments) for validator, arguments in validation.items())
    bounds = tuple(validation["bounds<>"]) if "bounds<>" in validation else None
    return ParameterSpec(name, default, given.get("description", ""), _change(name, given), checks, bounds)


def _change(name: str, given: Mapping[str, Any]) -> Change:
    if given.get("read_only", False):
        return Change.NEVER
    said = given.get("additional_constraints", Change.RUNNING.value)
    try:
        return Change(said)
    except ValueError:
        allowed = " or ".join(repr(change.value) for change in Change)
        raise ValueError(f"parameter '{name}': additional_constraints is {said!r}; this file has {allowed}") from None


def _check(name: str, validator: str, arguments: list[Any] | None) -> Check:
    try:
        return _VALIDATORS[validator](*(arguments or []))
    except KeyError:
        raise ValueError(f"parameter '{name}': unknown validator {validator!r}: {', '.join(_VALIDATORS)}") from None
    except TypeError as error:
        raise ValueError(f"parameter '{name}': validator {validator!r}: {error}") from error


def _typed(value: Any, kind: type) -> Any:
    """`value` in a type, an integer also as a float, None if it is of another."""
    if kind is tuple:
        is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return tuple(value) if is_list and all(isinstance(item, str) for item in value) else None
    if kind is float:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return value if type(value) is kind else None


# Validators


def _bounds(low: float, high: float) -> Check:
    whole = isinstance(low, int) and isinstance(high, int)
    what = "an integer" if whole else "a number"
    return Check(lambda value: low <= value <= high, f"{what} from {low:g} to {high:g}")


def _one_of(choices: Sequence[str]) -> Check:
    *first, last = (choice or "empty" for choice in choices)
    return Check(lambda value: value in choices, " or ".join([", ".join(first), last]))


def _subset_of(choices: Sequence[str]) -> Check:
    return Check(
        lambda value: set(value) <= set(choices), f"of {', '.join(choice or 'nothing' for choice in choices)},"
    )


def _known_model(name: str) -> bool:
    return name in available_models() or (name.endswith((".yaml", ".yml")) and Path(name).expanduser().is_file())


def _is_device(name: str) -> bool:
    return re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is not None


def _camera_names(names: tuple[str, ...]) -> bool:
    named = all(_ROS_NAME.fullmatch(name) for name in names)
    return bool(names) and named and len(set(names)) == len(names)


_VALIDATORS: dict[str, Callable[..., Check]] = {
    "bounds<>": _bounds,
    "one_of<>": _one_of,
    "not_empty<>": lambda: Check(bool, "at least one"),
    "subset_of<>": _subset_of,
    "unique<>": lambda: Check(lambda value: len(set(value)) == len(value), "each once"),
    "robotseg::model": lambda: Check(
        _known_model, f"one of {', '.join(available_models())}, or the path of a model's YAML file"
    ),
    "robotseg::device": lambda: Check(_is_device, "auto, cpu, cuda or cuda:N"),
    "robotseg::precision": lambda: _one_of(PRECISIONS),
    "robotseg::camera_names": lambda: Check(
        _camera_names, "relative ROS names such as front or left/rgb, each once, or one empty name"
    ),
}


# README.md's table


def table(what: Description) -> str:
    """Markdown: name, default, description with what is allowed, and when it changes."""
    rows = [_row(spec, spec.checks) for spec in what.node]
    rows += [_row(spec.of_camera("<camera>")) for spec in what.camera]
    return "\n".join(["| parameter | default | | changes |", "| --- | --- | --- | --- |", *rows])


def _row(spec: ParameterSpec, checks: Sequence[Check] = ()) -> str:
    shown = f"[{', '.join(spec.default)}]" if isinstance(spec.default, tuple) else str(spec.default)
    default = f"`{shown.lower() if isinstance(spec.default, bool) else shown}`" if shown.strip("[]") else ""
    allowed = f" Allowed: {spec.allowed}." if checks else ""
    return f"| `{spec.name}` | {default} | {spec.description}{allowed} | {spec.change.value} |"


def with_table(text: str, new: str) -> str:
    """A document with the table between its two marks replaced. Raises ValueError where the marks are missing."""
    before, found, rest = text.partition(TABLE_START)
    _, ended, after = rest.partition(TABLE_END)
    if not found or not ended:
        raise ValueError(f"the document lacks {TABLE_START!r} or, behind it, {TABLE_END!r}")
    return f"{before}{TABLE_START}\n{new}\n{TABLE_END}{after}"


def main(arguments: Sequence[str]) -> None:
    """Prints the table, or writes it into the document named."""
    made = table(description())
    if not arguments:
        print(made)
    for name in arguments:
        path = Path(name)
        path.write_text(with_table(path.read_text("utf-8"), made), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
