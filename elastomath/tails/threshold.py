"""Where a Pareto tail begins: the threshold whose tail is nearest to its most likely law, without a quadratic scan (A.7)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import COUNT, SEED, SHARE, checked, one_of
from ..errors import InputError
from . import zeta
from .fit import Distance, TailFit, checked_level, fit_tail, is_two_sided
from .sample import Sample

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdScan:
    """The fit at every threshold, and the one of least distance.

    ``thresholds``, ``alphas``, ``tails``  (U-1,): each distinct value but the largest, the index there, and its tail's size
    ``distances``                          (U-1,): the gap there; NaN where it was only shown to exceed the least
    ``best``                               the fit at the threshold of least distance, the first one if several are equal
    """

    thresholds: Array
    alphas: Array
    tails: NDArray[np.int64]
    distances: Array
    best: TailFit


@checked(distance=one_of("left", "both"), least_tail=COUNT, level=SHARE)
def scan_threshold(
    values: ArrayLike | Sample,
    *,
    whole: bool | None = None,
    distance: Distance = "left",
    every: bool = False,
    largest_index: float = math.inf,
    least_tail: int = 2,
    level: float = 0.95,
) -> ThresholdScan:
    """The threshold whose tail is nearest to its most likely law, ``argmin_x_m max_x |S(x) - F(x)|`` (Clauset et al. 2009).

    Each distinct value but the largest is tried. ``distance``: ``left`` compares Pr[X < x] at each observed x, as
    Clauset's programs and the package powerlaw do; ``both`` also Pr[X <= x], which is Kolmogorov's distance.
    ``every``: the distance at every threshold. Otherwise a threshold is dropped at the first point that shows it to be no
    better than the best so far; thresholds are taken coarse to fine. Distribution functions rise, so a block of points is
    passed over at once where its ends bound the gap below what is already known: about 1/gap evaluations a threshold in
    place of n, n^1.5 in all for a tail that fits (n^2 only where a law fits far better than chance allows).
    ``largest_index``: thresholds with alpha at or above it are left out (powerlaw's default range is 2).
    ``least_tail``: the smallest tail that is tried. The error of the fit is that at a given threshold; that of the threshold
    itself comes from `elastomath.tails.goodness.goodness_of_fit` and `resample`.

    Raises InputError for bad values and where no threshold is left.

    >>> rng = np.random.default_rng(2)
    >>> body, tail = rng.uniform(0.1, 1.0, 5000), 1.0 + rng.pareto(1.5, 5000)
    >>> best = scan_threshold(np.concatenate([body, tail])).best
    >>> 0.98 < best.threshold < 1.02, abs(best.alpha - 1.5) < 0.05
    (True, True)
    """
    sample = Sample.of(values, whole)
    checked_level(level)
    thresholds, alphas, tails = _indices(sample)
    tried = (alphas < largest_index) & (tails >= least_tail)
    if not tried.any():
        raise InputError(
            f"no threshold among {sample.values.size} distinct values", where="threshold scan", mend="pass more values"
        )
    distances, best = _scan(sample, alphas, tried, is_two_sided(distance), every)
    fit = fit_tail(sample, float(sample.values[best]), level=level, distance=distance)
    return ThresholdScan(thresholds, alphas, tails, distances, fit)


@checked(samples=COUNT, seed=SEED, least_tail=COUNT)
def resample(
    values: ArrayLike | Sample,
    samples: int = 200,
    seed: int | np.random.Generator = 0,
    *,
    whole: bool | None = None,
    least_tail: int = 2,
) -> tuple[Array, Array]:
    """Bootstrap of the scan: thresholds and indices of ``samples`` draws of n values with replacement.

    Their spread is the error of alpha with the choice of the threshold in it. Shapes (samples,).

    >>> thresholds, alphas = resample(1.0 + np.random.default_rng(0).pareto(1.5, 500), samples=20)
    >>> alphas.shape
    (20,)
    """
    sample, rng = Sample.of(values, whole), np.random.default_rng(seed)
    shares = sample.multiplicities / sample.size
    found = np.empty((samples, 2))
    for row in found:
        drawn = Sample.tallied(sample.values, rng.multinomial(sample.size, shares), sample.whole)
        row[:] = best_of_scan(drawn, least_tail=least_tail)[:2]
    return found[:, 0], found[:, 1]


def best_of_scan(sample: Sample, *, least_tail: int = 2, distance: Distance = "left") -> tuple[float, float, float]:
    """(threshold, alpha, distance) of the scan, without intervals: what a bootstrap repeats."""
    if sample.values.size < 2:
        return float(sample.values[0]), math.inf, 0.0
    _, alphas, tails = _indices(sample)
    tried = tails >= least_tail
    if not tried.any():
        tried[0] = True
    distances, best = _scan(sample, alphas, tried, is_two_sided(distance), every=False)
    return float(sample.values[best]), float(alphas[best]), float(distances[best])


def _indices(sample: Sample) -> tuple[Array, Array, NDArray[np.int64]]:
    """Thresholds, most likely indices and tail sizes at every distinct value but the largest."""
    logs = np.log(sample.values)
    tails = (sample.size - sample.below[1:-1])[::-1]
    # sum over the tail of ln(x/x_m), from the top, by spacings: no difference of large numbers
    totals = np.cumsum(np.diff(logs)[::-1] * tails)[::-1]
    sizes = sample.size - sample.below[:-2]
    if sample.values.size < 2:
        return sample.values[:0], logs[:0], sizes[:0]
    thresholds = sample.values[:-1]
    if not sample.whole:
        return thresholds, sizes / totals, sizes
    indices, _ = _compiled()
    return thresholds, indices(thresholds, totals / sizes), sizes


def _scan(sample: Sample, alphas: Array, tried: NDArray[np.bool_], both: bool, every: bool) -> tuple[Array, int]:
    _, scan = _compiled()
    distances, best = scan(sample.values, np.log(sample.values), sample.below, alphas, tried, sample.whole, both, every)
    return distances, int(best)


def _zeta_indices(thresholds: Array, means: Array) -> Array:
    found = np.empty(thresholds.size)
    start = 2.0
    for m in range(thresholds.size - 1, -1, -1):
        start = zeta.exponent(means[m], thresholds[m], start)
        found[m] = start - 1.0
    return found


def _model(j: int, m: int, alpha: float, scale: float, values: Array, logs: Array, whole: bool) -> tuple[float, float]:
    """Pr[X < x_j] and Pr[X <= x_j] under the law above x_m."""
    gap = logs[j] - logs[m]
    if not whole:
        below = -math.expm1(-alpha * gap)
        return below, below
    power = math.exp(-(alpha + 1.0) * gap) / scale
    below = 1.0 - power * zeta.value(alpha + 1.0, values[j])
    return below, below + power


def _largest_gap(
    m: int,
    alpha: float,
    floor: float,
    hint: int,
    exact: bool,
    values: Array,
    logs: Array,
    below: NDArray[np.int64],
    whole: bool,
    both: bool,
) -> tuple[float, int]:
    """The largest gap of threshold m, if above ``floor``, and where; not ``exact``: any gap above the floor will do."""
    last = values.size - 1
    size = float(below[last + 1] - below[m])
    scale = zeta.value(alpha + 1.0, values[m]) if whole else 1.0
    largest, where = floor, -1
    # first a few points, to know early what can be passed over
    probes = 16
    for probe in range(-1, probes):
        j = hint if probe < 0 else m + (last - m) * (probe + 1) // probes
        if m <= j <= last:
            less, most = _model(j, m, alpha, scale, values, logs, whole)
            gap = abs(less - (below[j] - below[m]) / size)
            if both:
                gap = max(gap, abs(most - (below[j + 1] - below[m]) / size))
            if gap > largest:
                largest, where = gap, j
                if not exact:
                    return largest, where
    j, step = m, 1
    _, up_to_j = _model(m, m, alpha, scale, values, logs, whole)
    if both and abs(up_to_j - (below[m + 1] - below[m]) / size) > largest:
        largest, where = abs(up_to_j - (below[m + 1] - below[m]) / size), m
        if not exact:
            return largest, where
    while j < last:
        step = min(step, last - j)
        k = j + step
        less, most = _model(k, m, alpha, scale, values, logs, whole)
        left = (below[k] - below[m]) / size
        gap = abs(less - left)
        if both:
            gap = max(gap, abs(most - (below[k + 1] - below[m]) / size))
        if gap > largest:
            largest, where = gap, k
            if not exact:
                return largest, where
        # between j and k both functions lie between their values at the ends
        if step > 1 and max(less - (below[j + 1] - below[m]) / size, left - up_to_j) > largest:
            step //= 2
            continue
        j, up_to_j = k, most
        step *= 2
    return largest, where


def _scan_all(
    values: Array,
    logs: Array,
    below: NDArray[np.int64],
    alphas: Array,
    tried: NDArray[np.bool_],
    whole: bool,
    both: bool,
    every: bool,
) -> tuple[Array, int]:
    """Distances (NaN where only bounded) and the first threshold of least distance."""
    count = alphas.size
    distances = np.full(count, np.nan)
    witness = np.full(count, -1)
    least, best = np.inf, -1
    stride = 1
    while not every and 2 * stride < count:
        stride *= 2
    first = True
    while stride >= 1:
        for m in range(0 if first else stride, count, stride if first else 2 * stride):
            if not tried[m]:
                continue
            hint = witness[m - stride] if m >= stride else -1
            if not every and best >= 0:
                gap, where = _largest_gap(m, alphas[m], least, hint, False, values, logs, below, whole, both)
                if where >= 0:
                    witness[m] = where
                    continue
            gap, where = _largest_gap(m, alphas[m], 0.0, hint, True, values, logs, below, whole, both)
            distances[m], witness[m] = gap, where
            if gap < least or (gap == least and m < best):
                least, best = gap, m
        first = False
        stride //= 2
    return distances, best


@functools.cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled: the indices of zeta laws, and the scan."""
    zeta.kernels()
    _, _, indices, scan = zeta.compiled(globals(), "_model", "_largest_gap", "_zeta_indices", "_scan_all")
    return indices, scan
