"""One piece of work that is timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Case:
    """``work`` done by ``ours`` and by each of ``peers``; ``result`` reduces an answer to what has to be equal."""

    work: str
    ours: Callable[[], Any]
    peers: dict[str, Callable[[], Any]]
    result: Callable[[Any], Any] = field(default=lambda answer: answer)
    tolerance: float = 1e-9
    """Relative; 0 where the results are integers and have to be the same."""
    brief: bool = False
    """Whether its time is the least processor time of many calls, not the median by the clock: for what is judged closely."""
    floors: dict[str, Callable[[], Any]] = field(default_factory=dict)
    """Less work that is timed beside it, such as reading the data once; its answer is not compared."""
