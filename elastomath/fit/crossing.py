"""Where courses that were read first cross a level: the one way in which simulated and measured courses are asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array


def first_crossing(steps: ArrayLike, courses: ArrayLike) -> Array:
    """The first volume at which each course, positive at first, is 0: linear between readings, inf where it never is.

    steps (J,): the volumes of the readings, rising; courses (..., J). A course that is not positive at its first reading is
    there already: 0. For one course the steps may be (J, C), what each reading costs in C units: the answer is then (C,).

    >>> first_crossing([0, 4, 8], [[2.0, 1.0, -1.0], [2.0, 1.0, 0.5], [0.0, 1.0, 1.0]])
    array([ 6., inf,  0.])
    """
    at, values = np.asarray(steps, dtype=np.float64), np.asarray(courses, dtype=np.float64)
    below = values <= 0
    first = np.argmax(below, axis=-1)
    reached = np.take_along_axis(below, first[..., None], -1)[..., 0]
    last = np.maximum(first - 1, 0)
    after, before = (np.take_along_axis(values, index[..., None], -1)[..., 0] for index in (first, last))
    gap = np.where(before > after, before - after, 1.0)
    volume = at[last] + (at[first] - at[last]) * np.where(first > 0, before / gap, 0.0)
    return np.where(reached, np.where(first > 0, volume, 0.0), np.inf)
