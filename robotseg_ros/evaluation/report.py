"""The report of an evaluation: one HTML file with everything in it, that opens anywhere and needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .results import WARM_UP, ClipResult, PartSummary

SHOWN_CLIPS = 24
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child, td:nth-child(2), th:nth-child(2) { text-align: left } th { background: #f3f3f3 }
img { max-width: 100% } figure { display: inline-block; margin: .3rem; vertical-align: top; width: 15.5rem }
figcaption { font-size: 12px; overflow-wrap: anywhere } code { background: #f3f3f3 }
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
    other = json.loads((against / "scores.json").read_text("utf-8")) if against is not None else None
    settings = list(dict.fromkeys(result.setting for result in results))
    sections = [_summary(rows, other, against)]
    for setting in settings:
        of_setting = [result for result in results if result.setting == setting]
        sections.append(f"<h2>{html.escape(setting)}</h2>")
        sections.append(_plots(of_setting))
        sections.append(_pictures(folder, of_setting))
    sections.append(_facts(facts))
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


def _summary(rows: Sequence[PartSummary], other: Mapping[str, Any] | None, against: Path | None) -> str:
    """The table, with another run's figures and the differences where there is one."""
    header = ["setting", "part", "clips", "frames", "J", "F", "J&F", "IoU over flow", "flicker"]
    beside = {(row["setting"], row["part"]): row for row in other["scores"]} if other else {}
    if other:
        header += [f"J&F of {other['facts']['source']}", "difference"]
    lines = []
    for row in rows:
        cells = [row.setting, row.part, str(row.clips), str(row.frames), *map(_percent, (row.j, row.f, row.j_and_f))]
        cells += [_percent(row.stability.get("iou")), f"{row.stability.get('flicker', float('nan')):.0f}"]
        marked = [f"<td>{html.escape(cell)}</td>" for cell in cells]
        if other:
            marked += _compared(row, beside.get((row.setting, row.part)))
        lines.append("<tr>" + "".join(marked) + "</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    note = f"<p>Compared with <code>{html.escape(str(against))}</code>.</p>" if against else ""
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>{note}"


def _compared(row: PartSummary, other: Mapping[str, Any] | None) -> list[str]:
    value = other.get("j_and_f") if other else None
    if value is None or math.isnan(row.j_and_f):
        return ["<td>-</td>", "<td>-</td>"]
    change = 100 * (row.j_and_f - value)
    kind = "higher" if change >= 0 else "lower"
    return [f"<td>{_percent(value)}</td>", f'<td class="{kind}">{change:+.1f}</td>']


def _plots(results: Sequence[ClipResult]) -> str:
    """J&F by clip, scores by frame, latency."""
    from matplotlib.figure import Figure

    parts = list(results[0].j)
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    by_clip, by_frame, spread, latency = figure.subplots(2, 2).ravel()
    by_frame.set(title="by frame, mean over clips", xlabel="frame", ylim=(0, 1.02))
    spread.set(title="J&F of clips, sorted", xlabel="clip", ylim=(0, 1.02))
    for part in parts:
        scores = np.array([result.j_and_f(part) for result in results])
        if not np.isnan(scores).all():
            by_clip.plot(scores, "o", ms=3, label=part)
            spread.plot(np.sort(scores[~np.isnan(scores)]), label=part)
        by_frame.plot(*_by_frame(results, part), label=part)
    by_clip.set(title="J&F by clip", xlabel="clip", ylim=(0, 1.02))
    times = [ms for result in results for ms in result.milliseconds[WARM_UP:]]
    if times:
        latency.hist(times, bins=40, color="#567")
        latency.axvline(float(np.median(times)), color="#b00", label=f"median {np.median(times):.1f} ms")
    latency.set(title="milliseconds a frame, without a clip's first", xlabel="ms")
    for axis in (by_clip, by_frame, spread, latency):
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=80)
    return f'<p><img alt="plots" src="{_embedded(written.getvalue(), "png")}"></p>'


def _by_frame(results: Sequence[ClipResult], part: str) -> tuple[list[int], list[float]]:
    """J over frames, or where there is no truth, the IoU with the moved mask before."""
    kind = "j" if any(not math.isnan(value) for result in results for value in result.j[part]) else "flow_iou"
    lists = [getattr(result, kind)[part] for result in results]
    frames, means = [], []
    for index in range(max(map(len, lists), default=0)):
        known = [values[index] for values in lists if index < len(values) and not math.isnan(values[index])]
        if known:
            frames.append(index)
            means.append(float(np.mean(known)))
    return frames, means


def _pictures(folder: Path, results: Sequence[ClipResult]) -> str:
    """Worst clips first: the worst and the best frame of each; outlines white as they should be, coloured as they are."""
    ordered = sorted(results, key=_rank)[:SHOWN_CLIPS]
    shown = [_figure(folder, result, kind) for result in ordered for kind in ("worst", "best")]
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


def _figure(folder: Path, result: ClipResult, kind: str) -> str:
    path = folder / "clips" / result.setting / f"{result.clip}-{kind}.jpg"
    if not path.is_file():
        return ""
    caption = html.escape(f"{result.clip}, {kind} frame; clip {_percent(_rank(result))}")
    picture = f'<img alt="{caption}" src="{_embedded(path.read_bytes(), "jpeg")}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _facts(facts: Mapping[str, Any]) -> str:
    lines = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    return f"<h2>Settings and versions</h2><table>{lines}</table>"


def _embedded(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"
