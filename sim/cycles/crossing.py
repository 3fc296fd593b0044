"""How much volume takes a compressor to a level: continuation with growing steps, then bisection; an answer with its bracket."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from elastomath import InputError

from ..compressors.compressor import State
from .records import Back

Advance = Callable[[State, float, float], State]
"""(state, volume so far, volume after) -> the state after."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """The volume at which a gap closes, ``low < volume <= high``: open (gap > 0) at ``low``, closed (gap <= 0) at ``high``.

    low, high    the bracket; both 0 where the gap is closed from the start; ``high`` is None where it never closed
    open_gap, closed_gap  the gap at both ends (``closed_gap`` None where it never closed)
    evaluations  states that were made
    state        the one at ``high``, or the last one where the gap never closed
    """

    low: float
    high: float | None
    open_gap: float
    closed_gap: float | None
    evaluations: int
    state: State = field(default=None, repr=False, compare=False)

    @property
    def volume(self) -> float | None:
        """The middle of the bracket by linear interpolation of the gap; None where it never closed."""
        if self.high is None or self.closed_gap is None:
            return None
        drop = self.open_gap - self.closed_gap
        share = self.open_gap / drop if drop > 0 and self.open_gap > 0 else 1.0
        return self.low + share * (self.high - self.low)

    def as_dict(self) -> Back:
        """The fields and `volume`, for JSON; infinite gaps are None."""

        def known(value: float | None) -> float | None:
            return None if value is None or not math.isfinite(value) else value

        return {
            "low": known(self.low),
            "high": known(self.high),
            "open_gap": known(self.open_gap),
            "closed_gap": known(self.closed_gap),
            "evaluations": self.evaluations,
            "volume": known(self.volume),
        }


def crossing(
    advance: Advance,
    state: State,
    gap: Callable[[State], float],
    *,
    first: float,
    largest: float,
    unit: float | None = None,
    precision: float = 1e-3,
    growth: float = 2.0,
) -> Crossing:
    """The first volume at which ``gap`` is seen to be <= 0, looked for at ``first``, growing by ``growth``, then by halving.

    Every state is reached from the last one before the crossing, never from zero. The bracket ends at ``high - low <= precision *
    high``, or at one ``unit`` (the smallest volume that training knows). A gap that closes and opens again between two looks
    of the continuation is not seen.

    Raises InputError unless 0 < first <= largest.

    >>> found = crossing(lambda state, before, after: after, 0.0, lambda x: 3.0 - x, first=0.5, largest=10.0)
    >>> found.low < 3.0 <= found.high, round(found.volume, 9)
    (True, 3.0)
    """
    if not 0 < first <= largest or growth <= 1:
        raise InputError(
            f"steps from {first:g} to {largest:g}", where="crossing", mend="the first is > 0 and not beyond the last"
        )
    smallest = unit or 0.0

    def snapped(volume: float) -> float:
        return volume if not unit else round(volume / unit) * unit

    here, low, low_gap, evaluations = state, 0.0, gap(state), 0
    if low_gap <= 0:
        return Crossing(0.0, 0.0, low_gap, low_gap, 0, state)
    step = max(snapped(first), smallest)
    while True:
        high = max(snapped(min(step, largest)), low + smallest)
        after = advance(here, low, high)
        evaluations += 1
        high_gap = gap(after)
        if high_gap <= 0:
            there = after
            break
        here, low, low_gap = after, high, high_gap
        if low >= largest * (1 - 1e-12):
            return Crossing(low, None, low_gap, None, evaluations, here)
        step = max(high * growth, high + smallest)
    while high - low > max(precision * high, smallest * (1 + 1e-9)):
        middle = snapped((low + high) / 2)
        if not low < middle < high:
            break
        after = advance(here, low, middle)
        evaluations += 1
        value = gap(after)
        if value <= 0:
            high, high_gap, there = middle, value, after
        else:
            here, low, low_gap = after, middle, value
    return Crossing(low, high, low_gap, high_gap, evaluations, there)
