"""Leaf masses: probability vectors over the leaves of a token tree (Def 3.1, 3.3a; Assumption A.7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

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
    weights = _as_weights(counts, where=where)
    scale = float(weights.max())
    if scale == 0.0:
        raise InputError("every weight is zero", where=where, mend="at least one has to be positive")
    weights = weights / scale  # no overflow or underflow in the sum
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _as_weights(values: ArrayLike, *, where: str) -> Masses:
    try:
        if isinstance(values, str | bytes | bytearray) or np.iscomplexobj(values):
            raise TypeError("text or complex")
        given = np.asanyarray(values)
        # float64 would parse text, and count dates
        if given.dtype.kind in "SUMm" or (
            given.dtype == object and any(isinstance(v, str | bytes) for v in given.flat)
        ):
            raise TypeError("text or dates")
        with np.errstate(over="ignore"):  # a long double beyond float64 is inf, refused below
            weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            "masses are not numbers", where=where, mend="pass a one-dimensional array of numbers"
        ) from error
    if np.ma.is_masked(given):
        raise InputError("masses are masked", where=where, mend="leave those leaves out, or set them to 0")
    if weights.ndim != 1 or weights.size == 0:
        raise InputError(
            f"masses have shape {weights.shape}",
            where=where,
            mend="pass a non-empty one-dimensional array, one entry a leaf",
        )
    if weights.min() >= 0 and weights.max() < np.inf:  # NaN fails both
        return weights
    for wrong, rule in (
        (~np.isfinite(weights), "masses have to be finite"),
        (weights < 0, "masses have to be >= 0"),
    ):
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
    if not len(parts):
        raise InputError("a union of no datasets", where="union", mend="pass at least one")
    rows = [as_masses(part, where=f"part {index}") for index, part in enumerate(parts)]
    if len({row.size for row in rows}) > 1:
        raise InputError(
            f"parts have {[row.size for row in rows]} leaves",
            where="union",
            mend="put them on a common leaf set first",
        )
    weights = normalise(np.ones(len(rows)) if shares is None else shares, where="shares")
    if weights.size != len(rows):
        raise InputError(
            f"{weights.size} shares for {len(rows)} parts", where="union", mend="give a share for each part"
        )
    return np.asarray(weights @ np.stack(rows), dtype=np.float64)


def pareto_masses(alpha: float, leaves: int, seed: int | np.random.Generator = 0) -> Masses:
    """Leaf masses with a Pareto law (Assumption A.7): ``P = Y / sum Y``, ``Pr[Y > y] = y^-alpha`` for y >= 1.

    Shape (leaves,). Raises InputError unless alpha > 1 (the mean has to exist) and leaves >= 1.

    >>> masses = pareto_masses(1.5, 1000, seed=7)
    >>> masses.shape, bool(abs(masses.sum() - 1) < 1e-12)
    ((1000,), True)
    """
    if not (np.isfinite(alpha) and alpha > 1.0):
        raise InputError(
            f"tail index alpha = {alpha:g}",
            where="pareto_masses",
            mend="alpha has to be > 1, so that a mean exists",
        )
    if leaves < 1:
        raise InputError(f"{leaves} leaves", where="pareto_masses", mend="ask for at least one")
    rng = np.random.default_rng(seed)
    return normalise(np.exp(rng.standard_exponential(leaves) / alpha))  # 1 + rng.pareto, five times as fast
