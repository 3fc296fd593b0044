"""Whether two models, algorithms or recipes differ: constants of their runs over seeds, paired where they can be, corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ..checks import SHARE, an, checked, listed, one_of
from ..errors import InputError
from ..interval import Interval
from ..shown import number_of
from .constants import RunConstants, run_constants, seed_of
from .course import Course, in_one_unit
from .design import t_beyond
from .logit import logit_constants

CONSTANTS = {
    "undo_volume": "undo volume",
    "half_life": "half-life",
    "c": "constant c",
    "after": "contrast after alignment",
}
"""What is compared, with its name in words; positive ones as a ratio, the contrast as a difference."""
FEWEST_PAIRS = 4
"""Seeds from which on sides are paired: fewer pairs leave the test too little freedom to gain from it."""
POWER = 0.8
"""The chance with which the smallest difference that is named would have been seen."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One constant of two sets of runs.

    effect    second over first (a ratio), or second less first for the contrast, with its interval over seeds
    align     the alignment volume, None for a mean over several
    p         of a two-sided t test over seeds, None with fewer than two on a side;  corrected  by Holm's step-down in its constant
    smallest  the ratio (difference) that would have been seen with a chance `POWER` at this scatter, were all other pairs equal
    pairs     how many seeds were compared pairwise, 0 for independent ones
    censored  runs that were not undone by the last perturbation that was tried, on either side
    """

    first: str
    second: str
    constant: str
    align: float | None
    effect: Interval
    p: float | None
    corrected: float | None
    smallest: float | None
    pairs: int
    censored: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "effect"}
        return fields | {"effect": self.effect.as_dict()}

    @property
    def apart(self) -> bool:
        """Whether a difference is seen, corrected for all pairs of sets that were compared in this constant."""
        return self.corrected is not None and self.corrected < 1 - self.effect.level

    def sentence(self) -> str:
        """In words."""
        of = CONSTANTS[self.constant] + ("" if self.align is None else f" after an alignment of {self.align:g},")
        if self.effect.estimate is None:
            were = "was" if self.censored == 1 else "were"
            runs = f"{number_of(self.censored, 'run')} {were} not undone by the largest perturbation that was tried"
            reason = runs if self.censored else "a side has no run that gives it"
            return f"In the {of} {self.first} and {self.second} cannot be compared: {reason}."
        kind, way = ("difference", "less") if self.constant == "after" else ("ratio", "over")
        if self.p is None:
            return (
                f"In the {of} {self.second} {way} {self.first} is {self.effect}; one seed says nothing of other seeds."
            )
        verdict = "differ" if self.apart else "cannot be told apart"
        least = "" if self.smallest is None or self.apart else f"; a {kind} of {self.smallest:.3g} would have been seen"
        return (
            f"In the {of} {self.first} and {self.second} {verdict}: {self.second} {way} {self.first} is {self.effect} "
            f"(p = {self.corrected:.2g} corrected{least})."
        )


def _sets(sets: Any, name: str, where: str) -> dict[Any, list[Course]]:
    """The gate of sets of courses."""
    if not isinstance(sets, Mapping):
        raise InputError(
            f"{name} is a {type(sets).__name__}",
            where=where,
            mend="pass a mapping from the name of each set to its courses",
        )
    return {label: listed(an(Course))(runs, f"set {label}", where) for label, runs in sets.items()}


@checked(sets=_sets, level=SHARE, constants=listed(one_of(*CONSTANTS)))
def differences(
    sets: Mapping[str, Sequence[Course]], level: float = 0.95, *, constants: Sequence[str] = tuple(CONSTANTS)
) -> list[Difference]:
    """Every pair of sets of runs, constant by constant, over the alignment volumes that they have in common.

    Runs are repeats over the covariate ``seed``; a seed's value is the mean over its behaviours and alignment volumes, of logarithms
    but for the contrast. Sides with the same `FEWEST_PAIRS` seeds or more that read the same prompts (covariate ``pairs``) are paired, as a
    seed draws the prompts and what they do to both sides drops out; else Welch's t test. p is corrected over the pairs of sets
    within each constant (Holm). Where a run was not undone there is no difference, and they are counted: the others would be
    chosen by what they measure. Rates in bits and in nats are compared in nats; contrasts of rates of other things (a token, a
    byte) are not.

    constants: names of `CONSTANTS`, all by default.
    Raises InputError for fewer than two sets, volumes in several units, or sets with no alignment volume in common.

    >>> from elastomath.laws.logit import perturbed_contrast
    >>> m = np.arange(0.0, 41, 4)
    >>> def runs(c, size):
    ...     return [Course(f"{s}", "contrast", "nats/response", "examples", m, perturbed_contrast(3.0, m, c * (1 + 0.02 * s)),
    ...         np.full(11, 0.01), 0.0, 0.01, 64.0, covariates={"seed": s}) for s in range(size)]
    >>> found = differences({"small": runs(0.2, 4), "large": runs(0.1, 4)})
    >>> print(found[0].constant, f"{found[0].effect:.2f}", found[0].apart)
    undo_volume 2.00 [2.00, 2.00] True
    """
    if len(sets) < 2:
        raise InputError(
            f"{len(sets)} set of runs",
            where="compare",
            mend="give two curves or more, or --by a covariate of two values",
        )
    sets, constants = _comparable(sets, constants)
    constants_of: dict[str, list[RunConstants]] = {
        name: [run_constants(course, level) for course in mine] for name, mine in sets.items()
    }
    of_law = {name: _seeds_of_c(mine, level) for name, mine in sets.items()} if "c" in constants else {}
    effects, errors = list[Difference](), list[tuple[float, float]]()
    for first, second in combinations(sets, 2):
        volumes = [{run.course.align for run in constants_of[name]} for name in (first, second)]
        common = sorted(volumes[0] & volumes[1], key=lambda n: n or 0.0)
        if not common:
            raise InputError(
                f"{first} and {second} have no alignment volume in common",
                where="compare",
                mend="align on the same volumes",
            )
        shared = _shared(sets[first], sets[second])
        for constant in constants:
            if constant == "c":
                values = [of_law[name] for name in (first, second)]
                missing = 0
            else:
                sides = [[run for run in constants_of[name] if run.course.align in common] for name in (first, second)]
                values = [_values(side, constant) for side in sides]
                missing = sum(_unreached(run, constant) for side in sides for run in side)
            if constant == "undo_volume" or all(values):
                align = common[0] if len(common) == 1 else None
                effect, error = _difference(
                    first, second, constant, align, values[0], values[1], missing, shared, level
                )
                effects.append(effect)
                errors.append(error)
    return _corrected(effects, errors)


def _comparable(
    sets: Mapping[str, Sequence[Course]], constants: Sequence[str]
) -> tuple[dict[str, list[Course]], list[str]]:
    """The sets in one unit of rates, and what can be compared of them: no contrasts where they have several."""
    alike = iter(in_one_unit([course for runs in sets.values() for course in runs]))
    in_common = {name: [next(alike) for _ in runs] for name, runs in sets.items()}
    units, volumes = (
        list(dict.fromkeys(getattr(course, unit) for runs in in_common.values() for course in runs))
        for unit in ("unit", "volume_unit")
    )
    if len(volumes) > 1:
        raise InputError(
            f"volumes in {' and '.join(volumes)}", where="compare", mend="count the volumes of all sets in one unit"
        )
    return in_common, [constant for constant in constants if constant != "after" or len(units) < 2]


def _shared(a: Sequence[Course], b: Sequence[Course]) -> bool:
    """Whether both sides read the same prompts at the same seed: their covariate ``pairs``, where there is one, agrees."""
    sides = [set(map(_behaviour, side)) for side in (a, b)]
    return sides[0] == sides[1]


def _unreached(run: RunConstants, constant: str) -> bool:
    value: Interval | None = getattr(run, constant)
    return value is None or value.estimate is None


def _values(runs: Sequence[RunConstants], constant: str) -> dict[str, float]:
    """The constant by seed, averaged over behaviours and alignment volumes; logarithms but for the contrast.

    Only of seeds that have all of both, and a value in every run: a mean of the rest would be one of other runs.
    """
    every = {(_behaviour(run.course), run.course.align) for run in runs}
    by_seed: dict[str, list[tuple[tuple[str, float | None], float | None]]] = {}
    for run in runs:
        value: Interval | None = getattr(run, constant)
        known = None if value is None or (constant != "after" and (value.estimate or 0.0) <= 0) else value.estimate
        by_seed.setdefault(seed_of(run.course), []).append(((_behaviour(run.course), run.course.align), known))
    values = {}
    for seed, mine in by_seed.items():
        known_of = np.array([value for _, value in mine if value is not None])
        if {kind for kind, _ in mine} == every and known_of.size == len(mine):
            values[seed] = float(np.mean(known_of if constant == "after" else np.log(known_of)))
    return values


def _behaviour(course: Course) -> str:
    """The behaviour that a run is of: its covariate ``pairs``, "" for none."""
    return str(course.covariates.get("pairs", ""))


def _seeds_of_c(courses: Sequence[Course], level: float) -> dict[str, float]:
    """ln c by seed, averaged over behaviours, each with its own c; only of seeds that have one for all of them."""
    by_seed: dict[str, dict[str, list[Course]]] = {}
    for course in courses:
        by_seed.setdefault(seed_of(course), {}).setdefault(_behaviour(course), []).append(course)
    every = {_behaviour(course) for course in courses}
    logs = {}
    for seed, by_behaviour in by_seed.items():
        constants = [logit_constants(mine, level) for mine in by_behaviour.values()]
        known = [
            math.log(one.perturbing.estimate)
            for one in constants
            if one is not None and one.perturbing is not None and one.perturbing.estimate
        ]
        if len(known) == len(every):
            logs[seed] = float(np.mean(known))
    return logs


def _difference(
    first: str,
    second: str,
    constant: str,
    align: float | None,
    a: Mapping[str, float],
    b: Mapping[str, float],
    missing: int,
    shared: bool,
    level: float,
) -> tuple[Difference, tuple[float, float]]:
    """A difference before its correction, and the error of the effect with its degrees of freedom, nan where one seed gives none."""
    from scipy.stats import t

    one, two = (np.array(list(side.values())) for side in (a, b))
    ratio = constant != "after"
    make = Interval.of_log if ratio else Interval.of_mean
    nothing = Difference(
        first, second, constant, align, Interval(None, None, None, level), None, None, None, 0, missing
    )
    alone = (math.nan, math.nan)
    if missing or not one.size or not two.size:
        return nothing, alone
    pairs = sorted(set(a) & set(b))
    paired = shared and len(pairs) == len(a) == len(b) and len(pairs) >= FEWEST_PAIRS
    if paired:
        gaps = np.array([b[seed] - a[seed] for seed in pairs])
        centre, se, freedom = float(gaps.mean()), float(gaps.std(ddof=1)) / math.sqrt(gaps.size), float(gaps.size - 1)
    else:
        centre = float(two.mean() - one.mean())
        if min(one.size, two.size) < 2:
            return replace(nothing, effect=make(centre, math.nan, 1, level=level, method="one seed")), alone
        parts = np.array([one.var(ddof=1) / one.size, two.var(ddof=1) / two.size])
        se = float(np.sqrt(parts.sum()))
        freedom = (
            float(parts.sum() ** 2 / (parts**2 / [one.size - 1, two.size - 1]).sum())
            if se > 0
            else float(one.size + two.size - 2)
        )
    effect = make(centre, se, freedom, level=level, method="paired t over seeds" if paired else "Welch's t over seeds")
    p = float(2 * t.sf(abs(centre) / se, freedom)) if se > 0 else float(centre == 0)
    paired_seeds = len(pairs) if paired else 0
    return Difference(first, second, constant, align, effect, p, p, None, paired_seeds, missing), (se, freedom)


def _smallest(se: float, freedom: float, level: float) -> float:
    """The effect that a t test with this error sees with the chance `POWER`."""
    from scipy.optimize import brentq
    from scipy.stats import t

    if se == 0:
        return 0.0
    edge = float(t.ppf(0.5 + level / 2, freedom))
    return se * float(brentq(lambda shift: t_beyond(edge, freedom, shift) - POWER, 0.0, 60.0 + 4 * edge))


def _corrected(effects: Sequence[Difference], errors: Sequence[tuple[float, float]]) -> list[Difference]:
    """Holm's step-down over the p of each constant, and the smallest effect that its first step lets be seen."""
    corrected = list(effects)
    for constant in CONSTANTS:
        mine = [i for i, one in enumerate(effects) if one.constant == constant and one.p is not None]
        worst = 0.0
        for rank, index in enumerate(sorted(mine, key=lambda i: effects[i].p or 0.0)):
            worst = max(worst, min(1.0, (effects[index].p or 0.0) * (len(mine) - rank)))
            least = _smallest(*errors[index], 1 - (1 - effects[index].effect.level) / len(mine))
            smallest = least if constant == "after" else Interval.of_log(least, math.nan, 1).estimate
            corrected[index] = replace(effects[index], corrected=worst, smallest=smallest)
    return corrected
