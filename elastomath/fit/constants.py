"""Constants that every run has: what alignment gave, how fast it falls, what undoes it; over documents, and over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import an, checked, listed, number
from ..interval import Interval
from ..shown import natural_order
from .course import Course, passages

OPTIMISERS = re.compile(r"(?<![a-z])(sgd|adamw?(?:-carried)?|adafactor|lion|muon)(?![a-z])", re.IGNORECASE)
"""What a run's name says of its optimiser, where the table has no column of that name."""
SEEDS = ("seed", "source_seed")
"""Covariates over which runs are repeats of each other: the seed of a training, and that of simulated data."""
UNITS = ("measure", "unit", "volume_unit")
"""What a number of a course is, and in which unit: those of runs that differ in it are not put together."""
SFT = "sft"
"""The algorithm of an alignment whose table names none."""
MEASURES = ("contrast", "code_length", "opposed", "probability", "score", "kept")
"""What a first fall is told in, each such that a fall of the behaviour is a fall of the measure (R23): the contrast z, minus the
rate of align, the rate of perturb, sigma(z) of nats a response, a score, minus the rate of pretrain."""


@dataclass(frozen=True, slots=True)
class RunConstants:
    """What one run tells without any law, each an interval over its documents; None where the table cannot say it.

    before, after   the measure before and after alignment;  first_fall  by measure, per unit of volume up to the first reading
    half_life, undo_volume   volumes at which half, and all, of what alignment gave is gone (`Course.passage`), censored where
                    not reached;  undone  the share that is gone at the last reading
    """

    course: Course
    before: Interval | None
    after: Interval
    first_fall: Mapping[str, Interval]
    half_life: Interval | None
    undo_volume: Interval | None
    undone: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON: run, align (n), measure, and the constants."""
        fields = {
            name: _dict(getattr(self, name)) for name in ("before", "after", "half_life", "undo_volume", "undone")
        }
        falls = {name: fall.as_dict() for name, fall in self.first_fall.items()}
        course = self.course
        about = {"run": course.run, "align": course.align, "measure": course.measure, "unit": course.unit}
        return about | fields | {"first_fall": falls}


def _dict(interval: Interval | None) -> dict[str, Any] | None:
    return (
        None
        if interval is None
        else interval.as_dict() | {"censored": interval.estimate is None and interval.low is not None}
    )


LEVEL = number(least=1e-6, below=1.0)
"""The gate of a level from whose intervals errors are read again: they may not be points."""


@checked(course=an(Course), level=LEVEL)
def run_constants(course: Course, level: float = 0.95) -> RunConstants:
    """The constants of one run; see `RunConstants`.

    >>> course = Course("a", "contrast", "nats/response", "examples", np.array([0.0, 8, 16, 32]),
    ...     np.array([2.0, 1.4, 0.8, -0.4]), np.full(4, 0.02), base=0.2, base_error=0.01)
    >>> told = run_constants(course)
    >>> print(told.undo_volume, "|", told.first_fall["contrast"], "|", told.undone)
    24.0 [23.3, 24.6] examples | 0.075 [0.068, 0.082] nats/example | 1.333 [1.306, 1.360]
    """
    reads_base = not math.isnan(course.base)
    error = None if math.isnan(course.base_error) else course.base_error
    before = _mean(course.base, error, level, course.unit) if reads_base else None
    after = _mean(float(course.values[0]), float(course.errors[0]), level, course.unit)
    can_undo = course.values.size > 1 and (reads_base or (course.measure == "contrast" and course.values[0] > 0))
    half, whole = (
        passages(course, [(share, course.level, course.base_error) for share in (0.5, 1.0)], level)
        if can_undo
        else (None, None)
    )
    return RunConstants(
        course,
        before,
        after,
        _first_falls(course, level) if course.values.size > 1 else {},
        half,
        whole,
        course.undone(level) if can_undo else None,
    )


def _mean(value: float, error: float | None, level: float, unit: str) -> Interval:
    if error is None or math.isnan(error):
        return Interval(value, None, None, level, unit, "no error")
    return Interval.of_mean(value, error, math.inf, level=level, unit=unit, method="errors of the readings")


def _first_falls(course: Course, level: float) -> dict[str, Interval]:
    """The fall per unit of volume between the first two readings."""
    volume = float(course.volumes[1] - course.volumes[0])
    readings: dict[str, tuple[Array, Array]] = {course.measure: (course.values, course.errors)}
    if course.measure == "contrast" and "align" in course.rates:
        readings["code_length"] = (-course.rates["align"][0], course.rates["align"][1])
        readings["opposed"] = (course.rates["perturb"][0], course.rates["perturb"][1])
        if course.unit == "nats/response":
            from scipy.special import expit

            p = expit(course.values)
            readings["probability"] = (p, p * (1 - p) * course.errors)
    example = course.volume_unit.removesuffix("s")
    falls = {}
    for name, (values, errors) in readings.items():
        unit = "" if name in ("probability", "score") else course.unit.split("/")[0] + "/"
        error = float(np.hypot(errors[0], errors[1])) / volume
        falls[name] = _mean(float(values[0] - values[1]) / volume, error, level, f"{unit or '1/'}{example}")
    return falls


# --- over runs ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Spread:
    """One constant over the runs of a group: the interval over documents, and the one over seeds (None for one seed)."""

    documents: Interval
    seeds: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """``{documents, seeds}``."""
        return {"documents": _dict(self.documents), "seeds": _dict(self.seeds)}

    @property
    def best(self) -> Interval:
        """The interval over three or more seeds where it closes, or over two where the one over documents does not; else that."""
        seeds, documents = self.seeds, self.documents
        if seeds is None:
            return documents
        if seeds.closed and ("3+" in seeds.method or (documents.estimate is not None and not documents.closed)):
            return seeds
        if documents.low is None and documents.high is None and "3+" in seeds.method:
            return seeds
        return self.documents


@dataclass(frozen=True, slots=True)
class GroupConstants:
    """The constants of runs that differ in nothing but their seed; fields as in `RunConstants`, linear ones averaged."""

    label: str
    align: float | None
    runs: tuple[RunConstants, ...]
    before: Spread | None
    after: Spread
    first_fall: Mapping[str, Spread]
    half_life: Spread | None
    undo_volume: Spread | None
    undone: Spread | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("before", "after", "half_life", "undo_volume", "undone")
        fields = {name: None if getattr(self, name) is None else getattr(self, name).as_dict() for name in names}
        falls = {name: spread.as_dict() for name, spread in self.first_fall.items()}
        about = {"group": self.label, "align": self.align, "runs": [run.course.run for run in self.runs]}
        return about | fields | {"first_fall": falls}


@checked(course=an(Course))
def optimiser(course: Course) -> str:
    """The column ``optimiser`` of a run, else what its name says, else nothing: m* rises with n under one and falls under another (R26)."""
    optimiser_name = course.covariates.get("optimiser")
    if optimiser_name is not None:
        return str(optimiser_name).lower()
    named = OPTIMISERS.search(course.run)
    return "" if named is None else named[1].lower()


@checked(course=an(Course))
def recipe(course: Course) -> str:
    """How a run was trained: its optimiser, and the algorithm of its alignment (column ``algorithm``) where that is not sft.

    >>> at = np.array([0.0, 2.0, 4.0])
    >>> course = Course("one", "contrast", "nats/response", "examples", at, 2 - at, 0.1 + 0 * at, 0.0, 0.1, 16.0)
    >>> from dataclasses import replace
    >>> recipe(replace(course, covariates={"optimiser": "SGD", "algorithm": "dpo"})), recipe(course)
    ('sgd after dpo', '')
    """
    algorithm = str(course.covariates.get("algorithm", SFT)).lower()
    return " after ".join(part for part in (optimiser(course), "" if algorithm == SFT else algorithm) if part)


@checked(courses=listed(an(Course)))
def labels(courses: Sequence[Course]) -> list[str]:
    """What tells the runs apart besides seed and alignment volume: the covariates that vary, and the units; "" for none."""
    names = list(dict.fromkeys(name for course in courses for name in course.covariates))
    kept = []
    for name in names:
        values = [course.covariates.get(name) for course in courses]
        if name in SEEDS or len({str(value) for value in values}) < 2 or _is_volume(values, courses):
            continue
        kept.append((name, values))
    kept += [(name, values) for name in UNITS if len(set(values := [getattr(course, name) for course in courses])) > 1]
    # a covariate that another determines says nothing new
    columns: list[tuple[str, list[Any]]] = []
    for name, values in kept:
        before = {tuple(str(have[i]) for _, have in columns) for i in range(len(courses))}
        after = {(*(str(have[i]) for _, have in columns), str(values[i])) for i in range(len(courses))}
        if len(after) > len(before):
            columns.append((name, values))
    return [
        ", ".join(
            str(values[i]) if isinstance(values[i], str) else f"{name} {_number(values[i])}" for name, values in columns
        )
        for i in range(len(courses))
    ]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@checked(courses=listed(an(Course)))
def bases(courses: Sequence[Course]) -> list[str]:
    """The base that each run began from: its label and its seed."""
    several = [
        name for name in SEEDS if name == "seed" or len({str(course.covariates.get(name)) for course in courses}) > 1
    ]
    shown = []
    for label, course in zip(labels(courses), courses, strict=True):
        seeds = [f"{name.replace('_', ' ')} {course.covariates[name]}" for name in several if name in course.covariates]
        shown.append(", ".join(part for part in (label, *seeds) if part))
    return shown


@checked(course=an(Course))
def seed_of(course: Course) -> str:
    """Which repeat a run is: the values of its `SEEDS`, else its name."""
    values = [str(course.covariates[name]) for name in SEEDS if course.covariates.get(name) is not None]
    return "/".join(values) or course.run


def _is_volume(values: Sequence[Any], courses: Sequence[Course]) -> bool:
    """Whether a covariate is the alignment volume once more."""
    return all(
        isinstance(value, int | float | np.number) and course.align is not None and float(value) == course.align
        for value, course in zip(values, courses, strict=True)
    )


@checked(runs=listed(an(RunConstants)), level=LEVEL)
def grouped(runs: Sequence[RunConstants], level: float = 0.95) -> list[GroupConstants]:
    """The runs' constants over seeds, a group for each label and alignment volume, in the order of the runs."""
    groups: dict[tuple[str, float | None], list[RunConstants]] = {}
    for label, run in zip(labels([run.course for run in runs]), runs, strict=True):
        groups.setdefault((label, run.course.align), []).append(run)
    return [_group(label, align, mine, level) for (label, align), mine in groups.items()]


def _group(label: str, align: float | None, runs: Sequence[RunConstants], level: float) -> GroupConstants:
    def over(get: Callable[[RunConstants], Interval | None], logs: bool = False) -> Spread | None:
        intervals = [value for value in map(get, runs) if value is not None]
        if len(intervals) < len(runs) or not intervals:
            return None
        return _volumes(intervals, level) if logs else _means(intervals, level)

    after = over(lambda run: run.after)
    assert after is not None
    falls = {}
    for name in runs[0].first_fall:
        spread = over(lambda run, name=name: run.first_fall.get(name))  # type: ignore[misc]
        if spread is not None:
            falls[name] = spread
    return GroupConstants(
        label, align, tuple(runs), over(lambda run: run.before), after, falls,
        over(lambda run: run.half_life, True), over(lambda run: run.undo_volume, True), over(lambda run: run.undone),
    )  # fmt: skip


def _means(intervals: Sequence[Interval], level: float) -> Spread | None:
    values = [value.estimate for value in intervals if value.estimate is not None]
    if len(values) < len(intervals):
        return None
    errors = [_error(value) for value in intervals]
    unit = intervals[0].unit
    se = math.nan if None in errors else math.sqrt(sum(e * e for e in errors if e is not None)) / len(values)
    documents = Interval.of_mean(float(np.mean(values)), se, math.inf, level=level, unit=unit, method="over documents")
    seeds = None
    if len(values) > 1:
        seeds = Interval.of_values(values, level=level, unit=unit, method=_over_seeds(len(values)))
    return Spread(documents, seeds)


def _over_seeds(count: int) -> str:
    return f"Student's t over {count} seeds" + (" (3+)" if count >= 3 else "")


def _error(interval: Interval) -> float | None:
    """The standard error behind a symmetric interval."""
    if interval.low is None or interval.high is None:
        return None
    from scipy.special import ndtri

    return (interval.high - interval.low) / (2 * float(ndtri(0.5 + interval.level / 2)))


def _volumes(intervals: Sequence[Interval], level: float) -> Spread:
    """Geometric means of volumes; where a run is censored, a lower bound from the lower ends of all.

    Runs whose readings have no error stand for themselves: their scatter over three or more seeds then lowers the bound.
    """
    from scipy.special import ndtri, stdtrit

    unit, count = intervals[0].unit, len(intervals)
    estimates = [value.estimate for value in intervals if value.estimate is not None and value.estimate > 0]
    lows = [value.low for value in intervals if value.low is not None and value.low > 0]
    highs = [value.high for value in intervals if value.high is not None and value.high > 0]
    normal = float(ndtri(0.5 + level / 2))
    centre = float(np.mean(np.log(estimates))) if len(estimates) == count else None
    ends: list[float | None] = [None, None]
    # the two halves of each interval are errors of their own: skewed intervals stay skewed
    for place, sign, have in ((0, -1.0, lows), (1, 1.0, highs)):
        if len(have) < count:
            continue
        if centre is None:
            ends[place] = math.exp(float(np.mean(np.log(have))))
            continue
        halves = np.abs(np.log(have) - np.log(estimates)) / normal
        ends[place] = math.exp(centre + sign * normal * float(np.sqrt((halves**2).sum())) / count)
    floors = np.log(
        [value.low or (value.estimate if value.method == "no error" else None) or math.nan for value in intervals]
    )
    if centre is None and ends == [None, None] and count >= 3 and np.isfinite(floors).all():
        half = float(stdtrit(count - 1, 0.5 + level / 2) * floors.std(ddof=1)) / math.sqrt(count)
        ends[0] = math.exp(float(floors.mean()) - half)
    estimate = None if centre is None else math.exp(centre)
    method = "over documents" if centre is not None else "not reached"
    documents = Interval(estimate, ends[0], ends[1], level, unit, method)
    seeds = None
    if count > 1 and centre is not None:
        seeds = Interval.of_logs(np.log(estimates), level=level, unit=unit, method=_over_seeds(count))
    return Spread(documents, seeds)


# --- answers over groups -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Answers:
    """What the runs say together; None where they cannot.

    exponent    b in m* ~ n^b over runs of one base and seed, pooled; one-sided where an undo volume has an open end
    first_fall  by measure: its change for each doubling of n
    first_fall_factor  by measure: the factor of that, a geometric mean over bases, for those whose first falls are all above 0: a first
                fall is in units of a behaviour's own constant, so that their mean change is that of the behaviours of a large one
    resistance  held-out loss after training forward less the one after training back, mean over pairs of slices (F1)
    control     share of the fall that the control does not explain
    by_optimiser  where runs were trained by several recipes: exponent and first falls of each (`recipe`), which are then not pooled
    """

    exponent: Spread | None
    first_fall: Mapping[str, Spread]
    resistance: Spread | None
    control: Spread | None
    by_optimiser: Mapping[str, Answers] = field(default_factory=dict)
    first_fall_factor: Mapping[str, Spread] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("exponent", "resistance", "control")
        fields: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name).as_dict() for name in names
        }
        fields["first_fall_per_doubling"] = {name: fall.as_dict() for name, fall in self.first_fall.items()}
        fields["first_fall_factor_per_doubling"] = {
            name: factor.as_dict() for name, factor in self.first_fall_factor.items()
        }
        if self.by_optimiser:
            fields["by_optimiser"] = {name: mine.as_dict() for name, mine in self.by_optimiser.items()}
        return fields


@checked(runs=listed(an(RunConstants), empty=False), level=LEVEL)
def answers(runs: Sequence[RunConstants], level: float = 0.95) -> Answers:
    """Slopes over alignment volumes within each base (label and seed), their mean over bases, resistance and control.

    Runs of several recipes (optimisers, or algorithms of the alignment) are read apart: an exponent of both would be that of
    neither.
    """
    kinds: dict[str, list[RunConstants]] = {}
    for run in runs:
        kinds.setdefault(recipe(run.course), []).append(run)
    if len(kinds) > 1:
        apart = {name or "another": answers(mine, level) for name, mine in kinds.items()}
        return Answers(None, {}, _resistance(runs, level), _control(runs, level), apart)
    several = {base: way for base, way in _by_base(runs).items() if len({run.course.align for run in way} - {None}) > 1}
    ways, groups = list(several.values()), [group for group, _ in several]
    one_unit = len({(run.course.unit, run.course.volume_unit) for way in ways for run in way}) == 1
    measures = [name for name in MEASURES if all(name in run.first_fall for way in ways for run in way)]
    falls, factors = dict[str, Spread](), dict[str, Spread]()
    for name in measures:
        for spreads, logs in ((falls, False), (factors, True)):
            slopes = [
                _slope([(run.course.align or 0.0, run.first_fall[name]) for run in way], logs=logs) for way in ways
            ]
            spread = _pooled(slopes, groups, level, scale=math.log(2), logs=logs) if one_unit or logs else None
            if spread is not None:
                spreads[name] = spread
    return Answers(
        _exponent(ways, groups, level), falls, _resistance(runs, level), _control(runs, level),
        first_fall_factor=factors,
    )  # fmt: skip


def _by_base(runs: Sequence[RunConstants]) -> dict[tuple[str, str], list[RunConstants]]:
    """The runs of each base, by its group (runs that differ in their seed and alignment volume only) and its name."""
    ways: dict[tuple[str, str], list[RunConstants]] = {}
    courses = [run.course for run in runs]
    for group, base, run in zip(labels(courses), bases(courses), runs, strict=True):
        ways.setdefault((group, base), []).append(run)
    return ways


def _slope(points: Sequence[tuple[float, Interval]], logs: bool = False) -> tuple[float, float] | None:
    """Slope in ln n, by least squares over (n, a constant), with its error from the constants' own; ``logs``: of the constant's logarithm.

    None where a constant has no estimate or, for its logarithm, one that is not above 0.
    """
    known = [(math.log(n), constant) for n, constant in points if n]
    n = np.array([x for x, _ in known])
    values = np.array([math.nan if constant.estimate is None else constant.estimate for _, constant in known])
    if len(known) < 2 or np.isnan(values).any() or not np.ptp(n) or (logs and values.min() <= 0):
        return None
    weights = (n - n.mean()) / float(((n - n.mean()) ** 2).sum())
    errors = np.array([math.nan if (error := _error(constant)) is None else error for _, constant in known])
    if logs:
        values, errors = np.log(values), errors / values
    return float(weights @ values), float(np.linalg.norm(weights * errors))


def _pooled(
    slopes: Sequence[tuple[float, float] | None],
    groups: Sequence[str],
    level: float,
    scale: float = 1.0,
    unit: str = "",
    logs: bool = False,
) -> Spread | None:
    """The mean over groups of the slopes of their bases; None where one is missing, for the others would be chosen by what they measure.

    Bases of one group (a behaviour at several seeds) have in common what is its own: the interval over bases is
    `Interval.of_clusters`. ``logs``: they are logarithms, and the mean a geometric one.
    """
    known = [slope for slope in slopes if slope is not None]
    if not known or len(known) < len(slopes):
        return None
    values, errors = (scale * np.array(column) for column in zip(*known, strict=True))
    kinds = len(set(groups))
    weights = np.array([1 / (kinds * groups.count(group)) for group in groups])
    documents = (Interval.of_log if logs else Interval.of_mean)(
        float(weights @ values), float(np.linalg.norm(weights * errors)), math.inf,
        level=level, unit=unit, method="over documents",
    )  # fmt: skip
    if values.size < 2:
        return Spread(documents, None)
    names = ("bases" if kinds == values.size else "settings", "bases")
    over = Interval.of_clusters(values, groups, level=level, unit=unit, names=names, logs=logs)
    known_well = " (3+)" if kinds >= 3 or values.size - kinds >= 2 else ""
    return Spread(documents, replace(over, method=over.method + known_well))


def _exponent(ways: Sequence[Sequence[RunConstants]], groups: Sequence[str], level: float) -> Spread | None:
    """d ln m*/d ln n. A volume with an open end bounds it from one side, where every volume has the end which that takes.

    None where some base has none, or bases are bounded from different sides: the rest would be chosen by what it measures.
    """
    slopes = [slope for slope in map(_exponent_of, ways) if slope is not None]
    pairs = [(slope.value, slope.error) for slope in slopes]
    spread = _pooled(pairs, groups, level) if len(slopes) == len(ways) else None
    if spread is None or not (all(slope.low for slope in slopes) or all(slope.high for slope in slopes)):
        return None
    low, high, estimated = (all(getattr(slope, name) for slope in slopes) for name in ("low", "high", "estimated"))

    def bound(interval: Interval | None) -> Interval | None:
        if interval is None:
            return None
        estimate = interval.estimate if estimated else None
        return replace(
            interval, estimate=estimate, low=interval.low if low else None, high=interval.high if high else None
        )

    documents = spread.documents if low and high else bound(spread.documents)
    assert documents is not None
    return Spread(documents, spread.seeds if estimated else bound(spread.seeds))


@dataclass(frozen=True, slots=True)
class _Exponent:
    """The exponent of one base and its error: low and high, whether it bounds from below and above; else ``value`` is not one."""

    value: float
    error: float
    low: bool
    high: bool
    estimated: bool


def _exponent_of(way: Sequence[RunConstants]) -> _Exponent | None:
    """Least squares in ln n over the runs of one base; a volume that is not known enters with the end that bounds the slope."""
    aligned = [run for run in way if run.course.align]
    n = np.log([run.course.align or 1.0 for run in aligned])
    if n.size < 2 or not np.ptp(n):
        return None
    weights = (n - n.mean()) / float(((n - n.mean()) ** 2).sum())
    weights[np.abs(weights) < 1e-9 * np.abs(weights).max()] = 0.0  # a middle one says nothing of the slope
    counted = [run for run, weight in zip(aligned, weights, strict=True) if weight]
    points = [(run, volume) for run in counted if (volume := run.undo_volume) is not None and any(_ends(volume))]
    if len(points) < len(counted):
        return None
    weights = weights[weights != 0]
    estimated = all(volume.estimate for _, volume in points)
    errors = [_log_errors(run, volume) if volume.closed and volume.low else None for run, volume in points]
    below, above = (_from_one_side(points, errors, weights, sign) for sign in (1.0, -1.0))
    if below is not None or above is not None:
        value, error = below or above or (math.nan, math.nan)
        return _Exponent(value, error, below is not None, above is not None, estimated)
    if not estimated:
        return None
    logs = np.log([volume.estimate or 1.0 for _, volume in points])
    return _Exponent(float(weights @ logs), math.nan, True, True, True)


def _ends(volume: Interval) -> tuple[float | None, float | None, float | None]:
    return volume.estimate, volume.low, volume.high


def _from_one_side(
    points: Sequence[tuple[RunConstants, Interval]],
    errors: Sequence[tuple[float, float] | None],
    weights: Array,
    sign: float,
) -> tuple[float, float] | None:
    """The slope and its error towards one side (1: from below); None where a volume has no end there."""
    logs, apart, shared = np.zeros(weights.size), np.zeros(weights.size), np.zeros(weights.size)
    for index, ((run, volume), weight) in enumerate(zip(points, weights, strict=True)):
        end = volume.low if weight * sign > 0 else volume.high
        if not end:
            if not volume.estimate or volume.method != "no error":
                return None
            logs[index], apart[index] = math.log(volume.estimate), math.nan  # taken at its word: only seeds say more
            continue
        logs[index] = math.log(volume.estimate or end)
        both = errors[index]
        if both is not None:
            # the reading before alignment is the same for all runs of a base: it moves them together
            apart[index], shared[index] = both
        else:
            apart[index] = abs(math.log(end) - logs[index]) / run.course.quantile(volume.level)
    return float(weights @ logs), math.hypot(float(np.linalg.norm(weights * apart)), float(weights @ shared))


def _log_errors(run: RunConstants, interval: Interval) -> tuple[float, float]:
    """The error of ln m* from the readings of the perturbation, and what one standard error of the base moves it by."""
    course, base = run.course, run.course.level
    error = 0.0 if math.isnan(run.course.base_error) else run.course.base_error
    alone, *beside = passages(course, [(1.0, base + shift, 0.0) for shift in (0.0, -error, error)], interval.level)
    low, high = alone.low or math.nan, alone.high or math.nan
    quantile = course.quantile(interval.level)
    moved = [passage.estimate for passage in beside]
    if error == 0 or not all(moved):
        return math.log(interval.high / interval.low) / (
            2 * quantile
        ) if interval.high and interval.low else math.nan, 0.0
    own = math.log(high / low) / (2 * quantile) if 0 < low < high else math.nan
    return own, math.log((moved[1] or 1.0) / (moved[0] or 1.0)) / 2


def _resistance(runs: Sequence[RunConstants], level: float) -> Spread | None:
    """Over pairs of slices k < l and seeds: held-out loss after ``k -> D_l`` less the one after ``l -> D_k`` (F1, as the paper has it).

    The two losses are on other texts, so their errors within a run say nothing of the gap: it has an interval over seeds only.
    """
    by_way: dict[tuple[str, str, str], Course] = {}
    for run in runs:
        about = run.course.covariates
        if "start" not in about or "target" not in about or run.course.measure != "contrast":
            return None
        if run.course.unit != runs[0].course.unit:
            return None
        by_way[str(about["start"]), str(about["target"]), str(about.get("seed", ""))] = run.course
    gaps: dict[str, list[float]] = {}
    for (start, target, seed), there in by_way.items():
        back = by_way.get((target, start, seed))
        if back is not None and natural_order(start) < natural_order(target):
            gaps.setdefault(seed, []).append(float(there.rates["perturb"][0, -1] - back.rates["perturb"][0, -1]))
    means = [(float(np.mean(mine)), math.nan) for mine in gaps.values()]
    return _pooled(means, [""] * len(means), level, unit=runs[0].course.unit)


def _control(runs: Sequence[RunConstants], level: float) -> Spread | None:
    """``1 - fall of the control / fall of the perturbation`` at the last common volume, over pairs of runs that differ in ``arm``.

    A base has the mean over its alignment volumes, and the mean of their errors: their readings are of the same documents. None where
    a perturbation made nothing fall: the mean of the other pairs would be chosen by what it measures.
    """
    courses = [
        replace(run.course, covariates={name: value for name, value in run.course.covariates.items() if name != "arm"})
        for run in runs
    ]
    arms: dict[tuple[str, str], dict[float | None, dict[str, Course]]] = {}
    for group, base, run in zip(labels(courses), bases(courses), runs, strict=True):
        arm = str(run.course.covariates.get("arm", ""))
        arms.setdefault((group, base), {}).setdefault(run.course.align, {})[arm] = run.course
    shares = {key: [share for pair in pairs.values() for share in _beyond_control(pair)] for key, pairs in arms.items()}
    shares = {key: mine for key, mine in shares.items() if mine}
    means = [
        (float(np.mean([share for share, _ in mine])), float(np.mean([error for _, error in mine])))
        for mine in shares.values()
    ]
    return _pooled([None if math.isnan(mean[0]) else mean for mean in means], [group for group, _ in shares], level)


def _beyond_control(pair: Mapping[str, Course]) -> list[tuple[float, float]]:
    """The share of one pair's fall that the control does not explain, and its error: nan without a fall, nothing without a pair."""
    control, opposed = pair.get("control"), pair.get("perturb")
    if control is None or opposed is None or control.measure != opposed.measure:
        return []
    common = sorted(set(control.volumes.tolist()) & set(opposed.volumes.tolist()))
    if len(common) < 2:
        return []
    falls, errors = [], []
    for course in (control, opposed):
        at = int(np.flatnonzero(course.volumes == common[-1])[0])
        falls.append(float(course.values[0] - course.values[at]))
        errors.append(float(np.hypot(course.errors[0], course.errors[at])))
    ratio = falls[0] / falls[1] if falls[1] > 0 else math.nan
    return [(1 - ratio, float(np.hypot(errors[0], ratio * errors[1])) / (falls[1] or math.nan))]
