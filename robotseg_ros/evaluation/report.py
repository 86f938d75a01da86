"""The report of an evaluation: one HTML file with everything in it, that opens anywhere and needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..drawing import PART_COLORS
from .efficiency import Efficiency
from .results import HEADER, WARM_UP, ClipResult, PartSummary, cells, percent, summarise

SHOWN_CLIPS, NAMED_CLIPS = 24, 40
KINDS = ("worst", "best")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) { text-align: left } th { background: #f3f3f3 }
img { max-width: 100% } figure { display: inline-block; margin: .3rem; vertical-align: top; width: 15.5rem }
figcaption { font-size: 12px; overflow-wrap: anywhere } code { background: #f3f3f3 }
.facts td, .facts th { text-align: left; overflow-wrap: anywhere } .facts td:first-child { white-space: nowrap }
td, th { vertical-align: top }
.lower { color: #b00 } .higher { color: #070 }
"""


def machine() -> dict[str, str]:
    """Versions and machine, for the record."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "robotseg_ros": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {device}",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def write_report(
    folder: Path,
    results: Sequence[ClipResult],
    rows: Sequence[PartSummary],
    facts: Mapping[str, Any],
    against: Path | None = None,
) -> Path:
    """`report.html` in the folder of a run whose pictures lie there; `against` is the folder of a run to stand beside it.

    Raises ImportError without matplotlib, FileNotFoundError where `against` holds no run.
    """
    other = _Other.read(against, results) if against is not None else None
    sections = [_summary(rows, other), _costs(facts, other)]
    for setting in dict.fromkeys(result.setting for result in results):
        of_setting = [result for result in results if result.setting == setting]
        twins = other.results(setting) if other is not None else {}
        sections.append(f"<h2>{html.escape(setting)}</h2>")
        sections.append(_plots(of_setting, twins))
        sections.append(_pictures(folder, of_setting, other, twins))
    sections.append(_facts(facts, other))
    title = f"{facts['source']} on {facts['input']}"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>'
        + "\n".join(sections)
        + "</body></html>"
    )
    path = folder / "report.html"
    path.write_text(page, "utf-8")
    return path


@dataclass(frozen=True)
class _Other:
    """The run to stand beside this one, as far as it has the same clips in the same settings."""

    folder: Path
    facts: Mapping[str, Any]
    shared: Sequence[tuple[ClipResult, ClipResult]]
    """This run's result and the other's."""

    @classmethod
    def read(cls, folder: Path, results: Sequence[ClipResult]) -> _Other:
        content = json.loads((folder / "scores.json").read_text("utf-8"))
        twins = [(r, ClipResult.read(folder / "clips" / r.setting / f"{r.clip}.json")) for r in results]
        return cls(folder, content["facts"], [(result, twin) for result, twin in twins if twin is not None])

    @property
    def name(self) -> str:
        return str(self.facts["source"])

    def results(self, setting: str) -> dict[str, ClipResult]:
        """Its results in a setting, by clip."""
        return {twin.clip: twin for result, twin in self.shared if result.setting == setting}

    def rows(self, setting: str, part: str) -> tuple[PartSummary, PartSummary] | None:
        """This run's summary and the other's over the clips that both have; None where there are none."""
        pairs = [pair for pair in self.shared if pair[0].setting == setting and all(part in run.j for run in pair)]
        if not pairs:
            return None
        (mine,), (theirs,) = (summarise(runs, [part]) for runs in zip(*pairs, strict=True))
        return mine, theirs


def _table(header: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _line(cells: Sequence[str], more: str = "") -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + more + "</tr>"


def _summary(rows: Sequence[PartSummary], other: _Other | None) -> str:
    """The table, with another run's figures and the differences where there is one."""
    if other is None:
        return _table(HEADER, [_line(cells(row)) for row in rows])
    header = [*HEADER, "clips of both", "other J", "other F", "other J&F", "difference"]
    lines = [_line(cells(row), _compared(other.rows(row.setting, row.part))) for row in rows]
    return (
        _table(header, lines) + f"<p>Other: {html.escape(other.name)}, <code>{html.escape(str(other.folder))}</code>. "
        "Its figures and the differences are of the clips that both runs have.</p>"
    )


def _compared(rows: tuple[PartSummary, PartSummary] | None) -> str:
    """Cells of another run beside this one."""
    if rows is None:
        return "<td>0</td>" + "<td>-</td>" * 4
    mine, theirs = rows
    values = [str(theirs.clips), *(percent(value) for value in (theirs.j, theirs.f, theirs.j_and_f))]
    beside = "".join(f"<td>{value}</td>" for value in values)
    change = 100 * (mine.j_and_f - theirs.j_and_f)
    if math.isnan(change):
        return beside + "<td>-</td>"
    return beside + f'<td class="{"higher" if change >= 0 else "lower"}">{change:+.1f}</td>'


def _costs(facts: Mapping[str, Any], other: _Other | None) -> str:
    """Milliseconds of this run's frames, and what `--efficiency` measured."""
    runs = {facts["source"]: facts} | ({f"other: {other.name}": other.facts} if other is not None else {})
    times = [_line([name, *_times(run.get("milliseconds") or {})]) for name, run in runs.items()]
    table = _table(["run", "frames timed", "ms median", "ms p95", "ms worst"], times)
    costs = [
        _line([name, *Efficiency(**run["efficiency"]).cells()]) for name, run in runs.items() if run.get("efficiency")
    ]
    return table + (_table(["in steady state", *Efficiency.HEADER], costs) if costs else "")


def _times(milliseconds: Mapping[str, float | None]) -> list[str]:
    spent = [milliseconds.get(name) for name in ("median", "p95", "worst")]
    texts = ["-" if value is None or math.isnan(value) else f"{value:.1f}" for value in spent]
    return [str(milliseconds.get("count", 0)), *texts]


def _plots(results: Sequence[ClipResult], twins: Mapping[str, ClipResult]) -> str:
    """J&F by clip and by frame, latency; hollow marks are the other run's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8.5), layout="constrained")
    (by_clip, by_frame), (spread, latency) = figure.subplots(2, 2)
    _plot_clips(by_clip, results, twins)
    _plot_frames(by_frame, results)
    for part in results[0].j:
        known = [value for result in results if not math.isnan(value := result.j_and_f(part))]
        if known:
            spread.hist(known, bins=np.linspace(0, 1, 41), alpha=0.5, label=part, color=_colour(part))
    spread.set(title="J&F, number of clips", xlabel="J&F")
    times = [ms for result in results for ms in result.milliseconds[WARM_UP:] if not math.isnan(ms)]
    if times:
        latency.hist(times, bins=40, color="#567")
        latency.axvline(float(np.median(times)), color="#b00", label=f"median {np.median(times):.1f} ms")
    latency.set(title=f"milliseconds a frame, without the first {WARM_UP} of a clip", xlabel="ms")
    for axis in (by_clip, by_frame, spread, latency):
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=80)
    return f'<p><img alt="plots" src="{_embedded(written.getvalue(), "png")}"></p>'


def _plot_clips(axis: Any, results: Sequence[ClipResult], twins: Mapping[str, ClipResult]) -> None:
    names = [result.clip for result in results]
    for part in results[0].j:
        scores = np.array([result.j_and_f(part) for result in results])
        if not np.isnan(scores).all():
            axis.plot(scores, "o", ms=4, label=part, color=_colour(part))
        beside = [twins[name].j_and_f(part) if name in twins and part in twins[name].j else np.nan for name in names]
        if not np.isnan(beside).all():
            axis.plot(beside, "o", ms=6, mfc="none", color=_colour(part))
    axis.set(title="J&F by clip" + (" (hollow: the other run)" if twins else ""), ylim=(0, 1.02))
    if len(names) <= NAMED_CLIPS:
        axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
    else:
        axis.set_xlabel("clip")


def _plot_frames(axis: Any, results: Sequence[ClipResult]) -> None:
    """A thin line for each clip and a thick one for the mean; without truth, of the IoU with the moved mask before."""
    kind = "J&F"
    for part in results[0].j:
        curves = [_curve(result, part) for result in results]
        if all(np.isnan(curve).all() for curve in curves):
            kind, curves = "IoU over flow", [np.array(result.flow_iou[part], float) for result in results]
        table = np.full((len(curves), max(map(len, curves))), np.nan)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve)] = curve
        for row in table if len(table) > 1 else ():
            axis.plot(row, lw=0.5, alpha=0.3, color=_colour(part))
        frames = np.flatnonzero(~np.isnan(table).all(axis=0))
        axis.plot(frames, np.nanmean(table[:, frames], axis=0), "o-", ms=2, label=part, color=_colour(part))
    axis.set(title=f"{kind} by frame: clips and their mean", xlabel="frame", ylim=(0, 1.02))


def _curve(result: ClipResult, part: str) -> NDArray[np.float64]:
    """J&F of each frame."""
    return (np.array(result.j[part], float) + np.array(result.f[part], float)) / 2


def _colour(part: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in PART_COLORS[part])


def _pictures(
    folder: Path, results: Sequence[ClipResult], other: _Other | None, twins: Mapping[str, ClipResult]
) -> str:
    """Worst clips first: the worst and the best frame of each, and the other run's beside them."""
    shown = []
    for result in sorted(results, key=_rank)[:SHOWN_CLIPS]:
        pictures = [_figure(folder, result, kind, "") for kind in KINDS]
        if other is not None and result.clip in twins:
            pictures += [_figure(other.folder, twins[result.clip], kind, "other: ") for kind in KINDS]
        shown.append(f"<div>{''.join(pictures)}</div>" if other is not None else "".join(pictures))
    return (
        "<p>Worst and best frame of each clip, worst clips first; true outlines white, predicted ones coloured (arm blue, "
        "gripper orange, robot green).</p>" + "".join(shown)
    )


def _rank(result: ClipResult) -> float:
    """J&F over parts, or steadiness."""
    scores = [result.j_and_f(part) for part in result.j]
    steady = [entry["iou"] for entry in result.stability.values()]
    for values in (scores, steady):
        known = [value for value in values if not math.isnan(value)]
        if known:
            return float(np.mean(known))
    return float("inf")


def _figure(folder: Path, result: ClipResult, kind: str, whose: str) -> str:
    path = folder / "clips" / result.setting / f"{result.clip}-{kind}.jpg"
    if not path.is_file():
        return ""
    caption = html.escape(f"{whose}{result.clip}, {kind} frame; clip {percent(_rank(result))}")
    picture = f'<img alt="{caption}" src="{_embedded(path.read_bytes(), "jpeg")}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _facts(facts: Mapping[str, Any], other: _Other | None) -> str:
    """Settings and versions; of two runs side by side."""
    runs = [facts, *([other.facts] if other is not None else [])]
    names = [name for name in facts if name not in ("milliseconds", "efficiency")]
    lines = [_line([name, *(_told(run.get(name)) for run in runs)]) for name in names]
    header = ["", *(("this run", "the other") if other is not None else ("this run",))]
    return "<h2>Settings and versions</h2>" + _table(header, lines).replace("<table>", '<table class="facts">')


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _embedded(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
