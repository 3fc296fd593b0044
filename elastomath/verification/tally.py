"""What a check of `verify` sees, and the claim it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ..derivations import derive

T = TypeVar("T")
NOT_SHOWN = "not shown"
COUNTEREXAMPLE = "fails: counterexample"


@dataclass(frozen=True, slots=True)
class Claim:
    """A result, judged at one level of evidence.

    verdict  "holds", "holds with constants", "holds only if ...", "fails: counterexample" or "not shown"
    level    symbolic, certified, sampled or counterexample
    cases    steps checked (symbolic) or instances tried
    detail   what was seen, with the worst case; for a failure, where it failed
    holds    whether the check came out as the theory says (for R9, that the counterexample is one)
    """

    id: str
    verdict: str
    level: str
    cases: int
    detail: str
    holds: bool


@dataclass
class Tally:
    """What a check saw: how many cases, how close to its tolerances, and the first thing that did not hold.

    ``quick``: whether a check may leave out its slower instances.
    """

    quick: bool = False
    cases: int = 0
    notes: list[str] = field(default_factory=list)
    worst: dict[str, tuple[float, float]] = field(default_factory=dict)
    failure: str = ""
    verdict: str = ""

    def each(self, cases: Iterable[T]) -> Iterator[T]:
        """The cases one by one, each counted as it is begun."""
        for case in cases:
            self.cases += 1
            yield case

    def fail(self, what: str, verdict: str = COUNTEREXAMPLE) -> None:
        """Note the first thing that did not hold, and the verdict that follows from it."""
        if not self.failure:
            self.failure, self.verdict = f"case {self.cases}: {what}", verdict

    def true(self, what: str, holds: object) -> None:
        """It has to hold."""
        if not holds:
            self.fail(what)

    def close(self, what: str, value: float, expected: float, scale: float, tolerance: float) -> None:
        """|value - expected| <= tolerance * scale, where scale is the size of the terms that were added up."""
        error = 0.0 if value == expected else abs(value - expected) / max(scale, 1e-300)
        if not error <= tolerance:  # also for nan
            self.fail(f"{what}: {value:.17g} where {expected:.17g} was expected (error {error:.1e} of {scale:.3g})")
        if error >= self.worst.get(what, (0.0, 0.0))[0]:
            self.worst[what] = (error, tolerance)

    def above(self, what: str, value: float, bound: float, scale: float, tolerance: float = 1e-11) -> None:
        """value >= bound, up to rounding of size tolerance * scale."""
        if not value >= bound - tolerance * scale:
            self.fail(f"{what}: {value:.17g} is below {bound:.17g}")

    def claim(self, id: str, level: str, verdict: str) -> Claim:
        """What the check showed, with ``verdict`` where everything held."""
        worst = [f"{what}: worst error {error:.1e}" for what, (error, _) in self.worst.items()]
        detail = "; ".join([self.failure] if self.failure else [*self.notes, *worst])
        failed = NOT_SHOWN if level == "counterexample" else self.verdict  # an example that is none shows nothing
        return Claim(id, failed if self.failure else verdict, level, self.cases, detail, not self.failure)


Check = Callable[[Tally, int, np.random.Generator], None]
"""A check adds to a tally what it sees in so many cases."""


@dataclass(frozen=True)
class Result:
    """How one result is verified.

    verdict   the verdict when every check comes out as the theory says
    checks    pairs (level, check), the strongest level first
    explain   the text (style "text" or "latex") for a result that has no derivation; None where the derivation is it
    """

    verdict: str
    checks: tuple[tuple[str, Check], ...]
    explain: Callable[[str], str] | None = None


def symbolic(id: str) -> Check:
    """The check that a result has a derivation, whose steps about sums also hold on other trees (not in a quick run)."""

    def check(tally: Tally, cases: int, rng: np.random.Generator) -> None:
        derivation = derive(id)
        tally.cases = len(derivation.steps)
        again = "" if tally.quick else f", {derivation.check_on_leaves(4)} again on trees of 4 leaves"
        tally.notes.append(f"{len(derivation.steps)} steps for any number of leaves{again}")
        tally.notes.append(f"{len(derivation.conclusion)} relations concluded, {len(derivation.hypotheses)} hypotheses")
        tally.notes.append(derivation.summary)

    return check


def derived(id: str, verdict: str, certified: Check, sampled: Check) -> Result:
    """A result that is verified at three levels: by its derivation, in exact numbers or balls, and at random."""
    return Result(verdict, (("symbolic", symbolic(id)), ("certified", certified), ("sampled", sampled)))


def counterexample(check: Check, explain: Callable[[str], str]) -> Result:
    """A case that breaks a statement once an assumption is dropped."""
    return Result(COUNTEREXAMPLE, (("counterexample", check),), explain)
