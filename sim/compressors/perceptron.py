"""The perceptron compressor: a plain network of any width and depth in the scaling that has a wide limit, by exact sums (R21, R25)."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import positive

from ..sources.problem import Problem
from .mixture import checked_step, checked_volumes

GAIN = 1.4
"""What multiplies a layer's sum, so that tanh neither saturates nor dies out with depth."""


@dataclass(frozen=True, eq=False)
class PerceptronState:
    """theta, shape (P,), never changed in place."""

    theta: Array


@dataclass(frozen=True, eq=False)
class PerceptronCompressor:
    """``q(x) = P(prompt) softmax(f(prompt))`` of the last symbol; the law P of the prompts is that of the datasets' mean.

    ``h_0`` is the prompt, each symbol one-hot; ``h_j = tanh(GAIN W_j h_{j-1}/sqrt(width_{j-1}))``, and f is linear in the last
    layer; all weights start from N(0, 1) (the scaling of the neural tangent kernel), so that with the width the kernel
    ``|grad z|^2`` has a limit in which it stays as it is.

    width, depth   numbers in a hidden layer, hidden layers
    seed           of the first weights
    learning_rate  of `train`, ``examples / batch`` steps of gradient descent a unit of volume, on the dataset itself

    Raises InputError for settings that cannot be used.

    >>> network = PerceptronCompressor(Problem(np.full((3, 8), 1 / 8), alphabet=2, length=3), width=4, depth=1)
    >>> network.parameters, network.gradients(network.start()).shape
    (24, (3, 24))
    """

    problem: Problem
    width: int = 64
    depth: int = 2
    seed: int = 0
    learning_rate: float = 0.1
    examples: int = 1000
    batch: int = 10
    tolerance: float = 1e-9
    name: str = "perceptron"

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.examples, self.batch) < 1 or self.problem.length < 2:
            raise InputError(
                f"width {self.width}, depth {self.depth}, length {self.problem.length}",
                where="perceptron",
                mend="counts >= 1, sequences of a prompt and a response",
            )
        positive(self.learning_rate, "learning rate", "perceptron")
        positive(self.tolerance, "tolerance", "perceptron")

    @functools.cached_property
    def _tables(self) -> Array:
        """P_i(prompt, response), shape (n, prompts, alphabet)."""
        return np.asarray(self.problem.masses.reshape(len(self.problem.names), -1, self.problem.alphabet))

    @functools.cached_property
    def _prompts(self) -> Array:
        """Each prompt's symbols one-hot, of mean square 1, shape (prompts, places x alphabet)."""
        alphabet = self.problem.alphabet
        symbols = self.problem.symbols()[::alphabet, :-1]
        places = (symbols[:, :, None] == np.arange(alphabet)).astype(np.float64)
        return np.asarray(places.reshape(len(symbols), -1) * np.sqrt(alphabet))

    @functools.cached_property
    def _shapes(self) -> tuple[tuple[int, int], ...]:
        widths = (self._prompts.shape[1], *[self.width] * self.depth, self.problem.alphabet)
        return tuple(itertools.pairwise(widths))

    @property
    def parameters(self) -> int:
        """P, the number of weights."""
        return sum(rows * columns for rows, columns in self._shapes)

    def start(self) -> PerceptronState:
        """The untrained network of this seed."""
        return PerceptronState(np.random.default_rng([self.seed, 31]).standard_normal(self.parameters))

    def optimum(self, volumes: ArrayLike, near: PerceptronState | None = None) -> PerceptronState:
        """A stationary point of ``sum_i w_i H_i`` by L-BFGS, from ``near`` or from the untrained network.

        Raises InputError where the gradient (volumes of total 1) stays above the tolerance's root.
        """
        from scipy.optimize import minimize

        weights = checked_volumes(volumes, len(self.problem.names))
        table = np.tensordot(weights / weights.sum(), self._tables, 1)
        start = self.start() if near is None else near
        options: Any = {"maxiter": 5000, "maxfun": 10000, "gtol": self.tolerance, "ftol": 0.0, "maxcor": 30}
        slope: Any = self._slope
        optimum = minimize(slope, start.theta, args=(table,), jac=True, method="L-BFGS-B", options=options)
        norm = float(np.abs(self._slope(optimum.x, table)[1]).max())
        if not norm <= self.tolerance**0.5:
            raise InputError(f"no joint optimum: |grad F| = {norm:.1e}", where="perceptron", mend="a wider network")
        return PerceptronState(optimum.x)

    def train(self, state: PerceptronState, dataset: int, volume: float) -> PerceptronState:
        """``round(volume * examples / batch)`` steps of gradient descent on the dataset."""
        steps = round(checked_step(self.problem, dataset, volume) * self.examples / self.batch)
        return self.descend(state, np.eye(len(self._tables))[dataset], steps, self.learning_rate)

    def descend(self, state: PerceptronState, shares: ArrayLike, steps: int, rate: float) -> PerceptronState:
        """``steps`` of gradient descent on ``sum_i shares_i H_i``: nothing is drawn."""
        theta, table = state.theta, np.tensordot(np.asarray(shares, dtype=np.float64), self._tables, 1)
        for _ in range(steps):
            theta = theta - rate * self._slope(theta, table)[1]
        return PerceptronState(theta)

    def entropies(self, state: PerceptronState) -> Array:
        """``H_i = -sum_x P_i(x) ln q(x)``, shape (n,), nats per leaf."""
        occurring = self._tables > 0
        with np.errstate(divide="ignore"):
            logs = np.log(self._law[:, None]) + self._layers(state.theta)[1]
        return np.asarray(-np.sum(self._tables * np.where(occurring, logs, 0.0), axis=(1, 2)))

    def masses(self, state: PerceptronState) -> Array:
        """q, shape (M,)."""
        return np.asarray((self._law[:, None] * np.exp(self._layers(state.theta)[1])).reshape(-1))

    def gradients(self, state: PerceptronState) -> Array:
        """``grad H_i``, shape (n, P), nats."""
        return np.stack([self._slope(state.theta, table)[1] for table in self._tables])

    @functools.cached_property
    def _law(self) -> Array:
        """The law of the prompts, (prompts,)."""
        return np.asarray(self._tables.mean(0).sum(-1))

    def _weights(self, theta: Array) -> list[Array]:
        ends = np.cumsum([rows * columns for rows, columns in self._shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(theta, ends), self._shapes, strict=True)]

    def _layers(self, theta: Array) -> tuple[list[Array], Array]:
        """What enters each layer, and the logarithms of the shares of the responses, (prompts, alphabet)."""
        weights, entering = self._weights(theta), [self._prompts]
        for weight in weights[:-1]:
            entering.append(np.tanh(GAIN / np.sqrt(len(weight)) * (entering[-1] @ weight)))
        scores = entering[-1] @ weights[-1] / np.sqrt(len(weights[-1]))
        scores = scores - scores.max(axis=1, keepdims=True)
        return entering, scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

    def _slope(self, theta: Array, table: Array) -> tuple[float, Array]:
        """``-sum table ln q(response | prompt)`` and its gradient."""
        weights = self._weights(theta)
        entering, logs = self._layers(theta)
        back = (table.sum(axis=1, keepdims=True) * np.exp(logs) - table) / np.sqrt(len(weights[-1]))
        slopes = [entering[-1].T @ back]
        for place in range(len(weights) - 2, -1, -1):
            scale = GAIN / np.sqrt(len(weights[place]))
            back = (back @ weights[place + 1].T) * (1 - entering[place + 1] ** 2) * scale
            slopes.append(entering[place].T @ back)
        return -float(np.sum(table * logs)), np.concatenate([slope.reshape(-1) for slope in reversed(slopes)])
