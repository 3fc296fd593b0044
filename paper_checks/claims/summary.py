"""What the claims say together: groups of claims, and a conclusion in whole sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .claim import (
    FAILS,
    HOLDS,
    LEVELS,
    MEANINGS,
    NOT_SUPPORTED,
    NOT_TESTED,
    ONLY_IF,
    SUPPORTED,
    WITH_CONSTANTS,
    WORDS_OF_LEVELS,
    kind,
)

if TYPE_CHECKING:
    from . import Claim, Outcome

PAPER = "The paper's statements, judged by mathematics"
MEASURED = "The paper's findings and questions, judged by what was measured here"
THEORY = "Results of the theory behind the verdicts"
GROUPS = (PAPER, MEASURED, THEORY)
"""The groups, in the order in which they are shown."""


def group(claim: Claim, level: str) -> str:
    """Which of `GROUPS` a claim belongs to, by its id and by the level of its evidence."""
    if claim.id[0] == "R" and claim.id[1:].isdigit():
        return THEORY
    return MEASURED if level in ("measured", "published") else PAPER


def grouped(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes by group, in the order of `GROUPS`; groups with none are left out."""
    groups: dict[str, list[Outcome]] = {name: [] for name in GROUPS}
    for outcome in outcomes:
        groups[group(outcome.claim, outcome.finding.level)].append(outcome)
    return {name: members for name, members in groups.items() if members}


def conclusion(outcomes: Sequence[Outcome]) -> list[str]:
    """What to conclude from the outcomes of `check`, in whole sentences.

    >>> from paper_checks.claims import check
    >>> conclusion(check(["Hooke-reverse"]))
    ['The one statement of the paper that mathematics can judge fails by a counterexample.', 'Every verdict is the one on record.']
    """
    sentences = []
    for name, members in grouped(outcomes).items():
        count = Counter(kind(outcome.finding.verdict) for outcome in members)
        parts = [
            words.format(n, "s" * (n == 1), "is" if n == 1 else "are", "was" if n == 1 else "were")
            for verdict, words in WORDS
            if (n := count[verdict])
        ]
        listed = ", ".join(parts[:-1]) + (" and " if parts[:-1] else "") + parts[-1]
        if len(members) == 1:
            noun = {PAPER: "statement", MEASURED: "finding or question", THEORY: "result"}[name]
            where = WHERE[name].replace(" were ", " was ")
            sentences.append(f"The one {noun} {where} {listed.removeprefix('1 ')}.")
            continue
        nouns = {PAPER: "statements", MEASURED: "findings and questions", THEORY: "results"}[name]
        sentences.append(f"Of the {len(members)} {nouns} {WHERE[name]}, {listed}.")
    if any(outcome.finding.verdict == NOT_SUPPORTED for outcome in outcomes):
        sentences.append("Not supported is not refuted: it was not seen here, or could not have been.")
    changed = [outcome.claim.id for outcome in outcomes if not outcome.stands]
    if changed:
        sentences.append(f"NOT the verdict on record: {', '.join(changed)}.")
    else:
        sentences.append("Every verdict is the one on record.")
    return sentences


def legend(outcomes: Sequence[Outcome]) -> list[str]:
    """What the verdicts and the levels of evidence among these outcomes mean, a sentence each.

    >>> from paper_checks.claims import check
    >>> print(*legend(check(["Hooke-reverse"])), sep="\\n")
    Verdicts: 'fails: counterexample': false on an explicit example.
    Evidence: 'counterexample': by an example in exact fractions.
    """
    verdicts = {kind(outcome.finding.verdict) for outcome in outcomes}
    levels = {outcome.finding.level for outcome in outcomes}
    said = "; ".join(f"'{verdict}': {meaning}" for verdict, meaning in MEANINGS.items() if verdict in verdicts)
    evidence = "; ".join(f"'{level}': {WORDS_OF_LEVELS[level]}" for level in LEVELS if level in levels)
    return [f"Verdicts: {said}.", f"Evidence: {evidence}."]


WORDS = (
    (HOLDS, "{} hold{} as stated"),
    (WITH_CONSTANTS, "{} hold{} once constants are put in"),
    (ONLY_IF, "{} hold{} under a condition only"),
    (FAILS, "{} fail{} by a counterexample"),
    (SUPPORTED, "{0} {2} supported at this scale"),
    (NOT_SUPPORTED, "{0} {2} not supported at this scale"),
    (NOT_TESTED, "{0} {3} not tested"),
)
WHERE = {
    PAPER: "of the paper that mathematics can judge",
    MEASURED: "that were measured on small models",
    THEORY: "of the theory",
}
