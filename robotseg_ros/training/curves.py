"""A run's losses and validation figures drawn from its CSV files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from .log_files import read_rows

log = logging.getLogger(__name__)

LOSS_FILES = ("image_losses.csv", "video_losses.csv")
NOT_LOSSES = ("step", "minutes", "rate", "norm")


def draw_curves(run: Path) -> Path | None:
    """Writes `curves.png` into the folder of a run; None, with a word in the log, where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("matplotlib is not installed: %s gets no curves.png", run)
        return None
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, name in zip(axes, LOSS_FILES, strict=False):
        columns = read_columns(run / name)
        for loss in [column for column in columns if column not in NOT_LOSSES]:
            axis.plot(columns["step"], smoothed(columns[loss]), label=loss, linewidth=2 if loss == "loss" else 1)
        axis.set(title=name.removesuffix(".csv").replace("_", " "), xlabel="step", yscale="log")
    columns = read_columns(run / "validation.csv")
    for figure_name in [column for column in columns if column not in NOT_LOSSES]:
        axes[2].plot(columns["step"], columns[figure_name], marker=".", label=figure_name)
    axes[2].set(title="validation J, F", xlabel="step", ylim=(0, 1))
    for axis in axes:
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=7)
    figure.savefig(run / "curves.png", dpi=110)
    return run / "curves.png"


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Columns of a CSV file of numbers by name; {} where there is no file. Empty cells are NaN."""
    if not path.exists():
        return {}
    columns, rows = read_rows(path)
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns if rows}


def smoothed(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Running mean over a share of the run of what there is: less at the ends, and not what is NaN."""
    kernel, known = np.ones(max(1, int(len(values) * share))), ~np.isnan(values)
    sums, counts = (np.convolve(cells, kernel, "same") for cells in (np.where(known, values, 0), known))
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
