"""What the mutants share: functions broken in one place, and which claims of `verify` turn red by that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from elastomath import verification
from elastomath.verification import QUICK_CASES, cases_of, results, verify


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
