"""Tail indices by maximum likelihood: Pareto's and the zeta law above a threshold, Hill's estimates (A.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import POSITIVE, POSITIVES, SHARE, an, checked, choice, one_of, optional
from ..errors import InputError
from . import zeta
from .sample import Sample

Array = NDArray[np.float64]
Distance = Literal["left", "both"]
"""Which side of the steps of the empirical distribution is compared: see `elastomath.tails.threshold.scan_threshold`."""


@dataclass(frozen=True, slots=True)
class TailFit:
    """A Pareto law above a threshold, or a zeta law for counts: ``Pr[X >= x | X >= x_m] ~ x^-alpha``.

    ``alpha``            tail index (the exponent of the density, or of the probabilities, is alpha + 1)
    ``standard_error``   of alpha at a given threshold
    ``low``, ``high``    interval of alpha at ``level``, at a given threshold; infinite where the data set no end
    ``tail``, ``total``  observations at or above the threshold, and all
    ``distance``         the largest gap between the distribution functions of tail and law
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


@checked(threshold=optional(POSITIVE), level=SHARE, distance=one_of("left", "both"))
def fit_tail(
    values: ArrayLike | Sample,
    threshold: float | None = None,
    *,
    whole: bool | None = None,
    level: float = 0.95,
    distance: Distance = "left",
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
    >>> round(fit_tail([1, 1, 1, 2, 3, 1, 1, 7]).alpha, 6)  # counts: the law on whole numbers
    1.133448
    """
    sample = Sample.of(values, whole)
    checked_level(level)
    x_m = float(sample.values[0]) if threshold is None else float(threshold)
    if not (np.isfinite(x_m) and x_m > 0):
        raise InputError(f"threshold {x_m:g}", where="tail", mend="it has to be finite and > 0")
    if sample.whole:
        x_m = math.ceil(x_m)
    tail = sample.tail(x_m)
    logs = np.log(tail.values / x_m)
    total = float(logs @ tail.multiplicities)
    if total <= 0:
        raise InputError(
            f"all {tail.size} values of the tail equal the threshold {x_m:g}", where="tail", mend="lower the threshold"
        )
    alpha = most_likely_index(tail, x_m)
    if sample.whole:
        error, low, high, likelihood = _zeta_fit(alpha, total, tail.size, x_m, level)
    else:
        error, low, high, likelihood = _pareto_fit(alpha, total, tail.size, bool(tail.values[0] == x_m), level)
    gap = largest_gap(tail, x_m, alpha, distance)
    law = "zeta" if sample.whole else "pareto"
    return TailFit(law, x_m, alpha, error, low, high, level, tail.size, sample.size, gap, likelihood)


@checked(values=POSITIVES, threshold=POSITIVE)
def pareto_index(values: ArrayLike, threshold: float) -> float:
    """``alpha = n / sum ln(x/x_m)`` over the x >= x_m: the most likely Pareto index alone, in one pass and without a sort.

    Shape (n,). Raises InputError where no value exceeds the threshold.

    >>> round(pareto_index([0.5, 1.0, 2.0, 4.0], 1.0) * math.log(8), 12)
    3.0
    """
    x = np.asarray(values, dtype=np.float64)
    if not x.min(initial=math.inf) >= threshold:  # NaN too
        x = x[x >= threshold]
    total = float(np.log(x).sum()) - x.size * math.log(threshold) if threshold > 0 else 0.0
    if not (0.0 < total < math.inf):
        raise InputError(f"no finite tail above {threshold:g}", where="Pareto index", mend="lower the threshold")
    return x.size / total


@checked(fit=an(TailFit))
def unbiased_index(fit: TailFit, *, observed: bool = True) -> float:
    """Pareto's tail index without bias: ``(n-1)/n alpha`` at a given threshold, ``(n-2)/n alpha`` at an observed one.

    The excesses' logarithms sum to a gamma variable of shape n, or n - 1 where the threshold is one of the values
    (``observed``), and E[1/Gamma(m)] = 1/(m-1). Raises InputError for a zeta law, whose bias has no closed form, and for
    too few values.

    >>> round(float(unbiased_index(fit_tail([1.0, 2.0, 4.0, 8.0])) * 6 * np.log(2)), 12)
    2.0
    """
    lost = 2 if observed else 1
    if fit.law != "pareto" or fit.tail <= lost:
        raise InputError(f"{fit.law} law, {fit.tail} values", where="unbiased index", mend="fit more numbers as Pareto")
    return float(fit.alpha * (fit.tail - lost) / fit.tail)


def hill(values: ArrayLike | Sample) -> tuple[NDArray[np.int64], Array, Array]:
    """Hill's estimates ``alpha_k = k / sum_{i <= k} ln(x_(i) / x_(k+1))`` for k = 1 ... n-1, x_(1) the largest.

    ``(k, alpha_k, alpha_k / sqrt(k))``, shape (n-1,) each; infinite where the k + 1 largest are equal. A pure Pareto tail
    is a plateau. Time n log n.

    >>> k, alpha, error = hill([8.0, 1.0, 2.0])
    >>> np.round(alpha * np.log(2), 12)  # 1/2, 2/(3 + 1)
    array([0.5, 0.5])
    """
    sample = Sample.of(values, None)
    logs = np.repeat(np.log(sample.values), sample.multiplicities)[::-1]
    if logs.size < 2:
        raise InputError("one value", where="Hill's estimates", mend="pass at least two")
    k = np.arange(1, logs.size)
    # sums of spacings i (ln x_(i) - ln x_(i+1)): no difference of large numbers
    totals = np.cumsum(k * (logs[:-1] - logs[1:]))
    with np.errstate(divide="ignore"):
        alpha = k / totals
    return k, alpha, alpha / np.sqrt(k)


@checked(level=SHARE)
def checked_level(level: float) -> None:
    """Refuse a level of confidence outside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level:g}", where="tail", mend="it has to be between 0 and 1")


def is_two_sided(distance: str) -> bool:
    """Whether the distance looks at both sides of a step; refuse an unknown one."""
    return choice(distance, "distance", "tail", ("left", "both")) == "both"


def most_likely_index(tail: Sample, x_m: float) -> float:
    """The index of `fit_tail` for a tail of values >= x_m, without its interval; infinite where all are equal to x_m."""
    total = float(np.log(tail.values / x_m) @ tail.multiplicities)
    if total <= 0:
        return math.inf
    if not tail.whole:
        return tail.size / total
    mean = total / tail.size
    return zeta.kernels().exponent(mean, x_m, 1.0 + 1.0 / mean) - 1.0


def _pareto_fit(
    alpha: float, total: float, size: int, observed: bool, level: float
) -> tuple[float, float, float, float]:
    from scipy.special import chdtri

    shape = size - observed
    outside = (1.0 - level) / 2.0
    low, high = (float(chdtri(2 * shape, share)) / (2.0 * total) for share in (1.0 - outside, outside))
    return alpha / math.sqrt(size), low, high, size * math.log(alpha) - alpha * total


def _zeta_fit(alpha: float, total: float, size: int, x_m: float, level: float) -> tuple[float, float, float, float]:
    from scipy.optimize import brentq
    from scipy.special import chdtri

    jet, mean = zeta.kernels().jet, total / size

    def likelihood(excess: float) -> float:
        return -size * ((1.0 + excess) * mean + math.log(jet(1.0 + excess, x_m)[0]))

    z0, z1, z2 = jet(alpha + 1.0, x_m)
    error = 1.0 / math.sqrt(size * (z2 / z0 - (z1 / z0) ** 2))
    top, drop = likelihood(alpha), float(chdtri(1, 1.0 - level)) / 2.0

    def end(direction: float) -> float:
        far = alpha
        for _ in range(60):
            near, far = far, far * math.exp(direction * max(3.0 * error / alpha, 0.01))
            if likelihood(far) < top - drop:
                return float(brentq(lambda excess: likelihood(excess) - top + drop, near, far, xtol=1e-13))
        return math.inf if direction > 0 else 0.0

    return error, end(-1.0), end(1.0), top


def largest_gap(tail: Sample, x_m: float, alpha: float, distance: Distance = "left") -> float:
    """``max_x |S(x) - F(x)|`` of a tail of values >= x_m and the law of index alpha, by looking at every point."""
    if math.isinf(alpha):
        return 0.0
    empirical = tail.below / tail.size
    above = (tail.values / x_m) ** -alpha
    reached = above
    if tail.whole:
        above = zeta.tail_probability(tail.values, x_m, alpha)
        reached = zeta.tail_probability(tail.values + 1.0, x_m, alpha)
    gaps = np.abs(1.0 - above - empirical[:-1])
    if is_two_sided(distance):
        gaps = np.maximum(gaps, np.abs(1.0 - reached - empirical[1:]))
    return float(gaps.max())
