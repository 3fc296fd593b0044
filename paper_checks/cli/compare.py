"""The verb `compare`: do two models, algorithms or recipes differ in what undoes an alignment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elastomath.errors import InputError

from .terminal import Json, conclude, emit, number_of, tables

if TYPE_CHECKING:
    from elastomath.fit.course import Course

LEGEND = (
    "Undo volume, half-life: the opposed examples that undo the alignment, and half of it; constant c: what one example moves the "
    "log-odds by at most; contrast: by how much the code of the opposed text is longer than that of the wanted one.",
    "Over: their ratio; less: their difference. p: the chance of so large a difference between seeds of equal sets, corrected for all "
    "pairs of sets within each constant (Holm). Visible from: the smallest ratio or difference that these seeds would have shown. Not "
    "undone, where there are any: runs that the largest perturbation that was tried did not undo; the others alone are not compared.",
)


def compare(
    curves: Annotated[
        list[Path], typer.Argument(metavar="A B ...", help="Curve files, a set of runs each; one with --by.")
    ],
    by: Annotated[
        str | None, typer.Option("--by", help="A covariate whose values are the sets, of all files together.")
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Confidence level of the intervals.")] = 0.95,
    as_json: Json = False,
) -> int:
    """Do models, algorithms or recipes differ in what undoes their alignment, or in how far one example moves them? Ratios, p."""
    from elastomath.curve import Curve
    from elastomath.fit.comparison import CONSTANTS, differences
    from elastomath.fit.course import courses

    sets: dict[str, list[Course]] = {}
    for path in curves:
        for course in courses(Curve.read(path)):
            if by is not None and by not in course.covariates:
                raise InputError(
                    f"no covariate {by!r} with one value a run", where=str(path), mend="name a column of the curve"
                )
            name = path.stem if by is None else _set_name(by, course.covariates[by])
            if by is None and [p.stem for p in curves].count(path.stem) > 1:
                name = str(path)
            sets.setdefault(name, []).append(course)
    sets = _by_recipe(sets)
    effects = differences(sets, level)
    decisive, volumes = [one for one in effects if one.apart], [one for one in effects if one.constant == "undo_volume"]
    unknown = [one for one in volumes if one.effect.estimate is None]  # what the verb was asked, and cannot say
    sentences = [one.sentence() for one in (unknown + decisive if decisive else volumes or effects)[:4]]
    count = sum(one.effect.estimate is not None for one in effects)
    if decisive and len(decisive) < count:
        sentences.append(
            f"{len(decisive)} of {count} comparisons {'shows' if len(decisive) == 1 else 'show'} a difference."
        )
    sentences += _confounded(sets) + _unlike(sets)

    def show() -> None:
        conclude(sentences)
        rows: list[dict[str, Any]] = [
            {
                "sets": f"{one.second} {'less' if one.constant == 'after' else 'over'} {one.first}",
                "in the": CONSTANTS[one.constant],
                "is": str(one.effect) if one.effect.estimate is not None else "-",
                "p": None if one.corrected is None else f"{one.corrected:.2g}",
                "aligned": "all" if one.align is None else f"{one.align:g}",
                "visible from": None if one.smallest is None else f"{one.smallest:.2g}",
                "seeds": number_of(one.pairs, "pair") if one.pairs else "unpaired",
                "not undone": one.censored,
            }
            for one in effects
        ]
        for name, dull in (("aligned", "all"), ("not undone", 0)):
            if all(row[name] == dull for row in rows):
                rows = [{head: value for head, value in row.items() if head != name} for row in rows]
        tables(
            rows, ("sets", "in the", "is", "p"), ("sets", "in the", "aligned", "visible from", "seeds", "not undone")
        )
        print()
        conclude(LEGEND, blank=False)

    emit({"conclusion": sentences, "differences": [one.as_dict() for one in effects]}, as_json, show)
    return 0


def _set_name(by: str, value: Any) -> str:
    """The name of the runs with this value of a covariate; a number alone would not say of what.

    >>> _set_name("pairs", "advice"), _set_name("k", 40.0)
    ('advice', 'k 40')
    """
    return f"{by} {value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


REPEATS = ("seed", "source_seed", "base_contrast", "base_contrast_se", "contrast_se")
"""Covariates in which repeats of one setting differ."""


def _confounded(sets: dict[str, list[Course]]) -> list[str]:
    """What the sets differ in, where it is more than one thing: a ratio is then of all of them together.

    A table that names no algorithm is of plain fine-tuning.
    """
    from elastomath.fit.constants import SFT

    unnamed = {"algorithm": SFT}
    known = {key for runs in sets.values() for course in runs for key in course.covariates} - set(REPEATS)
    values = {
        key: {
            name: sorted({str(course.covariates.get(key, unnamed.get(key, "-"))) for course in runs})
            for name, runs in sets.items()
        }
        for key in sorted(known)
    }
    differing = {key: each for key, each in values.items() if len({tuple(texts) for texts in each.values()}) > 1}
    if len(differing) < 2:
        return []
    listing = "; ".join(
        f"{key} ({' against '.join(', '.join(texts) for texts in dict.fromkeys(map(tuple, each.values())))})"
        for key, each in differing.items()
    )
    return [f"The sets differ in more than one thing, and what is compared is of all together: {listing}."]


def _unlike(sets: dict[str, list[Course]]) -> list[str]:
    """That contrasts are in units that cannot be compared, where they are."""
    from elastomath.fit.course import in_one_unit

    units = dict.fromkeys(course.unit for course in in_one_unit([course for runs in sets.values() for course in runs]))
    return [f"The contrasts are in {' and '.join(units)}, which cannot be compared."] if len(units) > 1 else []


def _by_recipe(sets: dict[str, list[Course]]) -> dict[str, list[Course]]:
    """A set for each recipe of a set that holds several: with Adam's memory carried m* may fall where without it rises (R26)."""
    from elastomath.fit.constants import recipe

    apart: dict[str, list[Course]] = {}
    for name, runs in sets.items():
        kinds = [recipe(course) for course in runs]
        for course, kind in zip(runs, kinds, strict=True):
            apart.setdefault(f"{name}, {kind or 'another'}" if len(set(kinds)) > 1 else name, []).append(course)
    return apart
