"""What the mutants share: functions broken in one place, and which claims of `verify` turn red by that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from elastomath.verification import verify


def red(ids: Iterable[str] | None, cases: int = 20) -> set[tuple[str, str]]:
    """The claims of a quick run that do not hold, as pairs (id, level)."""
    return {(claim.id, claim.level) for claim in verify(ids, cases=cases, quick=True) if not claim.holds}


def red_ids(ids: Iterable[str] | None, cases: int = 20) -> set[str]:
    """The results with a claim that does not hold."""
    return {id for id, _ in red(ids, cases)}


def scaled(function: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function times a factor."""
    return lambda *args, **kwargs: function(*args, **kwargs) * factor


def changed(function: Callable[..., Any], **changes: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function with some fields of its result replaced by functions of the result."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return dataclasses.replace(result, **{name: change(result) for name, change in changes.items()})

    return broken
