"""A low-rank softmax model of tokens in contexts: a small non-convex model class with exact gradients and Hessians.

p(y|x) = softmax(U_x . V_y) with ``rank`` features. It cannot represent most data, so R6 and R7 say something about it that
R2 does not; its loss does not change under U -> U G, V -> V G^-T, so its Hessian is singular at every optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import FINITE, NONNEGATIVES, SEED, checked, numbers, reals, whole
from ..errors import InputError
from ..mixtures.mixture import as_volumes


@dataclass(frozen=True, slots=True)
class LowRankSoftmax:
    """``p(y|x) = softmax_y(U_x . V_y)``; theta holds U (contexts, rank) and V (vocabulary, rank), one after the other.

    data: joint masses P_i(x, y), shape (n, contexts, vocabulary); H_i = -sum_xy P_i(x, y) ln p(y|x), nats per token.

    >>> model = LowRankSoftmax(2, 3, 1)
    >>> model.size, model.losses(np.zeros(5), np.full((1, 2, 3), 1 / 6)).round(6)
    (5, array([1.098612]))
    """

    contexts: int
    vocabulary: int
    rank: int

    def __post_init__(self) -> None:
        for name in ("contexts", "vocabulary", "rank"):
            object.__setattr__(self, name, whole(getattr(self, name), name, "LowRankSoftmax", least=1))

    def _checked(self, theta: ArrayLike, data: ArrayLike, axes: int) -> tuple[Array, Array]:
        where, shape = "LowRankSoftmax", (self.contexts, self.vocabulary)
        table = reals(data, "masses", where, shape=((None,) * (axes - 2) + shape), least=0.0)
        return reals(theta, "parameters", where, shape=(self.size,)), table

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return (self.contexts + self.vocabulary) * self.rank

    def _parts(self, theta: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """U, V and ln p(y|x) for parameters (..., size), real or complex."""
        cut, lead = self.contexts * self.rank, theta.shape[:-1]
        left = theta[..., :cut].reshape(*lead, self.contexts, self.rank)
        right = theta[..., cut:].reshape(*lead, self.vocabulary, self.rank)
        logits = left @ np.swapaxes(right, -1, -2)
        logits = logits - logits.real.max(axis=-1, keepdims=True)
        return left, right, logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    def losses(self, theta: ArrayLike, data: ArrayLike) -> Array:
        """H_i, shape (n,), in nats per token."""
        values, tables = self._checked(theta, data, 3)
        return np.asarray(-np.einsum("nxy,xy->n", tables, self._parts(values)[2]), dtype=np.float64)

    def gradients(self, theta: ArrayLike, data: ArrayLike) -> Array:
        """grad H_i, shape (n, size)."""
        values, tables = self._checked(theta, data, 3)
        return np.stack([np.asarray(self._gradient(values, table), dtype=np.float64) for table in tables])

    def _gradient(self, theta: NDArray[Any], table: Array) -> NDArray[Any]:
        """grad H for parameters (..., size); also for complex ones, so that a complex step gives the Hessian."""
        left, right, logs = self._parts(theta)
        pull = table.sum(axis=1)[:, None] * np.exp(logs) - table
        by_left, by_right = pull @ right, np.swapaxes(pull, -1, -2) @ left
        lead = theta.shape[:-1]
        return np.concatenate([by_left.reshape(*lead, -1), by_right.reshape(*lead, -1)], axis=-1)

    def hessian(self, theta: ArrayLike, table: ArrayLike) -> Array:
        """The Hessian of H for one joint table, shape (size, size), exact to rounding: a complex step in each parameter."""
        values, masses = self._checked(theta, table, 2)
        columns = self._gradient(values + 1e-30j * np.eye(self.size), masses).imag / 1e-30
        return np.asarray((columns + columns.T) / 2, dtype=np.float64)

    @checked(data=NONNEGATIVES, volumes=numbers(shape=(None,), least=0.0), seed=SEED, gradient=FINITE)
    def fit(self, data: ArrayLike, volumes: ArrayLike, seed: int = 0, gradient: float = 1e-14) -> Array:
        """A stationary point of ``F = sum_i w_i H_i``, from a random start: L-BFGS, then Newton's method off the null space.

        Shape (size,). |grad F| <= ``gradient`` * sum w at the end; raises InputError where that is not reached.
        """
        from scipy.optimize import minimize

        _, tables = self._checked(np.zeros(self.size), data, 3)
        weights = as_volumes(volumes, len(tables))
        table = np.einsum("n,nxy->xy", weights, tables) / weights.sum()
        start = np.random.default_rng(seed).normal(scale=0.5, size=self.size)
        options: Any = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-16, "gtol": 1e-9}

        def loss_and_slope(theta: Array) -> tuple[float, Array]:
            return float(self.losses(theta, table[None])[0]), self.gradients(theta, table[None])[0]

        optimum = minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", options=options)
        theta, slope = np.asarray(optimum.x, dtype=np.float64), np.inf
        for _ in range(60):
            now = self.gradients(theta, table[None])[0]
            slope = float(np.linalg.norm(now))
            if slope <= gradient:
                return theta
            theta = theta - np.linalg.pinv(self.hessian(theta, table), rcond=1e-10, hermitian=True) @ now
        raise InputError(
            f"|grad F| = {slope:.1e} after 60 steps",
            where="LowRankSoftmax.fit",
            mend="try another seed, or a looser gradient",
        )
