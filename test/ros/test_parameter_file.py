"""The description of the parameters: read, refused where it is wrong, and the same as what README.md says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robotseg_ros.model import PARTS
from robotseg_ros.resources import config_dir
from robotseg_ros.ros.parameter_file import Change, ParameterError, described, description, table, with_table

README = Path(__file__).parents[2] / "README.md"
SPECS = description().of(["front"])


def test_readmes_table_is_made_from_the_file() -> None:
    text = README.read_text()
    assert with_table(text, table(description())) == text, "run: python -m robotseg_ros.ros.parameter_file README.md"


def test_every_parameter_has_a_description_and_accepts_its_default() -> None:
    for spec in SPECS.values():
        assert spec.description.endswith(".")
        assert spec.read(spec.default) == spec.default


def test_the_parts_are_the_networks() -> None:
    content = yaml.safe_load((config_dir() / "parameters.yaml").read_text())["robotseg"]
    assert content["parts"]["validation"]["subset_of<>"] == [list(PARTS)]
    assert content["__map_cameras"]["parts"]["validation"]["subset_of<>"] == [["", *PARTS]]


def test_cameras_have_parameters_below_their_names() -> None:
    assert "front.parts" in SPECS and "wrist.parts" not in SPECS
    assert set(description().of(("",))) == {spec.name for spec in description().node}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("parts", ["robot"], ["hand"]),
        ("parts", ["arm", "gripper"], ["arm", "arm"]),
        ("parts", ["arm"], []),
        ("mask_threshold", 3, 21.0),
        ("overlay_alpha", 1.0, True),
        ("prompt_history", 0, 1.0),
        ("prompt_history", 7, -1),
        ("device", "cuda:1", "gpu"),
        ("precision", "bfloat16", "float8"),
        ("cameras", ["front", "left/rgb"], ["front", "front"]),
        ("cameras", [""], ["", "front"]),
        ("cameras", ["a"], ["/a"]),
        ("model", "robotseg", "no_such_model"),
        ("front.model", "", "no_such_model"),
        ("front.transport", "", "h264"),
        ("autostart", False, 0),
    ],
)
def test_values_are_accepted_or_refused_with_what_is_allowed(name: str, good: object, bad: object) -> None:
    SPECS[name].read(good)
    with pytest.raises(ParameterError, match=rf"parameter '{name}' cannot be .*; allowed: ."):
        SPECS[name].read(bad)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers())
def test_a_number_is_accepted_exactly_within_its_bounds(value: float) -> None:
    spec = SPECS["mask_threshold"]
    if -20.0 <= value <= 20.0:
        assert spec.read(value) == float(value)
    else:
        with pytest.raises(ParameterError, match="a number from -20 to 20"):
            spec.read(value)


@given(st.none() | st.text() | st.lists(st.integers(), min_size=1) | st.booleans() | st.binary())
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ParameterError, match="mask_threshold"):
        SPECS["mask_threshold"].read(value)


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ({"type": "string"}, "needs a default_value"),
        ({"type": "quaternion", "default_value": 1}, "one of bool, int"),
        ({"type": "int", "default_value": "one"}, "'one' is no int"),
        ({"type": "int", "default_value": 1, "colour": "red"}, "unknown colour"),
        ({"type": "int", "default_value": 1, "validation": {"is_prime<>": None}}, "unknown validator 'is_prime<>'"),
        ({"type": "int", "default_value": 1, "validation": {"bounds<>": [1]}}, "validator 'bounds<>'"),
        ({"type": "int", "default_value": 1, "additional_constraints": "on Sundays"}, "'on Sundays'"),
    ],
)
def test_a_wrong_description_is_refused_by_name(parameter: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="parameter 'group.odd'") as refused:
        described({"robotseg": {"group": {"odd": parameter}}})
    assert named in str(refused.value)


def test_groups_are_read_and_read_only_parameters_never_change() -> None:
    content = {"robotseg": {"group": {"fixed": {"type": "int", "default_value": 3, "read_only": True}}}}
    (spec,) = described(content).node
    assert (spec.name, spec.default, spec.change) == ("group.fixed", 3, Change.NEVER)
