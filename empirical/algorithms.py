"""One phase of training by a named algorithm: SFT, DPO, KTO, SimPO or PPO, from examples or preference pairs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch

from elastomath.errors import InputError
from elastomath.progress import Meter

from .examples import Example, Preference
from .finetune import NotFiniteError, Phase, encode_examples, new_optimiser, train
from .model import LoadedModel

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
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where="tune", mend="it has to be at least 1")
        if self.warmup < 0 or (self.micro is not None and self.micro < 1):
            raise InputError(
                f"warmup {self.warmup}, micro {self.micro}", where="tune", mend="give warmup >= 0, micro >= 1 or None"
            )
        for name in ("learning_rate", "clip"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} is {getattr(self, name):g}", where="tune", mend="it has to be > 0")
        if self.beta is not None and not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(f"beta is {self.beta:g}", where="tune", mend="it has to be >= 0")


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


def tune(
    loaded: LoadedModel,
    examples: Sequence[Preference] | Sequence[Example],
    settings: TuneSettings,
    *,
    algorithm: str,
    seed: int,
    out: Path | None = None,
    meter: Meter | None = None,
    reward: Reward | None = None,
) -> TuneResult:
    """Train ``loaded.model`` in place for one phase, in the order of the examples, with a fresh optimiser.

    sft     ``-(1/m) sum ln p(text | prompt)`` over counted tokens; of a preference pair the chosen text
    dpo     ``-ln sigmoid(beta [ln p/p0 (chosen) - ln p/p0 (rejected)])`` (Rafailov et al. 2023), through trl
    kto     ``1 - sigmoid(+-(beta [ln p/p0 - z0]))``, chosen and rejected texts one by one (Ethayarajh et al. 2024), trl
    simpo   ``-ln sigmoid(beta [mean ln p (chosen) - mean ln p (rejected)] - margin)`` (Meng et al. 2024), trl
    ppo     the clipped surrogate with a value head (Schulman et al. 2017; see `ppo`), ours: trl has none any more

    p0 is the model at the start of the phase. ``seed`` makes everything drawn (dropout, rollouts) the same again on one
    machine. ``out``: a folder where an SFT phase keeps itself, so that a killed one goes on; the others start again.
    ``reward``: of PPO; without one, a classifier (TF-IDF, logistic) of chosen against rejected texts gives its log-odds.

    Raises InputError for an unknown algorithm, no examples, examples without a rejected text where one is needed, and a
    missing package; NotFiniteError (a RuntimeError) where a loss is not finite.
    """
    if algorithm not in ALGORITHMS:
        raise InputError(f"no algorithm {algorithm!r}", where="tune", mend=f"use one of {', '.join(ALGORITHMS)}")
    if not examples:
        raise InputError("no examples", where="tune", mend="give at least one")
    pairs = [item for item in examples if isinstance(item, Preference)]
    if algorithm in ("dpo", "kto", "simpo") and len(pairs) < len(examples):
        raise InputError(
            f"{algorithm} needs a chosen and a rejected text for every prompt",
            where="tune",
            mend="give Preference pairs (examples.pairs makes them)",
        )
    if algorithm != "sft" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            f"{algorithm} runs in one process",
            where="tune",
            mend="start it without accelerate launch; sft takes several",
        )
    start = time.monotonic()
    losses: list[float]
    rewards: list[float] = []
    with torch.random.fork_rng(devices=_drawn_on(loaded)):
        torch.manual_seed(seed)
        if algorithm == "sft":
            losses, tokens = _sft(loaded, examples, settings, out, meter)
        elif algorithm == "ppo":
            from .ppo import classifier_reward, ppo

            judge = reward or classifier_reward(pairs)
            losses, tokens, rewards = ppo(loaded, [item.prompt for item in examples], judge, settings, seed, meter)
        else:
            from .preference import prefer

            losses, tokens = prefer(loaded, pairs, settings, algorithm, seed, meter)
    loaded.model.eval()
    wrong = np.flatnonzero(~np.isfinite(losses))
    if wrong.size:
        raise NotFiniteError(f"the {algorithm} loss is not finite (step {wrong[0] + 1}): lower the learning rate")
    return TuneResult(algorithm, tuple(losses), tokens, time.monotonic() - start, tuple(rewards))


def _sft(
    loaded: LoadedModel,
    examples: Sequence[Preference] | Sequence[Example],
    settings: TuneSettings,
    out: Path | None,
    meter: Meter | None,
) -> tuple[list[float], int]:
    texts = [Example(item.prompt, item.chosen) if isinstance(item, Preference) else item for item in examples]
    data = encode_examples(loaded.tokenizer, texts, settings.max_tokens, end=settings.end, context=loaded.context)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    losses = train(
        loaded.model,
        new_optimiser(loaded.model, settings.learning_rate),
        data,
        batch=settings.batch,
        warmup=settings.warmup,
        learning_rate=settings.learning_rate,
        autocast=settings.autocast,
        micro=settings.micro,
        meter=meter,
        phase=Phase(out / "phase.safetensors") if out is not None else None,
    )
    return losses, data.target_count


def _drawn_on(loaded: LoadedModel) -> list[torch.device]:
    place = torch.device(loaded.device)
    return [place] if place.type == "cuda" else []
