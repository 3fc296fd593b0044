"""What a fit concludes: the constants that always exist, those of a law where it holds, and sentences that say so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..checks import an, checked, listed
from ..interval import Interval
from ..shown import Shown
from ..units import NATS_PER_BIT
from .constants import (
    LEVEL,
    MEASURES,
    Answers,
    GroupConstants,
    RunConstants,
    Spread,
    answers,
    bases,
    grouped,
    run_constants,
)
from .course import Course, in_one_unit
from .law_choice import Judged
from .logit import LogitConstants, logit_constants
from .pooling import WIDE
from .rival_laws import spoken

MISSED = 0.1
"""A law that misses courses by more than this share of their fall does not describe them, and its constant means nothing."""
DIGITS = 4
"""The most that are printed of a constant."""
LARGEST = 1000.0
"""An exponent from which on a power of two is near the end of the doubles, and bounds nothing."""
FEW_SYMBOLS = 100
"""An alignment on no more symbols than these is none: the volumes are simulated, in units of their own."""
ALIGNMENTS = "alignment volumes"
"""The unit of simulated volumes where every alignment has the volume 1."""
NEAR = "near a joint optimum (best for all data together)"
NAMES = {
    "contrast": "the contrast",
    "code_length": "the code length of the wanted text",
    "opposed": "the code length of the opposed text",
    "probability": "the probability",
    "score": "the score",
    "kept": "the rate of what was kept",
}


@dataclass(frozen=True, slots=True)
class Joint:
    """How many runs are near a joint optimum (`RunFit.near_joint`), and the kappa that those have in common.

    apart  the least and the largest kappa that is bounded at both ends, where nominal volumes differ, so that none is in common
    """

    near: tuple[str, ...]
    runs: int
    kappa: Interval
    apart: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON, with the verdict in words."""
        return {"near": list(self.near), "runs": self.runs, "kappa": self.kappa.as_dict(), "verdict": self.verdict()}

    def verdict(self) -> str:
        """One line."""
        if not self.near:
            which = f"none of {self.runs} runs is" if self.runs > 1 else "the run is not"
            return f"what the volumes count for (K_pretrain, K_align, kappa) is not given: {which} {NEAR}, where alone it means anything"
        some = f"{'the run is' if self.runs == 1 else f'{len(self.near)} of {self.runs} runs {_is(len(self.near))}'} {NEAR}"
        kappa = "kappa, the ratio of the volumes that pre-training and alignment count for (K_pretrain over K_align)"
        if self.apart is not None:
            low, high = (f"{end:.2g}" if end < 10 else f"{end:.0f}" for end in self.apart)
            spread = f"runs from {low} to {high}" if low != high else f"is {low}"
            return f"{some}; {kappa}, {spread} where it is bounded"
        ratio = bounded(self.kappa)
        if ratio is None:
            return f"{some}, but the perturbations are too few or too small to bound {kappa}"
        return f"{some}; {kappa}, is {ratio}"


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Shown):
    """The constants of each run, of runs that differ in their seed alone, over alignment volumes, and of the logit law by base.

    joint    None where no run has the three components that R16 needs;  laws  rows of `law_choice.compare_over_bases`
    missing  what cannot be had from this table, a sentence each
    """

    drawer = "elastomath.fit.figures:courses_figure"

    runs: tuple[RunConstants, ...]
    groups: tuple[GroupConstants, ...]
    answers: Answers
    logit: Mapping[str, LogitConstants]
    joint: Joint | None
    laws: Sequence[Judged] = ()
    missing: tuple[str, ...] = field(default=())

    def cells(self) -> list[dict[str, str | int | None]]:
        """A row for each group of runs that differ in their seed alone, as it is printed (`cell`)."""
        course = self.runs[0].course
        unit = unit_words([run.course for run in self.runs])
        many = 1 if unit != course.volume_unit else 1000  # a simulated perturbation is a few units
        volume = f"{many} {unit}" if many > 1 else unit.replace("units", "unit").removesuffix("s")
        fall_unit = f"{course.unit.removesuffix('/response')} per {volume}"
        named = any(group.label for group in self.groups)
        several = (
            len({(run.course.measure, run.course.unit) for run in self.runs}) > 1
        )  # then its unit is in each label
        rows = []
        for group in self.groups:
            row: dict[str, str | int | None] = {"setting": group.label or "all"} if named else {}
            row |= {
                f"aligned ({unit})": None if group.align is None else f"{group.align:g}",
                "runs": len(group.runs),
            }
            if any(g.before is not None for g in self.groups):
                row["before" if several else f"{course.measure} before"] = cell(group.before)
            if course.measure != "kept":  # that is minus a rate
                row["after" if several else f"after ({course.unit})"] = cell(group.after)
            fall = group.first_fall.get(group.runs[0].course.measure)
            if fall is not None:
                row["first fall" if several else f"first fall ({fall_unit})"] = cell(fall, float(many))
            row |= {f"half undone by ({unit})": cell(group.half_life)}
            row |= {f"undone by ({unit})": cell(group.undo_volume)}
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The keys that a fit has beside those of R16, as JSON."""
        return {
            "conclusion": self.sentences(),
            "constants": [run.as_dict() for run in self.runs],
            "pooled_constants": [group.as_dict() for group in self.groups],
            "answers": self.answers.as_dict(),
            "logit": {label: constants.as_dict() for label, constants in self.logit.items()},
            "joint": None if self.joint is None else self.joint.as_dict(),
            "laws": [dict(row) for row in self.laws],
            "missing": list(self.missing),
        }

    def table(self) -> list[dict[str, object]]:
        """A row for each group of runs that differ in their seed alone: half-life and undo volume with their intervals."""
        return [
            {"group": group.label, "align": group.align, "runs": len(group.runs)}
            | {
                name: None if spread is None else spread.best
                for name, spread in (
                    ("after", group.after),
                    ("half_life", group.half_life),
                    ("undo_volume", group.undo_volume),
                )
            }
            for group in self.groups
        ]

    def sentences(self) -> list[str]:
        """The conclusion, three to six sentences in words with numbers."""
        apart = self.answers.by_optimiser or {"": self.answers}
        sentences = [self._undoing()]
        for name, mine in apart.items():
            said = [sentence for sentence in (_durability(mine), _first_fall(mine)) if sentence]
            sentences += [f"under {name}, {'; '.join(said)}"] if name and said else said
        sentences += [self._logit(), self._laws()]
        if self.answers.resistance is not None:
            sentences.append(self._resistance(self.answers.resistance))
        if self.joint is not None:
            sentences.append(self.joint.verdict())
        return [sentence[0].upper() + sentence[1:].rstrip(".") + "." for sentence in sentences if sentence]

    def _undoing(self) -> str:
        known = [group for group in self.groups if group.undo_volume is not None and group.half_life is not None]
        if not known:
            group = self.groups[0]
            kept = group.first_fall.get("kept")
            if kept is not None:
                words = kept.best.side("shrinks", "grows", "is not seen to change")
                size = f"{abs(kept.best.estimate or 0.0):.2g} {kept.best.unit}"
                rest = "nothing was aligned here"
                if "align" in group.runs[0].course.rates:
                    rest = "without a component perturb there is no contrast that could be undone"
                return f"at first the code length of the kept text {words}, by {size} of the perturbation; {rest}"
            if group.undone is None and group.after is not None:
                runs = "1 run was read; how much of an alignment it undoes"
                if len(self.runs) > 1:
                    runs = f"{len(self.runs)} runs were read; how much of an alignment they undo"
                return f"{runs} cannot be told from this table"
            return ""
        most = max(group.align or 0.0 for group in known)
        top = [group for group in known if (group.align or 0.0) == most]
        group = min(top, key=_unbounded)
        if _unbounded(group) > 2:
            group = min(known, key=lambda group: (_unbounded(group), -(group.align or 0.0)))
        if _unbounded(group) > 2:
            return (
                "what undoes the alignment is bounded in no setting, since in some runs it moved nothing that is seen: more held-out "
                "documents, or more of it, would do"
            )
        unit = group.runs[0].course.volume_unit
        top = [g for g in top if g.runs[0].course.volume_unit == unit]
        others = [g.undo_volume.best.estimate for g in top if g.undo_volume is not None and g.undo_volume.best.estimate]
        tail = (
            f" ({min(others):.3g} to {max(others):.3g} over {len(others)} settings)"
            if len(others) > 1 and len(others) == len(top)
            else ""
        )
        where = f"{group.label}: " if len(self.groups) > 1 and group.label else ""
        if group.label.partition(" ")[0] in group.runs[0].course.covariates:  # "k 2": a letter stays as it is
            where = where and f"at {where}"
        return where + _undoes(group) + tail

    def _logit(self) -> str:
        known = {
            label: constants
            for label, constants in self.logit.items()
            if constants.perturbing is not None and constants.perturbing.estimate
        }
        if not known:
            return ""
        falls: dict[str, list[float]] = {}
        for base, run in zip(bases([run.course for run in self.runs]), self.runs, strict=True):
            scale = NATS_PER_BIT if run.course.unit.startswith("bits") else 1.0
            falls.setdefault(base, []).append(scale * float(np.ptp(run.course.values)))
        shares = {label: (one.misfit or 0.0) / (max(falls[label]) or 1.0) for label, one in known.items()}
        fitting = {label: one for label, one in known.items() if shares[label] <= MISSED}
        if not fitting:
            missed = f"{min(shares.values()):.0%} of their fall" + (
                "" if len(known) == 1 else f" or more in each of {len(known)} bases"
            )
            return f"the logit law gives no constant c here: what it misses of the courses is {missed}"
        values = [one.perturbing.estimate or 0.0 for one in fitting.values() if one.perturbing is not None]
        worst = max(one.misfit or 0.0 for one in fitting.values())
        if len(known) == 1:
            (one,) = known.values()
            missed = "" if one.misfit is None else f", which misses the courses by {one.misfit:.2g} nats"
            return f"under the logit law an opposed example moves the log-odds by at most c = {one.perturbing}{missed}"
        ends = [f"{end(values):.2g}" for end in (min, max)]
        many = f"{ends[0]} nats in each of" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} nats over"
        many = f"{many} {len(fitting)} bases" if len(fitting) > 1 else f"{ends[0]} nats in {next(iter(fitting))}"
        rest = len(known) - len(fitting)
        others = (
            f"; {rest} more {_is(rest)} left out, whose courses it misses by over {MISSED:.0%} of their fall"
            if rest
            else ""
        )
        return (
            f"under the logit law an opposed example moves the log-odds by at most c = {many}; it misses the "
            f"courses by {worst:.2g} nats or less{others}"
        )

    def _laws(self) -> str:
        kept = [row for row in self.laws if row["kept"]]
        if not kept:
            return ""
        best = kept[0]
        ahead = best["forecast_error"]
        missed = f"{best['heldout_runs']:.2g} {self.runs[0].course.unit}"
        missed += "" if ahead is None else f", and {ahead:.2g} from small alignments to large"
        if len(kept) == 1:
            return (
                f"of {len(self.laws)} laws *{best['name']}*, with {_numbers(best['numbers'])} a base, foretells best the courses "
                f"it has not seen (off by {missed}; it wins {best['weight']:.0%} of bootstrap draws)"
            )
        simplest = next(row for row in kept if row["chosen"])
        named = _listed(
            [
                f"{spoken(row['name'])} ({row['weight']:.2f})"
                if row["weight"] >= 0.05
                else f"{spoken(row['name'])} (within the noise)"
                for row in kept
                if row in kept[:4] or row is simplest
            ]
        )
        fewest = "" if simplest is best else f"; {spoken(simplest['name'])} has the fewest numbers"
        return (
            f"these runs cannot tell {named} apart, in brackets the share of bootstrap draws in which each foretells best; the first is "
            f"off by {missed}{fewest}"
        )

    def _resistance(self, resistance: Spread) -> str:
        spread = resistance.seeds or resistance.documents
        word = spread.side("easier to go forward", "easier to go back", "neither way is seen to be easier")
        return f"after training forward the held-out loss less the one after training back is {spread}: {word}"


def _unbounded(group: GroupConstants) -> int:
    """0 where the undo volume has both ends, 1 where it has one, 2 where only the half-life has one, 3 where neither has."""
    assert group.undo_volume is not None
    assert group.half_life is not None
    if group.undo_volume.best.closed:
        return 0
    if bounded(group.undo_volume.best) is not None:
        return 1
    return 2 if bounded(group.half_life.best) is not None else 3


def _undoes(group: GroupConstants) -> str:
    """What undoes half of an alignment, and all of it."""
    half, whole = group.half_life, group.undo_volume
    assert half is not None
    assert whole is not None
    unit = unit_words([run.course for run in group.runs])
    # a volume of 1 is a unit, or stands for one that is not known
    of = f"what {group.align:g} aligned ones gave" if (group.align or 0.0) > 1 else "what alignment gave"
    if any(math.isnan(run.course.base) for run in group.runs):  # counted down to 0, whatever alignment gave
        of = "the contrast above even odds"
    before, after = "", f"opposed {unit} undo" if unit == "examples" else f"{unit} of the perturbation undo"
    if unit == ALIGNMENTS:
        before, after = "a perturbation of ", "times the alignment data undoes"
    if bounded(half.best) is None:
        return f"{before}{_count(whole)} {after} {of}"
    first = f"{before}{_count(half)} {after} half of {of}"
    if whole.best.estimate is not None:
        return f"{first} and {_count(whole)} all of it"
    if whole.best.low is None:
        return first
    tried = max(float(run.course.volumes[-1]) for run in group.runs)
    would = f" ({_count(whole)} would)" if whole.best.low < 0.99 * tried else ""
    return f"{first}, and {tried:.4g}, the most that were tried, do not undo all of it{would}"


@checked(courses=listed(an(Course), empty=False))
def unit_words(courses: Sequence[Course]) -> str:
    """What the volumes of these courses are counted in, for people: simulated ones have the alignment data, or a unit, as their unit.

    >>> course = Course("a", "contrast", "bits/symbol", "symbols", np.zeros(1), np.zeros(1), np.zeros(1), align=1.0)
    >>> unit_words([course]), unit_words([course, replace(course, align=2.0)]), unit_words([replace(course, align=1e6)])
    ('alignment volumes', 'units of volume', 'symbols')
    >>> unit_words([course, replace(course, volume_unit="tokens")])
    'units of volume'
    """
    if len({course.volume_unit for course in courses}) > 1:
        return "units of volume"
    unit, aligned = courses[0].volume_unit, [course.align for course in courses]
    if unit != "symbols" or any(volume is None or volume > FEW_SYMBOLS for volume in aligned):
        return unit
    return ALIGNMENTS if set(aligned) == {1.0} else "units of volume"


def _doubled(exponent: float | None) -> float | None:
    """``2^b``, by which twice the alignment multiplies an undo volume; None where it is beyond the doubles.

    >>> _doubled(0.5), _doubled(2000.0)
    (1.4142135623730951, None)
    """
    return None if exponent is None or exponent > LARGEST else 2.0**exponent


def _durability(answers: Answers) -> str:
    """What more alignment buys."""
    if answers.exponent is None:
        return ""
    interval = answers.exponent.best
    if interval.estimate is not None and interval.closed:
        buys = Interval(_doubled(interval.estimate), _doubled(interval.low), _doubled(interval.high), interval.level)
        return (
            f"twice the alignment buys {buys} times that (exponent of the undo volume in the alignment "
            f"volume: {interval}; 1 is in proportion, 0 is nothing)"
        )
    if interval.low is not None and interval.low < LARGEST:
        return (
            f"twice the alignment buys at least {2**interval.low:#.2g} times that; larger perturbations of the largest alignments "
            "close it"
        )
    if interval.high is not None and interval.high < LARGEST:
        return (
            f"twice the alignment buys at most {2**interval.high:#.2g} times that; more held-out documents of the smallest alignments "
            "close it"
        )
    if interval.estimate is not None and interval.estimate < LARGEST:
        return (
            f"twice the alignment buys about {2**interval.estimate:.2g} times that (exponent of the undo volume in the alignment volume: "
            f"{interval.estimate:.2g}, "
            "without an interval, since an undo volume is open above: a larger perturbation closes it)"
        )
    return ""


def _first_fall(answers: Answers) -> str:
    """How the first fall changes with more alignment, by measure: as a factor where falls have one, else as a difference."""
    words: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    for name in MEASURES:
        factor, change = answers.first_fall_factor.get(name), answers.first_fall.get(name)
        if factor is not None:
            low, high = factor.best.low, factor.best.high
            words[-1 if high is not None and high < 1 else int(low is not None and low > 1)].append(NAMES[name])
        elif change is not None:
            words[change.best.sign()].append(NAMES[name])
    if not any(words.values()):
        return ""
    parts = [
        f"{verb} in {_listed(words[sign])}"
        for sign, verb in ((1, "grows"), (-1, "shrinks"), (0, "is not seen to change"))
        if words[sign]
    ]
    return f"with more alignment the first fall {_listed(parts)}"


def _numbers(count: int) -> str:
    return f"{count} free number{'' if count == 1 else 's'}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _count(spread: Spread) -> str:
    """A number of examples in a sentence."""
    text = bounded(replace(spread.best, unit=""))
    if text is None:
        return "an unknown number of"
    return text.replace("> ", "more than ").replace("< ", "fewer than ")


def bounded(interval: Interval | None) -> str | None:
    """An interval for people: with both ends, or one bound; None where neither is there.

    Of ends that are a factor `WIDE` apart the one within its root of the estimate is a bound, and neither is where there is none.

    >>> bounded(Interval(0.0, None, 18.2)), bounded(Interval(10.0, 3.0, None)), bounded(Interval(1.0, 1e-16, 1e14))
    ('< 18.2', '> 3.00', None)
    >>> bounded(Interval(10.0, 1e-4, 18.2))
    '< 18.2'
    """
    if interval is None or (interval.low is None and interval.high is None):
        return None
    if interval.closed:
        middle, low, high = interval.estimate or 0.0, interval.low or 0.0, interval.high or 0.0
        if low <= 0 or high / low <= WIDE:
            return _readable(interval)
        root = math.sqrt(WIDE)
        near = replace(interval, low=low if middle / low < root else None, high=high if high / middle < root else None)
        return bounded(near)
    return _readable(Interval(None, interval.low, interval.high, interval.level, interval.unit))


def _readable(interval: Interval) -> str:
    """An interval to no more than four digits: exact curves would give as many as a double has.

    >>> _readable(Interval(0.363743, 0.363729, 0.363757)), _readable(Interval(17.83, 15.02, 21.16))
    ('0.3637 [0.3637, 0.3638]', '17.8 [15.0, 21.2]')
    """
    numbers = [abs(x) for x in (interval.estimate, interval.low, interval.high) if x is not None]
    text = str(interval)
    digits = max((len(re.sub(r"\D", "", number).lstrip("0")) for number in re.findall(r"[\d.]+", text)), default=0)
    return f"{interval:.4g}" if digits > DIGITS and max(numbers) < 10**DIGITS else text


def cell(spread: Spread | None, scale: float = 1.0) -> str:
    """The best interval without its unit, a bound where one end is open, a dash where there is none."""
    if spread is None:
        return "-"
    best = spread.best
    estimate, low, high = (None if x is None else x * scale for x in (best.estimate, best.low, best.high))
    text = bounded(Interval(estimate, low, high, best.level))
    if text is None and estimate is not None and low is None and high is None:
        return f"{estimate:.3g}"  # an estimate without an error
    return text or "not bounded"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


@checked(courses=listed(an(Course), empty=False), level=LEVEL)
def summarise(
    courses: Sequence[Course],
    level: float = 0.95,
    *,
    joint: Joint | None = None,
    laws: Sequence[Judged] = (),
    missing: Sequence[str] = (),
) -> Summary:
    """All that courses tell, and what they cannot (`Summary`)."""
    courses = in_one_unit(courses)
    runs = [run_constants(course, level) for course in courses]
    by_base: dict[str, list[Course]] = {}
    for base, course in zip(bases(courses), courses, strict=True):
        by_base.setdefault(base, []).append(course)
    constants = {base: logit_constants(mine, level) for base, mine in by_base.items()}
    logit = {label: known_constants for label, known_constants in constants.items() if known_constants is not None}
    return Summary(
        tuple(runs), tuple(grouped(runs, level)), answers(runs, level), logit, joint, laws,
        (*missing, *_missing(courses)),
    )  # fmt: skip


def _missing(courses: Sequence[Course]) -> list[str]:
    """What these courses cannot say, each said once."""
    missing = []
    contrasts = [course for course in courses if course.measure == "contrast"]
    if contrasts and any(math.isnan(course.base) for course in contrasts):
        missing.append(
            "no reading from before the alignment (column base_contrast): undoing is counted down to even odds, "
            "where both texts cost the same, and only where the alignment had gone beyond it"
        )
    scores = [course for course in courses if "score" in course.measure]
    if any(math.isnan(course.base) for course in scores):
        missing.append("no score from before the alignment (column base_score, or chance): no half-life or undo volume")
    kept = [course for course in courses if course.measure == "kept"]
    absent = [name for name in ("align", "perturb") if any(name not in course.rates for course in kept)]
    if absent:
        missing.append(
            f"no component {' and '.join(absent)}: no contrast, half-life or undo volume; what is told is how fast the kept text "
            "is lost"
        )
    if any(not course.known_errors for course in courses):
        column = "trials, or score_se" if scores else "rate_se"
        missing.append(
            f"no error of the readings (column {column}): intervals come from the scatter along a run, or over seeds"
        )
    if any(course.values.size == 1 for course in courses):
        missing.append("one reading a run: no fall, half-life or undo volume")
    if contrasts and not any(course.unit.endswith("/response") for course in contrasts):
        missing.append("rates are not those of responses: the constant c of the logit law is not defined")
    return missing
