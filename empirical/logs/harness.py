"""lm-evaluation-harness: ``results_*.json`` (one number a metric) and ``samples_*.jsonl`` (a row a document)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from elastomath.foreign import text_of
from elastomath.units import NATS_PER_BIT

from .records import Metric, Record, number, read_json, step_in, unlike


def read_results(path: Path) -> list[Record]:
    """``TASK.METRIC`` for each task; the filter is named where it is another than ``none`` (files before 0.4 have none).

    The ``stderr`` beside a metric is its error for other documents, which all readings of a run share: it is not read.
    """
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise unlike(path, "a results file of lm-evaluation-harness")
    metrics = {}
    for task, row in results.items():
        for name, value in row.items():
            metric, _, kind = name.partition(",")
            x = number(value)
            if x is not None and not metric.endswith("_stderr") and (kind or f"{metric}_stderr" in row):
                metrics[f"{task}.{metric}" if kind in ("", "none") else f"{task}.{name}"] = Metric(x)
    return [Record(metrics, step_in(path), where=str(path))]


def read_samples(path: Path) -> list[Record]:
    """``TASK.METRIC`` with a value for each document, and ``TASK.nats``: minus the log-likelihood of each only response.

    A document of a rolling task has log-likelihood and bytes: its ``bits_per_byte`` is pooled over bytes, as the harness does.
    """
    task = re.sub(r"_\d{4}-\d\d-\d\dT.*$", "", path.stem.removeprefix("samples_"))
    columns: dict[str, list[tuple[float, float]]] = {}
    rows = 0
    for row in sorted(_rows(path), key=lambda row: str(row.get("doc_hash", row.get("doc_id")))):
        rows += 1
        named = row.get("metrics")
        if not (isinstance(named, list) and named and all(isinstance(name, str) for name in named)):
            named = [name for name in row if number(row[name]) is not None and name != "doc_id"]
        for name in named:
            value = row.get(name)
            if name == "bits_per_byte" and isinstance(value, list) and len(value) == 2:
                likelihood, size = map(number, value)
                if likelihood is not None and size is not None:
                    columns.setdefault(name, []).append((-likelihood / NATS_PER_BIT, size))
            elif (x := number(value)) is not None:
                columns.setdefault(name, []).append((x, 1.0))
        likelihood = _likelihood(row.get("resps"))
        if likelihood is not None:
            columns.setdefault("nats", []).append((-likelihood, 1.0))
    metrics = {
        f"{task}.{name}": Metric.of_documents([x for x, _ in pairs], [size for _, size in pairs])
        for name, pairs in columns.items()
        if len(pairs) == rows
    }
    return [Record(metrics, step_in(path), where=str(path))]


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in text_of(path).splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise unlike(path, "a samples file of lm-evaluation-harness, or cut") from error
    if not rows or not all(isinstance(row, dict) and "doc" in row for row in rows):
        raise unlike(path, "a samples file of lm-evaluation-harness")
    return rows


def _likelihood(responses: Any) -> float | None:
    """The log-likelihood in ``[[[ll, greedy]]]``, which a document with one request has; the harness writes it as text too."""
    try:
        ((answer,),) = responses
        return number(float(answer[0]))
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
