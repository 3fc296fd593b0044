"""Compiled loops over the leaves of large trees: one reading of the masses gives every sum that the law is made of.

A leaf is a pair of masses p and q. For x = p/q = 2^k m with m in [sqrt(1/2), sqrt(2)) and s = (m - 1)/(m + 1)

    ln x = k ln 2 + 2 atanh s,    atanh s = s + s z P(z),  z = s^2 <= 0.0295,

where the polynomial P of degree 6 misses (atanh(s)/s - 1)/z by less than 5e-16 of it; `tests/unit/elastomath/mixtures/test_kernels.py`
encloses that error in balls. It counts z P < 0.01 times, so ln x is within 6e-16 of itself: the rounding of s (three
operations, 1.5 units) and of two sums is what is left. The divergences come from the same series: with d = p - q,
s = d/(p + q), a = atanh s and w = a/s - 1 = z P(z),

    p ln(p/q) - p + q = d (a + w),    q ln(q/p) - q + p = d (a - w),    0 <= w <= |s a| / 3 / (1 - z),

so that nothing cancels where p is near q; beyond a factor sqrt(2) the logarithm times the mass is used as it stands.

The loops take masses q from `TINY` on. A block that has a smaller one which is not 0 is left out, and named, for
`leafsums` to sum with exponents of their own. Sums are taken over fixed chunks of `CHUNK` leaves, and their results are
added in pairs: the same machine gives the same bits whatever the number of threads. The loops hold no lock and no thread
pool of their own, so processes may fork. Products and sums may be contracted and the order of a sum changed, but no loop
may divide by multiplying, assume that there is no infinity, or flush what is subnormal: `fastmath=True` would.
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

from ..arrays import Array
from ..compiled import machine_code

CHUNK = 1 << 14
"""Leaves whose sums are kept apart until the end."""
BLOCK = 512
"""Leaves whose q, 1/q and ln q are held in the first-level cache."""
THREADS_FROM = 1 << 18
"""Leaves below which one thread is done before others have started."""

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
"""From here on 1/q and p/q are normal numbers for every mass p from `TINY` on."""
TINY_BITS = int(np.float64(TINY).view(np.int64))
UP, UP_BITS = 2.0**56, 56 << 52
"""For q from `TINY` to 1 and any p up to 1, p UP/q is a normal number: its exponent can be read, and is 56 too high."""

CROSS, OVERLAP, GRAM, SQUARES, OUTSIDE, MISSING, FORWARD, REVERSE = range(8)
"""The rows of `_sums`."""
RATES, OVERLAPS, RESPONSES, DIVERGENCES = 1, 2, 4, 8
"""Which of them are asked for: CROSS; OVERLAP; GRAM and SQUARES; FORWARD and REVERSE."""
ALL_BUT_DIVERGENCES = RATES | OVERLAPS | RESPONSES


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[int, int], bool], leaves: int, threads: int | None = None) -> bool:
    """``work(first, last)`` for ranges of chunks that cover all leaves, in ``threads`` threads (default: all cores).

    Whether it says yes for all of them.
    """
    chunks = -(-leaves // CHUNK)
    count = threads or (cores() if leaves >= THREADS_FROM else 1)
    if count == 1 or chunks == 1:
        return work(0, chunks)
    length = -(-chunks // (8 * count))
    starts = range(0, chunks, length)
    with ThreadPoolExecutor(count) as pool:
        return all(list(pool.map(lambda start: work(start, min(start + length, chunks)), starts)))


@functools.cache
def compiled() -> SimpleNamespace:
    """The loops below as machine code; kept on disk where there is a folder for it."""
    from numba.extending import register_jitable

    leaf: list[Callable[..., Any]] = [
        _ln,
        _apart,
        _terms,
        _lost_by_three,
        _difference,
        _ordinary,
        _blend,
        _lost,
        _underflow,
    ]
    for helper in leaf:  # products and sums may become one instruction, and no more inside a leaf
        register_jitable(forceinline=True, error_model="numpy", fastmath={"contract"})(helper)
    for block in (_three, _divergences):
        register_jitable(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(block)

    loops: dict[str, Callable[..., Any]] = {"sums": _sums, "moves": _moves, "pair": _pair, "scan": _scan}
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    return SimpleNamespace(**{name: machine_code(loop, **options) for name, loop in loops.items()})


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


def _apart(p: Any, q: Any, difference: Any, inverse: Any) -> Any:
    """``(ln(p/q), p ln(p/q) - p + q, q ln(q/p) - q + p)`` with difference = p - q and inverse = 1/q, for q >= `TINY`.

    Any p >= 0, subnormal ones too; p = 0 gives (finite, q, finite), and q = inverse = 0 gives (finite, finite, p).
    """
    bits = np.float64(p * UP * inverse).view(np.int64) - UP_BITS
    above = bits - ROOT_HALF
    mantissa = np.int64(bits - (above & EXPONENT)).view(np.float64)
    k = np.float64(above >> 52)
    near = k == 0.0
    s = (difference if near else mantissa - 1.0) / (p + q if near else mantissa + 1.0)
    z = s * s
    w = z * (P0 + z * (P1 + z * (P2 + z * (P3 + z * (P4 + z * (P5 + z * P6))))))
    a = s + s * w
    log = k * LN2_HIGH + (2.0 * a + k * LN2_LOW)
    forward = difference * (a + w) if near else p * log - difference
    reverse = difference * (a - w) if near else difference - q * log
    return log, forward, reverse


# --- blocks and chunks ---------------------------------------------------------------------------------------------


def _ordinary(volumes: Array) -> bool:
    """Whether every share w_i / sum w is 0 or a number with all its digits."""
    total, ordinary = volumes.sum(), True
    for i in range(volumes.size):
        ordinary &= (volumes[i] >= TINY * total) | (volumes[i] == 0.0)
    return bool(ordinary)


def _blend(base: Array, weights: Array, start: int, code: Array) -> bool:
    """``code = sum_i weights_i base_i`` for a block of leaves; whether all of it is at least `TINY`."""
    row, weight, least = base[0, start : start + code.size], weights[0], np.int64(1 << 62)
    for j in range(code.size):
        code[j] = weight * row[j]
    for i in range(1, base.shape[0]):
        row, weight = base[i, start : start + code.size], weights[i]
        for j in range(code.size):
            code[j] += weight * row[j]
    for j in range(code.size):
        least = min(least, np.float64(code[j]).view(np.int64))  # masses are ordered as their bits
    return bool(least >= TINY_BITS)


def _lost(base: Array, weights: Array, start: int, code: Array, lost: Array) -> None:
    """``lost = sum_i weights_i (base_i - code)``: what code has lost by its rounding; near it the differences are exact."""
    for j in range(code.size):
        lost[j] = 0.0
    for i in range(base.shape[0]):
        row, weight = base[i, start : start + code.size], weights[i]
        for j in range(code.size):
            lost[j] += weight * (row[j] - code[j])


def _underflow(base: Array, weights: Array, start: int, code: Array) -> bool:
    """Whether a leaf of ``code`` is below `TINY` though a dataset with a weight has mass there."""
    careful = False
    for i in range(base.shape[0]):
        row, counts = base[i, start : start + code.size], weights[i] > 0.0
        for j in range(code.size):
            careful |= (code[j] < TINY) & (row[j] > 0.0) & counts
    return careful


def _terms(p: Any, q: Any, t: Any, lost: Any, log: Any, inverse: Any) -> Any:
    """What a leaf adds to CROSS, OVERLAP, GRAM and SQUARES; ratios first, and in no other order: p t may underflow."""
    gap, pull = p - q - lost, t - q - lost
    return -p * log, p * (t * inverse), gap * (pull * inverse), gap * (gap * inverse)


def _lost_by_three(x: Any, y: Any, t: Any, q: Any, w0: Any, w1: Any, w2: Any) -> Any:
    """`_lost` on one leaf of three datasets."""
    return w0 * (x - q) + w1 * (y - q) + w2 * (t - q)


def _difference(p: Any, q: Any, lost: Any) -> Any:
    """p - q - lost, in this order."""
    return p - q - lost


def _three(rows: Array, weights: Array, start: int, code: Array, lost: Array, inverse: Array, sums: Array) -> bool:
    """All but the divergences for three datasets in one loop, in which reading, division and sums run beside each other.

    Adds to ``sums`` only where all of ``code`` is at least `TINY`, and returns whether it is.
    """
    size, least = code.size, np.int64(1 << 62)
    w0, w1, w2 = weights[0], weights[1], weights[2]
    one, other, last = rows[0, start : start + size], rows[1, start : start + size], rows[2, start : start + size]
    c0, c1, c2, o0, o1, o2, g0, g1, g2, s0, s1, s2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(size):
        x, y, t = one[j], other[j], last[j]
        q = w0 * x + w1 * y + w2 * t
        least = min(least, np.float64(q).view(np.int64))
        r, ln, d = 1.0 / q, _ln(q), _lost_by_three(x, y, t, q, w0, w1, w2)
        code[j] = q
        inverse[j] = r
        lost[j] = d
        c, o, g, s = _terms(x, q, t, d, ln, r)
        c0, o0, g0, s0 = c0 + c, o0 + o, g0 + g, s0 + s
        c, o, g, s = _terms(y, q, t, d, ln, r)
        c1, o1, g1, s1 = c1 + c, o1 + o, g1 + g, s1 + s
        c, o, g, s = _terms(t, q, t, d, ln, r)
        c2, o2, g2, s2 = c2 + c, o2 + o, g2 + g, s2 + s
    if least < TINY_BITS:
        return False
    for i, (c, o, g, s) in enumerate(((c0, o0, g0, s0), (c1, o1, g1, s1), (c2, o2, g2, s2))):
        sums[CROSS, i] += c
        sums[OVERLAP, i] += o
        sums[GRAM, i] += g
        sums[SQUARES, i] += s
    return True


def _divergences(row: Array, code: Array, lost: Array, inverse: Array) -> Any:
    """What a block of a dataset adds to FORWARD, REVERSE and MISSING."""
    forward, reverse, missing, least = 0.0, 0.0, 0.0, np.int64(1 << 62)
    for j in range(code.size):
        _, one, two = _apart(row[j], code[j], _difference(row[j], code[j], lost[j]), inverse[j])
        forward += one
        reverse += two
        least = min(least, np.float64(row[j]).view(np.int64))
    if least <= 0:
        for j in range(code.size):
            missing += 1.0 if (row[j] == 0.0) & (code[j] > 0.0) else 0.0
    return forward, reverse, missing


def _sums(
    rows: Array,
    base: Array,
    volumes: Array,
    beside: Array,
    wanted: int,
    three: bool,
    first: int,
    last: int,
    parts: NDArray[np.float64],
    odd: NDArray[np.bool_],
) -> bool:
    """Chunks ``first`` to ``last`` of `leafsums.leaf_sums`, each into its own place of ``parts`` (8, J, n, chunks).

    rows (n, M), base (m, M), volumes (J, m), beside (M,); ``three``: that rows are
    base and three, and beside is the last. ``odd`` (J, blocks) becomes True where a block is left out.
    False, and nothing done, where a share of the volumes has not all its digits.
    """
    n, leaves = rows.shape
    weights: Array = np.empty_like(volumes)
    for mix in range(volumes.shape[0]):
        if not _ordinary(volumes[mix]):
            return False
        weights[mix] = volumes[mix] / volumes[mix].sum()
    whole, losses, inverses, logs = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    sums = np.zeros((8, n))
    three &= wanted & ALL_BUT_DIVERGENCES == ALL_BUT_DIVERGENCES
    for chunk in range(first, last):
        for mix in range(weights.shape[0]):
            sums[:] = 0.0
            for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
                size = min(BLOCK, leaves - start)
                code, lost, inverse, log = whole[:size], losses[:size], inverses[:size], logs[:size]
                together = three and _three(rows, weights[mix], start, code, lost, inverse, sums)
                if not together and not _blend(base, weights[mix], start, code):
                    if _underflow(base, weights[mix], start, code):
                        odd[mix, start // BLOCK] = True
                        continue
                    for i in range(n):
                        row, outside = rows[i, start : start + size], 0.0
                        for j in range(size):
                            outside += row[j] if code[j] == 0.0 else 0.0
                        sums[OUTSIDE, i] += outside
                if wanted != RATES and not together:
                    _lost(base, weights[mix], start, code, lost)
                    for j in range(size):
                        inverse[j] = 1.0 / code[j] if code[j] > 0.0 else 0.0
                if wanted & RATES and not together:
                    for j in range(size):
                        log[j] = _ln(code[j])
                other = beside[start : start + size]
                for i in range(n):
                    row = rows[i, start : start + size]
                    if wanted & RATES and not together:
                        cross = 0.0
                        for j in range(size):
                            cross -= row[j] * log[j]
                        sums[CROSS, i] += cross
                    if wanted & OVERLAPS and not together:
                        overlap = 0.0
                        for j in range(size):
                            overlap += _terms(row[j], code[j], other[j], 0.0, 0.0, inverse[j])[1]
                        sums[OVERLAP, i] += overlap
                    if wanted & RESPONSES and not together:
                        gram, squares = 0.0, 0.0
                        for j in range(size):
                            _, _, one, two = _terms(row[j], code[j], other[j], lost[j], 0.0, inverse[j])
                            gram += one
                            squares += two
                        sums[GRAM, i] += gram
                        sums[SQUARES, i] += squares
                    if wanted & DIVERGENCES:
                        forward, reverse, missing = _divergences(row, code, lost, inverse)
                        sums[FORWARD, i] += forward
                        sums[REVERSE, i] += reverse
                        sums[MISSING, i] += missing
            parts[:, mix, :, chunk] = sums
    return True


def _moves(
    rows: Array, volumes: Array, steps: Array, first: int, last: int, parts: NDArray[np.float64], odd: NDArray[np.bool_]
) -> bool:
    """Chunks of `leafsums.leaf_moves` into ``parts`` (n + 2, J, chunks).

    sum P_i ln(q_0/q_l) + q_l - q_0 for each row, sum q_0 ln(q_0/q_l) - q_0 + q_l, and the mass of the last row outside q_0.

    volumes (n - 1,) of q_0, steps (J,) of P_t. ``odd`` (J, blocks) and what is returned as in `_sums`.
    """
    n, leaves = rows.shape
    total = volumes.sum()
    shares, rests, weights = steps / (total + steps), total / (total + steps), volumes / total
    ordinary = _ordinary(volumes)
    for step in range(steps.size):
        ordinary &= min(shares[step] if steps[step] > 0.0 else 1.0, rests[step]) >= TINY
    if not ordinary:
        return False
    whole, losses, logs = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    base = rows[: n - 1]
    for chunk in range(first, last):
        for start in range(chunk * CHUNK, min((chunk + 1) * CHUNK, leaves), BLOCK):
            size = min(BLOCK, leaves - start)
            code, lost, log, perturb = whole[:size], losses[:size], logs[:size], rows[n - 1, start : start + size]
            careful, outside = False, 0.0
            if not _blend(base, weights, start, code):
                careful = _underflow(base, weights, start, code)
                for j in range(size):
                    outside += perturb[j] if code[j] == 0.0 else 0.0
            _lost(base, weights, start, code, lost)
            for step in range(shares.size):
                share, rest = shares[step], rests[step]
                if share == 0.0:
                    odd[step, start // BLOCK] |= careful
                    parts[n + 1, step, chunk] += 0.0 if careful else outside
                    continue
                energy, moved, low = 0.0, 0.0, False
                for j in range(size):
                    p, t = code[j], perturb[j]
                    q = rest * p + share * t
                    # what is moved, share p, has to keep its digits too
                    low |= ((q < TINY) & (t > 0.0)) | ((min(share * p, rest * p) < TINY) & (p > 0.0))
                    gain = share * _difference(t, p, lost[j])
                    ln, forward, _ = _apart(p, q, -gain, 1.0 / q if q > 0.0 else 0.0)
                    log[j] = ln if p > 0.0 else 0.0
                    energy += forward
                    moved += gain
                if careful | low:
                    odd[step, start // BLOCK] = True
                    continue
                parts[n, step, chunk] += energy
                parts[n + 1, step, chunk] += outside
                for i in range(n):
                    row, move = rows[i, start : start + size], moved
                    for j in range(size):
                        move += row[j] * log[j]
                    parts[i, step, chunk] += move
    return True


def _pair(p: Array, t: Array, q: Array, wanted: int, first: int, last: int, parts: NDArray[np.float64]) -> bool:
    """Chunks of `leafsums.checked_pair`, into ``parts`` (4, chunks): a sum, those of p and q, and 1 where more care is due."""
    for chunk in range(first, last):
        stop = min((chunk + 1) * CHUNK, p.size)
        x, y, z = p[chunk * CHUNK : stop], t[chunk * CHUNK : stop], q[chunk * CHUNK : stop]
        value, total, whole, least = 0.0, 0.0, 0.0, np.int64(1 << 62)
        for j in range(x.size):  # below 0: no mass, or q below TINY
            least = min(least, min(np.float64(x[j]).view(np.int64), np.float64(y[j]).view(np.int64)))
            least = min(least, np.float64(z[j]).view(np.int64) - TINY_BITS)
            if wanted == OVERLAPS:
                _, term, _, _ = _terms(x[j], z[j], y[j], 0.0, 0.0, 1.0 / z[j])
            elif wanted == RESPONSES:
                _, _, _, term = _terms(x[j], z[j], y[j], 0.0, 0.0, 1.0 / z[j])
            else:
                _, term, _ = _apart(x[j], z[j], x[j] - z[j], 1.0 / z[j])
            value += term
            total += x[j]
            whole += z[j]
        parts[0, chunk], parts[1, chunk], parts[2, chunk] = value, total, whole
        parts[3, chunk] = 1.0 if least < 0 else 0.0
    return True


def _scan(values: Array, first: int, last: int, parts: NDArray[np.float64]) -> bool:
    """Chunks of `leafsums.scan`: 1 where a sign bit is set, and the sum."""
    leaves = values.size
    for chunk in range(first, last):
        part = values[chunk * CHUNK : min((chunk + 1) * CHUNK, leaves)]
        signs, total = np.int64(0), 0.0
        for j in range(part.size):
            signs |= np.float64(part[j]).view(np.int64)
            total += part[j]
        parts[0, chunk], parts[1, chunk] = 1.0 if signs < 0 else 0.0, total
    return True
