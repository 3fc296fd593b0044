"""Volumes that are known to lie between two readings, or beyond the last one, regressed on what they may depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import NONNEGATIVES, SHARE, checked, numbers
from ..errors import InputError
from ..interval import Interval

POWER = 0.8
"""The chance with which the smallest effect is seen."""


@dataclass(frozen=True, slots=True)
class VolumeRegression:
    """``ln volume = intercept + sum_j slope_j x_j + scatter * normal`` (`volume_regression`).

    slopes    an interval for each column;  scatter  standard deviation of ln volume
    reached, beyond, clusters  volumes between two readings, volumes beyond the last, and clusters
    visible   for each column the slope that would be told from 0 with a chance of `POWER`
    """

    intercept: Interval
    slopes: tuple[Interval, ...]
    scatter: float
    reached: int
    beyond: int
    clusters: int
    visible: tuple[float, ...]


@checked(low=NONNEGATIVES, high=numbers(above=0.0, finite=False), columns=numbers(shape=(None, None)), level=SHARE)
def volume_regression(
    low: ArrayLike, high: ArrayLike, columns: ArrayLike, clusters: Sequence[object] | None = None, level: float = 0.95
) -> VolumeRegression:
    """Log-normal regression of volumes in ``(low, high]``: maximum likelihood, errors from clusters.

    low, high  (R,): the readings on either side; low 0 where the first reading is already beyond, high inf where the last is not
    columns    (R, d): what ln volume is linear in;  clusters  (R,) labels of what is not independent, each row its own without

    Each column is scaled by its spread. Errors are the sandwich over clusters with ``G/(G-1)``, intervals Student's of G - 1
    degrees of freedom. Raises InputError where low >= high, where no volume lies between readings, where columns are not
    independent, and for fewer than d + 3 clusters.

    >>> x = np.arange(12.0)[:, None] % 4
    >>> told = volume_regression(np.exp(x[:, 0] + 0.9), np.exp(x[:, 0] + 1.1 + 0.05 * (np.arange(12) % 3)), x)
    >>> round(told.slopes[0].estimate, 1), told.reached, told.beyond
    (1.0, 12, 0)
    """
    from scipy.optimize import minimize
    from scipy.stats import t

    start, end, table = (cast(Array, np.asarray(x, dtype=np.float64)) for x in (low, high, columns))
    rows, width = table.shape
    where = "volume_regression"
    if start.size != rows or end.size != rows or (start >= end).any():
        raise InputError("the ends do not bracket a volume in each row", where=where, mend="give low < high, one a row")
    labels = np.unique([str(c) for c in clusters] if clusters is not None else np.arange(rows), return_inverse=True)[1]
    groups = int(labels.max()) + 1
    spread = np.where(table.std(0) > 0, table.std(0), 1.0)
    design = np.column_stack([np.ones(rows), (table - table.mean(0)) / spread])
    if np.linalg.matrix_rank(design) <= width:
        raise InputError("the columns are not independent", where=where, mend="leave one of them away")
    reached = np.isfinite(end)
    if not reached.any():
        raise InputError("no volume was reached", where=where, mend="read further")
    if groups < width + 3:
        raise InputError(f"{groups} clusters for {width} slopes", where=where, mend="give more, or fewer columns")
    with np.errstate(divide="ignore"):
        ends = np.log(start), np.log(end)
    middle = np.where(reached & (start > 0), (ends[0] + ends[1]) / 2, np.where(reached, ends[1], ends[0]))

    def terms(numbers: Array) -> Array:
        return _log_likelihoods(numbers, design, ends)

    first = np.append(np.linalg.lstsq(design, middle)[0], np.log(max(float(middle.std()), 0.1)))
    patient: Any = {"maxiter": 40_000, "maxfev": 40_000, "xatol": 1e-8, "fatol": 1e-10, "adaptive": True}

    def cost(numbers: Array, *_: Any) -> float:
        return -float(terms(numbers).sum())

    optimum = minimize(cost, first, method="Nelder-Mead", options=patient)
    step = 1e-4 * np.eye(first.size)
    scores = np.stack([(terms(optimum.x + h) - terms(optimum.x - h)) / 2e-4 for h in step], axis=1)
    curvature = np.array([[_mixed(terms, optimum.x, h, k) for k in step] for h in step])
    bread = np.linalg.pinv(-curvature)
    summed = np.zeros((groups, first.size))
    np.add.at(summed, labels, scores)
    errors = np.sqrt(np.diag(bread @ (summed.T @ summed) @ bread) * groups / (groups - 1))
    freedom = groups - 1

    def estimate(place: int, scale: float) -> Interval:
        return Interval.of_mean(float(optimum.x[place]) / scale, float(errors[place]) / scale, freedom, level=level)

    quantiles = float(t.ppf(0.5 + level / 2, freedom) + t.ppf(POWER, freedom))
    return VolumeRegression(
        estimate(0, 1.0),
        tuple(estimate(1 + j, float(spread[j])) for j in range(width)),
        float(np.exp(optimum.x[-1])),
        int(reached.sum()),
        int((~reached).sum()),
        groups,
        tuple(quantiles * float(errors[1 + j] / spread[j]) for j in range(width)),
    )


def _log_likelihoods(numbers: Array, design: Array, ends: tuple[Array, Array]) -> Array:
    """ln likelihood of each row."""
    from scipy.stats import norm

    mean, scale = design @ numbers[:-1], np.exp(np.clip(numbers[-1], -12.0, 12.0))
    a, b = ((x - mean) / scale for x in ends)
    flip = a > 0  # the far tail is the accurate one
    upper, lower = np.where(flip, -a, b), np.where(flip, -b, a)
    big, small = norm.logcdf(upper), norm.logcdf(lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.log(-np.expm1(np.minimum(small - big, -1e-300)))
    return np.asarray(np.maximum(big + np.where(np.isfinite(small), gap, 0.0), -1e4))


def _mixed(terms: Callable[[Array], Array], at: Array, h: Array, k: Array) -> float:
    """The mixed second difference of the sum, steps of 1e-4."""
    total = terms(at + h + k) - terms(at + h - k) - terms(at - h + k) + terms(at - h - k)
    return float(total.sum()) / 4e-8
