"""Pareto's law against lognormal and cut-off Pareto tails, all truncated at the threshold: likelihood ratios."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, POSITIVE, an, checked, choice, optional
from ..pareto.law import exponential_integral
from .fit import fit_tail, log_ratios
from .sample import Sample

ALTERNATIVES: Final = ("lognormal", "cutoff")
"""The laws that Pareto's is compared with: each contains it, as a limit."""
_DIRECT: Final = 128
"""Terms of a sum over whole numbers that are added one by one."""
ZETA: Final = (1.6449340668482264, 1.2020569031595942, 1.0823232337111382)
"""zeta(2), zeta(3), zeta(4): the coefficients of ln Gamma at 1."""
SMALLEST_LOG: Final = -200.0
"""ln of a cut-off so far out that its square is nothing beside it."""


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """An alternative against Pareto's law (zeta for counts) on the same tail.

    ``log_ratio``   log-likelihood of the alternative minus that of Pareto, at the most likely parameters, in nats: >= 0
    ``p_value``     of the hypothesis that Pareto's law holds
    ``favoured``    the alternative, or ``neither`` where p >= 5%
    ``parameters``  of the alternative
    """

    alternative: str
    log_ratio: float
    p_value: float
    favoured: str
    parameters: dict[str, float]


@checked(alternative=an(str), threshold=optional(POSITIVE))
def likelihood_ratio(
    values: ArrayLike | Sample, alternative: str, threshold: float | None = None, *, whole: bool | None = None
) -> LikelihoodRatio:
    """``ln L(alternative) - ln L(Pareto)`` on the values >= threshold (the smallest by default), and its p-value.

    With t = ln(x/x_m) every law here is ``exp(-a t - b g(t))`` on t >= 0, up to its normaliser: Pareto is b = 0, lognormal
    g = t^2 (b = 1/(2 sigma^2), a = -2 b (mu - ln x_m)), cut-off Pareto ``x^-(alpha+1) e^(-lambda x)`` g = e^t - 1
    (b = lambda x_m). For counts the same functions are summed over x_m, x_m + 1, ...
    So a truncated lognormal *contains* Pareto's law, as its limit mu -> -infinity: Vuong's test does not apply, and
    under Pareto 2 log_ratio is 0 or chi-square, with probability 1/2 each. For the cut-off that is so only where the
    variance exists, alpha > 2; below, see `cutoff_p_value`. Both likelihoods are concave in (a, b).

    Raises InputError for an unknown alternative, bad values, and tails without two distinct values.

    >>> x = np.exp(np.abs(np.random.default_rng(0).normal(size=2000)))
    >>> ratio = likelihood_ratio(x, "lognormal", 1.0)
    >>> ratio.favoured, ratio.p_value < 1e-9, abs(ratio.parameters["sigma"] - 1) < 0.2
    ('lognormal', True, True)
    """
    choice(alternative, "alternative", "likelihood ratio", ALTERNATIVES)
    sample = Sample.of(values, whole)
    fit = fit_tail(sample, threshold)
    tail, x_m = sample.tail(fit.threshold), fit.threshold
    t, share = log_ratios(tail.values, x_m), tail.multiplicities / tail.size
    lognormal = alternative == "lognormal"
    top = float(t[-1])
    # of e^t - 1 the logarithm: values may be as many times the threshold as have no double
    spread = (
        math.log(float(share @ (t * t)))
        if lognormal
        else top + math.log(float(share @ (np.exp(t - top) - math.exp(-top))))
    )
    a, log_b, most = _most_likely(alternative, (float(share @ t), spread), fit.alpha, x_m, tail.whole, top)
    gain = tail.size * most - fit.log_likelihood
    # what is gained within the rounding of the search is nothing
    if gain < 1e-9 * tail.size:
        a, log_b, gain = fit.alpha, -math.inf, 0.0
    if lognormal:
        b = math.exp(log_b)
        parameters = (
            {"mu": math.log(x_m) - a / (2.0 * b), "sigma": 1.0 / math.sqrt(2.0 * b)}
            if b
            else {"mu": -math.inf, "sigma": math.inf}
        )
        p_value = half_chi_square(2.0 * gain)
    else:
        with np.errstate(over="ignore"):
            parameters = {"alpha": a, "rate": float(np.exp(log_b - math.log(x_m)))}
        p_value = cutoff_p_value(2.0 * gain, fit.alpha)
    return LikelihoodRatio(alternative, gain, p_value, alternative if p_value < 0.05 else "neither", parameters)


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


def _log_normaliser(alternative: str, a: float, log_b: float, x_m: float, whole: bool) -> float:
    """``ln int exp(-a t - b g(t)) dt`` over t >= 0; for counts ``ln sum_x exp(-(a + 1) t - b g(t))`` over x >= x_m.

    The sum ends with the integral beyond 128 terms and Euler and Maclaurin's next two.
    """
    lognormal, b = alternative == "lognormal", math.exp(log_b)
    if not whole:
        return _log_gauss(a, b) if lognormal else _log_cut_off(a, log_b)
    t = np.log1p(np.arange(_DIRECT + 1) / x_m)
    terms = -(a + 1.0) * t - b * (t * t if lognormal else np.expm1(t))
    end = float(t[-1])
    slope = b * (2.0 * end if lognormal else math.exp(end))
    rest = _log_gauss(a + slope, b) if lognormal else _log_cut_off(a, log_b + end)
    # integral from the end on, over x; half the last term; a twelfth of its slope
    corrected = 0.5 + (a + 1.0 + slope) / (12.0 * (x_m + _DIRECT))
    return float(
        np.logaddexp.reduce([*terms[:-1], terms[-1] + math.log(corrected), terms[-1] + end + math.log(x_m) + rest])
    )


def _log_gauss(a: float, b: float) -> float:
    """``ln int_0^inf exp(-a t - b t^2) dt``: Mills' ratio of the normal law."""
    from scipy.special import erfcx

    z, scale = a / (2.0 * math.sqrt(b)), 0.5 * math.log(math.pi / (4.0 * b))
    return scale + (math.log(erfcx(z)) if z > 0 else z * z + math.log(math.erfc(z)))


def _log_cut_off(a: float, log_b: float) -> float:
    """``ln int_0^inf exp(-a t - b (e^t - 1)) dt = b + ln E_{1+a}(b)``; for large b by the continued fraction DLMF 8.9.2.

    For b so small that b^2 is nothing, ``b^a Gamma(-a, b) = Gamma(-a) b^a + 1/a``, of which the first is nothing for a > 1/2.
    """
    if log_b < SMALLEST_LOG:
        if a > 0.5:
            return -math.log(a)
        if a == 0.0:
            return math.log(-np.euler_gamma - log_b)
        small = a * (
            np.euler_gamma + a * (ZETA[0] / 2 + a * (ZETA[1] / 3 + a * ZETA[2] / 4))
        )  # of 1 - a digits are lost
        power = a * log_b + (small if abs(a) < 1e-3 else math.lgamma(1.0 - a))  # ln of -a Gamma(-a) b^a
        return power - math.log(-a) if power > 50.0 else math.log(math.expm1(power) / -a)
    b = math.exp(log_b)
    if b <= 50.0:
        return b + math.log(float(exponential_integral(1.0 + a, b)))
    fraction = 0.0
    for k in range(80, 0, -1):
        fraction = k * (a + k) / (b + 1.0 + a + 2.0 * k - fraction)
    return -math.log(b + 1.0 + a - fraction)


def _most_likely(
    alternative: str, means: tuple[float, float], alpha: float, x_m: float, whole: bool, longest: float
) -> tuple[float, float, float]:
    """The most likely (a, ln b) and the mean log-likelihood there: Nelder and Mead's search. means: of t, and the log of that of g."""
    from scipy.optimize import minimize

    def cost(theta: Array) -> float:
        a, log_b = float(theta[0]), float(theta[1])
        if abs(a) > 1e3 or not -90.0 - longest < log_b < 20.0 or log_b + means[1] > 700.0:
            return math.inf
        return _log_normaliser(alternative, a, log_b, x_m, whole) + (a + whole) * means[0] + math.exp(log_b + means[1])

    theta = np.array([alpha, -2.0 * math.log(longest) if alternative == "lognormal" else -longest])
    for size in (1.0, 0.1):
        simplex = theta + size * np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
        options = {"initial_simplex": simplex, "xatol": 1e-7, "fatol": 1e-14, "maxiter": 2000, "maxfev": 4000}
        theta = cast(Any, minimize)(cost, theta, method="Nelder-Mead", options=options).x
    return float(theta[0]), float(theta[1]), -cost(theta)
