"""Entropy, cross entropy and the divergences, in nats, for masses on a common leaf set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 1 << 14
"""Leaves taken at a time: 16k doubles stay in the second-level cache, so each array is read from memory once."""

TINY = 1e-290
"""Above this no mass over another overflows."""

LARGEST = np.finfo(np.float64).max

NEAR = 0.05
SERIES = [(-1.0) ** n / (n * (n - 1)) for n in range(2, 13)]
"""phi(1 + g) / g^2 for |g| < NEAR, to 1e-15; beyond it the logarithm costs at most 2e-13 of phi."""


def entropy(p: Array) -> float:
    """Shannon entropy ``H(P) = -sum_x P(x) ln P(x)`` in nats, with 0 ln 0 = 0. Shape (M,) -> float.

    >>> float(np.round(entropy(np.array([0.5, 0.25, 0.25])) / np.log(2), 12))
    1.5
    """
    return cross_entropy(p, p)


def cross_entropy(p: Array, q: Array) -> float:
    """Cross entropy ``H(P, q) = -sum_x P(x) ln q(x)`` in nats; ``inf`` where P has mass and q has none.

    Shapes (M,), (M,) -> float. One pass in chunks, so no temporary array of M leaves is made.

    >>> cross_entropy(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    inf
    """
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
    (both masses sum to 1, which is what removes the linear terms). Shapes (M,), (M,) -> float.

    >>> kl_divergence(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    0.0
    """
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


def overlap(p: Array, other: Array, q: Array) -> float:
    """Overlap ``sum_x P(x) P'(x) / q(x)`` over the support of q (C, A, T of the theory). No unit.

    With P = P' it is one plus the chi-square divergence of P from q. Shapes (M,) each -> float.

    >>> overlap(np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    1.0
    """
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, beside, code = (masses[start : start + CHUNK] for masses in (p, other, q))
        if code.min() > TINY:
            total += float((part / code) @ beside)
            continue
        with np.errstate(over="ignore"):  # a ratio beyond the range of floats is inf
            ratio = np.divide(part, code, out=np.zeros_like(code), where=(code > 0) & (beside != 0))
            total += float(ratio @ beside)
    return total


def chi_square(p: Array, q: Array) -> float:
    """Chi-square divergence ``sum_x (P(x) - q(x))^2 / q(x)``, >= 0; ``inf`` without support. No unit.

    It is ``T - 1`` of the theory when P = P_t, summed as squares so that it keeps its sign and digits near 0.

    >>> chi_square(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    0.3333333333333333
    """
    total = 0.0
    for start in range(0, p.size, CHUNK):
        part, code = p[start : start + CHUNK], q[start : start + CHUNK]
        if ((code == 0) & (part > 0)).any():
            return float("inf")
        gap = part - code
        with np.errstate(over="ignore"):  # a ratio beyond the range of floats is inf
            total += float(np.divide(gap, code, out=np.zeros_like(code), where=(code > 0) & (gap != 0)) @ gap)
    return total
