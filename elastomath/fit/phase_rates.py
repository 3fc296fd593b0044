"""Forgetting with a rate for each phase (R19): how fast alignment and the perturbation write over what was there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..checks import SHARE, an, checked, listed
from ..interval import Interval
from .readings import Readings

LEAST_PACE = 1e-3
"""A rate times a middle volume below which a course is straight to what readings can tell."""
LEAST_ERROR = 1e-60
"""The least error of a reading, as a share of the largest reading: its square is still a double."""


@checked(readings=listed(an(Readings), empty=False), level=SHARE)
def phase_rates(readings: Sequence[Readings], level: float = 0.95) -> dict[str, Interval | None]:
    """``{"align": eta_a, "perturb": eta_t}``, per volume_unit, from the align rates of runs whose alignment volumes differ.

    Under R19 a score s linear in the masses relaxes in each phase: ``s = s_+ + (s_p - s_+) e^{-eta_a n}`` after n of
    alignment, ``s = s_- + (s(n) - s_-) e^{-eta_t l}`` after l of the perturbation. eta_a: from the readings at l = 0 of
    three or more distinct alignment volumes (three numbers are fitted). eta_t: from all readings, s_- shared, the level at
    l = 0 free in each run. Weighted least squares on ln eta; t intervals from the curvature, scaled by the scatter that is
    left where that is larger than the errors told. Where that interval reaches beyond a factor 1000, or the likelihood does not exclude
    a rate of `LEAST_PACE`, the courses are not told from straight ones: no estimate then, but the largest rate that the likelihood
    does not exclude, if it excludes any. A rate is None where the readings are too few, do not move or bound nothing.
    """
    align = np.array([float(r.volumes[1]) for r in readings])
    start = np.array([float(r.rates[1, 0]) for r in readings])
    known = all((r.rate_se[1] > 0).all() for r in readings)
    start_se = np.array([float(r.rate_se[1, 0]) for r in readings]) if known else np.ones(len(readings))
    steps = np.concatenate([r.perturbations * r.unit for r in readings])
    rates = np.concatenate([r.rates[1] for r in readings])
    errors = np.concatenate([r.rate_se[1] for r in readings]) if known else np.ones(rates.size)
    run = np.repeat(np.arange(len(readings)), [r.perturbations.size for r in readings])

    fitted: dict[str, Interval | None] = {"align": None, "perturb": None}
    if np.unique(align).size >= 3 and len(readings) >= 4 and float(np.ptp(start)) > 0:
        one = np.zeros(align.size, dtype=np.intp)
        fitted["align"] = _rate(align, start, start_se, one, known, level)
    if rates.size > len(readings) + 2 and float(np.ptp(rates)) > 0:
        fitted["perturb"] = _rate(steps, rates, errors, run, known, level)
    return fitted


def _rate(
    volumes: Array, values: Array, errors: Array, group: NDArray[np.intp], known: bool, level: float
) -> Interval | None:
    """eta of ``values = end (1 - d) + level_g d``, d = e^{-eta volumes}, the end shared and a level for each group free."""
    from scipy.optimize import least_squares
    from scipy.special import stdtrit

    # in units of a middle volume and of the largest value: nothing leaves the range of the doubles
    scale, size = float(np.median(volumes[volumes > 0])), float(np.abs(values).max())
    with np.errstate(over="ignore"):
        volumes = np.minimum(volumes / scale, 1e12)
        values, errors = values / size, np.clip(errors / size if known else errors, LEAST_ERROR, 1.0 / LEAST_ERROR)

    def within(column: Array, decay: Array) -> Array:  # less its best multiple of decay in each group
        share = np.bincount(group, decay * column) / np.bincount(group, decay**2)
        return np.asarray(column - share[group] * decay)

    def residual(log_rate: Array) -> Array:
        decay = np.exp(-np.minimum(np.exp(min(log_rate[0], 300.0)) * volumes, 700.0))
        scaled = np.maximum(decay, 1e-150) / errors
        y, x = within(values / errors, scaled), within((1.0 - decay) / errors, scaled)
        size = float(x @ x)
        return y - (float(x @ y) / size if size > 0 else 0.0) * x

    tried = [least_squares(residual, [np.log(pace)], max_nfev=200) for pace in (0.03, 0.3, 3.0)]
    answer = min(tried, key=lambda fitted: fitted.cost)
    freedom = values.size - int(group.max()) - 3
    slope = float((np.asarray(answer.jac) ** 2).sum())
    if freedom < 1:
        return None
    scatter = 2.0 * float(answer.cost) / freedom
    unit = max(scatter, 1.0) if known else scatter
    # the sum of squares up to which a rate is not excluded: Student's quantile squared above the least
    most = 2.0 * float(answer.cost) + float(stdtrit(freedom, 0.5 + level / 2)) ** 2 * unit

    def squares(pace: float) -> float:
        return float((residual(np.array([pace])) ** 2).sum())

    if slope > 0 and squares(min(float(answer.x[0]), np.log(LEAST_PACE))) > most:
        interval = Interval.of_log(
            float(answer.x[0]) - np.log(scale), float(np.sqrt(unit / slope)), freedom, level=level
        )
        if interval.closed and (interval.high or np.inf) < 1e3 * (interval.estimate or 0.0):
            return interval
    paces = np.linspace(min(max(float(answer.x[0]), np.log(LEAST_PACE)), np.log(30.0)), np.log(30.0), 200)
    beyond = [pace for pace in paces if squares(pace) > most]
    return Interval(None, None, float(np.exp(beyond[0])) / scale, level) if beyond else None
