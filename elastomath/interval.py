"""A measured number with its interval, and the ways in which one is made: a mean, a logarithm, a bootstrap, a share."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from .checks import ANY, COUNT, NONNEGATIVE, REAL, SHARE, an, checked, integer, listed, number, numbers, optional
from .errors import InputError


class Ends(TypedDict):
    """An `Interval` as it stands in JSON: None for what the data do not bound."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float


LONG = 1e9
"""From here on a number is written with its power of ten."""


@dataclass(frozen=True, slots=True)
class Interval:
    """``estimate [low, high]`` at a nominal coverage ``level``; None for an estimate or an end that the data do not bound.

    unit    of all three, "" for a pure number;  method  how the interval was made, in a few words

    It prints itself with as many digits as its width has a use for; a format gives each of its numbers the same digits.

    >>> print(Interval(17.83, 15.02, 21.16, 0.95, "examples", "bootstrap over prompts"))
    17.8 [15.0, 21.2] examples
    >>> print(Interval(None, 192.0, None, 0.95, "examples", "not reached"))
    > 192 examples
    >>> print(Interval(1.5, 0.3, 120.0), f"{Interval(0.0038, 0.0007, None):+.4f}")
    1.5 [0.3, 120] +0.0038 [+0.0007, open]
    >>> print(Interval(-0.0139, -0.831, 0.859))
    0.0 [-0.8, 0.9]
    >>> print(Interval(6.1e76, -2.4e77, 2.6e78))
    6.1e+76 [-2.4e+77, 2.6e+78]
    """

    estimate: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    unit: str = ""
    method: str = ""

    @classmethod
    @checked(mean=ANY, se=ANY, freedom=ANY, level=SHARE)
    def of_mean(
        cls, mean: float, se: float, freedom: float, *, level: float = 0.95, unit: str = "", method: str = "Student's t"
    ) -> Interval:
        """``mean ± t se`` with ``freedom`` degrees of freedom; no ends where se or mean is not finite.

        >>> print(Interval.of_mean(1.0, 0.1, 9))
        1.00 [0.77, 1.23]
        """
        from scipy.special import ndtri, stdtrit

        if not math.isfinite(mean):
            return cls(None, None, None, level, unit, method)
        if not (math.isfinite(se) and se >= 0 and freedom >= 1):
            return cls(float(mean), None, None, level, unit, method)
        half = float(ndtri(0.5 + level / 2) if math.isinf(freedom) else stdtrit(freedom, 0.5 + level / 2)) * float(se)
        return cls(float(mean), float(mean) - half, float(mean) + half, level, unit, method)

    @classmethod
    @checked(log=ANY, se=ANY, freedom=ANY, level=SHARE)
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
        return cls.of_mean(log, se, freedom, level=level, unit=unit, method=method)._exponentials()

    @classmethod
    @checked(values=numbers(shape=(None,)), level=SHARE)
    def of_values(
        cls, values: ArrayLike, *, level: float = 0.95, unit: str = "", method: str = "Student's t over seeds"
    ) -> Interval:
        """The mean of independent values (one a seed) with Student's interval; a single value has no ends.

        Raises InputError for no value, or one that is not finite.

        >>> print(Interval.of_values([1.0, 2.0, 3.0]))
        2.0 [-0.5, 4.5]
        """
        known = np.asarray(values, dtype=np.float64)
        count = known.size
        se = float(known.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
        return cls.of_mean(float(known.mean()), se, count - 1, level=level, unit=unit, method=method)

    @classmethod
    @checked(values=numbers(shape=(None,)), clusters=listed(an(Hashable), empty=False), level=SHARE)
    def of_clusters(
        cls,
        values: ArrayLike,
        clusters: Sequence[Hashable],
        *,
        level: float = 0.95,
        unit: str = "",
        names: tuple[str, str] = ("clusters", "values"),
        logs: bool = False,
        these: bool = False,
    ) -> Interval:
        """The mean over clusters of the mean of each one's values (shape (N,), the cluster of each beside it), Student's interval.

        ``logs``: the values are logarithms, and the mean a geometric one. ``names``: of clusters and values, for the method.
        ``these``: of these clusters alone, not of others like them.

        Values of one cluster share what is its own, ``v = mu + b_cluster + e``: as if independent, N values in B clusters have an
        interval too narrow by up to sqrt(N/B). With three clusters or more it is over their means (B - 1 degrees of freedom), of its
        level for clusters of one size whatever the variances of b and e are. Two clusters, or one, say nothing of others: the
        interval is over the values within them, as it is for ``these``: ``s^2/B^2 sum_c 1/n_c`` with s^2 pooled (N - B degrees of
        freedom), and holds for these clusters; where each of two has one value only, it is over the two.

        Raises InputError for no value, one that is not finite, and another number of clusters than of values.

        >>> values = [1.0, 1.1, 2.0, 2.1, 3.0, 3.1]
        >>> print(Interval.of_clusters(values, list("aabbcc")), Interval.of_clusters(values[:4], list("aabb")))
        2.0 [-0.4, 4.5] 1.55 [1.40, 1.70]
        """
        known = np.asarray(values, dtype=np.float64)
        if len(clusters) != known.size or not known.size:
            raise InputError(
                f"{known.size} values in {len(clusters)} clusters", where="interval", mend="give each value its cluster"
            )
        groups = [known[[other == cluster for other in clusters]] for cluster in dict.fromkeys(clusters)]
        means, count, free = np.array([group.mean() for group in groups]), len(groups), known.size - len(groups)
        if not these and (count >= 3 or (count == 2 and not free)):
            mean = cls.of_values(means, level=level, unit=unit, method=f"Student's t over {count} {names[0]}")
            return mean._exponentials() if logs else mean
        spread = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        se = math.sqrt(spread / free * sum(1 / group.size for group in groups)) / count if free else math.nan
        where = "" if count == 1 else f" of {count} {names[0]}"
        method = f"Student's t over {known.size} {names[1]}{where}"
        mean = cls.of_mean(float(means.mean()), se, free, level=level, unit=unit, method=method)
        return mean._exponentials() if logs else mean

    @classmethod
    @checked(logs=numbers(shape=(None,)), level=SHARE)
    def of_logs(
        cls,
        logs: ArrayLike,
        *,
        level: float = 0.95,
        unit: str = "",
        method: str = "Student's t on logarithms over seeds",
    ) -> Interval:
        """The geometric mean of independent positive values, given by their logarithms, with Student's interval.

        >>> print(f"{Interval.of_logs(np.log([2.0, 3.0, 4.0])):.2f}")
        2.88 [1.21, 6.85]
        """
        return cls.of_values(logs, level=level, unit=unit, method=method)._exponentials()

    @classmethod
    @checked(estimate=optional(ANY), draws=numbers(shape=(None,), finite=False), level=SHARE)
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
    @checked(hits=integer(least=0), total=COUNT, level=SHARE)
    def of_share(cls, hits: int, total: int, *, level: float = 0.95) -> Interval:
        """The share ``hits/total`` with Clopper and Pearson's interval, whose coverage is at least ``level``.

        >>> print(Interval.of_share(9, 10))
        0.90 [0.55, 1.00]
        """
        from scipy.stats import binomtest

        if hits > total:
            raise InputError(f"{hits} of {total}", where="interval", mend="give no more hits than there are")
        ends = binomtest(hits, total).proportion_ci(level, "exact")
        return cls(hits / total, float(ends.low), float(ends.high), level, "", "Clopper and Pearson")

    def _exponentials(self) -> Interval:
        """The exponential of each number; None where that is above the doubles."""
        middle, low, high = (
            None if x is None or x > 709 else math.exp(x) for x in (self.estimate, self.low, self.high)
        )
        return replace(self, estimate=middle, low=low, high=high)

    @property
    def closed(self) -> bool:
        """Whether the estimate and both ends are there."""
        return None not in (self.estimate, self.low, self.high)

    def without_unit(self) -> str:
        """``estimate [low, high]``, for a sentence that names the unit itself."""
        return str(replace(self, unit=""))

    @checked(value=REAL)
    def holds(self, value: float) -> bool:
        """Whether a value lies within the interval; an open end excludes nothing."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    @checked(edge=NONNEGATIVE)
    def sign(self, edge: float = 0.0) -> int:
        """+1 where the interval lies wholly above ``edge``, -1 where it lies wholly below ``-edge``, else 0.

        >>> Interval(1.0, 0.5, 1.5).sign(), Interval(1.0, 0.5, 1.5).sign(edge=0.7), Interval(-1.0, None, -0.5).sign()
        (1, 0, -1)
        """
        if self.high is not None and self.high < -edge:
            return -1
        return int(self.low is not None and self.low > edge)

    def side(self, below: str, above: str, neither: str, edge: float = 0.0) -> str:
        """The word for `sign`.

        >>> Interval(1.0, 0.5, 1.5).side("falls", "rises", "?"), Interval(1.0).side("falls", "rises", "?")
        ('rises', '?')
        """
        return {-1: below, 0: neither, 1: above}[self.sign(edge)]

    @checked(least=REAL, most=REAL)
    def within(self, least: float, most: float) -> Interval:
        """The same number with its ends cut to what it can be, such as [0, 1] for a share."""
        low, high = (None if x is None else min(max(x, least), most) for x in (self.low, self.high))
        return replace(self, low=low, high=high)

    def as_dict(self) -> Ends:
        """``{estimate, low, high, level}``."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}

    @classmethod
    def of_dict(cls, saved: Mapping[str, Any], unit: str = "") -> Interval:
        """The interval of a saved result that has ``as_dict``'s keys beside others; a level that was not saved is 0.95.

        >>> print(Interval.of_dict({"estimate": 10.0, "low": 9.5, "high": None, "seeds": [10.0]}))
        10.00 [9.50, open]
        """
        low, high, level = saved.get("low"), saved.get("high"), saved.get("level", 0.95)
        return cls(saved.get("estimate"), low, high, level, saved.get("unit", unit))

    def __str__(self) -> str:
        """With as many digits as the width has a use for; a bound where there is no estimate."""
        return self._written(_format([x for x in (self.estimate, self.low, self.high) if x is not None]))

    def __format__(self, digits: str) -> str:
        """Each number in the format ``digits``, such as ``+.4f``; none given is `str`."""
        return self._written(lambda x: format(x, digits)) if digits else str(self)

    def _written(self, show: Callable[[float], str]) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.estimate is None:
            if self.low is not None and self.high is not None:
                return f"{show(self.low)} to {show(self.high)}{unit}"
            if self.low is not None:
                return f"> {show(self.low)}{unit}"
            return "not bounded" if self.high is None else f"< {show(self.high)}{unit}"
        if self.low is None and self.high is None:
            return f"{show(self.estimate)}{unit}"
        low, high = ("open" if x is None else show(x) for x in (self.low, self.high))
        return f"{show(self.estimate)} [{low}, {high}]{unit}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error, before it has an interval; None where the data give none.

    >>> print(Estimate(1.0, 0.1).interval(9))
    1.00 [0.77, 1.23]
    """

    estimate: float | None
    se: float | None

    @checked(freedom=number(above=0.0, finite=False), level=SHARE)
    def interval(self, freedom: float = math.inf, *, level: float = 0.95, unit: str = "") -> Interval:
        """``estimate ± t se`` with so many degrees of freedom; by default the normal interval."""
        if self.estimate is None or self.se is None:
            return Interval(self.estimate, None, None, level, unit, "no error")
        return Interval.of_mean(self.estimate, self.se, freedom, level=level, unit=unit)


def _format(known: list[float]) -> Callable[[float], str]:
    """Decimals that leave two digits of the widest distance between the numbers; three digits of each where one would round to 0,
    or has more digits than a person reads (`LONG`).
    """
    if not known:
        return str
    spread = max(known) - min(known)
    scale = spread or abs(known[0])
    digits = max(0, (1 if spread else 2) - math.floor(math.log10(scale))) if scale else 0
    straddles = min(known) < 0 < max(known)  # 0 is then a number like any other
    lost = not straddles and any(x and abs(x) < 0.5 * 10.0**-digits for x in known)
    long = max(map(abs, known)) >= LONG
    return lambda x: f"{x:.3g}" if lost or long or digits > 6 else f"{round(x, digits) + 0.0:.{digits}f}"
