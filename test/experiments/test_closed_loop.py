"""The experiment `closed-loop` around its episodes: kept one by one, played again if need be, counted and drawn."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

for package in ("scipy", "matplotlib"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"closed-loop needs {package}, which is not installed", allow_module_level=True)

from robotseg_ros.cli.main import main  # noqa: E402
from robotseg_ros.dataset.rendering.assets import MissingAssets  # noqa: E402
from robotseg_ros.experiments import closed_loop as loop  # noqa: E402
from robotseg_ros.experiments import report  # noqa: E402
from robotseg_ros.experiments.reaching import CONDITIONS, MOVES, Episode, Shot  # noqa: E402

Network: Any = torch.nn.Linear  # any module with weights will do


def result(index: int, ends: list[float], worn: bool = False) -> dict[str, Any]:
    """An episode's result in which each condition ends so many metres from the ball, after two moves."""
    runs = {
        label: {"distances": [0.3, 0.2, end], "gripper": 0.5, "robot": 0.9}
        for label, end in zip(CONDITIONS, ends, strict=True)
    }
    return {"index": index, "seed": index, "robot": "panda", "wears_colour": worn, "conditions": runs}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Indices of the episodes that were played; nothing is rendered."""
    indices: list[int] = []

    def play(network: object, folder: Path, index: int) -> dict[str, Any]:
        indices.append(index)
        return result(index, [0.01] * 5)

    monkeypatch.setattr(loop, "play", play)
    return indices


def taken(played: list[int]) -> list[int]:
    """What was played since the last call."""
    now, played[:] = list(played), []
    return now


def test_what_was_played_is_not_played_again(tmp_path: Path, played: list[int]) -> None:
    network = Network(2, 2)
    assert [found["index"] for found in loop.episodes(network, tmp_path, 3)] == [0, 1, 2]
    assert taken(played) == [0, 1, 2]
    assert [found["index"] for found in loop.episodes(network, tmp_path, 5)] == [0, 1, 2, 3, 4]
    assert taken(played) == [3, 4]
    assert len(loop.episodes(network, tmp_path, 2)) == 2 and not played
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 1 + 5


def test_a_line_that_was_cut_short_is_played_again(tmp_path: Path, played: list[int]) -> None:
    network, file = Network(2, 2), tmp_path / "episodes.jsonl"
    before = loop.episodes(network, tmp_path, 3)
    whole = file.read_text()
    file.write_text(whole[:-40])
    taken(played)
    assert loop.episodes(network, tmp_path, 3) == before
    assert played == [2]
    assert file.read_text() == whole


def test_what_was_played_before_an_interruption_is_kept(
    tmp_path: Path, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, play = Network(2, 2), loop.play

    def interrupted(network: Any, folder: Path, index: int) -> dict[str, Any]:
        if index == 2:
            assert len((folder / "episodes.jsonl").read_text().splitlines()) == 1 + 2, "even a killed process has them"
            raise KeyboardInterrupt
        return play(network, folder, index)

    monkeypatch.setattr(loop, "play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.episodes(network, tmp_path, 4)
    monkeypatch.setattr(loop, "play", play)
    taken(played)
    assert len(loop.episodes(network, tmp_path, 4)) == 4
    assert played == [2, 3]


def test_other_weights_or_settings_begin_anew(
    tmp_path: Path, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(2, 2)
    loop.episodes(network, tmp_path, 2)
    with torch.no_grad():
        network.weight[0, 0] += 1
    taken(played)
    loop.episodes(network, tmp_path, 2)
    assert taken(played) == [0, 1]
    monkeypatch.setattr(loop, "MOVES", MOVES + 1)
    loop.episodes(network, tmp_path, 1)
    assert taken(played) == [0]
    head, *lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert head["moves"] == MOVES + 1 and len(lines) == 1


def test_a_fingerprint_is_of_all_weights_and_their_names() -> None:
    network = Network(2, 2)
    before = loop.fingerprint(network)
    assert loop.fingerprint(network) == before
    with torch.no_grad():
        network.bias[1] += 1e-6
    moved = loop.fingerprint(network)
    assert moved != before
    network.register_buffer("position", torch.zeros(3), persistent=False)
    assert loop.fingerprint(network) != moved, "another input size has other tables"


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [(5, 10, (0.2366, 0.7634)), (0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (90, 100, (0.8256, 0.9448))],
)
def test_wilsons_interval(successes: int, trials: int, interval: tuple[float, float]) -> None:
    ends = loop.wilson(successes, trials)
    assert ends == pytest.approx(interval, abs=1e-4)
    for end in ends:
        off = abs(successes / trials - end)
        assert off == pytest.approx(1.96 * np.sqrt(end * (1 - end) / trials), abs=1e-9), "1.96 standard errors away"


def test_nothing_tried_may_be_any_share() -> None:
    assert loop.wilson(0, 0) == (0.0, 1.0)


def test_the_table_counts_what_ended_at_the_ball() -> None:
    results = [
        result(0, [0.01, 0.01, 0.04, 0.30, 0.10], worn=True),
        result(1, [0.02, 0.06, 0.06, 0.20, 0.10], worn=True),
        result(2, [0.03, 0.02, 0.01, 0.10, 0.10]),
    ]
    outcome = loop.outcome(results)
    table = {row[0]: dict(zip(outcome.header, row, strict=True)) for row in outcome.rows}
    assert list(table) == list(CONDITIONS)
    predicted = table["predicted masks"]
    assert predicted["all"] == "66.7" and predicted["95 % interval"] == "20.8 to 93.9"
    assert predicted["robot in the target's colour"] == "1 of 2" and predicted["in other colours"] == "1 of 1"
    assert predicted["end, median cm"] == "4.0" and predicted["moves"] == "2.0"
    assert predicted["J gripper"] == "50.0" and predicted["J robot"] == "90.0"
    assert table["true masks"]["all"] == "100.0" and table["predicted, robot left in"]["all"] == "0.0"
    assert table["no masks: motion"]["J robot"] == "-", "it has no masks to be measured"
    assert "3 rendered worlds" in outcome.title


def bars(path: Path) -> int:
    """Pixels of matplotlib's first colour in a plot."""
    image = cv2.imread(str(path))
    assert image is not None, path
    return int((np.abs(image[..., ::-1].astype(int) - (31, 119, 180)).max(-1) < 8).sum())


def test_the_plot_shows_success_as_bars(tmp_path: Path) -> None:
    report.write(loop.outcome([result(0, [0.01] * 5)]), tmp_path / "all")
    report.write(loop.outcome([result(0, [0.01, 0.2, 0.2, 0.2, 0.2])]), tmp_path / "one")
    every, one = bars(tmp_path / "all" / "plot.png"), bars(tmp_path / "one" / "plot.png")
    assert every > 3 * one > 0


def test_distances_are_drawn_to_the_last_move_though_episodes_end_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    drawn: dict[str, list[float]] = {}
    plot: Callable[..., Any] = Axes.plot

    def spy(axis: Axes, *values: Any, **options: Any) -> Any:
        drawn[options["label"]] = [float(value) for value in values[0]]
        return plot(axis, *values, **options)

    monkeypatch.setattr(Axes, "plot", spy)
    loop.plot_distances([result(0, [0.01] * 5), result(1, [0.05] * 5)], tmp_path / "distance.png")
    assert cv2.imread(str(tmp_path / "distance.png")) is not None
    assert list(drawn) == list(CONDITIONS)
    assert drawn["true masks"] == pytest.approx([30, 20, *[3] * (MOVES - 1)]), "centimetres, mean of both"


def shot(value: int, hand: tuple[int, int] | None = (20, 12)) -> Shot:
    """A picture of one grey with a hand, a robot and a ball."""
    hand_mask, robot = np.zeros((48, 64), bool), np.zeros((48, 64), bool)
    hand_mask[8:17, 15:26], robot[8:40, 15:26] = True, True
    place = None if hand is None else np.array(hand, float)
    return Shot(np.full((48, 64, 3), value, np.uint8), hand_mask, robot, place, np.array([48.0, 20.0]))


def test_a_picture_shows_what_the_policy_knew() -> None:
    before = shot(90)
    drawn = loop.picture(before)
    assert drawn[12, 20].tolist() == [255, 0, 255], "cross"
    assert drawn[20, 48 + 9].tolist() == [255, 255, 255] and drawn[20, 48].tolist() == [90] * 3, "circle"
    assert drawn[39, 20].tolist() == [0, 120, 255] and drawn[8, 16].tolist() == [255, 160, 0], "outlines"
    assert (before.image == 90).all(), "the image itself stays as it is"
    assert loop.picture(shot(90, hand=None))[12, 20].tolist() == [90] * 3


def test_a_film_has_a_row_for_each_episode_from_first_to_last_image() -> None:
    long, short = Episode(shots=[shot(10 * index) for index in range(20)]), Episode(shots=[shot(250)])
    strip = loop.film([long, short])
    assert strip.shape == (2 * 48, 6 * 64, 3)
    assert strip[2, 2::64, 0].tolist() == [0, 40, 80, 110, 150, 190]
    assert (strip[50, 2::64] == 250).all()


class NoWorld:
    """Takes the place of a rendered world."""

    wears_colour = True

    def __init__(self, robot: str, seed: int) -> None:
        self.robot, self.seed = robot, seed

    def __enter__(self) -> NoWorld:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Threads of torch and OpenCV while episodes run; nothing is rendered."""
    seen: list[tuple[int, int]] = []

    def reach(world: NoWorld, condition: object, network: object) -> Episode:
        seen.append((torch.get_num_threads(), cv2.getNumThreads()))
        return Episode([0.3, 0.01], [1.0], [0.8], [shot(world.seed % 7)])

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    monkeypatch.setattr(loop, "ReachingWorld", NoWorld)
    monkeypatch.setattr(loop, "reach", reach)
    yield seen
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_robots_take_turns_and_the_first_episodes_are_filmed(tmp_path: Path, threads: list[tuple[int, int]]) -> None:
    network = Network(2, 2)
    results = loop.episodes(network, tmp_path, 14)
    robots = [found["robot"] for found in results]
    turn = len(set(robots))
    assert turn > 3 and robots[:turn] == robots[turn : 2 * turn]
    assert len({found["seed"] for found in results}) == 14
    films = sorted(path.name for path in (tmp_path / "films").iterdir())
    assert films == [f"{index:02d}_{robots[index]}.png" for index in range(12)]
    assert results[0]["conditions"]["true masks"] == {"distances": [0.3, 0.01], "gripper": 1.0, "robot": 0.8}


def test_an_episode_runs_on_one_thread_whatever_the_machine_has(tmp_path: Path, threads: list[tuple[int, int]]) -> None:
    loop.play(Network(2, 2), tmp_path, 0)
    assert set(threads) == {(1, 1)} and len(threads) == len(CONDITIONS)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2), "and gives them back"


def test_the_command_plays_prints_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], played: list[int]
) -> None:
    command = ["experiment", "closed-loop", "--device", "cpu", "-o", str(tmp_path)]
    assert main([*command, "--limit", "2"]) == 0
    assert "| true masks | 100.0 |" in capsys.readouterr().out
    assert main([*command, "--limit", "3"]) == 0
    assert played == [0, 1, 2]
    files = {path.name for path in (tmp_path / "closed-loop").iterdir()}
    assert files == {"episodes.jsonl", "table.md", "table.csv", "plot.png", "distance.png"}


def test_what_is_missing_for_rendering_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(*_: object) -> None:
        raise MissingAssets("no headless OpenGL")

    monkeypatch.setattr(loop, "play", play)
    assert main(["experiment", "closed-loop", "--device", "cpu", "--limit", "1", "-o", str(tmp_path)]) == 2
    assert "no headless OpenGL" in capsys.readouterr().err
