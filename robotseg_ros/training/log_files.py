"""The CSV files that a run writes row by row. Not all rows know all columns: a clip of labelled frames has no patch loss."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def append_row(path: Path, row: Row) -> None:
    """Adds a row. Cells of columns that it does not have are empty, as are those of earlier rows in columns new with it."""
    columns = _columns(path)
    if new := [name for name in row if name not in columns]:
        rows = read_rows(path)[1] if columns else []
        columns = [*columns, *new]
        _write(path, columns, rows)
    with open(path, "a", newline="") as file:
        csv.DictWriter(file, columns).writerow(row)


def keep_rows(path: Path, end: int) -> None:
    """Takes out the rows of step `end` and later, and what was being written when the run was killed."""
    if path.exists():
        columns, rows = read_rows(path)
        _write(path, columns, [row for row in rows if int(row["step"]) < end])


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns' names, and the rows that are whole."""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), [row for row in reader if None not in (*row, *row.values())]


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return next(csv.reader(file), [])


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
