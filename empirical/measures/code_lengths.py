"""Code lengths of encoded examples under a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.progress import Meter

from ..models.outputs import autocasting, counted_distributions, counted_log_probs
from ..models.sequences import Sequences

Array = NDArray[np.float64]
MEASURED_POSITIONS = 4096
"""Positions in a batch that is only measured."""


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


@torch.inference_mode()
def next_token_log_probs(model: Any, data: Sequences, *, autocast: torch.dtype | None = None) -> Iterator[Tensor]:
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
