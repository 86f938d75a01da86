"""What an experiment leaves behind: a table (Markdown and CSV) and a plot."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import PARTS
from .measure import Measured


@dataclass
class Outcome:
    """An experiment's figures. rows: cells under `header`, figures as J&F in percent; curves: J by frame for the plot;
    draw: draws another plot."""

    title: str
    header: list[str]
    rows: list[list[str]]
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    draw: Callable[[Any], None] | None = None


def part_rows(measured: Sequence[Measured]) -> Outcome:
    """A row of J&F by part for each condition."""
    rows = [[entry.label, *(f"{100 * entry.j_and_f(part):.1f}" for part in PARTS)] for entry in measured]
    return Outcome("", ["J&F, percent", *PARTS], rows)


def seed_rows(groups: dict[str, list[Measured]]) -> Outcome:
    """A row of mean and standard deviation over seeds by part for each condition."""
    rows = []
    for label, runs in groups.items():
        rows.append([label, *(over_runs([100 * run.j_and_f(part) for run in runs]) for part in PARTS)])
    return Outcome("", [f"J&F, percent, {len(next(iter(groups.values())))} seeds", *PARTS], rows)


def over_runs(values: Sequence[float] | NDArray[np.float64]) -> str:
    """Mean and standard deviation of a figure over runs; of a single run the figure."""
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def markdown(outcome: Outcome) -> str:
    """The table as Markdown."""
    lines = [outcome.header, ["---"] * len(outcome.header), *outcome.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """`table.md`, `table.csv` and `plot.png` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(f"# {outcome.title}\n\n{markdown(outcome)}\n")
    with open(folder / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([outcome.header, *outcome.rows])
    _plot(outcome, folder / "plot.png")
    return [folder / name for name in ("table.md", "table.csv", "plot.png")]


def _plot(outcome: Outcome, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axis = figure.subplots()
    if outcome.draw is not None:
        outcome.draw(axis)
    elif outcome.curves:
        for label, values in outcome.curves.items():
            axis.plot(values, label=label)
        axis.set(xlabel="frame", ylabel="J (robot)", ylim=(0, 1))
    else:
        _bars(axis, outcome)
    axis.set_title(outcome.title, fontsize=10)
    axis.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)


def _bars(axis: object, outcome: Outcome) -> None:
    """Groups of bars, a condition each; a cell's `± x` becomes its error bar."""
    places = np.arange(len(outcome.rows))
    for index, part in enumerate(outcome.header[1:]):
        cells = [row[index + 1].split("±") for row in outcome.rows]
        values, errors = (
            [float(cell[0]) for cell in cells],
            [float(cell[1]) if len(cell) > 1 else 0.0 for cell in cells],
        )
        axis.bar(places + 0.26 * (index - 1), values, 0.25, yerr=errors if any(errors) else None, label=part)  # type: ignore[attr-defined]
    axis.set_xticks(places, [fill(row[0], 18) for row in outcome.rows], fontsize=8)  # type: ignore[attr-defined]
    axis.set(ylabel=outcome.header[0].split(",")[0] + ", percent", ylim=(0, 100))  # type: ignore[attr-defined]
