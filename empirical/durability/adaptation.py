"""Adaptation: a base is trained on both responses of a behaviour until it answers with one of them, which the logit law needs."""

from __future__ import annotations

from collections.abc import Callable

from elastomath.runs.ledger import Result

from ..models.sequences import Sequences
from .answers import outside_of


def adapt(
    data: Sequences, read: Callable[[int], Result], train: Callable[[Sequences], object], *, step: int, closure: float
) -> list[Result]:
    """Train on ``step`` examples of ``data`` at a time until less than ``closure`` of the probability lies outside the pair.

    ``read(volume)`` gives the reading after so many examples; the readings are returned, the last one where adaptation ended.
    """
    readings = [read(0)]
    for start in range(0, len(data), step):
        if outside_of(readings[-1]) < closure:
            break
        train(data[slice(start, start + step)])
        readings.append(read(min(start + step, len(data))))
    return readings
