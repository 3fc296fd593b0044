"""The course of a behaviour under a perturbation: one measure read along a run, smoothed, and where it has come down to a level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import SHARE, an, checked, listed, number, reals
from ..curve import Curve, Run
from ..errors import InputError
from ..interval import Interval
from ..units import NATS_PER_BIT

GRID = 600
"""Volumes at which a smoothed course is asked for its passage."""
MOST_TERMS = 9
"""The most numbers that a smoothed course may have."""
MISFIT = 0.05
"""A smoother course than this chance of its scatter is not smooth enough to be true: it gets one more number."""


def _places(volumes: Any, name: str, where: str) -> Array:
    """The gate of one volume, or of several in a row."""
    array = reals(volumes, name, where, least=0.0)
    if array.ndim > 1 or not array.size:
        raise InputError(f"{name} have shape {array.shape}", where=where, mend="give one volume, or several in a row")
    return array


@dataclass(frozen=True, slots=True)
class Course:
    """One measure of a behaviour in one run, read after each volume of the perturbation.

    measure     contrast (rate of perturb less rate of align), score, or kept (minus the rate of pretrain, where there is no align)
    volumes     (J,), rising from 0 where the run has a reading there;  values, errors  (J,), errors nan where none is given
    base        the measure before alignment and base_error its error, nan where it is not known
    align       n, the volume of the alignment; None where the table does not say
    rates       rate of each component and its errors, (2, J)
    """

    run: str
    measure: str
    unit: str
    volume_unit: str
    volumes: Array
    values: Array
    errors: Array
    base: float = math.nan
    base_error: float = math.nan
    align: float | None = None
    rates: Mapping[str, Array] = field(default_factory=dict)
    covariates: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known_errors(self) -> bool:
        """Whether every reading has its error."""
        return not bool(np.isnan(self.errors).any())

    @property
    def level(self) -> float:
        """What an undone behaviour comes down to: the base where it is known, else even odds (0)."""
        return 0.0 if math.isnan(self.base) else self.base

    def smoothed(self) -> Smoothed:
        """The course as a spline of few numbers by weighted least squares (`Smoothed`)."""
        return _smoothed(self)

    @checked(level=SHARE)
    def quantile(self, level: float = 0.95) -> float:
        """By how many errors an interval of this course reaches to either side: the normal quantile, or Student's of estimated errors.

        >>> course = Course("a", "contrast", "nats", "examples", np.arange(3.0), np.zeros(3), np.full(3, 0.1))
        >>> round(course.quantile(), 2)
        1.96
        """
        from scipy.special import ndtri, stdtrit

        if self.known_errors:
            return float(ndtri(0.5 + level / 2))
        return float(stdtrit(self.smoothed().freedom, 0.5 + level / 2))

    def in_nats(self) -> Course:
        """The same with a rate in bits as one in nats, 1 bit = ln 2 nats; anything else as it is.

        >>> course = Course("a", "contrast", "bits/token", "examples", np.zeros(1), np.ones(1), np.ones(1), base=0.5)
        >>> course.in_nats().values.round(3), course.in_nats().unit
        (array([0.693]), 'nats/token')
        """
        if not self.unit.startswith("bits/"):
            return self
        rates = {name: NATS_PER_BIT * readings for name, readings in self.rates.items()}
        return replace(
            self, unit="nats/" + self.unit.removeprefix("bits/"), values=NATS_PER_BIT * self.values,
            errors=NATS_PER_BIT * self.errors, base=NATS_PER_BIT * self.base, base_error=NATS_PER_BIT * self.base_error,
            rates=rates,
        )  # fmt: skip

    @checked(share=number(above=0.0, most=1.0), level=SHARE)
    def passage(self, share: float = 1.0, level: float = 0.95) -> Interval:
        """The volume at which a share of what alignment gave is gone: ``y(m) = (1 - share) y(0) + share y_base`` (R22).

        share 1 is the undo volume m*, 1/2 the half-life. y is the smoothed course, a linear map of the readings, so that the
        difference of both sides has a known error at each m; the interval holds the volumes at which it is not told from 0,
        and so covers the true passage as often as that test does (a test inverted, Fieller's way). Readings are taken as
        independent. Where the course has not passed, the interval is censored: an estimate of None and the lowest volume
        that is not excluded, "> 192". An estimate of None with an upper end only: alignment had moved nothing that is seen.

        >>> course = Course("a", "contrast", "nats", "examples", np.array([0.0, 8, 16, 32]), np.array([2.0, 1.4, 0.8, -0.4]),
        ...     np.full(4, 0.02), base=0.2, base_error=0.01)
        >>> print(course.passage(), "/", course.passage(0.5), "/", Course.passage(replace(course, base=-1.0, base_error=0.0)))
        24.0 [23.3, 24.6] examples / 12.0 [11.5, 12.5] examples / > 32.0 examples
        """
        return passages(self, [(share, self.level, self.base_error)], level)[0]

    @checked(level=SHARE)
    def undone(self, level: float = 0.95) -> Interval:
        """The share of what alignment gave that the last reading has lost: ``[y(0) - y(L)]/[y(0) - y_base]``, by its logarithm's error."""
        gained, lost = self.values[0] - self.level, self.values[0] - self.values[-1]
        if not self.known_errors or gained <= 0:
            return Interval(None, None, None, level, "", "nothing to undo")
        ratio = lost / gained
        base = 0.0 if math.isnan(self.base_error) else self.base_error
        slopes = np.array([1 - ratio, -1.0, ratio])
        error = float(np.linalg.norm(slopes * [self.errors[0], self.errors[-1], base])) / gained
        return Interval.of_mean(float(ratio), error, math.inf, level=level, method="errors of the readings")


@dataclass(frozen=True, slots=True)
class Smoothed:
    """``y(m) = weights(m) . readings``: a least-squares spline in ln(1 + m/tau), tau the middle volume.

    errors   (J,): those of the readings, or one from the scatter about the spline;  freedom  of that estimate, else infinite
    """

    basis: Any
    operator: Array
    values: Array
    errors: Array
    freedom: float

    @checked(volumes=_places)
    def weights(self, volumes: ArrayLike) -> Array:
        """The weight of each reading in y(m), shape (..., J)."""
        return np.asarray(self.basis(np.asarray(volumes, dtype=np.float64)) @ self.operator)

    @checked(volumes=_places)
    def at(self, volumes: ArrayLike) -> Array:
        """y(m)."""
        return np.asarray(self.weights(volumes) @ self.values)


def _terms(count: int) -> int:
    """The numbers that a course of so many readings begins with: all of up to five, then one more for each three.

    With fewer a course of seven precise readings is bent by its smoothing, and 90% of the 95% intervals hold the truth.
    """
    return count if count <= 5 else min(5 + (count - 6) // 3, MOST_TERMS)


def _smoothed(course: Course) -> Smoothed:
    from scipy.special import chdtrc

    volumes, values = course.volumes, course.values
    known = course.known_errors
    least = 4 * np.finfo(np.float64).eps * max(float(np.abs(values).max()), 1e-300)
    errors = np.hypot(course.errors, least) if known else np.ones(values.size)
    smoothed: Smoothed | None = None
    for terms in range(_terms(values.size), min(MOST_TERMS, values.size) + 1):
        basis = _basis(volumes, terms)
        rows = basis(volumes) / errors[:, None]
        operator = np.linalg.pinv(rows) / errors
        residual = (values - basis(volumes) @ (operator @ values)) / errors
        freedom = values.size - terms
        square = float(residual @ residual)
        if not known:
            sigma = math.sqrt(square / freedom) if freedom else math.nan
            return Smoothed(basis, operator, values, np.full(values.size, max(sigma, least)), float(max(freedom, 1)))
        smoothed = Smoothed(basis, operator, values, errors, math.inf)
        if not freedom or chdtrc(freedom, square) > MISFIT:
            break
    assert smoothed is not None
    return smoothed


def _basis(volumes: Array, terms: int) -> Any:
    """Columns of a spline of degree 3 (less where there are fewer numbers) in ln(1 + m/tau)."""
    from scipy.interpolate import BSpline

    positive = volumes[volumes > 0]
    scale = float(np.median(positive)) if positive.size else 1.0
    places = np.log1p(volumes / scale)
    degree = min(3, terms - 1)
    inner = np.quantile(places, np.linspace(0, 1, terms - degree + 1)[1:-1])
    knots = np.concatenate([np.full(degree + 1, places[0]), inner, np.full(degree + 1, places[-1])])

    def columns(asked: Array) -> Array:
        if degree == 0 or places[0] == places[-1]:
            return np.ones((*asked.shape, terms))
        x = np.clip(np.log1p(asked / scale), places[0], places[-1])
        return np.asarray(BSpline.design_matrix(np.atleast_1d(x), knots, degree).toarray())

    return columns


@dataclass(frozen=True, slots=True)
class _Traced:
    """A smoothed course on a fine grid of volumes: y, its error, and the weights of y(0) in it."""

    grid: Array
    columns: Array
    start: Array
    smooth: Smoothed

    @classmethod
    def of(cls, course: Course) -> _Traced:
        smooth = course.smoothed()
        asked = course.volumes if course.volumes.size <= GRID else course.volumes[[0, -1]]
        grid = np.unique(np.concatenate([np.linspace(0, 1, GRID) ** 1.5 * course.volumes[-1], asked]))
        grid = grid[grid >= course.volumes[0]]
        return cls(grid, smooth.basis(grid), smooth.basis(course.volumes[:1]), smooth)

    def gap(self, share: float, level: float, base: float) -> tuple[Array, Array, Array]:
        """``y(m) - (1 - share) y(0) - share level`` on the grid, its error, and the share of the variance that is estimated."""
        smooth = self.smooth
        columns = self.columns - (1 - share) * self.start
        gap = columns @ (smooth.operator @ smooth.values) - share * level
        with np.errstate(invalid="ignore"):
            spread = (smooth.operator * smooth.errors**2) @ smooth.operator.T
            error = np.sqrt(np.maximum(((columns @ spread) * columns).sum(1), 0.0) + (share * base) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            estimated = np.where(error > 0, 1.0 - (share * base / error) ** 2, 1.0)
        return gap, error, estimated


def passages(course: Course, asked: Sequence[tuple[float, float, float]], level: float) -> list[Interval]:
    """`Course.passage` for each (share, base, error of the base), the course smoothed once."""
    if course.values.size < 2:
        return [Interval(None, None, None, level, course.volume_unit, "one reading") for _ in asked]
    traced = _Traced.of(course)
    return [_passage(traced, share, base, error, level, course.volume_unit) for share, base, error in asked]


def _passage(traced: _Traced, share: float, base: float, base_error: float, level: float, unit: str) -> Interval:
    from scipy.special import ndtri, stdtrit

    grid = traced.grid
    gap, error, estimated = traced.gap(share, base, 0.0 if math.isnan(base_error) else base_error)
    middle = _first(grid, gap, 0.0)
    if np.isnan(error).any():  # no error to be had: the readings are taken at their word
        return Interval(middle, float(grid[-1]) if middle is None else None, None, level, unit, "no error")
    # the error of the base is told, that of the readings may be estimated: Satterthwaite's freedom for the sum of both
    freedom = traced.smooth.freedom
    share_below = 0.5 + level / 2
    whole = math.isinf(freedom)
    quantile = ndtri(share_below) if whole else stdtrit(freedom / np.maximum(estimated, 1e-6) ** 2, share_below)
    low, high = _first(grid, gap - quantile * error, 0.0), _first(grid, gap + quantile * error, 0.0)
    method = "test inverted along the smoothed course"
    if low == grid[0]:  # what alignment gave is not told from nothing
        return Interval(middle if middle and high is not None else None, None, high, level, unit, method)
    if middle is None:
        return Interval(None, float(grid[-1]) if low is None else low, None, level, unit, "not reached")
    return Interval(middle, low, high, level, unit, method)


def _first(grid: Array, values: Array, edge: float) -> float | None:
    """Where the values first are at or below the edge, linear between the places of the grid; None where they never are."""
    below = values <= edge
    if not below.any():
        return None
    index = int(np.argmax(below))
    if index == 0:
        return float(grid[0])
    before, after = values[index - 1] - edge, edge - values[index]
    return float(grid[index - 1] + (grid[index] - grid[index - 1]) * before / (before + after))


# --- from a curve ------------------------------------------------------------------------------------------------
@checked(curve=an(Curve))
def courses(curve: Curve) -> Iterator[Course]:
    """The course of each run of a curve: of its contrast, or of what it keeps of pretrain where nothing was aligned."""
    from .pooling import run_covariates

    frame = curve.frame
    constant = run_covariates(curve)
    by_run = dict(list(frame.groupby("run", sort=False)))
    for index, run in enumerate(curve):
        mine = {name: values[index] for name, values in constant.items()}
        yield run_course(run, by_run[run.name], mine)


@checked(runs=listed(an(Course)))
def in_one_unit(runs: Sequence[Course]) -> list[Course]:
    """The courses, those in bits in nats where others are in nats: a mean of both, or their difference, would be of neither.

    Rates of other things (a token, a byte, a response) stay what they are.
    """
    units = {course.unit for course in runs}
    mixed = {unit.removeprefix("bits/") for unit in units if unit.replace("bits/", "nats/") != unit} & {
        unit.removeprefix("nats/") for unit in units if unit.startswith("nats/")
    }
    return [course.in_nats() if course.unit.partition("/")[2] in mixed else course for course in runs]


def run_course(run: Run, rows: Any, covariates: Mapping[str, Any]) -> Course:
    """The course of one run, its rows of the table beside it for the columns `curve.READ`."""

    def first(column: str) -> float:
        values = rows[column].to_numpy() if column in rows.columns else []
        return next((float(value) for value in values if not _blank(value)), math.nan)

    readings = {name: np.stack([run.rates[i], run.rate_se[i]]) for i, name in enumerate(run.components)}
    volumes = dict(zip(run.components, run.volumes.tolist(), strict=True))
    course = Course(
        run.name, "contrast", run.rate_unit, run.volume_unit, run.perturbations, np.empty(0), np.empty(0),
        rates=readings, covariates=covariates,
    )  # fmt: skip
    if "align" not in readings or "perturb" not in readings:
        kept = next(name for name in ("pretrain", "align", *run.components) if name in readings)
        return replace(
            course, measure="kept", values=-readings[kept][0], errors=readings[kept][1], align=volumes.get("align")
        )
    a, p = readings["align"], readings["perturb"]
    if "contrast_se" in rows.columns and rows["contrast_se"].notna().all():
        errors = rows.drop_duplicates("perturbation").sort_values("perturbation")["contrast_se"].to_numpy(np.float64)
    elif run.rate_unit.endswith("/response"):  # two responses to one prompt: what one loses the other wins
        errors = a[1] + p[1]
    else:
        errors = np.hypot(a[1], p[1])
    return replace(
        course, values=p[0] - a[0], errors=errors, base=first("base_contrast"), base_error=first("base_contrast_se"),
        align=volumes["align"],
    )  # fmt: skip


def _blank(value: Any) -> bool:
    return value is None or value == "" or bool(value != value)
