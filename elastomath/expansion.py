"""R8 in expectation: eps of i.i.d. equal parts at large k, in powers of 1/N, N = k + 1 + l.

With r = P_j/P_p - 1 on a leaf drawn from P_p, the sum over parts is 0 and the parts are exchangeable, so every moment of
(r_a, r_t) that is needed reduces to those of one part: v = E_p[r^2], s = E_p[r^3], and for three parts E_p[r^4].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import NONNEGATIVES, POSITIVES, checked, integer
from .errors import InputError
from .overlaps import Law, an_overlap_law, equal_parts_overlap, mass_mean

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Expansion:
    """The moments of r = P_t/P_p - 1 under P_p for n equal parts, in the law's shape.

    variance   v = E_p[r^2] = T_inf - 1 = (n-1)(1 - A_n)
    skew       sigma = E_p[r^3]/v
    flatness   kappa = E_p[r^4]/v
    """

    parts: int
    variance: Array
    skew: Array
    flatness: Array

    @checked(pretrain=POSITIVES, perturb=NONNEGATIVES, order=integer(least=0, most=2))
    def epsilon(self, pretrain: ArrayLike, perturb: ArrayLike, order: int = 1) -> Array:
        """eps at volumes (k, 1, l), up to N^-order, N = k + 1 + l (R8, sharpened).

        ``(n-1) l [1 + n (sigma + 3 - n - (n-1) l)/((n-1) N)] + O(N^-2)`` for n parts, which for three is the
        ``2l [1 + 3 (sigma - 2l)/(2N)]`` of R8; for three parts the next term in the bracket is
        ``[12 l^2 - 21 l sigma + 3 (1+l) sigma^2 - 3 sigma + 6 + (2l - 1) kappa]/(2 N^2)``.

        >>> from elastomath.overlaps import Gamma
        >>> float(expansion_of(Gamma(1.0), 3).epsilon(100.0, 0.1, order=2).round(6))
        0.200629
        """
        n, step = self.parts, np.asarray(perturb, dtype=np.float64)
        if order not in (0, 1, 2) or (order == 2 and n != 3):
            raise InputError(f"order {order}", where="Expansion", mend="0, 1, or for three parts 2")
        total = np.asarray(pretrain, dtype=np.float64) + 1.0 + step
        bracket = np.ones(np.broadcast_shapes(total.shape, self.skew.shape))
        if order > 0:
            bracket = bracket + n * (self.skew + 3.0 - n - (n - 1) * step) / ((n - 1) * total)
        if order > 1:
            second = 12 * step**2 - 21 * step * self.skew + 3 * (1 + step) * self.skew**2 - 3 * self.skew + 6
            bracket = bracket + (second + (2 * step - 1) * self.flatness) / (2 * total**2)
        return np.asarray((n - 1) * step * bracket, dtype=np.float64)


@checked(law=an_overlap_law, parts=integer(least=2))
def expansion_of(law: Law, parts: int = 3) -> Expansion:
    """v, sigma and kappa of n equal i.i.d. parts: ``E_p[(P_t/P_p)^m] = (n^{m-1}/mu) E[Y_t^m / (Y_1 + ... + Y_n)^{m-1}]``.

    Exchangeable parts only; a given instance has its own R' (R8). At l = 0 eps is 0; at k -> inf it is (n-1) l.

    >>> from elastomath.pareto import Pareto
    >>> moments = expansion_of(Pareto(2.5))
    >>> bool(abs(moments.variance - 2 * 0.08747636612674245) < 1e-13), float(moments.skew.round(6))
    (True, 0.44679)
    """
    ones, mean = np.ones(parts), law.mean()
    variance = (parts - 1) * (1.0 - equal_parts_overlap(law, parts).value)
    none = (0,) * (parts - 1)
    cube, fourth = (parts ** (m - 1) / mean * mass_mean(law, ones, (m, *none), m - 1) for m in (3, 4))
    skew = cube - 1.0 - 3.0 * variance
    flatness = fourth - 4.0 * cube + 6.0 * (1.0 + variance) - 3.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return Expansion(parts, variance, skew / variance, flatness / variance)
