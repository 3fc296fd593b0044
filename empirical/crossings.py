"""How far a model is aligned, where a path crosses a level, and what crossing costs (Q1).

    a(theta) = (c(theta) - c_0)/(c_1 - c_0),   c = rate on held-out text of the opposed kind - rate on the aligned kind,

c_0 of the base adapted to both kinds (0% aligned) and c_1 of the same model after the full alignment volume (100%). A path
is training with a in between: it crosses a level where a reaches it first, linearly between two readings, and the two
readings are its bracket; a path that ends before the level has an open crossing. Costs are counted in examples, tokens,
steps and bits: the code length of the data sent, each example under the model as it was when the example came (the
prequential code length, which is the training loss of the first pass times its tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath.errors import InputError
from elastomath.forgetting import aligned_score, decay
from elastomath.rebound import Scores, score

from .constant import Constant

Array = NDArray[np.float64]
COSTS: Final = ("examples", "tokens", "steps", "bits")
"""What a path is counted in."""


@dataclass(frozen=True)
class Path:
    """Training with readings on the way: costs (J, 4) so far, in the order of `COSTS`, and the alignment a (J,).

    The first reading is the start, at cost 0. Raises InputError for readings that do not fit together.
    """

    costs: Array
    alignment: Array

    def __post_init__(self) -> None:
        rows = self.alignment.size
        if rows < 1 or self.costs.shape != (rows, len(COSTS)) or not np.isfinite(self.costs).all():
            raise InputError(
                f"costs of shape {self.costs.shape} for {rows} readings",
                where="path",
                mend=f"give {len(COSTS)} costs for each reading",
            )
        if self.costs[0].any() or (np.diff(self.costs[:, 0]) <= 0).any() or not np.isfinite(self.alignment).all():
            raise InputError("a path that does not begin at cost 0 and go on", where="path", mend="order the readings")


@dataclass(frozen=True, slots=True)
class Crossing:
    """The costs (4,) at which a path first reaches a level, with those of the readings before and at it; None: open."""

    low: tuple[float, ...]
    estimate: tuple[float, ...] | None
    high: tuple[float, ...] | None


def crossing(path: Path, level: float) -> Crossing:
    """The first time that the path reaches ``level``, from whichever side it starts on, linear between readings.

    >>> path = Path(np.outer([0, 1, 2, 3], [8.0, 200.0, 1.0, 900.0]), np.array([0.9, 0.8, 0.5, 0.7]))
    >>> found = crossing(path, 0.6)
    >>> [round(v, 2) for v in found.estimate], found.low[0], found.high[0]
    ([13.33, 333.33, 1.67, 1500.0], 8.0, 16.0)
    >>> crossing(path, 0.4).estimate is None
    True
    """
    sign = 1.0 if path.alignment[0] <= level else -1.0
    gap = sign * (path.alignment - level)
    reached = np.flatnonzero(gap >= 0)
    if not reached.size:
        return Crossing(tuple(path.costs[-1].tolist()), None, None)
    at = int(reached[0])
    if at == 0:
        start = tuple(path.costs[0].tolist())
        return Crossing(start, start, start)
    share = gap[at - 1] / (gap[at - 1] - gap[at])
    before, after = path.costs[at - 1], path.costs[at]
    middle = before + share * (after - before)
    return Crossing(tuple(before.tolist()), tuple(middle.tolist()), tuple(after.tolist()))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a law fitted to the way up says of both ways, in examples.

    parameter   k (examples that the base counts for; inf: a straight line) or the rate eta a example (0: a straight line)
    asymptote   A, the alignment that the way up tends to; the opposed data tend to -B
    misfit      root mean square of a on the way up, less the law
    up, down    examples from low to high and from high to low; ratio = down/up
    """

    law: str
    parameter: float
    asymptote: float
    misfit: float
    up: float
    down: float
    ratio: float


LAWS: Final = ("joint compression (R13)", "forgetting (R19)")
"""The laws of `predict`."""


def joint_ratio(asymptote: float, opposed: float, low: float) -> float:
    """``m/n = (A - lo)/(B + lo)`` (from R13): examples from hi down to lo, over those from lo up to hi.

    With s = (n A - m B)/(k + n + m): up, n = k [hi/(A - hi) - lo/(A - lo)] = k A (hi - lo)/((A - hi)(A - lo)); down from
    there, m = k A (hi - lo)/((A - hi)(B + lo)). Free of k and of hi. Below 1 for A = B and lo > 0: going back is cheaper
    without any elasticity beyond the law. Needs A > lo > -B.

    >>> round(joint_ratio(1.5, 1.5, 0.6), 4)
    0.4286
    """
    return (asymptote - low) / (opposed + low)


def forgetting_ratio(asymptote: float, opposed: float, low: float, high: float) -> float:
    """``ln[(hi + B)/(lo + B)] / ln[(A - lo)/(A - hi)]`` (from R19): examples down over examples up, free of the rate.

    Needs A > hi > lo > -B. It tends to 1 as A = B grows.

    >>> round(forgetting_ratio(1.5, 1.5, 0.6, 0.9), 4)
    0.3293
    """
    return float(np.log((high + opposed) / (low + opposed)) / np.log((asymptote - low) / (asymptote - high)))


def predict(
    examples: ArrayLike, alignment: ArrayLike, low: float, high: float, law: str, opposed: float | None = None
) -> Prediction:
    """Fit one law to the way up, a(n) with a(0) = 0 and a(N) = 1 at its last reading, and predict both ways between levels.

    examples, alignment: shape (J,), the whole way up to N. A law with one parameter goes through both ends:
    joint a(n) = n (k + N)/(N (k + n)), A = (k + N)/N; forgetting a(n) = (1 - e^-hn)/(1 - e^-hN), A = 1/(1 - e^-hN), both a
    straight line at their limit. opposed: B; by default B = A, for a base adapted to both kinds in halves stands midway.
    Raises InputError for fewer than three readings, levels out of order and an unknown law.
    """
    from scipy.optimize import minimize_scalar

    n, a = np.asarray(examples, dtype=np.float64), np.asarray(alignment, dtype=np.float64)
    if n.ndim != 1 or n.shape != a.shape or n.size < 3 or n[0] != 0 or (np.diff(n) <= 0).any():
        raise InputError("a way up of too few readings, or out of order", where="predict", mend="give three from 0 on")
    if not 0 < low < high < 1 or law not in LAWS:
        raise InputError(
            f"levels {low:g} and {high:g}, law {law!r}",
            where="predict",
            mend=f"give 0 < low < high < 1 and one of {', '.join(LAWS)}",
        )
    full = n[-1]
    joint = law == LAWS[0]

    def scores(bend: float) -> Scores:
        top = (1.0 + bend) / bend if joint else -1.0 / np.expm1(-bend)
        return Scores(0.0, top, -(top if opposed is None else opposed))

    def way(bend: float) -> Array:
        """bend: N/k, or h N: 0 is a straight line."""
        if joint:
            return score(scores(bend), full / bend, n, 0.0)
        return aligned_score(scores(bend), n, -float(np.expm1(-bend / full)))

    def misfit(log_bend: float) -> float:
        return float(np.sqrt(np.mean((way(float(np.exp(log_bend))) - a) ** 2)))

    best = minimize_scalar(
        misfit, bounds=(np.log(BENDS[0]), np.log(BENDS[1])), method="bounded", options={"xatol": 1e-7}
    )
    bend = float(np.exp(best.x))
    top, bottom = scores(bend).positive, -scores(bend).negative
    if joint:
        scale = full / bend
        up = scale * top * (high - low) / ((top - high) * (top - low))
        ratio = joint_ratio(top, bottom, low)
        parameter = scale
    else:
        parameter = -float(np.expm1(-bend / full))
        up = float(np.log((top - low) / (top - high)) / decay(parameter))
        ratio = forgetting_ratio(top, bottom, low, high)
    return Prediction(law, parameter, top, float(best.fun), up, up * ratio, ratio)


BENDS: Final = (1e-3, 20.0)
"""The range of N/k and of h N that `predict` searches: from a straight line within 0.05% to a path that bends at once."""


def pooled_ratio(ratios: Sequence[float | None], level: float = 0.95) -> Constant:
    """The geometric mean of positive ratios with its t interval over seeds; open where a seed's ratio is.

    >>> r = pooled_ratio([0.25, 1.0])
    >>> r.estimate, r.high > 100
    (0.5, True)
    >>> pooled_ratio([0.25, None])
    Constant(estimate=None, low=None, high=None, level=0.95)
    """
    from scipy.stats import t

    known = [value for value in ratios if value is not None and value > 0]
    if len(known) < len(ratios) or not known:
        return Constant(None, None, None, level)
    logs = np.log(known)
    if logs.size < 2:
        return Constant(float(np.exp(logs[0])), None, None, level)
    half = float(t.isf((1 - level) / 2, logs.size - 1) * logs.std(ddof=1) / np.sqrt(logs.size))
    middle = float(logs.mean())
    low, high = float(np.exp(middle - half)), float(np.exp(middle + half))
    return Constant(float(np.exp(middle)), low, high, level)
