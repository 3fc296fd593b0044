"""Texts drawn from a language model: temperature 1 and no truncation unless asked, seeded, with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elastomath.errors import InputError
from elastomath.progress import Meter

from ..data.chats import prompt_ids, trimmed
from ..models.model import LoadedModel, Reader, check_tokens, outputs_of
from ..models.outputs import LOGIT_BUDGET, autocasting
from ..models.sequences import Sequences


@dataclass(frozen=True)
class Samples:
    """Continuations drawn from a model, a row for each prompt given, in order.

    sequences  the tokens as they were drawn; the continuation is counted, its end token too
    texts      the continuations in words, without the end token; tokenised again they may give other tokens, so a rate
               of the samples is taken from ``sequences``
    ended      whether the model ended the text itself, shape (n,)
    log_probs  ln p of the continuation under the law that it was drawn from (with its temperature), shape (n,)
    """

    sequences: Sequences
    texts: tuple[str, ...]
    ended: np.ndarray
    log_probs: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def sample(
    loaded: LoadedModel,
    prompts: Sequence[str],
    max_tokens: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    batch: int = 64,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> Samples:
    """One continuation of each prompt, at most ``max_tokens`` tokens: x_t ~ softmax(logits / temperature), all of it.

    Nothing is truncated (no top-k, no nucleus): at temperature 1 the samples follow the model's own law, so that they
    can stand for its data. Each prompt is prefixed with BOS or else EOS, a `chats.Chat` is what the
    tokenizer's template writes; "" is a text from the beginning. A text ends
    with one of the model's end tokens. Token t of row i is the quantile of a uniform number u[i, t] that depends on the
    seed, i and t alone: batches and the device change nothing but rounding. Prompts of one length are batched
    together, without padding.

    Raises InputError for no prompts, max_tokens < 1, temperature <= 0, and prompts that leave no room in the context.
    """
    if not prompts or max_tokens < 1 or batch < 1:
        raise InputError(
            f"{len(prompts)} prompts, {max_tokens} tokens, batches of {batch}",
            where="sample",
            mend="all have to be at least 1",
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature {temperature:g}", where="sample", mend="it has to be > 0")
    tokenizer, prefix = loaded.tokenizer, loaded.prefix
    heads = prompt_ids(tokenizer, [trimmed(prompt) for prompt in prompts], prefix)
    check_tokens(loaded.model, max(map(max, heads)), "sample", tokenizer)
    longest = max(map(len, heads))
    if longest + max_tokens > loaded.context:
        raise InputError(
            f"a prompt of {longest} tokens and {max_tokens} more do not fit the model's context of {loaded.context}",
            where="sample",
            mend="shorten the prompts or max_tokens",
        )
    vocabulary = outputs_of(loaded.model)
    batch = max(1, min(batch, LOGIT_BUDGET // (4 * vocabulary)))
    uniform = np.random.default_rng(seed).random((len(prompts), max_tokens))
    ends = torch.tensor(sorted(end_tokens(loaded)), device=loaded.device)
    width = longest + max_tokens
    tokens = torch.full((len(prompts), width), prefix)
    length, log_probs = torch.tensor([len(head) for head in heads]), np.zeros(len(prompts))
    first = length.clone()
    ended = np.zeros(len(prompts), dtype=bool)
    order = sorted(range(len(prompts)), key=lambda index: len(heads[index]))
    training = loaded.model.training
    loaded.model.eval()
    try:
        start = 0
        while start < len(order):
            size = len(heads[order[start]])
            rows = [index for index in order[start : start + batch] if len(heads[index]) == size]
            start += len(rows)
            head = torch.tensor([heads[index] for index in rows], device=loaded.device)
            numbers = torch.from_numpy(uniform[rows]).to(loaded.device)
            drawn, counts, logs = _continue(loaded, head, numbers, temperature, ends, autocast)
            tokens[rows, :size] = head.cpu()
            tokens[rows, size : size + drawn.shape[1]] = drawn
            length[rows] = size + counts
            log_probs[rows] = logs.numpy()
            last = tokens[rows, size + counts - 1]
            ended[rows] = torch.isin(last, ends.cpu()).numpy()
            if meter:
                meter.add(float(counts.sum()), "sampling")
    finally:
        loaded.model.train(training)
    texts = []
    for row in range(len(prompts)):
        stop = int(length[row]) - int(ended[row])
        texts.append(tokenizer.decode(tokens[row, int(first[row]) : stop], skip_special_tokens=True))
    tokens = tokens[:, : int(length.max())]
    place = torch.arange(tokens.shape[1])
    tokens = torch.where(place < length[:, None], tokens, prefix)
    return Samples(Sequences(tokens, first, length), tuple(texts), ended, log_probs)


def end_tokens(loaded: LoadedModel) -> set[int]:
    """The tokens that end a text: those of the generation settings, the configuration and the tokenizer."""
    tokens: set[int] = set()
    config = loaded.model.config
    for source in (getattr(loaded.model, "generation_config", None), config, loaded.tokenizer):
        value = getattr(source, "eos_token_id", None)
        if value is not None:
            tokens |= {int(token) for token in (value if isinstance(value, list | tuple) else [value])}
    return tokens


@torch.inference_mode()
def _continue(
    loaded: LoadedModel, head: Tensor, uniform: Tensor, temperature: float, ends: Tensor, autocast: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens drawn after ``head`` (n, T), how many of each row belong to it, and ln p of each row; on the CPU."""
    count, device = head.shape[0], head.device
    read, inputs = Reader(loaded.model), head
    drawn: list[Tensor] = []
    length = torch.zeros(count, dtype=torch.long, device=device)
    total = torch.zeros(count, dtype=torch.float64, device=device)
    alive = torch.ones(count, dtype=torch.bool, device=device)
    with autocasting(device, autocast):
        for step in range(uniform.shape[1]):
            log_probs = torch.log_softmax(read(inputs).double() / temperature, dim=-1)
            token = quantile(log_probs, uniform[:, step])
            total += torch.where(alive, log_probs.gather(1, token[:, None])[:, 0], 0.0)
            length += alive
            drawn.append(token)
            alive = alive & ~torch.isin(token, ends)
            if not bool(alive.any()):
                break
            inputs = token[:, None]
    return torch.stack(drawn, 1).cpu(), length.cpu(), total.cpu()


def quantile(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """The smallest x with F(x) > u, F the cumulative law of each row: log_probs (n, V), uniform (n,) in [0, 1).

    >>> quantile(torch.log(torch.tensor([[0.25, 0.0, 0.75]])).repeat(3, 1), torch.tensor([0.1, 0.25, 0.9])).tolist()
    [0, 2, 2]
    """
    cumulative = log_probs.exp().cumsum(1)
    places = torch.searchsorted(cumulative, uniform[:, None].to(cumulative.dtype) * cumulative[:, -1:], right=True)
    return places[:, 0].clamp_max(log_probs.shape[1] - 1)
