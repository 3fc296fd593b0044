"""What durability runs say together: the exponent of m* in n, how first falls change with n (F2), what going back costs (Q1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from elastomath.arrays import Array
from elastomath.fit.crossing import first_crossing
from elastomath.interval import Interval
from elastomath.laws.logit import return_ratio
from elastomath.runs.ledger import Result

from .answers import MEASURES, contrast_of, durability_row, falls_of, phases_of, rise_of
from .constants import jackknifed
from .results import Answer, Course, DurabilityRow, OverGroups

LEVELS = (0.6, 0.9)
"""Shares of the chosen response between which Q1 asks for the costs."""
UNREAD: Course = {"volume": [], "z": []}
"""The way up of rows that were saved without it."""


def pooled_answers(results: Sequence[Result]) -> dict[str, Answer]:
    """For each optimiser, after each algorithm: exponent of m* in n, first falls, and the cost of going back over coming (Q1).

    As `pooled_rows`; where there is one behaviour at one seed only, the interval is a jackknife over its prompts, which says nothing
    of other behaviours and seeds.
    """
    answers = pooled_rows([durability_row(result) for result in results])
    for phases, answer in answers.items():
        for part in (answer, answer.get("vouched", answer)):
            if len(part["groups"]) == 1:
                (group,) = part["groups"]
                own = {"pairs": group["pairs"], "seed": group["seed"]}
                way = [
                    r
                    for r in results
                    if phases_of(r["configuration"]) == phases and own.items() <= r["configuration"].items()
                ]
                part.update(_over_prompts([_Prompts.of(result) for result in way if "perturb" in result["arms"]], part))
    return answers


def pooled_rows(rows: Sequence[DurabilityRow]) -> dict[str, Answer]:
    """The same from the rows of runs, of one experiment or of several together.

    ``exponent_error``: the forecast exponent less the measured one, paired within groups, so that it has no part in how behaviours
    differ. ``return_excess``: the cost of going back over what the logit law says with each one's own constants.

    A group is one behaviour at one seed: its alignment volumes share a base and a way, so slopes are taken within a group.
    Seeds of one behaviour share its prompts and responses, so the interval is over behaviours where there are three or more,
    else over the seeds of these behaviours (`Interval.of_clusters`; ``method`` says which). ``smallest_visible``: the half width,
    the smallest effect that would be seen. ``of_these``: the interval over seeds where that over behaviours is another: it is of these
    behaviours, and says nothing of the next. The first fall is given as its change per doubling of n, and as the factor
    of that (``first_fall_factor``), which weighs behaviours of a small constant as those of a large one. Means of ratios are geometric.
    ``left_out``: groups that do not have the number, as the exponent where one of their runs was not undone. ``vouched``: the same
    over the groups whose cards say that the law applies, where these are some and not all.
    """
    answers: dict[str, Answer] = {}
    for phases in dict.fromkeys(phases_of(row) for row in rows):
        groups: dict[tuple[str, int], list[DurabilityRow]] = {}
        for row in rows:
            if phases_of(row) == phases:
                groups.setdefault((row["pairs"], row["seed"]), []).append(row)
        answers[phases] = _answer(groups)
        vouched = {key: way for key, way in groups.items() if all(row["applies"] for row in way)}
        if 0 < len(vouched) < len(groups):
            answers[phases]["vouched"] = _answer(vouched)
    return answers


def _answer(groups: Mapping[tuple[str, int], Sequence[DurabilityRow]]) -> Answer:
    ways = [sorted(group, key=lambda row: row["n"]) for group in groups.values()]
    runs = [[_Run.of_row(row) for row in way if "undo_volume" in row] for way in ways]
    names = [pairs for pairs, _ in groups]

    def over(statistic: Statistic, *, logs: bool = False) -> OverGroups:
        return _over_groups([statistic(way) for way in runs], names, logs=logs)

    foretold = [forecast_exponent(way) for way in ways]
    errors = [value - _exponent(way) for value, way in zip(foretold, runs, strict=True)]
    excesses = [_log_return_ratio(own) - _log_lawful_ratio(way) for own, way in zip(runs, ways, strict=True)]
    return {
        "exponent": over(_exponent),
        "forecast_exponent": _over_groups(foretold, names),
        "exponent_error": _over_groups(errors, names),
        "first_fall": {name: over(partial(_doubling, measure=name)) for name in MEASURES},
        "first_fall_factor": {name: over(partial(_log_factor, measure=name), logs=True) for name in MEASURES},
        "return_ratio": over(_log_return_ratio, logs=True),
        "return_excess": _over_groups(excesses, names, logs=True),
        "groups": [{"pairs": pairs, "seed": seed} for pairs, seed in groups],
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run says, in means over prompts.

    undone: m*, inf where it never is;  falls: the first fall in each measure;  rise, course: volumes and contrasts on the way up and
    down, each from its first state on
    """

    n: float
    undone: float
    falls: Mapping[str, float]
    rise: tuple[Array, Array]
    course: tuple[Array, Array]

    @classmethod
    def of_row(cls, row: DurabilityRow) -> _Run:
        undone = row["undo_volume"]["estimate"]
        falls = {name: fall["estimate"] for name, fall in row["first_fall"].items()}
        rise, course = _arrays(row.get("rise", UNREAD)), _arrays(row["course"])
        return cls(row["n"], math.inf if undone is None else undone, falls, rise, course)


def _arrays(way: Course) -> tuple[Array, Array]:
    return np.asarray(way["volume"], dtype=np.float64), np.asarray(way["z"], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Prompts:
    """One run, prompt by prompt: contrasts on the way up (J, prompts) and down (K, prompts), each from its first state on.

    volumes of the readings (J,) and (K,), each with 0 first;  falls: the first fall in each measure (prompts,)
    """

    n: float
    up_volumes: Array
    up: Array
    down_volumes: Array
    down: Array
    falls: Mapping[str, Array]

    @classmethod
    def of(cls, result: Result) -> _Prompts:
        end, readings = result["aligned"][-1], result["arms"]["perturb"]["readings"]
        ways = rise_of(result), [end, *readings]
        volumes = [np.array([0.0, *(float(reading["volume"]) for reading in way[1:])]) for way in ways]
        up, down = (np.stack([contrast_of(reading) for reading in way]) for way in ways)
        return cls(float(result["configuration"]["n"]), volumes[0], up, volumes[1], down, falls_of(end, readings))

    def run(self, kept: NDArray[np.int64]) -> _Run:
        """The means over some of its prompts."""
        rise, course = ((self.up_volumes, self.up[:, kept].mean(1)), (self.down_volumes, self.down[:, kept].mean(1)))
        undone = float(first_crossing(self.down_volumes, course[1] - rise[1][0]))
        return _Run(self.n, undone, {name: float(fall[kept].mean()) for name, fall in self.falls.items()}, rise, course)


Statistic = Callable[[Sequence[_Run]], float]
"""A number of the runs of one group; nan where it is not to be had."""


def _exponent(way: Sequence[_Run]) -> float:
    """The slope of ln m* in ln n; nan where a run is not undone, or at once: without it the others would be chosen by their answer."""
    if not all(0 < run.undone < math.inf for run in way):
        return math.nan
    return _slope([(run.n, math.log(run.undone)) for run in way])


def _doubling(way: Sequence[_Run], measure: str) -> float:
    """The change of the first fall for each doubling of n."""
    return _slope([(run.n, run.falls[measure]) for run in way]) * math.log(2)


def _log_factor(way: Sequence[_Run], measure: str) -> float:
    """ln of the factor by which the first fall changes for each doubling of n; nan where one is not above 0.

    A first fall is in units of the behaviour's own constant c, which differs several times over: a factor is free of it.
    """
    if not all(run.falls[measure] > 0 for run in way):
        return math.nan
    return _slope([(run.n, math.log(run.falls[measure])) for run in way]) * math.log(2)


def _log_return_ratio(way: Sequence[_Run]) -> float:
    """ln of the opposed examples from p = 0.9 to 0.6 over aligned ones from 0.6 to 0.9, of mean contrasts, in the longest alignment.

    nan where a way was not read between the two levels: after an alignment that is read at its end alone, a line from the base to
    there would be its course.
    """
    if not way:
        return math.nan
    low, high = (math.log(p / (1 - p)) for p in LEVELS)
    costs = []
    for (volumes, z), sign in ((way[-1].rise, 1.0), (way[-1].course, -1.0)):
        if not ((low < z) & (z < high)).any():
            return math.nan
        passed = [float(first_crossing(volumes, sign * (level - z))) for level in (low, high)]
        if not all(0 < volume < math.inf for volume in passed):
            return math.nan
        costs.append(sign * (passed[1] - passed[0]))
    return math.log(costs[1] / costs[0]) if min(costs) > 0 else math.nan


def _log_lawful_ratio(way: Sequence[DurabilityRow]) -> float:
    """ln of what going back costs over coming by the logit law, c_+/c_- times that of equal constants; nan where one is not above 0."""
    c = way[-1]["c"]
    up, down = ((c[side]["estimate"] if side in c else None) or math.nan for side in ("aligning", "perturbing"))
    return math.log(float(return_ratio(*LEVELS)) * up / down) if up > 0 and down > 0 else math.nan


def forecast_exponent(way: Sequence[DurabilityRow]) -> float:
    """The slope of ln of the forecast in ln n; nan where a run has no forecast."""
    return _slope([(row["n"], math.log(row.get("forecast_undo_volume") or math.nan)) for row in way])


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of values against ln n, by least squares; nan for fewer than two points."""
    if len(points) < 2:
        return math.nan
    n, y = np.array(points).T
    return float(np.polyfit(np.log(n), y, 1)[0])


def _over_prompts(way: Sequence[_Prompts], answer: Answer) -> Answer:
    """What one group says, with intervals over its prompts; what it does not say stays as it is in ``answer``."""

    def over(known: OverGroups, statistic: Statistic, *, logs: bool = False) -> OverGroups:
        if not known["groups"]:
            return known
        rows = np.arange(way[0].up.shape[1])
        value, error = jackknifed(
            lambda left: np.asarray(
                statistic([run.run(rows if left is None else np.delete(rows, left)) for run in way])
            ),
            rows.size,
        )
        make = Interval.of_log if logs else Interval.of_mean
        return _as_answer(make(float(value), float(error), rows.size - 1, method="jackknife over prompts"), 1)

    falls, factors = answer["first_fall"], answer["first_fall_factor"]
    return {
        **answer,
        "exponent": over(answer["exponent"], _exponent),
        "first_fall": {name: over(falls[name], partial(_doubling, measure=name)) for name in MEASURES},
        "first_fall_factor": {
            name: over(factors[name], partial(_log_factor, measure=name), logs=True) for name in MEASURES
        },
        "return_ratio": over(answer["return_ratio"], _log_return_ratio, logs=True),
    }


def _over_groups(values: Sequence[float], behaviours: Sequence[str], *, logs: bool = False) -> OverGroups:
    known = [(value, name) for value, name in zip(values, behaviours, strict=True) if not math.isnan(value)]
    left_out = len(values) - len(known)
    if not known:
        return _as_answer(Interval(None, None, None), 0, left_out)
    over = partial(Interval.of_clusters, *zip(*known, strict=True), names=("behaviours", "seeds"), logs=logs)
    mean, these = over(), over(these=True)
    answer = _as_answer(mean, len(known), left_out)
    if these.closed and these.method != mean.method:
        answer["of_these"] = these.as_dict()
    return answer


def _as_answer(mean: Interval, groups: int, left_out: int = 0) -> OverGroups:
    visible = None if mean.low is None or mean.high is None else (mean.high - mean.low) / 2
    return {
        "estimate": mean.estimate,
        "low": mean.low,
        "high": mean.high,
        "level": mean.level,
        "groups": groups,
        "left_out": left_out,
        "smallest_visible": visible,
        "method": mean.method,
    }
