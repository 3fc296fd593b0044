"""The work of each protocol: which stages it makes, how often, and the tokens that each trains on, measures and draws.

Counted from the settings alone, each sequence at its longest, so upper bounds; the stages are those of `rebound.run.run_rebound`
and its like, stages that runs share counted once. `estimate` turns them into time and memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TINYLLAMA = "TinyLlama/TinyLlama-1.1B-intermediate-step-"
"""The checkpoints of F3 on pre-training volumes; all have the shape of the last one, which is at hand for an estimate."""
SHAPE = f"{TINYLLAMA}1431k-3T"


@dataclass(frozen=True)
class Work:
    """A kind of stage: how often it is made, and per time the tokens trained on, measured and drawn, at most."""

    stage: str
    times: int
    trained: int = 0
    measured: int = 0
    drawn: int = 0

    def tokens(self) -> dict[str, int]:
        """Tokens of each sort over all times."""
        return {sort: self.times * getattr(self, sort) for sort in ("trained", "measured", "drawn")}


@dataclass(frozen=True)
class Part:
    """One model of a protocol and all that is done with it.

    shape            what `memory.memory_estimate` takes: a name, or a configuration of transformers
    batch, length    sequences of a training step, and their tokens at most
    weights, lora_rank  as in the settings
    """

    model: str
    work: tuple[Work, ...]
    batch: int
    length: int
    weights: str = "float32"
    lora_rank: int = 0
    shape: Any = None
    revision: str | None = None


def part_of(settings: Any, work: list[Work]) -> Part:
    """The model of a protocol's settings with this work."""
    s = settings
    shape = SHAPE if s.model.startswith(TINYLLAMA) else s.model
    revision = None if shape is not s.model else s.revision
    return Part(s.model, tuple(work), s.batch, s.max_tokens, s.weights, s.lora_rank, shape, revision)
