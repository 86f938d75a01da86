"""Shared by the tests of the launch files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

Flat = Callable[[Mapping[str, Any]], dict[str, Any]]


@pytest.fixture
def flat_parameters() -> Flat:
    """Parameters of a file by their full names, such as filter.margin."""

    def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        named: dict[str, Any] = {}
        for name, value in content.items():
            named |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
        return named

    return flat
