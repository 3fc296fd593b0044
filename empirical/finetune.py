"""Fine-tuning on token sequences, and the code lengths of held-out ones: one readable loop for every protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.errors import InputError
from elastomath.progress import Meter
from elastomath.storage import whole_file

Array = NDArray[np.float64]
LOGIT_BUDGET = 1 << 25
"""Logits held at a time (positions times vocabulary): 128 MB in float32, so that a 262k vocabulary does not fill memory."""


@dataclass(frozen=True)
class Sequences:
    """Token sequences with a prompt that is not counted: tokens (n, T) padded on the right, first target and length (n,)."""

    tokens: Tensor
    first: Tensor
    length: Tensor

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def __getitem__(self, rows: Sequence[int] | slice | NDArray[np.int64]) -> Sequences:
        index = rows if isinstance(rows, slice) else torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Sequences(self.tokens[index], self.first[index], self.length[index])

    @property
    def targets(self) -> Tensor:
        """The tokens that count, as a mask (n, T): those of the text, not the prefix, the prompt or the padding."""
        place = torch.arange(self.tokens.shape[1])
        return (place >= self.first[:, None]) & (place < self.length[:, None])

    @property
    def target_count(self) -> int:
        """How many tokens count, over all sequences."""
        return int((self.length - self.first).sum())


def encode(tokenizer: Any, texts: Sequence[str], prompt: str, max_tokens: int) -> Sequences:
    """Prefix (BOS or else EOS), prompt, then at most ``max_tokens`` tokens of each text; only the text is counted.

    Raises InputError for an empty list, for a text without a token, and for max_tokens < 1.
    """
    if not texts or max_tokens < 1:
        raise InputError(
            f"{len(texts)} texts, {max_tokens} tokens each", where="encode", mend="both have to be at least 1"
        )
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if prefix is None:
        raise InputError("the tokenizer has neither BOS nor EOS", where="encode", mend="set tokenizer.bos_token")
    head = [prefix, *tokenizer(prompt.rstrip(), add_special_tokens=False)["input_ids"]] if prompt else [prefix]
    gap = " " if prompt else ""
    bodies = tokenizer([gap + text.strip() for text in texts], add_special_tokens=False)["input_ids"]
    if not all(bodies):
        empty = next(i for i, body in enumerate(bodies) if not body)
        raise InputError(f"text {empty} has no token", where="encode", mend="drop empty texts")
    rows = [head + list(body[:max_tokens]) for body in bodies]
    length = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(length.max())), prefix)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
    return Sequences(tokens, torch.full((len(rows),), len(head)), length)


@dataclass(frozen=True)
class CodeLengths:
    """Code lengths in nats of each sequence's counted tokens (n,), and how many tokens count (n,)."""

    nats: Array
    tokens: Array


@torch.inference_mode()
def code_lengths(
    model: Any, data: Sequences, *, autocast: torch.dtype | None = None, meter: Meter | None = None
) -> CodeLengths:
    """``sum_t -ln p(x_t | x_<t)`` over the counted tokens of each sequence, in nats, batched by length."""
    model.eval()
    nats = np.zeros(len(data))
    for rows in _by_length(data, _batch_rows(model, data)):
        part = data[rows]
        log_probs = _target_log_probs(model, part, autocast)
        nats[rows] = -(log_probs * part.targets[:, 1:].to(log_probs.device)).sum(1).double().cpu().numpy()
        if meter:
            meter.add(part.target_count, "measuring")
    return CodeLengths(nats, (data.length - data.first).numpy().astype(np.float64))


@torch.inference_mode()
def next_token_log_probs(model: Any, data: Sequences, *, autocast: torch.dtype | None = None) -> Iterator[Tensor]:
    """The whole log-distribution at every counted position, sequence by sequence: (positions, V), float32, on the CPU."""
    model.eval()
    step = min(8, _batch_rows(model, data))
    for start in range(0, len(data), step):
        part = data[slice(start, start + step)]
        logits = _logits(model, part, autocast)
        counted = part.targets[:, 1 : logits.shape[1] + 1].to(logits.device)
        for row, places in zip(logits, counted, strict=True):
            yield torch.log_softmax(row[places].float(), dim=-1).cpu()


def train(
    model: Any,
    optimiser: torch.optim.Optimizer,
    data: Sequences,
    *,
    batch: int,
    warmup: int = 0,
    learning_rate: float,
    steps_done: int = 0,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> list[float]:
    """One pass over the sequences in their order: mean nats per counted token, a step a batch. Returns the losses.

    The rate is constant after ``warmup`` linear steps (counted from ``steps_done``, so that a phase can be continued).
    """
    model.train()
    losses = []
    for start in range(0, len(data), batch):
        part = data[slice(start, start + batch)]
        steps_done += 1
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, steps_done / warmup) if warmup else learning_rate
        mask = part.targets[:, 1:]
        log_probs = _target_log_probs(model, part, autocast)
        loss = -(log_probs * mask.to(log_probs.device)).sum() / part.target_count
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise InputError(
                "the training loss is not finite", where=f"step {steps_done}", mend="lower the learning rate"
            )
        if meter:
            meter.add(3 * part.target_count, "training")
    return losses


def new_optimiser(model: Any, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW without weight decay (the setting of the paper's released run), fused where torch can."""
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)


def save_checkpoint(path: Path, model: Any, optimiser: torch.optim.Optimizer | None = None) -> None:
    """Weights and optimiser moments as one safetensors file, whole or not at all; tied weights are stored once."""
    from safetensors.torch import save_file

    tensors = {f"weight.{name}": value.detach() for name, value in model.named_parameters()}
    if optimiser is not None:
        for name, value in model.named_parameters():
            for key, moment in optimiser.state.get(value, {}).items():
                tensors[f"moment.{key}.{name}"] = moment.detach() if moment.ndim else moment.detach().reshape(1)
    with whole_file(path) as aside:
        save_file({key: value.contiguous() for key, value in tensors.items()}, str(aside))


def load_checkpoint(path: Path, model: Any, optimiser: torch.optim.Optimizer | None = None) -> None:
    """Restore what `save_checkpoint` stored, in place, on the devices where the parameters are."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as tensors, torch.no_grad():
            keys = set(tensors.keys())
            for name, value in model.named_parameters():
                value.copy_(tensors.get_tensor(f"weight.{name}"))
                if optimiser is None:
                    continue
                state = {}
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    stored = f"moment.{key}.{name}"
                    if stored in keys:
                        moment = tensors.get_tensor(stored)
                        state[key] = moment.reshape(()) if key == "step" else moment.to(value.device)
                        if key == "step":
                            state[key] = state[key].to(value.device if value.is_cuda else "cpu")
                if state:
                    optimiser.state[value] = state
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"damaged checkpoint: {error}", where=str(path), mend="delete it; its phase is then run again"
        ) from error


def _logits(model: Any, data: Sequences, autocast: torch.dtype | None) -> Tensor:
    device = next(model.parameters()).device
    width = int(data.length.max())
    tokens = data.tokens[:, :width].to(device)
    attention = (torch.arange(width) < data.length[:, None]).to(device)
    with torch.autocast(device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        logits: Tensor = model(input_ids=tokens, attention_mask=attention, use_cache=False).logits
    return logits[:, :-1]


def _target_log_probs(model: Any, data: Sequences, autocast: torch.dtype | None) -> Tensor:
    logits = _logits(model, data, autocast).float()
    tokens = data.tokens[:, 1 : logits.shape[1] + 1].to(logits.device)
    picked = logits.gather(2, tokens[..., None]).squeeze(2) - logits.logsumexp(2)
    full = data.tokens.shape[1] - 1
    return torch.nn.functional.pad(picked, (0, full - picked.shape[1]))


def _batch_rows(model: Any, data: Sequences) -> int:
    return max(1, min(64, LOGIT_BUDGET // (int(model.config.vocab_size) * data.tokens.shape[1])))


def _by_length(data: Sequences, batch: int) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(data.length.numpy(), kind="stable")
    for start in range(0, len(order), batch):
        yield order[start : start + batch]
