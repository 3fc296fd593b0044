"""From a counterexample in floats to one in exact fractions, as small as it gets."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    tenths, hundredths ... until ``violates`` holds (at last they are taken as the fractions that floats are), and the instance is
    shrunk (`shrink`). What comes back is proved: nothing was rounded after. Raises InputError where none of these violates, so
    that the floats missed by the rounding of their own arithmetic alone.

    >>> end = exact_counterexample([[.5, .5, 0], [.1, .2, .7], [.6, .1, .3]], [10, 1, 0.1], lambda seen: seen.gaps()[0] > 0)
    >>> print(end.text())
        P_p = (0, 1)
        P_a = (0, 1)
        P_t = (1, 0)
        (k, 1, l) = (1, 1, 0+)
    """
    rows, weights = np.asarray(components, dtype=np.float64), np.asarray(volumes, dtype=np.float64)
    if not rows.any(axis=1).all():
        raise InputError("a dataset has no mass", where="counterexample", mend="one mass of each has to be positive")
    for denominator in (*ROUNDINGS, None):
        if denominator is None:
            counts = tuple(_counts(row) for row in rows)
            k, step = (Fraction(weights[i]) / Fraction(weights[1]) for i in (0, 2))
        else:
            counts = tuple(tuple(round(float(mass) * denominator) for mass in row / (row.sum() or 1.0)) for row in rows)
            k, step = ((Fraction(weights[i]) / Fraction(weights[1])).limit_denominator(denominator) for i in (0, 2))
        if not all(map(any, counts)) or not k > 0:
            continue
        instance = Instance(counts, (k, Fraction(1), step))
        if violates(instance):
            return shrink(instance, violates, limit)
    raise InputError(
        "these masses and volumes do not violate the claim in exact fractions",
        where="counterexample",
        mend="the floats may have missed by rounding; try an instance that misses by more",
    )


def _counts(row: NDArray[np.float64]) -> tuple[int, ...]:
    """The masses of a row as whole numbers in the same proportions, exactly: a float is a whole number over a power of two."""
    fractions = [Fraction(float(mass)) for mass in row]
    common = max(fraction.denominator for fraction in fractions)
    return tuple(int(fraction * common) for fraction in fractions)
