"""The first section: every claim of the paper and every result, with the verdict that its check gives now."""

from __future__ import annotations

from collections.abc import Sequence

from ..claims import Evidence, Outcome, conclusion, grouped, kind, legend
from ..claims.claim import FAILS, HOLDS, NOT_SUPPORTED, SUPPORTED, WITH_CONSTANTS
from .page import Cell, Section

MARKS = {HOLDS: "yes", WITH_CONSTANTS: "yes", SUPPORTED: "yes", FAILS: "no", NOT_SUPPORTED: "no"}
"""The colour of a verdict, beside its words; one under a condition has none."""


def claims_section(outcomes: Sequence[Outcome], evidence: Evidence) -> Section:
    """The claims by group, with what was seen for each on the page of details; a check for every verdict on record."""
    section = Section("claims", "Claims and verdicts", command="elastomath check")
    for sentence in conclusion(outcomes):
        section.say(sentence)
    for heading, group in grouped(outcomes).items():
        section.head(heading)
        rows = []
        for outcome in group:
            claim, finding = outcome.claim, outcome.finding
            row: dict[str, Cell | str] = {
                "claim": Cell(f"{claim.title} ({claim.id})", details=anchor(claim.id)),
                "verdict": Cell(finding.verdict, MARKS.get(kind(finding.verdict), "")),
                "evidence": Cell(finding.level, "short"),
            }
            if not all(one.stands for one in group):
                row["on record"] = "the same" if outcome.stands else Cell(f"NOT {claim.verdict}", "no")
            rows.append(row)
        section.show(rows)
    section.say(legend(outcomes)[0])  # what the levels of evidence are is on the site: the page has few words
    for outcome in outcomes:
        section.more(
            f"{outcome.claim.id}: {outcome.claim.title}", _details(outcome, evidence), anchor(outcome.claim.id)
        )
    stand = sum(outcome.stands for outcome in outcomes)
    section.check("verdicts on record", f"{len(outcomes)} stand", f"{stand} of {len(outcomes)}", stand == len(outcomes))
    return section


def anchor(id: str) -> str:
    """The place of a claim on the page of details.

    >>> anchor("Thm4.2")
    'claim-thm4-2'
    """
    return "claim-" + "".join(sign if sign.isalnum() else "-" for sign in id.lower())


def _details(outcome: Outcome, evidence: Evidence) -> str:
    claim, finding = outcome.claim, outcome.finding
    lines = [f"{claim.where}: {claim.claim}"]
    if claim.assumes:
        lines.append(f"assumes: {'; '.join(claim.assumes)}")
    if claim.depends:
        lines.append(f"rests on: {', '.join(claim.depends)}")
    lines += [f"verdict: {finding.verdict} ({finding.level})", finding.detail, f"again: {claim.command}"]
    if claim.rerun:
        lines.append(f"anew: elastomath {claim.rerun.format(out='out')}")
    if claim.id[0] == "R" and claim.id[1:].isdigit():
        lines += ["", *(f"{one.id} {one.level}: {one.detail}" for one in evidence.verified(claim.id))]
    return "\n".join(lines)
