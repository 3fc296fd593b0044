"""Pareto masses seen through a sample: leaf counts that are Poisson given a Pareto mass, and given that the leaf was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import COUNT, NONNEGATIVES, POSITIVE, SEED, an, checked
from ..errors import InputError
from ..pareto.law import exponential_integral
from .sample import Sample, draw_counts

SMALLEST = 1e-6
"""The smallest expected count of a leaf that is looked for: below it a leaf is not seen in a million samples."""

LARGEST = 1e300
"""The largest shape of a gamma law that scipy takes; from far below it on the law is a step."""


FAR = 16.0
"""Where Stirling's series is exact to the last digit."""
STIRLING = {1.0: 1 / 12, 3.0: -1 / 360, 5.0: 1 / 1260, 7.0: -1 / 1680, 9.0: 1 / 1188}
"""Terms of R(x) in ``ln Gamma(x) = (x - 1/2) ln x - x + ln(2 pi)/2 + R(x)``, by the power of 1/x."""


@dataclass(frozen=True, slots=True)
class SampledPareto:
    """Counts of leaves whose masses are Pareto: C ~ Poisson(Y), ``Pr[Y > y] = (y/floor)^-alpha``, given C >= 1.

    ``alpha``           tail index of the *masses*, > 0
    ``floor``           expected count of a leaf of the smallest mass
    ``standard_error``  of alpha, with the floor fitted too
    ``observed``        Pr[C >= 1]: the share of all leaves that the sample shows
    ``distance``        largest gap between the distribution functions of counts and law
    ``log_likelihood``  in nats, of all counts
    ``on_edge``         the floor is at `SMALLEST`, and stands for 0: infinitely many leaves of no mass (alpha < 1: Sibuya's law
                        ``Pr[C = c] = alpha Gamma(c - alpha) / (Gamma(1 - alpha) c!)``)
    """

    alpha: float
    floor: float
    standard_error: float
    observed: float
    distance: float
    log_likelihood: float
    size: int
    on_edge: bool

    @checked(counts=NONNEGATIVES)
    def tail_probability(self, counts: ArrayLike) -> Array:
        """``Pr[C >= c | C >= 1]``; shape of counts."""
        return at_least(counts, self.alpha, self.floor) / self.observed

    @checked(size=COUNT, seed=SEED)
    def draw(self, size: int, seed: int | np.random.Generator = 0) -> Sample:
        """A seeded sample of the counts of ``size`` leaves that were seen."""
        return draw_counts(size, 1.0, self.tail_probability, self.alpha, seed)


@checked(counts=NONNEGATIVES, alpha=POSITIVE, floor=POSITIVE)
def log_probabilities(counts: ArrayLike, alpha: float, floor: float) -> Array:
    """``ln Pr[C = c | C >= 1]``, ``Pr[C = c] = alpha y^c E_{1+alpha-c}(y) / c! = alpha y^alpha Gamma(c-alpha, y) / c!``.

    y is the floor, E the exponential integral of real order; ``Pr[C = 0] = alpha E_{1+alpha}(y)`` is the Laplace transform
    of the masses at 1. Shape of counts, whole numbers >= 1; raises InputError otherwise.

    >>> law = np.exp(log_probabilities(np.arange(1, 200_000), 1.5, 0.3))
    >>> round(float(law.sum()), 6)
    1.0
    """
    c = _counts(counts, alpha, floor)
    return np.asarray(math.log(alpha) + _log_ratio(c, alpha, floor, 1) - math.log(float(at_least(1, alpha, floor))))


@checked(counts=NONNEGATIVES, alpha=POSITIVE, floor=POSITIVE)
def at_least(counts: ArrayLike, alpha: float, floor: float) -> Array:
    """``Pr[C >= c] = P(c, y) + y^alpha Gamma(c-alpha, y) / Gamma(c)``, seen or not; P is the regularised lower gamma function.

    For C >= c iff a gamma variable of shape c is at most Y. Shape of counts.

    >>> float(at_least(1, 2.0, 0.5).round(12)), round(1 - 2 * float(exponential_integral(3.0, 0.5)), 12)
    (0.55679127145, 0.55679127145)
    """
    from scipy.special import gammainc

    c = _counts(counts, alpha, floor)
    return np.asarray(gammainc(np.minimum(c, LARGEST), floor) + np.exp(_log_ratio(c, alpha, floor, 0)))


def fit_sampled_pareto(counts: ArrayLike | Sample, near: SampledPareto | None = None) -> SampledPareto:
    """The most likely (alpha, floor) of counts >= 1, each leaf counted once.

    A sample of n tokens does not see leaves of small mass, gives the others noise, and never shows a count below 1: a law of
    counts is not the law of masses. This one is what A.7 says of counts. It is closed under thinning: half the sample
    has half the floor and the same alpha.
    Nelder and Mead's search in (ln alpha, ln floor) from two starts, or from a fit that is ``near``, then
    checked by the slope, which has to vanish at an inner maximum. Standard error from the curvature.

    Shape (n,). Raises InputError for bad counts and where all are 1.

    >>> rng = np.random.default_rng(5)
    >>> counts = rng.poisson(0.5 * (1.0 + rng.pareto(1.5, 40_000)))
    >>> fit = fit_sampled_pareto(counts[counts > 0])
    >>> abs(fit.alpha - 1.5) < 3 * fit.standard_error < 0.1, abs(fit.floor - 0.5) < 0.05
    (True, True)
    """
    from scipy.optimize import minimize

    sample = Sample.of(counts, True)
    if sample.values.size < 2:
        raise InputError("all counts are equal", where="sampled Pareto", mend="count more blocks, or fewer symbols")
    times, size = sample.multiplicities, sample.size

    def cost(theta: Array) -> float:
        alpha, floor = math.exp(theta[0]), math.exp(theta[1])
        if not (1e-3 < alpha < 60.0 and SMALLEST <= floor < 1e6):
            return math.inf
        return -float(times @ log_probabilities(sample.values, alpha, floor)) / size

    def least(start: tuple[float, float], size: float) -> Any:
        simplex = np.asarray(start) + size * np.array([[0.0, 0.0], [0.3, 0.0], [0.0, 0.5]])
        options = {"xatol": 1e-5, "fatol": 1e-13, "maxiter": 1000, "initial_simplex": simplex}
        return cast(Any, minimize)(cost, simplex[0], method="Nelder-Mead", options=options)

    starts = [(0.0, -1.0), (0.7, 1.0)] if near is None else [(math.log(near.alpha), math.log(near.floor) + 0.05)]
    searches = [least(start, 1.0 if near is None else 0.1) for start in starts]
    theta = np.asarray(min(searches, key=lambda search: search.fun).x, dtype=np.float64)
    lowest = math.log(SMALLEST)
    on_edge = bool(theta[1] < lowest + 0.7)
    if on_edge:
        edge = cast(Any, minimize)(
            lambda x: cost(np.array([x[0], lowest])), theta[:1], method="Nelder-Mead", options={"xatol": 1e-9}
        )
        theta = np.array([edge.x[0], lowest])
    error = _error(cost, theta, on_edge) / math.sqrt(size)
    alpha, floor = math.exp(theta[0]), math.exp(theta[1])
    share = float(at_least(1, alpha, floor))
    gaps = np.abs(1.0 - at_least(sample.values, alpha, floor) / share - sample.below[:-1] / size)
    return SampledPareto(alpha, floor, alpha * error, share, float(gaps.max()), -size * cost(theta), size, on_edge)


@checked(fit=an(SampledPareto), samples=COUNT, seed=SEED)
def sampled_p_value(fit: SampledPareto, samples: int = 100, seed: int | np.random.Generator = 0) -> tuple[float, float]:
    """``(1 + #{D* >= D}) / (1 + samples)`` of counts drawn from the fit and fitted again, and its Monte Carlo error.

    >>> rng = np.random.default_rng(5)
    >>> counts = rng.poisson(0.5 * (1.0 + rng.pareto(1.5, 4000)))
    >>> sampled_p_value(fit_sampled_pareto(counts[counts > 0]), samples=9)[0] >= 0.1
    True
    """
    rng = np.random.default_rng(seed)
    further = sum(fit_sampled_pareto(fit.draw(fit.size, rng), fit).distance >= fit.distance for _ in range(samples))
    p_value = (1 + further) / (1 + samples)
    return p_value, math.sqrt(p_value * (1.0 - p_value) / samples)


def _counts(counts: ArrayLike, alpha: float, floor: float) -> Array:
    c = np.asarray(counts, dtype=np.float64)
    if not (alpha > 0 and floor > 0 and np.isfinite([alpha, floor]).all() and (c >= 1).all()):
        raise InputError(
            f"alpha = {alpha:g}, floor = {floor:g}", where="sampled Pareto", mend="both > 0, and counts >= 1"
        )
    return c


def _log_ratio(c: Array, alpha: float, floor: float, lower: int) -> Array:
    """``ln y^alpha Gamma(c - alpha, y) / Gamma(c + lower)``, from ``y^c E_{1+alpha-c}(y)`` where c - alpha is small."""
    from scipy.special import gammaincc, gammaln

    points = c.ravel()
    shape = np.maximum(points - alpha, 1.0)
    quotient = _log_gamma_quotient(points + lower, np.minimum(alpha, points - 1.0) + lower)
    with np.errstate(divide="ignore"):
        ratio = alpha * math.log(floor) + quotient + np.log(gammaincc(np.minimum(shape, LARGEST), floor))
        small = (points - alpha < 1.0) | ~np.isfinite(ratio)
        at = points[small]
        ratio[small] = (
            at * math.log(floor) + np.log(exponential_integral(1.0 + alpha - at, floor)) - gammaln(at + lower)
        )
    return np.asarray(ratio.reshape(c.shape))


def _log_gamma_quotient(b: Array, gap: Array) -> Array:
    """``ln Gamma(b - d)/Gamma(b)``, d the gap, b - d >= 1: from `FAR` on by Stirling's series of both, whose large parts are taken apart.

    ``(a - 1/2) ln(a/b) - d ln b + d + R(a) - R(b)``, a = b - d: the difference of two ln Gamma has the rounding of b ln b.
    """
    from scipy.special import gammaln

    a = b - gap
    far = a >= FAR
    near = gammaln(np.where(far, 1.0, a)) - gammaln(np.where(far, 1.0, b))
    x, y = np.where(far, a, FAR), np.where(far, b, FAR)
    gap = np.where(far, gap, 0.0)
    rest = sum(term * (x**-power - y**-power) for power, term in STIRLING.items())
    series = (x - 0.5) * np.log1p(-gap / y) - gap * np.log(y) + gap + rest
    return np.asarray(np.where(far, series, near))


def _error(cost: Any, theta: Array, on_edge: bool) -> float:
    """The standard deviation of ln alpha for one leaf: from the curvature, by central differences; the slope is checked."""
    free, step = (1 if on_edge else 2), 1e-3
    steps = np.eye(2)[:free] * step
    slope = np.array([(cost(theta + move) - cost(theta - move)) / (2.0 * step) for move in steps])
    hessian = np.empty((free, free))
    for i, j in np.ndindex(free, free):
        # steps in i and j together; for i = j these are two steps in one direction and none
        ends = [cost(theta + s * steps[i] + t * steps[j]) for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        hessian[i, j] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4.0 * step**2)
    if not (np.isfinite(hessian).all() and np.linalg.eigvalsh(hessian)[0] > 0):
        return math.inf
    covariance = np.linalg.inv(hessian)
    if float(slope @ covariance @ slope) > 1e-5:
        raise ArithmeticError(f"no maximum of the likelihood: its slope is {slope}")
    return float(np.sqrt(covariance[0, 0]))
