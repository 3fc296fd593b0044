"""The constants of the logit law (R21) from measured courses: c while aligning, while perturbing, in both, and its drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import SHARE, an, checked, listed
from ..interval import Interval
from ..laws.logit import fall_volume
from ..units import NATS_PER_BIT
from .course import Course
from .rival_laws import fallen

Array = NDArray[np.float64]
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
        told = {name: None if getattr(self, name) is None else getattr(self, name).as_dict() for name in names}
        return told | {"misfit": self.misfit}


@checked(courses=listed(an(Course)), level=SHARE)
def logit_constants(courses: Sequence[Course], level: float = 0.95) -> LogitConstants | None:
    """c of R21 from the courses of one base: contrasts in nats (or bits) a response, weighted least squares in ln c.

    Errors are those of the readings, scaled up by what the law misses where that is more. None where the contrast is not one
    of responses: c is then not defined. Raises InputError for what is no course.

    >>> from dataclasses import replace
    >>> from elastomath.laws.logit import aligned_contrast, perturbed_contrast
    >>> m, z = np.arange(0.0, 33, 4), aligned_contrast(-0.3, [16, 64], 0.2)
    >>> base = Course("a", "contrast", "nats/response", "examples", m, m, np.full(9, 0.01), -0.3, 0.01)
    >>> courses = [replace(base, align=n, values=perturbed_contrast(z_n, m, 0.2)) for n, z_n in zip([16, 64], z)]
    >>> told = logit_constants(courses)
    >>> print(told.aligning, "|", told.perturbing, "|", f"{told.drift:.2f}")
    0.200 [0.181, 0.221] nats/example | 0.2000 [0.1988, 0.2012] nats/example | 1.00 [0.98, 1.02]
    """
    usable = [course for course in courses if course.measure == "contrast" and course.unit.endswith("/response")]
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

    def climbing(log: float, place: float) -> Array:
        found = [(z[i][0] - _climbed(started + place, n[i] or 0.0, log)) / errors[i][0] for i in aligned]
        return np.array([*found, place / weight] if weight else found)

    def falling(log: float, starts: Array, keep: Sequence[Array]) -> Array:
        return np.concatenate(
            [
                (z[i][keep[i]] - _fell(starts[i], volumes[i][keep[i]], log)) / errors[i][keep[i]]
                for i in range(len(usable))
            ]
        )

    everything = [np.ones(values.size, dtype=bool) for values in z]
    starts = np.array([values[0] for values in z])
    fast = max(
        (float((v[0] - v[-1]) / (m[-1] - m[0])) for v, m in zip(z, volumes, strict=True) if v.size > 1), default=0.1
    )
    guess = math.log(max(fast, 1e-6))
    aligning = perturbing = both = drift = None
    misfit = None
    if aligned:
        free = np.array([0.0]) if weight else np.empty(0)
        aligning = _constant(lambda x: climbing(x[0], x[1] if weight else 0.0), [guess, *free], known, level, unit)
    many = sum(values.size for values in z) > len(z) + 1
    if many:
        perturbing = _constant(lambda x: falling(x[0], x[1:], everything), [guess, *starts], known, level, unit)
    if perturbing is not None and perturbing.estimate is not None:
        gaps = _best(lambda x: falling(x[0], x[1:], everything), [math.log(perturbing.estimate), *starts]).fun
        misfit = float(np.sqrt(np.mean((gaps * np.concatenate(errors)) ** 2)))
        if aligned:
            both = _constant(
                lambda x: np.concatenate([climbing(x[0], 0.0), falling(x[0], x[1:], everything)]),
                [math.log(perturbing.estimate), *starts], known, level, unit,
            )  # fmt: skip
        drift = _drift(falling, z, starts, math.log(perturbing.estimate), known, level)
    return LogitConstants(aligning, perturbing, both, drift, misfit, _return_ratio(usable, scale, aligning, level))


def _climbed(start: float, volume: float, log: float) -> float:
    return start + float(fallen(np.exp(np.clip(-start, -30.0, 30.0)), np.asarray(math.exp(min(log, 50.0)) * volume)))


def _fell(start: float, volumes: Array, log: float) -> Array:
    return np.asarray(start - fallen(np.exp(np.clip(start, -30.0, 300.0)), math.exp(min(log, 50.0)) * volumes))


def _best(residual: Any, start: Sequence[float]) -> Any:
    from scipy.optimize import least_squares

    return least_squares(residual, np.array(start, dtype=np.float64), x_scale="jac", max_nfev=200)


def _covariance(found: Any, known: bool) -> tuple[Array, float]:
    """Inverse curvature, scaled by the scatter that is left where it is more than the errors or there are none; its freedom."""
    count, numbers = found.jac.shape
    freedom = count - numbers
    scatter = float(found.fun @ found.fun) / freedom if freedom > 0 else (1.0 if known else math.nan)
    if known:
        scatter = max(1.0, scatter)
    return np.linalg.pinv(found.jac.T @ found.jac) * scatter, float(freedom) if freedom > 0 else math.inf


def _constant(residual: Any, start: Sequence[float], known: bool, level: float, unit: str) -> Interval | None:
    found = _best(residual, start)
    covariance, freedom = _covariance(found, known)
    error = math.sqrt(float(covariance[0, 0])) if np.isfinite(covariance[0, 0]) else math.nan
    if found.jac.shape[0] < found.jac.shape[1] or not found.jac[:, 0].any():
        return None
    told = Interval.of_log(float(found.x[0]), error, freedom, level=level, unit=unit, method="logit law, least squares")
    if told.low and told.high and math.log(told.high / told.low) > WIDEST:
        return None
    return told


def _drift(falling: Any, z: Sequence[Array], starts: Array, log: float, known: bool, level: float) -> Interval | None:
    """Two constants, one for the readings above the middle of each fall and one for those below, the starts shared."""
    high = [values >= (values[0] + values[-1]) / 2 for values in z]
    if not all(1 < part.sum() < part.size - 1 for part in high):
        return None
    turn = np.array([values[int(part.sum())] for values, part in zip(z, high, strict=True)])

    def residual(x: Array) -> Array:
        # each half from its own start: the upper from the aligned state, the lower from its first reading on
        count = len(z)
        return np.concatenate([falling(x[0], x[2 : 2 + count], high), _later(falling, x[1], x[2 + count :], high)])

    found = _best(residual, [log, log, *starts, *turn])
    covariance, freedom = _covariance(found, known)
    error = math.sqrt(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))
    return Interval.of_log(
        float(found.x[1] - found.x[0]), error, freedom, level=level, method="logit law in two halves"
    )


def _later(falling: Any, log: float, starts: Array, high: Sequence[Array]) -> Array:
    return np.asarray(falling(log, starts, [np.logical_not(part) for part in high]))


def _return_ratio(courses: Sequence[Course], scale: float, aligning: Interval | None, level: float) -> Interval | None:
    if aligning is None or aligning.estimate is None:
        return None
    low, high = (math.log(p / (1 - p)) for p in LEVELS)
    most = max(courses, key=lambda course: course.values[0])
    if scale * most.values[0] <= high or scale * most.values.min() >= low or most.values.size < 3:
        return None
    # the volume between two levels, along the smoothed course
    down = [_at_level(most, z / scale, level) for z in (high, low)]
    if any(told.estimate is None for told in down):
        return None
    fell = (down[1].estimate or 0.0) - (down[0].estimate or 0.0)
    climbed = float(fall_volume(-low, high - low, aligning.estimate))
    errors = [
        (told.high - told.low) / (2 * 1.959964) if told.high is not None and told.low is not None else math.nan
        for told in down
    ]
    of_c = math.log((aligning.high or math.nan) / (aligning.low or math.nan)) / (2 * 1.959964)
    if fell <= 0 or climbed <= 0:
        return None
    error = math.hypot(math.hypot(*errors) / fell, of_c)
    return Interval.of_log(math.log(fell / climbed), error, math.inf, level=level, method="courses, and c aligning")


def _at_level(course: Course, z: float, level: float) -> Interval:
    from dataclasses import replace

    return replace(course, base=z, base_error=0.0).passage(1.0, level)
