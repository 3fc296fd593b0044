"""R19, sequential training with forgetting: ``q <- (1 - eta) q + eta P`` is joint compression with effective volumes.

Everything is exact in the discrete steps: with ``h = ln(1/(1-eta))``, (1-eta)^n = e^{-hn}. The forms with eta in place of h
are their limit for small eta, off by the relative order eta/2 (`exponential=True`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import NONNEGATIVE, NONNEGATIVES, POSITIVES, SHARE, an, checked, listed, numbers, real, whole
from ..checks import rows as as_list
from ..errors import InputError
from ..mixtures.masses import as_rows
from ..mixtures.mixture import Mixture
from .rebound import Scores


@dataclass(frozen=True, slots=True)
class Phase:
    """``steps`` updates at ``rate`` eta, 0 < eta < 1, on one dataset (a row of the leaf masses); steps >= 0, real.

    >>> Phase(0, 1000, 1e-3).kept
    0.3676...
    """

    dataset: int
    steps: float
    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", whole(self.dataset, "dataset", "phase", least=0))
        object.__setattr__(self, "steps", real(self.steps, "steps", "phase", least=0.0, finite=False))
        object.__setattr__(self, "rate", real(self.rate, "rate", "phase", above=0.0, below=1.0))

    @property
    def kept(self) -> float:
        """``(1 - eta)^n``, the share of what was there that is still there after the phase."""
        return math.exp(-self.steps * decay(self.rate))


@checked(rate=SHARE)
def decay(rate: float) -> float:
    """``h = ln(1/(1 - eta))``, what a step forgets, in nats; eta <= h <= eta/(1-eta).

    >>> round(decay(1e-3), 9)
    0.0010005
    """
    return -math.log1p(-rate)


@checked(rates=numbers(shape=(None,), least=0.0, most=1.0, empty=True))
def step_weights(rates: ArrayLike) -> tuple[Array, float]:
    """``eta_j prod_{i > j} (1 - eta_i)``, the weight of each step in the end, and what is left of the start (R19).

    rates: shape (J,), 0 <= eta_j <= 1, in order. The weights, shape (J,), and the rest add up to 1. eta_j = 1/j gives
    1/J each: joint compression. Raises InputError for other rates.

    >>> step_weights([1, 1 / 2, 1 / 3, 1 / 4])
    (array([0.25, 0.25, 0.25, 0.25]), 0.0)
    """
    eta = np.asarray(rates, dtype=np.float64)
    kept = np.cumprod(np.concatenate([[1.0], 1.0 - eta[::-1]]))
    return eta * kept[-2::-1], float(kept[-1])


@checked(phases=listed(an(Phase)))
def phase_weights(phases: Sequence[Phase]) -> tuple[Array, float]:
    """``(1 - X_j) prod_{i > j} X_i``, X = (1-eta)^n: the weight of each phase in the end, and what is left of the start (R19).

    Shape (len(phases),); in closed form, whatever the number of steps. The weights are the effective volumes.

    >>> weights, rest = phase_weights([Phase(0, 20000, 1e-3), Phase(1, 300, 1e-3)])
    >>> round(float(weights[0] / weights[1]), 3)
    2.857
    """
    kept = np.array([phase.kept for phase in phases])
    fresh = np.array([-math.expm1(-phase.steps * decay(phase.rate)) for phase in phases])
    later = np.cumprod(np.concatenate([[1.0], kept[::-1]]))
    return fresh * later[-2::-1], float(later[-1])


@checked(phases=listed(an(Phase)))
def effective_mixture(components: Sequence[ArrayLike] | Array, phases: Sequence[Phase], start: ArrayLike) -> Mixture:
    """The joint run that a sequential run amounts to: the datasets and the start, with their effective volumes (R19).

    components: n leaf masses of shape (M,); start: the masses before the first phase, shape (M,), the first component
    of the result. Phases on one dataset add up. Volumes add up to 1; datasets of weight 0 are left out.

    >>> m = effective_mixture([[1.0, 0.0], [0.0, 1.0]], [Phase(0, 1, 0.5), Phase(1, 1, 0.5)], [0.5, 0.5])
    >>> m.volumes, m.masses
    (array([0.25, 0.25, 0.5 ]), array([0.375, 0.625]))
    """
    rows = as_rows(components, name="dataset", where="effective_mixture")
    if any(not 0 <= phase.dataset < len(rows) for phase in phases):
        raise InputError(
            "a phase names no dataset", where="effective_mixture", mend=f"choose from 0 to {len(rows) - 1}"
        )
    weights, rest = phase_weights(phases)
    totals = np.bincount([phase.dataset for phase in phases], weights, minlength=len(rows))
    kept = [(row, weight) for row, weight in zip([start, *rows], [rest, *totals], strict=True) if weight > 0]
    return Mixture.of([row for row, _ in kept], [weight for _, weight in kept])


@checked(phases=listed(an(Phase)))
def sequential_masses(components: Sequence[ArrayLike] | Array, phases: Sequence[Phase], start: ArrayLike) -> Array:
    """Leaf masses after each phase of ``q <- (1 - eta) q + eta P``, shape (len(phases) + 1, M), the start first (R19).

    A phase of n steps is one update with 1 - eta replaced by (1-eta)^n, so the cost does not grow with the steps.

    >>> sequential_masses([[1.0, 0.0], [0.0, 1.0]], [Phase(0, 1, 0.5), Phase(1, 1, 0.5)], [0.5, 0.5])[-1]
    array([0.375, 0.625])
    """
    *rows, first = as_rows(
        [*as_list(components, "datasets", "sequential_masses"), start], name="dataset", where="sequential_masses"
    )
    if any(phase.dataset >= len(rows) for phase in phases):
        raise InputError(
            "a phase names no dataset", where="sequential_masses", mend=f"choose from 0 to {len(rows) - 1}"
        )
    out = [first]
    for phase in phases:
        out.append(phase.kept * out[-1] - math.expm1(-phase.steps * decay(phase.rate)) * rows[phase.dataset])
    return np.stack(out)


@checked(pretrain_steps=POSITIVES, align_steps=POSITIVES, rate=SHARE)
def elasticity_constant(
    pretrain_steps: ArrayLike, align_steps: ArrayLike, rate: float, *, exponential: bool = False
) -> Array:
    """``kappa = K_p/K_a = X_a (1 - X_p)/(1 - X_a)``, X = (1-eta)^n (R19). Broadcasts; steps > 0.

    With ``exponential`` X = e^{-eta n}, the usual approximation: 2.8583 where 2.8566 is exact at eta = 1e-3, n_a = 300.

    >>> elasticity_constant([2e4, 1e5], 300, 1e-3).round(4)
    array([2.8566, 2.8566])
    """
    h = rate if exponential else decay(rate)
    before, after = np.asarray(pretrain_steps, dtype=np.float64) * h, np.asarray(align_steps, dtype=np.float64) * h
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fresh = np.expm1(-before) / np.expm1(-after)
        small = np.minimum(before, after) < 1e-290  # h n may be below the doubles, n_p/n_a is not
        ratio = np.asarray(pretrain_steps, dtype=np.float64) / np.asarray(align_steps, dtype=np.float64)
        fresh = np.where(small & (np.maximum(before, after) < 1e-16), ratio, fresh)
        return np.asarray(np.exp(-after) * fresh, dtype=np.float64)


@checked(pretrain_steps=POSITIVES, align_steps=POSITIVES, rate=SHARE)
def local_exponents(pretrain_steps: ArrayLike, align_steps: ArrayLike, rate: float) -> tuple[Array, Array]:
    """``d ln kappa/d ln n_p = x/(e^x - 1)`` and ``d ln kappa/d ln n_a = -x/(1 - e^-x)``, x = h n (R19).

    The first falls from 1 to 0 (beta = 0 after long pre-training), the second starts at -1 and gets steeper.

    >>> [e.round(3) for e in local_exponents([10, 20000], [10, 3000], 1e-3)]
    [array([0.995, 0.   ]), array([-1.005, -3.159])]
    """
    from scipy.special import exprel

    before, after = (np.asarray(steps, dtype=np.float64) * decay(rate) for steps in (pretrain_steps, align_steps))
    before = np.minimum(before, 1e4)  # x e^-x is 0 from there on, and no inf times 0
    return np.asarray(np.exp(-before) / exprel(-before)), np.asarray(-1.0 / exprel(-after))


@checked(scores=an(Scores), steps=NONNEGATIVES, rate=SHARE)
def aligned_score(scores: Scores, steps: ArrayLike, rate: float) -> Array:
    """``s_p + (s_+ - s_p)(1 - (1-eta)^n)``, the score after n positive steps from the base (R19).

    >>> aligned_score(Scores(0.5, 1.0, 0.0), [0, 1, 1e9], 0.1)
    array([0.5 , 0.55, 1.  ])
    """
    fresh = -np.expm1(-np.asarray(steps, dtype=np.float64) * decay(rate))
    return np.asarray(scores.base + (scores.positive - scores.base) * fresh, dtype=np.float64)


@checked(scores=an(Scores), steps=NONNEGATIVES, rate=SHARE)
def first_fall(scores: Scores, steps: ArrayLike, rate: float) -> Array:
    """``eta (s - s_-)``, what the first negative step takes after n positive ones: it always grows with n (R19, F2).

    >>> first_fall(Scores(0.5, 1.0, 0.0), [0, 10], 0.1).round(4)
    array([0.05  , 0.0826])
    """
    fresh = -np.expm1(-np.asarray(steps, dtype=np.float64) * decay(rate))
    above = (scores.base - scores.negative) + (scores.positive - scores.base) * fresh  # of one sign
    return np.asarray(rate * above, dtype=np.float64)


@checked(scores=an(Scores), steps=NONNEGATIVES, rate=SHARE, tolerance=NONNEGATIVE)
def return_steps(scores: Scores, steps: ArrayLike, rate: float, tolerance: float = 0.0) -> Array:
    """Negative steps that bring the score back to within ``tolerance`` of the base's, after n positive ones (R19).

    ``m* = (1/h) ln[(s_n - s_-)/(s_p + tau - s_-)]``, 0 where that is negative; without a tolerance
    ``(1/h) ln[1 + (s_+ - s_p)(1 - (1-eta)^n)/(s_p - s_-)]``, which rises, bends down and saturates.

    >>> return_steps(Scores(0.5, 1.0, 0.0), [100, 1000, 1e9], 1e-3).round(1)
    array([ 90.9, 489.7, 692.8])
    """
    up, down = abs(scores.positive - scores.base), abs(scores.base - scores.negative)
    rise = -up * np.expm1(-np.asarray(steps, dtype=np.float64) * decay(rate)) - tolerance
    with np.errstate(over="ignore"):
        few = np.asarray(steps, dtype=np.float64) * (up / down)
        back = np.log1p(np.maximum(0.0, rise) / (down + tolerance)) / decay(rate)
    # so few steps that what they add may be below the doubles: each is undone by up/down steps
    return np.asarray(np.where((tolerance == 0) & (few * decay(rate) < 1e-200), few, back), dtype=np.float64)


@checked(steps=NONNEGATIVES, rate=SHARE)
def tampering_ceiling(steps: ArrayLike, rate: float) -> Array:
    """``m ln(1/(1-eta))`` nats: the most that m steps on anything lengthen any string (R17 with R19), linear in m.

    >>> float(tampering_ceiling(100, 1e-3).round(6))
    0.10005
    """
    return np.asarray(np.asarray(steps, dtype=np.float64) * decay(rate), dtype=np.float64)
