"""What a study says: a number with its interval over seeds, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the ends of its interval at ``level``; an end that the seeds do not bound is None."""

    estimate: float
    low: float | None = None
    high: float | None = None
    level: float = LEVEL

    def __str__(self) -> str:
        low, high = ("open" if end is None else f"{end:.3g}" for end in (self.low, self.high))
        return f"{self.estimate:.3g} [{low}, {high}]"

    def holds(self, value: float) -> bool:
        """Whether a value lies within the interval (an open end excludes nothing)."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def side(self, below: str, above: str, neither: str, edge: float = 0.0) -> str:
        """The word for an interval that lies wholly below -edge, above edge, or does neither.

        >>> Estimate(1.0, 0.5, 1.5).side("falls", "rises", "?"), Estimate(1.0).side("falls", "rises", "?")
        ('rises', '?')
        """
        if self.high is not None and self.high < -edge:
            return below
        return above if self.low is not None and self.low > edge else neither


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
    value: Estimate
    method: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, as they go into JSON."""
        return asdict(self)


def over_seeds(
    values: Iterable[float | None], level: float = LEVEL, within: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate | None:
    """The mean with Student's interval ``mean -+ t s/sqrt(n)``, cut to ``within``; values that are None or not finite are left out.

    One value has no interval, none no estimate. Seeds differ in source and training, so the interval is one for both.

    >>> print(over_seeds([1.0, 2.0, 3.0])), print(over_seeds([1.0])), over_seeds([])
    2 [-0.484, 4.48]
    1 [open, open]
    (None, None, None)
    """
    found = np.array([value for value in values if value is not None and math.isfinite(value)], dtype=np.float64)
    if not found.size:
        return None
    mean = float(found.mean())
    if found.size == 1:
        return Estimate(mean, level=level)
    from scipy.stats import t

    half = float(t.ppf(0.5 + level / 2, found.size - 1)) * float(found.std(ddof=1)) / math.sqrt(found.size)
    return Estimate(mean, max(mean - half, within[0]), min(mean + half, within[1]), level)


def exponent(volumes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """The slope of ln(value) in ln(volume) by least squares; None with fewer than two values > 0.

    >>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 12)
    1.0
    """
    pairs = [(x, y) for x, y in zip(volumes, values, strict=True) if y is not None and math.isfinite(y) and y > 0]
    if len({x for x, _ in pairs}) < 2:
        return None
    x, y = np.log(np.array(pairs)).T
    x = x - x.mean()
    return float(x @ y / (x @ x))


T_METHOD = "mean over seeds (source and training drawn anew) with Student's interval"
