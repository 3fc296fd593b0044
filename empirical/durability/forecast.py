"""The forecast: the course of a behaviour along alignment, and the opposed examples that undo it, from gradients alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.interval import Interval

from .constants import BehaviourGradients, LogitConstants, jackknifed, logit_constants
from .results import ForecastRow

MOST_STEPS = 1 << 20
"""Steps after which an undoing is given up: a forecast beyond a million steps is no forecast."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the logit law says of n aligning examples, each with its interval over prompts.

    z            mean contrast after them, nats;  p  the share of the chosen response, mean of sigma(z)
    first_fall   what the first opposed example takes from z: c_- p
    undo_volume  opposed examples until the mean contrast is back where it began
    """

    n: int
    z: Interval
    first_fall: Interval
    undo_volume: Interval

    def as_dict(self) -> ForecastRow:
        """The row of a table."""
        z, fall, undone = self.z.as_dict(), self.first_fall.as_dict(), self.undo_volume.as_dict()
        return {"n": self.n, "z": z, "first_fall": fall, "undo_volume": undone}


def course(z: ArrayLike, constant: float, steps: int, batch: int, *, aligning: bool) -> Array:
    """The mean contrast after 0, 1, ..., ``steps`` steps of ``batch`` examples, shape (steps + 1,).

    Every prompt moves alike: ``t <- t + B c mean_i(1 - sigma(z_i + t))``, or ``t <- t - B c mean_i sigma(z_i + t)``. It is
    the logit law (R21) in the finite steps that training takes, averaged over prompts that differ in their start.

    >>> course([0.0], 0.1, 2, 4, aligning=True).round(3)
    array([0.  , 0.2 , 0.38])
    """
    start = np.asarray(z, dtype=np.float64)
    moved = np.zeros(steps + 1)
    sign = 1.0 if aligning else -1.0
    for step in range(steps):
        error = 1.0 / (1.0 + np.exp(np.clip(sign * (start + moved[step]), -700, 700)))
        moved[step + 1] = moved[step] + sign * batch * constant * error.mean()
    return np.asarray(start.mean() + moved, dtype=np.float64)


def forecast_of(z: Array, constants: LogitConstants, volumes: ArrayLike, batch: int) -> Array:
    """(z_n, first fall, undo volume) for each n, shape (volumes, 3); nan where a constant is not positive."""
    counts = np.asarray(volumes, dtype=np.int64)
    rows = np.full((len(counts), 3), np.nan)
    if not (constants.aligning > 0 and constants.perturbing > 0):
        return rows
    up = course(z, constants.aligning, -(-int(counts.max()) // batch), batch, aligning=True)
    for row, n in enumerate(counts):
        reached = float(np.interp(n / batch, np.arange(len(up)), up))
        state = z + (reached - z.mean())
        share = float((1 / (1 + np.exp(-state))).mean())
        undone = undo_volume(z, state, constants.perturbing, batch)
        rows[row] = reached, constants.perturbing * share, undone
    return rows


def undo_volume(start: Array, state: Array, constant: float, batch: int) -> float:
    """Opposed examples that bring the mean contrast from ``state`` back to ``start``, by the law in finite steps.

    nan where `MOST_STEPS` do not, or where the contrast is beyond the doubles.
    """
    fall = float(state.mean() - start.mean())
    if fall <= 0:
        return 0.0
    if fall > MOST_STEPS * batch * constant:  # a step takes B c at most
        return math.nan
    steps = 16
    while math.isfinite(fall) and steps <= MOST_STEPS:
        down = course(state, constant, steps, batch, aligning=False)
        if down[-1] <= start.mean():
            return float(batch * np.interp(-start.mean(), -down, np.arange(steps + 1)))
        steps *= 2
    return math.nan


def with_intervals(
    volumes: ArrayLike, rows: Callable[[int | None], Array], groups: int, *, level: float = 0.95
) -> list[Forecast]:
    """The forecast for each n from ``rows(left out) -> (volumes, 3)``: contrast, first fall and undo volume.

    Intervals are Student's with the jackknife's error over groups of prompts (G - 1 degrees of freedom), for the undo
    volume and the first fall on a logarithmic scale.
    """
    method = "jackknife over prompts"

    def scaled(left: int | None) -> Array:
        values = rows(left)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.column_stack([values[:, 0], np.log(values[:, 1:])])

    estimates, errors = jackknifed(scaled, groups)
    forecasts = []
    for index, n in enumerate(np.asarray(volumes, dtype=np.int64)):
        (z, fall, undo), (z_se, fall_se, undo_se) = estimates[index], errors[index]
        contrast = Interval.of_mean(z, z_se, groups - 1, level=level, unit="nats", method=method)
        falls = Interval.of_log(fall, fall_se, groups - 1, level=level, unit="nats/example", method=method)
        undoes = Interval.of_log(undo, undo_se, groups - 1, level=level, unit="examples", method=method)
        forecasts.append(Forecast(int(n), contrast, falls, undoes))
    return forecasts


def forecast(gradients: BehaviourGradients, volumes: ArrayLike, *, learning_rate: float, batch: int) -> list[Forecast]:
    """The forecast for each n in ``volumes``: stochastic gradient descent at this learning rate and batch."""

    def rows(left: int | None) -> Array:
        kept = gradients.groups != (-1 if left is None else left)
        return forecast_of(gradients.z[kept], logit_constants(gradients, learning_rate, batch, left), volumes, batch)

    return with_intervals(volumes, rows, len(gradients.counts))
