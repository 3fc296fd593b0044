"""R13, rebound in joint compression: how a score falls back towards the base's as negative data follow positive data."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import NONNEGATIVE, POSITIVE, an, broadcast, checked, one_of, real, reals, rows
from ..errors import InputError
from ..mixtures.mixture import Mixture, as_volumes

Direction = Literal["forward", "reverse"]
"""forward: D(base || model); reverse: D(model || base)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of the base, positive and negative data; the base lies strictly between the two targets.

    The score is any linear function of q (a probability, an expectation). Positive may be below negative: the laws are
    the same with every sign turned. Raises InputError otherwise.

    >>> Scores(0.5, 0.9, 0.1).asymmetry
    1.0
    """

    base: float
    positive: float
    negative: float

    def __post_init__(self) -> None:
        for name in ("base", "positive", "negative"):
            object.__setattr__(self, name, real(getattr(self, name), name, "scores"))
        low, high = sorted((self.positive, self.negative))
        if not low < self.base < high:
            raise InputError(
                f"base {self.base:g}, targets {self.positive:g} and {self.negative:g}",
                where="scores",
                mend="the base has to lie strictly between the targets",
            )

    @property
    def asymmetry(self) -> float:
        """``(s_+ - s_p)/(s_p - s_-)``, the volume of negative data that undoes one of positive data."""
        return (self.positive - self.base) / (self.base - self.negative)


@checked(scores=an(Scores))
def score(scores: Scores, pretrain: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Array:
    """``s = (k s_p + n s_+ + m s_-)/(k + n + m)`` (R13). Volumes k > 0, n, m >= 0 in one unit; broadcasts.

    >>> score(Scores(0.5, 1.0, 0.0), 10, 10, [0.0, 10.0])
    array([0.75, 0.5 ])
    """
    k, n, m = _volumes(pretrain, positive, negative)
    return np.asarray((k * scores.base + n * scores.positive + m * scores.negative) / (k + n + m), dtype=np.float64)


@checked(scores=an(Scores))
def score_slope(scores: Scores, pretrain: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Array:
    """``ds/dm = -(s - s_-)/(k + n + m)`` (R13), per unit of volume.

    >>> float(score_slope(Scores(0.5, 1.0, 0.0), 10, 10, 0))
    -0.0375
    """
    k, n, m = _volumes(pretrain, positive, negative)
    total = k + n + m
    # s - s_- as a sum of one sign: their difference has no digits left where m is large
    above = k / total * (scores.base - scores.negative) + n / total * (scores.positive - scores.negative)
    return np.asarray(-above / total, dtype=np.float64)


@checked(scores=an(Scores))
def faster_below(scores: Scores, pretrain: ArrayLike, negative: ArrayLike) -> Array:
    """``m + k (s_+ + s_- - 2 s_p)/(s_+ - s_-)`` (R13): more alignment speeds the fall up only while n is below this; may be < 0.

    >>> float(faster_below(Scores(0.25, 1.0, 0.0), 100, 0))
    50.0
    """
    k, _, m = _volumes(pretrain, 1.0, negative)
    spread = scores.positive - scores.negative
    middle = math.fsum((scores.positive, scores.negative, -scores.base, -scores.base))
    return np.asarray(m + k * (middle / spread), dtype=np.float64)


@checked(scores=an(Scores), pretrain=POSITIVE, less=NONNEGATIVE, more=POSITIVE, negative=NONNEGATIVE)
def falls_faster(scores: Scores, pretrain: float, less: float, more: float, negative: float = 0.0) -> bool:
    """Whether the run with more positive data falls faster (R13, for a finite difference of n).

    ``c (1/N_1 + 1/N_2) > 1`` with N = k + n + m and ``c = m + k (s_+ - s_p)/(s_+ - s_-)``: the harmonic mean of the two
    totals is below 2c. Raises InputError unless 0 <= less < more.

    >>> falls_faster(Scores(0.25, 1.0, 0.0), 100, 10, 80), falls_faster(Scores(0.25, 1.0, 0.0), 100, 10, 150)
    (True, False)
    """
    if not 0 <= less < more:
        raise InputError(f"positive volumes {less:g} and {more:g}", where="falls_faster", mend="give 0 <= less < more")
    _volumes(pretrain, more, negative)
    pole = negative + pretrain * (scores.positive - scores.base) / (scores.positive - scores.negative)
    return bool(pole / (pretrain + less + negative) + pole / (pretrain + more + negative) > 1)


@checked(scores=an(Scores), tolerance=NONNEGATIVE)
def return_volume(
    scores: Scores, positive: ArrayLike, tolerance: float = 0.0, pretrain: ArrayLike | None = None
) -> Array:
    """The negative volume m* that brings the score back to within ``tolerance`` of the base's (R13).

    ``m* = max(0, [n (|s_+ - s_p| - tau) - k tau] / (|s_p - s_-| + tau))``; without a tolerance ``n (s_+ - s_p)/(s_p - s_-)``,
    free of k. m*/n never falls in n, so an exponent b in m* ~ n^b is at least 1. A tolerance needs k = ``pretrain``.

    >>> return_volume(Scores(0.5, 1.0, 0.0), [1000, 10000])
    array([ 1000., 10000.])
    >>> return_volume(Scores(0.5, 1.0, 0.0), [1000, 10000], 0.05, pretrain=5000).round(1)
    array([ 363.6, 7727.3])
    """
    if tolerance > 0 and pretrain is None:
        raise InputError(f"tolerance {tolerance:g}", where="return_volume", mend="give pretrain with a tolerance")
    k, n, _ = _volumes(1.0 if pretrain is None else pretrain, positive, 0.0)
    up, down = abs(scores.positive - scores.base), abs(scores.base - scores.negative)
    return np.asarray(np.maximum(0.0, (n * (up - tolerance) - k * tolerance) / (down + tolerance)), dtype=np.float64)


@checked(tolerance=POSITIVE, direction=one_of("forward", "reverse"))
def divergence_return_volume(
    parts: ArrayLike, pretrain: float, positive: float, tolerance: float, direction: Direction = "reverse"
) -> float:
    """The first negative volume m at which the divergence from the base is at most ``tolerance`` nats; inf where none is (R13).

    parts: leaf masses of base, positive and negative data, shape (3, M). The model is q = (k P_p + n P_+ + m P_-)/(k+n+m).
    Along m the divergence is convex in the share of P_-, so its sublevel sets are intervals: the lowest point is bracketed
    by golden section, the first crossing by Brent's method in ln m, to the
    rounding of q: 1e-16 over the relative difference of q and the base. m*/n never falls in n, in either direction.

    >>> parts = [[0.4, 0.3, 0.3], [0.8, 0.1, 0.1], [0.1, 0.6, 0.3]]
    >>> [round(divergence_return_volume(parts, 1000, n, 0.01), 2) for n in (500, 1000)]
    [299.83, inf]
    """
    from scipy.optimize import brentq, minimize_scalar

    mixture = Mixture.of(rows(parts, "parts", "divergence_return_volume"), as_volumes([pretrain, positive, 0.0], 3))

    def excess(volume: float) -> float:
        model = mixture.at(volume)
        return float((model.kl_forward() if direction == "forward" else model.kl_reverse())[0]) - tolerance

    last = sys.float_info.max / 4.0

    def volume_of(share: float) -> float:
        return min(share / (1.0 - share) * mixture.total, last)

    if excess(0.0) <= 0:
        return 0.0
    lowest = last  # where the negative data themselves are near enough, a convex function falls to 0 once
    if excess(last) > 0:
        lowest = volume_of(
            float(
                minimize_scalar(
                    lambda share: excess(volume_of(share)),
                    bounds=(0.0, 1.0 - 1e-12),
                    method="bounded",
                    options={"xatol": 1e-10},
                ).x
            )
        )
        if excess(lowest) > 0:
            return math.inf
    # in ln m: a share near 0 or 1 has no digits of m
    first = min(math.log(lowest), math.log(mixture.total)) - 600.0
    return math.exp(brentq(lambda log: excess(min(math.exp(log), last)), first, math.log(lowest), xtol=1e-13))


def _volumes(pretrain: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array, Array]:
    k = reals(pretrain, "volumes of pre-training", "rebound", above=0.0)
    n, m = (
        reals(volumes, f"volumes of {name} data", "rebound", least=0.0)
        for name, volumes in (("positive", positive), ("negative", negative))
    )
    broadcast("rebound", pretrain=k, positive=n, negative=m)
    return k, n, m
