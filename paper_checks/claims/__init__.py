"""The claims of the paper and the results of the theory as objects, each with a check that gives its verdict again."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from elastomath.errors import InputError

from .claim import KINDS, LEVELS, NOT_TESTED, Claim, Evidence, Finding, Saved, kind
from .summary import GROUPS, conclusion, group, grouped, legend

__all__ = [
    "GROUPS",
    "KINDS",
    "LEVELS",
    "Claim",
    "Evidence",
    "Finding",
    "Outcome",
    "Saved",
    "check",
    "claims",
    "conclusion",
    "group",
    "grouped",
    "kind",
    "legend",
    "rerun_saved",
]

MODULES = ("definitions", "laws", "findings", "behaviours", "others", "tables", "questions", "simulated", "theory")
"""The files that hold claims, in the order in which the page shows them."""


@cache
def claims() -> dict[str, Claim]:
    """Every claim by its id, in the order of the paper, then R1-R27.

    >>> list(claims())[:2], claims()["R5"].command
    (['Def3.1', 'Def3.3a'], 'elastomath verify --only R5')
    """
    by_id: dict[str, Claim] = {}
    for module in MODULES:
        for claim in import_module(f"{__name__}.{module}").CLAIMS:
            if claim.id in by_id:
                raise ValueError(f"two claims are called {claim.id}")
            by_id[claim.id] = claim
    return by_id


@dataclass(frozen=True)
class Outcome:
    """What checking one claim gave, beside the verdict on record."""

    claim: Claim
    finding: Finding
    seconds: float

    @property
    def stands(self) -> bool:
        """Whether the check gives the verdict on record."""
        return self.finding.verdict == self.claim.verdict

    def as_dict(self) -> dict[str, Any]:
        """The JSON row: id, claim, verdict, level, detail, and the rest of the claim."""
        claim, finding = self.claim, self.finding
        return {
            "id": claim.id,
            "title": claim.title,
            "claim": claim.claim,
            "where": claim.where,
            "verdict": finding.verdict,
            "level": finding.level,
            "detail": finding.detail,
            "recorded": claim.verdict,
            "stands": self.stands,
            "assumes": list(claim.assumes),
            "depends": list(claim.depends),
            "command": claim.command,
            "rerun": claim.rerun and f"elastomath {claim.rerun}",
            "figure": claim.figure,
            "numbers": finding.numbers,
            "seconds": self.seconds,
        }


def check(
    ids: Iterable[str] | None = None, evidence: Evidence | None = None, *, tell: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Check claims by id (all without), in the order of the registry; a check that raises gives ``not tested here``.

    tell: called with each outcome as it comes. Raises InputError for an unknown id.

    >>> [outcome.finding.verdict for outcome in check(["Hooke-reverse"])]
    ['fails: counterexample']
    """
    wanted = [claims()[id] for id in _known(ids)]
    evidence = evidence or Evidence()
    results = {id for claim in wanted for id in (claim.id, *claim.depends) if id[0] == "R" and id[1:].isdigit()}
    evidence.verify(sorted(results, key=lambda id: int(id[1:])))
    outcomes = []
    for claim in wanted:
        start = time.monotonic()
        try:
            finding = claim.check(evidence)
        except (InputError, ArithmeticError, ValueError, KeyError) as error:
            finding = Finding(NOT_TESTED, "measured", f"{type(error).__name__}: {error}")
        outcomes.append(Outcome(claim, finding, time.monotonic() - start))
        if tell:
            tell(outcomes[-1])
    return outcomes


def rerun_saved(ids: Iterable[str] | None, out: Path, run: Callable[[list[str]], int]) -> dict[str, Path]:
    """Make the saved results behind claims anew, each once, into ``out``; the folders by name.

    run: takes the arguments of `elastomath` and returns its exit code. Raises InputError where a command fails.
    """
    folders: dict[str, Path] = {}
    for id in _known(ids):
        claim = claims()[id]
        if not claim.rerun or claim.saved in folders:
            continue
        folder = out / claim.saved
        arguments = [part.replace("{out}", str(folder)) for part in shlex.split(claim.rerun)]
        if run(arguments) not in (0, 1):
            raise InputError(
                f"`elastomath {shlex.join(arguments)}` failed", where=claim.id, mend="run it by hand to see why"
            )
        folders[claim.saved] = folder
    return folders


def _known(ids: Iterable[str] | None) -> list[str]:
    if ids is None:
        return list(claims())
    asked, lower = list(ids), {id.lower(): id for id in claims()}
    for id in asked:
        if id.lower() not in lower:
            raise InputError(f"unknown claim {id!r}", where="check", mend=f"choose from {', '.join(claims())}")
    wanted = {lower[id.lower()] for id in asked}
    return [id for id in claims() if id in wanted]
