"""One phase of training by a named algorithm: SFT, DPO, KTO, SimPO or PPO, from examples or preference pairs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from elastomath.errors import InputError
from elastomath.progress import Meter

from ..data.examples import Example, Preference
from ..models.model import LoadedModel
from ..models.sequences import encode_examples
from .finetune import NotFiniteError, Phase, new_optimiser, train
from .settings import ALGORITHMS, Reward, TuneResult, TuneSettings


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
