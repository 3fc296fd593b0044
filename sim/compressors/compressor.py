"""What every compressor is: volumes in, rates out. `sim.cycles.lifecycle` takes it through pre-training, alignment, perturbation."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import ArrayLike

from elastomath.arrays import Array

from ..sources.problem import Problem

State: TypeAlias = Any
"""What a compressor knows: its weights, counts or masses. A state is never changed in place."""


@runtime_checkable
class Compressor(Protocol):
    """A trainable compressor of the datasets of one `Problem`.

    Volumes are in the unit of the curve, |D_a| = 1; a compressor that samples draws ``round(volume * examples)`` sequences,
    ``examples`` being its own setting of how many sequences one unit stands for.
    """

    name: str
    problem: Problem

    def start(self) -> State:
        """The untrained state."""

    def optimum(self, volumes: ArrayLike, near: State | None = None) -> State:
        """The joint optimum of ``sum_i w_i H_i`` for volumes w, shape (n,): exact, or trained to its tolerance from ``near``."""

    def train(self, state: State, dataset: int, volume: float) -> State:
        """Sequential training: ``volume`` more of one dataset, after everything that ``state`` has seen."""

    def entropies(self, state: State) -> Array:
        """H(P_i, q) of every dataset, shape (n,), in nats per leaf: exact sums over the leaves."""

    def gradients(self, state: State) -> Array:
        """grad H_i in the compressor's parameters, shape (n, parameters), for R7; InputError where it has none."""


class Descending(Compressor, Protocol):
    """A compressor that is trained by exact gradient descent, and whose distribution is known."""

    def masses(self, state: State) -> Array:
        """q of every leaf."""

    def descend(self, state: State, shares: ArrayLike, steps: int, rate: float) -> State:
        """``steps`` steps of ``rate`` down the code length of the datasets, mixed by ``shares``."""
