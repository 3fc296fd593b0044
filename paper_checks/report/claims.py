"""The first section: every claim of the paper and every result, with the verdict that its check gives now."""

from __future__ import annotations

from ..claims import Evidence, check
from .page import Section


def claims_section(evidence: Evidence) -> Section:
    """The table of claims, and for each what was seen; a check for every verdict on record."""
    section = Section("claims", "Claims and verdicts", command="elastomath check")
    outcomes = check(None, evidence)
    section.show(
        [
            {
                "id": outcome.claim.id,
                "claim": outcome.claim.title,
                "verdict": outcome.finding.verdict,
                "evidence": outcome.finding.level,
                "as recorded": outcome.stands,
            }
            for outcome in outcomes
        ],
        "Each verdict was given by its check in the run that wrote this page.",
    )
    for outcome in outcomes:
        claim, finding = outcome.claim, outcome.finding
        lines = [f"{claim.where}: {claim.claim}"]
        if claim.assumes:
            lines.append(f"assumes: {'; '.join(claim.assumes)}")
        if claim.depends:
            lines.append(f"rests on: {', '.join(claim.depends)}")
        lines += [f"verdict: {finding.verdict} ({finding.level})", finding.detail, f"again: {claim.command}"]
        if claim.rerun:
            lines.append(f"anew: elastomath {claim.rerun.format(out='out')}")
        section.more(f"{claim.id}: {claim.title}", "\n".join(lines))
    stand = sum(outcome.stands for outcome in outcomes)
    section.check("verdicts on record", f"{len(outcomes)} stand", f"{stand} of {len(outcomes)}", stand == len(outcomes))
    return section
