"""Tail indices by maximum likelihood: Pareto's and the zeta law above a threshold (A.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import POSITIVE, SHARE, checked, optional
from ..errors import InputError
from . import zeta
from .sample import Sample


@dataclass(frozen=True, slots=True)
class TailFit:
    """A Pareto law above a threshold, or a zeta law for counts: ``Pr[X >= x | X >= x_m] ~ x^-alpha``.

    ``alpha``            tail index (the exponent of the density, or of the probabilities, is alpha + 1)
    ``standard_error``   of alpha at a given threshold
    ``low``, ``high``    interval of alpha at ``level``, at a given threshold; infinite where the data set no end
    ``tail``, ``total``  observations at or above the threshold, and all
    ``distance``         the largest gap between the distribution functions of tail and law, below each observed value
    ``log_likelihood``   in nats, of ln(x/x_m) for a Pareto law, of x for a zeta law
    ``law``              ``pareto`` (continuous) or ``zeta`` (whole numbers)
    """

    law: str
    threshold: float
    alpha: float
    standard_error: float
    low: float
    high: float
    level: float
    tail: int
    total: int
    distance: float
    log_likelihood: float


@checked(threshold=optional(POSITIVE), level=SHARE)
def fit_tail(
    values: ArrayLike | Sample, threshold: float | None = None, *, whole: bool | None = None, level: float = 0.95
) -> TailFit:
    """The most likely tail index at a threshold (the smallest value by default), with its error and interval.

    Numbers: Pareto's law, ``alpha = n / sum ln(x/x_m)`` (Hill 1975), standard error alpha/sqrt(n). 2 alpha sum ln(x/x_m)
    is chi-square with 2n degrees of freedom exactly, which gives the interval; where the threshold is itself an observed
    value its logarithm is 0 and the sum has 2(n-1): the n-1 excesses are what informs.
    Counts (an integer array): the zeta law ``Pr[X = x] = x^-(alpha+1) / zeta(alpha+1, x_m)`` on x_m, x_m + 1, ... (Clauset,
    Shalizi and Newman 2009, section 3.1, without their approximation). Standard error from the Fisher information
    n Var[ln X], interval where the log-likelihood falls by half a chi-square quantile.

    Shape (n,). Raises InputError for bad values, and where no value lies above the threshold: alpha is infinite there.

    >>> fit = fit_tail([1.0, 2.0, 4.0, 8.0])
    >>> round(float(fit.alpha * 6 * np.log(2)), 12), fit.tail  # 4 / (0 + 1 + 2 + 3) ln 2
    (4.0, 4)
    >>> round(fit_tail([1, 1, 1, 2, 3, 1, 1, 7]).alpha, 5)  # counts: the law on whole numbers
    1.13345
    """
    from scipy.special import chdtri

    sample = Sample.of(values, whole)
    x_m = float(sample.values[0]) if threshold is None else float(threshold)
    if sample.whole:
        x_m = math.ceil(x_m)
    tail = sample.tail(x_m)
    total, size = float(log_ratios(tail.values, x_m) @ tail.multiplicities), tail.size
    if total <= 0:
        raise InputError(
            f"all {size} values of the tail equal the threshold {x_m:g}", where="tail", mend="lower the threshold"
        )
    alpha = most_likely_index(tail, x_m)
    if sample.whole:
        error, low, high, likelihood = _zeta_fit(alpha, total, size, x_m, level)
    else:
        freedom, outside = 2 * (size - bool(tail.values[0] == x_m)), (1.0 - level) / 2.0
        low, high = (float(chdtri(freedom, share)) / (2.0 * total) for share in (1.0 - outside, outside))
        error, likelihood = alpha / math.sqrt(size), size * math.log(alpha) - alpha * total
    law, gap = "zeta" if sample.whole else "pareto", largest_gap(tail, x_m, alpha)
    return TailFit(law, x_m, alpha, error, low, high, level, size, sample.size, gap, likelihood)


def most_likely_index(tail: Sample, x_m: float) -> float:
    """The index of `fit_tail` for a tail of values >= x_m, without its interval; infinite where all are equal to x_m."""
    total = float(log_ratios(tail.values, x_m) @ tail.multiplicities)
    if total <= 0:
        return math.inf
    return float(zeta.most_likely_index(total / tail.size, x_m)) if tail.whole else tail.size / total


def largest_gap(tail: Sample, x_m: float, alpha: float) -> float:
    """``max_x |Pr[X < x] - F(x)|`` over the observed x of a tail of values >= x_m and the law of index alpha."""
    if math.isinf(alpha):
        return 0.0
    return float(np.abs(1.0 - survival(tail.values, x_m, alpha, tail.whole) - tail.below[:-1] / tail.size).max())


def survival(x: Array, x_m: ArrayLike, alpha: ArrayLike, whole: bool) -> Array:
    """``Pr[X >= x | X >= x_m]`` of the law; shapes broadcast."""
    return zeta.tail_probability(x, x_m, alpha) if whole else np.exp(-np.asarray(alpha) * log_ratios(x, x_m))


def log_ratios(x: Array, x_m: ArrayLike) -> Array:
    """``ln(x/x_m)`` for x >= x_m > 0, where the quotient is beyond the doubles, too; shapes broadcast."""
    with np.errstate(over="ignore"):
        logs = np.log(x / np.asarray(x_m))
    return np.where(np.isinf(logs), np.log(x) - np.log(x_m), logs)


def _zeta_fit(alpha: float, total: float, size: int, x_m: float, level: float) -> tuple[float, float, float, float]:
    """Standard error, ends of the interval, and the log-likelihood at its top."""
    from scipy.optimize import brentq
    from scipy.special import chdtri

    def fall(excess: float) -> float:
        return size * ((1.0 + excess) * total / size + float(zeta.log_zeta(1.0 + excess, x_m))) + top

    top, step = 0.0, 1e-3 * alpha
    top = -fall(alpha)
    error = step / math.sqrt(max(fall(alpha + step) + fall(alpha - step), 5e-324))
    drop = float(chdtri(1, 1.0 - level)) / 2.0

    def end(direction: float) -> float:
        far = alpha
        for _ in range(60):
            near, far = far, far * math.exp(direction * max(3.0 * error / alpha, 0.01))
            if fall(far) > drop:
                return float(brentq(lambda excess: fall(excess) - drop, near, far, xtol=1e-13))
        return math.inf if direction > 0 else 0.0

    return error, end(-1.0), end(1.0), top
