"""Rival laws compared by what each says of readings that it has not seen, along the perturbation and over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from .effective_volumes import estimates_without
from .least_squares import least_squares
from .readings import Readings
from .rival_laws import LAWS, Law, spoken

GRID = 25
"""Values of each of a shape's numbers that are tried before the best is refined."""
ROWS = 500_000
"""Readings that are fitted side by side, which bounds the memory."""
FEW_RUNS = 6
"""From so many runs on, a run is the unit of the test between laws; of fewer runs a reading is."""
FOLDS = 10
"""Parts into which many runs are put when laws are fitted over runs; fewer runs are left out one by one."""
PARTS = 16
"""Parts in which the readings of a run are left out of R16."""
SIGNIFICANT = 0.05
RESAMPLES = 500
"""Draws of the bootstrap over bases, or runs, behind the weights of the laws."""
FEWEST_BASES = 3
"""Bases from which on a draw is of bases: what one base has of its own moves all its runs."""
BALANCE = "balance of the rates (R16)"
"""R16 as a prediction. It reads the other rates at the same l, so it is shown beside the laws but not chosen among them."""


@dataclass(frozen=True, slots=True)
class _Along:
    """Readings of runs (R,), each run once for each reading that is left out (weight 0): problems in the numbers of a shape.

    What is linear, y_0 and D, is projected out of a problem: ``residual = sqrt(w) (y - mean - D (f - mean f))``.
    """

    law: Law
    problem: NDArray[np.intp]
    steps: Array
    rates: Array
    weights: Array

    def keep(self, problems: NDArray[np.intp]) -> _Along:
        mine, renumbered = _kept(self.problem, problems)
        return _Along(self.law, renumbered, self.steps[mine], self.rates[mine], self.weights[mine])

    def fitted(self, numbers: Array) -> Array:
        """y at every reading, the left-out ones too, from the logarithms of the shape's numbers (P, d)."""
        assert self.law.shape is not None
        with np.errstate(all="ignore"):
            shape = self.law.shape(self.steps, np.exp(numbers.T)[:, self.problem])
        f = np.nan_to_num(np.broadcast_to(shape, self.steps.shape), nan=0.0, posinf=1e30, neginf=-1e30)
        whole = np.bincount(self.problem, self.weights)
        f, y = (x - (np.bincount(self.problem, self.weights * x) / whole)[self.problem] for x in (f, self.rates))
        weighted = self.weights * f
        spread, cross = np.bincount(self.problem, weighted * f), np.bincount(self.problem, weighted * y)
        slope = np.divide(cross, spread, out=np.zeros_like(cross), where=spread > 1e-300)
        return np.asarray(self.rates - y + slope[self.problem] * f)

    def residual(self, numbers: Array) -> Array:
        return np.asarray(np.sqrt(self.weights) * (self.rates - self.fitted(numbers)))


def _kept(problem: NDArray[np.intp], problems: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which readings belong to those problems, and the number that each one's problem has among them."""
    place = np.full(int(problem.max(initial=-1)) + 1, -1)
    place[problems] = np.arange(problems.size)
    renumbered = place[problem]
    mine = renumbered >= 0
    return mine, renumbered[mine]


def leave_each_out(law: Law, readings: Sequence[Readings]) -> list[Array | None]:
    """For each run the align rate at every l > 0, shape (J,), in rate_unit: entry j from every align reading but that one.

    None where no reading is to spare, and for a law without a shape. Weighted least squares, exact in y_0 and D, over the
    shape's numbers from the best place of a grid; all readings of all runs side by side.
    """
    residuals: list[Array | None] = [None] * len(readings)
    whole = [i for i, r in enumerate(readings) if law.shape is not None and r.perturbations.size - 1 > law.parameters]
    first = 0
    while first < len(whole):
        last, rows = first, 0
        while last < len(whole) and (last == first or rows < ROWS):
            rows += readings[whole[last]].perturbations.size ** 2
            last += 1
        some = whole[first:last]
        for index, residual in zip(some, _each_out(law, [readings[i] for i in some]), strict=True):
            residuals[index] = residual
        first = last
    return residuals


def leave_one_out(law: Law, readings: Readings) -> Array | None:
    """`leave_each_out` of one run."""
    return leave_each_out(law, [readings])[0]


def _each_out(law: Law, readings: Sequence[Readings]) -> list[Array]:
    ends = np.log([*law.ranges]).reshape(-1, 2).T
    width = (ends[1] - ends[0]) / (GRID - 1)
    weights = [_weights(r.rate_se[1]) * (1.0 - np.eye(r.perturbations.size)[1:]) for r in readings]  # (J, J+1) each
    starts = [_start(law, r.perturbations, r.rates[1], w) for r, w in zip(readings, weights, strict=True)]
    sizes = np.concatenate([np.full(len(w), w.shape[1]) for w in weights])
    along = _Along(
        law,
        np.repeat(np.arange(sizes.size), sizes),
        np.concatenate([np.tile(r.perturbations, len(w)) for r, w in zip(readings, weights, strict=True)]),
        np.concatenate([np.tile(r.rates[1], len(w)) for r, w in zip(readings, weights, strict=True)]),
        np.concatenate([w.ravel() for w in weights]),
    )
    numbers, _ = least_squares(along, np.concatenate(starts), ends[0] - 2.0 * width, ends[1] + 2.0 * width)
    fitted = along.fitted(numbers)
    gaps, place = [], 0
    for w in weights:
        block = fitted[place : place + w.size].reshape(w.shape)
        gaps.append(np.diagonal(block, offset=1).copy())
        place += w.size
    return gaps


def _start(law: Law, steps: Array, rates: Array, weights: Array) -> Array:
    """The best place on the grid of a shape's numbers for each row of weights (K, J+1): logarithms, (K, d)."""
    theta, shapes = _grid(law.name, law.shape, law.ranges, steps.tobytes())
    if not law.ranges:
        return np.zeros((len(weights), 0))
    w = weights / weights.sum(1, keepdims=True)
    y = rates - (w @ rates)[:, None]
    mean = w @ shapes.T
    spread, cross = w @ (shapes**2).T - mean**2, (w * y) @ shapes.T
    with np.errstate(all="ignore"):
        gain = np.where(spread > 1e-12 * (shapes**2).max(1), cross**2 / spread, 0.0)
    return np.asarray(theta.T[gain.argmax(1)])


@lru_cache(maxsize=64)
def _grid(name: str, shape: Any, ranges: tuple[tuple[float, float], ...], steps: bytes) -> tuple[Array, Array]:
    """Every combination of GRID values of a shape's numbers, as logarithms (d, G), and the shape there, (G, J+1)."""
    axes = [np.linspace(np.log(low), np.log(high), GRID) for low, high in ranges]
    theta = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]) if axes else np.zeros((0, 1))
    places = np.frombuffer(steps)
    return theta, np.array(np.broadcast_to(shape(places, np.exp(theta)[:, :, None]), (theta.shape[1], places.size)))


def balance_prediction(readings: Readings) -> Array | None:
    """R16 as a prediction: ``gamma_a(l) = gamma_a(0) + (W gamma_t - K_p D gamma_p)/K_a`` with K from the other readings.

    It uses the pretrain and perturb readings at the same perturbation. Where the others put K_a at 0, gamma_a is free
    in the law, and the prediction is no change. Of more than `PARTS` readings every `PARTS`-th is left out together. None for fewer
    than three perturbations. Shape (J,), in rate_unit.
    """
    balance = readings.balance()
    count = balance.equations
    if count < 3:
        return None
    parts = [np.arange(first, count, PARTS) for first in range(min(PARTS, count))]
    changes = np.zeros(count)
    for part, (volume, kappa) in zip(parts, estimates_without(balance, parts), strict=True):
        if kappa != np.inf and volume != 0:
            changes[part] = balance.terms[2, part] / volume - kappa * balance.terms[0, part]
    return np.asarray(readings.rates[1, 0] + changes)


def _weights(errors: Array) -> Array:
    return 1.0 / errors**2 if (errors > 0).all() else np.ones(errors.size)


# --- over runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pile:
    """The align readings of many runs one after another, shape (R,) each, in the curve's units.

    problem  which runs share their numbers, 0 for all of one pile;  run  rises, and never joins two problems
    """

    problem: NDArray[np.intp]
    run: NDArray[np.intp]
    steps: Array
    rates: Array
    errors: Array
    start: Array
    base: Array
    align: Array

    @classmethod
    def of(cls, readings: Sequence[Readings]) -> _Pile:
        sizes = [r.perturbations.size for r in readings]
        known = all((r.rate_se[1] > 0).all() for r in readings)
        return cls(
            np.zeros(sum(sizes), dtype=np.intp),
            np.repeat(np.arange(len(readings)), sizes),
            np.concatenate([r.perturbations * r.unit for r in readings]),
            np.concatenate([r.rates[1] for r in readings]),
            np.concatenate([r.rate_se[1] for r in readings]) if known else np.ones(sum(sizes)),
            np.repeat([r.rates[1, 0] for r in readings], sizes),
            np.repeat([float(r.volumes[:2].sum()) for r in readings], sizes),
            np.repeat([float(r.volumes[1]) for r in readings], sizes),
        )

    @classmethod
    def stack(cls, piles: Sequence[_Pile]) -> _Pile:
        """Piles one after another, a problem each."""
        columns = [np.concatenate([getattr(pile, name) for pile in piles]) for name in cls.__slots__[2:]]
        sizes = [pile.run.size for pile in piles]
        problem = np.repeat(np.arange(len(piles)), sizes)
        runs = np.concatenate([pile.run for pile in piles])
        turns = (np.diff(runs) != 0) | (np.diff(problem) != 0)
        return cls(problem, np.concatenate([[0], np.cumsum(turns)]), *columns)

    def before(self, law: Law) -> Array:
        """The volume before the perturbation that a law reads."""
        return self.align if law.by_align else self.base

    def told(self, law: Law, numbers: Array) -> Array:
        """What a law says of every reading, from the numbers (P, m) of every problem."""
        with np.errstate(all="ignore"):
            return law.over_runs(numbers.T[:, self.problem], self.steps, self.start, self.before(law))

    def only(self, keep: NDArray[np.bool_]) -> _Pile:
        return _Pile(*(getattr(self, name)[keep] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _OverRuns:
    """The problems of a pile under a law: an offset a run takes out what its baseline reading, which is y_0, is off by."""

    law: Law
    pile: _Pile

    @property
    def problem(self) -> NDArray[np.intp]:
        return self.pile.problem

    def keep(self, problems: NDArray[np.intp]) -> _OverRuns:
        mine, renumbered = _kept(self.pile.problem, problems)
        pile = self.pile.only(mine)
        run = np.concatenate([[0], np.cumsum(np.diff(pile.run) != 0)]) if pile.run.size else pile.run
        return _OverRuns(self.law, replace(pile, problem=renumbered, run=run))

    def residual(self, numbers: Array) -> Array:
        pile, weights = self.pile, 1.0 / self.pile.errors
        gap = np.clip(np.nan_to_num(pile.told(self.law, numbers) - pile.rates, nan=1e6), -1e30, 1e30)
        offset = np.bincount(pile.run, weights**2 * gap) / np.bincount(pile.run, weights**2)
        return np.asarray((gap - offset[pile.run]) * weights)


def fit_over_runs(law: Law, piles: Sequence[_Pile], starts: Sequence[Sequence[Any]] | None = None) -> Array:
    """The numbers that all runs of a pile share, by least squares from the law's starts or the given ones, shape (P, m)."""
    if starts is None:
        starts = [law.starts(pile.steps, pile.rates, pile.start, pile.before(law)) for pile in piles]
    fits = []
    first = 0
    while first < len(piles):
        last, rows = first, 0
        while last < len(piles) and (last == first or rows < ROWS):
            rows += piles[last].run.size * len(starts[last])
            last += 1
        some = range(first, last)
        stack = _Pile.stack([piles[i] for i in some for _ in starts[i]])
        numbers, cost = least_squares(_OverRuns(law, stack), np.array([one for i in some for one in starts[i]]))
        place = 0
        for i in some:
            fits.append(numbers[place + int(cost[place : place + len(starts[i])].argmin())])
            place += len(starts[i])
        first = last
    return np.array(fits)


def leave_runs_out(law: Law, bases: Sequence[_Pile], near: Array | None = None) -> list[Array]:
    """For each pile its align rates, each run's from its own baseline reading and the other runs of the pile.

    Runs are left out one by one, or in `FOLDS` parts where there are more; near: `fit_over_runs` of the piles.
    """
    near = fit_over_runs(law, bases) if near is None else near  # where the parts' fits start from
    rest: list[_Pile] = []
    left: list[tuple[int, NDArray[np.bool_]]] = []
    for index, pile in enumerate(bases):
        runs = int(pile.run[-1]) + 1
        fold = np.arange(runs)[pile.run] % min(FOLDS, runs)
        for part in range(min(FOLDS, runs)):
            left.append((index, fold == part))
            rest.append(pile.only(fold != part))
    numbers = fit_over_runs(law, rest, [[near[index]] for index, _ in left])
    predicted = _Pile.stack([bases[index].only(out) for index, out in left]).told(law, numbers)
    gaps, place = [np.zeros(pile.run.size) for pile in bases], 0
    for index, out in left:
        size = int(out.sum())
        gaps[index][out] = predicted[place : place + size]
        place += size
    return gaps


def foretell(law: Law, bases: Sequence[_Pile]) -> list[Array]:
    """From runs of small alignment volumes to all: for each pile its align rates, nan where it has no `_large` volumes."""
    some = [index for index, pile in enumerate(bases) if _large(pile).any()]
    forecasts = [np.full(pile.run.size, np.nan) for pile in bases]
    if some:
        numbers = fit_over_runs(law, [bases[index].only(~_large(bases[index])) for index in some])
        for index, mine in zip(some, numbers, strict=True):
            forecasts[index] = bases[index].told(law, mine[None])
    return forecasts


def _large(pile: _Pile) -> NDArray[np.bool_]:
    """Which readings belong to runs whose alignment volume is above the median of the distinct ones."""
    return np.asarray(pile.align > np.median(np.unique(pile.align)))


class Judged(TypedDict):
    """A row of `compare_over_bases`, which says what its keys are."""

    name: str
    numbers: int
    heldout_runs: float
    forecast_error: float | None
    weight: float
    kept: bool
    chosen: bool


def compare_over_bases(
    readings: Sequence[Readings],
    bases: Sequence[str],
    laws: Sequence[Law] = LAWS,
    *,
    groups: Sequence[str] | None = None,
) -> list[Judged]:
    """The laws by what they foretell of runs that they have not seen, the numbers shared by the runs of one base only.

    readings: `Readings` whose align rate is the measure; bases: the base of each; groups: what several bases have in common, such
    as the behaviour of which they are seeds, by default nothing. Bases with one run are left aside; none left gives no rows. Rows,
    the best first:

    heldout_runs    root mean square over runs left out in turn, foretold from their first reading and the base's other runs
    forecast_error  the same from small alignment volumes to large ones (`foretell`); null where no base has two volumes
    weight          share of `RESAMPLES` bootstrap draws in which the law misses least (mean of ln of the mean squared error of a
                    run, both kinds of error together): laws that cannot be told apart share it. Draws are of groups where
                    there are `FEWEST_BASES` or more, as `Interval.of_clusters` has it, else of bases, whose runs
                    share their numbers, where there are as many, else of runs
    kept            not told from the best: a weight of 0.05 or more, or no more numbers than the law of the largest weight and a
                    fit to all readings that is worse by no more than their noise allows (`_within_noise`)
    numbers         how many are shared;  chosen  true for the one with the fewest of those that are kept
    """
    return compare_many([(readings, bases)], laws, groups=[bases if groups is None else groups])[0]


def compare_many(
    sets: Sequence[tuple[Sequence[Readings], Sequence[str]]],
    laws: Sequence[Law] = LAWS,
    *,
    groups: Sequence[Sequence[str]] | None = None,
) -> list[list[Judged]]:
    """`compare_over_bases` of many sets of runs and bases, fitted side by side; groups: of each set, by default its bases."""
    piles, kinds = [], []
    for (readings, bases), names in zip(sets, groups or [bases for _, bases in sets], strict=True):
        runs_of: dict[str, list[int]] = {}
        for index, base in enumerate(bases):
            runs_of.setdefault(base, []).append(index)
        several = [mine for mine in runs_of.values() if len(mine) > 1]
        piles.append([_Pile.of([readings[index] for index in mine]) for mine in several])
        kinds.append([names[mine[0]] for mine in several])
    flat = [pile for mine in piles for pile in mine]
    if not flat:
        return [[] for _ in sets]
    every, answers = _Pile.stack(flat), list[_Answers]()
    for law in laws:
        near = fit_over_runs(law, flat)
        left: Array = np.bincount(every.problem, _OverRuns(law, every).residual(near) ** 2).astype(np.float64)
        answers.append((left, leave_runs_out(law, flat, near), foretell(law, flat)))
    ends = np.cumsum([len(mine) for mine in piles])
    parts = [slice(int(end) - len(mine), int(end)) for mine, end in zip(piles, ends, strict=True)]
    return [
        _judged(laws, flat[mine], names, [(left[mine], out[mine], ahead[mine]) for left, out, ahead in answers])
        for mine, names in zip(parts, kinds, strict=True)
    ]


_Answers = tuple[Array, list[Array], list[Array]]
"""What a law leaves of each base, and the align rates of each base by `leave_runs_out` and by `foretell`."""


def _judged(
    laws: Sequence[Law], piles: Sequence[_Pile], groups: Sequence[str], answers: Sequence[_Answers]
) -> list[Judged]:
    """The rows of `compare_over_bases` from what each law says of each base, each of a group."""
    if not piles:
        return []
    every = _Pile.stack(piles)
    large = np.concatenate([_large(pile) for pile in piles])
    later = np.diff(every.run, prepend=-1) == 0
    of_large = large[~later]

    def squares(residuals: Sequence[Array]) -> Array:
        """The mean squared error of each run."""
        gap = np.nan_to_num(np.concatenate(residuals) - every.rates, nan=1e6, posinf=1e6, neginf=-1e6)[later]
        return np.asarray(np.bincount(every.run[later], gap**2) / np.bincount(every.run[later]))

    def rms(each: Array, of: NDArray[np.bool_]) -> float:
        return float(np.sqrt(np.average(each[of], weights=np.bincount(every.run[later])[of])))

    errors, losses = [], []
    for _, out, ahead in answers:
        remaining, forecast = squares(out), squares(ahead)
        logs = np.log(np.maximum([remaining, forecast], 1e-300))
        losses.append(logs[0] + np.where(of_large, logs[1], 0.0))
        errors.append((rms(remaining, np.ones_like(of_large)), rms(forecast, of_large) if of_large.any() else None))
    weights = _bootstrapped(np.array(losses), [int(pile.run[-1]) + 1 for pile in piles], groups)
    left = np.array([left for left, _, _ in answers])
    kept = (weights >= SIGNIFICANT) | _within_noise(left, [law.numbers for law in laws], every, int(weights.argmax()))
    best = min(np.flatnonzero(kept).tolist(), key=lambda index: (len(laws[index].numbers), -weights[index]))
    rows: list[Judged] = [
        {
            "name": law.name,
            "numbers": len(law.numbers),
            "heldout_runs": errors[index][0],
            "forecast_error": errors[index][1],
            "weight": float(weights[index]),
            "kept": bool(kept[index]),
            "chosen": index == best,
        }
        for index, law in enumerate(laws)
    ]
    return sorted(rows, key=lambda row: -row["weight"])


def _bootstrapped(losses: Array, runs: Sequence[int], groups: Sequence[str] | None = None) -> Array:
    """The share of draws in which each law loses least; losses (laws, all runs), how many of them each base has, the bases' groups."""
    names = list(dict.fromkeys(groups or ()))
    if groups is not None and len(names) >= FEWEST_BASES:
        drawn_together = np.repeat([names.index(group) for group in groups], runs)
    else:
        drawn_together = (
            np.arange(losses.shape[1]) if len(runs) < FEWEST_BASES else np.repeat(np.arange(len(runs)), runs)
        )
    sizes = np.bincount(drawn_together)
    sums = np.stack([np.bincount(drawn_together, loss) for loss in losses])
    rng, won = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, sizes.size, sizes.size)
        won.append((sums[:, drawn].sum(1) / sizes[drawn].sum()).argmin())
    return np.bincount(won, minlength=len(losses)) / RESAMPLES


def _within_noise(squares: Array, numbers: Sequence[Sequence[str]], every: _Pile, best: int) -> NDArray[np.bool_]:
    """Which laws of no more numbers than the best fit all readings as well as chance allows: the likelihood ratio of nested laws.

    squares: (laws, P), what is left of each base. Where a law is true and the best one contains it, the best leaves less by
    chi-square of as many degrees of freedom as it has more numbers, P times, in units of the readings' errors; where those are
    not given, or explain less than what the law that fits best leaves, in units of that.
    """
    from scipy.stats import chi2

    counts = np.array([len(own) for own in numbers])
    readings = np.bincount(every.problem)
    runs = np.bincount(every.problem[np.flatnonzero(np.diff(every.run, prepend=-1))])
    freedom = np.maximum(readings - runs - counts[:, None], 1)
    known = np.bincount(every.problem, every.errors != 1.0) > 0
    noise = (squares / freedom).min(0)
    noise = np.maximum(np.where(known, np.maximum(noise, 1.0), noise), 1e-300)
    excess = ((squares - squares[best]) / noise).sum(1)
    allowed = chi2.ppf(1 - SIGNIFICANT, runs.size * np.maximum(counts[best] - counts, 1))
    return np.asarray((counts <= counts[best]) & (excess <= allowed))


# --- the comparison ----------------------------------------------------------------------------------------------


class Compared(TypedDict):
    """A row of `compare`, which says what its keys are."""

    name: str
    parameters: int
    heldout_error: float | None
    heldout_runs: float | None
    p: float | None
    chosen: bool


def compare(
    readings: Sequence[Readings], along: Sequence[Sequence[Array | None]], laws: Sequence[str] | None = None
) -> list[Compared]:
    """Each law with its held-out errors and the test against the best, as plain JSON; `LAWS` first, then R16.

    along: for each run, the leave-one-out predictions of every law and of R16 (`predictions`). laws: the names to compare.
    Runs with different rate_units are not compared: their errors are null, and no law is chosen.

    heldout_error   root mean square over align readings left out in turn, in rate_unit; null where a law could not
                    predict all of them, or the runs differ in rate_unit
    heldout_runs    the same with whole runs left out, predicted from their baseline reading; null for one run
    p               chance of a lead as large as the best law's if the two were equally good, one-sided, both kinds of error
                    together (`_loss`): paired t test over six or more runs, Wilcoxon's signed ranks over the readings of
                    fewer; null for the best and for R16
    chosen          true for one law: of those that the test does not tell from the best (p >= 0.05), the one with the
                    fewest numbers, and among equals the one with the least error
    """
    rows: list[Compared] = []
    losses: list[Array | None] = []
    one_unit = len({r.rate_unit for r in readings}) == 1
    pile = [_Pile.of(readings)] if one_unit and len(readings) > 1 else []
    ends = np.cumsum([r.perturbations.size for r in readings])[:-1]
    for index, name in enumerate([*(law.name for law in LAWS), BALANCE]):
        if laws is not None and name not in laws:
            continue
        law = LAWS[index] if index < len(LAWS) else None
        over = [run[1:] for run in np.split(leave_runs_out(law, pile)[0], ends)] if law and pile else None
        forecasts = [run[index] if one_unit else None for run in along]
        gaps = [None if p is None else np.asarray(p - r.rates[1, 1:]) for p, r in zip(forecasts, readings, strict=True)]
        known = [gap for gap in gaps if gap is not None]
        rows.append(
            {
                "name": name,
                "parameters": law.parameters if law else 2,
                "heldout_error": _rms(known) if len(known) == len(readings) else None,
                "heldout_runs": _rms([o - r.rates[1, 1:] for o, r in zip(over, readings, strict=True)])
                if over
                else None,
                "p": None,
                "chosen": False,
            }
        )
        losses.append(_loss(gaps, over, readings) if law and len(known) == len(readings) else None)
    _choose(rows, losses, len(readings))
    return rows


def undecided(models: Sequence[Compared]) -> list[str]:
    """Of the rows of `compare` the laws that the test does not tell from the best (p >= 0.05), the best first; R16 is none of them."""
    judged = [row for row in models if row["name"] != BALANCE and row["heldout_error"] is not None]
    if not any(row["chosen"] for row in judged):
        return []
    best = [row["name"] for row in judged if row["p"] is None]
    close = [(row["p"], row["name"]) for row in judged if row["p"] is not None and row["p"] >= SIGNIFICANT]
    return [*best, *(name for _, name in sorted(close, key=lambda law: -law[0]))]


def verdict(models: Sequence[Compared]) -> str:
    """What `compare` decides, in a sentence; nothing where no law was compared.

    >>> row = {"heldout_error": 0.1, "chosen": False}
    >>> verdict([row | {"name": "a", "p": None, "chosen": True}, row | {"name": "b", "p": 0.4}, row | {"name": "c", "p": 0.01}])
    'The align rates do not tell apart the a and the b; more runs, or more readings of each, would. Excluded: the c.'
    """
    close = undecided(models)
    if not close:
        return ""
    out = [row["name"] for row in models if row["name"] not in (*close, BALANCE) and row["heldout_error"] is not None]
    rest = f" Excluded: {', '.join(map(spoken, out))}." if out else ""
    named = [spoken(name) for name in close]
    if len(close) == 1:
        return f"Of the laws of the align rates {named[0]} foretells best what it has not seen.{rest}"
    together = f"{', '.join(named[:-1])} and {named[-1]}"
    return f"The align rates do not tell apart {together}; more runs, or more readings of each, would.{rest}"


def predictions(readings: Sequence[Readings]) -> list[list[Array | None]]:
    """For each run the leave-one-out predictions of every law of `LAWS`, then of R16."""
    by_law = [leave_each_out(law, readings) for law in LAWS]
    return [[*rates, balance_prediction(r)] for r, *rates in zip(readings, *by_law, strict=True)]


def _rms(gaps: Sequence[Array]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(gaps) ** 2)))


def _loss(gaps: Sequence[Array | None], over: Sequence[Array] | None, readings: Sequence[Readings]) -> Array:
    """What a law missed: of six or more runs ln of the mean squared error each, of fewer the squared errors one by one.

    Both kinds of held-out error count alike: their logarithms, or their squares in units of a reading's error, are added.
    """
    losses = []
    for index, r in enumerate(readings):
        scale = r.rate_se[1, 1:] if (r.rate_se[1] > 0).all() else np.ones(r.perturbations.size - 1)
        gap = gaps[index]
        assert gap is not None
        kinds = [gap] if over is None else [gap, over[index] - r.rates[1, 1:]]
        squares = [(kind / scale) ** 2 for kind in kinds]
        if len(readings) >= FEW_RUNS:
            losses.append(np.array([sum(np.log(max(float(square.mean()), 1e-300)) for square in squares)]))
        else:
            losses.append(np.asarray(sum(squares)))
    return np.concatenate(losses)


def _choose(rows: list[Compared], losses: Sequence[Array | None], runs: int) -> None:
    """Fill in p and chosen."""
    from scipy.stats import ttest_rel, wilcoxon

    known = {index: loss for index, loss in enumerate(losses) if loss is not None}
    if not known:
        return
    means = {index: float(loss.mean()) for index, loss in known.items()}
    best = min(known, key=lambda index: (means[index], rows[index]["parameters"]))
    for index, loss in known.items():
        if index != best:
            gap = loss - known[best]
            if gap.size < 2 or not float(np.ptp(gap)):
                p = float(not gap.any())
            elif runs >= FEW_RUNS:
                p = float(ttest_rel(loss, known[best], alternative="greater").pvalue)
            else:
                p = float(wilcoxon(gap, alternative="greater").pvalue)
            rows[index]["p"] = p
    kept = [index for index in known if index == best or (rows[index]["p"] or 0.0) >= SIGNIFICANT]
    rows[min(kept, key=lambda index: (rows[index]["parameters"], means[index]))]["chosen"] = True
