"""How far a model is from its base: both Kullback-Leibler divergences, on the positions of given text and on samples."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.errors import InputError
from elastomath.progress import Meter
from elastomath.units import NATS_PER_BIT

from .lora import adapter_off
from .model import LoadedModel
from .outputs import counted_distributions
from .sampling import sample
from .sequences import Sequences

Array = NDArray[np.float64]
Base = Callable[[], AbstractContextManager[Any]]
"""What makes the base's model available for a while: `another_model`, `without_adapter` or `with_weights`."""

PRECISIONS: Final = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""The numbers that a base's log-probabilities may be kept in."""
BUDGET: Final = 1 << 30
"""Bytes for the base's log-probabilities."""
CHECKED: Final = 4
"""Sequences of which the unrounded log-probabilities are kept beside rounded ones."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Both divergences in bits per token, pooled over sequences.

    forward, reverse        sum_t D(p_base(.|x_<t) || p(.|x_<t)) / tokens, and with the two models exchanged
    forward_se, reverse_se  over the sequences (linearised ratio); None where there are fewer than two
    rounding                how much keeping the base in half precision changed (forward, reverse), seen on the first
                            few sequences; None where nothing was rounded
    sequence_forward, sequence_reverse   in nats, and tokens, of each sequence, shape (n,)
    """

    forward: float
    forward_se: float | None
    reverse: float
    reverse_se: float | None
    rounding: tuple[float, float] | None
    sequence_forward: Array
    sequence_reverse: Array
    tokens: Array


def another_model(model: Any) -> Base:
    """The base as a second model in memory."""
    return lambda: contextlib.nullcontext(model)


def without_adapter(loaded: LoadedModel) -> Base:
    """The base as the same model with its adapter left out."""

    @contextlib.contextmanager
    def base() -> Iterator[Any]:
        with adapter_off(loaded):
            yield loaded.model

    return base


def with_weights(model: Any, weights: Mapping[str, Tensor]) -> Base:
    """The base as the same model with other weights for a while: parameters by name, on any device."""

    @contextlib.contextmanager
    def base() -> Iterator[Any]:
        places = dict(model.named_parameters())
        unknown = sorted(set(weights) - set(places))
        if unknown:
            raise InputError(f"the model has no weights {unknown[0]}", where="base", mend="give those of this model")
        kept = {name: places[name].detach().to("cpu", copy=True) for name in weights}
        try:
            with torch.no_grad():
                for name, value in weights.items():
                    places[name].copy_(value)
            yield model
        finally:
            with torch.no_grad():
                for name, value in kept.items():
                    places[name].copy_(value)

    return base


@dataclass(frozen=True)
class Reference:
    """The base's log-distributions at every counted position of some sequences: kept, or made again at each reading.

    Made by `keep` or `recompute`.
    """

    data: Sequences
    budget: int
    autocast: torch.dtype | None
    base: Base | None = None
    kept: tuple[Tensor, ...] | None = None
    unrounded: tuple[Tensor, ...] = ()

    def blocks(self) -> Iterator[tuple[slice, Iterable[Tensor]]]:
        """Rows and their log-distributions (positions, V) in float32, as many rows at a time as the budget has room for."""
        if self.kept is not None:
            whole = (v if v.dtype == torch.float32 else torch.log_softmax(v.float(), dim=-1) for v in self.kept)
            yield slice(0, len(self.data)), whole
            return
        assert self.base is not None
        start = 0
        while start < len(self.data):
            with self.base() as model:
                stop = start + _fitting(self.data[slice(start, None)], _vocabulary(model), 4, self.budget)
                rows = list(_distributions(model, self.data[slice(start, stop)], self.autocast))
            yield slice(start, stop), rows
            start = stop


def keep(
    model: Any,
    data: Sequences,
    *,
    precision: str = "float32",
    budget: int = BUDGET,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> Reference:
    """Keep the base's log-distributions on the CPU: tokens times vocabulary numbers of that ``precision``.

    Half precision is renormalised when it is read, and every `Divergence` then says by how much it moved the result on
    a few sequences that are kept unrounded. Raises InputError where ``budget`` bytes have no room, with what is needed.
    """
    if precision not in PRECISIONS:
        raise InputError(f"no precision {precision!r}", where="divergence", mend=f"use {', '.join(PRECISIONS)}")
    number = PRECISIONS[precision]
    need = data.target_count * _vocabulary(model) * torch.finfo(number).bits // 8
    if need > budget:
        raise InputError(
            f"the base's log-probabilities of {data.target_count} tokens take {need / 2**20:.0f} MiB, "
            f"the budget is {budget / 2**20:.0f}",
            where="divergence",
            mend="take fewer sequences, a larger budget, half precision, or recompute them",
        )
    kept, unrounded = [], []
    for index, row in enumerate(_distributions(model, data, autocast)):
        kept.append(row.to(number))
        if number != torch.float32 and index < CHECKED:
            unrounded.append(row)
        if meter:
            meter.add(row.shape[0], "reading the base")
    return Reference(data, budget, autocast, None, tuple(kept), tuple(unrounded))


def recompute(base: Base, data: Sequences, *, budget: int = BUDGET, autocast: torch.dtype | None = None) -> Reference:
    """Read the base again at each reading, ``budget`` bytes of its log-distributions at a time."""
    return Reference(data, budget, autocast, base)


def divergence(
    model: Any, reference: Reference, *, autocast: torch.dtype | None = None, meter: Meter | None = None
) -> Divergence:
    """Both divergences between the base and ``model`` on the reference's positions, exact at each position.

    On text of any origin these are the divergences of the two laws of the next token, averaged over that text's
    contexts. On samples of the base ``forward`` estimates the rate of D(p_base || p) over whole texts without bias, and
    on samples of the model ``reverse`` that of D(p || p_base) (chain rule): see `sampled_divergence`.

    Terms are in float32, sums in float64. A model that has not moved has divergence 0.
    """
    count = len(reference.data)
    forward, reverse = np.zeros(count), np.zeros(count)
    tokens = (reference.data.length - reference.data.first).numpy().astype(np.float64)
    checks: list[Array] = []
    for rows, base in reference.blocks():
        ours = _distributions(model, reference.data[rows], autocast)
        for row, (mine, other) in enumerate(zip(ours, base, strict=True), rows.start):
            forward[row], reverse[row] = both(other, mine)
            if row < len(reference.unrounded):
                exact = both(reference.unrounded[row], mine)
                checks.append(np.array([forward[row] - exact[0], reverse[row] - exact[1], tokens[row]]))
            if meter:
                meter.add(mine.shape[0], "divergence")
    rounding = None
    if checks:
        total = np.sum(checks, axis=0)
        in_forward, in_reverse = (float(abs(change) / total[2] / NATS_PER_BIT) for change in total[:2])
        rounding = (in_forward, in_reverse)
    first, second = pooled(forward, tokens), pooled(reverse, tokens)
    return Divergence(*first, *second, rounding, forward, reverse, tokens)


@dataclass(frozen=True, slots=True)
class SampledDivergence:
    """Rates of divergence over whole texts in bits per token, from texts drawn from each law.

    forward, forward_se   D(p_base || p) per token, on texts drawn from the base
    reverse, reverse_se   D(p || p_base) per token, on texts drawn from the model
    tokens                of the texts: the base's, the model's; end tokens count
    """

    forward: float
    forward_se: float | None
    reverse: float
    reverse_se: float | None
    tokens: tuple[int, int]


def sampled_divergence(
    loaded: LoadedModel,
    base: Base,
    count: int,
    max_tokens: int,
    *,
    prompt: str = "",
    seed: int = 0,
    budget: int = BUDGET,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
) -> SampledDivergence:
    """Both divergences over texts of at most ``max_tokens`` tokens after ``prompt``, from ``count`` samples of each law.

    ``E_{x ~ p} sum_t D(p(.|x_<t) || q(.|x_<t)) = D(p || q)`` over texts (chain rule; a text that ended adds nothing):
    the sum over the vocabulary is exact, only the contexts are sampled, which has a smaller variance than the
    log-ratio of the sampled tokens. Per token: divided by the mean length under the same law.

    Raises InputError as `sampling.sample` does.
    """
    import dataclasses

    options: dict[str, Any] = {"seed": seed, "autocast": autocast, "meter": meter}
    with base() as model:
        theirs = sample(dataclasses.replace(loaded, model=model), [prompt] * count, max_tokens, **options).sequences
    ours = sample(loaded, [prompt] * count, max_tokens, **options | {"seed": seed + 1}).sequences
    parts = [
        divergence(
            loaded.model, recompute(base, data, budget=budget, autocast=autocast), autocast=autocast, meter=meter
        )
        for data in (theirs, ours)
    ]
    forward, reverse = parts
    return SampledDivergence(
        forward.forward,
        forward.forward_se,
        reverse.reverse,
        reverse.reverse_se,
        (theirs.target_count, ours.target_count),
    )


def both(base: Tensor, model: Tensor) -> tuple[float, float]:
    """``sum p ln(p/q)`` and ``sum q ln(q/p)`` over positions, in nats: ln p and ln q of shape (positions, V).

    As ``sum (p ln(p/q) - p + q)``, the same for two laws: no term is negative, and an error of a normaliser counts in
    second order only, so that small divergences keep their digits in float32.

    >>> both(torch.log(torch.tensor([[0.5, 0.5, 0.0]])), torch.log(torch.tensor([[0.25, 0.75, 0.0]])))
    (0.143..., 0.130...)
    """
    model = model.to(base.device)
    p, q, gap = base.exp(), model.exp(), base - model
    near = gap.abs() < 1
    some = torch.where(near, gap, 0.0)  # where p and q are both 0 the gap is nan, and nothing is to be added
    forward = torch.where(near, p * (some + torch.expm1(-some)), torch.where(p > 0, p * gap, 0.0) - p + q)
    reverse = torch.where(near, q * (torch.expm1(some) - some), torch.where(q > 0, -q * gap, 0.0) - q + p)
    return float(forward.double().sum()), float(reverse.double().sum())


def pooled(nats: Array, tokens: Array) -> tuple[float, float | None]:
    """``sum nats / sum tokens`` in bits and its standard error over sequences (linearised; None for fewer than two).

    >>> pooled(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
    (4.328..., 1.442...)
    """
    total, count = tokens.sum(), len(tokens)
    rate = nats.sum() / total
    residual = nats - rate * tokens
    se = float(np.sqrt(count / (count - 1) * (residual @ residual)) / total / NATS_PER_BIT) if count > 1 else None
    return float(rate / NATS_PER_BIT), se


@torch.inference_mode()
def _distributions(model: Any, data: Sequences, autocast: torch.dtype | None) -> Iterator[Tensor]:
    """Log-distributions of one sequence after another, on the CPU; a few sequences go through the model at a time."""
    training = model.training
    model.eval()
    try:
        start = 0
        while start < len(data):
            size = max(1, min(8, _fitting(data[slice(start, None)], _vocabulary(model), 4, BUDGET // 4)))
            part = data[slice(start, start + size)]
            for row in counted_distributions(model, part, autocast):
                yield row.float().cpu()
            start += size
    finally:
        model.train(training)


def _fitting(data: Sequences, vocabulary: int, size: int, budget: int) -> int:
    """How many of the first sequences have room in the budget; one at least."""
    bytes_ = np.cumsum((data.length - data.first).numpy().astype(np.int64)) * vocabulary * size
    return max(1, int(np.searchsorted(bytes_, budget, side="right")))


def _vocabulary(model: Any) -> int:
    return int(model.get_output_embeddings().weight.shape[0])
