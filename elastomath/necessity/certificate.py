"""From a counterexample in floats to one in exact fractions, as small as it gets."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from ..checks import checked, numbers
from ..errors import InputError
from .instance import Instance
from .shrinking import shrink

ROUNDINGS = (10, 100, 1_000, 10_000, 1_000_000, 10**9)
"""Denominators to which masses and volumes are rounded, the coarsest first."""


@checked(components=numbers(shape=(3, None), least=0.0), volumes=numbers(shape=(3,), above=0.0))
def exact_counterexample(
    components: ArrayLike, volumes: ArrayLike, violates: Callable[[Instance], bool], *, limit: int = 20_000
) -> Instance:
    """The smallest instance in exact fractions, near these floats, on which ``violates`` is true: a certificate of its own.

    components: (3, M) masses of pre-training, alignment, perturbation. volumes: (k, n, l), put in units of n. violates: a
    function of an `Instance`, whose ``gaps()``, ``responses()`` and ``ratio()`` are fractions. Masses and volumes are rounded to
    tenths, hundredths ... until ``violates`` holds, and the instance is shrunk (`shrink`). What comes back is proved: nothing
    was rounded after. Raises InputError where no rounding violates, so that the floats may have missed by rounding alone.

    >>> end = exact_counterexample([[.5, .5, 0], [.1, .2, .7], [.6, .1, .3]], [10, 1, 0.1], lambda seen: seen.gaps()[0] > 0)
    >>> print(end.text())
        P_p = (0, 1)
        P_a = (0, 1)
        P_t = (1, 0)
        (k, 1, l) = (1, 1, 0+)
    """
    rows, weights = np.asarray(components, dtype=np.float64), np.asarray(volumes, dtype=np.float64)
    for denominator in ROUNDINGS:
        counts = tuple(tuple(round(float(mass) * denominator) for mass in row / (row.sum() or 1.0)) for row in rows)
        k, _, step = (Fraction(float(w / weights[1])).limit_denominator(denominator) for w in weights)
        if not all(map(any, counts)) or not k > 0:
            continue
        instance = Instance(counts, (k, Fraction(1), step))
        if violates(instance):
            return shrink(instance, violates, limit)
    raise InputError(
        "no rounding of these masses and volumes violates the claim in exact fractions",
        where="counterexample",
        mend="the floats may have missed by rounding; try an instance that misses by more",
    )
