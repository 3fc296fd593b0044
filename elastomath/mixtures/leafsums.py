"""Sums over leaves: rates, overlaps and divergences of datasets from a mixture, right over the whole range of doubles.

Large trees, and whatever takes several sums of one tree, are read by the loops of `kernels`; one sum of a small tree is
taken in numpy, for which nothing has to be loaded. Blocks where a mass of the mixture is so small that its share underflows
are summed here with the exponent of a mass ``x 2^e`` apart, so that 1e-312 under a volume of 1e12, or 1e-300 beside
1e300, are numbers like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from . import kernels
from .kernels import ALL_BUT_DIVERGENCES, DIVERGENCES, OVERLAPS, RATES, RESPONSES, TINY

COMPILED_FROM = 1 << 14
"""Leaves from which one sum is worth the half second in which the compiled loops are loaded, once in a process."""
CHUNK = 1 << 15
"""Numbers that a temporary array of numpy has at most: they stay in the second-level cache."""
LN2 = float(np.log(2.0))
NOWHERE = -(1 << 20)
"""The exponent of 0."""

Exponents = NDArray[np.int64]


class LeafSums(NamedTuple):
    """Sums of n datasets P_i against a mixture q and a dataset P_t; shape (n,), or (J, n) for J mixtures. In nats.

    cross     -sum P_i ln q, inf where q lacks a leaf of P_i
    overlaps  sum P_i P_t/q over the support of q
    gram      sum (P_i - q)(P_t - q)/q over the support of q: overlap - 1 + outside_t for masses that sum to 1
    squares   sum (P_i - q)^2/q, inf where q lacks a leaf of P_i
    forward   D(P_i || q) = sum P_i ln(P_i/q) - P_i + q, inf likewise
    reverse   D(q || P_i) = sum q ln(q/P_i) - q + P_i over all leaves, inf where P_i lacks a leaf of q
    outside   the mass of P_i where q has none

    What was not asked for is 0.
    """

    cross: Array
    overlaps: Array
    gram: Array
    squares: Array
    forward: Array
    reverse: Array
    outside: Array


def leaf_sums(
    rows: Array,
    volumes: Array,
    *,
    base: Array | None = None,
    beside: Array | None = None,
    wanted: int = ALL_BUT_DIVERGENCES | DIVERGENCES,
    compiled: bool = False,
    threads: int | None = None,
) -> LeafSums:
    """All sums of ``rows`` (n, M) against ``q = sum_i w_i base_i / sum_i w_i``, in one reading of the masses.

    volumes: w, shape (m,), or (J, m) for J mixtures at once; >= 0, not all 0. base: (m, M), by default the rows. beside:
    P_t, shape (M,), by default the last row. ``wanted``: of `kernels.RATES`, `OVERLAPS`, `RESPONSES` and `DIVERGENCES`.
    ``compiled``: by the compiled loops however few the leaves are. Masses have to be checked.
    """
    rows = np.ascontiguousarray(rows)
    three = base is None and beside is None and len(rows) == 3
    base = rows if base is None else np.ascontiguousarray(base)
    beside = rows[-1] if beside is None else np.ascontiguousarray(beside)
    mixtures = np.ascontiguousarray(volumes if volumes.ndim == 2 else volumes[None])
    leaves, count = rows.shape[1], len(mixtures)
    loop: Any = kernels.compiled().sums if compiled or leaves >= COMPILED_FROM else None
    if loop:
        parts, odd = _places((8, count, len(rows)), count, leaves)
    if loop and kernels.in_threads(
        lambda *chunks: loop(rows, base, mixtures, beside, wanted, three, *chunks, parts, odd), leaves, threads
    ):
        sums = _whole(parts)
        for mix, part in _blocks(odd):
            one = mixtures[mix : mix + 1]
            _numpy_sums(rows[:, part], base[:, part], one, beside[part], wanted, sums[:, mix : mix + 1])
    else:
        sums = np.zeros((8, count, len(rows)))
        length = max(CHUNK // (count * len(rows)), 64)
        for start in range(0, leaves, length):
            part = slice(start, start + length)
            _numpy_sums(rows[:, part], base[:, part], mixtures, beside[part], wanted, sums)
    if volumes.ndim == 1:
        sums = sums[:, 0]
    cross, overlaps, gram, squares, outside, missing, forward, reverse = sums
    if np.count_nonzero(outside):
        for values in (cross, squares, forward):
            values[outside > 0] = np.inf
    if np.count_nonzero(missing):
        reverse[missing > 0] = np.inf
    if wanted & DIVERGENCES:
        np.maximum(sums[-2:], 0.0, out=sums[-2:])
    return LeafSums(cross, overlaps, gram, squares, forward, reverse, outside)


def leaf_moves(rows: Array, volumes: Array, steps: Array, *, threads: int | None = None) -> tuple[Array, Array, float]:
    """From ``q_0 = sum w_i P_i / N_0`` to ``q_l = (N_0 q_0 + l P_t)/(N_0 + l)``: (rises, divergences, outside).

    rises        ``sum P_i ln(q_0/q_l)`` over the support of q_0, shape (n, J): DeltaH_i, but for P_t's mass outside it. Summed
                 with ``q_l - q_0``, which adds up to 0: of masses near each other only their differences count, not their sums
    divergences  ``D(q_0 || q_l)``, shape (J,)
    outside      the mass of P_t where q_0 has none

    From the difference ``l/(N_0 + l) (P_t - q_0)`` itself, so digits are kept however small l is. rows: (n, M), P_t the
    last; volumes: w, shape (n - 1,); steps: l >= 0, shape (J,). In nats; masses have to be checked.
    """
    rows, volumes, steps = np.ascontiguousarray(rows), np.ascontiguousarray(volumes), np.ascontiguousarray(steps)
    leaves, loop = rows.shape[1], kernels.compiled().moves
    parts, odd = _places((len(rows) + 2, steps.size), steps.size, leaves)
    if kernels.in_threads(lambda *chunks: loop(rows, volumes, steps, *chunks, parts, odd), leaves, threads):
        sums = _whole(parts)
        for step, part in _blocks(odd):
            sums[:, step : step + 1] += _careful_moves(rows[:, part], volumes, steps[step : step + 1])
    else:
        length = max(CHUNK // steps.size, 64)
        sums = np.zeros((len(rows) + 2, steps.size))
        for start in range(0, leaves, length):
            sums += _careful_moves(rows[:, start : start + length], volumes, steps)
    return sums[:-2], np.maximum(sums[-2], 0.0), max(sums[-1].tolist())


def checked_pair(p: Array, other: Array, q: Array, wanted: int) -> tuple[float, float, float] | None:
    """(the sum, sum p, sum q) for one pair of masses, checked as it is read; None where more care is due.

    The sum is the overlap of p and other, ``sum (p - q)^2/q`` or ``D(p || q)`` for `kernels.OVERLAPS`, `RESPONSES` and
    `DIVERGENCES`. None for few leaves, for signs, and where q is not ordinary on all of them. Shapes (M,) each.
    """
    if p.size < COMPILED_FROM:
        return None
    parts = np.zeros((4, -(-p.size // kernels.CHUNK)))
    loop, rows = kernels.compiled().pair, [np.ascontiguousarray(row) for row in (p, other, q)]
    kernels.in_threads(lambda first, last: loop(*rows, wanted, first, last, parts), p.size)
    value, total, whole, careful = parts.sum(axis=1).tolist()
    return None if careful or value != value else (value, total, whole)


def scan(values: Array) -> tuple[bool, float]:
    """(whether no value has a sign bit, the sum), in one reading; the sum is NaN or infinite where a value is."""
    if values.size < COMPILED_FROM:
        with np.errstate(all="ignore"):
            return not np.count_nonzero(np.signbit(values)), float(values.sum())
    parts = np.zeros((2, -(-values.size // kernels.CHUNK)))
    loop, one = kernels.compiled().scan, np.ascontiguousarray(values)
    kernels.in_threads(lambda first, last: loop(one, first, last, parts), values.size)
    signs, sums = parts
    return not signs.any(), float(sums.sum())


def _places(shape: tuple[int, ...], count: int, leaves: int) -> tuple[Array, NDArray[np.bool_]]:
    """Zeros for the sums of each chunk, and for whether a block is left out, of ``count`` mixtures."""
    chunks, blocks = -(-leaves // kernels.CHUNK), -(-leaves // kernels.BLOCK)
    return np.zeros((*shape, chunks)), np.zeros((count, blocks), dtype=np.bool_)


def _whole(parts: Array) -> Array:
    """The sums of all chunks."""
    return parts[..., 0] if parts.shape[-1] == 1 else np.asarray(parts.sum(axis=-1))


def _blocks(odd: NDArray[np.bool_]) -> Iterator[tuple[int, slice]]:
    """The mixtures and the leaves of the blocks that were left out."""
    if np.count_nonzero(odd):
        for mix, block in np.argwhere(odd).tolist():
            yield mix, slice(block * kernels.BLOCK, (block + 1) * kernels.BLOCK)


# --- numpy, where all masses are ordinary ---------------------------------------------------------------------------


@np.errstate(all="ignore")
def _numpy_sums(rows: Array, base: Array, mixtures: Array, beside: Array, wanted: int, sums: Array) -> None:
    """The rows of `kernels` for a few leaves, added to ``sums`` (8, J, n)."""
    ordinary, q, lowest = _joint(base, mixtures)
    least = rows.min() if wanted & DIVERGENCES else 1.0
    if least < TINY and np.count_nonzero((rows > 0) & (rows < TINY)):
        ordinary = False
    if not ordinary:
        _careful_sums(rows, base, mixtures, beside, sums)
        return
    transposed, full = rows.T, lowest > 0
    covered = q > 0
    if not full:
        sums[kernels.OUTSIDE] += ~covered @ transposed
    if wanted & RATES:
        logs = np.log(q)
        sums[kernels.CROSS] -= (logs if full else np.where(covered, logs, 0.0)) @ transposed
    if wanted & (OVERLAPS | RESPONSES):
        inverse = 1.0 / q if full else np.divide(1.0, q, out=np.zeros_like(q), where=covered)
    if wanted & OVERLAPS:
        sums[kernels.OVERLAP] += (beside * inverse) @ transposed
    if wanted & (RESPONSES | DIVERGENCES):
        code = q[:, None]
        # near q the differences are exact, and their mean is what q has lost by its rounding
        lost = (mixtures / mixtures.sum(axis=1, keepdims=True))[:, None] @ (base - code)
        gap = rows - code - lost
    if wanted & RESPONSES:
        pull = beside - q - lost[:, 0]
        sums[kernels.GRAM] += (gap @ (pull * inverse)[..., None])[..., 0]
        squares = gap * inverse[:, None]
        squares *= gap
        sums[kernels.SQUARES] += squares.sum(axis=-1)
    if wanted & DIVERGENCES:
        logs = np.log(rows / code)
        if not full or least == 0:
            positive = rows > 0
            logs = np.where(positive & covered[:, None], logs, 0.0)
            sums[kernels.MISSING] += (~positive & covered[:, None]).sum(axis=-1)
        _, forward, reverse = _apart(rows, code, gap, logs)
        sums[kernels.FORWARD] += forward.sum(axis=-1)
        sums[kernels.REVERSE] += reverse.sum(axis=-1)


def _joint(base: Array, mixtures: Array) -> tuple[bool, Array, float]:
    """Whether all that is not 0 of ``q = sum_i w_i base_i / sum w`` has all its digits; q, shape (J, M); the least of it."""
    q = mixtures / mixtures.sum(axis=1, keepdims=True) @ base
    least = float(q.min())
    if least >= TINY:
        return True, q, least
    mass = (mixtures > 0).astype(np.float64) @ (base > 0)
    return not ((q < TINY) & (mass > 0)).any(), q, least


NEAR = 3.0 - 2.0 * np.sqrt(2.0)
"""|s| up to which the series of `kernels` is used: p and q are within a factor sqrt(2)."""


SERIES = np.array([[*kernels.POLYNOMIAL[:3], 0.0], kernels.POLYNOMIAL[3:]])
"""Its coefficients: of 1, z, z^2, and of z^3, z^4, z^5, z^6."""


def _apart(p: Array, q: Array, gap: Array, log: Array) -> tuple[Array, Array, Array]:
    """`kernels._apart` for arrays of any masses, from gap = p - q and log = ln(p/q); log is finite, where p = 0 too."""
    s = p + q
    np.maximum(s, TINY, out=s)  # 0 where p = q = 0
    np.divide(gap, s, out=s)
    forward, reverse = p * log - gap, gap - q * log
    near = np.abs(s) <= NEAR
    if np.count_nonzero(near):
        powers = np.empty((4, s.size))
        powers[0] = 1.0
        z, square, cube = powers[1:]
        flat = s.ravel()
        np.multiply(flat, flat, out=z)
        np.multiply(z, z, out=square)
        np.multiply(square, z, out=cube)
        series, high = SERIES @ powers
        high *= cube
        series += high
        series *= z
        w = series.reshape(s.shape)
        a = s + s * w
        log = np.where(near, 2.0 * a, log)
        np.putmask(forward, near, gap * (a + w))
        np.putmask(reverse, near, gap * (a - w))
    return log, forward, reverse


# --- a mass as x 2^e, where a share or a ratio leaves the range of doubles ------------------------------------------


def _wide(values: Array) -> tuple[Array, Exponents]:
    """values = x 2^e with 1/2 <= x < 1, subnormal ones too; 0 has the exponent `NOWHERE`."""
    x, e = np.frexp(values)
    return x, np.where(x > 0, e, NOWHERE)


def _wide_joint(base: Array, mixtures: Array) -> tuple[Array, Exponents]:
    """``q = sum_i w_i base_i / sum w`` as x 2^e, shape (J, M), with all its digits."""
    (x, a), (w, b), (total, c) = _wide(base), _wide(mixtures), _wide(mixtures.sum(axis=1, keepdims=True))
    terms, powers = w[:, :, None] * x, b[:, :, None] + a
    top = powers.max(axis=1)
    q = np.ldexp(terms, powers - top[:, None]).sum(axis=1) / total
    return q, np.where(q > 0, top - c, NOWHERE)


def _lost(base: Array, mixtures: Array, code: Array, e: Exponents) -> Array:
    """``sum_i w_i (base_i - q) / sum w``: what q = code 2^e has lost by its rounding, in units of 2^e, shape (J, 1, M)."""
    (w, b), (total, c) = _wide(mixtures[:, :, None]), _wide(mixtures.sum(axis=1)[:, None, None])
    _, _, gap, top = _gap(*_wide(base), code, e)
    return np.asarray(np.ldexp(w / total * gap, b - c + top - e).sum(axis=1, keepdims=True))


def _gap(x: Array, a: Exponents, y: Array, b: Exponents) -> tuple[Array, Array, Array, Exponents]:
    """x 2^a, y 2^b and their difference, all in units of 2^top, and top."""
    top = np.maximum(a, b)
    p, q = np.ldexp(x, a - top), np.ldexp(y, b - top)
    return p, q, p - q, top


def _careful_sums(rows: Array, base: Array, mixtures: Array, beside: Array, sums: Array) -> None:
    """`_numpy_sums` for any masses and volumes; a sum may become infinite, never NaN."""
    code, e = _wide_joint(base, mixtures)
    code, e = code[:, None], e[:, None]
    (x, a), (t, b) = _wide(rows), _wide(beside)
    known, positive = code > 0, x > 0
    unit = np.where(known, code, 1.0)
    p, q, gap, top = _gap(x, a, code, e)
    _, _, pull, power = _gap(t, b, code, e)
    lost = _lost(base, mixtures, code, e)  # in units of 2^e
    gap, pull = gap - np.ldexp(lost, e - top), pull - np.ldexp(lost, e - power)

    def add(row: int, values: Array, powers: Any = 0, where: Any = known) -> None:
        sums[row] += np.where(where, np.ldexp(values, powers), 0.0).sum(axis=-1)

    add(kernels.CROSS, -rows * (np.log(unit) + e * LN2))
    add(kernels.OVERLAP, x / unit * t, a + b - e)
    add(kernels.GRAM, gap / unit * pull, top + power - e)
    add(kernels.SQUARES, gap / unit * gap, 2 * top - e)
    add(kernels.OUTSIDE, rows, where=~known)
    add(kernels.MISSING, np.ones_like(gap), where=known & ~positive)
    logs = np.where(positive & known, np.log(np.where(positive, x, 1.0) / unit) + (a - e) * LN2, 0.0)
    _, forward, reverse = _apart(p, q, gap, logs)
    add(kernels.FORWARD, forward, top)
    add(kernels.REVERSE, reverse, top, where=True)


@np.errstate(all="ignore")
def _careful_moves(rows: Array, volumes: Array, steps: Array) -> Array:
    """Rises (n, J), divergences (J,) and what is outside (J,) for any masses and volumes, shape (n + 2, J)."""
    start, a = (values[0] for values in _wide_joint(rows[:-1], volumes[None]))
    mixtures = np.concatenate([np.broadcast_to(volumes, (steps.size, volumes.size)), steps[:, None]], axis=1)
    end, b = _wide_joint(rows, mixtures)
    (t, c), (step, power), (total, whole) = _wide(rows[-1]), _wide(steps), _wide(mixtures.sum(axis=1))
    _, _, pull, unit = _gap(start, a, t, c)
    lost = _lost(rows[:-1], volumes[None], start[None, None], a[None, None])[0, 0]
    pull = pull + np.ldexp(lost, a - unit)
    p, q, _, top = _gap(start, a, end, b)
    gap = np.ldexp((step / total)[:, None] * pull, (power - whole)[:, None] + unit - top)
    known = start > 0
    logs = np.where(known, np.log(np.where(known, start, 1.0) / np.where(end > 0, end, 1.0)) + (a - b) * LN2, 0.0)
    log, forward, _ = _apart(p, q, gap, logs)
    outside = np.full(steps.size, rows[-1][~known].sum())
    moved = -np.ldexp(gap, top).sum(axis=-1)
    return np.vstack([rows @ log.T + moved, np.ldexp(forward, top).sum(axis=-1), outside])
