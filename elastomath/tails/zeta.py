"""The Hurwitz zeta function, scaled: the normaliser of Pareto laws on whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TERMS = 64
"""Terms that are added one by one where scipy's function is below the range of doubles."""


def log_zeta(s: ArrayLike, q: ArrayLike) -> NDArray[np.float64]:
    """``ln q^s zeta(s, q) = ln sum_{k >= 0} (1 + k/q)^-s``, s > 1, q > 0; shapes broadcast.

    By scipy, and where ``q^-s`` leaves the range of doubles by 64 terms and Euler and Maclaurin's end.

    >>> round(float(np.exp(log_zeta(2.0, 1.0)) * 6 / np.pi**2), 12)
    1.0
    """
    from scipy.special import zeta

    order, start = (np.asarray(part, dtype=np.float64) for part in np.broadcast_arrays(s, q))
    logs = order * np.log(start)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        result = np.atleast_1d(logs + np.log(zeta(order, start)))
    far = np.atleast_1d(np.abs(logs) > 600.0) | ~np.isfinite(result)
    if far.any():
        order, start = np.atleast_1d(order)[far], np.atleast_1d(start)[far]
        total = sum(np.exp(-order * np.log1p(k / start)) for k in range(_TERMS))
        end = start + _TERMS
        rest = np.exp(-order * np.log1p(_TERMS / start))
        third = order / end * ((order + 1.0) / end) * ((order + 2.0) / end) / 720.0
        result[far] = np.log(total + rest * (end / (order - 1.0) + 0.5 + order / (12.0 * end) - third))
    return np.asarray(result.reshape(logs.shape))


def tail_probability(x: ArrayLike, threshold: ArrayLike, alpha: ArrayLike) -> NDArray[np.float64]:
    """``Pr[X >= x] = zeta(alpha+1, x) / zeta(alpha+1, x_m)`` of the law ``Pr[X = x] ~ x^-(alpha+1)`` on x_m, x_m + 1, ...

    Shapes broadcast, x >= x_m > 0.

    >>> tail_probability([1.0, 2.0], 1.0, 1.0).round(6)  # 1, 1 - 6/pi^2
    array([1.      , 0.392073])
    """
    points, start, s = np.asarray(x, dtype=np.float64), np.asarray(threshold), np.asarray(alpha) + 1.0
    return np.asarray(np.exp(log_zeta(s, points) - log_zeta(s, start) - s * np.log(points / start)))


def most_likely_index(mean_log: ArrayLike, threshold: ArrayLike) -> NDArray[np.float64]:
    """The alpha of least ``(alpha+1) E[ln(X/x_m)] + ln x_m^(alpha+1) zeta(alpha+1, x_m)``, to about 1e-8; shapes broadcast.

    >>> round(float(most_likely_index(0.5699610, 1.0)), 6)  # -zeta'(2)/zeta(2)
    1.0
    """
    from scipy.optimize import elementwise

    mean, start = (np.asarray(part, dtype=np.float64) for part in np.broadcast_arrays(mean_log, threshold))
    # Clauset's approximation is where the search begins
    guess = -np.log(mean - np.log1p(-0.5 / start))

    def cost(
        log_alpha: NDArray[np.float64], mean: NDArray[np.float64], start: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        s = 1.0 + np.exp(log_alpha)
        return np.asarray(s * mean + log_zeta(s, start))

    search: Any = elementwise
    bracket = search.bracket_minimum(cost, guess, xl0=guess - 0.1, xr0=guess + 0.1, args=(mean, start))
    return np.asarray(np.exp(search.find_minimum(cost, bracket.bracket, args=(mean, start)).x))
