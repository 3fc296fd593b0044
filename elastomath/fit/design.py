"""How many prompts, seeds and readings, and where to put them, for an undo volume known to a wanted width, or told apart."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..arrays import Array
from ..checks import (
    FINITE,
    NONNEGATIVE,
    NONNEGATIVES,
    POSITIVE,
    SHARE,
    an,
    checked,
    integer,
    listed,
    number,
    numbers,
    optional,
    real,
)
from ..curve import LARGEST
from ..errors import InputError
from ..laws.logit import aligned_contrast, perturbed_contrast, undo_volume
from .constants import RunConstants, grouped, run_constants
from .course import Course
from .logit import logit_constants

PROMPTS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Numbers of held-out prompts that are tried."""
MOST_SEEDS = 60
"""The most seeds that are tried."""
READINGS = (5, 6, 8, 10, 12, 16)
"""Numbers of readings that are tried, the one at 0 among them."""
SPACINGS = (1.0, 1.5, 2.0)
"""Powers of the spacing: 1 even, 2 denser at first."""
LEAST_SCATTER = 1e-3
"""The least scatter over seeds of ln m* that a pilot tells: no more seeds differ by less."""
REACH = 1.25
"""The last reading, in the largest undo volumes that are expected: enough for an upper end that closes."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """What a plan supposes of the behaviour and of how well it is read; the defaults are those of SmolLM2-135M on short answers.

    constant  c of the logit law, nats an example (R21);  start  z_0, nats
    noise     standard deviation over prompts of one reading of the contrast within a run, nats
    scatter   standard deviation over seeds of ln m*, beyond that noise
    tokens    of an example, prompt and response
    """

    constant: float = 0.15
    start: float = -0.3
    noise: float = 0.2
    scatter: float = 0.15
    tokens: float = 40.0

    @checked(volumes=NONNEGATIVES, align=POSITIVE, prompts=integer(least=1))
    def course(self, volumes: Array, align: float, prompts: int) -> Course:
        """The course that is expected after ``align`` examples, with the errors of so many prompts."""
        z = perturbed_contrast(aligned_contrast(self.start, align, self.constant), volumes, self.constant)
        error = self.noise / math.sqrt(prompts)
        errors = np.full(volumes.size, error)
        return Course("plan", "contrast", "nats/response", "examples", volumes, z, errors, self.start, error, align)


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: what to run, what it is expected to give, and what it costs.

    aligned   the alignment volumes;  readings  volumes of the perturbation at which to read, 0 first
    error     expected standard error of ln m* of one run over its prompts;  half_width  expected of ln m* over the seeds
    trained, read  tokens trained on and read, in all
    """

    pilot: Pilot
    aligned: tuple[float, ...]
    prompts: int
    seeds: int
    readings: tuple[float, ...]
    undo: tuple[float, ...]
    error: float
    half_width: float
    trained: float
    read: float
    difference: float | None
    power: float | None
    level: float

    @checked(speed=optional(number(least=1 / LARGEST)))
    def sentences(self, speed: float | None = None) -> list[str]:
        """The plan in words; speed: tokens a second, for the time."""
        last = self.readings[-1]
        sentences = [
            f"Read {self.prompts} held-out prompts at {len(self.readings)} volumes up to {last:g} opposed examples, over "
            f"{self.seeds} seed{'s' * (self.seeds != 1)}.",
        ]
        if self.difference is not None:
            sentences.append(
                f"A ratio of undo volumes of {1 + self.difference:.3g} between two settings is then seen (p < {1 - self.level:.2g}) "
                f"with a chance of {self.power:.0%}; plan as many seeds for each of them."
            )
        sentences.append(
            f"The undo volume (the opposed examples after which the behaviour stands where it stood before alignment), about "
            f"{', '.join(f'{m:.3g}' for m in self.undo)} after "
            f"{', '.join(f'{n:g}' for n in self.aligned)} aligned examples, is then expected to be known to "
            f"within {math.expm1(self.half_width):.0%} ({self.level:.0%} interval over seeds)."
        )
        cost = f"It costs {_many(self.trained)} tokens of training and {_many(self.read)} of reading a setting"
        sentences.append(
            cost + (f", about {(3 * self.trained + self.read) / speed / 3600:.2g} hours." if speed else ".")
        )
        return sentences


def _many(count: float) -> str:
    return f"{count / 1e6:.2g} million" if count >= 1e6 else f"{count / 1e3:.3g} thousand"


@checked(
    pilot=optional(an(Pilot)), aligned=numbers(shape=(None,), least=1 / LARGEST, most=LARGEST), width=POSITIVE,
    difference=optional(POSITIVE), power=SHARE, level=SHARE, adapted=number(least=0.0, most=LARGEST),
)  # fmt: skip
def plan(
    pilot: Pilot | None = None,
    aligned: Sequence[float] = (16.0, 64.0, 256.0),
    *,
    width: float = 0.25,
    difference: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
    adapted: float = 160.0,
) -> Plan:
    """The cheapest plan after which ``t_{S-1} sqrt((scatter^2 + error^2)/S) <= ln(1 + width)``, m* its undo volume.

    width       wanted half width of the interval of m* over seeds, as a share of it
    difference  instead: a share by which two settings differ, to be seen by `compare` with a chance ``power``
    aligned     alignment volumes n, examples;  adapted  examples that the base is trained on first

    error is that of `Course.passage` on the course that the logit law expects, so the plan asks what the fit will ask. Readings
    are spaced evenly or more densely at first, whatever gives the least error. Cost: training, and both responses of every
    prompt at every reading. Raises InputError where no plan of up to 1024 prompts and 60 seeds is enough.

    >>> found = plan(width=0.2)
    >>> found.prompts, found.seeds, round(found.half_width, 2)
    (16, 6, 0.18)
    """
    pilot = Pilot() if pilot is None else pilot
    real(pilot.start, "start", "plan", least=-LARGEST, most=LARGEST)
    for name in ("constant", "noise", "scatter", "tokens"):
        real(getattr(pilot, name), name, "plan", least=0.0 if name == "scatter" else 1 / LARGEST, most=LARGEST)
    volumes = np.sort(np.asarray(aligned, dtype=np.float64))
    undo = undo_volume(pilot.start, volumes, pilot.constant)
    last = REACH * float(undo[-1]) * (1 + (difference or 0.0)) * math.exp(min(2 * pilot.scatter, 700.0))
    if not last <= LARGEST:
        raise InputError(
            f"the last reading would be after {last:.3g} examples",
            where="plan",
            mend="ask for a smaller difference, or suppose less scatter",
        )
    best = _cheapest(pilot, volumes, undo, last, (width, difference, power, level), adapted)
    if best is None:
        wanted = f"a width of {width:g}" if difference is None else f"a difference of {difference:g}"
        raise InputError(
            f"no plan of up to {PROMPTS[-1]} prompts and {MOST_SEEDS} seeds gives {wanted}",
            where="plan",
            mend="ask for less, or measure the scatter over seeds in a pilot of your own",
        )
    return best


def _cheapest(
    pilot: Pilot,
    volumes: Array,
    undo: Array,
    last: float,
    wanted: tuple[float, float | None, float, float],
    adapted: float,
) -> Plan | None:
    """The cheapest plan that gives what is wanted (width, difference, power, level); None where none of those tried does.

    However many prompts are read, the scatter over seeds stays, and asks for ``fewest`` of them: what costs too much with
    so many is not looked at.
    """
    _, difference, power, level = wanted
    fewest = _seeds(pilot.scatter, *wanted) if pilot.scatter else 2
    best: Plan | None = None
    for count, spacing in itertools.product(READINGS, SPACINGS) if fewest else ():
        places = _rounded(last * np.linspace(0.0, 1.0, count) ** spacing)

        def cost(prompts: int, seeds: int, places: Array = places) -> tuple[float, float]:
            """Tokens trained on, and read."""
            trained = pilot.tokens * seeds * (adapted + float(volumes[-1]) + volumes.size * places[-1])
            return trained, pilot.tokens * seeds * 2.0 * prompts * (1 + volumes.size * places.size)

        one = math.nan
        for prompts in PROMPTS:
            if best is not None and not _price(*cost(prompts, fewest or 2)) < _price(best.trained, best.read):
                break  # it rises with the prompts
            one = _error(pilot, places, volumes) if math.isnan(one) else one
            if not math.isfinite(one):
                break
            error = one / math.sqrt(prompts)
            sigma = math.hypot(pilot.scatter, error)
            seeds = _seeds(sigma, *wanted)
            if seeds is None:
                continue
            trained, read = cost(prompts, seeds)
            if best is None or _price(trained, read) < _price(best.trained, best.read):
                best = Plan(
                    pilot, tuple(volumes.tolist()), prompts, seeds, tuple(places.tolist()), tuple(undo.tolist()), error,
                    _half(sigma, seeds, level), trained, read, difference, None if difference is None else power, level,
                )  # fmt: skip
    return best


def _price(trained: float, read: float) -> float:
    """What tokens cost: a token that is trained on as much as three that are read."""
    return 3 * trained + read


def _rounded(places: Array) -> Array:
    """Whole examples, each once, where there are so many."""
    whole = np.unique(np.rint(places))
    return whole if whole.size == places.size else places


def _error(pilot: Pilot, places: Array, volumes: Array) -> float:
    """The largest error of ln m* over the alignment volumes with one prompt, by the fit's own interval; infinite where it is open."""
    many = 10_000  # an error so small that the interval is symmetric; it grows like one over the root of the prompts
    error = 0.0
    for n in volumes:
        passage = pilot.course(places, float(n), many).passage(1.0, 0.95)
        if passage.low is None or passage.high is None or not passage.low > 0:
            return math.inf
        error = max(error, math.log(passage.high / passage.low) / (2 * 1.959964) * math.sqrt(many))
    return error


def _half(sigma: float, seeds: int, level: float) -> float:
    return _quantile(seeds, level) * sigma / math.sqrt(seeds)


@cache
def _quantile(seeds: int, level: float) -> float:
    """The upper end of the interval of a mean over so many seeds, in its standard errors: Student's, or the normal one of a seed."""
    from scipy.stats import norm, t

    return float(t.ppf(0.5 + level / 2, seeds - 1) if seeds > 1 else norm.ppf(0.5 + level / 2))


def _seeds(sigma: float, width: float, difference: float | None, power: float, level: float) -> int | None:
    """The fewest seeds, two or more, that are enough; None beyond `MOST_SEEDS`."""
    tried = range(2, MOST_SEEDS + 1)
    if difference is None:
        place = bisect_left(tried, True, key=lambda seeds: _half(sigma, seeds, level) <= math.log1p(width))  # it falls
    else:
        effect = math.log1p(difference)
        place = bisect_left(tried, True, key=lambda seeds: power_of(effect, sigma, seeds, level) >= power)  # it rises
    return tried[place] if place < len(tried) else None


@checked(effect=FINITE, sigma=POSITIVE, seeds=integer(least=2), level=SHARE)
def power_of(effect: float, sigma: float, seeds: int, level: float = 0.95) -> float:
    """The chance that a two-sided t test over two groups of ``seeds`` sees a difference of means ``effect``, scatter ``sigma``.

    >>> round(power_of(1.0, 0.5, 6), 2)
    0.88
    """
    from scipy.stats import t

    freedom, shift = 2 * (seeds - 1), effect / (sigma * math.sqrt(2 / seeds))
    edge = float(t.ppf(0.5 + level / 2, freedom))
    if abs(shift) > 1e3 + 1e3 * edge:  # beyond any doubt, and beyond scipy
        return 1.0
    return t_beyond(edge, freedom, shift) + t_beyond(edge, freedom, -shift)


@cache
def _legendre() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(80)


@checked(edge=NONNEGATIVE, freedom=number(least=1.0), shift=FINITE)
def t_beyond(edge: float, freedom: float, shift: float) -> float:
    """``P(T > edge)`` of the noncentral t: ``E Phi(shift - edge s)``, ``s^2 = chi-square(freedom)/freedom``, by Gauss and Legendre.

    scipy.stats.nct is not a number at some ordinary shifts.

    >>> round(t_beyond(2.0, 10.0, 0.0), 4), round(t_beyond(2.0, 10.0, 3.0), 4)
    (0.0367, 0.8315)
    """
    from scipy.special import chdtri, gammaln, ndtr

    nodes, weights = _legendre()
    low, high = (math.sqrt(float(chdtri(freedom, p)) / freedom) for p in (1 - 1e-15, 1e-17))
    turn, width = (
        (shift / edge, 9 / edge) if edge else (low, 0.0)
    )  # where Phi turns, and how far from there it is 0 or 1
    cuts = np.unique(np.clip([low, turn - width, turn, turn + width, high], low, high))
    half = np.diff(cuts)[:, None] / 2
    s = cuts[:-1, None] + half * (nodes + 1)
    logs = math.log(2) + freedom / 2 * math.log(freedom / 2) - gammaln(freedom / 2)
    density = np.exp(logs + (freedom - 1) * np.log(s) - freedom * s**2 / 2)
    return float(min(1.0, (half * weights * density * ndtr(shift - edge * s)).sum()))


@checked(courses=listed(an(Course)), prompts=integer(least=1), tokens=POSITIVE)
def pilot_of(courses: Sequence[Course], prompts: int, tokens: float = Pilot().tokens) -> Pilot:
    """A pilot's c, z_0, noise and scatter over seeds from its own courses, read on so many prompts.

    The scatter is what is left of the variance of ln m* over seeds without that of its readings, which a plan adds again for its
    own prompts. What they do not tell keeps its default: the scatter where there is one seed, or a run that was not undone. Rates
    in bits are read in nats. Raises InputError where they give no c.
    """
    courses = [course.in_nats() for course in courses]
    constants = logit_constants(courses)
    constant = None if constants is None or constants.perturbing is None else constants.perturbing.estimate
    if constant is None:
        raise InputError(
            "the pilot gives no constant of the logit law",
            where="plan",
            mend="give a curve of responses (nats/response) with align and perturb, or no pilot and --c",
        )
    pilot = Pilot(constant=constant, tokens=tokens)
    starts = [course.base for course in courses if not math.isnan(course.base)]
    if starts:
        pilot = replace(pilot, start=float(np.mean(starts)))
    errors = [float(np.sqrt(np.mean(course.errors**2))) for course in courses if course.known_errors]
    if errors:
        pilot = replace(pilot, noise=float(np.median(errors)) * math.sqrt(prompts))
    squares, freedom = 0.0, 0
    for group in grouped([run_constants(course) for course in courses]):
        volumes = [run.undo_volume for run in group.runs if run.undo_volume and run.undo_volume.estimate]
        if len(volumes) < max(len(group.runs), 2):
            continue  # those that were undone would be chosen by what they measure
        logs = [math.log(volume.estimate or 1.0) for volume in volumes]
        noise = [_log_error(run) ** 2 for run in group.runs]
        squares += float(np.var(logs, ddof=1) - np.mean(noise)) * (len(logs) - 1)
        freedom += len(logs) - 1
    if freedom:
        pilot = replace(pilot, scatter=math.sqrt(max(squares / freedom, LEAST_SCATTER**2)))
    return pilot


def _log_error(run: RunConstants) -> float:
    """The error of ln m* over the prompts of a run; 0 where an end is open, so that it is not told from the scatter over seeds."""
    volume = run.undo_volume
    if volume is None or not (volume.low and volume.high):
        return 0.0
    return math.log(volume.high / volume.low) / (2 * run.course.quantile(volume.level))
