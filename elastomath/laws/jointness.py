"""R27: are these runs joint optima at all, and if so, of which volumes?

Runs of one class and budget were trained on mixtures w_r of n datasets and read H_r, a rate for each dataset. They are joint
optima of *some* model class iff ``w_r . H_r <= w_r . H_s`` for all r, s (the class of the R models themselves is one; R6).
Then H is a supergradient of the concave function h(w) = min_s w . H_s, so w dH = 0 and the response matrix dH_i/dw_j has w as
its left null vector. If other volumes v counted instead, the same holds for v: the null vector *is* the effective volumes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import SEED, SHARE, as_floats, checked
from ..curve import LARGEST
from ..errors import InputError

POWERS = np.exp(np.linspace(np.log(0.1), np.log(3.0), 61))
"""The powers beta that are tried, in equal ratios; between them a parabola."""
TAIL = 0.01
"""The quantile of the margins that beta makes as large as it can."""
NEAR, PAIRS_PER_DATASET = 0.1, 30
"""Effective volumes come from the nearest tenth of all pairs of runs, or from so many pairs for each dataset."""
DESIGN_POWER, DESIGN_VOLUME = 0.12, 0.25
"""What runs far apart add to the error: of ln beta, and of a volume (standard deviations on mixtures of the designs in use)."""
ROUNDING = 2 * np.finfo(np.float64).eps
"""Relative rounding of one term of a sum: a smaller advantage is a tie."""
LEAST_RUNS = 8
"""Runs that an estimate of the effective volumes takes."""
HALVES, WINDOW, CHUNK = 40, 12, 4_000_000
"""Random halves of the runs behind an interval, powers that they try on either side of beta, and numbers held at once."""


@dataclass(frozen=True, slots=True)
class Jointness:
    """Whether R runs are joint optima (R27).

    runs         R
    comparisons  R (R - 1), the ordered pairs of runs
    violated     in how many of them ``w_r . H_r > w_r . H_s``: run s does better on the mixture of r than r does
    missed       delta_r = max_s (w_r . H_r - w_r . H_s)_+, shape (R,), in the unit of the rates: what r provably missed
    better       the run s that shows it, shape (R,); r itself where nothing does
    shuffled     the share violated where each run is judged by the mixture of the next: what no jointness looks like
    """

    runs: int
    comparisons: int
    violated: int
    missed: Array
    better: NDArray[np.intp]
    shuffled: float

    @property
    def joint(self) -> bool:
        """Whether the runs are joint optima of some model class."""
        return self.violated == 0


@dataclass(frozen=True, slots=True)
class Effective:
    """What the volumes count for, from many runs (R27): each constant as estimate, low, high.

    beta      shape (3,): w_eff ~ w^beta; 1 for joint compression, 0 where a dataset counts the same whatever its volume
    volumes   shape (n, 3): effective volume per nominal volume, 1 on average over the mean mixture; below 0: not to be told
    margin    the margin at beta: 1/2 for infinitely close joint optima, negative where they are none
    level     the nominal coverage of the intervals
    """

    beta: Array
    volumes: Array
    margin: float
    level: float


def jointness(shares: ArrayLike, rates: ArrayLike) -> Jointness:
    """``delta_r = max_s (w_r . H_r - w_r . H_s)_+`` for R runs on n datasets: no constant is fitted (R27).

    shares: w, shape (R, n), >= 0, each run's volumes, or its shares where the budget is the same. rates: H, shape (R, n),
    the rate of each dataset under each run. A run misses at least delta_r on its own mixture, whatever the model class.
    Raises InputError for fewer than two runs, unequal shapes, or numbers that are not finite.

    >>> told = jointness([[0.9, 0.1], [0.1, 0.9]], [[1.0, 3.0], [2.0, 1.5]])
    >>> told.violated, told.comparisons, told.missed
    (0, 2, array([0., 0.]))
    >>> jointness([[0.9, 0.1], [0.1, 0.9]], [[2.0, 1.5], [1.0, 3.0]]).missed.round(3)
    array([0.75, 1.25])
    """
    w, h = _table(shares, rates)
    count = len(w)
    violated = shuffled = 0
    missed, better = np.zeros(count), np.arange(count)
    for first in range(0, count, max(1, CHUNK // count)):
        part = slice(first, first + max(1, CHUNK // count))
        own = np.einsum("rn,rn->r", w[part], h[part])[:, None]
        totals = w[part] @ h.T
        rows = np.arange(len(totals))
        totals[rows, rows + first] = own[:, 0]  # the same number, to the last digit
        slack = ROUNDING * w.shape[1] * (w[part] @ np.abs(h).T)
        beaten = totals < own - slack
        violated += int(np.count_nonzero(beaten))
        best = totals.argmin(axis=1)
        missed[part] = np.where(beaten[rows, best], own[:, 0] - totals[rows, best], 0.0)
        better[part] = np.where(missed[part] > 0, best, rows + first)
        other = np.roll(w, -1, axis=0)[part]
        stray = other @ h.T
        shuffled += int(np.count_nonzero(stray < stray[rows, rows + first][:, None]))
    pairs = count * (count - 1)
    return Jointness(count, pairs, violated, missed, better, shuffled / pairs)


@checked(level=SHARE, seed=SEED)
def effective(shares: ArrayLike, rates: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Effective:
    """The volumes that w count for: ``w_eff ~ w^beta``, and ``w_eff = u w`` dataset by dataset, with intervals (R27).

    For joint optima of volumes v, a = v_r . (H_s - H_r) and b = v_s . (H_r - H_s) are both >= 0, and equal to second order in
    the distance of the runs; for other volumes they have a part of first order with opposite signs. The margin of a pair is
    min(a, b)/(|a| + |b|), with v_r scaled to add up to 1; beta makes its quantile at `TAIL` largest. The u are the vector that
    makes ``u . x = 0`` nearest to true for close pairs, x_i = (w_ri + w_si)/2 (H_ri - H_si): the null vector of the response.
    Both are right in the limit of close runs; what runs far apart add (`DESIGN_POWER`, `DESIGN_VOLUME`) was seen on simulated
    mixtures and is in the intervals, beside the scatter of the estimates from random halves of the runs about that of all.
    On those of 95% all of 450 simulated designs with beta = 1 or 3/2 lay, and 84 to 100 percent with beta = 1/2 and noise.
    Raises InputError as `jointness` does, for fewer than `LEAST_RUNS` runs or a dataset that no run has.

    >>> masses = np.random.default_rng(0).dirichlet(np.ones(50), 3)
    >>> w = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    >>> seen = effective(w, -np.log(w @ masses) @ masses.T)
    >>> seen.beta.round(2)
    array([1.  , 0.79, 1.27])
    """
    w, h = _table(shares, rates)
    count = len(w)
    if count < LEAST_RUNS or not 0 < level < 1:
        raise InputError(
            f"{count} runs, level {level:g}", where="effective", mend=f"at least {LEAST_RUNS} runs, 0 < level < 1"
        )
    if not np.all(w.sum(axis=0) > 0):
        raise InputError("a dataset is in no run", where="effective", mend="leave it out")
    margins = np.stack([_margins(w, h, power).ravel() for power in POWERS])
    pairs = _near_pairs(w, h)
    rng = np.random.default_rng(seed)
    everyone = np.arange(count)
    beta, margin = _power(margins, everyone, count, POWERS)
    volumes = _null_vector(pairs, everyone, count)
    best = int(np.argmin(np.abs(POWERS - beta)))
    window = slice(max(0, best - WINDOW), best + WINDOW + 1)
    around = np.ascontiguousarray(margins[window])
    halves = [rng.choice(count, max(2, count // 2), replace=False) for _ in range(HALVES)]
    powers = np.log([_power(around, half, count, POWERS[window])[0] for half in halves]) - np.log(beta)
    vectors = np.array([_null_vector(pairs, half, count) for half in halves]) - volumes
    return Effective(
        beta=beta * np.exp(_ends(powers, level, DESIGN_POWER)),
        volumes=(volumes + _ends(vectors, level, DESIGN_VOLUME)).T,
        margin=margin,
        level=level,
    )


def margins(shares: ArrayLike, rates: ArrayLike) -> tuple[Array, Array]:
    """The powers that are tried and the margin of the runs at each (its quantile at `TAIL`): what beta is the peak of (R27).

    >>> w = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    >>> powers, margin = margins(w, -np.log(w @ np.eye(3) * 0.9 + 0.1 / 3))
    >>> bool(0.8 < powers[margin.argmax()] < 1.25)
    True
    """
    w, h = _table(shares, rates)
    pairs = np.triu_indices(len(w), 1)
    return POWERS, np.array([np.quantile(_margins(w, h, power)[pairs], TAIL) for power in POWERS])


def _ends(scatter: Array, level: float, design: float) -> Array:
    """0 and both ends of an interval from halves minus all, which is distributed as all minus the truth: the ends change sides."""
    from scipy.special import ndtri

    low, high = np.nanpercentile(scatter, [50 - 50 * level, 50 + 50 * level], axis=0)
    half = design * float(ndtri(0.5 + level / 2))
    return np.stack([np.zeros_like(low), -np.hypot(np.maximum(high, 0), half), np.hypot(np.minimum(low, 0), half)])


def _margins(w: Array, h: Array, power: float) -> Array:
    """min(a, b)/(|a| + |b|) for each pair of runs, shape (R, R), 1/2 where nothing moves."""
    v = np.zeros_like(w)
    np.power(w, power, out=v, where=w > 0)
    v /= v.sum(axis=1, keepdims=True)
    crossed = v @ h.T
    gained = crossed - np.diag(crossed)[:, None]
    size = np.abs(gained) + np.abs(gained.T)
    return np.asarray(np.divide(np.minimum(gained, gained.T), size, out=np.full_like(size, 0.5), where=size > 0))


def _power(margins: Array, runs: NDArray[np.intp], count: int, powers: Array) -> tuple[float, float]:
    """The power whose margin is largest at the quantile `TAIL` among some runs, by a parabola, and that margin."""
    rows, columns = np.triu_indices(len(runs), 1)
    picked = margins.take(runs[rows] * count + runs[columns], axis=1)
    place = max(0, round(TAIL * (picked.shape[1] - 1)))
    power = np.partition(picked, place, axis=1)[:, place]
    at = int(np.argmax(power))
    if not 0 < at < len(powers) - 1:
        return float(powers[at]), float(power[at])
    left, middle, right = power[at - 1 : at + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend else 0.0
    return float(powers[at] * (powers[1] / powers[0]) ** shift), float(middle)


def _near_pairs(w: Array, h: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """The nearest pairs of runs in total variation: their two runs, x scaled to a unit of curvature, and the mean shares."""
    first, second = np.triu_indices(len(w), 1)
    apart = np.abs(w[first] - w[second]).sum(axis=1) / 2
    wanted = min(len(apart), max(round(NEAR * len(apart)), PAIRS_PER_DATASET * w.shape[1]))
    near = np.argpartition(apart, wanted - 1)[:wanted]
    first, second = first[near], second[near]
    moved = h[first] - h[second]
    curved = np.abs(np.einsum("pn,pn->p", w[first] - w[second], moved))
    x = (w[first] + w[second]) / 2 * moved
    kept = curved > 0
    return first[kept], second[kept], x[kept] / curved[kept, None], w.mean(axis=0)


def _null_vector(
    pairs: tuple[NDArray[np.intp], NDArray[np.intp], Array, Array], runs: NDArray[np.intp], count: int
) -> Array:
    """The u with the least ``sum (u . x)^2`` beside ``sum u_i^2 x_i^2``, scaled to ``u . mean w = 1``; nan without pairs."""
    first, second, x, mean = pairs
    inside = np.zeros(count, dtype=bool)
    inside[runs] = True
    taken = x[inside[first] & inside[second]]
    products = taken.T @ taken
    scale = np.sqrt(np.diag(products))
    if len(taken) < x.shape[1] or not np.all(scale > 0):
        return np.full(x.shape[1], np.nan)
    u = np.linalg.eigh(products / np.outer(scale, scale))[1][:, 0] / scale
    return np.asarray(u / (u @ mean))


def _table(shares: ArrayLike, rates: ArrayLike) -> tuple[Array, Array]:
    w, h = as_floats(shares, "shares", "jointness"), as_floats(rates, "rates", "jointness")
    if w.ndim != 2 or w.shape != h.shape or len(w) < 2:
        raise InputError(
            f"shares {w.shape}, rates {h.shape}",
            where="jointness",
            mend="give both as (runs, datasets), two runs or more",
        )
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(h)) and np.all(w >= 0) and np.all(w.sum(axis=1) > 0)):
        raise InputError(
            "a share is negative, a run is empty, or a number is not finite", where="jointness", mend="mend the table"
        )
    if max(w.max(), np.abs(h).max()) > LARGEST or w.sum(axis=1).min() < 1 / LARGEST:
        raise InputError(
            f"a share or a rate beyond {LARGEST:g}, or a run whose shares add up to less than {1 / LARGEST:g}",
            where="jointness",
            mend="write them in another unit",
        )
    return w, h
