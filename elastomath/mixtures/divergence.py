"""Entropy, cross entropy and the divergences, in nats, for masses on a common leaf set.

Each is one call of `leafsums`: numpy for small trees, compiled and in all cores for large ones. Both keep their digits where
the masses nearly agree, and where masses are subnormal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import as_floats, checked, numbers
from ..checks import rows as as_list
from ..errors import InputError
from .kernels import DIVERGENCES, OVERLAPS, RATES, RESPONSES
from .leafsums import checked_pair, leaf_sums, scan
from .masses import SUM_TOLERANCE, as_shares

NEAR = 0.05

ONE = np.ones(1)
"""The only volume of a mixture that is q itself."""

GAP_SERIES = [(-1.0) ** n / n for n in range(2, 15)]
"""(e - ln(1 + e)) / e^2 for |e| < NEAR, to 1e-16."""


@checked(excess=numbers(least=-1.0, empty=True))
def log_gap(excess: Array) -> Array:
    """``phi(1 + e) = e - ln(1 + e) >= 0``, to 1e-12 of itself however small e is; ``inf`` at e = -1. Any shape.

    With q' = q (1 + e) it is the summand of ``D(q || q') = sum q phi(q'/q)``.

    >>> log_gap(np.array([1e-9, -1.0]))
    array([5.e-19,    inf])
    """
    with np.errstate(divide="ignore"):
        gaps = excess - np.log1p(excess)
    gaps, near = np.asarray(gaps), np.abs(excess) < NEAR
    small = excess[near]
    gaps[near] = small**2 * np.polynomial.polynomial.polyval(small, GAP_SERIES)
    return np.asarray(np.maximum(gaps, 0.0), dtype=np.float64)


def entropy(p: Array) -> float:
    """Shannon entropy ``H(P) = -sum_x P(x) ln P(x)`` in nats, with 0 ln 0 = 0. Shape (M,) -> float.

    Between 0 and ln M: masses that sum to s, 1 up to 1e-9, are read as P/s.
    Raises InputError for masses that are negative, NaN, empty or do not sum to 1.

    >>> float(np.round(entropy(np.array([0.5, 0.25, 0.25])) / np.log(2), 12))
    1.5
    """
    (p,) = _checked("entropy", p)
    total = float(p.sum())
    return max(0.0, float(_cross_entropy(p, p)) / total + math.log(total))


def cross_entropy(p: Array, q: Array) -> float:
    """Cross entropy ``H(P, q) = -sum_x P(x) ln q(x)`` in nats; ``inf`` where P has mass and q has none.

    Shapes (M,), (M,) -> float. One pass in chunks, so no temporary array of M leaves is made. Neither has to sum to 1:
    P may be masses over symbols spelled (`rates`). Raises InputError for entries that are negative or NaN, and for
    shapes that differ.

    >>> cross_entropy(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    inf
    """
    p, q = _checked("cross_entropy", p, q, total=False)
    return _cross_entropy(p, q)


def _cross_entropy(p: Array, q: Array) -> float:
    return float(leaf_sums(p[None], ONE, base=q[None], wanted=RATES).cross[0])


def kl_divergence(p: Array, q: Array) -> float:
    """Kullback-Leibler divergence ``D(P || q) = sum_x P(x) ln(P(x)/q(x))`` in nats, >= 0; ``inf`` without support.

    Summed as ``sum q phi(P/q)`` with ``phi(r) = r ln r - r + 1 >= 0``, so that rounding never makes it negative
    (both masses sum to 1, which is what removes the linear terms). Shapes (M,), (M,) -> float. Raises InputError for
    masses that are negative, NaN, empty, of different lengths or do not sum to 1.

    >>> kl_divergence(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    return _pair("kl_divergence", p, p, q, DIVERGENCES)


def jensen_shannon(rows: Sequence[ArrayLike] | Array, weights: ArrayLike | None = None) -> float:
    """Jensen-Shannon divergence ``sum_i pi_i D(P_i || m)``, ``m = sum_i pi_i P_i``, in nats, for any number of datasets.

    rows: n masses of shape (M,); weights: pi, shape (n,), >= 0, divided by their sum here; equal by default. It lies
    between 0 and ``H(pi)``, for two equal weights ln 2, which disjoint masses reach; it is never negative or NaN, for it
    is a sum of terms that are not negative (`kl_divergence`), cut off at H(pi). Of the datasets of a mixture with their
    volumes as weights it is what joint compression costs above n separate codes.
    Raises InputError as `kl_divergence` does, and for weights that do not fit.

    >>> jensen_shannon([[1.0, 0.0], [0.0, 1.0]]) == float(np.log(2))
    True
    >>> jensen_shannon([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]], [1, 1, 0])
    0.0
    """
    masses = _checked("jensen_shannon", *as_list(rows, "datasets", "jensen_shannon"))
    shares = as_shares(weights, len(masses), where="jensen_shannon")
    divergences = leaf_sums(np.stack(masses), shares, wanted=DIVERGENCES).forward
    weighted = shares > 0
    most = -np.log(shares[weighted])  # D(P_i || m) <= -ln pi_i
    return float(shares[weighted] @ np.minimum(divergences[weighted], most))


def total_variation(p: Array, q: Array) -> float:
    """Total variation distance ``1/2 sum_x |P(x) - q(x)|``, in [0, 1]. Shapes (M,), (M,) -> float. No unit.

    Pinsker: ``D(P || q) >= 2 TV^2``; also ``chi^2 >= 4 TV^2``, ``TV^2 <= 1 - exp(-D)`` and ``JS <= TV ln 2``.
    Raises InputError as `kl_divergence` does.

    >>> total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    0.5
    """
    p, q = _checked("total_variation", p, q)
    return min(1.0, 0.5 * float(np.abs(p - q).sum()))


def overlap(p: Array, other: Array, q: Array) -> float:
    """Overlap ``sum_x P(x) P'(x) / q(x)`` over the support of q (C, A, T of docs/glossary.md). No unit.

    With P = P' it is one plus the chi-square divergence of P from q. Shapes (M,) each -> float. Raises InputError for
    entries that are negative or NaN, and for shapes that differ.

    >>> overlap(np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    1.0
    """
    return _pair("overlap", p, other, q, OVERLAPS)


def chi_square(p: Array, q: Array) -> float:
    """Chi-square divergence ``sum_x (P(x) - q(x))^2 / q(x)``, >= 0; ``inf`` without support. No unit.

    It is ``T - 1`` when P = P_t, summed as squares so that it keeps its sign and digits near 0.
    Shapes (M,), (M,) -> float. Raises InputError as `kl_divergence` does.

    >>> chi_square(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    0.3333333333333333
    """
    return _pair("chi_square", p, p, q, RESPONSES)


def _pair(where: str, p: ArrayLike, other: ArrayLike, q: ArrayLike, wanted: int) -> float:
    """An overlap, a chi-square or a KL divergence of checked masses; those of a large tree are checked as they are read."""
    total = wanted != OVERLAPS
    p, other, q = rows = [as_floats(row, "masses", where) for row in (p, other, q)]
    if all(row.ndim == 1 and row.size == rows[0].size for row in rows):
        checked = checked_pair(p, other, q, wanted)
        if checked and not (total and max(abs(checked[1] - 1.0), abs(checked[2] - 1.0)) > SUM_TOLERANCE):
            return max(checked[0], 0.0)
    if total:
        p, q = _checked(where, p, q)
        sums = leaf_sums(p[None], ONE, base=q[None], wanted=wanted)
        return float((sums.forward if wanted == DIVERGENCES else sums.squares)[0])
    p, other, q = _checked(where, *rows, total=False)
    return float(leaf_sums(p[None], ONE, base=q[None], beside=other, wanted=OVERLAPS).overlaps[0])


def _checked(where: str, *rows: ArrayLike, total: bool = True) -> list[Array]:
    """Rows as float arrays of one length, each >= 0 and, with ``total``, summing to 1; InputError otherwise."""
    out: list[Array] = []
    for index, row in enumerate(rows):
        masses = as_floats(row, "masses", where)
        if masses.ndim != 1 or masses.size == 0:
            raise InputError(
                f"masses {index} have shape {masses.shape}", where=where, mend="pass one-dimensional arrays, not empty"
            )
        if out and masses.size != out[0].size:
            raise InputError(
                f"masses of {out[0].size} and of {masses.size} leaves",
                where=where,
                mend="put them on a common leaf set first",
            )
        plain, status = scan(masses)
        if not plain or status != status:
            least = float(masses.min())  # NaN if any is; -0.0 is 0
            if not least >= 0:
                raise InputError(f"a mass of masses {index} is {least:g}", where=where, mend="masses have to be >= 0")
        if total and not abs(status - 1.0) <= SUM_TOLERANCE:
            raise InputError(
                f"masses {index} sum to {status:.12g}, not to 1", where=where, mend="divide them by their sum"
            )
        out.append(masses)
    return out
