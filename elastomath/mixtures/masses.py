"""Leaf masses: probability vectors over the leaves of a token tree (Def 3.1, 3.3a; Assumption A.7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import as_floats, generator, real, rows, whole
from ..errors import InputError
from .kernels import TINY
from .leafsums import scan

Masses = NDArray[np.float64]
SUM_TOLERANCE = 1e-9
"""How far a sum of masses may be from 1 before it counts as unnormalised rather than as rounding."""

EXACT_SUM = 2.0**-51
"""How far a sum may be from 1 before dividing by it could bring it nearer."""


def as_masses(values: ArrayLike, *, where: str = "masses", copy: bool = True) -> Masses:
    """A checked probability vector: one-dimensional, finite, >= 0, summing to 1 (within 1e-9, then made exact to rounding).

    Shape (M,), no unit. Without ``copy`` an array of float64 whose sum is 1 to the last bits is returned as it is.
    Raises InputError naming the first offending leaf.

    >>> as_masses([0.5, 0.25, 0.25])
    array([0.5 , 0.25, 0.25])
    >>> as_masses([0.5, -0.5])
    Traceback (most recent call last):
    elastomath.errors.InputError: leaf mass 1 is -0.5 (masses): masses have to be >= 0
    """
    weights = _as_weights(values, where=where)
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"leaf masses sum to {total:.12g}, not to 1",
            where=where,
            mend="divide them by their sum, or pass counts to normalise()",
        )
    if abs(total - 1.0) <= EXACT_SUM:
        return np.array(weights) if copy else weights
    return np.asarray(weights / total, dtype=np.float64)


def normalise(counts: ArrayLike, *, where: str = "counts") -> Masses:
    """Leaf masses from counts or other non-negative weights: ``P(x) = c(x) / sum c``. Shape (M,).

    Raises InputError for NaN, infinite or negative weights, and where all are zero.

    >>> normalise([3, 1])
    array([0.75, 0.25])
    """
    weights = as_floats(counts, "masses", where)
    if weights.ndim == 1 and weights.size:
        plain, total = scan(weights)
        if plain and TINY < total < np.inf:  # all are numbers >= 0
            return np.asarray(weights / total, dtype=np.float64)
    weights = _as_weights(weights, where=where)
    scale = float(weights.max())
    if scale == 0.0:
        raise InputError("every weight is zero", where=where, mend="at least one has to be positive")
    weights = weights / scale  # no overflow or underflow in the sum
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _as_weights(values: ArrayLike, *, where: str) -> Masses:
    weights = as_floats(values, "masses", where)
    if weights.ndim != 1 or weights.size == 0:
        raise InputError(
            f"masses have shape {weights.shape}",
            where=where,
            mend="pass a non-empty one-dimensional array, one entry a leaf",
        )
    if weights.min() >= 0 and weights.max() < np.inf:  # NaN fails both
        return weights
    for wrong, rule in ((~np.isfinite(weights), "masses have to be finite"), (weights < 0, "masses have to be >= 0")):
        if wrong.any():
            leaf = int(np.argmax(wrong))
            raise InputError(f"leaf mass {leaf} is {weights[leaf]:g}", where=where, mend=rule)
    return weights


def union(parts: Sequence[ArrayLike], shares: ArrayLike | None = None) -> Masses:
    """The union of datasets, ``P_p = sum_j pi_j P_j`` (Thm 4.2 with equal parts; R8 with any shares).

    Parts: J vectors of shape (M,); shares: shape (J,), >= 0, normalised here; equal by default.

    >>> union([[1.0, 0.0], [0.0, 1.0]])
    array([0.5, 0.5])
    """
    masses = as_rows(parts, name="part", where="union")
    weights = as_shares(shares, len(masses), where="union")
    return np.asarray(weights @ np.stack(masses), dtype=np.float64)


def as_rows(parts: Sequence[ArrayLike] | Masses, *, name: str, where: str, copy: bool = True) -> list[Masses]:
    """Checked leaf masses of several datasets on a common leaf set, each of shape (M,); ``name`` is what one is called.

    >>> as_rows([[0.5, 0.5], [1.0]], name="part", where="demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: parts have [2, 1] leaves (demo): put them on a common leaf set first
    """
    masses = [
        as_masses(row, where=f"{name} {index}", copy=copy) for index, row in enumerate(rows(parts, f"{name}s", where))
    ]
    if len({row.size for row in masses}) > 1:
        raise InputError(
            f"{name}s have {[row.size for row in masses]} leaves",
            where=where,
            mend="put them on a common leaf set first",
        )
    return masses


def as_shares(shares: ArrayLike | None, count: int, *, where: str) -> Masses:
    """Shares pi_j >= 0 of ``count`` parts, divided by their sum, shape (count,); equal ones for None.

    >>> as_shares([3, 1], 2, where="demo")
    array([0.75, 0.25])
    """
    weights = normalise(np.ones(count) if shares is None else shares, where="shares")
    if weights.size != count:
        raise InputError(f"{weights.size} shares for {count} parts", where=where, mend="give a share for each part")
    return weights


def pareto_masses(alpha: float, leaves: int, seed: int | np.random.Generator = 0) -> Masses:
    """Leaf masses with a Pareto law (Assumption A.7): ``P = Y / sum Y``, ``Pr[Y > y] = y^-alpha`` for y >= 1.

    Shape (leaves,). Raises InputError unless alpha > 1 (the mean has to exist) and leaves >= 1.

    >>> masses = pareto_masses(1.5, 1000, seed=7)
    >>> masses.shape, bool(abs(masses.sum() - 1) < 1e-12)
    ((1000,), True)
    """
    alpha = real(alpha, "alpha", "pareto_masses", above=1.0)  # so that a mean exists
    leaves = whole(leaves, "leaves", "pareto_masses", least=1)
    rng = generator(seed, "pareto_masses")
    return normalise(np.exp(rng.standard_exponential(leaves) / alpha))  # 1 + rng.pareto, five times as fast
