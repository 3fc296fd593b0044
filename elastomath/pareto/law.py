"""Pareto leaf masses (Assumption A.7): moments, Laplace transform, and the overlaps that have a closed form (R9c, R20).

Everything is for masses Y with ``Pr[Y > y] = y^-alpha``, y >= 1, in the limit of many leaves; the overlaps that need an
integral are in `elastomath.pareto.overlaps`, and their certification is in `elastomath.certify.pareto`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, NONNEGATIVES, REALS, checked, integer, numbers
from ..compiled import machine_code
from ..errors import InputError

STEPS_DOWN = -500.0
"""Orders of the exponential integral from here on are reached by its recurrence."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """The law ``Pr[Y > y] = y^-alpha`` for y >= 1 (A.7); ``alpha`` > 1, a number or an array of them.

    >>> law = Pareto(2.5)
    >>> float(np.round(law.mean(), 12)), float(law.moment(2)), float(law.moment(2.5))
    (1.666666666667, 5.0, inf)
    """

    alpha: Array

    def __init__(self, alpha: ArrayLike) -> None:
        object.__setattr__(self, "alpha", as_tail_index(alpha))

    def mean(self) -> Array:
        """``E[Y] = alpha/(alpha - 1)``, in the shape of alpha."""
        return self.moment(1)

    @checked(power=FINITE)
    def moment(self, power: float) -> Array:
        """``E[Y^r] = alpha/(alpha - r)`` for r < alpha, negative r too; ``inf`` for r >= alpha."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(power < self.alpha, self.alpha / (self.alpha - power), np.inf), dtype=np.float64)

    def variance(self) -> Array:
        """``alpha / ((alpha - 1)^2 (alpha - 2))`` for alpha > 2, else ``inf``."""
        with np.errstate(divide="ignore"):
            spread = self.alpha / (self.alpha - 1.0) / (self.alpha - 1.0) / (self.alpha - 2.0)
        return np.asarray(np.where(self.alpha > 2, spread, np.inf), dtype=np.float64)

    @checked(s=numbers(least=0.0, empty=True), order=integer(least=0))
    def laplace(self, s: ArrayLike, order: int = 0) -> Array:
        """``E[Y^m e^{-sY}] = alpha E_{alpha+1-m}(s)``, m = ``order``: the transform and, up to sign, its derivatives.

        s >= 0, broadcast against alpha. At s = 0 it is the moment, ``inf`` where that is.

        >>> Pareto(2.0).laplace([0.0, 1.0], order=1).round(6)
        array([2.      , 0.296991])
        """
        return self.alpha * exponential_integral(
            self.alpha + (1.0 - order), s
        )  # near 1 alpha + 1 has lost digits of alpha - 1

    def tail_index(self) -> Array:
        """``alpha``."""
        return self.alpha

    def log_range(self) -> tuple[float, float]:
        """ln s W where ``s E[X e^{-asX}] E[Z e^{-bsZ}] ...`` is above 1e-20 of its integral, W the sum of the weights.

        To the right ``phi(s) <= e^-s`` since Y >= 1; to the left the integrand is at most s mu^2.
        """
        return -46.0 - 2 * math.log(float(np.max(self.mean()))), math.log(50.0)


@checked(alpha=REALS)
def as_tail_index(alpha: ArrayLike) -> Array:
    """Checked tail indices, alpha > 1 and finite, as floats of any shape.

    >>> as_tail_index(1.0)
    Traceback (most recent call last):
    elastomath.errors.InputError: tail index alpha = 1 (Pareto): alpha has to be finite and > 1, so that a mean exists
    """
    try:
        values = np.asarray(alpha, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("alpha is not a number", where="Pareto", mend="pass a number, or an array of them") from error
    wrong = ~(np.isfinite(values) & (values > 1.0))
    if wrong.any():
        raise InputError(
            f"tail index alpha = {values[wrong].flat[0]:g}",
            where="Pareto",
            mend="alpha has to be finite and > 1, so that a mean exists",
        )
    return values


# --- the generalised exponential integral --------------------------------------------------------------------------


@checked(order=numbers(empty=True), x=numbers(finite=False, empty=True))
def exponential_integral(order: ArrayLike, x: ArrayLike) -> Array:
    """``E_nu(x) = int_1^inf u^-nu e^{-xu} du`` for real nu and x >= 0 (DLMF 8.19), to 5e-14 relative.

    Shapes broadcast. E_nu(0) = 1/(nu - 1) for nu > 1, else ``inf``. Up to x = 1 the series about 0 for nu < 3/2 (its
    pole at nu = 1 taken out) and the recurrence ``nu E_{nu+1} = e^-x - x E_nu``, which is stable there; beyond, and for
    nu > 40, the continued fraction DLMF 8.9.2. Below nu = 0 the recurrence downwards from nu in [0, 1), whose terms are
    then all > 0. About 0.2 us a value; below nu = -500, in balls, about 50 us. Raises InputError for x < 0 or nan.

    >>> exponential_integral([1.0, 2.5, 3.2], 0.5).round(10)
    array([0.55977359, 0.2651265 , 0.20767454])
    """
    nu, at = np.broadcast_arrays(np.asarray(order, dtype=np.float64), np.asarray(x, dtype=np.float64))
    if not (np.isfinite(nu).all() and (at >= 0).all()):
        raise InputError("order or argument of E_nu", where="exponential_integral", mend="nu has to be finite, x >= 0")
    orders, points = np.array(nu, dtype=np.float64).ravel(), np.array(at, dtype=np.float64).ravel()
    out = _kernel()(orders, points, _zeta_series())
    for index in np.flatnonzero((orders < STEPS_DOWN) & (points > 0) & (points < np.inf)):
        out[index] = _in_balls(float(orders[index]), float(points[index]))
    return np.asarray(out.reshape(nu.shape), dtype=np.float64)


def _in_balls(order: float, x: float) -> float:
    """E_nu(x) for large negative nu, where its size is the exponential of large numbers."""
    from flint import arb

    from ..certify.balls import working_precision

    for bits in (128, 256, 512, 1024):
        with working_precision(bits):
            value = arb(x).expint(arb(order))
            if value.rel_accuracy_bits() > 60:
                return float(value)
    raise ArithmeticError(f"E_{order}({x}) is not enclosed")


@cache
def _zeta_series() -> Array:
    """(zeta(j) - 1)(-1)^j/j for j >= 2: with it ln Gamma(1+a) = -ln(1+a) + a(1 - gamma) + sum_j c_j a^j, |a| <= 1/2."""
    from scipy.special import zetac

    j = np.arange(2, 30)
    return np.asarray(zetac(j) * (-1.0) ** j / j, dtype=np.float64)


@cache
def _kernel() -> Callable[[Array, Array, Array], Array]:
    return machine_code(_exponential_integrals)


def _exponential_integrals(orders: Array, points: Array, zeta: Array) -> Array:
    """E_nu(x) one by one; compiled by numba, so it is one plain loop."""
    out = np.empty_like(points)
    for i in range(points.size):
        nu, x = orders[i], points[i]
        down = max(0, -math.floor(nu)) if nu >= STEPS_DOWN else 0
        nu += down
        if x > 745.0 or nu < 0.0:  # those below STEPS_DOWN are not for this loop
            out[i] = 0.0 if x > 0.0 else np.inf
        elif x == 0.0:
            out[i] = 1.0 / (nu - 1.0) if nu > 1.0 else np.inf
        elif x > 1.0 or nu > 40.0:
            b = x + nu  # modified Lentz on the even part of the continued fraction
            d = 1.0 / b
            c, value = 1e300, d
            for n in range(1, 500):
                a = -n * (nu + n - 1.0)
                b += 2.0
                d = 1.0 / (a * d + b)
                c = b + a / c
                value *= c * d
                if abs(c * d - 1.0) < 3e-16:  # 1e-16 would be met by 1 only, and never where it wavers
                    break
            out[i] = value * math.exp(-x)
        else:
            steps = max(0, math.floor(nu - 0.5))
            low = nu - steps  # below 3/2
            a = 1.0 - low
            if abs(a) <= 0.5:  # (Gamma(1+a) x^-a - 1)/a without its cancellation
                tail = 0.0
                for j in range(zeta.size - 1, -1, -1):
                    tail = (tail + zeta[j]) * a
                slope = 1.0 - 0.5772156649015329 + tail - math.log(x)
                slope -= 1.0 - 0.5 * a + a * a / 3.0 if abs(a) < 1e-6 else math.log1p(a) / a
                value = math.expm1(a * slope) / a if a != 0.0 else slope
            else:
                value = math.gamma(a) * x ** (-a) - 1.0 / a
            term = 1.0
            for m in range(1, 60):
                term *= -x / m
                value -= term / (a + m)
                if abs(term) < 1e-18 * abs(value):
                    break
            decay = math.exp(-x)
            for n in range(steps):
                value = (decay - x * value) / (low + n)
            out[i] = value
        if down > 0 and 0.0 < x <= 745.0:
            decay = math.exp(-x)
            for n in range(down - 1, -1, -1):  # x E_nu = e^-x - nu E_{nu+1}
                out[i] = (decay - (orders[i] + n) * out[i]) / x
    return out


# --- overlaps in closed form ---------------------------------------------------------------------------------------


def independent_overlap(alpha: ArrayLike) -> Array:
    """R9(c): ``E[Y] E[1/Y] = alpha^2/(alpha^2 - 1)``, the overlap A as k -> inf where P_a and P_t are no part of P_p.

    It is above 1 for every alpha, so without the union dH_a < 0. In the shape of alpha.

    >>> independent_overlap([1.5, 2.5, 4.0]).round(3)
    array([1.8  , 1.19 , 1.067])
    """
    index = as_tail_index(alpha)
    return np.asarray(index / (index - 1.0) * (index / (index + 1.0)), dtype=np.float64)


def two_part_overlap(alpha: ArrayLike) -> Array:
    """R20: ``A_2 = [2 alpha (alpha-1)/(2 alpha-1)] [psi((alpha+1)/2) - psi(alpha/2)]``, P_p = (P_a + P_t)/2, k -> inf.

    In the shape of alpha.

    >>> two_part_overlap([1.5, 2.0]).round(6)
    array([0.643806, 0.818274])
    """
    index = as_tail_index(alpha)
    # psi((a+1)/2) - psi(a/2) = F(1, 1; a+1; 1/2)/a: terms > 0, and no difference of near psi
    total, term = np.ones_like(index), np.ones_like(index)
    for n in range(1, 60):
        term = term * (n / (2.0 * (index + n)))
        total = total + term
    return np.asarray(np.minimum(1.0, (index - 1.0) / (index - 0.5) * total), dtype=np.float64)


def _two_masses_in_balls(alpha: float, a: float, b: float) -> float:
    from flint import arb

    from ..certify.balls import working_precision

    for bits in (128, 512, 2048):
        with working_precision(bits):
            index, one, x, z = arb(alpha), arb(1), arb(a), arb(b)
            halves = (-x / z).hypgeom_2f1(one, index, index + 1) / z + (-z / x).hypgeom_2f1(one, index, index + 1) / x
            value = index / (2 * index - 1) * halves
            if value.rel_accuracy_bits() > 60:
                return float(value)
    raise ArithmeticError(f"the mean of two masses at alpha = {alpha} is not enclosed")


@checked(weights=NONNEGATIVES)
def two_mass_mean(alpha: ArrayLike, weights: ArrayLike) -> Array:
    """``E[X Z/(aX + bZ)]`` for two Pareto masses and weights (a, b) > 0 in the last axis, by Gauss's hypergeometric function.

    ``= alpha/(2 alpha-1) [F(1, alpha; alpha+1; -a/b)/b + F(1, alpha; alpha+1; -b/a)/a]``: with x = min(X, Z) and u the
    ratio of the larger to the smaller, the integrand is x times a function of u, and x has mean 2 alpha/(2 alpha - 1).
    It gives the overlaps of a two-part union at every k and l (R8, R18). Shape: alpha against weights without its last axis.

    >>> bool(abs(two_mass_mean(2.0, [1.0, 1.0]) * 2 / Pareto(2.0).mean() - two_part_overlap(2.0)) < 1e-15)
    True
    """
    from scipy.special import hyp2f1

    index, pair = as_tail_index(alpha), np.asarray(weights, dtype=np.float64)
    if pair.shape[-1:] != (2,) or not (np.isfinite(pair).all() and (pair > 0).all()):
        raise InputError("weights of two masses", where="two_mass_mean", mend="pass two numbers > 0 in the last axis")
    a, b = pair[..., 0], pair[..., 1]

    def half(index: Array, ratio: Array) -> Array:
        """F(1, alpha; alpha+1; -ratio); from alpha = 30 on as F(1, 1; alpha+1; z)/(1 + ratio), whose terms are > 0 and fall fast."""
        total, term, z = np.ones_like(ratio), np.ones_like(ratio), 1.0 / (1.0 + 1.0 / ratio)
        large = np.maximum(index, 30.0)
        for n in range(1, 80):
            term = term * (z * n / (large + n))
            total = total + term
        return np.asarray(
            np.where(
                index < 30.0,
                hyp2f1(1.0, np.minimum(index, 30.0), np.minimum(index, 30.0) + 1.0, -ratio),
                total / (1.0 + ratio),
            )
        )

    index, a, b = np.broadcast_arrays(index, a, b)
    if (index < 1.05).any():  # near its pole the function of scipy has no digits left
        low = np.vectorize(_two_masses_in_balls, otypes=[np.float64])(index, a, b)
        return np.where(index < 1.05, low, two_mass_mean(np.maximum(index, 1.05), np.stack([a, b], axis=-1)))
    halves = half(index, a / b) / b + half(index, b / a) / a
    return np.asarray(index / (2 * index - 1.0) * halves, dtype=np.float64)
