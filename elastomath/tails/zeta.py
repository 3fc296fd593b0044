"""The Hurwitz zeta function, scaled, with its derivatives: the normaliser of Pareto laws on whole numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

# B_2k / (2k)! of the Euler-Maclaurin sum, k = 1 ... 8
_BERNOULLI = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
)


def scaled_zeta(s: float, q: ArrayLike) -> NDArray[np.float64]:
    """``q^s zeta(s, q) = sum_{k >= 0} (1 + k/q)^-s``, by the Euler-Maclaurin sum; shape of q.

    The scaling keeps it between 1 and 1 + q/(s-1), whatever s and q. So
    ``Pr[X >= x | X >= x_m] = (x/x_m)^-s scaled_zeta(s, x) / scaled_zeta(s, x_m)`` for a zeta law, ``Pr[X = x] ~ x^-s``.
    Relative error about 1e-14. Raises InputError unless s > 1 and every q > 0.

    >>> float(scaled_zeta(2.0, 1.0)) * 6 / np.pi**2
    1.0
    """
    where = np.asarray(q, dtype=np.float64)
    if not (np.isfinite(s) and s > 1 and np.isfinite(where).all() and (where > 0).all()):
        raise InputError(f"s = {s:g}", where="zeta", mend="s has to be > 1 and q > 0")
    return np.asarray(kernels().values(float(s), where.ravel()).reshape(where.shape))


def tail_probability(x: ArrayLike, threshold: float, alpha: float) -> NDArray[np.float64]:
    """``Pr[X >= x] = (x/x_m)^-(alpha+1) z(x)/z(x_m)`` of the zeta law ``Pr[X = x] ~ x^-(alpha+1)`` on x_m, x_m + 1, ...

    z is `scaled_zeta` at alpha + 1. Shape of x, x >= x_m > 0. Raises InputError as that does.

    >>> tail_probability([1.0, 2.0], 1.0, 1.0).round(6)  # 1, 1 - 6/pi^2
    array([1.      , 0.392073])
    """
    points = np.asarray(x, dtype=np.float64)
    ratio = scaled_zeta(alpha + 1.0, points) / scaled_zeta(alpha + 1.0, threshold)
    return np.asarray(np.exp(-(alpha + 1.0) * np.log(points / threshold)) * ratio)


def value(s: float, q: float) -> float:
    """The scaled zeta function."""
    total, w = 0.0, q
    least = max(16.0, 1.5 * s)
    while w < least:
        term = math.exp(-s * math.log(w / q))
        total += term
        w += 1.0
        if term < 1e-18 * total:
            return total
    power = math.exp(-s * math.log(w / q))
    inverse = 1.0 / w
    total += power * (w / (s - 1.0) + 0.5)
    rising, scale = s, inverse
    for k in range(8):
        total += _BERNOULLI[k] * rising * scale * power
        rising *= (s + 2 * k + 1) * (s + 2 * k + 2)
        scale *= inverse * inverse
    return total


def jet(s: float, q: float) -> tuple[float, float, float]:
    """The scaled zeta function and its first two derivatives in s."""
    z0, z1, z2, w = 0.0, 0.0, 0.0, q
    least = max(16.0, 1.5 * s)
    while w < least:
        log = math.log(w / q)
        term = math.exp(-s * log)
        z0 += term
        z1 -= term * log
        z2 += term * log * log
        w += 1.0
        if term < 1e-18 * z0 and z2 > 0.0 and term * log * log < 1e-18 * z2:
            return z0, z1, z2
    log = math.log(w / q)
    power = math.exp(-s * log)
    inverse = 1.0 / w
    slope = log + 1.0 / (s - 1.0)
    term = power * w / (s - 1.0)
    z0 += term
    z1 -= term * slope
    z2 += term * (slope * slope + 1.0 / (s - 1.0) ** 2)
    term = 0.5 * power
    z0 += term
    z1 -= term * log
    z2 += term * log * log
    rising, scale, first, second = s, inverse, 1.0 / s, 1.0 / s**2
    for k in range(8):
        term = _BERNOULLI[k] * rising * scale * power
        slope = first - log
        z0 += term
        z1 += term * slope
        z2 += term * (slope * slope - second)
        for i in (2 * k + 1, 2 * k + 2):
            rising *= s + i
            first += 1.0 / (s + i)
            second += 1.0 / (s + i) ** 2
        scale *= inverse * inverse
    return z0, z1, z2


def exponent(mean_log: float, q: float, start: float) -> float:
    """The s at which a zeta law on q, q + 1, ... has ``E[ln(X/q)] = mean_log``: its maximum-likelihood exponent.

    E falls from infinity (s -> 1) to 0, so the root is one: Newton's steps in ln(s - 1), kept within a bracket.
    """
    low, high = 1e-9, 1e9
    excess = min(max(start - 1.0, low), high)
    for _ in range(200):
        z0, z1, z2 = jet(1.0 + excess, q)
        mean = -z1 / z0
        if mean > mean_log:
            low = excess
        else:
            high = excess
        variance = z2 / z0 - mean * mean
        step = math.sqrt(low * high)
        if mean > 0.0 and variance > 0.0:
            newton = excess * math.exp(min(max(mean * math.log(mean / mean_log) / (excess * variance), -3.0), 3.0))
            if low < newton < high:
                step = newton
        if abs(step - excess) <= 1e-14 * excess:
            return 1.0 + step
        excess = step
    return 1.0 + excess


def values(s: float, q: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scaled zeta function at each q, shape (n,)."""
    found = np.empty(q.size)
    for i in range(q.size):
        found[i] = value(s, q[i])
    return found


class Kernels(NamedTuple):
    """Compiled: the functions of this module of the same names."""

    value: Callable[[float, float], float]
    jet: Callable[[float, float], tuple[float, float, float]]
    exponent: Callable[[float, float, float], float]
    values: Callable[[float, NDArray[np.float64]], NDArray[np.float64]]


@functools.cache
def kernels() -> Kernels:
    """The functions above, compiled; from then on they are compiled for whoever calls them from this module too."""
    return Kernels(*compiled(globals(), "value", "jet", "exponent", "values"))


def compiled(module: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Compile functions of a module with numba, in an order in which each uses only those before it.

    They take the place of their sources in the module, where those after them find them.
    """
    import numba

    for name in names:
        if not hasattr(module[name], "py_func"):
            try:
                module[name] = numba.njit(cache=True, nogil=True)(module[name])
            except RuntimeError:  # no folder to keep the compiled code in
                module[name] = numba.njit(nogil=True)(module[name])
    return tuple(module[name] for name in names)
