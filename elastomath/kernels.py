"""Compiled loops over the leaves of large trees: one reading of the masses gives every sum that the law is made of.

The logarithm is written out here, so that the compiler makes vector instructions of it. For x = 2^k m with m in
[sqrt(1/2), sqrt(2)) and s = (m - 1)/(m + 1):

    ln x = k ln 2 + 2 atanh s,    atanh s = s + s z P(z),  z = s^2 <= 0.0295,

where the polynomial P of degree 6 misses (atanh(s)/s - 1)/z by less than 5e-16 of it; `tests/unit/test_kernels.py`
encloses that error in balls. It counts z P < 0.01 times, so ln x is within 6e-16 of itself: the rounding of s (three
operations, 1.5 units) and of two sums is what is left. The two divergences of a leaf come from the same series: with
d = p - q, s = d/(p + q), a = atanh s and w = a/s - 1 = z P(z),

    p ln(p/q) - p + q = d (a + w),    q ln(q/p) - q + p = d (a - w),    0 <= w <= |s a| / 3 / (1 - z),

so that nothing cancels where p is near q; beyond a factor sqrt(2) the logarithm times the mass is used as it stands.

Sums are taken over fixed chunks of `CHUNK` leaves, and their results are added in pairs: the same machine gives the same
bits whatever the number of threads. The loops hold no lock and no thread pool of their own, so processes may fork.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COMPILED_FROM = 1 << 18
"""Leaves from which a compiled loop is worth the half second in which numba is imported; below, numpy."""
CHUNK = 1 << 14
"""Leaves whose sums are kept apart until the end."""
BLOCK = 512
"""Leaves whose q, ln q and P_t/q - 1 are held in the first-level cache."""

P0, P1, P2, P3, P4, P5, P6 = POLYNOMIAL = (
    0.3333333333333335,
    0.19999999999949752,
    0.14285714312987882,
    0.11111105567374867,
    0.09091444564282754,
    0.07665860745369321,
    0.07308225521217084,
)
"""(atanh(s)/s - 1)/s^2 as a polynomial in s^2, interpolated at Chebyshev nodes of [0, (3 - 2 sqrt 2)^2]."""
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""ln 2 in two parts; k LN2_HIGH is exact for every exponent k."""
ROOT_HALF = int(np.float64(np.sqrt(0.5)).view(np.int64))
EXPONENT = -1 << 52
TINY = 1e-290
"""From here on 1/q and P/q are normal numbers; a block with a smaller mass that is not 0 goes the careful way."""
TINY_BITS = int(np.float64(TINY).view(np.int64))

CROSS, OVERLAP, GRAM, SQUARES, OUTSIDE, MISSING, FORWARD, REVERSE = range(8)
"""The rows of `mixture_sums`."""


def mixture_sums(components: Array, weights: Array, *, divergences: bool = True, threads: int | None = None) -> Array:
    """All sums of a mixture ``q = sum_i weights_i P_i`` and its last dataset P_t, in one reading. Shape (n, M) -> (8, n).

    CROSS    -sum P_i ln q                 OVERLAP  sum P_i P_t/q
    GRAM     sum (P_i - q)(P_t - q)/q      SQUARES  sum (P_i - q)^2/q
    OUTSIDE  P_i outside the support of q  MISSING  > 0 where q has a leaf that P_i lacks (REVERSE is then wrong)
    FORWARD  sum P_i ln(P_i/q) - P_i + q   REVERSE  sum q ln(q/P_i) - q + P_i

    All but OUTSIDE over the support of q, in nats; the last two rows are 0 without ``divergences``. Masses have to be
    checked.
    """
    leaves = components.shape[1]
    parts = np.zeros((8, components.shape[0], -(-leaves // CHUNK)))
    kernel = compiled().mixture
    rows = _plain(components)
    in_threads(lambda first, last: kernel(rows, weights, divergences, first, last, parts), leaves, threads)
    return np.asarray(parts.sum(axis=-1))


def pair_sums(p: Array, q: Array, *, threads: int | None = None) -> Array:
    """``[D(P || q), D(q || P)] = [sum p ln(p/q) - p + q, sum q ln(q/p) - q + p]`` in nats; ``inf`` without support.

    Shapes (M,), (M,) -> (2,). Masses have to be checked.
    """
    parts = np.zeros((4, -(-p.size // CHUNK)))
    kernel = compiled().pair
    one, other = _plain(p), _plain(q)
    in_threads(lambda first, last: kernel(one, other, first, last, parts), p.size, threads)
    forward, reverse, outside, missing = parts.sum(axis=-1)
    return np.array([np.inf if outside > 0 else forward, np.inf if missing > 0 else reverse])


def cross_sum(p: Array, q: Array, *, threads: int | None = None) -> float:
    """``-sum p ln q`` in nats; ``inf`` where q lacks a leaf of p. Shapes (M,), (M,) -> float. Masses have to be checked."""
    parts = np.zeros((2, -(-p.size // CHUNK)))
    kernel = compiled().cross
    one, other = _plain(p), _plain(q)
    in_threads(lambda first, last: kernel(one, other, first, last, parts), p.size, threads)
    total, outside = parts.sum(axis=-1)
    return float("inf") if outside > 0 else float(total)


def overlap_sum(p: Array, other: Array, q: Array, *, threads: int | None = None) -> float:
    """``sum p other / q`` over leaves where q > 0. Shapes (M,) each -> float. Masses have to be checked."""
    parts = np.zeros((1, -(-p.size // CHUNK)))
    kernel = compiled().overlap
    rows = [_plain(row) for row in (p, other, q)]
    in_threads(lambda first, last: kernel(*rows, first, last, parts), p.size, threads)
    return float(parts.sum())


def scan(values: Array, *, threads: int | None = None) -> tuple[bool, float]:
    """(whether no value has a sign bit, the sum), in one reading; the sum is NaN or infinite where a value is."""
    parts = np.zeros((2, -(-values.size // CHUNK)))
    kernel = compiled().scan
    one = _plain(values)
    in_threads(lambda first, last: kernel(one, first, last, parts), values.size, threads)
    signs, sums = parts
    return not signs.any(), float(sums.sum())


def path_sums(components: Array, volumes: Array, steps: Array, *, threads: int | None = None) -> Array:
    """``-sum P_i ln(sum_j volumes_j P_j + l P_t)`` for each l in ``steps`` (J,); ``inf`` where P_i has a leaf that it lacks.

    ``volumes`` (n-1,) are those of all datasets but the last, P_t. Shape (n, M) -> (n, J), nats. Masses have to be checked.
    """
    leaves = components.shape[1]
    parts = np.zeros((components.shape[0], steps.size, -(-leaves // CHUNK)))
    kernel = compiled().path
    rows = _plain(components)
    in_threads(lambda first, last: kernel(rows, volumes, steps, first, last, parts), leaves, threads)
    return np.asarray(parts.sum(axis=-1))


def _plain(values: Array) -> Array:
    return np.ascontiguousarray(values, dtype=np.float64)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[int, int], object], leaves: int, threads: int | None = None) -> None:
    """``work(first, last)`` for ranges of chunks that cover all leaves, in ``threads`` threads (default: all cores)."""
    chunks, count = -(-leaves // CHUNK), threads or cores()
    if count == 1 or chunks == 1:
        work(0, chunks)
        return
    length = -(-chunks // (8 * count))
    starts = range(0, chunks, length)
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(lambda start: work(start, min(start + length, chunks)), starts):
            pass


@functools.cache
def compiled() -> SimpleNamespace:
    """The loops below as machine code; kept on disk where there is a folder for it."""
    import numba
    from numba.extending import register_jitable

    inlined = {"forceinline": True, "error_model": "numpy"}
    # products and sums may be contracted to one instruction; nothing else is reordered inside a leaf
    leaf: list[Callable[..., Any]] = [_ln, _leaf_divergences]
    for helper in leaf:
        register_jitable(fastmath={"contract"}, **inlined)(helper)
    block: list[Callable[..., Any]] = [_careful_divergences, _careful_overlap, _joint, _careful]
    for helper in block:
        register_jitable(error_model="numpy", fastmath=False)(helper)  # said, or it is taken from the caller
    register_jitable(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(_three)

    def loop(source: Callable[..., None]) -> Callable[..., None]:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
        try:
            made: Callable[..., None] = numba.njit(cache=True, **options)(source)
        except RuntimeError:  # no folder to keep the compiled code in
            made = numba.njit(**options)(source)
        return made

    loops: dict[str, Callable[..., None]] = {
        "mixture": _mixture,
        "pair": _pair,
        "cross": _cross,
        "overlap": _overlap,
        "path": _path,
        "scan": _scan,
    }
    return SimpleNamespace(**{name: loop(source) for name, source in loops.items()})


# --- one leaf ------------------------------------------------------------------------------------------------------
# The functions below are compiled; they run as they stand, too, on numpy scalars.


def _ln(x: Any) -> Any:
    """ln x for normal x > 0, within 6e-16 of itself; finite for 0."""
    bits = np.float64(x).view(np.int64)
    above = bits - ROOT_HALF
    mantissa = np.int64(bits - (above & EXPONENT)).view(np.float64)
    k = np.float64(above >> 52)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    tail = z * (P0 + z * (P1 + z * (P2 + z * (P3 + z * (P4 + z * (P5 + z * P6))))))
    return k * LN2_HIGH + (2.0 * s + (2.0 * s * tail + k * LN2_LOW))


def _leaf_divergences(p: Any, q: Any, inverse: Any) -> Any:
    """``(p ln(p/q) - p + q, q ln(q/p) - q + p)`` with inverse = 1/q, for normal masses; p = 0 gives (q, finite)."""
    bits = np.float64(p * inverse).view(np.int64)
    above = bits - ROOT_HALF
    mantissa = np.int64(bits - (above & EXPONENT)).view(np.float64)
    k = np.float64(above >> 52)
    near = k == 0.0
    difference = p - q
    s = (difference if near else mantissa - 1.0) / (p + q if near else mantissa + 1.0)
    z = s * s
    w = z * (P0 + z * (P1 + z * (P2 + z * (P3 + z * (P4 + z * (P5 + z * P6))))))
    a = s + s * w
    log = k * LN2_HIGH + (2.0 * a + k * LN2_LOW)
    forward = difference * (a + w) if near else p * log - difference
    reverse = difference * (a - w) if near else difference - q * log
    return forward, reverse


def _careful_divergences(p: Any, q: Any) -> Any:
    """The same for any p > 0 and q > 0, subnormal ones too."""
    if 0.5 * q < p < 2.0 * q:
        up = 2.0**600  # exact, and here it makes both masses normal
        forward, reverse = _leaf_divergences(p * up, q * up, 1.0 / (q * up))
        return forward / up, reverse / up
    apart = np.log(p) - np.log(q)
    return p * apart - (p - q), (p - q) - q * apart


def _careful_overlap(p: Any, other: Any, q: Any) -> Any:
    """p other / q for any masses, 0 where q is; compiled apart, for here the order of the two operations matters."""
    low, high = min(p, other), max(p, other)
    return low / q * high if q > 0.0 and low > 0.0 else 0.0


# --- blocks and chunks ---------------------------------------------------------------------------------------------


def _mixture(rows: Array, weights: Array, divergences: bool, first: int, last: int, parts: NDArray[np.float64]) -> None:
    """Chunks ``first`` to ``last`` of `mixture_sums`, each into its own place of ``parts`` (8, n, chunks)."""
    n, leaves = rows.shape
    q, pull, ratio, inverse, logs = (
        np.empty(BLOCK),
        np.empty(BLOCK),
        np.empty(BLOCK),
        np.empty(BLOCK),
        np.empty(BLOCK),
    )
    sums = np.zeros((8, n))
    for chunk in range(first, last):
        sums[:] = 0.0
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            size = min(BLOCK, leaves - start)
            code = q[:size]
            perturb = rows[n - 1, start : start + size]
            if n == 3:
                lowest = _three(rows, weights, start, code, inverse, sums)
            else:
                lowest = _joint(rows, weights, start, code)
            if lowest < TINY_BITS:
                careful = lowest < 0
                for i in range(n):
                    row = rows[i, start : start + size]
                    for j in range(size):
                        careful |= (row[j] < TINY) & (row[j] != 0.0)
                for j in range(size):
                    careful |= (code[j] < TINY) & (code[j] != 0.0)
                if careful:
                    _careful(rows, weights, start, size, divergences, sums)
                    continue
                for i in range(n):
                    row = rows[i, start : start + size]
                    outside, missing = 0.0, 0.0
                    for j in range(size):
                        outside += row[j] if code[j] == 0.0 else 0.0
                        missing += 1.0 if (row[j] == 0.0) & (code[j] > 0.0) else 0.0
                    sums[OUTSIDE, i] += outside
                    sums[MISSING, i] += missing
            if n != 3 or lowest < TINY_BITS:
                for j in range(size):
                    seen = code[j] > 0.0
                    mass = code[j] if seen else 1.0
                    one = 1.0 / mass if seen else 0.0
                    inverse[j] = one
                    ratio[j] = perturb[j] * one
                    pull[j] = (perturb[j] - code[j]) * one
                    logs[j] = _ln(mass)
                for i in range(n):
                    row = rows[i, start : start + size]
                    cross, overlap, gram, squares = 0.0, 0.0, 0.0, 0.0
                    for j in range(size):
                        p = row[j]
                        gap = p - code[j]
                        cross -= p * logs[j]
                        overlap += p * ratio[j]
                        gram += gap * pull[j]
                        squares += gap * (gap * inverse[j])
                    sums[CROSS, i] += cross
                    sums[OVERLAP, i] += overlap
                    sums[GRAM, i] += gram
                    sums[SQUARES, i] += squares
            if divergences:
                for i in range(n):
                    row = rows[i, start : start + size]
                    forward, reverse = 0.0, 0.0
                    for j in range(size):
                        one, other = _leaf_divergences(row[j], code[j], inverse[j])
                        forward += one
                        reverse += other
                    sums[FORWARD, i] += forward
                    sums[REVERSE, i] += reverse
        for s in range(8):
            for i in range(n):
                parts[s, i, chunk] = sums[s, i]


def _joint(rows: Array, weights: Array, start: int, code: Array) -> int:
    """``code = sum_i weights_i rows_i`` for a block, and the least of all its masses as bits (they are ordered alike)."""
    n, size = rows.shape[0], code.size
    lowest = np.int64(1 << 62)
    row, weight = rows[0, start : start + size], weights[0]
    for j in range(size):
        lowest = min(lowest, np.float64(row[j]).view(np.int64))
        code[j] = weight * row[j]
    for i in range(1, n):
        row, weight = rows[i, start : start + size], weights[i]
        for j in range(size):
            lowest = min(lowest, np.float64(row[j]).view(np.int64))
            code[j] += weight * row[j]
    for j in range(size):
        lowest = min(lowest, np.float64(code[j]).view(np.int64))
    return int(lowest)


def _three(rows: Array, weights: Array, start: int, code: Array, inverse: Array, sums: Array) -> int:
    """A block of three datasets in one loop, without buffers: adds to ``sums`` where no mass is 0 or tiny.

    Returns the least of all masses as bits, like `_joint`, and leaves q and 1/q in ``code`` and ``inverse``.
    """
    size = code.size
    one_row, other_row, last_row = (
        rows[0, start : start + size],
        rows[1, start : start + size],
        rows[2, start : start + size],
    )
    w0, w1, w2 = weights[0], weights[1], weights[2]
    lowest = np.int64(1 << 62)
    c0, c1, c2, o0, o1, o2, g0, g1, s0, s1, s2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(size):
        x, y, t = one_row[j], other_row[j], last_row[j]
        mass = w0 * x + w1 * y + w2 * t
        least = min(np.float64(x).view(np.int64), np.float64(y).view(np.int64))
        least = min(least, np.float64(t).view(np.int64))
        lowest = min(lowest, min(least, np.float64(mass).view(np.int64)))
        one, log = 1.0 / mass, _ln(mass)
        code[j] = mass
        inverse[j] = one
        ratio = t * one
        dx, dy, dt = x - mass, y - mass, t - mass
        pull = dt * one
        c0 -= x * log
        c1 -= y * log
        c2 -= t * log
        o0 += x * ratio
        o1 += y * ratio
        o2 += t * ratio
        g0 += dx * pull
        g1 += dy * pull
        s0 += dx * (dx * one)
        s1 += dy * (dy * one)
        s2 += dt * pull
    if lowest >= TINY_BITS:
        sums[CROSS, 0] += c0
        sums[CROSS, 1] += c1
        sums[CROSS, 2] += c2
        sums[OVERLAP, 0] += o0
        sums[OVERLAP, 1] += o1
        sums[OVERLAP, 2] += o2
        sums[GRAM, 0] += g0
        sums[GRAM, 1] += g1
        sums[GRAM, 2] += s2
        sums[SQUARES, 0] += s0
        sums[SQUARES, 1] += s1
        sums[SQUARES, 2] += s2
    return int(lowest)


def _careful(rows: Array, weights: Array, start: int, size: int, divergences: bool, sums: Array) -> None:
    """A block with masses near the end of the floats, leaf by leaf; sums may become infinite, never NaN."""
    n = rows.shape[0]
    for j in range(start, start + size):
        code = 0.0
        for i in range(n):
            code += weights[i] * rows[i, j]
        if code == 0.0:
            for i in range(n):
                sums[OUTSIDE, i] += rows[i, j]
            continue
        log, perturb = np.log(code), rows[n - 1, j]
        pull = perturb - code
        for i in range(n):
            p = rows[i, j]
            gap = p - code
            if p > 0.0:
                sums[CROSS, i] -= p * log
                sums[OVERLAP, i] += _careful_overlap(p, perturb, code)
            # the smaller factor is divided, so that only what is infinite overflows
            if gap != 0.0 and pull != 0.0:
                sums[GRAM, i] += gap / code * pull if abs(gap) < abs(pull) else gap * (pull / code)
            if gap != 0.0:
                sums[SQUARES, i] += gap / code * gap
            if divergences:
                if p == 0.0:
                    sums[FORWARD, i] += code
                    sums[MISSING, i] += 1.0
                else:
                    one, other = _careful_divergences(p, code)
                    sums[FORWARD, i] += one
                    sums[REVERSE, i] += other


def _pair(p: Array, q: Array, first: int, last: int, parts: Array) -> None:
    """Chunks of `pair_sums`: the two divergences, what lies outside q's support, and how many leaves p lacks."""
    leaves = p.size
    for chunk in range(first, last):
        forward, reverse, outside, missing = 0.0, 0.0, 0.0, 0.0
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            stop = min(start + BLOCK, leaves)
            row, code = p[start:stop], q[start:stop]
            lowest, least = np.int64(1 << 62), np.int64(1 << 62)
            for j in range(row.size):
                lowest = min(lowest, np.float64(code[j]).view(np.int64))
                least = min(least, np.float64(row[j]).view(np.int64))
            careful = (lowest < TINY_BITS) | (least < 0)
            if least < TINY_BITS:
                for j in range(row.size):
                    careful |= (row[j] < TINY) & (row[j] != 0.0)
            if not careful:
                f, r = 0.0, 0.0
                for j in range(row.size):
                    one, other = _leaf_divergences(row[j], code[j], 1.0 / code[j])
                    f += one
                    r += other
                forward += f
                reverse += r
                if least == 0:
                    for j in range(row.size):
                        missing += 1.0 if row[j] == 0.0 else 0.0
                continue
            for j in range(row.size):
                if code[j] == 0.0:
                    outside += row[j]
                elif row[j] == 0.0:
                    forward += code[j]
                    missing += 1.0
                else:
                    one, other = _careful_divergences(row[j], code[j])
                    forward += one
                    reverse += other
        parts[0, chunk], parts[1, chunk], parts[2, chunk], parts[3, chunk] = forward, reverse, outside, missing


def _cross(p: Array, q: Array, first: int, last: int, parts: Array) -> None:
    """Chunks of `cross_sum`: the sum, and what lies outside q's support."""
    leaves = p.size
    for chunk in range(first, last):
        total, outside = 0.0, 0.0
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            stop = min(start + BLOCK, leaves)
            row, code = p[start:stop], q[start:stop]
            odd = False
            for j in range(row.size):
                odd |= code[j] < TINY
            part = 0.0
            if odd:
                for j in range(row.size):
                    if code[j] > 0.0:
                        part -= row[j] * np.log(code[j])
                    else:
                        outside += row[j]
            else:
                for j in range(row.size):
                    part -= row[j] * _ln(code[j])
            total += part
        parts[0, chunk], parts[1, chunk] = total, outside


def _overlap(p: Array, other: Array, q: Array, first: int, last: int, parts: Array) -> None:
    """Chunks of `overlap_sum`."""
    leaves = p.size
    for chunk in range(first, last):
        total = 0.0
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            stop = min(start + BLOCK, leaves)
            row, beside, code = p[start:stop], other[start:stop], q[start:stop]
            odd, part = False, 0.0
            for j in range(row.size):
                odd |= code[j] < TINY
            if odd:
                for j in range(row.size):
                    part += _careful_overlap(row[j], beside[j], code[j])
            else:
                for j in range(row.size):
                    part += row[j] / code[j] * beside[j]
            total += part
        parts[0, chunk] = total


def _scan(values: Array, first: int, last: int, parts: Array) -> None:
    """Chunks of `scan`: 1 where a sign bit is set, and the sum."""
    leaves = values.size
    for chunk in range(first, last):
        part = values[chunk * CHUNK : min((chunk + 1) * CHUNK, leaves)]
        lowest, total = np.int64(1 << 62), 0.0
        for j in range(part.size):
            lowest = min(lowest, np.float64(part[j]).view(np.int64))
            total += part[j]
        parts[0, chunk], parts[1, chunk] = 1.0 if lowest < 0 else 0.0, total


def _path(rows: Array, volumes: Array, steps: Array, first: int, last: int, parts: Array) -> None:
    """Chunks of `path_sums`."""
    n, leaves = rows.shape
    base, logs = np.empty(BLOCK), np.empty(BLOCK)
    for chunk in range(first, last):
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            size = min(BLOCK, leaves - start)
            code = base[:size]
            perturb = rows[n - 1, start : start + size]
            row, weight = rows[0, start : start + size], volumes[0]
            for j in range(size):
                code[j] = weight * row[j]
            for i in range(1, n - 1):
                row, weight = rows[i, start : start + size], volumes[i]
                for j in range(size):
                    code[j] += weight * row[j]
            odd = False
            for j in range(size):
                odd |= code[j] < TINY
            for step in range(steps.size):
                length = steps[step]
                if odd:
                    for i in range(n):
                        cross = 0.0
                        for j in range(size):
                            p = rows[i, start + j]
                            if p > 0.0:
                                cross -= p * np.log(code[j] + length * perturb[j])
                        parts[i, step, chunk] += cross
                    continue
                for j in range(size):
                    logs[j] = _ln(code[j] + length * perturb[j])
                for i in range(n):
                    row = rows[i, start : start + size]
                    cross = 0.0
                    for j in range(size):
                        cross -= row[j] * logs[j]
                    parts[i, step, chunk] += cross
