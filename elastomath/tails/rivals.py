"""Pareto's law against lognormal, exponential and cut-off Pareto tails, all truncated at the threshold: likelihood ratios."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import FINITE, POSITIVE, an, checked, optional
from ..errors import InputError
from . import zeta
from .fit import fit_tail
from .sample import Sample

Array = NDArray[np.float64]
ALTERNATIVES: Final = ("lognormal", "cutoff", "exponential")
"""The laws that Pareto's is compared with."""


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """An alternative against Pareto's law (zeta for counts) on the same tail.

    ``log_ratio``   log-likelihood of the alternative minus that of Pareto, at the most likely parameters, in nats
    ``p_value``     nested alternatives (lognormal, cutoff): of the hypothesis that Pareto's law holds; exponential: of
                    the hypothesis that both are equally far from the truth (two-sided)
    ``test``        the law that the p-value comes from: ``half chi-square``, ``stable`` or ``Vuong``
    ``favoured``    the alternative, ``pareto``, or ``neither`` where p >= 5%. A nested alternative is never less likely:
                    where it gains nothing, or too little to tell, it is ``neither``
    ``parameters``  of the alternative
    """

    alternative: str
    log_ratio: float
    p_value: float
    test: str
    favoured: str
    parameters: dict[str, float]


@checked(alternative=an(str), threshold=optional(POSITIVE))
def likelihood_ratio(
    values: ArrayLike | Sample, alternative: str, threshold: float | None = None, *, whole: bool | None = None
) -> LikelihoodRatio:
    """``ln L(alternative) - ln L(Pareto)`` on the values >= threshold (the smallest by default), and its p-value.

    With t = ln(x/x_m) every law here is ``exp(-a t - b g(t))`` on t >= 0, up to its normaliser: Pareto is b = 0, lognormal
    g = t^2 (b = 1/(2 sigma^2), a = -2 b (mu - ln x_m)), cut-off Pareto ``x^-(alpha+1) e^(-lambda x)`` g = e^t - 1
    (b = lambda x_m), exponential the same with a = -1. For counts the same functions are summed over x_m, x_m + 1, ...
    So a truncated lognormal *contains* Pareto's law, as its limit mu -> -infinity: Vuong's test does not apply, and
    under Pareto 2 log_ratio is 0 or chi-square, with probability 1/2 each. For the cut-off that is so only where the
    variance exists, alpha > 2; below, see `cutoff_p_value`. Exponential and Pareto share no law: Vuong's test, the mean
    log-likelihood difference over its standard error.
    Both likelihoods are concave in (a, b); the maximum is found by scipy's trust region and checked by its gradient.

    Raises InputError for an unknown alternative, bad values, and tails without two distinct values.

    >>> x = np.exp(np.abs(np.random.default_rng(0).normal(size=2000)))
    >>> found = likelihood_ratio(x, "lognormal", 1.0)
    >>> found.favoured, found.p_value < 1e-9, abs(found.parameters["sigma"] - 1) < 0.2
    ('lognormal', True, True)
    """
    if alternative not in ALTERNATIVES:
        raise InputError(
            f"alternative {alternative!r}", where="likelihood ratio", mend=f"use one of {', '.join(ALTERNATIVES)}"
        )
    sample = Sample.of(values, whole)
    fit = fit_tail(sample, threshold)
    tail = sample.tail(fit.threshold)
    if alternative == "exponential":
        return _exponential(tail, fit.threshold, fit.alpha, fit.log_likelihood)
    g = _STATISTICS[alternative]
    t = np.log(tail.values / fit.threshold)
    share = tail.multiplicities / tail.size
    means = float(share @ t), float(share @ g(t))
    a, b = fit.alpha, 0.0
    gain = 0.0
    if means[1] < _pareto_mean(alternative, fit.threshold, fit.alpha, tail.whole):
        a, b, top = _fit(g, means, fit.threshold, fit.alpha, tail.whole, float(t[-1]))
        gain = max(tail.size * top - fit.log_likelihood, 0.0)
    if alternative == "lognormal":
        deviation = 1.0 / math.sqrt(2.0 * b) if b else math.inf
        location = math.log(fit.threshold) - a / (2.0 * b) if b else -math.inf
        parameters, test, p_value = {"mu": location, "sigma": deviation}, "half chi-square", half_chi_square(2.0 * gain)
    else:
        parameters = {"alpha": a, "rate": b / fit.threshold}
        test = "half chi-square" if fit.alpha >= 2 else "stable"
        p_value = cutoff_p_value(2.0 * gain, fit.alpha)
    return LikelihoodRatio(alternative, gain, p_value, test, alternative if p_value < 0.05 else "neither", parameters)


@checked(statistic=FINITE)
def half_chi_square(statistic: float) -> float:
    """``Pr[T >= t]`` for T = 0 or chi-square with one degree of freedom, with probability 1/2 each: 1 at t <= 0.

    The law of twice the log-likelihood ratio where one parameter lies on its boundary (Self and Liang 1987).

    >>> round(half_chi_square(2.705543454), 9)
    0.05
    """
    return 0.5 * math.erfc(math.sqrt(statistic / 2.0)) if statistic > 0 else 1.0


@checked(statistic=FINITE, alpha=POSITIVE)
def cutoff_p_value(statistic: float, alpha: float) -> float:
    """``Pr[T >= t] = (1/pi) int_0^min(pi, pi/alpha) exp(-t g(u)/2) du``: cut-off Pareto against Pareto, alpha <= 2.

    ``g(u) = { [sin(alpha u)/alpha]^alpha [sin((1-alpha) u)/(1-alpha)]^(1-alpha) / sin u }^(1/(1-alpha))``; alpha > 2: 1/cos^2 u.
    T is twice the log-likelihood ratio in a large Pareto sample. With lambda = c n^(-1/alpha) the likelihood is
    c (-S) - log E e^(-cS) for the stable limit S of the centred sum of x, whose log-Laplace transform is
    +- c^alpha: the supremum is a power of S, and Zolotarev's integral (Kanter's form) gives its law. At alpha = 2 it is
    Craig's integral of the half chi-square. T > 0 with probability min(1, 1/alpha), and far out the p-value is sqrt(2/alpha)
    times the half chi-square's, so that the usual tables reject too often. At t <= 0: 1.

    Raises InputError unless alpha > 0.

    >>> round(cutoff_p_value(2.705543454, 2.0), 9), round(cutoff_p_value(1e-15, 1.25), 3)
    (0.05, 0.8)
    """
    if not alpha > 0:
        raise InputError(f"alpha = {alpha:g}", where="cut-off", mend="it has to be > 0")
    if statistic <= 0:
        return 1.0
    if alpha >= 2:
        return half_chi_square(statistic)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    end = min(math.pi, math.pi / alpha)
    u = 0.5 * end * (nodes + 1.0)
    with np.errstate(over="ignore"):
        return float(0.5 * end / math.pi * weights @ np.exp(-0.5 * statistic * np.exp(_log_kanter(u, alpha))))


def _log_kanter(u: Array, alpha: float) -> Array:
    if abs(alpha - 1.0) < 1e-6:
        return np.asarray(np.log(u / np.sin(u)) + 1.0 - u / np.tan(u))
    rest = 1.0 - alpha
    return np.asarray(
        (alpha * np.log(np.sin(alpha * u) / alpha) + rest * np.log(np.sin(rest * u) / rest) - np.log(np.sin(u))) / rest
    )


def _squared(t: Array) -> Array:
    return t * t


_STATISTICS: Final[dict[str, Callable[[Array], Array]]] = {"lognormal": _squared, "cutoff": np.expm1}


def _pareto_mean(alternative: str, x_m: float, alpha: float, whole: bool) -> float:
    """E[g] at b = 0: the alternative gains only where the sample's mean lies below it."""
    if alternative == "lognormal":
        if not whole:
            return 2.0 / alpha**2
        z0, _, z2 = zeta.kernels().jet(alpha + 1.0, x_m)
        return z2 / z0
    if alpha <= 1.0:
        return math.inf
    if not whole:
        return 1.0 / (alpha - 1.0)
    value = zeta.kernels().value
    return value(alpha, x_m) / value(alpha + 1.0, x_m) - 1.0


@functools.cache
def _panels() -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on 64 panels of [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    starts = np.arange(64)[:, None]
    return ((starts + 0.5 * (nodes + 1.0)) / 64).ravel(), np.tile(weights / 128, 64)


_DIRECT: Final = 64
"""Terms of a sum over whole numbers that are added one by one."""
_GREGORY: Final = (1 / 2, -1 / 12, 1 / 24, -19 / 720, 3 / 160, -863 / 60480)
"""sum_{x >= w} f = int_w f + f/2 - Delta f/12 + Delta^2 f/24 - ... at w."""


@functools.cache
def _ends() -> Array:
    """Gregory's end correction as weights of f(w), f(w + 1), ..."""
    weights = np.zeros(len(_GREGORY))
    for order, coefficient in enumerate(_GREGORY):
        for i in range(order + 1):
            weights[i] += coefficient * (-1) ** (order - i) * math.comb(order, i)
    return weights


def _measure(g: Callable[[Array], Array], a: float, b: float, x_m: float, whole: bool) -> tuple[Array, Array]:
    """Nodes t and log-weights: dt for numbers, counting measure of x = x_m e^t for counts.

    The integral ends where the integrand has fallen by e^-45 from its top.
    """
    start = math.log1p(_DIRECT / x_m) if whole else 0.0
    reach = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 241)])
    with np.errstate(over="ignore", invalid="ignore"):
        fall = a * reach + b * (g(start + reach) - g(np.array([start])))
    fall = np.where(np.isnan(fall), np.inf, fall)
    top = int(np.argmin(fall))
    beyond = np.flatnonzero(fall[top:] > fall[top] + 45.0)
    end = float(reach[top + int(beyond[0])]) if beyond.size else float(reach[-1])
    nodes, weights = _panels()
    t, log_weights = start + end * nodes, np.log(end * weights)
    if not whole:
        return t, log_weights
    direct = np.log1p(np.arange(_DIRECT) / x_m)
    ends = np.log1p((_DIRECT + np.arange(len(_GREGORY))) / x_m)
    t = np.concatenate([direct, ends, t])
    # the end correction has weights of both signs: they are kept as complex logarithms
    corrected = np.log(_ends().astype(np.complex128))
    return t, np.concatenate([np.zeros(_DIRECT), corrected, log_weights + math.log(x_m) + t[-nodes.size :]])


def _moments(g: Callable[[Array], Array], a: float, b: float, x_m: float, whole: bool) -> tuple[float, Array, Array]:
    """ln Z, and means and covariances of (t, g), of the law ``exp(-(a + whole) t - b g)``."""
    t, log_weights = _measure(g, a, b, x_m, whole)
    statistics = np.stack([t, g(t)])
    exponents = log_weights - (a + whole) * t - b * statistics[1]
    top = float(exponents.real.max())
    masses = np.exp(exponents - top).real
    total = float(masses.sum())
    masses = masses / total
    means = statistics @ masses
    centred = statistics - means[:, None]
    return top + math.log(total), means, (centred * masses) @ centred.T


def _fit(
    g: Callable[[Array], Array], means: tuple[float, float], x_m: float, alpha: float, whole: bool, longest: float
) -> tuple[float, float, float]:
    """The most likely (a, b), b > 0, and the mean log-likelihood there."""
    from scipy.optimize import minimize

    target = np.array(means)

    def objective(theta: Array) -> tuple[float, Array, Array]:
        a, b = float(theta[0]), math.exp(float(theta[1]))
        log_z, mean, covariance = _moments(g, a, b, x_m, whole)
        gradient = target - mean
        scale = np.array([1.0, b])
        hessian = covariance * np.outer(scale, scale)
        hessian[1, 1] += b * gradient[1]
        return log_z + (a + whole) * target[0] + b * target[1], gradient * scale, hessian

    seen: dict[tuple[float, float], tuple[float, Array, Array]] = {}

    def at(theta: Array) -> tuple[float, Array, Array]:
        key = float(theta[0]), float(theta[1])
        if key not in seen:
            seen.clear()
            seen[key] = objective(theta)
        return seen[key]

    start = np.array([alpha, -math.log(float(g(np.array([longest]))[0]))])
    found = cast(Any, minimize)(
        lambda theta: at(theta)[0],
        start,
        jac=lambda theta: at(theta)[1],
        hess=lambda theta: at(theta)[2],
        method="trust-exact",
        options={"gtol": 1e-10, "maxiter": 500},
    )
    theta = found.x
    for _ in range(8):  # the trust region stops at a gradient in units that differ between tails: Newton's steps do not
        _, gradient, hessian = at(theta)
        step = np.linalg.solve(hessian, gradient)
        if not (np.isfinite(step).all() and np.abs(step).max() < 1.0):
            break
        theta = theta - step
    value, gradient, hessian = at(theta)
    decrement = float(gradient @ np.linalg.solve(hessian, gradient))
    if not 0.0 <= decrement < 1e-10:
        raise ArithmeticError(f"no maximum of the likelihood: {decrement:g} nats a value are left to gain")
    return float(theta[0]), math.exp(theta[1]), -float(value)


def _exponential(tail: Sample, x_m: float, alpha: float, pareto: float) -> LikelihoodRatio:
    times, size = tail.multiplicities, tail.size
    logs = np.log(tail.values / x_m)
    mean = float(times @ (tail.values - x_m)) / size
    if tail.whole:
        success = 1.0 / (1.0 + mean)
        terms = math.log(success) + (tail.values - x_m) * math.log1p(-success)
        others = -(alpha + 1.0) * logs - math.log(float(zeta.scaled_zeta(alpha + 1.0, x_m)))
        rate = -math.log1p(-success)
    else:
        rate = 1.0 / mean
        terms = math.log(rate * x_m) - rate * (tail.values - x_m) + logs
        others = math.log(alpha) - alpha * logs
    differences = terms - others
    ratio = float(times @ differences)
    variance = float(times @ (differences - ratio / size) ** 2) / size
    p_value = math.erfc(abs(ratio) / math.sqrt(2.0 * size * variance)) if variance > 0 else 1.0
    better = "exponential" if ratio > 0 else "pareto"
    return LikelihoodRatio(
        "exponential", ratio, p_value, "Vuong", better if p_value < 0.05 else "neither", {"rate": rate}
    )
