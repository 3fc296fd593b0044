"""The constants of the logit law (R21) from measured courses: c while aligning, while perturbing, in both, and its drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..checks import SHARE, an, checked, listed
from ..interval import Interval
from ..laws.logit import fall_volume
from ..units import NATS_PER_BIT
from .course import MISFIT, Course, in_one_unit
from .rival_laws import fallen

LEVELS = (0.6, 0.9)
"""Shares of the wanted response between which going back is compared with going there (Q1)."""
WIDEST = math.log(1e3)
"""A constant that the data know to no better than this factor is not given."""


@dataclass(frozen=True, slots=True)
class LogitConstants:
    """c of one base, nats per example, None where the readings do not give it.

    aligning, perturbing   from the contrasts after n aligned examples, and from the courses of the perturbation
    both    one c for both phases;  drift  c of the lower half of each fall over c of its upper half, 1 for a kernel that stays
    misfit  root mean square of what the law of the perturbing phase misses, nats
    return_ratio   opposed examples from p = 0.9 to 0.6, measured, over aligned ones from 0.6 to 0.9, by c aligning
    """

    aligning: Interval | None
    perturbing: Interval | None
    both: Interval | None
    drift: Interval | None
    misfit: float | None
    return_ratio: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        names = ("aligning", "perturbing", "both", "drift", "return_ratio")
        fields = {name: None if getattr(self, name) is None else getattr(self, name).as_dict() for name in names}
        return fields | {"misfit": self.misfit}


@checked(courses=listed(an(Course)), level=SHARE)
def logit_constants(courses: Sequence[Course], level: float = 0.95) -> LogitConstants | None:
    """c of R21 from the courses of one base: contrasts in nats (or bits) a response, weighted least squares in ln c.

    Errors are those of the readings, scaled up by what the law misses where they do not explain it. None where the contrast is not one
    of responses: c is then not defined. Raises InputError for what is no course.

    >>> from dataclasses import replace
    >>> from elastomath.laws.logit import aligned_contrast, perturbed_contrast
    >>> m, z = np.arange(0.0, 33, 4), aligned_contrast(-0.3, [16, 64], 0.2)
    >>> base = Course("a", "contrast", "nats/response", "examples", m, m, np.full(9, 0.01), -0.3, 0.01)
    >>> courses = [replace(base, align=n, values=perturbed_contrast(z_n, m, 0.2)) for n, z_n in zip([16, 64], z)]
    >>> told = logit_constants(courses)
    >>> print(told.aligning, "|", told.perturbing, "|", f"{told.drift:.2f}")
    0.2000 [0.1970, 0.2031] nats/example | 0.2000 [0.1989, 0.2011] nats/example | 1.00 [0.98, 1.02]
    """
    usable = in_one_unit([c for c in courses if c.measure == "contrast" and c.unit.endswith("/response")])
    if not usable:
        return None
    scale = NATS_PER_BIT if usable[0].unit.startswith("bits") else 1.0
    unit = f"nats/{usable[0].volume_unit.removesuffix('s')}"
    z = [scale * course.values for course in usable]
    known = all(course.known_errors for course in usable)
    errors = [scale * np.maximum(course.errors, 1e-9) if known else np.ones(course.values.size) for course in usable]
    volumes = [course.volumes for course in usable]
    n = [course.align for course in usable]
    base = [scale * course.base for course in usable]
    aligned = [i for i in range(len(usable)) if n[i] and not math.isnan(base[i])]
    started = float(np.mean([base[i] for i in aligned])) if aligned else math.nan
    start_error = [scale * usable[i].base_error for i in aligned]
    start_error = [0.0 if math.isnan(error) else error for error in start_error]
    weight = float(np.mean(start_error)) if start_error else 0.0

    climbs = _Climbs(
        started,
        np.array([n[i] or 0.0 for i in aligned]),
        np.array([z[i][0] for i in aligned]),
        np.array([errors[i][0] for i in aligned]),
    )

    def climbing(numbers: Array) -> Array:
        if not weight:
            return climbs.gaps(numbers[0])[0]
        return np.append(replace(climbs, start=started + numbers[1]).gaps(numbers[0])[0], numbers[1] / weight)

    fast = max(
        (float((v[0] - v[-1]) / (m[-1] - m[0])) for v, m in zip(z, volumes, strict=True) if v.size > 1), default=0.1
    )
    guess = math.log(max(fast, 1e-6))
    aligning = perturbing = both = drift = None
    misfit = None
    if aligned:
        aligning = _constant(climbing, [guess, 0.0] if weight else [guess], known, level, unit)
    if sum(values.size for values in z) > len(z) + 1:
        falls = _Falls.of(z, volumes, errors)
        optimum = falls.solve(guess)
        perturbing = _told(optimum.log, optimum.variance, optimum.square, optimum.freedom, known, level, unit)
        if perturbing is not None:
            misfit = float(np.sqrt(np.mean((optimum.gaps * falls.errors) ** 2)))
            if aligned:
                met = falls.solve(optimum.log, climbs)
                both = _told(met.log, met.variance, met.square, met.freedom, known, level, unit)
            drift = _drift(z, volumes, errors, optimum.log, known, level)
    return LogitConstants(aligning, perturbing, both, drift, misfit, _return_ratio(usable, scale, aligning, level))


@dataclass(frozen=True, slots=True)
class _Solved:
    """ln c of least squares, its variance where every reading has the error it is given, and what is left."""

    log: float
    variance: float
    square: float
    freedom: int
    gaps: Array


@dataclass(frozen=True, slots=True)
class _Climbs:
    """Contrasts reached after n aligned examples from one start, with their errors."""

    start: float
    n: Array
    reached: Array
    errors: Array

    def gaps(self, log: float) -> tuple[Array, Array]:
        """What the law misses, in errors, and its derivative in ln c: ``z_n = z_0 + D, dD/dln c = c n sigma(-z_n)``."""
        from scipy.special import expit

        exposure = math.exp(min(log, 50.0)) * self.n
        z = self.start + fallen(np.exp(np.clip(-self.start, -30.0, 30.0)), exposure)
        return (self.reached - z) / self.errors, -exposure * expit(-z) / self.errors


@dataclass(frozen=True, slots=True)
class _Falls:
    """The falls of all courses of a base, one after another, shape (R,): one c, and a start of its own for each course."""

    course: NDArray[np.intp]
    volumes: Array
    values: Array
    errors: Array

    @classmethod
    def of(cls, z: Sequence[Array], volumes: Sequence[Array], errors: Sequence[Array]) -> _Falls:
        sizes = [values.size for values in z]
        return cls(np.repeat(np.arange(len(z)), sizes), *(np.concatenate(column) for column in (volumes, z, errors)))

    def gaps(self, log: float, starts: Array) -> tuple[Array, Array, Array]:
        """What the law misses, in errors, and its derivatives in ln c and in the own start.

        ``z = s - D, D + (e^D - 1) e^{-s} = c m: dz/dln c = -c m sigma(z), dz/ds = sigma(z)/sigma(s)``.
        """
        from scipy.special import expit

        s = starts[self.course]
        exposure = math.exp(min(log, 50.0)) * self.volumes
        z = s - fallen(np.exp(np.clip(s, -30.0, 300.0)), exposure)
        slope = expit(z)
        share = np.exp(np.minimum(np.logaddexp(0.0, -s) - np.logaddexp(0.0, -z), 300.0))
        return (self.values - z) / self.errors, exposure * slope / self.errors, -share / self.errors

    def solve(self, log: float, climbs: _Climbs | None = None) -> _Solved:
        """Damped Gauss-Newton in ln c and the starts; each start meets ln c alone, so that it is eliminated (Schur complement)."""
        count = int(self.course[-1]) + 1
        first = np.flatnonzero(np.diff(self.course, prepend=-1))
        starts, damping = self.values[first].copy(), 1e-3
        gaps, of_c, of_start = self.gaps(log, starts)
        nothing = np.zeros(0)
        extra, extra_c = (nothing, nothing) if climbs is None else climbs.gaps(log)
        square = float(gaps @ gaps + extra @ extra)
        information = 0.0
        for _ in range(200):
            own = np.bincount(self.course, of_start**2, count) * (1.0 + damping) + 1e-300
            mixed = np.bincount(self.course, of_start * of_c, count)
            pull = np.bincount(self.course, of_start * gaps, count)
            whole = float(of_c @ of_c + extra_c @ extra_c) * (1.0 + damping)
            schur = max(whole - float(mixed @ (mixed / own)), 1e-300)
            step = -(float(of_c @ gaps + extra_c @ extra) - float(mixed @ (pull / own))) / schur
            step = min(max(step, -3.0), 3.0)
            moved = -(pull + mixed * step) / own
            tried = self.gaps(log + step, starts + moved)
            tried_extra = (nothing, nothing) if climbs is None else climbs.gaps(log + step)
            new = float(tried[0] @ tried[0] + tried_extra[0] @ tried_extra[0])
            if not new < square:
                damping *= 5.0
                if damping > 1e9:
                    break
                continue
            gain = square - new
            log, starts, square, damping = log + step, starts + moved, new, damping / 7.0
            (gaps, of_c, of_start), (extra, extra_c) = tried, tried_extra
            if gain <= 1e-13 * square or (abs(step) < 1e-11 and np.abs(moved).max() < 1e-11):
                break
        own = np.bincount(self.course, of_start**2, count) + 1e-300
        mixed = np.bincount(self.course, of_start * of_c, count)
        information = float(of_c @ of_c + extra_c @ extra_c) - float(mixed @ (mixed / own))
        freedom = gaps.size + extra.size - count - 1
        return _Solved(log, 1.0 / information if information > 0 else math.nan, square, freedom, gaps)


def _scatter(square: float, freedom: int, known: bool) -> tuple[float, float]:
    """What variances are multiplied by, and the degrees of freedom that it is known with.

    1 and infinity where the readings have errors that explain what the law misses (by a chance of `MISFIT` or more): to scale them
    by the scatter that chance left, never below 1, made intervals at 95% that held c in 97.4%. Else the scatter that is left.
    """
    from scipy.special import chdtrc

    if freedom <= 0:
        return (1.0 if known else math.nan), math.inf
    if known and chdtrc(freedom, square) > MISFIT:
        return 1.0, math.inf
    return square / freedom, float(freedom)


def _told(
    log: float, variance: float, square: float, freedom: int, known: bool, level: float, unit: str
) -> Interval | None:
    """The interval of c, None where it is wider than `WIDEST`."""
    if not np.isfinite(variance):
        return None
    scatter, of_scatter = _scatter(square, freedom, known)
    interval = Interval.of_log(
        log,
        math.sqrt(variance * scatter),
        of_scatter,
        level=level,
        unit=unit,
        method="logit law, least squares",
    )
    if interval.low and interval.high and math.log(interval.high / interval.low) > WIDEST:
        return None
    return interval


def _best(residual: Any, start: Sequence[float]) -> Any:
    from scipy.optimize import least_squares

    return least_squares(residual, np.array(start, dtype=np.float64), x_scale="jac", max_nfev=200)


def _constant(residual: Any, start: Sequence[float], known: bool, level: float, unit: str) -> Interval | None:
    optimum = _best(residual, start)
    count, numbers = optimum.jac.shape
    if count < numbers or not optimum.jac[:, 0].any():
        return None
    variance = float(np.linalg.pinv(optimum.jac.T @ optimum.jac)[0, 0])
    return _told(float(optimum.x[0]), variance, float(optimum.fun @ optimum.fun), count - numbers, known, level, unit)


def _drift(
    z: Sequence[Array], volumes: Sequence[Array], errors: Sequence[Array], log: float, known: bool, level: float
) -> Interval | None:
    """Two constants, one for the readings above the middle of each fall and one for those below, each half from its own start."""
    high = [values >= (values[0] + values[-1]) / 2 for values in z]
    if not all(1 < part.sum() < part.size - 1 for part in high):
        return None
    halves = []
    for flip in (False, True):
        keep = [part != flip for part in high]
        columns = ([x[mine] for x, mine in zip(column, keep, strict=True)] for column in (z, volumes, errors))
        halves.append(_Falls.of(*columns).solve(log))
    upper, lower = halves
    scatter, freedom = _scatter(upper.square + lower.square, upper.freedom + lower.freedom, known)
    return Interval.of_log(
        lower.log - upper.log,
        math.sqrt((upper.variance + lower.variance) * scatter),
        freedom,
        level=level,
        method="logit law in two halves",
    )


def _return_ratio(courses: Sequence[Course], scale: float, aligning: Interval | None, level: float) -> Interval | None:
    from scipy.special import ndtri

    if aligning is None or aligning.estimate is None:
        return None
    low, high = (math.log(p / (1 - p)) for p in LEVELS)
    most = max(courses, key=lambda course: course.values[0])
    if scale * most.values[0] <= high or scale * most.values.min() >= low or most.values.size < 3:
        return None
    # the volume between two levels, along the smoothed course
    down = [_at_level(most, z / scale, level) for z in (high, low)]
    if any(ratio.estimate is None for ratio in down):
        return None
    fell = (down[1].estimate or 0.0) - (down[0].estimate or 0.0)
    climbed = float(fall_volume(-low, high - low, aligning.estimate))
    halves = [
        (ratio.high - ratio.low) / 2 if ratio.high is not None and ratio.low is not None else math.nan for ratio in down
    ]
    of_c = math.log((aligning.high or math.nan) / (aligning.low or math.nan)) / 2
    if fell <= 0 or climbed <= 0:
        return None
    # halves at one level add in squares as errors do: each brings its own quantile
    quantile = float(ndtri(0.5 + level / 2)) or math.inf  # at a level of 0 the interval is a point
    error = math.hypot(math.hypot(*halves) / fell, of_c) / quantile
    return Interval.of_log(math.log(fell / climbed), error, math.inf, level=level, method="courses, and c aligning")


def _at_level(course: Course, z: float, level: float) -> Interval:
    return replace(course, base=z, base_error=0.0).passage(1.0, level)
