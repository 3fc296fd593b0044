"""A claim as an object: what is said, where, under which assumptions, what checks it, and the verdict on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastomath.errors import InputError

if TYPE_CHECKING:
    from elastomath.curve import Curve
    from elastomath.verification import Claim as Verified

HOLDS = "holds"
WITH_CONSTANTS = "holds with constants"
ONLY_IF = "holds only if"
FAILS = "fails: counterexample"
SUPPORTED = "supported at this scale"
NOT_SUPPORTED = "not supported at this scale"
NOT_TESTED = "not tested here"
KINDS = (HOLDS, WITH_CONSTANTS, ONLY_IF, FAILS, SUPPORTED, NOT_SUPPORTED, NOT_TESTED)
"""The verdicts; ``holds only if`` is followed by the condition."""
MEANINGS = {
    HOLDS: "as it is stated",
    WITH_CONSTANTS: "once constants are put in",
    ONLY_IF: "under the condition that follows",
    FAILS: "false on an explicit example",
    SUPPORTED: "measurements on small models agree",
    NOT_SUPPORTED: "measurements on small models do not show it",
    NOT_TESTED: "no results to judge it by",
}
"""What each verdict means, in a few words."""
LEVELS = ("symbolic", "certified", "sampled", "counterexample", "measured", "published")
"""The levels of evidence (`docs/results/index.md`), the strongest first."""
WORDS_OF_LEVELS = {
    "symbolic": "derived step by step by computer algebra",
    "certified": "in exact numbers or proved ends",
    "sampled": "on random examples",
    "counterexample": "by an example in exact fractions",
    "measured": "from runs on models",
    "published": "from the paper's printed numbers",
}
"""What each level of evidence means, in a few words."""


@dataclass(frozen=True)
class Finding:
    """What a check gives: a verdict, the level of its evidence, what was seen, and the numbers behind it."""

    verdict: str
    level: str
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)


NOT_RUN = Finding(NOT_TESTED, "measured", "not run here; --rerun runs it")
"""What a check gives where the results that it reads are not there."""


def measured(supported: object, detail: str, numbers: dict[str, Any], level: str = "measured") -> Finding:
    """A finding of an experiment: supported at this scale or not."""
    return Finding(SUPPORTED if supported else NOT_SUPPORTED, level, detail, numbers)


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, or one result of the theory.

    id        as in the paper (Def 3.1 is ``Def3.1``) or in the theory (R1)
    title     a few words
    claim     what is said, in our words
    where     the place in the paper, or the page of the result in docs/
    verdict   on record; `check` has to give it again
    check     the function that judges it, from exact work or from saved curves
    assumes   what the claim takes for granted
    depends   ids of the claims that it rests on
    command   shows the evidence again
    saved     name of the saved results that it reads; empty where the check computes everything
    rerun     arguments of `elastomath` that make these results anew, ``{out}`` standing for their folder
    figure    the section of the report that draws it
    """

    id: str
    title: str
    claim: str
    where: str
    verdict: str
    check: Callable[[Evidence], Finding]
    assumes: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    command: str = ""
    saved: str = ""
    rerun: str = ""
    figure: str = ""


@dataclass(frozen=True)
class Saved:
    """Results that an experiment wrote: its curve file, and the summary beside it.

    name: of the results. Their files are called so in the package; a run made anew has them under its protocol's name, the
    first word (``rebound-algorithms`` is written by the protocol ``rebound``).
    """

    name: str
    folder: Path

    @property
    def there(self) -> bool:
        """Whether there is a summary."""
        return any(path.is_file() for path in self._places("json"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The JSON that the experiment wrote at its end."""
        return json.loads(self._file("json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    @cached_property
    def curve(self) -> Curve:
        """The curve file."""
        from elastomath.curve import Curve

        return Curve.read(self._file("csv"))

    def table(self) -> Any:
        """The CSV file as a DataFrame, where it is not a curve."""
        import pandas as pd

        return pd.read_csv(self._file("csv"))

    def _places(self, suffix: str) -> tuple[Path, Path]:
        return tuple(self.folder / f"{name}.{suffix}" for name in (self.name, self.name.partition("-")[0]))  # type: ignore[return-value]

    def _file(self, suffix: str) -> Path:
        places = self._places(suffix)
        for path in places:
            if path.is_file():
                return path
        raise InputError(
            "no saved results", where=str(places[0]), mend="make them with `elastomath check --rerun`, or install again"
        )


@dataclass
class Evidence:
    """What checks may draw on: the verification of the theory, done once for all, and saved results.

    quick: few random instances, no slow one; otherwise ``cases`` of them. reruns: folders of results that were made anew, by name.
    tell: called with the number of verified checks and of all, as they are done.
    """

    quick: bool = True
    cases: int = 200
    seed: int = 0
    processes: int = 1
    reruns: dict[str, Path] = field(default_factory=dict)
    tell: Callable[[int, int], None] | None = None
    _verified: dict[str, list[Verified]] = field(default_factory=dict)

    def verify(self, ids: Iterable[str]) -> None:
        """Verify these results of the theory now, side by side, so that later questions find them done."""
        from elastomath.verification import cases_of, verify

        wanted = [id for id in dict.fromkeys(ids) if id not in self._verified]
        if not wanted:
            return
        results = verify(wanted, self.cases, self.seed, quick=self.quick, processes=self.processes, tell=self.tell)
        for id in wanted:
            own = cases_of(id)
            self._verified[id] = [claim for claim in results if claim.id in own]

    def verified(self, id: str) -> list[Verified]:
        """The claims of `elastomath verify` on a result, and on each of its cases (R9a ... R9i of R9; R10 is no case of R1)."""
        self.verify([id])
        return self._verified[id]

    def saved(self, name: str) -> Saved:
        """Saved results by name: those made anew in this call, or those that come with the package."""
        if name in self.reruns:
            return Saved(name, self.reruns[name])
        return Saved(name, Path(str(files("paper_checks").joinpath("saved_runs", name))))


def only_if(condition: str) -> str:
    """The verdict of a claim that holds under a condition.

    >>> only_if("A < 1")
    'holds only if A < 1'
    """
    return f"{ONLY_IF} {condition}"


def kind(verdict: str) -> str:
    """Which of `KINDS` a verdict is. Raises ValueError for none.

    >>> kind("holds only if A < 1"), kind("holds")
    ('holds only if', 'holds')
    """
    if verdict.startswith(ONLY_IF + " "):
        return ONLY_IF
    if verdict not in KINDS or verdict == ONLY_IF:
        raise ValueError(f"no verdict: {verdict!r}")
    return verdict
