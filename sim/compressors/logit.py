"""The logit compressor: one direction and its exact law, a number for every prompt alike (R21)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import positive
from elastomath.laws.logit import replayed_contrast

from ..sources.problem import Problem
from .mixture import checked_step, checked_volumes


@dataclass(frozen=True, eq=False)
class LogitCompressor:
    """``q(x) = P(prompt) sigma(z)`` where the last symbol is 0, ``P(prompt) sigma(-z)`` where it is 1: the state is the contrast z.

    P is the law of the prompts in the datasets' mean, pi_i the share of 0 in dataset i. Training is the flow of gradient descent
    itself, ``dz/dn = c (pi_i - sigma(z))`` in closed form (R21), and the joint optimum the log-odds of the mixture's share.

    constant  c of the logit law, in one unit of volume

    Raises InputError for a constant that is not above 0, and where the last symbol is not one of two.

    >>> law = LogitCompressor(Problem(np.array([[0.5, 0.5], [1, 0], [0, 1]]), alphabet=2), constant=0.3)
    >>> aligned = law.train(law.start(), 1, 64.0)
    >>> round(aligned, 3), round(law.train(aligned, 2, 8.0), 3), round(law.optimum([10, 10, 0]), 4)
    (2.853, 0.831, 1.0986)
    """

    problem: Problem
    constant: float = 1.0
    name: str = "logit"

    parameters = 1

    def __post_init__(self) -> None:
        positive(self.constant, "constant", "logit")
        if self.problem.alphabet != 2:
            raise InputError(
                f"{self.problem.alphabet} symbols",
                where="logit",
                mend="give 2 symbols (--alphabet 2): the last is the response",
            )

    @functools.cached_property
    def _tables(self) -> Array:
        """P_i(prompt, response), shape (n, prompts, 2)."""
        return np.asarray(self.problem.masses.reshape(len(self.problem.names), -1, 2))

    @functools.cached_property
    def _law(self) -> Array:
        """The law of the prompts, shape (prompts, 1)."""
        return np.asarray(self._tables.mean(axis=0).sum(axis=1, keepdims=True))

    @functools.cached_property
    def shares(self) -> Array:
        """pi_i, the share of the response 0 in each dataset, shape (n,)."""
        return np.asarray(self._tables[:, :, 0].sum(axis=1)).clip(0.0, 1.0)

    def start(self) -> float:
        """Even odds."""
        return 0.0

    def optimum(self, volumes: ArrayLike, near: float | None = None) -> float:
        """``z = logit(sum w_i pi_i / sum w_i)``: infinite where nothing of one response is in the mixture."""
        weights = checked_volumes(volumes, len(self.shares))
        with np.errstate(divide="ignore"):
            return float(np.log(weights @ self.shares) - np.log(weights @ (1 - self.shares)))

    def train(self, state: float, dataset: int, volume: float) -> float:
        """The state after this volume of the dataset, in closed form."""
        step = checked_step(self.problem, dataset, volume)
        return float(replayed_contrast(state, step, self.constant, self.shares[dataset]))

    def entropies(self, state: float) -> Array:
        """``H_i = -sum_x P_i(x) ln q(x)``, shape (n,), nats per leaf: pi_i of the responses cost ``ln(1 + e^-z)``."""
        prompts = self._tables.sum(axis=2)
        with np.errstate(divide="ignore"):
            logs = np.log(self._law[:, 0])
        rest = 1 - self.shares
        cost = np.where(self.shares > 0, self.shares * np.logaddexp(0.0, -state), 0.0)
        cost += np.where(rest > 0, rest * np.logaddexp(0.0, state), 0.0)
        return np.asarray(cost - np.sum(prompts * np.where(prompts > 0, logs, 0.0), axis=1))

    def masses(self, state: float) -> Array:
        """q, shape (M,)."""
        return np.asarray((self._law * np.exp(-np.logaddexp(0.0, [-state, state]))).reshape(-1))

    def gradients(self, state: float) -> Array:
        """``dH_i/dz = sigma(z) - pi_i``, shape (n, 1), nats."""
        return np.asarray(np.exp(-np.logaddexp(0.0, -state)) - self.shares)[:, None]
