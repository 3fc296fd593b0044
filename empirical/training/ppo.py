"""PPO for language models: rollouts, a divergence to the start, advantages, and the clipped losses, in one file.

trl had a PPO trainer and dropped it, so it is written out here. A text y after a prompt x is an episode, a token an
action. With r_t = p(y_t | x, y_<t) / p_old(y_t | x, y_<t), advantages A_t, values v_t and returns R_t = A_t + v_old,t

    policy loss   mean over tokens of max(-r_t A_t, -clip(r_t, 1 - e, 1 + e) A_t)
    value loss    1/2 mean over tokens of max((v_t - R_t)^2, (clip(v_t, v_old,t - e, v_old,t + e) - R_t)^2)
    reward        -beta ln(p_old / p_0)(y_t) at each token, and the text's score at its last one

(Schulman et al. 2017; the penalty on tokens as in Ouyang et al. 2022). p_0 is the model at the start of the phase.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from elastomath.errors import InputError, with_extra
from elastomath.progress import Meter

from ..data.examples import Preference
from ..models.checkpoints import trainable
from ..models.model import LoadedModel
from ..models.outputs import counted_hidden, hidden_log_probs, support
from ..models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .settings import Reward, TuneSettings


def ppo(
    loaded: LoadedModel,
    prompts: Sequence[str],
    reward: Reward,
    settings: TuneSettings,
    seed: int,
    meter: Meter | None = None,
) -> tuple[list[float], int, list[float]]:
    """One pass over the prompts, a rollout each. Returns losses a step, tokens trained on, mean rewards a collection.

    Rollouts are drawn at temperature 1, ``settings.rollouts`` batches at a time, and gone over ``settings.epochs``
    times. The value head is a linear map (zero at the start) of what enters the output layer; it lives for the phase.
    The starting weights are kept on the CPU and exchanged with the current ones once a collection, so that the device
    never holds two models.
    """
    from ..measures.sampling import sample
    from .settings import BETA

    model = loaded.model
    if not support(model).splits:
        raise InputError("the output layer of this model cannot be told from the rest", where="ppo", mend="use dpo")
    beta = BETA["ppo"] if settings.beta is None else settings.beta
    model.eval()  # no dropout: the ratio of two passes is the policy's alone
    head = torch.nn.Linear(model.get_output_embeddings().weight.shape[1], 1).to(loaded.device, torch.float32)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    moved = [*(value for _, value in trainable(model)), *head.parameters()]
    optimiser = torch.optim.AdamW(moved, lr=settings.learning_rate, weight_decay=0.0, fused=True)
    start = {name: value.detach().to("cpu", copy=True) for name, value in trainable(model)}
    losses: list[float] = []
    rewards: list[float] = []
    tokens = 0
    size = settings.batch * settings.rollouts
    for number, first in enumerate(range(0, len(prompts), size)):
        asked = list(prompts[first : first + size])
        drawn = sample(
            loaded,
            asked,
            settings.max_tokens,
            seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
            autocast=settings.autocast,
        )
        scores = np.asarray(reward(asked, drawn.texts), dtype=np.float64)
        if scores.shape != (len(asked),) or not np.isfinite(scores).all():
            raise InputError(
                f"the reward gave shape {scores.shape}, or a number that is not finite, for {len(asked)} texts",
                where="ppo",
                mend="give one finite number a text",
            )
        rewards.append(float(scores.mean()))
        batches = [drawn.sequences[slice(i, i + settings.batch)] for i in range(0, len(asked), settings.batch)]
        rollouts = _judged(model, head, batches, torch.from_numpy(scores), start, beta, settings)
        for _ in range(settings.epochs):
            for batch, rollout in zip(batches, rollouts, strict=True):
                rise = min(1.0, (len(losses) + 1) / settings.warmup) if settings.warmup else 1.0
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * rise
                hidden, layout = counted_hidden(model, batch, settings.autocast)
                log_probs = hidden_log_probs(model, hidden, layout.target, settings.autocast)
                values = head(hidden.float()).squeeze(1)
                policy, value = losses_of(log_probs, values, rollout, settings.clip)
                loss = policy + settings.value_weight * value
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(float(loss.detach()))
                tokens += batch.target_count
                if meter:
                    meter.add(3 * batch.target_count, "training")
        if not np.isfinite(losses).all():
            break  # the caller says so
    return losses, tokens, rewards


@dataclass(frozen=True)
class Rollout:
    """What is known of the tokens of some rollouts before the policy moves, each (m,): see the losses above."""

    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def losses_of(log_probs: Tensor, values: Tensor, old: Rollout, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped policy loss and the clipped value loss, means over tokens (m,).

    >>> import math
    >>> old = Rollout(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.0]))
    >>> policy, value = losses_of(torch.log(torch.tensor([1.5, 1.5])), torch.tensor([0.5, 0.1]), old, 0.2)
    >>> round(float(policy), 6), round(float(value), 6)  # (-1.2 + 1.5) / 2, (0.8^2 + 0.1^2) / 4
    (0.15, 0.1625)
    """
    ratio = (log_probs - old.log_probs).exp()
    policy = torch.max(-ratio * old.advantages, -ratio.clamp(1 - clip, 1 + clip) * old.advantages).mean()
    near = old.values + (values - old.values).clamp(-clip, clip)
    value = 0.5 * torch.max((values - old.returns) ** 2, (near - old.returns) ** 2).mean()
    return policy, value


def advantages_of(rewards: Tensor, values: Tensor, discount: float, smoothing: float) -> Tensor:
    """``A_t = sum_s>=t (g l)^(s-t) d_s``, ``d_s = R_s + g v_s+1 - v_s`` (GAE, Schulman et al. 2016), rows (n, T).

    Rewards and values are 0 behind the end of each row, where the advantages mean nothing.

    >>> advantages_of(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]]), 1.0, 0.5).tolist()
    [[0.125, 0.75]]
    """
    later = torch.nn.functional.pad(values[:, 1:], (0, 1))
    surprise = rewards + discount * later - values
    place = torch.arange(rewards.shape[1], device=rewards.device, dtype=rewards.dtype)
    gap = place[:, None] - place[None, :]
    weights = torch.where(gap >= 0, torch.as_tensor(discount * smoothing, dtype=rewards.dtype) ** gap.clamp(min=0), 0.0)
    return surprise @ weights


def classifier_reward(pairs: Sequence[Preference]) -> Reward:
    """Log-odds that a text is a chosen one, by a logistic model on TF-IDF features of the pairs' texts.

    Raises InputError without pairs, and without scikit-learn.
    """
    if not pairs:
        raise InputError("PPO needs a reward", where="tune", mend="give Preference pairs, or reward=")
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError as error:
        raise InputError(
            f"the reward classifier needs {error.name}", where="installation", mend=with_extra("llm")
        ) from error
    judge = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]"),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    texts = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    judge.fit(texts, [1] * len(pairs) + [0] * len(pairs))

    def log_odds(prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        return np.asarray(judge.decision_function(list(responses)), dtype=np.float64)

    return log_odds


@torch.no_grad()
def _judged(
    model: PreTrainedModel,
    head: torch.nn.Module,
    batches: list[Sequences],
    scores: Tensor,
    start: dict[str, Tensor],
    beta: float,
    settings: TuneSettings,
) -> list[Rollout]:
    """Log-probabilities and values of now, the divergence to the start, and the advantages, normalised over all tokens."""
    now = [_read(model, batch, settings.autocast, head) for batch in batches]
    before = [part[0] for part in now]
    if beta > 0:
        with _exchanged(model, start):
            before = [_read(model, batch, settings.autocast)[0] for batch in batches]
    judged = []
    for batch, (log_probs, values, row), first in zip(batches, now, before, strict=True):
        place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
        shape = (len(batch), int(place.max()) + 1)
        rewards = log_probs.new_zeros(shape)
        rewards[row, place] = -beta * (log_probs - first)
        ends = torch.bincount(row) - 1
        rewards[torch.arange(len(batch)), ends] += scores[: len(batch)].to(rewards)
        scores = scores[len(batch) :]
        grid = torch.zeros_like(rewards)
        grid[row, place] = values
        advantages = advantages_of(rewards, grid, settings.discount, settings.smoothing)[row, place]
        judged.append(Rollout(log_probs, values, advantages, advantages + values))
    every = torch.cat([rollout.advantages for rollout in judged])
    mean, spread = every.mean(), every.std(correction=0) + 1e-8
    return [Rollout(r.log_probs, r.values, (r.advantages - mean) / spread, r.returns) for r in judged]


def _read(
    model: PreTrainedModel, batch: Sequences, autocast: torch.dtype | None, head: torch.nn.Module | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    hidden, layout = counted_hidden(model, batch, autocast)
    values = head(hidden.float()).squeeze(1) if head is not None else hidden.new_zeros(0)
    return hidden_log_probs(model, hidden, layout.target, autocast), values, layout.row


@contextlib.contextmanager
def _exchanged(model: PreTrainedModel, weights: dict[str, Tensor]) -> Iterator[None]:
    """The model with other weights for a while; those of now wait on the CPU."""
    before = {name: value.detach().to("cpu", copy=True) for name, value in trainable(model)}
    try:
        for name, value in trainable(model):
            value.copy_(weights[name])
        yield
    finally:
        for name, value in trainable(model):
            value.copy_(before[name])
