"""Pareto overlaps on M leaves: how far they are from the limit of many leaves, and at which rate (R8, R10, R20).

A_M = sum_x P_a P_t / q with every part normalised on its own leaves, P_j = Y_j / sum_x Y_j. The overlap is bounded, and
its summand is at most Y_a/w_a and Y_t/w_t, so it has a finite variance for every alpha > 1: what fluctuates are the
normalisations, 1 + delta_j = sum_x Y_j/(M mu). For alpha < 2 there are three rates (`leaf_limit`), not one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import COUNT, NONNEGATIVE, NONNEGATIVES, POSITIVE, SEED, checked, number, numbers, whole
from ..checks import rows as as_list
from ..errors import InputError
from .law import Pareto
from .overlaps import mass_mean, overlap_matrix

BLOCK = 1 << 20
"""Masses drawn at a time."""
LEAST_VARIANCE = 1e-12
"""Below it the difference of means near 1 has lost the third digit of a standard deviation."""


@dataclass(frozen=True, slots=True)
class SampledOverlaps:
    """Overlaps of independent draws, a row a draw and a column a level of coarse-graining (R10).

    leaves   M at each level, shape (J,)
    align    A, shape (draws, J)
    perturb  T, shape (draws, J)
    """

    leaves: NDArray[np.int64]
    align: Array
    perturb: Array


@checked(masses=NONNEGATIVES, factor=COUNT)
def merge_leaves(masses: ArrayLike, factor: int) -> Array:
    """Coarse-graining: each run of ``factor`` neighbouring leaves becomes one leaf with their sum. (..., M) -> (..., M/factor).

    >>> merge_leaves([0.5, 0.25, 0.125, 0.125], 2)
    array([0.75, 0.25])
    """
    fine = np.asarray(masses, dtype=np.float64)
    if fine.ndim == 0 or fine.shape[-1] % factor:
        raise InputError(f"runs of {factor} leaves", where="merge_leaves", mend="a factor of the number of leaves")
    if factor == 1:
        return fine
    return np.asarray(fine.reshape(*fine.shape[:-1], -1, factor).sum(axis=-1), dtype=np.float64)


@checked(
    alpha=number(above=1.0),
    leaves=COUNT,
    draws=COUNT,
    pretrain=number(above=0.0, finite=False),
    perturb=NONNEGATIVE,
    shares=numbers(shape=(None,), least=0.0),
    seed=SEED,
)
def sampled_overlaps(
    alpha: float,
    leaves: int,
    draws: int,
    pretrain: float = math.inf,
    perturb: float = 0.0,
    shares: ArrayLike = (1, 1, 1),
    merges: ArrayLike = (1,),
    seed: int | np.random.Generator = 0,
) -> SampledOverlaps:
    """A and T of ``draws`` independent unions of Pareto parts on ``leaves`` leaves, at volumes (k, 1, l).

    shares: pi_j, a and t the last two. merges: neighbouring leaves merged into one, factors of ``leaves``; pruning g layers
    of a full binary tree merges 2^g. k may be inf. All masses are drawn at once, in blocks of a million. Raises InputError.

    >>> draws = sampled_overlaps(1.2, 256, 50, merges=[1, 16], seed=1)
    >>> bool((draws.perturb[:, 1] <= draws.perturb[:, 0] + 1e-12).all())
    True
    """
    law, weights = _weights(alpha, pretrain, perturb, shares)
    where = "sampled_overlaps"
    factors = np.array(
        [whole(merge, "an entry of merges", where, least=1) for merge in as_list(merges, "merges", where)]
    )
    if (leaves % factors).any():
        raise InputError(f"{leaves} leaves, merges {merges!r}", where=where, mend="give merges that divide the leaves")
    rng = np.random.default_rng(seed)
    out = np.empty((2, draws, factors.size))
    rows = max(1, BLOCK // (leaves * weights.size))
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        masses = rng.standard_exponential((count, weights.size, leaves))
        masses /= float(law.alpha)
        np.exp(masses, out=masses)
        masses /= masses.sum(axis=-1, keepdims=True)
        for level, factor in enumerate(factors):
            part = merge_leaves(masses, int(factor))
            ratio = part[:, -1] / np.einsum("j,bjx->bx", weights, part)
            out[0, start : start + count, level] = np.einsum("bx,bx->b", ratio, part[:, -2])
            out[1, start : start + count, level] = np.einsum("bx,bx->b", ratio, part[:, -1])
    out *= weights.sum()
    return SampledOverlaps(leaves // factors, out[0], out[1])


def _weights(alpha: float, pretrain: float, perturb: float, shares: ArrayLike) -> tuple[Pareto, Array]:
    law, pi = Pareto(alpha), np.asarray(shares, dtype=np.float64)
    if pi.size < 2 or not pi.any():
        raise InputError(f"shares {shares!r}", where="Pareto leaves", mend="give one for each part, not all 0")
    pi = pi / pi.sum()
    if math.isinf(pretrain):
        return law, pi
    weights = pretrain * pi
    weights[-2] += 1.0
    weights[-1] += perturb
    return law, weights


@dataclass(frozen=True, slots=True)
class LeafLimit:
    """A_M for large M: ``E[A_M] = A + bias M^-bias_rate``, standard deviation ``deviation M^-deviation_rate``, to first order.

    ``M^spread_rate (A_M - A)`` has a limit law: normal for alpha > 2, and for alpha < 2 the stable law of index alpha with
    ``scale`` and ``skew`` (S1 of scipy's levy_stable), mean 0. gradient: c_j = dA/d delta_j, shape (n,).
    """

    alpha: float
    overlap: float
    gradient: Array
    bias: float
    bias_rate: float
    deviation: float
    deviation_rate: float
    scale: float
    skew: float
    spread_rate: float

    @checked(level=numbers(above=0.0, below=1.0), leaves=POSITIVE)
    def quantile(self, level: ArrayLike, leaves: float) -> Array:
        """The quantile of A_M to first order, from the limit law."""
        from scipy.stats import levy_stable, norm

        p = np.asarray(level, dtype=np.float64)
        if self.alpha > 2:
            shape = self.scale * norm.ppf(p)
        else:
            shape = self.scale * levy_stable.ppf(p, self.alpha, self.skew)
        return np.asarray(self.overlap + shape * leaves**-self.spread_rate, dtype=np.float64)


@checked(
    alpha=number(above=1.0),
    pretrain=number(above=0.0, finite=False),
    perturb=NONNEGATIVE,
    shares=numbers(shape=(None,), least=0.0),
)
def leaf_limit(
    alpha: float, pretrain: float = math.inf, perturb: float = 0.0, shares: ArrayLike = (1, 1, 1)
) -> LeafLimit:
    """How fast the overlap A_M of Pareto parts goes to its limit: bias, standard deviation and limit law with constants.

    With A(delta) the limit of many leaves at fixed normalisations, ``A(delta) = E[G]``, ``G = (N/mu) Y_a Y_t /
    ((1+delta_a)(1+delta_t) sum_j w_j Y_j/(1+delta_j))``, A_M is the mean of G over the leaves, at the delta of the draw.

    alpha < 2. delta_j is a sum of M small jumps and, with probability ``M^{1-alpha} (mu x)^-alpha``, one jump above x: a
    single leaf that holds the share x/(1+x) of part j. Since A is bounded, smooth and E[delta_j] = 0,

        bias      M^{-(alpha-1)}    sum_j int_0^inf [A(x e_j) - A - c_j x] alpha mu^-alpha x^{-alpha-1} dx
        variance  M^{-(alpha-1)}    sum_j int_0^inf [A(x e_j) - A]^2 alpha mu^-alpha x^{-alpha-1} dx
        spread    M^{-(1-1/alpha)}  sum_j c_j Z_j, Z_j stable, totally skewed, scale [Gamma(1-alpha) cos(pi alpha/2)]^{1/alpha}/mu

    so the standard deviation falls as M^{-(alpha-1)/2}, more slowly than the quantiles: rare draws carry it. The second
    order is M^{-2(alpha-1)} (two large leaves), so near alpha = 1 these are rough. alpha > 2: the delta method, bias 1/M
    and both widths M^{-1/2}. alpha = 2 has logarithms and is refused, as is a variance that is lost in
    rounding: it falls as alpha^-4, and with k where P_t is a part of what is kept only.

    >>> limit = leaf_limit(1.5)
    >>> round(limit.overlap, 6), limit.bias_rate, limit.deviation_rate, round(limit.spread_rate, 6)
    (0.682496, 0.5, 0.25, 0.333333)
    """
    law, w = _weights(alpha, pretrain, perturb, shares)
    w = w / w.max()  # only their ratios count, and squares of them are taken
    index, mean, parts = float(law.alpha), float(law.mean()), w.size
    if index == 2.0:
        raise InputError("alpha = 2", where="leaf_limit", mend="its rates have logarithms; take alpha below or above")
    total, ends = float(w.sum()), (parts - 2, parts - 1)
    overlap = float(overlap_matrix(law, w)[0][parts - 2, parts - 1])

    def expected(power: int, **more: int) -> float:
        """E[G prod_j Y_j^m / S^r] with the orders of the parts named p0, p1 ..."""
        orders = [int(j in ends) + more.get(f"p{j}", 0) for j in range(parts)]
        return total / mean * float(mass_mean(law, w, tuple(orders), 1 + power))

    inner = np.array([1.0 if j in ends else 0.0 for j in range(parts)])
    once = np.array([w[j] * expected(1, **{f"p{j}": 1}) if w[j] else 0.0 for j in range(parts)])  # E[G p_j], p = wY/S
    twice = np.array([w[j] ** 2 * expected(2, **{f"p{j}": 2}) if w[j] else 0.0 for j in range(parts)])
    gradient = once - inner * overlap
    curvature = 2 * (twice - once) + inner * 2 * (overlap - once)
    if index > 2:
        spread = float(law.variance()) / mean**2
        beside = np.array([expected(0, **{f"p{j}": 1}) for j in range(parts)]) / mean - overlap  # Cov(G, Y_j)/mu
        squares = np.array([w[j] * expected(1, **{f"p{j}": 2}) if w[j] else 0.0 for j in range(parts)]) / mean
        own = squares - once - inner * beside  # E[dG/d delta_j (Y_j/mu - 1)]
        pair = [2 if j in ends else 0 for j in range(parts)]
        second = (total / mean) ** 2 * float(mass_mean(law, w, tuple(pair), 2))
        variance = second - overlap**2 + float(2 * gradient @ beside + gradient @ gradient * spread)
        if variance < LEAST_VARIANCE:
            raise InputError(
                f"at alpha = {index:g} and these volumes the variance is lost in rounding",
                where="leaf_limit",
                mend="take a smaller alpha, or a larger k",
            )
        bias = float(own.sum() + 0.5 * curvature.sum() * spread)
        deviation = math.sqrt(variance)
        return LeafLimit(index, overlap, gradient, bias, 1.0, deviation, 0.5, deviation, 0.0, 0.5)
    bias, variance = _one_large_leaf(law, w, overlap, gradient, curvature)
    size = float((np.abs(gradient) ** index).sum())
    unit = (math.gamma(1.0 - index) * math.cos(math.pi * index / 2)) ** (1 / index) / mean
    skew = float((np.sign(gradient) * np.abs(gradient) ** index).sum()) / size
    rate = index - 1.0
    return LeafLimit(
        index,
        overlap,
        gradient,
        bias,
        rate,
        math.sqrt(variance),
        rate / 2,
        unit * size ** (1 / index),
        skew,
        rate / index,
    )


def _one_large_leaf(law: Pareto, w: Array, overlap: float, gradient: Array, curvature: Array) -> tuple[float, float]:
    """The integrals over the size x of one jump, of the bias and of the variance, times M^{alpha-1}.

    Gauss-Legendre in ln x between 1e-4 and 1e6; below, the Taylor polynomial; above, A(x e_j) as it is at 1e6.
    """
    index, low, high = float(law.alpha), 1e-4, 1e6
    nodes, ratios = np.polynomial.legendre.leggauss(160)
    middle, half = (math.log(high) + math.log(low)) / 2, (math.log(high) - math.log(low)) / 2
    x = np.exp(middle + half * nodes)
    density = index * float(law.mean()) ** -index * x**-index * half * ratios
    front = index * float(law.mean()) ** -index
    bias = variance = 0.0
    for j in range(w.size):
        scaled = np.tile(w, (x.size, 1))
        scaled[:, j] /= 1.0 + x
        moved = overlap_matrix(law, scaled)[0][:, -2, -1] * w.sum() / scaled.sum(axis=-1)
        if j >= w.size - 2:
            moved = moved / (1.0 + x)
        change = moved - overlap
        bias += float(density @ (change - gradient[j] * x))
        bias += front * curvature[j] / 2 * low ** (2 - index) / (2 - index)
        bias += front * (change[-1] * high**-index / index - gradient[j] * high ** (1 - index) / (index - 1))
        variance += float(density @ change**2)
        variance += front * (
            gradient[j] ** 2 * low ** (2 - index) / (2 - index) + change[-1] ** 2 * high**-index / index
        )
    return bias, variance
