"""Shrinking: from any instance that violates a claim to one that no single move makes smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from ..errors import InputError


@runtime_checkable
class Shrinkable(Protocol):
    """What `shrink` works on: it has a size, and proposes instances that may be smaller."""

    @property
    def size(self) -> tuple[Any, ...]:
        """Sizes are compared as tuples: what matters most stands first."""

    def smaller(self) -> Iterator[Shrinkable]:
        """Candidates, the boldest first; those that are not smaller are passed over by `shrink`."""


S = TypeVar("S", bound=Shrinkable)


def shrink(instance: S, violates: Callable[[S], bool], limit: int = 20_000) -> S:
    """The smallest instance reached from ``instance`` by moves that keep ``violates`` true (R9).

    Greedy: the first candidate of ``smaller()`` that has a smaller size and still violates is taken, until there is none.
    So the end is minimal for single moves: **no move leads to an instance that is smaller and violates**. Sizes fall at
    each step, so it ends; the same instance always gives the same end. ``violates`` says both that what is kept of the
    assumptions holds and that the claim fails. Candidates seen before are not tried again; at most ``limit`` are tried.

    Raises InputError where the first instance violates nothing.

    >>> from fractions import Fraction
    >>> from elastomath.necessity.instance import Instance
    >>> start = Instance(((9, 4, 7), (8, 1, 0), (9, 2, 1)), (Fraction(37, 3), Fraction(1), Fraction(1, 7)))
    >>> end = shrink(start, lambda seen: seen.gaps()[0] > 0)   # dH_p > 0: the sign of Thm 4.2 fails
    >>> end.counts, [str(volume) for volume in end.volumes]
    (((0, 1), (0, 1), (1, 0)), ['1', '1', '0'])
    """
    if not violates(instance):
        raise InputError("the instance violates nothing", where="shrink", mend="start from one that does")
    tried, least, sizes = 0, instance.size, {instance.size}
    while True:
        for candidate in instance.smaller():
            size = candidate.size
            if size >= least or size in sizes:
                continue
            tried += 1
            if tried > limit:
                return instance
            sizes.add(size)
            if violates(candidate):  # type: ignore[arg-type]
                instance, least = candidate, size  # type: ignore[assignment]
                break
        else:
            return instance
