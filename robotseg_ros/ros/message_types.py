"""Message types by name: the Python class to publish with, and the definition that a bag keeps."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_NAME = re.compile(r"^\w+/msg/\w+$")


class UnknownMessageType(LookupError):
    """The package that defines a message type is not installed here."""


def message_class(name: str) -> type[Any]:
    """The rclpy class of a message type such as `sensor_msgs/msg/Image`.

    Raises:
        UnknownMessageType: the type's package is not installed, or does not have the type.
    """
    package, _, short = _split(name)
    try:
        module = importlib.import_module(f"{package}.msg")
        return getattr(module, short)
    except (ImportError, AttributeError):
        raise UnknownMessageType(
            f"message type {name} is not installed here: no {short} in the Python package {package}.msg"
        ) from None


class Definitions:
    """Definitions of message types: those that rosbags knows, and those of installed packages."""

    def __init__(self, distro: str | None = None) -> None:
        self._store = _store(distro or os.environ.get("ROS_DISTRO", ""))

    def store(self, name: str) -> Typestore:
        """A type store that knows `name` and all types within it.

        Raises:
            UnknownMessageType: neither an installed package nor rosbags knows the type.
        """
        for missing in self._unknown(name):
            self._store.register(get_types_from_msg(_definition_text(missing), missing))
        return self._store

    def _unknown(self, name: str) -> Iterator[str]:
        """Types to be read from files, parts before the whole."""
        if name in self._store.fielddefs:
            return
        own = get_types_from_msg(_definition_text(name), name)
        for _, fields in own.values():
            for part in sorted(set(_names_within(fields))):
                yield from self._unknown(part)
        yield name


def _store(distro: str) -> Typestore:
    return get_typestore(getattr(Stores, f"ROS2_{distro.upper()}", Stores.ROS2_KILTED))


def _split(name: str) -> tuple[str, str, str]:
    if not _NAME.match(name):
        raise UnknownMessageType(f"{name!r} is no message type; expected a name such as sensor_msgs/msg/Image")
    package, kind, short = name.split("/")
    return package, kind, short


def _definition_text(name: str) -> str:
    package, kind, short = _split(name)
    try:
        path = Path(get_package_share_directory(package), kind, f"{short}.msg")
    except PackageNotFoundError:
        raise UnknownMessageType(f"message type {name}: the package {package} is not installed here") from None
    if not path.is_file():
        raise UnknownMessageType(f"message type {name}: its definition was expected in {path}")
    return path.read_text("utf-8")


def _names_within(node: Any) -> Iterator[str]:
    """Names of message types anywhere in the field descriptions of rosbags."""
    if isinstance(node, str):
        if _NAME.match(node):
            yield node
    elif isinstance(node, (tuple, list)):
        for part in node:
            yield from _names_within(part)
