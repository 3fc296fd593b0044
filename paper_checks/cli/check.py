"""The verb `check`: every claim of the paper, and the verdict that its check gives now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .terminal import Json, Seed, Verbose, conclude, emit, table


def check(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Statements of the paper, its findings or our results, by the ids that `elastomath check` lists; all by default.",
        ),
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Make the saved results of these claims anew first (minutes to hours).")
    ] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="All random instances and the slow ones too.")] = False,
    out: Annotated[Path, typer.Option("--out", help="With --rerun: folder of the new results.")] = Path("out/check"),
    processes: Annotated[int, typer.Option("--processes", min=0, help="Checks side by side; 0 takes one a core.")] = 0,
    verbose: Verbose = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """What holds of the paper: each claim with its verdict. Exit code 1 where one is not the verdict on record."""
    from elastomath.progress import counter

    from ..claims import Evidence, conclusion, grouped, legend, rerun_saved
    from ..claims import check as judge

    folders = {}
    if rerun:
        folders = rerun_saved(ids or None, out, _run)
    evidence = Evidence(
        quick=not thorough,
        seed=seed,
        processes=processes or os.cpu_count() or 1,
        reruns=folders,
        tell=counter("checks"),
    )
    outcomes = judge(ids or None, evidence)
    rows = [outcome.as_dict() for outcome in outcomes]

    def show() -> None:
        conclude(conclusion(outcomes), blank=False)
        for heading, group in grouped(outcomes).items():
            print(f"\n{heading}")
            table(
                [
                    {"id": one.claim.id, "claim": one.claim.title, "verdict": one.finding.verdict}
                    | {"evidence": one.finding.level}
                    | ({} if one.stands else {"": f"NOT the verdict on record: {one.claim.verdict}"})
                    for one in group
                ],
                ("id", "claim", "verdict", "evidence", *([] if all(one.stands for one in group) else [""])),
            )
        print()
        for line in legend(outcomes):
            conclude([line], blank=False)
        for row in rows if ids or verbose else ():
            print(f"\n{row['id']}  {row['title']} ({row['where']})")
            for word, text in (("says", row["claim"]), ("seen", row["detail"]), ("again", row["command"])):
                print(f"  {word}: {text}")
        if not (ids or verbose):
            print("\nWhat was seen for a claim: elastomath check Thm4.2, or elastomath check -v for all.")

    emit({"conclusion": conclusion(outcomes), "claims": rows}, as_json, show)
    return 0 if all(outcome.stands for outcome in outcomes) else 1


def _run(arguments: list[str]) -> int:
    """`elastomath` with these arguments in a process of its own, its stdout away from ours."""
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-m", "paper_checks", *arguments], stdout=sys.stderr, check=False).returncode
