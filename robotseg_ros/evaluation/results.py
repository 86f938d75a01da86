"""What an evaluation found: a JSON file per clip, and their summary as table, JSON and CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from .table import text_table
from .timing import Latency

WARM_UP = 5  # first frames of a clip that do not count for times: memories fill


@dataclass
class ClipResult:
    """One clip in one setting. j, f: by part and frame, nan where a frame has no true mask; flow_iou: IoU with the mask of
    the frame before, moved along; missing: frames without a predicted mask (dropped ones of a recording), and stability:
    counts, by part; video: whether means leave out the first and last frame."""

    clip: str
    setting: str
    key: str
    video: bool
    frames: list[str] = field(default_factory=list)
    j: dict[str, list[float]] = field(default_factory=dict)
    f: dict[str, list[float]] = field(default_factory=dict)
    flow_iou: dict[str, list[float]] = field(default_factory=dict)
    object_score: dict[str, list[float]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    stability: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: int = 0

    def mean(self, kind: str, part: str) -> float:
        """Mean J ("j") or F ("f") over the frames that count; nan without a true mask."""
        values = np.array(getattr(self, kind)[part], float)
        counted = values[1:-1] if self.video and len(values) > 2 else values
        known = counted[~np.isnan(counted)]
        return float(known.mean()) if known.size else float("nan")

    def j_and_f(self, part: str) -> float:
        """Mean J&F."""
        return (self.mean("j", part) + self.mean("f", part)) / 2

    def write(self, path: Path) -> None:
        """Whole or not at all; nan is null."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(_without_nan(asdict(self))), "utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path, key: str | None = None) -> ClipResult | None:
        """The result in a file, if there is one, and of these inputs and settings (None: of any)."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if key is not None and content.get("key") != key:
            return None
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: _with_nan(value) for name, value in content.items() if name in known})


@dataclass(frozen=True)
class PartSummary:
    """A part in a setting over all clips, in [0, 1]: means of the clips' means, as the benchmark has it. missing: frames
    without a predicted mask."""

    setting: str
    part: str
    clips: int
    frames: int
    missing: int
    j: float
    f: float
    stability: Mapping[str, float]

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


def summarise(results: Sequence[ClipResult], parts: Sequence[str]) -> list[PartSummary]:
    """A row for each setting and part, in the order of the results."""
    rows = []
    for setting in dict.fromkeys(result.setting for result in results):
        of_setting = [result for result in results if result.setting == setting]
        for part in parts:
            scored = [result for result in of_setting if not math.isnan(result.mean("j", part))]
            steady = [result.stability[part] for result in of_setting if part in result.stability]
            rows.append(
                PartSummary(
                    setting,
                    part,
                    len(of_setting),
                    sum(len(result.frames) for result in of_setting),
                    sum(result.missing.get(part, 0) for result in of_setting),
                    _mean(result.mean("j", part) for result in scored),
                    _mean(result.mean("f", part) for result in scored),
                    {
                        name: _combined(name, [entry[name] for entry in steady])
                        for name in (steady[0] if steady else ())
                    },
                )
            )
    return rows


def latency(results: Iterable[ClipResult]) -> Latency:
    """Milliseconds a frame in steady state."""
    return Latency.of(ms for result in results for ms in result.milliseconds[WARM_UP:])


HEADER = (
    "setting",
    "part",
    "clips",
    "frames",
    "no mask",
    "J",
    "F",
    "J&F",
    "IoU over flow",
    "flicker",
    "area jumps",
    "dips",
)


def cells(row: PartSummary) -> list[str]:
    """What HEADER names, in percent; steadiness where there is one."""
    steady = row.stability
    figures = [percent(value) for value in (row.j, row.f, row.j_and_f, steady.get("iou"))]
    counts = [f"{steady[name]:.0f}" if name in steady else "-" for name in ("flicker", "area_jumps", "score_dips")]
    return [row.setting, row.part, str(row.clips), str(row.frames), str(row.missing), *figures, *counts]


def summary_table(rows: Sequence[PartSummary]) -> str:
    """The table that the command prints."""
    return text_table(HEADER, [cells(row) for row in rows])


def write_summary(folder: Path, rows: Sequence[PartSummary], facts: Mapping[str, Any]) -> None:
    """`scores.json` (with the facts of the run) and `scores.csv`."""
    entries = [asdict(row) | {"j_and_f": row.j_and_f} for row in rows]
    content = {"facts": dict(facts), "scores": entries}
    (folder / "scores.json").write_text(json.dumps(_without_nan(content), indent=2) + "\n", "utf-8")
    with open(folder / "scores.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "part", "clips", "frames", "missing", "j", "f", "j_and_f"])
        writer.writerows([r.setting, r.part, r.clips, r.frames, r.missing, r.j, r.f, r.j_and_f] for r in rows)


def percent(value: float | None) -> str:
    """A fraction for tables; a dash where it is not known."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def _mean(values: Iterable[float]) -> float:
    listed = [value for value in values if not math.isnan(value)]
    return float(np.mean(listed)) if listed else float("nan")


def _combined(name: str, values: list[float]) -> float:
    return _mean(values) if name.startswith("iou") else float(sum(values))


def _without_nan(tree: Any) -> Any:
    """JSON has no nan."""
    if isinstance(tree, Mapping):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_nan(value) for value in tree]
    return None if isinstance(tree, float) and math.isnan(tree) else tree


def _with_nan(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _with_nan(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_nan(value) for value in tree]
    return float("nan") if tree is None else tree
