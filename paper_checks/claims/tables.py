"""Tables 1 and 3 of the paper, judged from the printed numbers alone."""

from __future__ import annotations

from .claim import NOT_SUPPORTED, SUPPORTED, Claim, Evidence, Finding, measured, only_if

CONDITION = "the gaps are read on one target: elsewhere levels of the targets alone can give them"


def table1(evidence: Evidence) -> Finding:
    """Table 1: gaps between forward and inverse losses, and the only pair of losses that it prints on one target."""
    from ..published.tables import resistance_effect

    effect = resistance_effect()
    same = effect.same_target
    assert same.low is not None
    assert same.estimate is not None
    numbers = {"pairs": effect.pairs, "positive": effect.positive, "same_target": same.as_dict()}
    detail = "; ".join(effect.conclusions())
    if effect.positive <= effect.pairs / 2 or same.low <= 0:
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
        f"it: {'; '.join(excluded) or 'none'}. Without seeds the scatter around the line is the only error there is"
    )
    return measured(b.high < 0, detail, {"b": b.as_dict(), "excluded": excluded}, level="published")


CLAIMS = (
    Claim(
        "Table1", "Table 1: inverse alignment ends at a lower loss",
        "In all 27 pairs the inverse run theta_l -> D_k ends at a lower training loss than the forward run theta_k -> D_l.",
        "Table 1", only_if(CONDITION), table1, command="elastomath check Table1", figure="published",
    ),
    Claim(
        "Table3", "Table 3: more safety data is undone by fewer unsafe examples",
        "The number of unsafe examples that brings the divergence from the base below 0.01 falls with the number of safe ones.",
        "Table 3", SUPPORTED, table3, command="elastomath check Table3", figure="published",
    ),
)  # fmt: skip
