"""Many small problems of least squares side by side: Levenberg and Marquardt's steps without a loop over the problems."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array

ROUNDS = 200
"""The most steps that a problem gets."""
GAIN = 1e-12
"""A problem is done when a step lowers its cost by less than this share of it, or moves its numbers by less than `STEP`."""
STEP = 1e-9
NUDGE = 1e-7
"""The difference quotients' step, in units of a number's size (at least 0.1)."""
STUCK = 1e9
"""A damping beyond which no step lowers the cost."""


class Problems(Protocol):
    """Residuals of P problems, one after another, and to which problem each belongs."""

    @property
    def problem(self) -> NDArray[np.intp]:
        """The problem of each residual, 0 to P - 1."""

    def residual(self, numbers: Array) -> Array:
        """The residuals (R,) at the numbers (P, m) of every problem; finite."""

    def keep(self, problems: NDArray[np.intp]) -> Self:
        """Those problems alone, renumbered in this order, which rises."""


def least_squares(
    problems: Problems, start: Array, low: Array | None = None, high: Array | None = None
) -> tuple[Array, Array]:
    """The numbers (P, m) that minimise each problem's sum of squares from its start (P, m), within [low, high] (m,); and the sums (P,).

    Damped normal equations in units of the columns (Marquardt 1963), difference quotients for the Jacobian. Problems that are
    done are left out of the next step, so that the cost is that of the readings that still move.
    """
    best = np.array(start, dtype=np.float64)
    count, width = best.shape
    final = np.zeros(count)
    live, left = np.arange(count), problems
    x, damping = best.copy(), np.full(count, 1e-3)
    values = left.residual(x)
    cost = np.bincount(left.problem, values**2, count)
    for _ in range(ROUNDS if width else 0):
        normal, slope = _normal(left, x, values)
        sizes = np.einsum("pii->pi", normal)
        scale = np.maximum(sizes, 1e-12 * sizes.max(1, keepdims=True) + 1e-300)
        root = np.sqrt(scale)  # columns of length 1: a number that moves nothing makes no singular matrix
        damped = normal / (root[:, :, None] * root[:, None, :]) + np.maximum(damping, 1e-12)[:, None, None] * np.eye(
            width
        )
        step = -np.linalg.solve(damped, (slope / root)[..., None])[..., 0] / root
        trial = x + np.nan_to_num(step)
        if low is not None or high is not None:
            trial = np.clip(trial, low, high)
        tried = left.residual(trial)
        new = np.bincount(left.problem, tried**2, live.size)
        better = new < cost
        gain, moved = cost - new, np.abs(trial - x)
        small = (moved <= STEP * np.maximum(np.abs(x), 1e-3)).all(1)
        done = (better & (gain <= GAIN * cost)) | small | (damping > STUCK)
        x, cost = np.where(better[:, None], trial, x), np.where(better, new, cost)
        values = np.where(better[left.problem], tried, values)
        damping = np.where(better, damping / 7.0, damping * 5.0)
        if done.any():
            best[live[done]], final[live[done]] = x[done], cost[done]
            stay = np.flatnonzero(~done)
            values = values[~done[left.problem]]
            left, live, x, cost, damping = left.keep(stay), live[stay], x[stay], cost[stay], damping[stay]
            if not live.size:
                break
    best[live], final[live] = x, cost
    return best, final


def _normal(problems: Problems, x: Array, values: Array) -> tuple[Array, Array]:
    """J'J (P, m, m) and J'r (P, m) of every problem."""
    count, width = x.shape
    columns = []
    for place in range(width):
        nudge = NUDGE * np.maximum(np.abs(x[:, place]), 0.1)
        moved = x.copy()
        moved[:, place] += nudge
        nudge = moved[:, place] - x[:, place]
        columns.append((problems.residual(moved) - values) / nudge[problems.problem])
    normal, slope = np.empty((count, width, width)), np.empty((count, width))
    for i, one in enumerate(columns):
        slope[:, i] = np.bincount(problems.problem, one * values, count)
        for j in range(i + 1):
            normal[:, i, j] = normal[:, j, i] = np.bincount(problems.problem, one * columns[j], count)
    return normal, slope
