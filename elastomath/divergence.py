"""Entropy, cross entropy and the divergences, in nats, for masses on a common leaf set.

Below `kernels.COMPILED_FROM` leaves they are numpy in chunks, from there on compiled and in all cores; both keep their
digits where the masses nearly agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import kernels
from .checks import as_floats
from .checks import rows as as_list
from .errors import InputError
from .masses import SUM_TOLERANCE, normalise

Array = NDArray[np.float64]
CHUNK = 1 << 14
"""Leaves taken at a time: 16k doubles stay in the second-level cache, so each array is read from memory once."""

TINY = 1e-290
"""Above this no mass over another overflows."""

LARGEST = np.finfo(np.float64).max

NEAR = 0.05
SERIES = [(-1.0) ** n / (n * (n - 1)) for n in range(2, 13)]
"""phi(1 + g) / g^2 for |g| < NEAR, to 1e-15; beyond it the logarithm costs at most 2e-13 of phi."""

GAP_SERIES = [(-1.0) ** n / n for n in range(2, 15)]
"""(e - ln(1 + e)) / e^2 for |e| < NEAR, to 1e-16."""


def log_gap(excess: Array) -> Array:
    """``phi(1 + e) = e - ln(1 + e) >= 0``, to 1e-12 of itself however small e is; ``inf`` at e = -1. Any shape.

    With q' = q (1 + e) it is the summand of ``D(q || q') = sum q phi(q'/q)``.

    >>> log_gap(np.array([1e-9, -1.0]))
    array([5.e-19,    inf])
    """
    with np.errstate(divide="ignore"):
        gaps = excess - np.log1p(excess)
    near = np.abs(excess) < NEAR
    small = excess[near]
    gaps[near] = small**2 * np.polynomial.polynomial.polyval(small, GAP_SERIES)
    return np.asarray(np.maximum(gaps, 0.0), dtype=np.float64)


def entropy(p: Array) -> float:
    """Shannon entropy ``H(P) = -sum_x P(x) ln P(x)`` in nats, with 0 ln 0 = 0. Shape (M,) -> float.

    Between 0 and ln M. Raises InputError for masses that are negative, NaN, empty or do not sum to 1.

    >>> float(np.round(entropy(np.array([0.5, 0.25, 0.25])) / np.log(2), 12))
    1.5
    """
    (p,) = _checked("entropy", p)
    return _cross_entropy(p, p)


def cross_entropy(p: Array, q: Array) -> float:
    """Cross entropy ``H(P, q) = -sum_x P(x) ln q(x)`` in nats; ``inf`` where P has mass and q has none.

    Shapes (M,), (M,) -> float. One pass in chunks, so no temporary array of M leaves is made. Neither has to sum to 1:
    P may be masses over symbols spelled (`rates`). Raises InputError for entries that are negative or NaN, and for
    shapes that differ.

    >>> cross_entropy(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    inf
    """
    return _cross_entropy(*_checked("cross_entropy", p, q, total=False))


def _cross_entropy(p: Array, q: Array) -> float:
    if p.size >= kernels.COMPILED_FROM:
        return kernels.cross_sum(p, q)
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, code = p[start : start + CHUNK], q[start : start + CHUNK]
        if (code > 0).all():
            total -= float(part @ np.log(code))
            continue
        seen = part > 0
        if (code[seen] == 0).any():
            return float("inf")
        total -= float(part[seen] @ np.log(code[seen]))
    return total


def kl_divergence(p: Array, q: Array) -> float:
    """Kullback-Leibler divergence ``D(P || q) = sum_x P(x) ln(P(x)/q(x))`` in nats, >= 0; ``inf`` without support.

    Summed as ``sum q phi(P/q)`` with ``phi(r) = r ln r - r + 1 >= 0``, so that rounding never makes it negative
    (both masses sum to 1, which is what removes the linear terms). Shapes (M,), (M,) -> float. Raises InputError for
    masses that are negative, NaN, empty, of different lengths or do not sum to 1.

    >>> kl_divergence(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
    return _kl(*_checked("kl_divergence", p, q))


def _kl(p: Array, q: Array) -> float:
    if p.size >= kernels.COMPILED_FROM:
        return float(kernels.pair_sums(p, q)[0])
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, code = p[start : start + CHUNK], q[start : start + CHUNK]
        missing = code == 0
        if missing.any():
            if (part[missing] > 0).any():
                return float("inf")
            part, code = part[~missing], code[~missing]
        difference = part - code
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio, gap = part / code, difference / code
            terms = part * np.log(ratio) - difference
            lost = (ratio == 0) | (ratio > LARGEST)  # beyond the range of floats
            if lost.any():
                far = part[lost] * (np.log(part[lost]) - np.log(code[lost])) - difference[lost]
                terms[lost] = np.where(part[lost] > 0, far, code[lost])
        # r ln r - r + 1 loses its digits near r = 1; its series there is sum_n (-gap)^n / (n (n-1))
        near = np.abs(gap) < NEAR
        if near.any():
            terms[near] = code[near] * gap[near] ** 2 * np.polynomial.polynomial.polyval(gap[near], SERIES)
        total += float(np.maximum(terms, 0.0).sum())
    return total


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
    shares = normalise(np.ones(len(masses)) if weights is None else weights, where="weights")
    if shares.size != len(masses):
        raise InputError(
            f"{shares.size} weights for {len(masses)} datasets",
            where="jensen_shannon",
            mend="give one for each dataset",
        )
    middle = np.zeros(masses[0].size)
    for start in range(0, middle.size, CHUNK):
        for share, row in zip(shares, masses, strict=True):
            middle[start : start + CHUNK] += share * row[start : start + CHUNK]
    held = [(share, row) for share, row in zip(shares, masses, strict=True) if share > 0]
    total = sum(float(share) * min(_kl(row, middle), -float(np.log(share))) for share, row in held)
    return min(total, -float(sum(share * np.log(share) for share, _ in held)))


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
    """Overlap ``sum_x P(x) P'(x) / q(x)`` over the support of q (C, A, T of the theory). No unit.

    With P = P' it is one plus the chi-square divergence of P from q. Shapes (M,) each -> float. Raises InputError for
    entries that are negative or NaN, and for shapes that differ.

    >>> overlap(np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    1.0
    """
    p, other, q = _checked("overlap", p, other, q, total=False)
    if p.size >= kernels.COMPILED_FROM:
        return kernels.overlap_sum(p, other, q)
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, beside, code = (masses[start : start + CHUNK] for masses in (p, other, q))
        if code.min() > TINY:
            total += float((part / code) @ beside)
            continue
        low, high = (
            np.minimum(part, beside),
            np.maximum(part, beside),
        )  # the smaller is divided: only what is inf overflows
        with np.errstate(over="ignore"):
            total += float(np.divide(low, code, out=np.zeros_like(code), where=(code > 0) & (low > 0)) @ high)
    return total


def chi_square(p: Array, q: Array) -> float:
    """Chi-square divergence ``sum_x (P(x) - q(x))^2 / q(x)``, >= 0; ``inf`` without support. No unit.

    It is ``T - 1`` of the theory when P = P_t, summed as squares so that it keeps its sign and digits near 0.
    Shapes (M,), (M,) -> float. Raises InputError as `kl_divergence` does.

    >>> chi_square(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    0.3333333333333333
    """
    p, q = _checked("chi_square", p, q)
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, code = p[start : start + CHUNK], q[start : start + CHUNK]
        if ((code == 0) & (part > 0)).any():
            return float("inf")
        gap = part - code
        with np.errstate(over="ignore"):  # a ratio beyond the range of floats is inf
            total += float(np.divide(gap, code, out=np.zeros_like(code), where=(code > 0) & (gap != 0)) @ gap)
    return total


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
        plain, found = kernels.scan(masses) if masses.size >= kernels.COMPILED_FROM else (False, math.nan)
        if not plain or math.isnan(found):
            least, found = float(masses.min()), float(masses.sum()) if total else 1.0  # NaN if any is
            if not least >= 0:
                raise InputError(f"a mass of masses {index} is {least:g}", where=where, mend="masses have to be >= 0")
        if total and not abs(found - 1.0) <= SUM_TOLERANCE:
            raise InputError(
                f"masses {index} sum to {found:.12g}, not to 1", where=where, mend="divide them by their sum"
            )
        out.append(masses)
    return out
