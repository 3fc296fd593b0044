"""The verb `check`: every claim of the paper, and the verdict that its check gives now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .terminal import Json, Seed, emit, table


def check(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Claims, e.g. Thm4.2 F1 R5; all.")] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Make the saved results of these claims anew first (minutes to hours).")
    ] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="All random instances and the slow ones too.")] = False,
    out: Annotated[Path, typer.Option("--out", help="With --rerun: folder of the new results.")] = Path("out/check"),
    processes: Annotated[int, typer.Option("--processes", min=0, help="Checks side by side; 0 takes one a core.")] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """The paper's claims, each with its verdict: exit code 1 where one is not the verdict on record."""
    from ..claims import Evidence, claims, rerun_saved
    from ..claims import check as judge

    folders = {}
    if rerun:
        folders = rerun_saved(ids or None, out, _run)
    evidence = Evidence(quick=not thorough, seed=seed, processes=processes or os.cpu_count() or 1, reruns=folders)
    outcomes = judge(ids or None, evidence)
    rows = [outcome.as_dict() for outcome in outcomes]

    def show() -> None:
        table(
            [row | {"on record": "yes" if row["stands"] else f"NO: {row['recorded']}"} for row in rows],
            ("id", "title", "verdict", "level", "on record"),
        )
        if ids:
            for row in rows:
                print(f"\n{row['id']}  {row['title']} ({row['where']})\n  {row['claim']}\n  {row['detail']}")
                print(f"  again: {row['command']}")
        stand = sum(outcome.stands for outcome in outcomes)
        print(f"{stand} of {len(outcomes)} verdicts are those on record ({len(claims())} claims in all)")

    emit({"claims": rows}, as_json, show)
    return 0 if all(outcome.stands for outcome in outcomes) else 1


def _run(arguments: list[str]) -> int:
    """`elastomath` with these arguments in a process of its own, its stdout away from ours."""
    import subprocess
    import sys

    return subprocess.run([sys.executable, "-m", "paper_checks", *arguments], stdout=sys.stderr, check=False).returncode
