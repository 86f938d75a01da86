"""The README's tables say what the node has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros
README = Path(__file__).parents[2] / "README.md"


def test_the_parameter_table_is_the_nodes() -> None:
    from robotseg_ros.ros.parameters import PARAMETERS

    section = README.read_text().split("## Parameters", 1)[1].split("##", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\w ]+) \|$", section, re.MULTILINE)
    stated = {name: changes.removeprefix("at start") or "only at start" for name, changes in rows}
    assert stated == {spec.name: spec.change.value.replace("while the node is", "while") for spec in PARAMETERS}
