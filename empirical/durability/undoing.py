"""The undo volume of a measured course: how many opposed examples bring the contrast back to where it began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from elastomath.arrays import Array
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Interval

DRAWS = 2000
"""Draws of the bootstrap over prompts."""


def undo_interval(
    start: ArrayLike, volumes: Sequence[float], contrasts: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """The undo volume with its bootstrap interval over prompts, each prompt paired with its own start.

    start (prompts,): contrast before alignment; volumes (J,) with 0 first; contrasts (J, prompts). Where the mean course does
    not come back the estimate is None and the lower end is the last volume that was tried ("> 192").

    >>> print(undo_interval([0.0, 0.0], [0, 4, 8], [[2.0, 2.0], [1.0, 1.0], [-1.0, -1.0]]))
    6.00 [6.00, 6.00] examples
    """
    gap = np.asarray(contrasts, dtype=np.float64) - np.asarray(start, dtype=np.float64)
    estimate = float(first_crossing(volumes, gap.mean(1)))
    if not np.isfinite(estimate):
        return Interval(None, float(volumes[-1]), None, level, "examples", "not reached")
    draws = undo_draws(start, volumes, contrasts, seed=seed)
    return Interval.of_draws(estimate, draws, level=level, unit="examples", method="bootstrap over prompts")


def undo_draws(start: ArrayLike, volumes: Sequence[float], contrasts: ArrayLike, *, seed: int = 0) -> Array:
    """The undo volumes of `DRAWS` draws of prompts with replacement, inf where a draw does not come back.

    The draws of one seed and number of prompts are the same in every run: their quotients are paired.
    """
    gap = np.asarray(contrasts, dtype=np.float64) - np.asarray(start, dtype=np.float64)
    rows = np.random.default_rng(seed).integers(0, gap.shape[1], (DRAWS, gap.shape[1]))
    return np.asarray(first_crossing(volumes, gap.T[rows].mean(1)), dtype=np.float64)
