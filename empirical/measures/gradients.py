"""R7 on any model: the gradients of two code lengths, their cosine and stiffness ratio, with an error from the documents."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.arrays import Array
from elastomath.errors import InputError
from elastomath.interval import Estimate
from elastomath.progress import Meter

from ..models.outputs import counted_code_length
from ..models.sequences import Sequences
from .contrast import prompt_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SKETCH = 1 << 22
"""Numbers of a sketch of a gradient: inner products of sketches are off by about |u| |v| / 2,000."""


@dataclass(frozen=True, slots=True)
class GradientReading:
    """What two gradients of one model say about an elasticity constant (R7); gradients of nats per token.

    cosine, ratio        cos(grad H_p, grad H_a) and |grad H_a| / |grad H_p| of these documents, exact for them
    misalignment         |grad H_p/|grad H_p| + grad H_a/|grad H_a||: 0 where antiparallel, with full digits there
    norms                |grad H_p|, |grad H_a| of these documents
    population_cosine, population_ratio, population_norms
                         the same without the noise of which documents were drawn, which adds to a norm and dilutes a
                         cosine: squared norms from products of different groups alone. None where such a square is not
                         positive: the gradient cannot be told from 0 (as at a base, on its own samples)
    kappa                -(grad H_a . delta)/(grad H_p . delta) for each displacement given, by its name
    tokens, groups       counted tokens of each dataset; groups of documents
    """

    cosine: float
    ratio: float
    misalignment: float
    norms: tuple[float, float]
    population_cosine: Estimate
    population_ratio: Estimate
    population_norms: tuple[Estimate, Estimate]
    kappa: Mapping[str, Estimate]
    tokens: tuple[int, int]
    groups: int


def gradient_reading(
    model: PreTrainedModel,
    pretrain: Sequences,
    align: Sequences,
    *,
    groups: int = 8,
    batch: int = 8,
    autocast: torch.dtype | None = None,
    displacements: Mapping[str, Mapping[str, Tensor]] | None = None,
    sketch: int = SKETCH,
    seed: int = 0,
    meter: Meter | None = None,
) -> GradientReading:
    """Two backward passes: cosine and ratio of the gradients of ``H = sum -ln p(x_t|x_<t) / tokens`` on two datasets.

    Gradients are with respect to what training would move (an adapter's numbers, if the model has one), without
    dropout. Documents go into ``groups`` in turn, those that answer one prompt into one, and into the same of both datasets
    where these share prompts. Whole gradients are accumulated in float32 (float64 where the model
    is), products in float64. The errors need the products of the groups' gradients; models of more than ``sketch``
    numbers keep a sketch of each (sums of ``sketch`` numbers at a time with random signs, seeded), so that memory is two
    float32 copies of the trained numbers beside the model and its gradients.

    displacements  by name, each a change of parameters by name (others stay): kappa along it, exact for every group

    Raises InputError for fewer than two groups or fewer documents than groups, and where nothing can be trained.
    """
    names = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    if not names:
        raise InputError("no parameter of the model is trained", where="gradients", mend="load it again")
    of_documents, shared = _in_groups([pretrain, align], groups)
    if groups < 2 or min(len(set(each.tolist())) for each in of_documents) < groups or batch < 1:
        raise InputError(
            f"{len(pretrain)} and {len(align)} documents in {groups} groups, batches of {batch}",
            where="gradients",
            mend="take at least 2 groups, and a document for each, to a prompt of its own where they have prompts",
        )
    moves = dict(displacements or {})
    for move in moves.values():
        unknown = sorted(set(move) - {name for name, _ in names})
        if unknown:
            raise InputError(f"{unknown[0]} is not trained", where="displacement", mend="name trained parameters only")
    training, gradients = model.training, {name: value.grad for name, value in names}
    model.eval()
    try:
        parts = [_accumulate(model, names, data, each, groups, batch, autocast, moves, sketch, seed, meter)
                 for data, each in zip((pretrain, align), of_documents, strict=True)]  # fmt: skip
    finally:
        model.train(training)
        for name, value in names:
            value.grad = gradients[name]
    first, second = parts
    norms = [math.sqrt(sum(_dot(g, g) for g in part.total.values())) for part in parts]
    lengths = (norms[0] / float(first.tokens.sum()), norms[1] / float(second.tokens.sum()))
    if min(norms) > 0:
        apart = 0.0
        for name, _ in names:
            both = first.total[name].double() / norms[0] + second.total[name].double() / norms[1]
            apart += float(both.square().sum())
        misalignment = min(2.0, math.sqrt(apart))
        cosine, ratio = misalignment**2 / 2 - 1, lengths[1] / lengths[0]
    else:
        misalignment, cosine = math.nan, math.nan
        ratio = math.inf if norms[1] > 0 else math.nan if norms[0] == 0 else 0.0
    products = _products(first, second)
    of_population = [
        jackknife(lambda a, b, i=i: _population(products, a, b, shared)[i], groups, shared)  # type: ignore[misc]
        for i in range(4)
    ]
    return GradientReading(
        cosine,
        ratio,
        misalignment,
        lengths,
        of_population[0],
        of_population[1],
        (of_population[2], of_population[3]),
        {
            name: jackknife(lambda a, b, i=i: _kappa(first, second, a, b, i), groups, shared)  # type: ignore[misc]
            for i, name in enumerate(moves)
        },
        (int(first.tokens.sum()), int(second.tokens.sum())),
        groups,
    )


def _in_groups(sets: Sequence[Sequences], groups: int) -> tuple[list[NDArray[np.int64]], bool]:
    """The group of each document of both datasets, and whether the groups of one number have prompts in common."""
    numbers = prompt_numbers([data.prompts() for data in sets])
    if numbers is None or groups < 2:
        return [np.arange(len(data)) % max(groups, 1) for data in sets], False
    shared = bool(set(numbers[0]) & set(numbers[1]))
    places = [np.asarray(row) if shared else np.unique(row, return_inverse=True)[1] for row in numbers]
    return [place % groups for place in places], shared


def group_gradients(
    model: PreTrainedModel,
    data: Sequences,
    *,
    groups: int,
    batch: int = 8,
    autocast: torch.dtype | None = None,
    sketch: int = SKETCH,
    seed: int = 0,
    meter: Meter | None = None,
) -> Tensor:
    """The gradient of ``sum -ln p(x_t|x_<t)`` over each group of sequences, folded to at most ``sketch`` numbers: (G, m).

    Sequences go into ``groups`` in turn; without dropout; with respect to what training would move. Products of the rows
    are products of the gradients (`folded`). The gradient of a parameter is folded as soon as the backward pass has it and
    let go, so that the memory beside the model is that of its largest parameter, of the sketches and of a byte a sign. The
    model's own gradients are left as they were.
    """
    values = [value for value in model.parameters() if value.requires_grad]
    if not values:
        raise InputError("no parameter of the model is trained", where="gradients", mend="load it again")
    places = np.cumsum([0, *(value.numel() for value in values)])
    size = min(sketch, int(places[-1]))
    signs = signs_of(int(places[-1]), seed, values[0].device) if places[-1] > sketch else None
    rows = torch.zeros(groups, size, dtype=_wide(values[0]), device=values[0].device)
    current = 0

    def fold(value: Tensor, place: int) -> None:
        if value.grad is not None:
            fold_into(rows[current], value.grad.to(rows.device, rows.dtype), place, signs)
        value.grad = None

    training, gradients = model.training, [value.grad for value in values]
    hooks = []
    model.eval()
    try:
        for value, place in zip(values, places.tolist(), strict=False):
            value.grad = None
            hooks.append(value.register_post_accumulate_grad_hook(functools.partial(fold, place=place)))
        for current in range(groups):
            members = np.arange(current, len(data), groups)
            for start in range(0, len(members), batch):
                part = data[members[start : start + batch]]
                counted_code_length(model, part, autocast).backward()  # type: ignore[no-untyped-call]
                if meter:
                    meter.add(3 * part.target_count, "gradients")
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
        for value, gradient in zip(values, gradients, strict=True):
            value.grad = gradient
    if not bool(torch.isfinite(rows).all()):
        raise InputError("a gradient is not finite", where="gradients", mend="use float32, or shorter texts")
    return rows.double().cpu()


@dataclass(frozen=True)
class _Groups:
    """Summed gradients of one dataset: total by name; sketches (G, m); tokens (G,); slopes along displacements (G, D)."""

    total: dict[str, Tensor]
    sketches: Tensor
    tokens: Array
    slopes: Array


def _accumulate(
    model: PreTrainedModel,
    names: list[tuple[str, Tensor]],
    data: Sequences,
    of_documents: NDArray[np.int64],
    groups: int,
    batch: int,
    autocast: torch.dtype | None,
    moves: Mapping[str, Mapping[str, Tensor]],
    sketch: int,
    seed: int,
    meter: Meter | None,
) -> _Groups:
    total = {name: torch.zeros_like(value, dtype=_wide(value)) for name, value in names}
    sketches, tokens, slopes = [], np.zeros(groups), np.zeros((groups, len(moves)))
    for group in range(groups):
        rows = np.flatnonzero(of_documents == group)
        now = {name: torch.zeros_like(value, dtype=_wide(value)) for name, value in names}
        for start in range(0, len(rows), batch):
            part = data[rows[start : start + batch]]
            for _, value in names:
                value.grad = None
            counted_code_length(model, part, autocast).backward()  # type: ignore[no-untyped-call]
            for name, value in names:
                if value.grad is not None:
                    now[name] += value.grad
            if meter:
                meter.add(3 * part.target_count, "gradients")
        tokens[group] = data[rows].target_count
        for index, move in enumerate(moves.values()):
            slopes[group, index] = sum(_dot(now[name], delta.to(now[name].device)) for name, delta in move.items())
        sketches.append(folded((now[name] for name, _ in names), sketch, seed))
        for name, _ in names:
            total[name] += now[name]
    if not all(bool(torch.isfinite(g).all()) for g in total.values()):
        raise InputError("a gradient is not finite", where="gradients", mend="use float32, or shorter texts")
    return _Groups(total, torch.stack(sketches), tokens, slopes)


def folded(parts: Iterator[Tensor], size: int, seed: int) -> Tensor:
    """A vector, given in parts, in at most ``size`` numbers whose products are those of the vectors in expectation.

    Entry j of the sketch is the sum of ``s_i v_i`` over i = j mod size, with random signs s: E <Su, Sv> = <u, v>. A
    vector of no more than ``size`` numbers is left as it is, so that products are exact.
    """
    pieces = list(parts)
    count = sum(piece.numel() for piece in pieces)
    if count <= size:
        return torch.cat([piece.flatten() for piece in pieces])
    device = pieces[0].device
    sketch = torch.zeros(size, dtype=pieces[0].dtype, device=device)
    signs = signs_of(count, seed, device)
    place = 0
    for piece in pieces:
        fold_into(sketch, piece, place, signs)
        place += piece.numel()
    return sketch


def fold_into(sketch: Tensor, piece: Tensor, place: int, signs: Tensor | None) -> None:
    """Add a piece of a vector, from entry ``place`` of it on, to its sketch; ``signs`` of the whole vector, None for all +1."""
    flat, start, size = piece.flatten(), 0, sketch.numel()
    while start < flat.numel():
        entry = (place + start) % size
        chunk = flat[start : start + size - entry]
        target = sketch[entry : entry + chunk.numel()]
        if signs is None:
            target.add_(chunk)
        else:
            target.addcmul_(chunk, signs[place + start : place + start + chunk.numel()])
        start += chunk.numel()


@functools.lru_cache(maxsize=1)
def signs_of(count: int, seed: int, device: torch.device) -> Tensor:
    """``count`` random signs, one byte each, seeded; kept for the next vector, since drawing them costs more than using them."""
    draw = torch.Generator(device=device).manual_seed(seed)
    return 2 * torch.randint(0, 2, (count,), generator=draw, device=device, dtype=torch.int8) - 1


def _products(first: _Groups, second: _Groups) -> tuple[Array, Array, Array, Array, Array]:
    """Inner products of the groups' gradients, (G, G) each: p with p, a with a, p with a; and the tokens of each."""
    one, two = first.sketches.double(), second.sketches.double()
    gram = [(x @ y.T).cpu().numpy() for x, y in ((one, one), (two, two), (one, two))]
    return gram[0], gram[1], gram[2], first.tokens, second.tokens


def _squares(
    products: tuple[Array, Array, Array, Array, Array], left_p: int | None, left_a: int | None, shared: bool = False
) -> tuple[float, float, float]:
    """|grad H_p|^2, |grad H_a|^2 and their product, without bias: from different groups alone, i != j.

    shared: groups of one number have prompts in common, so that the product, too, is of different groups alone.
    """
    pp, aa, pa, n_p, n_a = products
    p = np.arange(len(n_p)) != (-1 if left_p is None else left_p)
    a = np.arange(len(n_a)) != (-1 if left_a is None else left_a)

    def square(gram: Array, kept: NDArray[np.bool_], tokens: Array) -> float:
        inner, n = gram[np.ix_(kept, kept)], tokens[kept]
        return float((inner.sum() - np.trace(inner)) / (n.sum() ** 2 - (n**2).sum()))

    apart = np.outer(p, a) & ~(shared & np.eye(len(n_p), dtype=bool))
    cross = float(pa[apart].sum() / np.outer(n_p, n_a)[apart].sum())
    return square(pp, p, n_p), square(aa, a, n_a), cross


def _population(
    products: tuple[Array, Array, Array, Array, Array], left_p: int | None, left_a: int | None, shared: bool = False
) -> tuple[float | None, float | None, float | None, float | None]:
    """Cosine, ratio and norms from `_squares`; None where a square is not positive."""
    *squares, cross = _squares(products, left_p, left_a, shared)
    one, two = (math.sqrt(value) if value > 0 else None for value in squares)
    if one is None or two is None:
        return None, None, one, two
    return cross / (one * two), two / one, one, two


def _kappa(first: _Groups, second: _Groups, left_p: int | None, left_a: int | None, index: int) -> float | None:
    slopes = []
    for part, left in ((first, left_p), (second, left_a)):
        kept = np.arange(len(part.tokens)) != (-1 if left is None else left)
        slopes.append(part.slopes[kept, index].sum() / part.tokens[kept].sum())
    return -slopes[1] / slopes[0] if slopes[0] != 0 else None


def jackknife(
    statistic: Callable[[int | None, int | None], float | None], groups: int, shared: bool = False
) -> Estimate:
    """``statistic(i, j)``: without group i of the first and j of the second sample, None for all of it.

    The variance is ``(G-1)/G sum_i (theta_i - mean)^2`` for each of two independent samples, added; ``shared``: group i of both is
    left out at once, since they are one draw. No standard error where leaving out some group leaves no estimate.

    >>> x, y = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0.0, 1.0, 0.0, 1.0])
    >>> def gap(i, j): return np.delete(x, i if i is not None else []).mean() - np.delete(y, j if j is not None else []).mean()
    >>> found = jackknife(gap, 4)
    >>> found.estimate, round(found.se / float(np.sqrt(x.var(ddof=1) / 4 + y.var(ddof=1) / 4)), 12)
    (2.5, 1.0)
    """
    whole = statistic(None, None)
    if whole is None or not math.isfinite(whole):
        return Estimate(None, None)
    variance = 0.0
    sides: list[list[tuple[int | None, int | None]]] = [[(i, i) for i in range(groups)]]
    if not shared:
        sides = [[(i, None) for i in range(groups)], [(None, i) for i in range(groups)]]
    for left in sides:
        values = [statistic(*pair) for pair in left]
        if any(value is None for value in values):
            return Estimate(float(whole), None)
        numbers = np.array(values, dtype=np.float64)
        variance += (groups - 1) / groups * float(((numbers - numbers.mean()) ** 2).sum())
    return Estimate(float(whole), math.sqrt(variance))


def _wide(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def _dot(one: Tensor, two: Tensor) -> float:
    """The inner product in float64, a million numbers at a time."""
    total = 0.0
    a, b = one.flatten(), two.flatten()
    for start in range(0, a.numel(), 1 << 20):
        total += float(a[start : start + (1 << 20)].double() @ b[start : start + (1 << 20)].double())
    return total
