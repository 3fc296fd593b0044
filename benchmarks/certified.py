"""Certified entropy of counts beside a ball for every count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from elastomath.certify.balls import Enclosure, working_precision
from elastomath.certify.entropy import certify_entropy


def cases(scale: float = 1.0) -> Iterator[Case]:
    """The entropy of 1e6 Zipf counts to 15 proved digits."""
    counts = np.random.default_rng(0).zipf(1.3, int(1_000_000 * scale)).clip(max=10**9)

    def one_by_one() -> float:
        from flint import arb, fmpz

        with working_precision(128):
            total: Any = arb(0)
            for count in counts.tolist():
                total += arb(fmpz(count)).log() * fmpz(count)
            size = fmpz(int(counts.sum()))
            return float((arb(size).log() - total / size).mid())

    yield Case(
        f"certified entropy, {counts.size:.0e} Zipf counts",
        lambda: certify_entropy(counts),
        {"a ball for every count": one_by_one},
        lambda answer: answer.estimate if isinstance(answer, Enclosure) else answer,
        1e-14,
    )
