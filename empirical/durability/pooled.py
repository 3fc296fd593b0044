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
from elastomath.runs.ledger import Result

from .answers import MEASURES, contrast_of, durability_row, falls_of, phases_of
from .gradients import jackknifed
from .results import Answer, OverGroups

LEVELS = (0.6, 0.9)
"""Shares of the chosen response between which Q1 asks for the costs."""


def pooled_answers(results: Sequence[Result]) -> dict[str, Answer]:
    """For each optimiser, after each algorithm: exponent of m* in n, first falls, and the cost of going back over coming (Q1).

    A group is one behaviour at one seed: its alignment volumes share a base and a way, so slopes are taken within a group.
    Seeds of one behaviour share its prompts and responses, so the interval is over behaviours where there are three or more,
    else over the seeds of these behaviours (`Interval.of_clusters`; ``method`` says which). Where there is one group only it is a
    jackknife over that group's prompts, which says nothing of other behaviours and seeds. ``smallest_visible``: the half width,
    the smallest effect that would be seen. The first fall is given as its change per doubling of n, and as the factor
    of that (``first_fall_factor``), which weighs behaviours of a small constant as those of a large one. Means of ratios are geometric.
    ``left_out``: groups that do not have the number, as the exponent where one of their runs was not undone. ``vouched``: the same
    over the groups whose cards say that the law applies, where these are some and not all.
    """
    answers: dict[str, Answer] = {}
    for optimiser in dict.fromkeys(phases_of(result["configuration"]) for result in results):
        groups: dict[tuple[str, int], list[Result]] = {}
        for result in results:
            if phases_of(result["configuration"]) == optimiser:
                about = result["configuration"]
                groups.setdefault((about["pairs"], about["seed"]), []).append(result)
        answers[optimiser] = _answer(groups)
        vouched = {key: way for key, way in groups.items() if all(result["forecast"]["applies"] for result in way)}
        if 0 < len(vouched) < len(groups):
            answers[optimiser]["vouched"] = _answer(vouched)
    return answers


def _answer(groups: Mapping[tuple[str, int], Sequence[Result]]) -> Answer:
    ways = [sorted(group, key=lambda r: r["configuration"]["n"]) for group in groups.values()]
    courses = [[_Course.of(result) for result in way if "perturb" in result["arms"]] for way in ways]
    names = [pairs for pairs, _ in groups]
    return {
        "exponent": _pooled(courses, names, _exponent),
        "forecast_exponent": _over_groups([_forecast_exponent(way) for way in ways], names),
        "first_fall": {name: _pooled(courses, names, partial(_doubling, measure=name)) for name in MEASURES},
        "first_fall_factor": {
            name: _pooled(courses, names, partial(_log_factor, measure=name), logs=True) for name in MEASURES
        },
        "return_ratio": _pooled(courses, names, _log_return_ratio, logs=True),
        "groups": [{"pairs": pairs, "seed": seed} for pairs, seed in groups],
    }


@dataclass(frozen=True, slots=True)
class _Course:
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
    def of(cls, result: Result) -> _Course:
        end, readings = result["aligned"][-1], result["arms"]["perturb"]["readings"]
        ways = [result["adapted"]["readings"][-1], *result["aligned"]], [end, *readings]
        volumes = [np.array([0.0, *(float(reading["volume"]) for reading in way[1:])]) for way in ways]
        up, down = (np.stack([contrast_of(reading) for reading in way]) for way in ways)
        return cls(float(result["configuration"]["n"]), volumes[0], up, volumes[1], down, falls_of(end, readings))

    def undone(self, kept: NDArray[np.int64]) -> float:
        """m*, where the mean contrast of some prompts is back at their start; inf where it never is."""
        return float(first_crossing(self.down_volumes, (self.down - self.up[0])[:, kept].mean(1)))


Statistic = Callable[[Sequence[_Course], NDArray[np.int64]], float]
"""A number of the runs of one group, over some of its prompts; nan where it is not to be had."""


def _exponent(way: Sequence[_Course], kept: NDArray[np.int64]) -> float:
    """The slope of ln m* in ln n; nan where a run is not undone, or at once: without it the others would be chosen by their answer."""
    points = [(course.n, course.undone(kept)) for course in way]
    if not all(0 < volume < math.inf for _, volume in points):
        return math.nan
    return _slope([(n, math.log(volume)) for n, volume in points])


def _doubling(way: Sequence[_Course], kept: NDArray[np.int64], measure: str) -> float:
    """The change of the first fall for each doubling of n."""
    return _slope([(course.n, float(course.falls[measure][kept].mean())) for course in way]) * math.log(2)


def _log_factor(way: Sequence[_Course], kept: NDArray[np.int64], measure: str) -> float:
    """ln of the factor by which the first fall changes for each doubling of n; nan where one is not above 0.

    A first fall is in units of the behaviour's own constant c, which differs several times over: a factor is free of it.
    """
    falls = [(course.n, float(course.falls[measure][kept].mean())) for course in way]
    if not all(fall > 0 for _, fall in falls):
        return math.nan
    return _slope([(n, math.log(fall)) for n, fall in falls]) * math.log(2)


def _log_return_ratio(way: Sequence[_Course], kept: NDArray[np.int64]) -> float:
    """ln of the opposed examples from p = 0.9 to 0.6 over aligned ones from 0.6 to 0.9, of mean contrasts, in the longest alignment."""
    if not way:
        return math.nan
    low, high = (math.log(p / (1 - p)) for p in LEVELS)
    course, costs = way[-1], []
    for volumes, contrasts, sign in ((course.up_volumes, course.up, 1.0), (course.down_volumes, course.down, -1.0)):
        z = contrasts[:, kept].mean(1)
        passed = [float(first_crossing(volumes, sign * (level - z))) for level in (low, high)]
        if not all(0 < volume < math.inf for volume in passed):
            return math.nan
        costs.append(sign * (passed[1] - passed[0]))
    return math.log(costs[1] / costs[0]) if min(costs) > 0 else math.nan


def _forecast_exponent(way: Sequence[Result]) -> float:
    """The slope of ln of the forecast in ln n; nan where a run has no forecast."""
    rows = [durability_row(result) for result in way]
    volumes = [row.get("forecast_undo_volume") or math.nan for row in rows]
    return _slope([(row["n"], math.log(volume)) for row, volume in zip(rows, volumes, strict=True)])


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of values against ln n, by least squares; nan for fewer than two points."""
    if len(points) < 2:
        return math.nan
    n, y = np.array(points).T
    return float(np.polyfit(np.log(n), y, 1)[0])


def _pooled(
    ways: Sequence[Sequence[_Course]], behaviours: Sequence[str], statistic: Statistic, *, logs: bool = False
) -> OverGroups:
    """A statistic over groups, each of a behaviour, or over the prompts of the only group; ``logs``: it is a logarithm."""
    rows = [np.arange(way[0].up.shape[1]) if way else np.arange(0) for way in ways]
    values = [statistic(way, kept) for way, kept in zip(ways, rows, strict=True)]
    pooled = _over_groups(values, behaviours, logs=logs)
    if len(ways) > 1 or not pooled["groups"]:
        return pooled
    count = rows[0].size
    value, error = jackknifed(
        lambda left: np.asarray(statistic(ways[0], rows[0] if left is None else np.delete(rows[0], left))), count
    )
    make = Interval.of_log if logs else Interval.of_mean
    return _as_answer(make(float(value), float(error), count - 1, method="jackknife over prompts"), 1)


def _over_groups(values: Sequence[float], behaviours: Sequence[str], *, logs: bool = False) -> OverGroups:
    known = [(value, name) for value, name in zip(values, behaviours, strict=True) if not math.isnan(value)]
    left_out = len(values) - len(known)
    if not known:
        return _as_answer(Interval(None, None, None), 0, left_out)
    mean = Interval.of_clusters(*zip(*known, strict=True), names=("behaviours", "seeds"), logs=logs)
    return _as_answer(mean, len(known), left_out)


def _as_answer(mean: Interval, groups: int, left_out: int = 0) -> OverGroups:
    visible = None if mean.low is None or mean.high is None else (mean.high - mean.low) / 2
    return {
        **mean.as_dict(),
        "groups": groups,
        "left_out": left_out,
        "smallest_visible": visible,
        "method": mean.method,
    }
