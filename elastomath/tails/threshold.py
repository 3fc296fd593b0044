"""Where a Pareto tail begins: the threshold whose tail is nearest to its most likely law (A.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import COUNT, SHARE, checked
from ..errors import InputError
from . import zeta
from .fit import TailFit, fit_tail, survival
from .sample import Sample

PROBES = (32, 256)
"""Points of a tail that are looked at before all of them are."""


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


@checked(least_tail=COUNT, level=SHARE)
def scan_threshold(
    values: ArrayLike | Sample,
    *,
    whole: bool | None = None,
    largest_index: float = math.inf,
    least_tail: int = 2,
    level: float = 0.95,
) -> ThresholdScan:
    """The threshold whose tail is nearest to its most likely law, ``argmin_x_m max_x |Pr[X < x] - F(x)|`` (Clauset et al. 2009).

    Each distinct value but the largest is tried. The gap at a few points of a tail bounds its distance from below;
    thresholds are looked at in the order of these bounds, until the next bound exceeds the least distance.
    ``largest_index``: thresholds with alpha at or above it are left out (powerlaw's default range is 2).
    ``least_tail``: the smallest tail that is tried. The error of the fit is that at a given threshold; that of the threshold
    itself comes from `elastomath.tails.goodness.goodness_of_fit`.

    Raises InputError for bad values and where no threshold is left.

    >>> rng = np.random.default_rng(2)
    >>> body, tail = rng.uniform(0.1, 1.0, 5000), 1.0 + rng.pareto(1.5, 5000)
    >>> best = scan_threshold(np.concatenate([body, tail])).best
    >>> 0.98 < best.threshold < 1.02, abs(best.alpha - 1.5) < 0.05
    (True, True)
    """
    sample = Sample.of(values, whole)
    alphas, tails = _indices(sample)
    tried = (alphas < largest_index) & (tails >= least_tail)
    if not tried.any():
        raise InputError(
            f"no threshold among {sample.values.size} distinct values", where="threshold scan", mend="pass more values"
        )
    distances, best = _nearest(sample, alphas, tried)
    fit = fit_tail(sample, float(sample.values[best]), level=level)
    return ThresholdScan(sample.values[:-1], alphas, tails, distances, fit)


def best_of_scan(sample: Sample, least_tail: int = 2) -> tuple[float, float, float]:
    """(threshold, alpha, distance) of the scan, without intervals: what a bootstrap repeats."""
    if sample.values.size < 2:
        return float(sample.values[0]), math.inf, 0.0
    alphas, tails = _indices(sample)
    tried = tails >= least_tail
    if not tried.any():
        tried[0] = True
    distances, best = _nearest(sample, alphas, tried)
    return float(sample.values[best]), float(alphas[best]), float(distances[best])


def _indices(sample: Sample) -> tuple[Array, NDArray[np.int64]]:
    """Most likely indices and tail sizes at every distinct value but the largest."""
    sizes = sample.size - sample.below[:-2]
    # sum over the tail of ln(x/x_m), from the top, by spacings: no difference of large numbers
    spacings = np.diff(np.log(sample.values))[::-1] * (sample.size - sample.below[1:-1])[::-1]
    means = np.cumsum(spacings)[::-1] / sizes
    if not sample.whole or not means.size:
        return 1.0 / means, sizes
    return zeta.most_likely_index(means, sample.values[:-1]), sizes


def _nearest(sample: Sample, alphas: Array, tried: NDArray[np.bool_]) -> tuple[Array, int]:
    """Distances (NaN where only bounded) and the first threshold of least distance."""
    rows, last = np.flatnonzero(tried), sample.values.size - 1

    def gaps(row: NDArray[np.int64], points: NDArray[np.int64]) -> Array:
        """The gap of each threshold at some points, shapes broadcast."""
        above = survival(sample.values[points], sample.values[row], alphas[row], sample.whole)
        empirical = (sample.below[points] - sample.below[row]) / (sample.size - sample.below[row])
        return np.asarray(np.abs(1.0 - above - empirical))

    def nearest(row: int) -> float:
        """The distance of a threshold, from all points of its tail."""
        distances[row] = gaps(np.array(row), np.arange(row, last + 1)).max()
        return float(distances[row])

    distances, least = np.full(alphas.size, np.nan), math.inf
    for count in PROBES:
        points = rows[:, None] + (last - rows)[:, None] * np.arange(1, count + 1) // count
        bounds = gaps(rows[:, None], points).max(axis=1)
        least = min(least, nearest(rows[np.argmin(bounds)]))
        rows, bounds = rows[bounds <= least], bounds[bounds <= least]
    for bound, row in sorted(zip(bounds.tolist(), rows.tolist(), strict=True)):
        if bound > least:
            break
        least = min(least, nearest(row))
    return distances, int(np.nanargmin(distances))
