"""Code lengths of encoded examples under a model."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.arrays import Array
from elastomath.progress import Meter

from ..models.outputs import LOGIT_BUDGET, autocasting, counted_distributions, counted_log_probs, unwrapped
from ..models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEASURED_POSITIONS = 4096
"""Positions in a batch that is only measured."""
EVEN = 256
"""Positions up to which sequences go together whatever their lengths: fewer do not fill a processor's products of matrices."""


@dataclass(frozen=True)
class CodeLengths:
    """Code lengths in nats of each sequence's counted tokens (n,), and how many tokens count (n,)."""

    nats: Array
    tokens: Array


@torch.inference_mode()
def code_lengths(
    model: PreTrainedModel, data: Sequences, *, autocast: torch.dtype | None = None, meter: Meter | None = None
) -> CodeLengths:
    """``sum_t -ln p(x_t | x_<t)`` over the counted tokens of each sequence, in nats, batched by length."""
    was_training = model.training
    model.eval()
    nats = np.zeros(len(data))
    with autocasting(next(model.parameters()).device, autocast):
        for rows in _by_length(data, _batch_rows(data)):
            part = data[rows]
            log_probs, row = counted_log_probs(model, part, autocast)
            sums = torch.zeros(len(part), dtype=torch.float64).index_add_(0, row.cpu(), log_probs.double().cpu())
            nats[rows] = -sums.numpy()
            if meter:
                meter.add(part.target_count, "measuring")
    model.train(was_training)
    return CodeLengths(nats, (data.length - data.first).numpy().astype(np.float64))


def pair_lengths(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    *,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> tuple[CodeLengths, CodeLengths]:
    """`code_lengths` of two responses to each prompt, in the same order; each prompt is read once, where the model can go on.

    What the model keeps of a prompt is used for both of its responses. Where the prompts of the two sides differ, or the
    model does not give the same numbers so (it is tried once), they are two calls of `code_lengths`.
    """
    if not _same_prompts(chosen, rejected) or not _goes_on(model, autocast):
        one, other = (code_lengths(model, side, autocast=autocast, meter=meter) for side in (chosen, rejected))
        return one, other
    nats = _shared(model, chosen, rejected, autocast, meter)
    counts = [(side.length - side.first).numpy().astype(np.float64) for side in (chosen, rejected)]
    return CodeLengths(nats[0], counts[0]), CodeLengths(nats[1], counts[1])


def _same_prompts(one: Sequences, other: Sequences) -> bool:
    if len(one) != len(other) or not torch.equal(one.first, other.first):
        return False
    most = int(one.first.max())
    before = torch.arange(most) < one.first[:, None]
    if most > min(one.tokens.shape[1], other.tokens.shape[1]):
        return False
    return torch.equal(one.tokens[:, :most][before], other.tokens[:, :most][before])


@torch.inference_mode()
def _shared(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    autocast: torch.dtype | None,
    meter: Meter | None = None,
) -> Array:
    """Nats of both sides (2, n), prompts read once; the model is put into eval mode and back."""
    was_training = model.training
    model.eval()
    nats = np.zeros((2, len(chosen)))
    device = next(model.parameters()).device
    try:
        with autocasting(device, autocast):
            for rows in _by_prompt(model, chosen, rejected):
                sides = [chosen[rows], rejected[rows]]
                nats[:, rows] = -_both(model, sides, device).double().cpu().numpy().reshape(2, -1)
                if meter:
                    meter.add(sum(side.target_count for side in sides), "measuring")
    finally:
        model.train(was_training)
    return nats


def _both(model: PreTrainedModel, sides: list[Sequences], device: torch.device) -> Tensor:
    """ln p of both responses to each prompt (2n,), all of one side, then all of the other; prompts are padded on the left."""
    first, count = sides[0].first, len(sides[0])
    taken = inspect.signature(model.forward).parameters
    place = torch.arange(int(first.max())) - (first.max() - first)[:, None]
    options = {"attention_mask": (place >= 0).long(), "position_ids": place.clamp(min=0)}
    options = {name: value.to(device) for name, value in options.items() if name in taken}
    last = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
    prompts = sides[0].tokens.gather(1, place.clamp(min=0)).to(device)
    read = model(input_ids=prompts, use_cache=True, **options, **last)
    width = max(int((side.length - side.first).max()) for side in sides)
    inside = first[:, None] + torch.arange(width)
    bodies = torch.cat([side.tokens.gather(1, inside.clamp(max=side.tokens.shape[1] - 1)) for side in sides]).to(device)
    sizes = torch.cat([side.length - side.first for side in sides]).to(device)
    sums = _log_softmax(read.logits[:, -1]).repeat(2, 1).gather(1, bodies[:, :1])[:, 0]
    if width > 1:
        memory = read.past_key_values
        memory.reorder_cache(torch.arange(count, device=device).repeat(2))
        if "attention_mask" in options:
            before = options["attention_mask"].repeat(2, 1)
            options["attention_mask"] = torch.cat([before, before.new_ones(2 * count, width - 1)], dim=1)
        if "position_ids" in options:
            options["position_ids"] = inside[:, :-1].repeat(2, 1).to(device)
        after = model(input_ids=bodies[:, :-1], past_key_values=memory, use_cache=True, **options)
        log_probs = _log_softmax(after.logits).gather(2, bodies[:, 1:, None])[..., 0]
        counted = torch.arange(1, width, device=device) < sizes[:, None]
        sums = sums + (log_probs * counted).sum(1)
    return sums


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _by_prompt(model: PreTrainedModel, chosen: Sequences, rejected: Sequences) -> Iterator[NDArray[np.int64]]:
    """Rows in the order of their prompts' lengths, as many at a time as a batch may hold, and as are of about one length on a CPU."""
    prompt = chosen.first.numpy()
    body = int(torch.maximum(chosen.length - chosen.first, rejected.length - rejected.first).max())
    alone = "logits_to_keep" in inspect.signature(model.forward).parameters  # else the prompts' logits are held, too
    logits = max(2 * body, 1 if alone else int(prompt.max())) * int(
        unwrapped(model).config.get_text_config().vocab_size
    )
    room = max(1, min(64, MEASURED_POSITIONS // (int(prompt.max()) + 2 * body), LOGIT_BUDGET // logits))
    waits = next(model.parameters()).device.type == "cpu"  # an accelerator has padding for nothing, a CPU pays for it
    order, start = np.argsort(prompt, kind="stable"), 0
    lengths = prompt[order]
    while start < len(order):
        end = min(start + room, len(order))
        if waits:
            end = start + _even(lengths[start:end])
        yield order[start:end]
        start = end


def _even(lengths: NDArray[np.int64]) -> int:
    """How many of these rising lengths go together: all whose padding is under a tenth, or what fills a product of matrices.

    >>> _even(np.array([10] * 40 + [11, 30])), _even(np.array([16] * 20 + [32] * 20))
    (41, 20)
    """
    count = np.arange(1, len(lengths) + 1)
    padded = lengths * count
    return int(count[(padded <= 1.1 * lengths.cumsum()) | (padded <= EVEN)][-1])


_GOES_ON: weakref.WeakKeyDictionary[Any, dict[torch.dtype | None, bool]] = weakref.WeakKeyDictionary()


def _goes_on(model: PreTrainedModel, autocast: torch.dtype | None) -> bool:
    """Whether the model gives the code lengths of `code_lengths` when it goes on from a prompt that it has read; tried once."""
    known = _GOES_ON.setdefault(unwrapped(model), {})
    if autocast not in known:
        known[autocast] = _try(model, autocast)
    return known[autocast]


def _try(model: PreTrainedModel, autocast: torch.dtype | None) -> bool:
    rows = min(int(unwrapped(model).get_input_embeddings().weight.shape[0]), 1 << 16)
    ids = torch.randint(rows, (4, 9), generator=torch.Generator().manual_seed(0))
    first = torch.tensor([5, 5, 4, 4])
    sides = [Sequences(ids, first, torch.tensor([8, 6, 9, 5]))]
    other = ids.flip(0).clone()
    other[:, :5] = ids[:, :5]
    sides.append(Sequences(other, first, torch.tensor([6, 9, 5, 7])))
    try:
        ours = _shared(model, sides[0], sides[1], autocast)
    except (AttributeError, TypeError, RuntimeError, ValueError, IndexError, NotImplementedError):
        return False  # a memory of another kind
    theirs = np.stack([code_lengths(model, side, autocast=autocast).nats for side in sides])
    wide = autocast is None and next(model.parameters()).dtype in (torch.float32, torch.float64)
    return bool(np.abs(ours - theirs).max() <= (1e-4 if wide else 0.02) * np.abs(theirs).max())


@torch.inference_mode()
def next_token_log_probs(
    model: PreTrainedModel, data: Sequences, *, autocast: torch.dtype | None = None
) -> Iterator[Tensor]:
    """The whole log-distribution at every counted position, sequence by sequence: (positions, V), on the CPU."""
    model.eval()
    step = min(8, _batch_rows(data))
    for start in range(0, len(data), step):
        for row in counted_distributions(model, data[slice(start, start + step)], autocast):
            yield row.cpu()


def _batch_rows(data: Sequences) -> int:
    return max(1, min(64, MEASURED_POSITIONS // int(data.length.max())))


def _by_length(data: Sequences, batch: int) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(data.length.numpy(), kind="stable")
    for start in range(0, len(order), batch):
        yield order[start : start + batch]
