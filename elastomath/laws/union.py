"""R8, the union law: pre-training data that contains the alignment and the perturbation data, at any k, l and shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import COUNT, FINITES, NONNEGATIVES, POSITIVE, POSITIVES, SEED, checked, integer, number
from ..checks import rows as as_list
from ..errors import InputError
from ..mixtures.kernels import RESPONSES
from ..mixtures.leafsums import leaf_sums
from ..mixtures.masses import as_masses, as_shares
from ..mixtures.mixture import Mixture
from .finite import sign_change

BLOCK = 1 << 21
"""Masses held at a time where many draws are made."""


@dataclass(frozen=True, slots=True)
class UnionLaw:
    """R8 at one l, in the unit of |D_a|; P_p = sum_j pi_j P_j over J parts.

    gaps            1 - O_j, O_j = sum_x P_j P_t / q, shape (J,): dH_j/dl times N
    rest            R = sum_{j != a,t} pi_j (1 - O_j)/(1 - A), inf or nan where A = 1
    epsilon         l (k pi_a + 1 + k R)/(k pi_t + l), which is l (T-1)/(1-A)                        (R3)
    theta_constant  -dH_a/(k dH_p) = (1 + l/(k pi_t))/(1 - l (pi_a + R)/pi_t)
    threshold       pi_t/(pi_a + R): given dH_a > 0, dH_p < 0 exactly for l below it; inf where pi_a + R <= 0
    """

    gaps: Array
    rest: float
    epsilon: float
    theta_constant: float
    threshold: float


@checked(pretrain=POSITIVES, perturbation=NONNEGATIVES, share_align=NONNEGATIVES, share_perturb=POSITIVES, rest=FINITES)
def union_epsilon(
    pretrain: ArrayLike,
    perturbation: ArrayLike,
    share_align: ArrayLike,
    share_perturb: ArrayLike,
    rest: ArrayLike = 0.0,
) -> Array:
    """``eps = l (k pi_a + 1 + k R)/(k pi_t + l)`` (R8). Broadcasts; k = ``pretrain`` > 0, l = ``perturbation`` >= 0.

    ``rest`` is R, 0 for a union of two; in a general model class R = sum_{j != a,t} pi_j dH_j/dH_a.

    >>> float(union_epsilon(30.0, 0.1, 1 / 3, 1 / 3, 1 / 3).round(9))  # disjoint thirds: l (2k+3)/(k+3l)
    0.207920792
    """
    return _epsilon(*_arguments(pretrain, perturbation, share_align, share_perturb, rest))


def _epsilon(k: Array, step: Array, align: Array, perturb: Array, others: Array) -> Array:
    with np.errstate(
        divide="ignore", over="ignore", invalid="ignore"
    ):  # both over k, or both over l: k l may be beyond the doubles
        ratio, pull = step / k, align + others
        low = (step * pull + ratio) / (perturb + ratio)
        return np.asarray(np.where(ratio <= 1.0, low, (k * pull + 1.0) / (perturb / ratio + 1.0)), dtype=np.float64)


@checked(pretrain=POSITIVES, perturbation=NONNEGATIVES, share_align=NONNEGATIVES, share_perturb=POSITIVES, rest=FINITES)
def union_constant(
    pretrain: ArrayLike,
    perturbation: ArrayLike,
    share_align: ArrayLike,
    share_perturb: ArrayLike,
    rest: ArrayLike = 0.0,
) -> Array:
    """``-dH_a/(k dH_p) = (1 + l/(k pi_t))/(1 - l (pi_a + R)/pi_t)`` (R8). Arguments as in `union_epsilon`; inf at the threshold.

    >>> float(union_constant(10.0, 0.5, 0.5, 0.5))  # a union of two: (1 + 2l/k)/(1 - l)
    2.2
    """
    return _constant(*_arguments(pretrain, perturbation, share_align, share_perturb, rest))


def _constant(k: Array, step: Array, align: Array, perturb: Array, others: Array) -> Array:
    with np.errstate(
        divide="ignore", over="ignore", invalid="ignore"
    ):  # over pi_t/(...), and over l where that is large
        low = (perturb + step / k) / (perturb - step * (align + others))
        high = (perturb / step + 1.0 / k) / (perturb / step - (align + others))
        return np.asarray(np.where(step <= 1.0, low, high), dtype=np.float64)


@checked(share_align=NONNEGATIVES, share_perturb=POSITIVES, rest=FINITES)
def union_threshold(share_align: ArrayLike, share_perturb: ArrayLike, rest: ArrayLike = 0.0) -> Array:
    """``pi_t/(pi_a + R)`` (R8): given dH_a > 0, dH_p < 0 exactly for l below it; ``inf`` where pi_a + R <= 0 (every l will do).

    R is read at the same l: for given masses the l at which dH_p turns is `union_turning`.

    >>> union_threshold(1 / 3, 1 / 3, [1 / 3, -1.0]).round(9)
    array([0.5, inf])
    """
    return _threshold(*_arguments(1.0, 0.0, share_align, share_perturb, rest)[2:])


def _threshold(align: Array, perturb: Array, others: Array) -> Array:
    pull = align + others
    out = np.divide(perturb, pull, out=np.full(np.broadcast(perturb, pull).shape, np.inf), where=pull > 0)
    return np.asarray(out, dtype=np.float64)


def _arguments(*values: ArrayLike) -> tuple[Array, ...]:
    k, step, align, perturb, rest = (np.asarray(value, dtype=np.float64) for value in values)
    for name, wrong in (
        ("k", ~(k > 0)),
        ("l", ~(step >= 0)),
        ("pi_a", ~(align >= 0)),
        ("pi_t", ~(perturb > 0)),
        ("pi_a + pi_t - 1", np.asarray(align + perturb > 1 + 1e-12)),
    ):
        if np.any(wrong):
            raise InputError(
                f"{name} is out of range", where="union law", mend="k, pi_t > 0, l, pi_a >= 0 and pi_a + pi_t <= 1"
            )
    return k, step, align, perturb, rest


@checked(align=integer(least=0), perturb=integer(least=0))
def union_law(
    parts: Sequence[ArrayLike] | Array,
    volumes: ArrayLike,
    shares: ArrayLike | None = None,
    *,
    align: int = 1,
    perturb: int = 2,
) -> UnionLaw:
    """R8 for leaf masses: P_p = sum_j pi_j P_j, P_a and P_t two of the parts, volumes (k, 1, l) in any unit.

    parts: J >= 2 vectors of shape (M,). shares: pi_j, shape (J,), normalised here, equal by default; pi_t > 0.
    align, perturb: which parts are P_a and P_t. Rates are in nats per leaf drawn, l in units of |D_a|.
    Raises InputError for masses, shares, volumes or part numbers that cannot be used.

    >>> law = union_law([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]], [30, 1, 0.1])
    >>> law.gaps.round(4), round(law.threshold, 4)
    (array([ 0.1793,  0.1917, -0.3863]), 0.5166)
    """
    mixture, weights = _union_mixture(parts, volumes, shares, align, perturb)
    rows = np.stack([as_masses(part, where=f"part {index}") for index, part in enumerate(parts)])
    union = mixture.volumes[0] * weights
    union[align] += mixture.volumes[1]
    union[perturb] += mixture.volumes[2]
    gaps = -leaf_sums(rows, union, beside=rows[perturb], wanted=RESPONSES).gram  # the union covers every part
    unit = float(mixture.volumes[1])
    k, step = float(mixture.volumes[0]) / unit, float(mixture.volumes[2]) / unit
    others = np.delete(weights * gaps, [align, perturb])
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = float(np.divide(others.sum(), gaps[align]))
    share_a, share_t = float(weights[align]), float(weights[perturb])
    numbers = _arguments(k, step, share_a, share_t, rest)  # the rest may be nan: where A = 1
    return UnionLaw(gaps, rest, float(_epsilon(*numbers)), float(_constant(*numbers)), float(_threshold(*numbers[2:])))


@checked(align=integer(least=0), perturb=integer(least=0), limit=POSITIVE)
def union_turning(
    parts: Sequence[ArrayLike] | Array,
    volumes: ArrayLike,
    shares: ArrayLike | None = None,
    *,
    align: int = 1,
    perturb: int = 2,
    limit: float = 1e6,
) -> float | None:
    """The only l, in units of |D_a|, at which dH_p turns from - to +: there l = pi_t/(pi_a + R(l)) (R4, R8); None if none.

    Arguments as in `union_law`; the last volume is not used. Searched up to ``limit``.

    >>> turning = union_turning([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]], [30, 1, 0])
    >>> law = union_law([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]], [30, 1, turning])
    >>> abs(law.threshold / turning - 1) < 1e-10
    True
    """
    mixture, _ = _union_mixture(parts, volumes, shares, align, perturb)
    turning = sign_change(mixture, 0, limit * float(mixture.volumes[1]))
    return None if turning is None else turning / float(mixture.volumes[1])


def _union_mixture(
    parts: Sequence[ArrayLike] | Array, volumes: ArrayLike, shares: ArrayLike | None, align: int, perturb: int
) -> tuple[Mixture, Array]:
    count = len(as_list(parts, "parts", "union law"))
    if align == perturb or not (0 <= align < count and 0 <= perturb < count):
        raise InputError(
            f"parts {align} and {perturb} of {count}", where="union law", mend="name two different parts of the union"
        )
    weights = as_shares(shares, count, where="union law")
    if weights[perturb] == 0:
        raise InputError("the perturbation's share is 0", where="union law", mend="pi_t has to be > 0")
    rows = Mixture.of(parts, np.ones(count)).components
    return Mixture.of(np.stack([weights @ rows, rows[align], rows[perturb]]), volumes), weights


@checked(alpha=number(above=1.0), leaves=integer(least=2), draws=COUNT, seed=SEED)
def rest_ratios(alpha: float, leaves: int, draws: int, seed: int | np.random.Generator = 0) -> Array:
    """``R' = (1-A')/(1-A)`` of single draws of three equal parts with Pareto masses, k -> infinity and l = 0 (R8); shape (draws,).

    Each part has ``leaves`` i.i.d. masses, Pr[Y > y] = y^-alpha, normalised; q is their average. R' is 1 only as a ratio
    of expectations: single draws scatter widely. Raises InputError unless alpha > 1, leaves >= 2 and draws >= 1.

    >>> ratios = rest_ratios(2.5, 4096, 20)
    >>> ratios.shape, bool(abs(np.median(ratios) - 1) < 0.2)
    ((20,), True)
    """
    rng, out, done = np.random.default_rng(seed), np.empty(draws), 0
    while done < draws:
        many = min(draws - done, max(1, BLOCK // (3 * leaves)))
        masses = (1.0 - rng.random((many, 3, leaves))) ** (-1.0 / alpha)
        masses /= masses.sum(axis=2, keepdims=True)
        away = 1.0 - 3.0 * masses[:, 2] / masses.sum(axis=1)  # (q - P_t)/q
        gaps = np.einsum("djx,dx->dj", masses[:, :2], away)
        if not gaps[:, 1].all():
            raise InputError(
                f"all masses are equal at alpha = {alpha:g}", where="rest_ratios", mend="take a smaller alpha"
            )
        out[done : done + many] = gaps[:, 0] / gaps[:, 1]
        done += many
    return out
