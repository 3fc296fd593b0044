"""Notebooks in Markdown: tables whose columns are steps (``| Model | Metric | Step 0 | Step 500 | ...``), a row a course."""

from __future__ import annotations

import re
from pathlib import Path

from elastomath.errors import InputError
from elastomath.foreign import text_of

from .records import Metric, Record, unlike, wording

STEP = re.compile(r"steps?\s*=?\s*(\d[\d,]*)", re.IGNORECASE)
METRICS = "metric"
"""The column that names the metric of a row; without it a value is called ``score``."""


def read(path: Path) -> list[Record]:
    """A record for each run and step: the run is called ``SECTION: ROW``, values in percent are read as shares.

    Emphasis is left away, a blank first cell repeats the one above, an empty cell or a dash is no reading. A table counts as
    percent where a value of it has the sign or is above 1. Raises InputError where no table has two columns of steps.
    """
    section, rows, records = "", [], []
    for line in [*text_of(path).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        records += _table(section, rows, str(path))
        rows = []
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
    if not records:
        raise unlike(path, "a notebook with a table of steps (| Model | Step 0 | Step 10 |)")
    return records


def _table(section: str, rows: list[list[str]], where: str) -> list[Record]:
    steps = {} if not rows else {i: _step(cell) for i, cell in enumerate(rows[0])}
    places = {i: step for i, step in steps.items() if step is not None}
    if len(places) < 2:
        return []
    names = range(min(places))
    metric = next((i for i in names if rows[0][i].lower() == METRICS), None)
    percent = any(_value(cell, 1.0) > 1 or "%" in cell for row in rows[2:] for cell in _cells(row, places))
    courses: dict[str, dict[float, Record]] = {}
    above = ""
    for row in rows[2:]:
        label = " ".join(row[i] for i in names if i != metric and row[i]) or above
        above = label
        run = ": ".join(part for part in (section, label) if part)
        kind = "score" if metric is None else row[metric]
        for i, step in places.items():
            value = _value(row[i], 100.0 if percent else 1.0) if i < len(row) else -1.0
            if value > 1:
                raise InputError(f"a score of {row[i]}", where=f"{where}, {run}", mend="write shares, or percent")
            text = wording(row[i].replace("*", "")) if i < len(row) else ""
            if value >= 0 or text:
                record = courses.setdefault(run, {}).setdefault(step, Record({}, step, run, where, {}))
                if value >= 0:
                    record.metrics[kind] = Metric(value)
                else:
                    record.texts[kind] = text
    return [record for mine in courses.values() for record in mine.values()]


def _cells(row: list[str], places: dict[int, float]) -> list[str]:
    return [row[i] for i in places if i < len(row)]


def _step(cell: str) -> float | None:
    step = STEP.fullmatch(cell)
    return float(step[1].replace(",", "")) if step else None


def _value(cell: str, scale: float) -> float:
    """The number in a cell over the scale; -1 where there is none."""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)%?", cell.replace("*", "").strip())
    return float(number[1]) / scale if number else -1.0
