"""Settings and results of the algorithms of alignment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from elastomath.checks import COUNT, NONNEGATIVE, optional, positive, whole

ALGORITHMS: Final = ("sft", "dpo", "kto", "simpo", "ppo")
"""The algorithms of the paper's Finding 2, by name."""
BETA: Final = {"dpo": 0.1, "kto": 0.1, "simpo": 2.0, "ppo": 0.05}
"""The default of ``beta``: those of trl for DPO and KTO, of the SimPO paper, and the weight of PPO's divergence."""

Reward = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""A reward: (prompts, texts) to one number a text, the higher the better."""


@dataclass(frozen=True)
class TuneSettings:
    """How a phase is trained; the same for every algorithm where it has a meaning.

    batch           examples a step: pairs for DPO and SimPO, pairs (so twice as many texts) for KTO, rollouts for PPO
    learning_rate   constant after ``warmup`` linear steps; AdamW without weight decay, gradients not clipped
    max_tokens      tokens of a text that are kept, and the longest rollout
    end             EOS after each text that is not cut
    autocast        the number format of the layers, or None for that of the weights
    micro           sequences that go through the model at a time in SFT, None: the whole batch
    beta            of DPO, KTO and SimPO, and the weight of PPO's divergence to the start; None: see `BETA`
    margin          SimPO's target margin gamma
    epochs          passes of PPO over each collection of rollouts
    rollouts        batches in a collection of rollouts
    clip            epsilon of PPO's clipped ratio and clipped values
    discount, smoothing, value_weight   gamma and lambda of the advantages, and the weight of the value loss
    """

    batch: int = 8
    learning_rate: float = 1e-5
    warmup: int = 0
    max_tokens: int = 128
    end: bool = False
    autocast: torch.dtype | None = None
    micro: int | None = None
    beta: float | None = None
    margin: float = 1.0
    epochs: int = 2
    rollouts: int = 4
    clip: float = 0.2
    discount: float = 1.0
    smoothing: float = 0.95
    value_weight: float = 0.1

    def __post_init__(self) -> None:
        for name in ("batch", "max_tokens", "epochs", "rollouts"):
            whole(getattr(self, name), name, "tune", least=1)
        whole(self.warmup, "warmup", "tune", least=0)
        optional(COUNT)(self.micro, "micro", "tune")
        for name in ("learning_rate", "clip"):
            positive(getattr(self, name), name, "tune")
        optional(NONNEGATIVE)(self.beta, "beta", "tune")


@dataclass(frozen=True)
class TuneResult:
    """What a phase did.

    losses    of each step, in the algorithm's own unit (SFT: nats a counted token; the others: their papers' losses)
    tokens    counted tokens that were trained on; a token that is used twice counts twice
    seconds   wall time of the phase
    rewards   the mean reward of each collection of rollouts (PPO only)
    """

    algorithm: str
    losses: tuple[float, ...]
    tokens: int
    seconds: float
    rewards: tuple[float, ...] = field(default=())
