"""The verb `verify`: the results of the theory, derived, certified, sampled, and the counterexamples."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .terminal import Json, Seed, Verbose, conclude, emit, number_of, table

if TYPE_CHECKING:
    from elastomath.verification import Claim


DATASETS = (
    "P_p, P_a, P_t are the datasets of pre-training, alignment and perturbation, with the volumes k, 1 and l (L at the end); "
    "H_i is the code length of dataset i under the model q, in nats; DeltaH_i is its change."
)
BEHAVIOUR = (
    "p is the share of the wanted response, z = ln(p/(1-p)) the contrast, c what one example moves it by at most; n examples "
    "align, m opposed ones undo, m* all of them."
)


def verify(
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain", help="Print the derivation of a result by its number, e.g. R5; `elastomath verify` lists them."
        ),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="With --explain: a LaTeX document.")] = False,
    only: Annotated[
        str | None, typer.Option("--only", help="Some results by their numbers, e.g. R5,R18 (all by default).")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few random instances, no slow one: some 20 s of processor time.")
    ] = False,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Random instances for each sampled check.")] = 200,
    processes: Annotated[int, typer.Option("--processes", min=0, help="Checks side by side; 0 takes one a core.")] = 0,
    verbose: Verbose = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Derive and certify the 27 results of the theory, and confirm the counterexamples."""
    from dataclasses import asdict

    from elastomath import verification
    from elastomath.progress import counter

    if explain is not None:
        text = verification.explain(explain, style="latex" if latex else "text")
        if not latex:
            text = f"{_statement(explain)}{text}"
        if latex:
            from .latex import document

            text = document(text)
        emit({"id": explain, "text": text}, as_json, lambda: print(text))
        return 0
    ids = None if only is None else [id.strip() for id in only.split(",")]
    claims = verification.verify(
        ids, cases, seed, quick=quick, processes=processes or os.cpu_count() or 1, tell=counter("checks")
    )
    emit({"claims": [asdict(claim) for claim in claims]}, as_json, lambda: _show(claims, verbose))
    return 0 if all(claim.holds for claim in claims) else 1


def conclusion(claims: Sequence[Claim]) -> list[str]:
    """What to conclude, in whole sentences.

    >>> from elastomath.verification import verify
    >>> print(conclusion(verify(["R2"], cases=5))[0])
    The one result asked for holds: every check of it came out as the theory says.
    """
    results = list(dict.fromkeys(claim.id for claim in claims if not _is_case(claim.id)))
    examples = list(dict.fromkeys(claim.id for claim in claims if _is_case(claim.id)))
    failed = [claim for claim in claims if not claim.holds]
    if failed:
        names = ", ".join(dict.fromkeys(f"{claim.id} ({claim.level})" for claim in failed))
        return [f"{number_of(len(failed), 'check')} of {len(claims)} did not come out as the theory says: {names}."]
    sentences = []
    if results:
        several = "Both results hold" if len(results) == 2 else f"All {len(results)} results hold"
        which = "The one result asked for holds" if len(results) == 1 else several
        sentences.append(
            f"{which}: every check of {'it' if len(results) == 1 else 'them'} came out as the theory says."
        )
    if examples:
        are = "is confirmed: it shows" if len(examples) == 1 else "are confirmed: they show"
        sentences.append(
            f"{number_of(len(examples), 'counterexample')} {are} where a statement fails once an assumption is dropped "
            "or a printed formula is taken as it stands."
        )
    return sentences


def _show(claims: Sequence[Claim], verbose: bool) -> None:
    conclude(conclusion(claims), blank=False)
    rows = {claim.id: {"id": claim.id, "what": _title(claim.id), "verdict": _verdict(claim)} for claim in claims}
    for claim in claims:
        row = rows[claim.id]
        row["checked"] = f"{row['checked']}, {_level(claim)}" if "checked" in row else _level(claim)
        if not claim.holds:
            row["verdict"] = f"NOT SHOWN ({claim.level}): {claim.detail}"
    for title, wanted in (("Results", False), ("Counterexamples", True)):
        group = [row for id, row in rows.items() if _is_case(id) == wanted]
        if group:
            print(f"\n{title}")
            table(group, ("id", "what", "verdict", "checked"))
    print()
    conclude(
        (
            _legend(claims),
            "Checked: steps of the derivation (symbolic), instances in exact fractions or enclosed in balls (certified), random "
            "instances against an independent computation (sampled), instances of a search for the smallest counterexample.",
            "What each result states: docs/results/index.md; its letters: docs/glossary.md. A derivation: elastomath verify --explain R18.",
            *(() if verbose else ("What each check saw: elastomath verify -v.",)),
            "Not shown: that training a language model reaches a joint optimum; that is what experiments ask.",
        ),
        blank=False,
    )
    if verbose:
        _details(claims)


def _legend(claims: Sequence[Claim]) -> str:
    """What the verdicts of these claims mean, a sentence.

    >>> from elastomath.verification import verify
    >>> _legend(verify(["R5"], cases=5, quick=True))
    "Verdict: 'holds with constants': once constants are put in."
    """
    from ..claims.claim import MEANINGS, ONLY_IF

    verdicts = [claim.verdict for claim in claims if claim.holds and not _is_case(claim.id)]
    kinds = [
        kind
        for kind in MEANINGS
        if any(verdict == kind or (kind == ONLY_IF and verdict.startswith(kind)) for verdict in verdicts)
    ]
    parts = [f"'{kind}': {MEANINGS[kind]}" for kind in kinds]
    if any(claim.holds and _is_case(claim.id) for claim in claims):
        parts.append("'confirmed': the counterexample shows what it has to")
    if not all(claim.holds for claim in claims):
        parts.append("'NOT SHOWN': a check did not come out as the theory says")
    return f"Verdict: {'; '.join(parts)}."


def _level(claim: Claim) -> str:
    return f"{claim.level} {claim.cases:,}"


def _verdict(claim: Claim) -> str:
    return "confirmed" if _is_case(claim.id) else claim.verdict


def _is_case(id: str) -> bool:
    return id[-1].isalpha()


def _statement(id: str) -> str:
    """What a result says, before its derivation."""
    from ..claims.theory import TITLES

    if id not in TITLES:
        return ""
    letters = BEHAVIOUR if id in ("R21", "R22", "R23", "R24", "R25", "R26") else DATASETS
    steps = "The letters of the derivation stand before its steps, all others in docs/glossary.md."
    return f"{id} says: {TITLES[id][1]}\n\nLetters: {letters} {steps}\n\n"


def _title(id: str) -> str:
    from elastomath.verification import explain

    from ..claims.theory import TITLES

    if id in TITLES:
        return TITLES[id][0]
    return explain(id).partition("\n")[0].removeprefix(id).strip()


def _details(claims: Iterable[Claim]) -> None:
    """A heading for each result, and below it what was seen at each level."""
    width = shutil.get_terminal_size((100, 40)).columns if sys.stdout.isatty() else 100
    last = ""
    for claim in claims:
        if claim.id != last:
            print(f"\n{claim.id}: {_title(claim.id)}")
            last = claim.id
        head = f"  {'' if claim.holds else 'NOT SHOWN, '}{_level(claim)}: "
        print(textwrap.fill(claim.detail, width, initial_indent=head, subsequent_indent="    "))
