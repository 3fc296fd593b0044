"""`verify`: the results of the theory at four levels of evidence, each as a claim with a verdict.

symbolic        the derivation, every step checked, evaluated on random trees, and its conclusion established
certified       instances with exact rational masses: exact fractions, or balls with proved signs
sampled         random instances, the library's floats against evaluations that share no code with it
counterexample  an explicit instance, in exact fractions

Each file exports ``RESULTS``, its results by id; `verify` runs their checks, several at a time on several cores.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module

import numpy as np

from ..derivations import builders, derive
from ..errors import InputError
from ..memory import affordable
from ..runs.executors import PROCESS_BYTES, open_executor
from .tally import COUNTEREXAMPLE, NOT_SHOWN, Check, Claim, Result, Tally, symbolic

__all__ = [
    "COUNTEREXAMPLE",
    "NOT_SHOWN",
    "QUICK_CASES",
    "Check",
    "Claim",
    "Result",
    "Tally",
    "cases_of",
    "explain",
    "results",
    "symbolic",
    "verified",
    "verify",
]

MODULES = (
    "response",
    "finite",
    "necessity",
    "pareto",
    "springs",
    "codes",
    "optima",
    "volumes",
    "ceilings",
    "theorem",
    "finetuning",
    "union",
    "rebound",
    "forgetting",
    "logit",
    "optimisers",
    "jointness",
    "limits",
)
"""The files that verify results."""
CASE_BYTES = 10_000
"""What a random instance may take."""
QUICK_CASES = 20
"""Random instances for each sampled claim of a quick run."""


@cache
def results() -> dict[str, Result]:
    """How each result is verified, by id, R1 first."""
    results_by_name: dict[str, Result] = {}
    for module in MODULES:
        results_by_name |= import_module(f"{__name__}.{module}").RESULTS
    return dict(sorted(results_by_name.items(), key=lambda item: _order(item[0])))


def verified() -> tuple[str, ...]:
    """The ids that `verify` knows, R1 first; a letter behind the number is one case of a result (R9a)."""
    return tuple(results())


def verify(
    ids: Iterable[str] | None = None,
    cases: int = 200,
    seed: int = 0,
    *,
    quick: bool = False,
    processes: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> list[Claim]:
    """The results derived, certified and sampled, and the counterexamples; one claim for each (id, level).

    ids: which of `verified()`, all by default ("R9" means each of its cases). cases: random instances for each sampled
    claim. quick: at most `QUICK_CASES` of them, and no slow instance. processes: how many checks run side by side.
    tell: called with the number of checks done and of all, as they are done. A check that does not come out gives a claim
    with ``holds`` False, never an exception. The claims depend on the seed alone, not on what else is asked or on the
    number of processes.
    Raises InputError for an unknown id, cases < 1 or processes < 1.

    >>> [(claim.level, claim.holds) for claim in verify(["R2"], cases=5)]
    [('symbolic', True), ('certified', True), ('sampled', True)]
    """
    for value, name in ((cases, "cases"), (processes, "processes")):
        if value < 1:
            raise InputError(f"{value} {name}", where="verify", mend="ask for at least one")
    cases = min(cases, QUICK_CASES) if quick else cases
    affordable(cases, CASE_BYTES, "cases", "verify")
    affordable(processes, PROCESS_BYTES, "processes", "verify")
    work = [(id, index, cases, seed, quick) for id in cases_of(ids) for index in range(len(results()[id].checks))]
    done = _counted(len(work), tell)
    if processes == 1 or len(work) == 1:
        return [done(_judge(*item)) for item in work]
    # spawned: a process that has used compiled threads must not be forked
    with open_executor("local", workers=min(processes, len(work))) as pool:
        assert pool is not None
        # derivations first: they take longest, and the short checks then fill the gaps
        first = sorted(work, key=lambda item: results()[item[0]].checks[item[1]][0] != "symbolic")
        judged = {
            item: done(claim) for item, claim in zip(first, pool.map(_judge, *zip(*first, strict=True)), strict=True)
        }
    return [judged[item] for item in work]


def _counted(total: int, tell: Callable[[int, int], None] | None) -> Callable[[Claim], Claim]:
    """Hands claims through, and says how many there were."""
    count = itertools.count(1)

    def done(claim: Claim) -> Claim:
        if tell is not None:
            tell(next(count), total)
        return claim

    return done


def _judge(id: str, index: int, cases: int, seed: int, quick: bool) -> Claim:
    result = results()[id]
    level, check = result.checks[index]
    rng = np.random.default_rng([seed, *id.encode(), *level.encode()])
    tally = Tally(quick=quick)
    try:
        check(tally, cases, rng)
    except (ArithmeticError, ValueError) as error:
        tally.fail(f"{type(error).__name__}: {error}", NOT_SHOWN)
    if not tally.cases:
        tally.fail("nothing was tried", NOT_SHOWN)
    return tally.claim(id, level, result.verdict)


def cases_of(ids: Iterable[str] | str | None) -> list[str]:
    """The ids that `verify` knows under these results: a result itself, and its cases, which a letter tells apart.

    Raises InputError for an unknown id.

    >>> cases_of("R1"), cases_of(["R15"])
    (['R1'], ['R15', 'R15a', 'R15b'])
    """
    if ids is None:
        return list(verified())
    out: list[str] = []
    for id in [ids] if isinstance(ids, str) else ids:
        known = [name for name in verified() if name == id or (name[:-1] == id and name[-1].isalpha())]
        if not known:
            raise InputError(f"unknown result {id!r}", where="verify", mend=f"choose from {', '.join(verified())}")
        out += known
    return list(dict.fromkeys(out))


def explain(id: str, style: str = "text") -> str:
    """How a result is known: its derivation, or its counterexample, as plain text or as a LaTeX fragment.

    Raises InputError for an unknown id or style.

    >>> print(explain("R9b").splitlines()[0])
    R9b  The alignment data is the perturbation data: P_a = P_t, different from P_p
    """
    if style not in ("text", "latex"):
        raise InputError(f"unknown style {style!r}", where="explain", mend="choose text or latex")
    if id in builders():
        return derive(id).text() if style == "text" else derive(id).latex()
    shown = results()[id].explain if id in results() else None
    if shown is None:
        known = sorted({*builders(), *(name for name, result in results().items() if result.explain)}, key=_order)
        raise InputError(f"nothing to explain about {id!r}", where="explain", mend=f"choose one of {', '.join(known)}")
    return shown(style)


def _order(id: str) -> tuple[int, str]:
    number = re.sub(r"\D", "", id)
    return int(number or 0), id
