"""R9: which part of Thm 4.2 needs which of its assumptions, and the search for the instances that show it.

The theorem in the form that is true (R18): ``P_p = (P_a + P_t)/2``, ``P_a != P_t``, ``0 < l < 1``, training at the joint
optimum; then ``dH_p/dl < 0 < dH_a/dl`` and ``-dH_a/(k dH_p) = (1 + 2l/k)/(1 - l)``. Each assumption is dropped in turn,
the others kept, and each part of the theorem is either broken by an instance or proved without it (`derive("R9")`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import COUNT, an, checked, exact, integer
from ..errors import InputError
from .assumptions import ASSUMPTIONS, BOUND, PARTS
from .drawing import Batch, Draw, Found, count_rows
from .instance import IndependentLaws, Instance, tex
from .printing import tex_words
from .shrinking import shrink

Counts = NDArray[np.int64]
ENUMERATED = 200_000
"""Up to so many smaller instances are gone through to show that a counterexample is the smallest."""


@dataclass(frozen=True)
class Counterexample:
    """An instance that breaks one part of Thm 4.2 without one of its assumptions, in exact fractions.

    assumption, part  what was dropped, and the part of the theorem that fails (keys of `ASSUMPTIONS` and `PARTS`)
    instance          the masses and volumes
    shrunk            what the search shrank (an `IndependentLaws` for independent masses, else the instance itself)
    bound             M of Theta's bound
    tried             random instances looked at before the first violation
    enumerated        how many smaller instances at the same volumes and shares were gone through, none of which violates;
                      None where they are too many, so that it is minimal for single moves only
    """

    assumption: str
    part: str
    instance: Instance
    shrunk: Found
    bound: Fraction = BOUND
    tried: int = 0
    enumerated: int | None = None

    def holds(self) -> bool:
        """Whether it is one: the other assumptions hold, the part fails, in exact fractions."""
        return violates(self.assumption, self.part, self.bound)(self.shrunk)

    def text(self) -> str:
        """The instance and its responses in plain text."""
        return "\n".join(
            [f"Without {ASSUMPTIONS[self.assumption].says} this fails: {PARTS[self.part]}", *self._lines()]
        )

    def _lines(self) -> list[str]:
        gaps, total = self.instance.gaps(), sum(self.instance.volumes)
        if self.instance.model:
            slopes = [f"dH_{name}/ds = {gap}" for name, gap in zip("pat", gaps, strict=True)]
            terms = " + ".join(f"{c} ln({r})" for c, r in self.instance.missed())
            missed = [f"    missing the joint optimum by delta = {terms}"]
        else:
            slopes = [f"dH_{name} = {gap / total}" for name, gap in zip("pat", gaps, strict=True)]
            if not self.instance.volumes[2] and self.instance.uncovered():
                slopes[-1] = "dH_t = -infinity"
            missed = []
        ratio = self.instance.ratio()
        shown = "is not defined" if ratio is None else f"= {ratio}"
        least = (
            "    no single move (leaves merged, counts lowered, volumes simplified) leads to a smaller one"
            if self.enumerated is None
            else f"    the smallest at these volumes: {self.enumerated} with fewer leaves, or as many and smaller counts, do not"
        )
        return [self.instance.text(), *missed, f"    {', '.join(slopes)}, -dH_a/(k dH_p) {shown}", least]

    def latex(self) -> str:
        """The same as a LaTeX fragment."""
        total = 1 if self.instance.model else sum(self.instance.volumes)
        by = "ds" if self.instance.model else "dl"
        slopes = r",\quad ".join(
            f"dH_{name}/{by} = {tex(gap / total)}" for name, gap in zip("pa", self.instance.gaps()[:2], strict=True)
        )
        words = f"Without {ASSUMPTIONS[self.assumption].says} this fails: {PARTS[self.part]}."
        rows = self.instance.latex(r",\\ ")
        return f"{tex_words(words)}\n\\[ \\begin{{gathered}} {rows} \\end{{gathered}} \\]\n\\[ {slopes}. \\]"


def fails(part: str, gaps: Any, k: Any, bound: Any = BOUND) -> Any:
    """Whether a part of the theorem fails, from the gaps ``1 - O_i`` (fractions, or arrays of shape (..., 3)).

    >>> fails("align", (Fraction(-1, 2), Fraction(1, 4), Fraction(-1)), 10)
    False
    """
    if isinstance(gaps, np.ndarray):
        gaps = (gaps[..., 0], gaps[..., 1], gaps[..., 2])
    pretrain, align, _ = gaps
    if part == "pretrain":
        return pretrain > 0
    if part == "align":
        return align < 0
    if part == "existence":
        return abs(pretrain) <= (1e-12 if isinstance(pretrain, np.ndarray) else 0)
    small, large = abs(align) * bound < k * abs(pretrain), abs(align) > bound * k * abs(pretrain)
    return (small | large) & (pretrain != 0)


def violates(assumption: str, part: str, bound: Fraction = BOUND) -> Callable[[Found], bool]:
    """The test of an instance: it is of the kind that dropping the assumption allows, and the part fails; exact."""
    rule = ASSUMPTIONS[assumption]

    def test(candidate: Found) -> bool:
        instance = candidate if isinstance(candidate, Instance) else candidate.instance()
        return rule.admits(instance) and bool(fails(part, instance.gaps(), instance.volumes[0], bound))

    return test


def _positive_fraction(value: Any, name: str, where: str) -> Fraction:
    return exact(value, name, where, above=0, most=10**300)


@checked(assumption=an(str), seed=integer(least=0), part=an(str), bound=_positive_fraction, rounds=COUNT)
def find_counterexample(
    assumption: str, seed: int = 0, part: str = "pretrain", bound: Fraction | int = BOUND, rounds: int = 40
) -> Counterexample:
    """R9: an instance that breaks ``part`` of Thm 4.2 without ``assumption``, found at random and shrunk; exact.

    assumption: one of `ASSUMPTIONS`; part: one of `PARTS`; bound: M of Theta's bound ``1/M <= |dH_a/(k dH_p)| <= M``.
    Random instances (flat, heavy-tailed and sparse counts) are looked at in batches of 2048, with more leaves from batch
    to batch; what violates in floats is confirmed in fractions, then `shrink` makes it small, and where it is small
    enough all smaller ones are gone through (`Counterexample.enumerated`). The same seed gives the same answer.

    Raises InputError for an unknown assumption or part, for a part that is proved without the assumption, and where
    ``rounds`` batches at each number of leaves hold no violation.

    >>> find_counterexample("union", part="align").instance.counts
    ((0, 1), (1, 0), (1, 1))
    >>> find_counterexample("large k", part="align")
    Traceback (most recent call last):
    elastomath.errors.InputError: dH_a > 0 does not need large k (find_counterexample): it is proved: derive("R9"), [two parts]
    """
    for name, table in ((assumption, ASSUMPTIONS), (part, PARTS)):
        if name not in table:
            raise InputError(f"unknown {name!r}", where="find_counterexample", mend=f"choose one of {', '.join(table)}")
    rule = ASSUMPTIONS[assumption]
    ruling = rule.rulings.get(part)
    if ruling is None:
        raise InputError(
            f"{PARTS[part]} without {assumption} is not decided",
            where="find_counterexample",
            mend=f"choose one of {', '.join(rule.rulings)}",
        )
    if not ruling.needed or not ruling.searched:
        raise InputError(
            f"{PARTS[part]} does not need {assumption}"
            if not ruling.needed
            else f"{PARTS[part]}: no finite instance is sought",
            where="find_counterexample",
            mend=f'it is proved: derive("R9"), {ruling.by}',
        )
    test, limit = violates(assumption, part, Fraction(bound)), Fraction(bound)
    first, tried = _first(rule.draw, part, test, limit, np.random.default_rng(seed), rounds)
    if first is None:
        raise InputError(f"no violation in {tried} instances", where="find_counterexample", mend="try another seed")
    least, enumerated = _least(shrink(first, test), test, part, limit)
    instance = least if isinstance(least, Instance) else least.instance()
    return Counterexample(assumption, part, instance, least, limit, tried, enumerated)


def _first(
    draw: Draw, part: str, test: Callable[[Found], bool], bound: Fraction, rng: np.random.Generator, rounds: int
) -> tuple[Found | None, int]:
    tried = 0
    for _ in range(rounds):
        for leaves in (1, 2, 3, 4, 6):
            batch = draw(rng, leaves, part)
            hits = np.flatnonzero(fails(part, batch.gaps(), float(batch.volumes[0]), float(bound)))
            tried += len(batch.totals())
            for index in hits[np.argsort(batch.totals()[hits], kind="stable")][:20]:
                candidate = batch.pick(int(index))
                if test(candidate):
                    return candidate, tried
    return None, tried


def _least(violation: Found, test: Callable[[Found], bool], part: str, bound: Fraction) -> tuple[Found, int | None]:
    """The smallest violation at the same volumes and shares: (leaves, sum of counts), by going through all smaller ones."""
    if isinstance(violation, IndependentLaws):
        laws = [
            law
            for values in range(2, len(violation.law) + 1)
            for law in combinations_with_replacement(range(1, sum(violation.law)), values)
            if math.gcd(*law) == 1 and (values, sum(law)) < (len(violation.law), sum(violation.law))
        ]
        for law in sorted(laws, key=lambda law: (len(law), sum(law), law)):
            if test(IndependentLaws(law, violation.volumes)):
                return IndependentLaws(law, violation.volumes), len(laws)
        return violation, len(laws)
    rows = len(violation.counts) + bool(violation.model)
    target = (violation.leaves, sum(map(sum, violation.counts)) + sum(violation.model))
    smaller = 0
    for leaves in range(1, violation.leaves + 1):
        most = target[1] + (0 if leaves == violation.leaves else 2)
        if math.comb(most + rows * leaves, rows * leaves) > ENUMERATED:
            return violation, None
        table = count_rows(leaves, most - rows + 1)
        if not len(table):
            continue
        counts = table[_rows_up_to(table, rows, most)]
        model = counts[:, -1] if violation.model else None
        batch = Batch(violation.volumes, counts[:, : len(violation.counts)], violation.shares, model)
        hits = np.flatnonzero(fails(part, batch.gaps(), float(violation.volumes[0]), float(bound)))
        totals = batch.totals()
        fewer = smaller
        smaller += int((totals < target[1]).sum()) if leaves == violation.leaves else len(totals)
        for index in hits[
            np.argsort(totals[hits], kind="stable")
        ]:  # rows come in lexicographic order: ties are broken by it
            candidate = batch.pick(int(index))
            if test(candidate):
                return candidate, fewer + int((totals < totals[index]).sum())
    return violation, smaller


def _rows_up_to(table: Counts, rows: int, most: int) -> Counts:
    """Indices of all ``rows``-tuples of rows whose counts add up to at most ``most``: shape (tuples, rows)."""
    totals = table.sum(axis=1)
    grid, sums = np.zeros((1, 0), dtype=np.int64), np.zeros(1, dtype=np.int64)
    for left in range(rows - 1, -1, -1):
        first, second = np.nonzero(sums[:, None] + totals[None, :] <= most - left)
        grid, sums = np.column_stack([grid[first], second]), sums[first] + totals[second]
    return grid
