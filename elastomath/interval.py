"""A measured number with its interval, and the four ways in which one is made: a mean, a logarithm, a bootstrap, a share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError


@dataclass(frozen=True, slots=True)
class Interval:
    """``estimate [low, high]`` at a nominal coverage ``level``; None for an estimate or an end that the data do not bound.

    unit    of all three, "" for a pure number;  method  how the interval was made, in a few words

    It prints itself with as many digits as its width has a use for.

    >>> print(Interval(17.83, 15.02, 21.16, 0.95, "examples", "bootstrap over prompts"))
    17.8 [15.0, 21.2] examples
    >>> print(Interval(None, 192.0, None, 0.95, "examples", "not reached"))
    > 192 examples
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    unit: str = ""
    method: str = ""

    @classmethod
    def of_mean(
        cls, mean: float, se: float, freedom: float, *, level: float = 0.95, unit: str = "", method: str = "Student's t"
    ) -> Interval:
        """``mean ± t se`` with ``freedom`` degrees of freedom; no ends where se or mean is not finite.

        >>> print(Interval.of_mean(1.0, 0.1, 9))
        1.00 [0.77, 1.23]
        """
        from scipy.stats import t

        if not math.isfinite(mean):
            return cls(None, None, None, level, unit, method)
        if not (math.isfinite(se) and se >= 0 and freedom >= 1):
            return cls(float(mean), None, None, level, unit, method)
        half = float(t.ppf(0.5 + level / 2, freedom)) * float(se)
        return cls(float(mean), float(mean) - half, float(mean) + half, level, unit, method)

    @classmethod
    def of_log(
        cls,
        log: float,
        se: float,
        freedom: float,
        *,
        level: float = 0.95,
        unit: str = "",
        method: str = "Student's t on a logarithm",
    ) -> Interval:
        """``exp(log ± t se)``: for a number that is positive and known to a factor."""
        inside = cls.of_mean(log, se, freedom, level=level)
        middle, low, high = (
            None if x is None or x > 709 else math.exp(x) for x in (inside.estimate, inside.low, inside.high)
        )
        return cls(middle, low, high, level, unit, method)

    @classmethod
    def of_values(
        cls, values: ArrayLike, *, level: float = 0.95, unit: str = "", method: str = "Student's t over seeds"
    ) -> Interval:
        """The mean of independent values (one a seed) with Student's interval; a single value has no ends.

        Raises InputError for no value, or one that is not finite.

        >>> print(Interval.of_values([1.0, 2.0, 3.0]))
        2.0 [-0.5, 4.5]
        """
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
            raise InputError("no values, or one that is not finite", where="interval", mend="give a list of numbers")
        count = numbers.size
        se = float(numbers.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
        return cls.of_mean(float(numbers.mean()), se, count - 1, level=level, unit=unit, method=method)

    @classmethod
    def of_draws(
        cls, estimate: float | None, draws: ArrayLike, *, level: float = 0.95, unit: str = "", method: str = "bootstrap"
    ) -> Interval:
        """The quantiles of a bootstrap's draws around the estimate; an infinite quantile is an open end."""
        low, high = np.quantile(
            np.asarray(draws, dtype=np.float64), [(1 - level) / 2, (1 + level) / 2], method="closest_observation"
        )
        first, last = (float(x) if np.isfinite(x) else None for x in (low, high))
        known = float(estimate) if estimate is not None and math.isfinite(estimate) else None
        return cls(known, first, last, level, unit, method)

    @classmethod
    def of_share(cls, hits: int, total: int, *, level: float = 0.95) -> Interval:
        """The share ``hits/total`` with Clopper and Pearson's interval, whose coverage is at least ``level``.

        >>> print(Interval.of_share(9, 10))
        0.90 [0.55, 1.00]
        """
        from scipy.stats import binomtest

        if total < 1 or not 0 <= hits <= total:
            raise InputError(f"{hits} of {total}", where="interval", mend="give 0 <= hits <= total, total >= 1")
        ends = binomtest(hits, total).proportion_ci(level, "exact")
        return cls(hits / total, float(ends.low), float(ends.high), level, "", "Clopper and Pearson")

    @property
    def closed(self) -> bool:
        """Whether the estimate and both ends are there."""
        return None not in (self.estimate, self.low, self.high)

    def without_unit(self) -> str:
        """``estimate [low, high]``, for a sentence that names the unit itself."""
        return str(replace(self, unit=""))

    def as_dict(self) -> dict[str, float | None]:
        """``{estimate, low, high, level}``."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}

    def __str__(self) -> str:
        """With as many digits as the width has a use for; a bound where there is no estimate."""
        unit = f" {self.unit}" if self.unit else ""
        known = [x for x in (self.estimate, self.low, self.high) if x is not None]
        if not known:
            return f"not bounded{unit}"
        digits = _digits(known)
        show = {x: f"{x:.{digits}f}" if -1 < digits < 7 else f"{x:.3g}" for x in known}
        if self.estimate is None:
            if self.low is not None and self.high is not None:
                return f"{show[self.low]} to {show[self.high]}{unit}"
            return f"> {show[self.low]}{unit}" if self.low is not None else f"< {show[known[0]]}{unit}"
        if self.low is None and self.high is None:
            return f"{show[self.estimate]}{unit}"
        low, high = ("open" if x is None else show[x] for x in (self.low, self.high))
        return f"{show[self.estimate]} [{low}, {high}]{unit}"


def _digits(known: list[float]) -> int:
    """Decimals that leave two significant digits of the widest distance between the numbers (three of a lone one)."""
    spread = max(known) - min(known)
    if spread > 0:
        return max(0, 1 - math.floor(math.log10(spread)))
    return max(0, 2 - math.floor(math.log10(abs(known[0])))) if known[0] else 0


# A measured constant with its interval.


@dataclass(frozen=True, slots=True)
class Constant:
    """A measured constant with its interval: None for an end, or an estimate, that the data do not bound.

    level: the nominal coverage of [low, high].
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float

    @property
    def closed(self) -> bool:
        """Whether the estimate and both ends are there."""
        return None not in (self.estimate, self.low, self.high)

    def as_dict(self) -> dict[str, float | None]:
        """``{estimate, low, high, level}``."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}
