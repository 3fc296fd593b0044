"""Code lengths of prefix codes, exactly: Shannon's, Shannon-Fano-Elias, Huffman's, length-limited; Kraft's sum (R14)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import as_array, checked, integer, numbers
from ..compiled import machine_code
from ..errors import InputError
from ..mixtures.masses import SUM_TOLERANCE

Lengths = NDArray[np.int64]

NO_CODEWORD = -1
"""The length of a leaf without a codeword: its mass is 0, so the code never has to send it."""

LARGEST = (1 << 63) - 1


def shannon_lengths(q: ArrayLike | Sequence[int]) -> Lengths:
    """Shannon code lengths ``L(x) = ceil(-log2 q(x))`` in bits, exactly; `NO_CODEWORD` where q(x) = 0 (R14).

    q: floats are masses as they stand; integers and Fractions are weights, q(x) = w(x) / sum w. No logarithm is rounded:
    a float mass is m 2^e with 1/2 <= m < 1, and the ceiling is 1 - e for every m; for weights L is the least n with
    w 2^n >= sum w. ``H(P, q) <= E_P[L] < H(P, q) + 1`` for every P on the support of q. Shape (M,) -> (M,).
    Raises InputError for masses that are not finite, are negative, or sum to more than 1 (by more than rounding), and for
    integers that are all 0.

    >>> shannon_lengths([0.5, 0.25, 0.2, 0.05, 0.0]), shannon_lengths([3, 1, 1, 0])
    (array([ 1,  2,  3,  5, -1]), array([ 1,  3,  3, -1]))
    """
    values = _checked(_array(q, scale=False))
    if values.dtype.kind == "f":
        if values.max() > 1:
            raise InputError(f"a mass is {values.max():g}", where="shannon_lengths", mend="masses have to be <= 1")
        if values.sum() > 1 + SUM_TOLERANCE:
            raise InputError(
                f"masses sum to {values.sum():.12g}", where="shannon_lengths", mend="divide them by their sum"
            )
        lengths = np.int64(1023) - (
            np.ascontiguousarray(values).view(np.int64) >> 52
        )  # from the exponent, where normal
        tiny = values < np.finfo(np.float64).tiny
        if tiny.any():
            lengths[tiny] = np.where(values[tiny] > 0, 1 - np.frexp(values[tiny])[1], NO_CODEWORD)
        return lengths
    if not (values > 0).any():
        raise _all_zero("shannon_lengths")
    if values.dtype == object:
        return _long_shannon(values)
    total = int(values.sum())
    least = total.bit_length() - _bit_lengths(values)  # w 2^least has as many bits as the sum
    least += np.left_shift(values, least) < total
    return np.where(values > 0, least, NO_CODEWORD)


def shannon_fano_elias_lengths(q: ArrayLike | Sequence[int]) -> Lengths:
    """Shannon-Fano-Elias code lengths ``L(x) = ceil(-log2 q(x)) + 1`` in bits, exactly; `NO_CODEWORD` where q(x) = 0.

    One bit more than Shannon's buys a code whose words rise with the leaves, whatever their order.
    ``H(P, q) + 1 <= E_P[L] < H(P, q) + 2``. Arguments and errors as for
    `shannon_lengths`.

    >>> shannon_fano_elias_lengths([0.5, 0.25, 0.2, 0.05, 0.0])
    array([ 2,  3,  4,  6, -1])
    """
    lengths = shannon_lengths(q)
    return np.where(lengths == NO_CODEWORD, NO_CODEWORD, lengths + 1)


def huffman_lengths(weights: ArrayLike | Sequence[int], *, whole_alphabet: bool = False) -> Lengths:
    """Huffman code lengths in bits: they minimise ``sum_x weight(x) L(x)`` over all prefix codes (R14). Shape (M,) -> (M,).

    Weights may be counts (exact; Python integers of any size and Fractions too) or floats (their sums are rounded, so
    the code is optimal for weights that differ by as much). The rules:
    a leaf of weight 0 gets `NO_CODEWORD`, unless ``whole_alphabet``: then it is joined like any other, and the code is
    the best one that has a word for every leaf (the fixed alphabet of R14);
    a single leaf gets length 0, for there is nothing to tell;
    the two lightest are joined each time, among equal weights a leaf before a joined node and a leaf of lower index
    before one of higher, which keeps the longest codeword as short as an optimal code allows.
    A radix sort, then time M, without recursion: 20 ms for a million counts.

    Raises InputError for weights that are not finite, are negative, or are all 0.

    >>> huffman_lengths([5, 1, 1, 2, 0])
    array([ 1,  3,  3,  2, -1])
    >>> huffman_lengths([5, 1, 1, 2, 0], whole_alphabet=True)
    array([1, 4, 3, 2, 4])
    >>> huffman_lengths([0.42, 0.2, 0.2, 0.16, 0.02])
    array([1, 3, 2, 4, 4])
    """
    ordered, order, lengths = _sorted_weights(weights, whole_alphabet, "huffman_lengths")
    kernel = _join_lightest if ordered.dtype == object else compiled(_join_lightest)
    kernel(ordered, order, lengths)
    return lengths


@checked(limit=integer(least=0))
def length_limited_lengths(weights: ArrayLike | Sequence[int], limit: int, *, whole_alphabet: bool = False) -> Lengths:
    """Lengths that minimise ``sum_x weight(x) L(x)`` over the prefix codes with ``L(x) <= limit``. Shape (M,) -> (M,).

    Package-merge (Larmore and Hirschberg 1990), time and memory M limit after the sort; where the limit does not bind,
    the result is that of `huffman_lengths`, ties included. Weights, exactness and ``whole_alphabet`` as there.

    Raises InputError where it does, and where 2^limit words are too few.

    >>> length_limited_lengths([8, 5, 3, 2, 1, 1], 3), huffman_lengths([8, 5, 3, 2, 1, 1])
    (array([2, 2, 3, 3, 3, 3]), array([1, 2, 3, 4, 5, 5]))
    """
    ordered, order, lengths = _sorted_weights(weights, whole_alphabet, "length_limited_lengths")
    leaves = ordered.size
    if limit < 0 or (limit < 63 and leaves > 1 << limit):
        raise InputError(
            f"{leaves} leaves and words of at most {limit} bits",
            where="length_limited_lengths",
            mend=f"allow at least {(leaves - 1).bit_length()} bits",
        )
    (_join_lightest if ordered.dtype == object else compiled(_join_lightest))(ordered.copy(), order, lengths)
    if lengths.max() <= limit:
        return lengths
    if ordered.dtype == np.int64 and limit * int(ordered.sum()) > LARGEST:
        ordered = ordered.astype(object)  # a package of all levels may hold every leaf `limit` times
    kernel = _package_merge if ordered.dtype == object else compiled(_package_merge)
    lengths[order] = kernel(ordered, limit)
    return lengths


def kraft_sum(lengths: ArrayLike) -> Fraction:
    """Kraft's sum ``sum_x 2^-L(x)``, exactly; leaves without a codeword count 0. A prefix code exists iff it is <= 1.

    It is 1 for every Huffman code. Work: one big integer for each distinct length. Shape (M,) -> Fraction.

    >>> kraft_sum([1, 2, 3, 3]), kraft_sum(shannon_lengths([0.4, 0.4, 0.2]))
    (Fraction(1, 1), Fraction(5, 8))
    """
    used = as_lengths(lengths, where="kraft_sum")
    distinct, counts = np.unique(used[used != NO_CODEWORD], return_counts=True)
    longest = int(distinct[-1]) if distinct.size else 0
    total = sum(int(c) << (longest - int(n)) for n, c in zip(distinct, counts, strict=True))
    return Fraction(total, 1 << longest)


@checked(p=numbers(shape=(None,), least=0.0))
def expected_length(p: ArrayLike, lengths: ArrayLike) -> float:
    """Expected code length ``E_P[L] = sum_x P(x) L(x)`` in bits per leaf drawn; ``inf`` where P needs a missing codeword.

    Shapes (M,), (M,) -> float. Raises InputError for shapes that differ and for lengths that are not whole.

    >>> expected_length([0.42, 0.2, 0.2, 0.16, 0.02], huffman_lengths([0.42, 0.2, 0.2, 0.16, 0.02]))
    2.14
    """
    masses, used = np.asarray(p, dtype=np.float64), as_lengths(lengths, where="expected_length")
    _one_a_leaf(masses, used, "expected_length")
    if ((used == NO_CODEWORD) & (masses > 0)).any():
        return float("inf")
    return float(masses @ used)


def total_length(weights: ArrayLike | Sequence[int], lengths: ArrayLike) -> int | Fraction:
    """``sum_x weight(x) L(x)``, exactly: the bits that the counts of a dataset take. Shapes (M,), (M,).

    Weights are integers of any size or Fractions. Raises InputError for other weights, for shapes that differ, and
    where a positive weight has no codeword.

    >>> total_length([5, 1, 1, 2], huffman_lengths([5, 1, 1, 2]))
    15
    """
    values, used = _array(weights), as_lengths(lengths, where="total_length")
    if values.dtype.kind == "f":
        raise InputError("weights are floats", where="total_length", mend="pass counts, or call expected_length")
    _one_a_leaf(values, used, "total_length")
    missing = (used == NO_CODEWORD) & (values != 0)
    if missing.any():
        raise InputError(
            f"leaf {int(np.argmax(missing))} has no codeword", where="total_length", mend="use a code for every leaf"
        )
    used = np.where(used == NO_CODEWORD, 0, used)
    if values.dtype == object or float(abs(values.astype(np.float64)).sum()) * int(used.max(initial=0)) > LARGEST // 2:
        out: int | Fraction = sum(w * n for w, n in zip(values.tolist(), used.tolist(), strict=True))
        return out
    return int(values @ used)


def as_lengths(lengths: ArrayLike, *, where: str) -> Lengths:
    """Checked code lengths: integers >= 0, or `NO_CODEWORD`; shape (M,). Raises InputError otherwise."""
    used = as_array(lengths, "lengths", where)
    if used.size == 0 and used.ndim == 1:
        return used.astype(np.int64)
    if used.ndim != 1 or used.dtype.kind not in "iu":
        raise InputError(
            f"code lengths of type {used.dtype} and shape {used.shape}",
            where=where,
            mend="pass a one-dimensional array of integers",
        )
    if used.min() < NO_CODEWORD:
        raise InputError(f"a codeword of length {used.min()}", where=where, mend="lengths have to be >= 0")
    return used.astype(np.int64)


@functools.cache
def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop as machine code, made once in a process."""
    return machine_code(loop)


def _one_a_leaf(weights: NDArray[Any], lengths: Lengths, where: str) -> None:
    if weights.shape != lengths.shape:
        raise InputError(
            f"{weights.size} masses and {lengths.size} code lengths", where=where, mend="give one length a leaf"
        )


def _all_zero(where: str) -> InputError:
    return InputError("every weight is zero", where=where, mend="at least one has to be positive")


def _array(weights: ArrayLike | Sequence[int], scale: bool = True) -> NDArray[Any]:
    """Weights as int64 where their sum fits, as exact Python numbers where integers do not, as float64 otherwise."""
    values = as_array(weights, "weights", "code lengths")
    if values.dtype.kind == "f" and not isinstance(weights, np.ndarray):
        exact = np.asarray(weights, dtype=object)  # integers on both sides of 2^63 arrive as rounded floats
        if exact.size and all(isinstance(value, int) for value in exact.ravel()):
            values = exact
    if values.dtype.kind in "iu":
        # an upper bound that cannot itself overflow
        if values.size == 0 or int(values.max()) * values.size <= LARGEST or sum(values.tolist()) <= LARGEST:
            return values.astype(np.int64, copy=False)
        return np.array([int(value) for value in values.ravel()], dtype=object).reshape(values.shape)
    if values.dtype.kind == "O":
        if all(isinstance(value, int | Fraction | np.integer) for value in values.ravel()):
            return values
        raise InputError("weights are not numbers", where="code lengths", mend="pass counts or masses")
    if values.dtype.kind not in "fb":
        raise InputError("weights are not numbers", where="code lengths", mend="pass counts or masses")
    floats = values.astype(np.float64, copy=False)
    if scale and floats.size and 2.0**900 < floats.max() < np.inf:  # halve often enough that no sum overflows
        return np.where(floats > 0, np.maximum(np.ldexp(floats, -64), 5e-324), floats)
    return floats


def _checked(values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1 or values.size == 0:
        raise InputError(
            f"weights have shape {values.shape}", where="code lengths", mend="pass a non-empty one-dimensional array"
        )
    if values.dtype == object:
        wrong = (values < 0).astype(bool)
    elif values.min() >= 0 and values.max() < np.inf:  # neither holds of NaN
        return values
    else:
        wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        leaf = int(np.argmax(wrong))
        raise InputError(
            f"weight {leaf} is {values[leaf]}", where="code lengths", mend="weights have to be finite and >= 0"
        )
    return values


def _sorted_weights(
    weights: ArrayLike | Sequence[int], whole_alphabet: bool, where: str
) -> tuple[NDArray[Any], NDArray[Any], Lengths]:
    """The weights to be coded in rising order (a copy), their stable order, and lengths to be filled in."""
    values = _checked(_array(weights))
    if values.dtype == object:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
    else:
        ordered, order = _radix_sorted(values)
    if not ordered[-1] > 0:
        raise _all_zero(where)
    uncoded = 0 if whole_alphabet else int(np.searchsorted(ordered, 0, side="right"))
    lengths = np.full(values.size, NO_CODEWORD, dtype=np.int64)
    return ordered[uncoded:], order[uncoded:], lengths


def _radix_sorted(weights: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(sorted weights, stable order) of int64 or float64 >= 0, whose bit patterns rise with them."""
    size = weights.size
    weights = weights + 0.0 if weights.dtype.kind == "f" else np.ascontiguousarray(weights)  # -0.0 becomes 0.0
    index = np.dtype(np.int32 if size < 1 << 31 else np.int64)
    buffers = [np.empty(size, dtype) for dtype in (np.dtype(np.uint64), np.dtype(np.uint64), index, index)]
    keys, order = compiled(_radix_sort)(weights.view(np.uint64), *buffers)
    return keys.view(weights.dtype), order


def _radix_sort(
    keys: NDArray[Any], done: NDArray[Any], spare: NDArray[Any], order: NDArray[Any], spare_order: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least significant digit first, 11 bits at a time; digits in which all keys agree are left out."""
    size, mask = keys.size, np.uint64(2047)
    highest = np.uint64(0)
    for i in range(size):
        highest |= keys[i]
    digits = 0
    while digits < 6 and highest >> np.uint64(11 * digits) != np.uint64(0):
        digits += 1
    counts = np.zeros((6, 2048), dtype=np.int64)
    for i in range(size):
        for d in range(digits):
            counts[d, (keys[i] >> np.uint64(11 * d)) & mask] += 1
    first = True
    for d in range(digits):
        shift = np.uint64(11 * d)
        if counts[d, (keys[0] >> shift) & mask] == size:
            continue
        start = 0
        for bucket in range(2048):
            start, counts[d, bucket] = start + counts[d, bucket], start
        if first:
            for i in range(size):
                bucket = (keys[i] >> shift) & mask
                place = counts[d, bucket]
                counts[d, bucket] = place + 1
                done[place], order[place] = keys[i], i
            first = False
            continue
        for i in range(size):
            bucket = (done[i] >> shift) & mask
            place = counts[d, bucket]
            counts[d, bucket] = place + 1
            spare[place], spare_order[place] = done[i], order[i]
        done, spare, order, spare_order = spare, done, spare_order, order
    if first:
        for i in range(size):
            done[i], order[i] = keys[i], i
    return done, order


def _join_lightest(weights: NDArray[Any], order: NDArray[Any], lengths: Lengths) -> None:
    """Write the Huffman lengths of weights in rising order to ``lengths[order]``; the weights are overwritten.

    Joined nodes come out in rising order too, so two queues suffice, and a node is written where a leaf was read.
    Depths never rise from one leaf to the next, so it is enough to know how many leaves each depth has.
    The same source runs compiled on int64 and float64, and as it stands on Python's exact numbers.
    """
    leaves = weights.size
    if leaves == 1:
        lengths[order[0]] = 0
        return
    parent = np.empty(leaves, order.dtype)
    leaf, node = 0, 0
    for new in range(leaves - 1):
        if leaf < leaves and (node == new or weights[leaf] <= weights[node]):
            weight = weights[leaf]
            leaf += 1
        else:
            weight = weights[node]
            parent[node] = new
            node += 1
        if leaf < leaves and (node == new or weights[leaf] <= weights[node]):
            weight = weight + weights[leaf]
            leaf += 1
        else:
            weight = weight + weights[node]
            parent[node] = new
            node += 1
        weights[new] = weight
    depth = parent  # of the joined nodes, from the root, which is the last one
    depth[leaves - 2] = 0
    for new in range(leaves - 3, -1, -1):
        depth[new] = depth[parent[new]] + 1
    leaf, node, level, slots = leaves - 1, leaves - 2, 0, 1
    while slots > 0:
        inner = 0
        while node >= 0 and depth[node] == level:
            inner += 1
            node -= 1
        for _ in range(slots - inner):
            lengths[order[leaf]] = level
            leaf -= 1
        slots = 2 * inner
        level += 1


def _package_merge(weights: NDArray[Any], limit: int) -> Lengths:
    """Lengths at most ``limit`` for two or more weights in rising order, by package-merge.

    Level by level, the leaves are merged with pairs of the level before; of the last level the 2 M - 2 lightest are
    taken, and a leaf is as long as the number of levels in which it was taken.
    """
    leaves = weights.size
    is_leaf = np.zeros((limit, 2 * leaves), dtype=np.uint8)
    before, merged = weights.copy(), weights.copy()
    for level in range(limit):
        pairs = before.size // 2 if level else 0
        merged = np.empty(leaves + pairs, weights.dtype)
        leaf, pair = 0, 0
        for item in range(leaves + pairs):
            if pair == pairs or (leaf < leaves and weights[leaf] <= before[2 * pair] + before[2 * pair + 1]):
                merged[item] = weights[leaf]
                is_leaf[level, item] = 1
                leaf += 1
            else:
                merged[item] = before[2 * pair] + before[2 * pair + 1]
                pair += 1
        before = merged
    lengths = np.zeros(leaves, dtype=np.int64)
    taken = 2 * leaves - 2
    for level in range(limit - 1, -1, -1):
        whole = 0
        for item in range(taken):
            whole += is_leaf[level, item]
        for leaf in range(whole):
            lengths[leaf] += 1
        taken = 2 * (taken - whole)
    return lengths


def _bit_lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """``int.bit_length`` of integers >= 0, which a float would round up just below powers of two."""
    bits: NDArray[np.int64] = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    too_many: NDArray[np.bool_] = (bits > 0) & (values >> np.maximum(bits - 1, 0) == 0)
    return bits - too_many


def _long_shannon(weights: NDArray[Any]) -> Lengths:
    scale = math.lcm(*(Fraction(w).denominator for w in weights))
    whole = [int(w * scale) for w in weights]
    total = sum(whole)
    least = [total.bit_length() - w.bit_length() for w in whole]
    return np.array(
        [n + (w << n < total) if w else NO_CODEWORD for w, n in zip(whole, least, strict=True)], dtype=np.int64
    )
