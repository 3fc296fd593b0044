"""Every piece of work that is timed, a file for each subject."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import certified, codes, divergences, leaves, mixtures, tails, trees
from benchmarks.case import Case


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Every case, its size multiplied by ``scale``."""
    for subject in (codes, trees, leaves, divergences, mixtures, tails, certified):
        yield from subject.cases(scale)
