"""What a study says: a number with its interval over seeds, and a sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypedDict

import numpy as np

from elastomath.interval import Ends, Interval
from elastomath.runs.ledger import Configuration

LEVEL = 0.95

SHARE = (0.0, 1.0)
"""The ends of a share."""

Run = tuple[Configuration, Any]
"""A run of a study: what it was asked, and what it returned (`sim.cycles.records`)."""


class SavedAnswer(TypedDict):
    """An `Answer` as it stands in JSON; ``value`` is `Interval.as_dict`."""

    id: str
    question: str
    compressor: str
    sentence: str
    value: Ends
    method: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a study.

    id          unique within the study: what was measured and on which compressor
    question    in a few words
    compressor  mixture, counting, softmax or transformer
    sentence    what was seen, in plain words, with what the theory and the paper say
    value       the number
    method      how it and its interval were made
    """

    id: str
    question: str
    compressor: str
    sentence: str
    value: Interval
    method: str

    def as_dict(self) -> SavedAnswer:
        """The fields, as they go into JSON."""
        return {
            "id": self.id,
            "question": self.question,
            "compressor": self.compressor,
            "sentence": self.sentence,
            "value": self.value.as_dict(),
            "method": self.method,
        }


def over_seeds(
    values: Iterable[float | None],
    level: float = LEVEL,
    within: tuple[float, float] = (-math.inf, math.inf),
    *,
    logs: bool = False,
) -> Interval | None:
    """The mean with Student's interval (`Interval.of_values`), cut to ``within``; None where a seed has no finite value.

    The mean of the seeds that happen to have a value is chosen by what it measures: it is not given. One value has no interval.
    Seeds differ in source and training, so the interval is one for both. Shares, ``within`` `SHARE`, that are the same c in every
    seed have no scatter for Student's interval, and yet those of other seeds may differ: with probability p or more, Clopper and
    Pearson's low end for n of n, a share is c, so that the mean lies between p c and p c + 1 - p.
    ``logs``: the geometric mean, for how many times as large one number is as another, which has no preferred way round: with the
    arithmetic one, of 1/2 and 2, either is 1.25 times the other. None where a value is not above 0.

    >>> print(over_seeds([1.0, 2.0, 3.0])), over_seeds([]), over_seeds([1.0, None])
    2.0 [-0.5, 4.5]
    (None, None, None)
    >>> print(over_seeds([0.5, 1.0, 2.0], logs=True))
    1.0 [0.2, 5.6]
    >>> print(over_seeds([1.0] * 8, within=SHARE))
    1.00 [0.63, 1.00]
    """
    each = [math.nan if value is None else value for value in values]
    if not each or not all(map(math.isfinite, each)):
        return None
    if logs:
        return Interval.of_logs([math.log(value) for value in each], level=level) if min(each) > 0 else None
    if within == SHARE and len(each) > 1 and max(each) - min(each) < 1e-12:
        same = ((1 - level) / 2) ** (1 / len(each))
        return Interval(each[0], same * each[0], same * each[0] + 1 - same, level, method="Clopper and Pearson")
    return Interval.of_values(each, level=level).within(*within)


def exponent(volumes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """The slope of ln(value) in ln(volume) by least squares; None where a value is none above 0, and with fewer than two volumes.

    >>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 12), exponent([1, 2, 4], [3.0, 6.0, None])
    (1.0, None)
    """
    pairs = [(x, math.nan if y is None else y) for x, y in zip(volumes, values, strict=True)]
    if len({x for x, _ in pairs}) < 2 or not all(math.isfinite(y) and y > 0 for _, y in pairs):
        return None
    x, y = np.log(np.array(pairs)).T
    x = x - x.mean()
    return float(x @ y / (x @ x))


def rising_with(rows: Iterable[Mapping[str, Any]], by: str) -> tuple[int, int]:
    """Of the seeds, in how many the elasticity rises from each value of ``by`` to the next, and how many seeds there are.

    >>> rising_with([{"seed": 0, "d": 10, "elasticity": 0.2}, {"seed": 0, "d": 9, "elasticity": 0.1}], "d")
    (1, 1)
    """
    table = sorted(rows, key=itemgetter(by))
    seeds = sorted({row["seed"] for row in table})
    paths = [[row["elasticity"] for row in table if row["seed"] == seed] for seed in seeds]
    return sum(all(a < b for a, b in itertools.pairwise(path)) for path in paths), len(seeds)


QUADRATURE = 1e-3
"""How near the law of forgetting counting has to come by effective volumes (R16) on nine readings, relative."""
T_METHOD = "mean over seeds (source and training drawn anew) with Student's interval"
LOG_METHOD = "geometric mean over seeds (source and training drawn anew) with Student's interval of the logarithms"
