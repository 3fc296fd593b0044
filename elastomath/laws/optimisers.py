"""R26: the optimiser is part of the law. One logit, aligned and then perturbed, under SGD and Adam as they are used.

The state is the contrast z, the loss ln(1 + e^-z) while aligning and ln(1 + e^z) while perturbing. Here volumes are *steps* of
``batch`` examples, and the rate is what one step of unit gradient does to z (nats): c x batch of R21 for plain SGD, and
rate x |grad z|_1 for Adam, whose step does not know the size of its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import (
    FINITE,
    NONNEGATIVES,
    POSITIVE,
    POSITIVES,
    SEED,
    SHARE,
    an,
    checked,
    integer,
    listed,
    number,
    same_shape,
)
from ..errors import InputError
from .theorem import log_gap

LONGEST = 10_000_000
"""The most steps, or runs, that are simulated."""


@dataclass(frozen=True, slots=True)
class Optimiser:
    """SGD or Adam on one logit, as PyTorch has them.

    kind       "sgd" (momentum without dampening) or "adam" (bias corrected; decoupled decay, so AdamW)
    rate       nats that z moves in a step of unit gradient (sgd), or in a step (adam)
    momentum   of sgd, 0 <= mu < 1
    betas      of adam: beta_1, beta_2, each in [0, 1);  eps  beside the root of the second moment
    decay      weight decay: z - anchor shrinks by rate x decay a step;  anchor  the contrast at parameters 0
    warm_up    steps in which the rate rises in equal parts to its value, at the start of every phase
    noise      standard deviation of the gradient of one example beside its mean;  batch  examples in a step
    carried    whether the second phase starts with the moments of the first; if not, fresh ones
    """

    kind: Literal["sgd", "adam"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.0
    anchor: float = 0.0
    warm_up: int = 0
    noise: float = 0.0
    batch: int = 1
    carried: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("sgd", "adam"):
            raise InputError(f"unknown optimiser {self.kind!r}", where="Optimiser", mend="choose sgd or adam")
        if not (0 < self.rate < math.inf and all(0 <= x < 1 for x in (self.momentum, *self.betas)) and self.batch >= 1):
            raise InputError(
                f"rate {self.rate:g}, momentum {self.momentum:g}, betas {self.betas}, batch {self.batch}",
                where="Optimiser",
                mend="rate > 0, momentum and betas in [0, 1), batch >= 1",
            )
        if not (min(self.eps, self.decay, self.noise, self.warm_up) >= 0 and math.isfinite(self.anchor)):
            raise InputError("a setting is negative", where="Optimiser", mend="eps, decay, noise, warm_up >= 0")


@dataclass(frozen=True, slots=True)
class Durability:
    """What n aligning steps made and how many opposed ones undid it, shape (J,) or (J, runs) where there is noise.

    steps     n, shape (J,)
    contrast  z_n
    undo      m*, where z first is back at its start, between two steps by a straight line; infinite where it never was
    """

    steps: Array
    contrast: Array
    undo: Array

    @property
    def exponents(self) -> Array:
        """d ln m*/d ln n between neighbours in n, shape (J - 1,), of the mean over runs."""
        undo = self.undo if self.undo.ndim == 1 else self.undo.mean(axis=1)
        return np.asarray(np.diff(np.log(undo)) / np.diff(np.log(self.steps)), dtype=np.float64)


@dataclass
class _State:
    z: Array
    first: Array
    second: Array
    steps: int = 0

    def step(self, optimiser: Optimiser, wanted: bool, taken: int, rng: np.random.Generator) -> None:
        """One step on the loss of the wanted (or the opposed) response; ``taken`` steps of this phase are done."""
        sign = -1.0 if wanted else 1.0
        gradient = sign / (
            1 + np.exp(-sign * np.clip(self.z, -700, 700))
        )  # p - 1 would have no digits where p is near 1
        if optimiser.noise:
            gradient = gradient + optimiser.noise / math.sqrt(optimiser.batch) * rng.normal(size=self.z.shape)
        rate = optimiser.rate * (min(1.0, (taken + 1) / optimiser.warm_up) if optimiser.warm_up else 1.0)
        self.steps += 1
        self.z = self.z - rate * optimiser.decay * (self.z - optimiser.anchor)
        if optimiser.kind == "sgd":
            self.first = optimiser.momentum * self.first + gradient
            self.z = self.z - rate * self.first
            return
        one, two = optimiser.betas
        self.first = one * self.first + (1 - one) * gradient
        self.second = two * self.second + (1 - two) * gradient**2
        mean, square = self.first / (1 - one**self.steps), self.second / (1 - two**self.steps)
        self.z = self.z - rate * mean / (np.sqrt(square) + optimiser.eps)


@checked(
    optimiser=an(Optimiser),
    steps=listed(integer(least=1, most=LONGEST)),
    start=FINITE,
    runs=integer(least=1, most=LONGEST),
    limit=integer(least=1, most=LONGEST),
    seed=SEED,
)
def durability(
    optimiser: Optimiser,
    steps: Sequence[int],
    start: float = 0.0,
    *,
    runs: int = 1,
    limit: int = 100_000,
    seed: int | np.random.Generator = 0,
) -> Durability:
    """Align for each number of steps n, then perturb until z is back: z_n and m* (R26). Vectorised over n and runs.

    steps: n > 0, rising. runs: repetitions where there is noise. limit: opposed steps after which m* is called infinite.
    Raises InputError for steps that do not rise.

    >>> durability(Optimiser("adam"), [16, 64, 256]).undo.round(1)
    array([15.4, 37.6, 56.6])
    >>> durability(Optimiser("adam", carried=True), [16, 64, 256]).undo.round(1)
    array([21.7, 25.8, 21. ])
    """
    counts = list(steps)
    if not counts or any(b <= a for a, b in pairwise(counts)):
        raise InputError(f"steps {counts[:5]}", where="durability", mend="give numbers that rise")
    rng, width = np.random.default_rng(seed), runs if optimiser.noise else 1
    state = _State(np.full(width, start), np.zeros(width), np.zeros(width))
    kept: list[tuple[Array, Array, Array]] = []
    for taken in range(counts[-1]):
        state.step(optimiser, True, taken, rng)
        if taken + 1 == counts[len(kept)]:
            kept.append((state.z, state.first, state.second))
    z, first, second = (np.stack(part) for part in zip(*kept, strict=True))
    if not optimiser.carried:
        first, second = np.zeros_like(first), np.zeros_like(second)
    undo = _undone(optimiser, z, first, second, np.array(counts), start, limit, rng)
    contrast, undo = (part[:, 0] if width == 1 and runs == 1 else part for part in (z, undo))
    return Durability(np.array(counts, dtype=np.float64), contrast, undo)


def _undone(
    optimiser: Optimiser,
    z: Array,
    first: Array,
    second: Array,
    counts: NDArray[np.int64],
    start: float,
    limit: int,
    rng: np.random.Generator,
) -> Array:
    """Opposed steps until z <= start; each n keeps its own count of steps for the bias correction."""
    undo = np.where(z <= start, 0.0, np.inf)
    states = [
        _State(row, a, b, int(n) if optimiser.carried else 0)
        for row, a, b, n in zip(z, first, second, counts, strict=True)
    ]
    groups = [_merged(states)] if not optimiser.carried else states  # fresh ones have the same count: one array
    offsets = [slice(0, len(states))] if not optimiser.carried else [slice(j, j + 1) for j in range(len(states))]
    for group, rows in zip(groups, offsets, strict=True):
        group.z = group.z.reshape(-1, z.shape[1])
        group.first, group.second = group.first.reshape(group.z.shape), group.second.reshape(group.z.shape)
        back = undo[rows]
        for taken in range(limit):
            if not np.any(np.isinf(back)):
                break
            before = group.z
            group.step(optimiser, False, taken, rng)
            fell = before - group.z
            now = np.isinf(back) & (group.z <= start)
            back[now] = taken + ((before - start)[now] / fell[now])
        undo[rows] = back
    return undo


def _merged(states: list[_State]) -> _State:
    return _State(
        np.stack([s.z for s in states]), np.stack([s.first for s in states]), np.stack([s.second for s in states])
    )


# --- regimes that can be derived ---------------------------------------------------------------------------------
@checked(constant=POSITIVES, momentum=number(least=0, below=1))
def momentum_constant(constant: ArrayLike, momentum: float) -> Array:
    """``c/(1 - mu)``: SGD with momentum is the logit law with this constant, after 1/(1 - mu) steps (R26).

    Carried into the next phase, the velocity goes on for mu/(1 - mu) steps more: z first moves on by mu c (1-p)/(1 - mu)^2.

    >>> round(float(momentum_constant(0.03, 0.9)), 12)
    0.3
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.asarray(constant) / (1 - momentum), dtype=np.float64)


@checked(rate=POSITIVE, noise=POSITIVE, batch=number(least=1))
def noisy_constant(rate: float, noise: float, batch: int = 1) -> float:
    """``rate sqrt(batch)/noise``, nats a step: Adam whose second moment is noise is SGD with this constant (R26).

    Then moments carried or fresh make no difference, and m* in n has R22's exponent, which is never negative.

    >>> noisy_constant(0.1, 2.0, 4)
    0.1
    """
    return rate * math.sqrt(batch) / noise


@checked(steps=POSITIVES, climbed=NONNEGATIVES, squares=POSITIVES, rate=POSITIVE)
def carried_undo(steps: ArrayLike, climbed: ArrayLike, squares: ArrayLike, rate: float) -> Array:
    """``m* = D sqrt(S)/(rate sqrt(n)) + D^2/(4 rate^2 n)``: opposed steps at unit gradient with the second moment carried (R26).

    From dz/dm = -rate sqrt(n/(S + m)), for m << n < 1/(1-beta_2), without a first moment, which adds up to 1/(1-beta_1) steps.
    Exponent in n: -1/2 + 3/(2D) in the first term, as D grows like (3/2) ln n; with fresh moments m* = D/rate instead.

    >>> float(carried_undo(1024, 7.48, 1.93, 0.1).round(2))
    4.61
    """
    way = np.asarray(climbed)
    with np.errstate(over="ignore", divide="ignore"):
        apart = way / rate / np.sqrt(np.asarray(steps))
        return np.asarray(apart * np.sqrt(np.asarray(squares)) + apart**2 / 4, dtype=np.float64)


@checked(start=FINITE, rate=POSITIVE)
def squares_at_constant_speed(start: float, rate: float) -> float:
    """``S = [ln(1 + e^-z_0) - 1/(1 + e^{z_0})]/rate``, the sum of g^2 of an alignment at Adam's first speed, rate a step (R26).

    >>> round(squares_at_constant_speed(0.0, 0.1), 3)
    1.931
    """
    if start < 0:
        return (math.log1p(math.exp(start)) - start - 1 / (1 + math.exp(start))) / rate
    missed = math.exp(-start) / (1 + math.exp(-start))  # p: -ln(1 - p) - p, in which all digits cancel for large z_0
    return missed * missed * log_gap(-missed) / rate


@checked(beta=SHARE)
def late_speed(beta: float) -> float:
    """``-ln(beta_2)/2`` nats a step: how fast noise-free Adam aligns beyond 1/(1-beta_2) steps, where v only fades (R26).

    >>> round(late_speed(0.999), 6)
    0.0005
    """
    return -math.log(beta) / 2


@checked(climbed=POSITIVES, rate=POSITIVE, beta=SHARE)
def late_undo(climbed: ArrayLike, rate: float, beta: float) -> Array:
    """``-ln(beta_2) D^2/(4 rate^2)``: opposed steps, second moment carried from far more than 1/(1-beta_2) noise-free steps (R26).

    v has faded by then and is -ln(beta_2) m after m opposed steps at unit gradient. D grows by `late_speed`, so that the exponent of
    m* in n rises up to 2; where m* comes to 1/(1-beta_2) the speed is one rate a step again, and the exponent 1. Whole steps add 0.73,
    -zeta(1/2)/2, to the root of m*.

    >>> float(late_undo(8.0, 0.05, 0.999).round(2))
    6.4
    """
    with np.errstate(over="ignore"):
        return np.asarray(late_speed(beta) / 2 * (np.asarray(climbed) / rate) ** 2, dtype=np.float64)


@checked(climbed=POSITIVES, noise=NONNEGATIVES)
def carried_exponent(climbed: ArrayLike, noise: ArrayLike = 0.0) -> Array:
    """``3/(2 D) - 1/(2 (1 + noise))``: d ln m*/d ln n with moments carried, within 1/(1-beta_2) steps (R26).

    climbed: D > 0, nats. noise: n q^2/S, what the noise q of a step's gradient adds to S, the sum of g^2. Without noise -0.15 is
    reached at D = 30/7; with noise = 1 the exponent is above 0 up to D = 6.

    >>> carried_exponent([3.0, 30 / 7, 6.0, 6.0], [0.0, 0.0, 0.0, 1.0]).round(3)
    array([ 0.  , -0.15, -0.25,  0.  ])
    """
    with np.errstate(over="ignore", divide="ignore"):
        rising, falling = 1.5 / np.asarray(climbed), 0.5 / (1 + np.asarray(noise))
        return np.asarray(rising - falling, dtype=np.float64)


@checked(exponent=number(above=-0.5, below=0.0), rate=POSITIVE, start=FINITE)
def falling_steps(exponent: float, rate: float, start: float = 0.0) -> float:
    """``n = [(3/2) e^{z_0 + D} sqrt(S r)]^{2/3}/r``, ``D = 3/(1 + 2 e)``: aligning steps after which m* falls with exponent e (R26).

    Moments carried, no noise, a phase shorter than 1/(1-beta_2) and, since a first moment only delays, longer than 1/(1-beta_1).
    S = `squares_at_constant_speed`. For Table 3's -0.15 from even odds it is 13.2/rate.

    >>> round(falling_steps(-0.15, 0.1), 1)
    131.9
    """
    # where S is below the doubles it is e^{-2 z_0}/2
    root = math.log(squares_at_constant_speed(start, 1.0)) / 2 if start < 300 else -start - math.log(2) / 2
    try:
        return math.exp((math.log(1.5) + start + 3 / (1 + 2 * exponent) + root) * 2 / 3) / rate
    except OverflowError:
        return math.inf


@checked(steps=POSITIVES, warm_up=POSITIVES)
def warmed_steps(steps: ArrayLike, warm_up: ArrayLike) -> Array:
    """``n^2/(2 w)`` up to w steps, then ``n - w/2``: how many full steps n steps with a linear warm-up over w are worth (R26).

    Each phase with a warm-up of its own: ``warmed(m) = M(warmed(n))``, M being R22's m*. Exponent of m* in n: half of R22's where m*
    alone is below w, R22's at n^2/(2w) where both are. The steps of `Optimiser.warm_up` are worth half a step's rate more.

    >>> warmed_steps([10, 20, 40], 20)
    array([ 2.5, 10. , 30. ])
    """
    n, w = np.asarray(steps, dtype=np.float64), np.asarray(warm_up, dtype=np.float64)
    with np.errstate(over="ignore"):
        return np.asarray(np.where(n < w, n / 2 * (n / w), n - w / 2), dtype=np.float64)


@checked(steps=POSITIVES, undo=POSITIVES)
def fitted_exponent(steps: ArrayLike, undo: ArrayLike) -> float:
    """The slope of ln m* in ln n by least squares, as Table 3's -0.15 is read.

    >>> round(fitted_exponent([1, 10, 100], [5, 50, 500]), 12)
    1.0
    """
    n, m = np.log(steps), np.log(undo)
    same_shape("fitted_exponent", steps=n, undo=m)
    if n.ndim != 1 or np.unique(n).size < 2:
        raise InputError("fewer than two numbers of steps", where="fitted_exponent", mend="give two or more, in a row")
    return float(np.polyfit(n, m, 1)[0])
