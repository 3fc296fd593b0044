"""Code lengths of real prefix codes: Shannon's and Huffman's, with exact integers (R14, R15)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

Lengths = NDArray[np.int64]

NO_CODEWORD = -1
"""The length of a leaf without a codeword: its mass is 0, so the code never has to send it."""

LARGEST = (1 << 63) - 1


def shannon_lengths(q: ArrayLike) -> Lengths:
    """Shannon code lengths ``L(x) = ceil(-log2 q(x))`` in bits, exactly; `NO_CODEWORD` where q(x) = 0 (R14).

    With q = m 2^e and 1/2 <= m < 1 the ceiling is 1 - e for every m, so no logarithm is rounded.
    ``H(P, q) <= E_P[L] < H(P, q) + 1`` for every P on the support of q. Shape (M,) -> (M,).
    Raises InputError for masses that are not finite, are negative, or exceed 1.

    >>> shannon_lengths([0.5, 0.25, 0.2, 0.05, 0.0])
    array([ 1,  2,  3,  5, -1])
    """
    masses = _weights(np.asarray(q, dtype=np.float64))
    if masses.max() > 1:
        raise InputError(f"a mass is {masses.max():g}", where="shannon_lengths", mend="masses have to be <= 1")
    return np.where(masses > 0, 1 - np.frexp(masses)[1], NO_CODEWORD).astype(np.int64)


def huffman_lengths(weights: ArrayLike | Sequence[int]) -> Lengths:
    """Huffman code lengths in bits: they minimise ``sum_x weight(x) L(x)`` over all prefix codes (R14). Shape (M,) -> (M,).

    Weights may be counts (exact; Python integers of any size and Fractions too) or floats (their sums are rounded, so
    the code is optimal for weights that differ by as much). The rules:
    a leaf of weight 0 gets `NO_CODEWORD`; a single leaf of positive weight gets length 0, for there is nothing to tell;
    the two lightest are joined each time, among equal weights a leaf before a joined node and a leaf of lower index
    before one of higher, which keeps the longest codeword as short as an optimal code allows.
    Time M log M for the sort and M for the rest, without recursion.

    Raises InputError for weights that are not finite, are negative, or are all 0.

    >>> huffman_lengths([5, 1, 1, 2, 0])
    array([ 1,  3,  3,  2, -1])
    >>> huffman_lengths([0.42, 0.2, 0.2, 0.16, 0.02])
    array([1, 3, 2, 4, 4])
    """
    values = _weights(_array(weights))
    lengths = np.full(values.size, NO_CODEWORD, dtype=np.int64)
    coded = np.flatnonzero(values > 0)
    if not coded.size:
        raise InputError("every weight is zero", where="huffman_lengths", mend="at least one has to be positive")
    kept = values[coded]
    order = _stable_order(kept)
    kernel = _two_queues if kept.dtype == object else _compiled()
    lengths[coded[order]] = kernel(kept[order])
    return lengths


def kraft_sum(lengths: ArrayLike) -> Fraction:
    """Kraft's sum ``sum_x 2^-L(x)``, exactly; leaves without a codeword count 0. A prefix code exists iff it is <= 1.

    It is 1 for every Huffman code. Work: one big integer for each distinct length. Shape (M,) -> Fraction.

    >>> kraft_sum([1, 2, 3, 3]), kraft_sum(shannon_lengths([0.4, 0.4, 0.2]))
    (Fraction(1, 1), Fraction(5, 8))
    """
    used = np.asarray(lengths, dtype=np.int64)
    if used.size and used.min() < NO_CODEWORD:
        raise InputError(f"a codeword of length {used.min()}", where="kraft_sum", mend="lengths have to be >= 0")
    distinct, counts = np.unique(used[used != NO_CODEWORD], return_counts=True)
    longest = int(distinct[-1]) if distinct.size else 0
    total = sum(int(c) << (longest - int(n)) for n, c in zip(distinct, counts, strict=True))
    return Fraction(total, 1 << longest)


def expected_length(p: ArrayLike, lengths: ArrayLike) -> float:
    """Expected code length ``E_P[L] = sum_x P(x) L(x)`` in bits per leaf drawn; ``inf`` where P needs a missing codeword.

    Shapes (M,), (M,) -> float. Raises InputError for shapes that differ.

    >>> expected_length([0.42, 0.2, 0.2, 0.16, 0.02], huffman_lengths([0.42, 0.2, 0.2, 0.16, 0.02]))
    2.14
    """
    masses, used = np.asarray(p, dtype=np.float64), np.asarray(lengths, dtype=np.int64)
    if masses.shape != used.shape:
        raise InputError(
            f"{masses.size} masses and {used.size} code lengths", where="expected_length", mend="give one length a leaf"
        )
    if ((used == NO_CODEWORD) & (masses > 0)).any():
        return float("inf")
    return float(masses @ used)


def _array(weights: ArrayLike | Sequence[int]) -> NDArray[Any]:
    """Weights as int64 where their sum fits, as exact Python numbers where integers do not, as float64 otherwise."""
    values = np.asarray(weights)
    if values.dtype.kind == "f" and not isinstance(weights, np.ndarray):
        exact = np.asarray(weights, dtype=object)  # integers on both sides of 2^63 arrive as rounded floats
        if exact.size and all(isinstance(value, int) for value in exact.ravel()):
            values = exact
    if values.dtype.kind in "iu":
        # an upper bound that cannot itself overflow
        if values.size == 0 or int(values.max()) * values.size <= LARGEST or sum(values.tolist()) <= LARGEST:
            return values.astype(np.int64)
        return values.astype(object)
    if values.dtype.kind == "O":
        if all(isinstance(value, int | Fraction) for value in values.ravel()):
            return values
        raise InputError("weights are not numbers", where="huffman_lengths", mend="pass counts or masses")
    if values.dtype.kind not in "fb":
        raise InputError("weights are not numbers", where="huffman_lengths", mend="pass counts or masses")
    floats = values.astype(np.float64)
    # halve often enough that no sum of finite weights overflows
    return np.ldexp(floats, -64) if floats.size and floats.max() > 2.0**900 else floats


def _weights(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1 or values.size == 0:
        raise InputError(
            f"weights have shape {values.shape}", where="code lengths", mend="pass a non-empty one-dimensional array"
        )
    wrong = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.size, dtype=bool)
    wrong |= (values < 0).astype(bool)
    if wrong.any():
        leaf = int(np.argmax(wrong))
        raise InputError(
            f"weight {leaf} is {values[leaf]}", where="code lengths", mend="weights have to be finite and >= 0"
        )
    return values


def _stable_order(weights: NDArray[Any]) -> NDArray[np.int64]:
    """The stable order of weights; small counts are sorted together with their index, several times as fast."""
    shift = int(weights.size).bit_length()
    if weights.dtype == np.int64 and int(weights.max()).bit_length() + shift <= 63:
        keys = np.sort((weights << shift) | np.arange(weights.size))
        return keys & ((1 << shift) - 1)
    return np.argsort(weights, kind="stable")


def _two_queues(weights: NDArray[Any]) -> Lengths:
    """Huffman lengths of weights in rising order: joined nodes come out in rising order too, so two queues suffice.

    The same source runs compiled on int64 and float64, and as it stands on Python's exact numbers.
    """
    leaves = weights.size
    lengths = np.zeros(leaves, dtype=np.int64)
    if leaves == 1:
        return lengths
    joined = np.empty(leaves - 1, weights.dtype)
    parent_of_leaf = np.zeros(leaves, dtype=np.int64)
    parent_of_node = np.zeros(leaves - 1, dtype=np.int64)
    leaf, node = 0, 0
    for new in range(leaves - 1):
        first = True
        while True:
            if leaf < leaves and (node == new or weights[leaf] <= joined[node]):
                weight = weights[leaf]
                parent_of_leaf[leaf] = new
                leaf += 1
            else:
                weight = joined[node]
                parent_of_node[node] = new
                node += 1
            if not first:
                joined[new] = joined[new] + weight
                break
            joined[new] = weight
            first = False
    depth = np.zeros(leaves - 1, dtype=np.int64)  # the last node is the root
    for new in range(leaves - 3, -1, -1):
        depth[new] = depth[parent_of_node[new]] + 1
    for index in range(leaves):
        lengths[index] = depth[parent_of_leaf[index]] + 1
    return lengths


@functools.cache
def _compiled() -> Callable[[NDArray[Any]], Lengths]:
    import numba

    try:
        kernel: Callable[[NDArray[Any]], Lengths] = numba.njit(cache=True, nogil=True)(_two_queues)
    except RuntimeError:  # no folder to keep the compiled code in
        kernel = numba.njit(nogil=True)(_two_queues)
    return kernel
