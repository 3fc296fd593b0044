"""``trainer_state.json`` of transformers and trl: a record for each step of its log, with ``eval_NAME_loss`` and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .records import Metric, Record, joined, number, read_json, unlike, wording


def read(path: Path) -> list[Record]:
    """The numbers of ``log_history``, by step. Losses are means over the tokens of a batch, without an error."""
    state = read_json(path)
    rows = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(rows, list):
        raise unlike(path, "a trainer_state.json: it has no log_history")
    return joined(_records(rows, str(path)))


def _records(rows: list[Any], where: str) -> Iterator[Record]:
    for row in rows:
        step = number(row.get("step")) if isinstance(row, dict) else None
        if step is not None:
            values = {name: number(value) for name, value in row.items() if name != "step"}
            texts = {name: text for name, value in row.items() if name != "step" and (text := wording(value))}
            yield Record({name: Metric(x) for name, x in values.items() if x is not None}, step, None, where, texts)
