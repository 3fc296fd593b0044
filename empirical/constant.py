"""A measured constant with its interval."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A measured constant with its interval: None for an end, or an estimate, that the data do not bound.

    level: the nominal coverage of [low, high].
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float

    @property
    def closed(self) -> bool:
        """Whether the estimate and both ends are there."""
        return None not in (self.estimate, self.low, self.high)

    def as_dict(self) -> dict[str, float | None]:
        """``{estimate, low, high, level}``."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}
