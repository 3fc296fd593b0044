"""A low-rank adapter of every matrix of a model's layers, for a phase: trained in the place of the weights, then folded or dropped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elastomath.errors import InputError

from ..models.outputs import unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LowRank(nn.Module):
    """``W + L R`` with L (rows, rank) from 0 and R (rank, columns) drawn with variance 1/columns (Hu et al. 2021, no scale)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.left = nn.Parameter(weight.new_zeros(rows, rank))
        right = torch.randn(rank, columns, device=weight.device, dtype=weight.dtype)
        self.right = nn.Parameter(right / math.sqrt(columns))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the adapter in it."""
        return weight + self.left @ self.right


@contextmanager
def low_rank(model: PreTrainedModel, rank: int, *, fold: bool) -> Iterator[None]:
    """Within the block the adapter alone is trained; behind it the weights are those of before, or with ``fold`` those with it.

    The output layer and the embeddings have none. A rank of 0 changes nothing. Raises InputError for a model without such matrices.
    """
    if not rank:
        yield
        return
    head = unwrapped(model).get_output_embeddings()
    layers = [
        layer
        for layer in model.modules()
        if layer is not head and not isinstance(layer, nn.Embedding) and getattr(layer, "weight", None) is not None
    ]
    layers = [layer for layer in layers if isinstance(layer.weight, nn.Parameter) and layer.weight.ndim == 2]
    if not layers:
        raise InputError(
            f"{type(model).__name__} has no matrix in its layers", where="adapter", mend="choose another row"
        )
    moved = [value for value in model.parameters() if value.requires_grad]
    for value in moved:
        value.requires_grad_(False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    try:
        yield
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=fold)
        for value in moved:
            value.requires_grad_(True)
