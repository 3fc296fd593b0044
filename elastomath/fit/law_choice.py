"""Rival laws compared by what each says of readings that it has not seen, along the perturbation and over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .effective_volumes import estimate
from .readings import Readings
from .rival_laws import LAWS, Law

Array = NDArray[np.float64]
GRID, ROUNDS = 25, 5
"""Values of a shape's number that are tried at a time, and how often the grid is drawn closer around the best."""
FEW_RUNS = 6
"""From so many runs on, a run is the unit of the test between laws; of fewer runs a reading is."""
FOLDS = 10
"""Parts into which many runs are put when laws are fitted over runs; fewer runs are left out one by one."""
SIGNIFICANT = 0.05
RESAMPLES = 500
"""Draws of the bootstrap over runs behind the weights of the laws."""
BALANCE = "balance of the rates (R16)"
"""R16 as a prediction. It reads the other rates at the same l, so it is shown beside the laws but not chosen among them."""


ALONE, FOLDS = 64, 16
"""Readings of a run up to which each is left out alone, and how many shares are left out in turn of a longer one."""


def _folds(count: int) -> int:
    return count if count <= ALONE else FOLDS


def leave_one_out(law: Law, readings: Readings) -> Array | None:
    """The align rate at every l > 0, shape (J,), in rate_unit: entry j from every align reading but that one.

    Of more than `ALONE` readings each is left out together with every `FOLDS`-th one after it, so that the cost is linear in J.
    None where no reading is to spare, and for a law without a shape. Weighted least squares, exact in y_0 and D, on grids in the
    shape's numbers that are drawn closer around the best of each left-out reading.
    """
    steps, rates, errors = readings.perturbations, readings.rates[1], readings.rate_se[1]
    count = steps.size - 1
    if count <= law.parameters or law.shape is None:
        return None
    places = np.arange(count)
    fold = places % _folds(count)
    rows = np.arange(_folds(count))
    weights = np.tile(_weights(errors), (rows.size, 1))
    weights[fold, places + 1] = 0.0
    numbers = len(law.ranges)
    low, high = (
        np.tile(np.log([r[end] for r in law.ranges]), (rows.size, 1)).reshape(rows.size, numbers) for end in (0, 1)
    )
    predicted = np.zeros(count)
    for _ in range(ROUNDS if numbers else 1):
        theta = _grid(low, high)
        each = theta.shape[2]
        shapes = law.shape(steps, np.exp(theta.transpose(1, 0, 2).reshape(numbers, rows.size * each)))
        shapes = np.broadcast_to(shapes.reshape(-1, each, steps.size), (rows.size, each, steps.size))
        cost, fitted = _separable(shapes, rates, weights)
        chosen = cost.argmin(1)
        predicted = fitted[fold, chosen[fold], places + 1]
        middle, width = theta[rows, :, chosen], 1.5 * (high - low) / (GRID - 1)
        low, high = middle - width, middle + width
    return predicted


def balance_prediction(readings: Readings) -> Array | None:
    """R16 as a prediction: ``gamma_a(l) = gamma_a(0) + (W gamma_t - K_p D gamma_p)/K_a`` with K from the other readings.

    It uses the pretrain and perturb readings at the same perturbation. Where the others put K_a at 0, gamma_a is free
    in the law, and the prediction is no change. None for fewer than three perturbations. Shape (J,), in rate_unit.
    """
    balance = readings.balance()
    if balance.equations < 3:
        return None
    changes = np.zeros(balance.equations)
    folds = _folds(balance.equations)
    for first in range(folds):
        out = np.arange(first, balance.equations, folds)
        best = estimate(balance.without(out))
        volume = float(best.volumes[1])
        if best.kappa != np.inf and volume != 0:
            changes[out] = balance.terms[2, out] / volume - best.kappa * balance.terms[0, out]
    return np.asarray(readings.rates[1, 0] + changes)


def _weights(errors: Array) -> Array:
    return 1.0 / errors**2 if (errors > 0).all() else np.ones(errors.size)


def _grid(low: Array, high: Array) -> Array:
    """Every combination of GRID values a number: low, high (K, d) -> (K, d, GRID^d)."""
    axes = low[:, :, None] + (high - low)[:, :, None] * np.linspace(0.0, 1.0, GRID)
    index = np.indices((GRID,) * low.shape[1]).reshape(low.shape[1], GRID ** low.shape[1])
    return np.asarray(axes[:, np.arange(low.shape[1])[:, None], index])


def _separable(shapes: Array, rates: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted least squares of rates on (1, shape): shapes (K, G, J+1), weights (K, J+1) -> cost (K, G), fit (K, G, J+1)."""
    weights = weights / weights.sum(1, keepdims=True)
    mean_f, mean_y = np.einsum("kgj,kj->kg", shapes, weights), (weights @ rates)[:, None]
    f, y = shapes - mean_f[..., None], rates - mean_y
    spread, cross = np.einsum("kgj,kj->kg", f**2, weights), np.einsum("kgj,kj->kg", f, weights * y)
    slope = np.divide(cross, spread, out=np.zeros_like(cross), where=spread > 1e-300)
    cost = (weights * y**2).sum(1)[:, None] - slope * cross
    return cost, mean_y[..., None] + slope[..., None] * f


# --- over runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pile:
    """The align readings of many runs one after another, shape (R,) each, in the curve's units."""

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
            np.repeat(np.arange(len(readings)), sizes),
            np.concatenate([r.perturbations * r.unit for r in readings]),
            np.concatenate([r.rates[1] for r in readings]),
            np.concatenate([r.rate_se[1] for r in readings]) if known else np.ones(sum(sizes)),
            np.repeat([r.rates[1, 0] for r in readings], sizes),
            np.repeat([float(r.volumes[:2].sum()) for r in readings], sizes),
            np.repeat([float(r.volumes[1]) for r in readings], sizes),
        )

    def before(self, law: Law) -> Array:
        """The volume before the perturbation that a law reads."""
        return self.align if law.by_align else self.base

    def only(self, keep: NDArray[np.bool_]) -> _Pile:
        return _Pile(*(getattr(self, name)[keep] for name in self.__slots__))


def fit_over_runs(law: Law, pile: _Pile, starts: Sequence[Sequence[float] | Array] | None = None) -> Array:
    """The numbers that all runs share, by least squares from the law's starts or the given ones, shape (m,).

    A run's own baseline reading enters the law as y_0; an offset a run takes out what that reading is off by.
    """
    from scipy.optimize import least_squares

    weights = 1.0 / pile.errors
    total = np.bincount(pile.run, weights**2)

    def residual(numbers: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            gap = law.over_runs(numbers, pile.steps, pile.start, pile.before(law)) - pile.rates
        gap = np.nan_to_num(gap, nan=1e6, posinf=1e6, neginf=-1e6)
        offset = np.bincount(pile.run, weights**2 * gap) / np.where(total > 0, total, 1.0)
        return np.asarray((gap - offset[pile.run]) * weights)

    found = [
        least_squares(residual, start, x_scale=np.maximum(np.abs(np.asarray(start)), 0.1), max_nfev=200)
        for start in (law.starts(pile.steps, pile.rates, pile.start, pile.before(law)) if starts is None else starts)
    ]
    return np.asarray(min(found, key=lambda answer: answer.cost).x)


def leave_runs_out(law: Law, readings: Sequence[Readings]) -> list[Array] | None:
    """The align rate at every l > 0 of each run, from its own baseline reading and the other runs; None for one run.

    Runs are left out one by one, or in `FOLDS` parts where there are more.
    """
    if len(readings) < 2:
        return None
    pile = _Pile.of(readings)
    fold = np.arange(len(readings)) % min(FOLDS, len(readings))
    predicted = np.zeros(pile.steps.size)
    near = fit_over_runs(law, pile)  # where the parts' fits start from
    for part in range(int(fold.max()) + 1):
        out = fold[pile.run] == part
        numbers = fit_over_runs(law, pile.only(~out), [near])
        left = pile.only(out)
        predicted[out] = law.over_runs(numbers, left.steps, left.start, left.before(law))
    return [predicted[pile.run == index][1:] for index in range(len(readings))]


def foretell(law: Law, readings: Sequence[Readings]) -> dict[int, Array]:
    """From runs of small alignment volumes to those of large ones: {index of a run: its align rate at every l > 0}.

    Fitted on the runs whose volume is at most the median of the distinct volumes; none where there is one volume.
    """
    volumes = np.array([r.volumes[1] for r in readings])
    distinct = np.unique(volumes)
    small = volumes <= np.median(distinct)
    if small.all() or not small.any():
        return {}
    pile = _Pile.of(readings)
    numbers = fit_over_runs(law, pile.only(small[pile.run]))
    told = {}
    for index in np.flatnonzero(~small):
        one = pile.only(pile.run == index)
        told[int(index)] = law.over_runs(numbers, one.steps, one.start, one.before(law))[1:]
    return told


def compare_over_bases(
    readings: Sequence[Readings], bases: Sequence[str], laws: Sequence[Law] = LAWS
) -> list[dict[str, Any]]:
    """The laws by what they foretell of runs that they have not seen, the numbers shared by the runs of one base only.

    readings: `Readings` whose align rate is the measure; bases: the base of each. Bases with one run are left aside; none left
    gives no rows. Rows, the best first:

    heldout_runs    root mean square over runs left out in turn, foretold from their first reading and the base's other runs
    forecast_error  the same from small alignment volumes to large ones (`foretell`); null where no base has two volumes
    weight          share of `RESAMPLES` bootstrap draws over runs in which the law misses least (mean of ln of the mean
                    squared error of a run, both kinds of error together): laws that cannot be told apart share it
    numbers         how many are shared;  chosen  true for the one with the fewest of those with a weight of 0.05 or more
    """
    groups: dict[str, list[int]] = {}
    for index, base in enumerate(bases):
        groups.setdefault(base, []).append(index)
    groups = {base: mine for base, mine in groups.items() if len(mine) > 1}
    if not groups:
        return []
    rows, losses = [], []
    for law in laws:
        held: dict[int, Array] = {}
        ahead: dict[int, Array] = {}
        with np.errstate(all="ignore"):
            for mine in groups.values():
                some = [readings[index] for index in mine]
                held |= dict(zip(mine, leave_runs_out(law, some) or [], strict=False))
                ahead |= {mine[place]: told for place, told in foretell(law, some).items()}
        gaps, further = (
            {
                index: np.nan_to_num(told - readings[index].rates[1, 1:], nan=1e6, posinf=1e6, neginf=-1e6)
                for index, told in kind.items()
            }
            for kind in (held, ahead)
        )
        loss = [
            _log_square(gap) + (_log_square(further[index]) if index in further else 0.0) for index, gap in gaps.items()
        ]
        rows.append(
            {
                "name": law.name,
                "numbers": len(law.numbers),
                "heldout_runs": _rms(list(gaps.values())),
                "forecast_error": _rms(list(further.values())) if further else None,
            }
        )
        losses.append(loss)
    units = np.array(losses)
    draws = np.random.default_rng(0).integers(0, units.shape[1], (RESAMPLES, units.shape[1]))
    weights = np.bincount(units[:, draws].mean(2).argmin(0), minlength=len(rows)) / RESAMPLES
    close = [index for index, weight in enumerate(weights) if weight >= SIGNIFICANT]
    best = min(close, key=lambda index: (rows[index]["numbers"], -weights[index]))
    for index, row in enumerate(rows):
        row |= {"weight": float(weights[index]), "chosen": index == best}
    return sorted(rows, key=lambda row: -float(row["weight"]))


def _log_square(gap: Array) -> float:
    return float(np.log(max(float(np.mean(gap**2)), 1e-300)))


# --- the comparison ----------------------------------------------------------------------------------------------


def compare(
    readings: Sequence[Readings], along: Sequence[Sequence[Array | None]], laws: Sequence[str] | None = None
) -> list[dict[str, Any]]:
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
    rows: list[dict[str, Any]] = []
    losses: list[Array | None] = []
    one_unit = len({r.rate_unit for r in readings}) == 1
    for index, name in enumerate([*(law.name for law in LAWS), BALANCE]):
        if laws is not None and name not in laws:
            continue
        law = LAWS[index] if index < len(LAWS) else None
        over = leave_runs_out(law, readings) if law and one_unit else None
        told = [run[index] if one_unit else None for run in along]
        gaps = [None if p is None else np.asarray(p - r.rates[1, 1:]) for p, r in zip(told, readings, strict=True)]
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


def undecided(models: Sequence[dict[str, Any]]) -> list[str]:
    """Of the rows of `compare` the laws that the test does not tell from the best (p >= 0.05), the best first; R16 is none of them."""
    judged = [row for row in models if row["name"] != BALANCE and row["heldout_error"] is not None]
    if not any(row["chosen"] for row in judged):
        return []
    best = [row["name"] for row in judged if row["p"] is None]
    close = sorted((row for row in judged if (row["p"] or 0.0) >= SIGNIFICANT), key=lambda row: -float(row["p"]))
    return [*best, *(row["name"] for row in close)]


def verdict(models: Sequence[dict[str, Any]]) -> str:
    """What `compare` decides, in a sentence; nothing where no law was compared.

    >>> row = {"heldout_error": 0.1, "chosen": False}
    >>> verdict([row | {"name": "a", "p": None, "chosen": True}, row | {"name": "b", "p": 0.4}, row | {"name": "c", "p": 0.01}])
    'The align rates do not tell apart a and b; more runs, or more readings of each, would. Excluded: c.'
    """
    close = undecided(models)
    if not close:
        return ""
    out = [row["name"] for row in models if row["name"] not in (*close, BALANCE) and row["heldout_error"] is not None]
    rest = f" Excluded: {', '.join(out)}." if out else ""
    if len(close) == 1:
        return f"Of the laws of the align rates {close[0]} foretells best what it has not seen.{rest}"
    named = f"{', '.join(close[:-1])} and {close[-1]}"
    return f"The align rates do not tell apart {named}; more runs, or more readings of each, would.{rest}"


def predictions(readings: Readings) -> list[Array | None]:
    """The leave-one-out predictions of every law of `LAWS`, then of R16."""
    return [*(leave_one_out(law, readings) for law in LAWS), balance_prediction(readings)]


def _rms(gaps: Sequence[Array]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(gaps) ** 2)))


def _loss(gaps: Sequence[Array | None], over: Sequence[Array] | None, readings: Sequence[Readings]) -> Array:
    """What a law missed: of six or more runs ln of the mean squared error each, of fewer the squared errors one by one.

    Both kinds of held-out error count alike: their logarithms, or their squares in units of a reading's error, are added.
    """
    found = []
    for index, r in enumerate(readings):
        scale = r.rate_se[1, 1:] if (r.rate_se[1] > 0).all() else np.ones(r.perturbations.size - 1)
        gap = gaps[index]
        assert gap is not None
        kinds = [gap] if over is None else [gap, over[index] - r.rates[1, 1:]]
        squares = [(kind / scale) ** 2 for kind in kinds]
        if len(readings) >= FEW_RUNS:
            found.append(np.array([sum(np.log(max(float(square.mean()), 1e-300)) for square in squares)]))
        else:
            found.append(np.asarray(sum(squares)))
    return np.concatenate(found)


def _choose(rows: list[dict[str, Any]], losses: Sequence[Array | None], runs: int) -> None:
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
    kept = [index for index in known if index == best or rows[index]["p"] >= SIGNIFICANT]
    rows[min(kept, key=lambda index: (rows[index]["parameters"], means[index]))]["chosen"] = True
