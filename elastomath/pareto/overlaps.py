"""The overlaps C, A, T of i.i.d. leaf masses in the limit of many leaves, for any law with a Laplace transform (R8, R20).

n parts have i.i.d. masses Y_1 ... Y_n on each leaf, and part j weighs w_j in the joint data, so by the law of large
numbers, with mu = E[Y], N = sum w and S = sum w_j Y_j,

    O_ij = sum_x P_i P_j / q  ->  (N/mu) E[Y_i Y_j / S],
    E[Y_i Y_j / S] = int_0^inf phi'(w_i s) phi'(w_j s) prod_{m != i,j} phi(w_m s) ds,     phi(s) = E[e^{-sY}].

The integral is one-dimensional whatever n is, since 1/S = int e^{-sS} ds and the masses are independent.
`log_trapezoid` computes it with a proved error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import COUNT, FINITE, NONNEGATIVES, POSITIVE, REALS, checked, integer, listed, reals, whole
from ..errors import InputError
from .law import Pareto

STEP = 0.22
"""Step of the trapezoid in ln s: by `aliasing_bound` it costs at most 1.2e-17 of the integral."""
LONGEST = 1 << 20
"""Values of a Laplace transform held at a time; larger batches go in blocks."""


class Law(Protocol):
    """The law of a leaf mass Y >= 0: parameters may be arrays, and every method broadcasts over them."""

    def mean(self) -> Array:
        """``E[Y]``."""

    def moment(self, power: float) -> Array:
        """``E[Y^r]``, ``inf`` where it does not exist."""

    def laplace(self, s: ArrayLike, order: int = 0) -> Array:
        """``E[Y^m e^{-sY}]`` at s >= 0, m = order."""

    def log_range(self) -> tuple[float, float]:
        """The range of ln(s W) outside of which the integrands are negligible, W the sum of the weights."""

    def tail_index(self) -> Array:
        """The power from which on E[Y^r] is infinite: alpha for a Pareto tail, ``inf`` for light ones."""


def an_overlap_law(law: Law, name: str, where: str) -> Law:
    """The gate of a law of leaf masses: an object with the methods of `Law`.

    >>> an_overlap_law("Pareto", "law", "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: law is a str (demo): pass a Pareto, a Gamma, a Lognormal, or another Law
    """
    if isinstance(law, type) or not all(callable(getattr(law, method, None)) for method in ("laplace", "log_range")):
        raise InputError(
            f"{name} is a {type(law).__name__}", where=where, mend="pass a Pareto, a Gamma, a Lognormal, or another Law"
        )
    return law


@dataclass(frozen=True, slots=True)
class Gamma:
    """Gamma masses, density ``y^{c-1} e^{-y}/Gamma(c)``; shape c = 1 is the exponential law. Leaf masses are then Dirichlet.

    >>> round(float(equal_parts_overlap(Gamma(1.0), 3).value), 12)
    0.75
    """

    shape: Array

    def __init__(self, shape: ArrayLike) -> None:
        object.__setattr__(self, "shape", _positive(shape, "Gamma", "shape"))

    def mean(self) -> Array:
        """``c``."""
        return self.shape

    @checked(power=FINITE)
    def moment(self, power: float) -> Array:
        """``Gamma(c+r)/Gamma(c)``, ``inf`` for r <= -c."""
        from scipy.special import poch

        return np.asarray(np.where(self.shape + power > 0, poch(self.shape, power), np.inf), dtype=np.float64)

    @checked(s=NONNEGATIVES, order=integer(least=0))
    def laplace(self, s: ArrayLike, order: int = 0) -> Array:
        """``(c)_m (1+s)^{-c-m}``."""
        from scipy.special import poch

        at = np.asarray(s, dtype=np.float64)
        return np.asarray(poch(self.shape, order) * np.exp(-(self.shape + order) * np.log1p(at)), dtype=np.float64)

    def tail_index(self) -> Array:
        """``inf``."""
        return np.full(self.shape.shape, np.inf)

    def log_range(self) -> tuple[float, float]:
        """Left s, right s^-min(1, c) at the least (two weighted masses, E[YY'/S] <= E[Y]/w)."""
        return -48.0, min(600.0, 48.0 / min(1.0, float(np.min(self.shape))) + math.log1p(float(np.max(self.shape))))


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal masses ``Y = e^{sigma Z}``, Z standard normal; the transform is a trapezoid sum over Z about its saddle point.

    >>> float(Lognormal(1.0).laplace(1.0).round(6))
    0.381756
    """

    sigma: Array

    def __init__(self, sigma: ArrayLike) -> None:
        object.__setattr__(self, "sigma", _positive(sigma, "Lognormal", "sigma"))

    def mean(self) -> Array:
        """``e^{sigma^2/2}``."""
        return self.moment(1)

    @checked(power=FINITE)
    def moment(self, power: float) -> Array:
        """``e^{r^2 sigma^2/2}``."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp((power * self.sigma) ** 2 / 2), dtype=np.float64)

    @checked(s=NONNEGATIVES, order=integer(least=0))
    def laplace(self, s: ArrayLike, order: int = 0) -> Array:
        """``E[e^{m sigma Z} exp(-s e^{sigma Z})]``.

        The exponent is largest at z = m sigma - w/sigma, ``w = W(s sigma^2 e^{m sigma^2})``, and y from there it has fallen
        by ``y^2/2 + (w/sigma^2)(e^{sigma y} - 1 - sigma y)``; so the transform is E[Y^m] e^{-w(w+2)/(2 sigma^2)} times the
        integral of what fell, to 1e-14 and the rounding of that exponent: 3e-13 of itself where it is near 1e-300.
        On |Im y| = b, sigma b < pi/2, the integrand grows by e^{b^2/2} cos(sigma b)^{-w/sigma^2} at most, and the
        trapezoid of step h misses e^{-2 pi b/h} of that.
        """
        from scipy.special import wrightomega

        sigma, at = np.broadcast_arrays(self.sigma, np.asarray(s, dtype=np.float64))
        with np.errstate(divide="ignore"):
            omega = wrightomega(np.log(at) + 2 * np.log(sigma) + order * sigma**2)
        weight = omega / sigma**2
        bound = 1.2 / sigma  # b, or less where the peak is sharp
        narrow = np.minimum(bound, 9.0 / np.sqrt(1.0 + omega))
        growth = 0.5 * narrow**2 - weight * np.log(np.cos(sigma * narrow))
        step = 2 * math.pi * narrow / (40.0 + growth)
        reach = 9.2 / np.sqrt(1.0 + omega / (1.0 + 3.1 * sigma))  # e^x - 1 - x >= x^2/(2 + 2|x|/3)
        out = np.ones(sigma.shape)
        last = math.ceil(float((reach / step).max(initial=0.0)))
        with np.errstate(under="ignore", over="ignore"):
            for node in range(1, last + 1):
                for y in (node * step, -node * step):
                    out += np.exp(-0.5 * y**2 - weight * (np.expm1(sigma * y) - sigma * y))
            peak = 0.5 * (order * sigma) ** 2 - 0.5 * weight * (omega + 2.0)
            return np.asarray(np.exp(peak) * out * step / math.sqrt(2 * math.pi), dtype=np.float64)

    def tail_index(self) -> Array:
        """``inf``."""
        return np.full(self.sigma.shape, np.inf)

    def log_range(self) -> tuple[float, float]:
        """Both ways until the Gaussian tail of ln Y has gone."""
        sigma = float(np.max(self.sigma))
        return -48.0 - sigma**2, 4.0 + 10.0 * sigma + sigma**2


@dataclass(frozen=True, slots=True)
class Coarse:
    """The law of ``factor`` leaves merged into one, for R10: masses add up, so the transform is ``phi^factor``.

    Pruning g layers of a full binary tree merges 2^g leaves.

    >>> from elastomath.pareto.law import Pareto
    >>> [round(float(1 - equal_parts_overlap(Coarse(Pareto(1.2), 2**g), 3).value), 4) for g in (0, 4, 8)]
    [0.5837, 0.3594, 0.2048]
    """

    law: Law
    factor: int

    def __post_init__(self) -> None:
        an_overlap_law(self.law, "law", "Coarse")
        object.__setattr__(self, "factor", whole(self.factor, "factor", "Coarse", least=1))

    def mean(self) -> Array:
        """``factor E[Y]``."""
        return np.asarray(self.factor * self.law.mean(), dtype=np.float64)

    @checked(power=integer(least=1, most=2))
    def moment(self, power: float) -> Array:
        """``E[Y^r]`` of the sum for r = 1, 2."""
        if power == 1:
            return self.mean()
        if power == 2:
            pairs = self.factor * (self.factor - 1) * self.law.mean() ** 2
            return np.asarray(self.factor * self.law.moment(2) + pairs, dtype=np.float64)
        raise InputError(f"moment {power}", where="Coarse", mend="the first two are known")

    @checked(s=NONNEGATIVES, order=integer(least=0, most=2))
    def laplace(self, s: ArrayLike, order: int = 0) -> Array:
        """``phi^f``, ``f phi^{f-1} |phi'|`` and the second derivative."""
        plain = self.law.laplace(s)
        if order == 0:
            return np.asarray(plain**self.factor, dtype=np.float64)
        first = self.law.laplace(s, 1)
        out = self.factor * plain ** (self.factor - 1) * first
        if order == 2:
            out = self.factor * plain ** (self.factor - 1) * self.law.laplace(s, 2)
            out = out + self.factor * (self.factor - 1) * plain ** max(self.factor - 2, 0) * first**2
        return np.asarray(out, dtype=np.float64)

    def tail_index(self) -> Array:
        """That of one leaf."""
        return self.law.tail_index()

    def log_range(self) -> tuple[float, float]:
        """That of one leaf, further to the left."""
        low, high = self.law.log_range()
        return low - 2 * math.log(self.factor), high


def _positive(values: ArrayLike, where: str, what: str) -> Array:
    return reals(values, what, where, above=0.0)


# --- quadrature ----------------------------------------------------------------------------------------------------


@checked(step=POSITIVE)
def aliasing_bound(step: float) -> float:
    """The relative error of the trapezoid in ln s for every product of Laplace transforms of positive variables.

    Let ``f(s) = E[Z e^{-sX}]``, Z, X >= 0, and I = int_0^inf f ds < inf. The trapezoid sum ``h sum_j f(e^{jh}) e^{jh}``
    misses I by at most ``2 I / (cos d (e^{2 pi d/h} - 1))`` for every 0 < d < pi/2.
    Proof: on |Im u| <= d, |f(e^u)| <= f(|e^u| cos d), since |e^{-zX}| = e^{-X Re z}; so F(u) = f(e^u) e^u is analytic
    there and ``int |F(v + ib)| dv <= int f(s cos d) ds = I/cos d``, and the bound is Trefethen and Weideman, SIAM Review
    56 (2014), Theorem 5.1. It knows nothing about the law. The smallest over a grid of d is returned.

    >>> aliasing_bound(0.22) < 1.2e-17
    True
    """
    gaps = np.geomspace(1e-4, 1.5, 400)  # pi/2 - d
    with np.errstate(over="ignore"):
        return float((2.0 / (np.sin(gaps) * np.expm1(2 * math.pi * (math.pi / 2 - gaps) / step))).min())


@checked(law=an_overlap_law, weights=NONNEGATIVES)
def overlap_matrix(law: Law, weights: ArrayLike) -> tuple[Array, Array]:
    """All overlaps ``O_ij`` of n i.i.d. parts with weights w_j >= 0, many leaves, and bounds on their errors (R8, R20).

    weights: (..., n), of any scale, broadcast against the law's parameters; at least two parts, and a positive weight.
    Returns the overlaps, shape (..., n, n), no unit, and their absolute errors. The diagonal comes from the balance
    sum_j w_j O_jt = N (R2), which is exact here, and for w_t = 0 from ``E[Y^2] int prod phi(w_m s) ds``, which may be
    ``inf``. Error: `aliasing_bound`, the cut-off range, and an allowance for rounding.

    >>> from elastomath.pareto.law import Pareto
    >>> overlaps, error = overlap_matrix(Pareto(2.0), [1, 1, 1])
    >>> overlaps.round(6)[0], bool(error.max() < 1e-13)
    (array([1.303297, 0.848352, 0.848352]), True)
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim == 0 or w.shape[-1] < 2 or not (w.sum(-1) > 0).all():
        raise InputError(f"weights of shape {w.shape}", where="overlap_matrix", mend="two or more a row, not all 0")
    mean = law.mean()
    shape = np.broadcast_shapes(mean.shape, w.shape[:-1])
    parts, total = w.shape[-1], w.sum(axis=-1)
    shares = np.broadcast_to(w / total[..., None], (*shape, parts))
    low, high = law.log_range()
    nodes = np.exp(np.arange(math.floor(low / STEP), math.ceil(high / STEP) + 1) * STEP)
    out = np.zeros((*shape, parts, parts))
    edges = np.zeros((3, *shape))
    alone = np.zeros((*shape, parts))
    block = max(2, LONGEST // max(1, parts * math.prod(shape)))
    for start in range(0, nodes.size, block):
        s = nodes[start : start + block].reshape((-1, *(1,) * (len(shape) + 1)))
        plain, first = _transforms(law, s * shares)
        product = plain.prod(axis=-1) * s[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(plain > 0, first / plain, 0.0)
        out += np.einsum("s...,s...i,s...j->...ij", product, ratio, ratio)
        alone += np.where(shares == 0, product.sum(axis=0)[..., None], 0.0)
        largest = product * ratio.max(axis=-1) ** 2
        if start == 0:
            edges[0] = largest[0]
        edges[1:] = largest[-2:] if len(largest) > 1 else (edges[2], largest[-1])
    scale = STEP / mean[..., None, None]
    out *= scale
    errors = out * (aliasing_bound(STEP) + 16 * (parts + 2) * np.finfo(np.float64).eps)
    with np.errstate(invalid="ignore", divide="ignore"):
        fall = np.where(edges[2] > 0, edges[2] / (edges[1] - edges[2]), 0.0)  # a geometric tail
    errors += (edges[0] / STEP + edges[2] * np.where(fall >= 0, fall, np.inf))[..., None, None] * scale
    diagonal = np.arange(parts)
    out[..., diagonal, diagonal] = 0.0
    errors[..., diagonal, diagonal] = 0.0
    others, uncertain = (np.einsum("...j,...jt->...t", shares, values) for values in (out, errors))
    with np.errstate(divide="ignore", invalid="ignore"):
        second = (law.moment(2) / mean)[..., None] * alone * STEP
        out[..., diagonal, diagonal] = np.where(shares > 0, (1.0 - others) / shares, second)
        errors[..., diagonal, diagonal] = np.where(
            shares > 0, (uncertain + 4 * np.finfo(np.float64).eps) / shares, 1e-14 * second
        )
    return out, errors


@checked(law=an_overlap_law, weights=NONNEGATIVES, orders=listed(integer(least=0)), power=COUNT)
def mass_mean(law: Law, weights: ArrayLike, orders: tuple[int, ...], power: int = 1) -> Array:
    """``E[prod_j Y_j^{m_j} / S^r] = int_0^inf s^{r-1} prod_j E[Y_j^{m_j} e^{-w_j s Y_j}] ds / (r-1)!``, S = sum_j w_j Y_j.

    weights: (..., n), n >= 2, against the law's parameters; orders m_j >= 0, one for each part; power r >= 1. Needs w_j > 0 where
    m_j is not below the tail index; ``inf`` where the integral is. The trapezoid in ln s errs by at most
    ``2/(cos(d)^r (e^{2 pi d/h} - 1))``, as in `aliasing_bound`.

    >>> from elastomath.pareto.law import Pareto
    >>> law, weights = Pareto(2.0), [1.0, 2.0]
    >>> square, product = mass_mean(law, weights, (2, 0)), mass_mean(law, weights, (1, 1))
    >>> round(float(square + 2 * product), 12)  # E[Y_1 S/S]
    2.0
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.shape[-1:] != (len(orders),) or not (w.sum(-1) > 0).all():
        raise InputError(
            f"weights {w.shape}, orders {orders}",
            where="mass_mean",
            mend="a weight and an order for each part, not all 0",
        )
    total, tail = w.sum(axis=-1), law.tail_index()
    # at s -> 0 the integrand in ln s falls like s to this power
    fall = power + sum(np.minimum(0.0, tail - order) for order in orders)
    low, high = law.log_range()
    # not as far as where s is no double, or its power; to the left of that the integrand is the power itself
    low = max(low / min(1.0, max(float(np.min(fall)), 0.02)), -600.0 / max(1, *orders))
    shape = np.broadcast_shapes(tail.shape, total.shape)
    nodes = np.exp(np.arange(math.floor(low / STEP), math.ceil(high / STEP) + 1) * STEP)
    out = np.zeros(shape)
    block = max(1, LONGEST // max(1, math.prod(shape)))
    for start in range(0, nodes.size, block):
        s = nodes[start : start + block].reshape((-1, *(1,) * len(shape))) / total
        term = s**power
        for part, order in enumerate(orders):
            at = w[..., part] * s  # not 0 where it is only below the doubles: the transform may be inf there
            term = term * law.laplace(np.where(w[..., part] > 0, np.maximum(at, 1e-307), 0.0), order)
        if start == 0:
            with np.errstate(divide="ignore"):
                out += np.where(fall > 0, term[0] / np.expm1(np.maximum(fall, 0.0) * STEP), 0.0)
        out += term.sum(axis=0)
    return np.asarray(np.where(fall > 0, out * STEP / math.factorial(power - 1), np.inf), dtype=np.float64)


def _transforms(law: Law, s: Array) -> tuple[Array, Array]:
    """phi and -phi' at s, whose last axis is the parts; the law's parameters have the axes before it."""
    moved = np.moveaxis(s, -1, 0)
    return tuple(np.moveaxis(law.laplace(moved, order), 0, -1) for order in (0, 1))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Bounded:
    """A float and a bound on its absolute error, of one shape."""

    value: Array
    error: Array


@checked(law=an_overlap_law, parts=integer(least=2))
def equal_parts_overlap(law: Law, parts: int) -> Bounded:
    """R20: ``A_n = (n/mu) int phi^{n-2} phi'^2 ds``, the overlap of two of n equal parts as k -> inf, in the law's shape.

    >>> from elastomath.pareto.law import Pareto
    >>> (1 - equal_parts_overlap(Pareto([1.2, 1.5, 2.0, 2.5, 4.0]), 3).value).round(5)
    array([0.58368, 0.3175 , 0.15165, 0.08748, 0.02881])
    """
    value, error = overlap_matrix(law, np.ones(parts))
    return Bounded(value[..., 0, 1], error[..., 0, 1])


@dataclass(frozen=True, slots=True)
class PartOverlaps:
    """C, A, T of Thm 4.2 for i.i.d. parts and many leaves, with what follows from them, each in the shape of (law, k, l).

    pretrain, align, perturb   C = sum_j pi_j O_jt, A = O_at, T = O_tt (no unit)
    parts                      O_jt for every part j, shape (..., n), a and t the last two
    error                      a bound on the absolute error of each O_jt, shape (..., n)
    epsilon                    l (T-1)/(1-A)                                                    (R3, R8)
    theta_constant             1/(1 - epsilon)
    responses                  dH_p, dH_a, dH_t per unit of l in nats per leaf drawn, shape (..., 3); at k = inf they are
                               0 and what stands is k dH_p = A - 1, k dH_a = 1 - A, k dH_t = 1 - T (times 1 for the unit)
    """

    pretrain: Array
    align: Array
    perturb: Array
    parts: Array
    error: Array
    epsilon: Array
    theta_constant: Array
    responses: Array


@checked(law=an_overlap_law, pretrain=REALS, perturb=NONNEGATIVES, shares=NONNEGATIVES)
def expected_overlaps(law: Law, pretrain: ArrayLike, perturb: ArrayLike, shares: ArrayLike = (1, 1, 1)) -> PartOverlaps:
    """C, A, T for volumes (k, 1, l) and ``P_p = sum_j pi_j P_j``, the P_j i.i.d., a and t the last two (R8 in expectation).

    Exact at finite k and l, as the number of leaves goes to infinity: part j weighs ``k pi_j``, a 1 and t l more.
    pretrain: k > 0, or inf. perturb: l >= 0. shares: pi_j >= 0 in the last axis, normalised here; a share 0 for a or t
    takes it out of the union (R9c). All broadcast together and against the law's parameters.

    >>> from elastomath.pareto.law import Pareto
    >>> at = expected_overlaps(Pareto(1.5), [1.0, 10.0, np.inf], 0.0)
    >>> at.align.round(5), at.epsilon
    (array([0.69332, 0.67682, 0.6825 ]), array([0., 0., 0.]))
    """
    k, step = np.broadcast_arrays(np.asarray(pretrain, dtype=np.float64), np.asarray(perturb, dtype=np.float64))
    pi = np.asarray(shares, dtype=np.float64)
    where = "expected_overlaps"
    if pi.ndim == 0 or pi.shape[-1] < 2 or not (pi.sum(-1) > 0).all():
        raise InputError(f"shares {shares!r}", where=where, mend="one for each part, not all 0, a and t the last two")
    if not (k > 0).all():
        raise InputError("volumes", where=where, mend="k > 0 (or inf), in units of |D_a|")
    pi = pi / pi.sum(axis=-1, keepdims=True)
    shape = np.broadcast_shapes(k.shape, pi.shape[:-1], law.mean().shape)
    k, step, pi = np.broadcast_to(k, shape), np.broadcast_to(step, shape), np.broadcast_to(pi, (*shape, pi.shape[-1]))
    scale = np.where(np.isinf(k), 1.0, k)
    weights = scale[..., None] * pi
    weights[..., -2] += np.where(np.isinf(k), 0.0, 1.0)
    weights[..., -1] += np.where(np.isinf(k), 0.0, step)
    matrix, errors = overlap_matrix(law, weights)
    parts, error = matrix[..., -1], errors[..., -1]
    a, t = parts[..., -2], parts[..., -1]
    gaps = _gaps(law, weights, matrix)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # T - 1 by the balance, for T is near 1 where t is nearly all the data
        others = (weights[..., :-1] * gaps).sum(axis=-1)
        excess = np.where(weights[..., -1] > 0, others / weights[..., -1], t - 1.0)
        epsilon = np.where(step == 0, 0.0, step * (excess / gaps[..., -1]))
        constant = 1.0 / (1.0 - epsilon)
        c = (pi * parts).sum(axis=-1)
        rest = (pi[..., :-1] * gaps).sum(axis=-1) - pi[..., -1] * excess
        responses = np.stack([rest, gaps[..., -1], -excess], axis=-1) / (k + 1.0 + step)[..., None]
    responses[..., 0] = np.where(np.isinf(k), 0.0, -(responses[..., 1] + step * responses[..., 2]) / scale)
    return PartOverlaps(c, a, t, parts, error, epsilon, constant, responses)


def _gaps(law: Law, weights: Array, matrix: Array) -> Array:
    """1 - O_jt for every part j but t, the last, shape (..., n-1).

    Where t has most of the weight O_jt is near 1, and ``1 - O_jt = sum_{i != t} (w_i/N)(O_ji - O_jt)`` keeps its digits,
    O_jj = (N/mu) E[Y_j^2/S] by its own integral. Where the law is narrow every overlap is near 1: `_narrow_gaps`.
    """
    if isinstance(law, Pareto | Gamma | Lognormal):
        variance, third, fourth = _relative_moments(law)
        narrow = np.broadcast_to(variance < NARROW, matrix.shape[:-2])
        if narrow.any():
            few = _narrow_gaps(variance, third, fourth, weights / weights.sum(axis=-1, keepdims=True))
            return few if narrow.all() else np.where(narrow[..., None], few, _wide_gaps(law, weights, matrix))
    return _wide_gaps(law, weights, matrix)


NARROW = 4e-7
"""The variance of Y/mu below which 1 - O has more digits from its moments (an error of v^(3/2)) than as a difference (1e-16/v)."""


def _relative_moments(law: Pareto | Gamma | Lognormal) -> tuple[Array, Array, Array]:
    """``(m2, m3/m2, m4/m2)``, the central moments of Y/mu, without cancellation; inf for a Pareto law of alpha <= 4."""
    if isinstance(law, Pareto):
        a = np.where(law.alpha > 4, law.alpha, 5.0)
        two, three, four = a - 2, a - 3, a - 4
        moments = 1 / a / two, 2 * (1 + 1 / a) / three, 3 * (3 + 1 / a + 2 / a / a) / three / four
        m2, third, fourth = (np.where(law.alpha > 4, moment, np.inf) for moment in moments)
        return m2, third, fourth
    if isinstance(law, Gamma):
        m2 = 1 / law.shape
        return m2, 2 * m2, 3 * m2 * (1 + 2 * m2)
    with np.errstate(over="ignore"):
        m2 = np.expm1(law.sigma**2)
        w = 1 + m2
        return m2, m2 * (w + 2), m2 * (w**4 + 2 * w**3 + 3 * w**2 - 3)


def _narrow_gaps(m2: Array, third: Array, fourth: Array, shares: Array) -> Array:
    """``1 - O_jt`` for Y = mu (1 + e) to the fourth moment of e, relative error of the order m2^(3/2); shape (..., n-1).

    With X = sum_i s_i e_i it is ``1 - E[(1 + e_j)(1 + e_t)(1 - X + X^2 - X^3 + X^4)]``, e of independent parts. Every term
    has a factor s_j or a share other than s_t, so that it keeps its digits where s_t is near 1.
    """
    m2, third, fourth = (np.asarray(m)[..., None] for m in (m2, third, fourth))
    j, t = shares[..., :-1], shares[..., -1:]
    rest, squares, cubes, fourths = ((j**power).sum(axis=-1, keepdims=True) for power in (1, 2, 3, 4))
    pairs = squares**2 + 2 * squares * t**2 - fourths - j * (squares + t**2 - j**2) - t * squares
    with np.errstate(invalid="ignore"):  # wide laws beside narrow ones: what comes of an infinite moment is not used
        moved = j + t * rest - squares + third * (cubes - j**2 - t**2 * rest)
        moved -= fourth * (fourths - j**3 - t**3 * rest) + m2 * (3 * pairs + 2 * j * t)
        return np.asarray(m2 * moved, dtype=np.float64)


def _wide_gaps(law: Law, weights: Array, matrix: Array) -> Array:
    """`_gaps` from the integrals."""
    gaps = np.asarray(1.0 - matrix[..., :-1, -1], dtype=np.float64)
    count = weights.shape[-1]
    shares = weights / weights.sum(axis=-1, keepdims=True)
    most = shares[..., -1] > 0.9
    if not most.any():
        return gaps
    for j in range(count - 1):
        own = np.zeros(most.shape)
        for i in range(count - 1):
            if i == j:
                orders = tuple(2 if part == j else 0 for part in range(count))
                weights = np.array(shares)
                weights[..., j] = np.where(
                    shares[..., j] > 0, shares[..., j], 1.0
                )  # without a weight it is not asked for
                overlap = mass_mean(law, weights, orders) / law.mean()
            else:
                overlap = matrix[..., j, i]
            with np.errstate(invalid="ignore"):
                own += np.where(shares[..., i] > 0, shares[..., i] * (overlap - matrix[..., j, -1]), 0.0)
        gaps[..., j] = np.where(most, own, gaps[..., j])
    return gaps
