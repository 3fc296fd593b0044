"""The forecast for Adam: the moments run on gradients that were cached at the base (frozen features, R26).

The gradient of an example keeps its direction and follows the error of the law: ``grad gamma_+ ~ (1 - sigma(z))``,
``grad gamma_- ~ sigma(z)``. So the whole of training is foretold from one gradient a prompt, whatever the optimiser. Adam
acts on every number of the model alone, so a random subset of them, weighted by how many each stands for, is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.arrays import Array
from elastomath.progress import Meter

from ..models.outputs import counted_code_length
from ..models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COORDINATES = 1 << 18
"""Numbers of the model whose gradients are kept."""
BETAS = (0.9, 0.999)
"""Decay of the two moments, as AdamW has them by default;  EPSILON: what is added to the root of the second."""
EPSILON = 1e-8
SPLITS = 4
"""Divisions of the prompts into those that train and those that are read."""


@dataclass(frozen=True, slots=True)
class FrozenFeatures:
    """Gradients of gamma_+ and gamma_- at the base for every prompt, on some of the model's numbers.

    plus, minus  (prompts, S);  weight (S,): how many numbers of the model each one stands for
    z            contrast of every prompt at the base;  tokens: mean counted tokens of a chosen and of a rejected response
    """

    plus: Tensor
    minus: Tensor
    weight: Tensor
    z: Array
    tokens: tuple[float, float]

    @property
    def norm(self) -> float:
        """``||grad z||_1``: what Adam's first step moves the mean contrast by, over the learning rate, since every number moves by that.

        The error of the model does not enter, as it does in plain descent.
        """
        return float((self.weight * (self.minus - self.plus).mean(0).abs()).sum())

    def without(self, rows: NDArray[np.bool_]) -> FrozenFeatures:
        """The features of the other prompts."""
        kept = torch.as_tensor(~rows)
        return FrozenFeatures(self.plus[kept], self.minus[kept], self.weight, self.z[~rows], self.tokens)


def frozen_features(
    model: PreTrainedModel,
    chosen: Sequences,
    rejected: Sequences,
    z: Array,
    *,
    autocast: torch.dtype | None = None,
    coordinates: int = COORDINATES,
    seed: int = 0,
    meter: Meter | None = None,
) -> FrozenFeatures:
    """One gradient a prompt and side, on ``coordinates`` numbers drawn evenly from every tensor of the model (seeded)."""
    values = [value for value in model.parameters() if value.requires_grad]
    total = sum(value.numel() for value in values)
    draw = torch.Generator().manual_seed(seed)
    places, weights = [], []
    for value in values:
        count = min(value.numel(), max(1, round(coordinates * value.numel() / total)))
        whole = 2 * count >= value.numel()
        place = torch.arange(value.numel()) if whole else torch.randint(0, value.numel(), (count,), generator=draw)
        count = len(place)
        places.append(place.to(value.device))
        weights.append(torch.full((count,), value.numel() / count, dtype=torch.float32))
    training, gradients = model.training, [value.grad for value in values]
    model.eval()
    sides = []
    try:
        for data in (chosen, rejected):
            rows = []
            for row in range(len(data)):
                for value in values:
                    value.grad = None
                counted_code_length(model, data[[row]], autocast).backward()  # type: ignore[no-untyped-call]
                some = [
                    torch.zeros(len(place)) if value.grad is None else value.grad.flatten()[place].float().cpu()
                    for value, place in zip(values, places, strict=True)
                ]
                rows.append(torch.cat(some))
                if meter:
                    meter.add(3 * data[[row]].target_count, "gradients")
            sides.append(torch.stack(rows))
    finally:
        model.train(training)
        for value, gradient in zip(values, gradients, strict=True):
            value.grad = gradient
    tokens = tuple(float((data.length - data.first).double().mean()) for data in (chosen, rejected))
    return FrozenFeatures(sides[0], sides[1], torch.cat(weights), z, (tokens[0], tokens[1]))


def adam_forecast(
    features: FrozenFeatures,
    volumes: Sequence[int],
    *,
    learning_rate: float,
    batch: int,
    carried: bool,
    gained: Array | None = None,
    seed: int = 0,
) -> Array:
    """(z_n, first fall per example, undo volume) for each n, shape (volumes, 3): the mean over random divisions of the prompts.

    In each division half of the prompts train, in random batches, and the others are read: z moves by what training on some
    prompts does to others. ``carried``: the moments of alignment go on into the perturbation.

    gained  (prompts,): by how much each contrast lies above where it has to come back to; 0 at the base, and what alignment
            gave where the features are those of a model that is aligned already: with volumes (0,), what undoes that
    """
    above = np.zeros_like(features.z) if gained is None else gained
    runs = [_divided(features, volumes, above, learning_rate, batch, carried, seed + i) for i in range(SPLITS)]
    return np.asarray(np.mean(runs, axis=0), dtype=np.float64)


class _Adam:
    """Adam on the kept numbers: their displacement from the base, and its moments."""

    def __init__(self, size: int, learning_rate: float) -> None:
        self.rate, self.steps = learning_rate, 0
        self.moved, self.first, self.second = torch.zeros(size), torch.zeros(size), torch.zeros(size)

    def copy(self, *, fresh: bool) -> _Adam:
        other = _Adam(len(self.moved), self.rate)
        other.moved = self.moved.clone()
        if not fresh:
            other.first, other.second, other.steps = self.first.clone(), self.second.clone(), self.steps
        return other

    def step(self, gradient: Tensor) -> None:
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        root = (self.second / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
        self.moved.addcdiv_(self.first, root, value=-self.rate / (1 - BETAS[0] ** self.steps))


def _divided(
    features: FrozenFeatures,
    volumes: Sequence[int],
    gained: Array,
    learning_rate: float,
    batch: int,
    carried: bool,
    seed: int,
) -> Array:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(features.z))
    train, read = order[: len(order) // 2], order[len(order) // 2 :]
    directions = (features.minus[read] - features.plus[read]) * features.weight  # of each prompt that is read
    direction = directions.mean(0)
    start, share, above = features.z[read], _sigma(features.z[train]), float(gained[read].mean())

    def moved(adam: _Adam) -> float:
        return float(direction @ adam.moved)

    def step(adam: _Adam, *, aligning: bool) -> None:
        rows = rng.choice(len(train), batch, replace=len(train) < batch)
        # an example that is new to the model has moved as one of the prompts has that are only read
        like = directions[rng.integers(0, len(read), batch)] @ adam.moved
        now = _sigma(features.z[train[rows]] + like.numpy())
        error = (1 - now) / (1 - share[rows]) if aligning else now / share[rows]
        side, tokens = (features.plus, features.tokens[0]) if aligning else (features.minus, features.tokens[1])
        scale = torch.as_tensor(error / (batch * tokens), dtype=torch.float32)
        adam.step(scale @ side[train[rows]])

    rises = np.zeros((len(volumes), 3))
    adam, done = _Adam(len(direction), learning_rate), 0
    for row, volume in enumerate(volumes):
        while done < -(-int(volume) // batch):
            step(adam, aligning=True)
            done += 1
        opposed, course = adam.copy(fresh=not carried), [above + moved(adam)]
        while course[-1] > 0 and len(course) < 4096:
            step(opposed, aligning=False)
            course.append(above + moved(opposed))
        last = len(course) - 1
        undone = (
            0.0
            if last == 0
            else batch * (last - 1 + course[-2] / (course[-2] - course[-1]))
            if course[-1] <= 0
            else np.inf
        )
        first = (course[0] - course[1]) / batch if last else 0.0
        rises[row] = float(start.mean()) + moved(adam), first, undone
    return rises


def _sigma(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float64)
