"""The undo volume of a measured course: how many opposed examples bring the contrast back to where it began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath.interval import Interval

Array = NDArray[np.float64]
DRAWS = 2000
"""Draws of the bootstrap over prompts."""


def crossing(volumes: ArrayLike, courses: ArrayLike) -> Array:
    """The first volume at which each course, positive at first, is 0: linear between readings, inf where it never is.

    volumes (J,), rising; courses (..., J). A course that is not positive at its first reading is there already: 0.

    >>> crossing([0, 4, 8], [[2.0, 1.0, -1.0], [2.0, 1.0, 0.5], [0.0, 1.0, 1.0]])
    array([ 6., inf,  0.])
    """
    steps, values = np.asarray(volumes, dtype=np.float64), np.asarray(courses, dtype=np.float64)
    below = values <= 0
    first = np.argmax(below, axis=-1)
    reached = np.take_along_axis(below, first[..., None], -1)[..., 0]
    last = np.maximum(first - 1, 0)
    after, before = (np.take_along_axis(values, index[..., None], -1)[..., 0] for index in (first, last))
    gap = np.where(before > after, before - after, 1.0)
    volume = steps[last] + (steps[first] - steps[last]) * np.where(first > 0, before / gap, 0.0)
    return np.where(reached, np.where(first > 0, volume, 0.0), np.inf)


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
    estimate = float(crossing(volumes, gap.mean(1)))
    rows = np.random.default_rng(seed).integers(0, gap.shape[1], (DRAWS, gap.shape[1]))
    draws = crossing(volumes, gap.T[rows].mean(1))
    method = "bootstrap over prompts"
    if not np.isfinite(estimate):
        return Interval(None, float(volumes[-1]), None, level, "examples", "not reached")
    return Interval.of_draws(estimate, draws, level=level, unit="examples", method=method)
