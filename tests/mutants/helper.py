"""What the mutants share: functions broken in one place, and which claims of `verify` turn red by that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import pytest

from elastomath import verification
from elastomath.verification import QUICK_CASES, cases_of, results, verify


def first_of_each(mutants: Mapping[str, Any], *places: int) -> list[Any]:
    """Names of mutants for `parametrize`: each that breaks a formula, or shows at a result, that none before it does.

    The others run in the acceptance tests. places: where a mutant names its formula and its result, or set of results.
    """
    known: set[Hashable] = set()
    names = []
    for name, mutant in mutants.items():
        parts = [mutant[place] for place in places]
        own = {part for value in parts for part in (value if isinstance(value, set) else {value})}
        names.append(pytest.param(name, marks=[] if own - known else [pytest.mark.acceptance]))
        known |= own
    return names


def red(ids: Iterable[str] | None, cases: int = 20) -> set[tuple[str, str]]:
    """The claims of a quick run that do not hold, as pairs (id, level)."""
    return {(claim.id, claim.level) for claim in verify(ids, cases=cases, quick=True) if not claim.holds}


def red_ids(ids: Iterable[str] | None, cases: int = 20) -> set[str]:
    """The results with a claim that does not hold; of each, checks are run until one is red."""
    return {id for id in cases_of(ids) if is_red(id, cases)}


def is_red(id: str, cases: int = 20) -> bool:
    """Whether a claim on this result, or this case of one, does not hold."""
    return any(
        not verification._judge(id, index, min(cases, QUICK_CASES), 0, True).holds
        for index in range(len(results()[id].checks))
    )


def scaled(function: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function times a factor."""
    return lambda *args, **kwargs: function(*args, **kwargs) * factor


def changed(function: Callable[..., Any], **changes: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function with some fields of its result replaced by functions of the result."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return dataclasses.replace(result, **{name: change(result) for name, change in changes.items()})

    return broken
