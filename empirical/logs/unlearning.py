"""open-unlearning: ``*_EVAL.json``, a metric with its ``agg_value`` and, for most, a value for each document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .records import Metric, Record, number, read_json, step_in, unlike


def read(path: Path) -> list[Record]:
    """``METRIC`` (its ``agg_value``) and ``METRIC.STATISTIC`` (``prob``, ``avg_loss`` ...), the mean over documents."""
    content = read_json(path)
    if not isinstance(content, dict) or not any(
        isinstance(row, dict) and "agg_value" in row for row in content.values()
    ):
        raise unlike(path, "an EVAL.json of open-unlearning: no agg_value in it")
    metrics: dict[str, Metric] = {}
    for name, row in content.items():
        if not isinstance(row, dict):
            continue
        value = number(row.get("agg_value"))
        if value is not None:
            metrics[name] = Metric(value)
        for statistic, values in _columns(row.get("value_by_index")).items():
            metrics[f"{name}.{statistic}"] = Metric.of_documents(values)
    return [Record(metrics, step_in(path), where=str(path))]


def _columns(rows: Any) -> dict[str, list[float]]:
    """The statistics that every document has as a number, in the order of their indices."""
    if not isinstance(rows, dict) or not rows or not all(isinstance(row, dict) for row in rows.values()):
        return {}
    ordered = [rows[index] for index in sorted(rows, key=lambda index: (len(str(index)), str(index)))]
    columns = {name: [number(row.get(name)) for row in ordered] for name in ordered[0]}
    return {name: [x for x in values if x is not None] for name, values in columns.items() if None not in values}
