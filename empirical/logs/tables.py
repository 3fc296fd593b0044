"""Tables of any tool: wandb, trackio, TensorBoard exports, or one's own CSV, JSONL or Parquet; a row a step, or a row a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.errors import InputError
from elastomath.foreign import parquet_of, refuse_kind, text_of
from elastomath.tables import json_object, read_csv

from .records import Metric, Record, joined, number, read_json, unlike, wording

if TYPE_CHECKING:
    import pandas as pd

STEPS = ("step", "_step", "Step", "global_step", "train/global_step", "trainer/global_step")
"""What tools call the step."""
RUNS = ("run", "run_name", "Run", "Name")
RANGES = ("__MIN", "__MAX")
"""How wandb names the least and the largest value beside a metric."""
TAGS, VALUES = ("tag", "metric", "name"), ("value", "Value")


def read(path: Path, step: str | None = None) -> list[Record]:
    """A record for each row of a wide table, or for each step of a long one (columns ``tag`` and ``value``).

    step   the column that counts the steps, where it has none of the usual names (`STEPS`)

    A wandb export names its columns ``RUN - METRIC``: the run is left away where each metric has one, else the records are those
    of each run (`_runs_of`). TensorBoard's one-scalar export (``Wall time, Step, Value``) is called as its file says behind
    ``tag-``. Raises InputError for a table without a step.
    """
    table = _table(path)
    column = step or next((name for name in STEPS if name in table.columns), None)
    if column not in table.columns:
        what = f"no column {step!r}" if step else "no column that counts steps"
        raise InputError(
            what,
            where=str(path),
            mend=f"write --map COLUMN=perturbation; its columns are {', '.join(map(str, table.columns))}",
        )
    run = next((name for name in RUNS if name in table.columns), None)
    tag, value = (next((name for name in names if name in table.columns), None) for names in (TAGS, VALUES))
    rows = table.to_dict("records")
    if value is not None and (tag is not None or set(table.columns) <= {"Wall time", column, value}):
        alone = re.sub(r"^.*tag-", "", path.stem)
        rows = [{column: r[column], run: r.get(run), str(r[tag]) if tag else alone: r[value]} for r in rows]
    return joined(_records(rows, str(column), run, str(path)))


def _records(rows: Iterable[Mapping[Any, Any]], column: str, run: str | None, where: str) -> Iterator[Record]:
    """What each row tells of each of its runs."""
    runs: dict[str, str] | None = None
    for index, row in enumerate(rows, 1):
        runs = _runs_of(row, run) if runs is None else runs
        at = _float(row[column])
        if text := wording(row[column]):
            raise InputError(f"row {index}: {column} is {text!r}", where=where, mend=f"{column} has to be a number")
        if at is None:
            continue
        owner = row.get(run) if run is not None else None
        for whose in dict.fromkeys(runs.values()) or [None if owner is None else str(owner)]:
            record = Record({}, at, whose, where)
            for name, value in row.items():
                label = _label(name)
                if name in (run, None) or label.endswith(RANGES) or runs.get(str(name), whose) != whose:
                    continue
                x = _float(value)
                if x is not None:
                    record.metrics[label] = Metric(x)
                elif text := wording(value):
                    record.texts[label] = text
            yield record


def _label(name: Any) -> str:
    """The metric of a column: what stands behind the run of a wandb export."""
    return str(name).rpartition(" - ")[2]


def _runs_of(row: Mapping[Any, Any], run: str | None) -> dict[str, str]:
    """The run of each column of a table whose columns say it: a wandb export of several runs has ``RUN - METRIC`` for each.

    Nothing where a column of runs says it, or where no metric stands under two runs: what stands before ``-`` may then be a word
    of the metric.

    >>> _runs_of({"Step": 0, "a - loss": 1.0, "b - loss": 2.0}, None), _runs_of({"Step": 0, "a - loss": 1.0, "a - acc": 1}, None)
    ({'a - loss': 'a', 'b - loss': 'b'}, {})
    """
    names = [str(name) for name in row if not str(name).endswith(RANGES)] if run is None else []
    owners = {name: name.rpartition(" - ")[0] for name in names if " - " in name}
    labels = [_label(name) for name in owners]
    return owners if len(set(labels)) < len(labels) else {}


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return number(value.item() if getattr(value, "ndim", None) == 0 else value)


def _table(path: Path) -> pd.DataFrame:
    """The table of a CSV, JSONL, Parquet or TensorBoard file; what it claims to hold is bounded before pandas has it."""
    import pandas as pd

    kind = path.suffix.lower()
    if kind == ".parquet":
        return parquet_of(path, mend="export it again")
    if kind == ".jsonl":
        lines = enumerate(text_of(path).splitlines(), 1)
        return pd.DataFrame([json_object(line, f"{path}, line {n}") for n, line in lines if line.strip()])
    if kind == ".csv":
        header, cells = read_csv(path)
        return pd.DataFrame([dict(zip(header, row, strict=True)) for row in cells], columns=list(dict.fromkeys(header)))
    if kind not in ("", ".json"):
        mend = "export it as .csv, .jsonl, .parquet or .json"
        refuse_kind(path, "a log or a table", mend)
        raise InputError(f"unknown suffix {path.suffix!r}", where=str(path), mend=mend)
    rows = read_json(path)  # TensorBoard's JSON export: [[wall time, step, value], ...]
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 3 for row in rows):
        raise unlike(path, "a file that is known here (trainer_state.json, results_*.json, *_EVAL.json, a table)")
    return pd.DataFrame(rows, columns=["Wall time", "Step", "Value"])
