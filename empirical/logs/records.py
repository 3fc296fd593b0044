"""What every reader gives: records of metrics, each at a step where the file tells one; and the kinds of metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from elastomath.arrays import Array
from elastomath.curve import LARGEST
from elastomath.errors import InputError
from elastomath.foreign import json_of
from elastomath.units import NATS_PER_BIT

BLANKS = ("", "-", "\u2013", "\u2014", "na", "n/a", "#n/a", "<na>", "none", "null")
"""What people write where there is no number, besides NaN."""


@dataclass(frozen=True)
class Metric:
    """One number, and where the file has them the values of its documents: ``value = sum values / sum sizes``."""

    value: float
    values: Array | None = None
    sizes: Array | None = None

    @classmethod
    def of_documents(cls, values: list[float], sizes: list[float] | None = None) -> Metric:
        """From the documents; a size of 1 each where none are given; NaN where they cannot be computed with (`curve.LARGEST`)."""
        above = np.asarray(values, dtype=np.float64)
        below = np.ones(len(above)) if sizes is None else np.asarray(sizes, dtype=np.float64)
        sizeable = ((below >= 0) & (below <= LARGEST)).all() and below.sum() >= 1 / LARGEST
        if not sizeable or not (np.abs(above) <= LARGEST).all():
            return cls(math.nan)
        return cls(float(above.sum() / below.sum()), above, below)


@dataclass(frozen=True)
class Record:
    """Metrics by their names at one step of one run; None for a step or run that the file does not tell.

    texts   what stands under the name of a metric at this step and is no number
    """

    metrics: dict[str, Metric]
    step: float | None = None
    run: str | None = None
    where: str = ""
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """What a metric is: the unit of the rate that it gives, the rate, its derivative, and what it has to be."""

    unit: str
    rate: Callable[[float], float]
    slope: Callable[[float], float]
    rule: str = "finite and >= 0"
    least: float = 0.0
    most: float = math.inf


KINDS: Mapping[str, Kind] = {
    "loss": Kind("bits/token", lambda x: x / NATS_PER_BIT, lambda x: 1 / NATS_PER_BIT),
    "perplexity": Kind(
        "bits/token", lambda x: math.log(x) / NATS_PER_BIT, lambda x: 1 / (x * NATS_PER_BIT), "finite and >= 1", 1.0
    ),
    "bits_per_byte": Kind("bits/byte", lambda x: x, lambda x: 1.0),
    "nats": Kind("nats/response", lambda x: x, lambda x: 1.0),
    "score": Kind(
        "nats/response", lambda x: -math.log(x), lambda x: 1 / x, "> 0 and <= 1 (the rate is its code length, -ln)",
        math.ulp(0.0), 1.0,
    ),
}  # fmt: skip
"""A mean loss in nats a token; its exponential; bits a byte; nats a response; a share of successes s, of code length -ln s."""


def step_in(path: Path) -> float | None:
    """The step in a path: ``checkpoint-500``, ``ckpt_12``, ``step143000``; the innermost where several parts have one.

    >>> step_in(Path("out/checkpoint-500/results_2026.json")), step_in(Path("mine.json"))
    (500.0, None)
    """
    for part in reversed(path.parts):
        match = re.search(r"(?:checkpoint|ckpt|step)[-_=]?(\d+)", part, re.IGNORECASE)
        if match:
            return float(match[1])
    return None


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        x = float(value)
    except OverflowError:  # a whole number of 400 digits
        return None
    return x if math.isfinite(x) else None


def wording(value: Any) -> str:
    """What a cell holds where a finite number could be: a text, or infinity; nothing for a number, an empty cell, or a word for neither."""
    if isinstance(value, str) and value.strip().lower() in BLANKS:
        return ""
    try:
        return str(value) if math.isinf(float(value)) else ""
    except ValueError:
        return str(value)
    except (TypeError, OverflowError):
        return ""


def joined(records: Iterable[Record]) -> list[Record]:
    """What is told of one run and step as one record, in the order of the steps.

    A value that differs from an earlier one of its name stands in a record of its own behind the others: nothing is overwritten.
    """
    whole: dict[tuple[str | None, float | None], Record] = {}
    apart = []
    for record in records:
        mine = whole.setdefault((record.run, record.step), Record({}, record.step, record.run, record.where))
        other = {name: x for name, x in record.metrics.items() if mine.metrics.setdefault(name, x).value != x.value}
        if other:
            apart.append(replace(record, metrics=other))
        mine.texts.update(record.texts)
    return sorted(whole.values(), key=lambda record: (str(record.run), record.step or 0.0)) + apart


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises InputError where it is none."""
    return json_of(path, "JSON, or cut", "copy the file again")


def unlike(path: Path, what: str) -> InputError:
    """The refusal of a file that is not what its name says."""
    return InputError(f"not {what}", where=str(path), mend="give the file as the tool wrote it")
