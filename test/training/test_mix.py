"""Weights between two runs."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from robotseg_ros.training.mix import main, mix

BEFORE = {"weight": torch.tensor([0.0, 2.0]), "count": torch.tensor(3)}
AFTER = {"weight": torch.tensor([4.0, 2.0]), "count": torch.tensor(5)}


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0.0, 2.0]), (0.25, [1.0, 2.0]), (1.0, [4.0, 2.0])])
def test_weights_lie_between_and_counters_are_the_later_ones(share, expected):
    mixed = mix(BEFORE, AFTER, share)
    assert mixed["weight"].tolist() == expected
    assert int(mixed["count"]) == 5


@pytest.mark.parametrize(
    ("after", "share", "expected"),
    [
        ({"weight": AFTER["weight"]}, 0.5, "1 tensors differ, such as count"),
        ({**AFTER, "weight": torch.zeros(3)}, 0.5, "1 tensors differ, such as weight"),
        (AFTER, 1.5, "share is 1.5"),
    ],
)
def test_what_cannot_be_mixed_is_refused(after, share, expected):
    with pytest.raises(ValueError, match=expected):
        mix(BEFORE, after, share)


def test_as_a_command(tmp_path, capsys):
    for name, weights in (("before", BEFORE), ("after", AFTER)):
        save_file(weights, tmp_path / f"{name}.safetensors")
    files = [str(tmp_path / f"{name}.safetensors") for name in ("before", "after", "out")]
    assert main(files) == 0
    assert load_file(files[2])["weight"].tolist() == [2.0, 2.0]
    assert main([files[0], str(tmp_path / "none.safetensors"), files[2]]) == 2
    assert "none.safetensors" in capsys.readouterr().err
