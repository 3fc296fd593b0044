"""R1-R27: the results of the theory, each judged by its derivation, its certified instances and its random ones."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NotRequired, TypedDict

from .claim import FAILS, LEVELS, Claim, Evidence, Finding


class Row(TypedDict):
    """A result of the theory, as ``theory.toml`` has it."""

    title: str
    statement: str
    verdict: str
    rests_on: NotRequired[list[str]]
    section: NotRequired[str]


RESULTS: dict[str, Row] = tomllib.loads(files(__package__).joinpath("theory.toml").read_text(encoding="utf-8"))
TITLES = {id: (row["title"], row["statement"]) for id, row in RESULTS.items()}
"""Title and statement of each result."""


def judge(id: str, evidence: Evidence) -> Finding:
    """The verdict of `elastomath verify` on a result, if every level and every case of it holds."""
    claims = evidence.verified(id)
    own = [claim for claim in claims if claim.id == id]
    failed = [claim for claim in claims if not claim.holds]
    if failed:
        first = failed[0]
        return Finding(FAILS, first.level, f"{first.id} ({first.level}): {first.detail}")
    level = min((claim.level for claim in own), key=LEVELS.index)
    cases = ", ".join(f"{claim.level} {claim.cases}" for claim in own)
    examples = [claim.id for claim in claims if claim.id != id]
    detail = f"{own[0].detail} [{cases}{'; cases ' + ', '.join(dict.fromkeys(examples)) if examples else ''}]"
    return Finding(own[0].verdict, level, detail, {"claims": len(claims)})


def _check(id: str):  # type: ignore[no-untyped-def]
    def check(evidence: Evidence) -> Finding:
        return judge(id, evidence)

    check.__doc__ = f"{id} as `elastomath verify` judges it."
    return check


CLAIMS = tuple(
    Claim(
        id=id,
        title=row["title"],
        claim=row["statement"],
        where=f"docs/results/{id}.md",
        verdict=row["verdict"],
        check=_check(id),
        depends=tuple(row.get("rests_on", ())),
        command=f"elastomath verify --only {id}",
        figure=row.get("section", ""),
    )
    for id, row in RESULTS.items()
)
