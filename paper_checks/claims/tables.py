"""Tables 1 and 3 of the paper, judged from the printed numbers alone."""

from __future__ import annotations

from .claim import NOT_SUPPORTED, SUPPORTED, Claim, Evidence, Finding, measured, only_if

CONDITION = "the gaps are read on one target: elsewhere levels of the targets alone can give them"


def table1(evidence: Evidence) -> Finding:
    """Table 1: gaps between forward and inverse losses, and the only pair of losses that it prints on one target.

    Its nine clusters are three datasets crossed with three models: the widest of the intervals over clusters, datasets and models judges.
    """
    from ..published.tables import resistance_effect

    effect = resistance_effect()
    same = {what: interval.as_dict() for what, _, interval in effect.shared}
    numbers = {"pairs": effect.pairs, "positive": effect.positive, "same_target": effect.same_target.as_dict()} | same
    detail = "; ".join(effect.conclusions())
    if effect.positive <= effect.pairs / 2 or not effect.same_target_decided:
        return Finding(NOT_SUPPORTED, "published", detail, numbers)
    verdict = only_if(CONDITION) if effect.target_share > 0.1 else SUPPORTED
    return Finding(verdict, "published", detail, numbers)


def table3(evidence: Evidence) -> Finding:
    """Table 3: the exponent b of m* ~ n^b, with its interval, and the laws that it excludes."""
    from ..published.tables import reversal_exponent

    exponent = reversal_exponent()
    b = exponent.pooled
    assert b.high is not None
    excluded = [law for law, _, _, p in exponent.laws if p < 0.05]
    detail = (
        f"m* ~ n^b with b = {b.estimate:.2f} [{b.low:.2f}, {b.high:.2f}] over two models of four volumes: it falls; excluded by "
        f"it: {'; '.join(excluded) or 'none'}. Without seeds the scatter around the line is the only error there is, "
        "and it speaks of these two models"
    )
    return measured(b.high < 0, detail, {"b": b.as_dict(), "excluded": excluded}, level="published")


CLAIMS = (
    Claim(
        "Table1", "Table 1: inverse alignment ends at a lower loss",
        "The inverse run theta_l -> D_k ends at a lower training loss than the forward run theta_k -> D_l, as in all 27 printed pairs.",
        "Table 1", NOT_SUPPORTED, table1, command="elastomath check Table1", figure="published",
    ),
    Claim(
        "Table3", "Table 3: more safety data is undone by fewer unsafe examples",
        "The number of unsafe examples that brings the divergence from the base below 0.01 falls with the number of safe ones.",
        "Table 3", SUPPORTED, table3, command="elastomath check Table3", figure="published",
    ),
)  # fmt: skip
