"""`robotseg train`: what cannot be trained is refused with the reason."""

from __future__ import annotations

import pytest

from robotseg_ros.cli.main import main
from robotseg_ros.training.checkpoints import STATE


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Runs the command on a configuration of the given lines; returns the exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*lines: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        config = tmp_path / "config.yaml"
        data = "data: {train: clips, val: none, cache: cache, workers: 0}"
        config.write_text("\n".join(("output: run", data, *lines)))
        return main(["train", str(config), *options]), capsys.readouterr().err

    return run


STEPS = "schedule: {steps: 1}"


@pytest.mark.parametrize(
    "lines, said",
    [
        (["schedule: {steps: many}"], "schedule: steps: expected a whole number or null, got 'many'"),
        (["schedule: {steps: 1, sides: 64}"], "schedule: sides: expected a list, got 64"),
        ([STEPS, "compute: {bf16: 1}"], "compute: bf16: expected true or false, got 1"),
        ([STEPS, "seed: true"], "seed: expected a whole number, got True"),
        ([STEPS, "model: robotseg_huge"], "there is no model preset 'robotseg_huge'; presets are"),
        ([STEPS, "initial_checkpoint: absent.pt"], "checkpoint absent.pt does not exist"),
        ([STEPS, "initial_checkpoint: absent.pt", "anew: [absent]"], "no weight's name begins with 'absent'"),
        ([STEPS], "clips: no complete clip"),
    ],
)
def test_what_cannot_be_trained_is_refused(train, lines, said):
    code, error = train(*lines)
    assert code == 2 and said in error


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_state_is_named(train, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE).write_bytes(content)
    code, error = train(STEPS, options=("--resume",))
    assert code == 2 and "run/state.pt: not a readable training state" in error and "delete it" in error
    code, error = train(STEPS)
    assert code == 2 and "holds a run already" in error
