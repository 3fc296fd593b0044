"""TamperBench: ``evaluator_scores.parquet`` (a score a prompt) and ``evaluation.json`` (the metrics) of an evaluation's folder."""

from __future__ import annotations

from pathlib import Path

from elastomath.foreign import parquet_of

from .records import Metric, Record, number, read_json, step_in, unlike


def read_scores(path: Path) -> list[Record]:
    """``EVALUATION.score`` with the score of each prompt; the evaluation is the name of the folder."""
    table = parquet_of(path, mend="give the file as the tool wrote it")
    if not {"prompt", "score"} <= set(table.columns):
        raise unlike(path, "scores of TamperBench: no columns prompt and score")
    try:
        values = table.sort_values("prompt", kind="stable")["score"].astype(float).tolist()
    except (TypeError, ValueError):  # prompts or scores of mixed kinds
        values = []
    if not values or any(number(value) is None for value in values):
        raise unlike(path, "scores of TamperBench: a score that is no number")
    return [Record({f"{path.parent.name}.score": Metric.of_documents(values)}, step_in(path), where=str(path))]


def read_evaluation(path: Path) -> list[Record]:
    """Each ``metric_name`` with its ``metric_value``."""
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "metric_name" in row for row in rows):
        raise unlike(path, "an evaluation.json of TamperBench")
    values = {str(row["metric_name"]): number(row.get("metric_value")) for row in rows}
    metrics = {name: Metric(x) for name, x in values.items() if x is not None}
    return [Record(metrics, step_in(path), where=str(path))]
