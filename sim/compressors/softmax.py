"""The softmax compressor: a log-linear law over features of the leaf, limited by choice, with an exact joint optimum."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError
from elastomath.arrays import Array
from elastomath.checks import positive, whole
from elastomath.laws.optima import Branch, branch_response

from ..sources.problem import Problem
from .leaf_features import leaf_features
from .mixture import checked_step, checked_volumes

HULL = "use fewer features, or datasets whose moments lie inside the hull of the features"


@dataclass(frozen=True, eq=False)
class SoftmaxState:
    """theta, shape (m,), never changed in place; ``drawn``: sequences drawn so far (with the seed it says which come next)."""

    theta: Array
    drawn: int = 0


@dataclass(frozen=True, eq=False)
class SoftmaxCompressor:
    """``q(x) = exp(theta . phi(x)) / Z(theta)`` over the leaves, phi a fixed map to m < M - 1 features (`leaf_features`).

    ``H_i = ln Z(theta) - theta . E_i[phi]`` is convex, ``grad H_i = E_q[phi] - E_i[phi]``, and every H_i has the Hessian
    ``Cov_q(phi)``: the joint optimum is where ``E_q[phi]`` is the mixture's, and R1-R7 and R16 hold along it with overlaps
    ``g_i' G^-1 g_t`` in place of the mixture's (R6).

    features, count, order, seed   of `leaf_features`; the seed is that of the draws as well
    learning_rate                  of plain gradient descent, the sequential training
    examples, batch                sequences that one unit of volume stands for, and that a step sees
    sampled                        a step uses its batch's own mean of phi; without it the dataset's (the expected step)

    Raises InputError for settings that cannot be used.

    >>> skew = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.4, 0.1, 0.4, 0.1]])
    >>> softmax = SoftmaxCompressor(Problem(skew, alphabet=2, length=2), features="ngrams", order=1)
    >>> softmax.entropies(softmax.optimum([2, 1, 0])).round(6)
    array([1.330484, 1.464496, 1.43755 ])
    """

    problem: Problem
    features: str = "random"
    count: int = 16
    order: int = 2
    seed: int = 0
    learning_rate: float = 0.1
    examples: int = 1000
    batch: int = 10
    sampled: bool = True
    tolerance: float = 1e-14
    name: str = "softmax"

    def __post_init__(self) -> None:
        whole(self.examples, "examples", "softmax", least=1)
        whole(self.batch, "batch", "softmax", least=1)
        positive(self.learning_rate, "learning rate", "softmax")
        positive(self.tolerance, "tolerance", "softmax")

    @functools.cached_property
    def phi(self) -> Array:
        """The features, shape (M, m)."""
        return leaf_features(self.problem, self.features, count=self.count, order=self.order, seed=self.seed)

    @functools.cached_property
    def moments(self) -> Array:
        """``E_i[phi]``, shape (n, m)."""
        return np.asarray(self.problem.masses @ self.phi, dtype=np.float64)

    @property
    def parameters(self) -> int:
        """m."""
        return int(self.phi.shape[1])

    def start(self) -> SoftmaxState:
        """theta = 0: the uniform law."""
        return SoftmaxState(np.zeros(self.parameters))

    def masses(self, state: SoftmaxState) -> Array:
        """q, shape (M,)."""
        return self._law(state.theta)[0]

    def entropies(self, state: SoftmaxState) -> Array:
        """``H_i = ln Z - theta . E_i[phi]``, shape (n,), nats per leaf."""
        return np.asarray(self._law(state.theta)[1] - self.moments @ state.theta, dtype=np.float64)

    def gradients(self, state: SoftmaxState) -> Array:
        """``grad H_i = E_q[phi] - E_i[phi]``, shape (n, m), nats."""
        return np.asarray(self.masses(state) @ self.phi - self.moments, dtype=np.float64)

    def hessian(self, state: SoftmaxState) -> Array:
        """``Cov_q(phi)``, shape (m, m): the Hessian of every H_i."""
        law = self.masses(state)
        centred = self.phi - law @ self.phi
        return np.asarray((law[:, None] * centred).T @ centred, dtype=np.float64)

    def response(self, state: SoftmaxState, volumes: ArrayLike) -> Branch:
        """``dH_i/dl = -g_i' G^-1 g_t`` at a joint optimum for ``volumes``, G the Hessian of sum_i w_i H_i (R6)."""
        weights = checked_volumes(volumes, len(self.problem.names))
        return branch_response(self.gradients(state), weights.sum() * self.hessian(state), weights)

    def optimum(self, volumes: ArrayLike, near: SoftmaxState | None = None) -> SoftmaxState:
        """The minimiser of ``sum_i w_i H_i`` by Newton's method with step halving, to rounding.

        It ends where ``|E_q[phi] - E_w[phi]| <= tolerance`` or where that falls no further. Raises InputError where there is no
        minimiser: moments on the hull of the features are reached by no finite theta.
        """
        weights = checked_volumes(volumes, len(self.problem.names))
        aim = weights / weights.sum() @ self.moments
        start = self.start() if near is None else near
        theta = start.theta
        law, level = self._law(theta)
        slope = law @ self.phi - aim
        norm, step = float(np.linalg.norm(slope)), np.zeros(0)
        for _ in range(200):
            step = self._newton_step(law, slope)
            if norm <= self.tolerance:
                break
            loss, scale = level - aim @ theta, 1.0
            rounding = 1e-14 * (1.0 + abs(loss))
            while True:
                tried = theta - scale * step
                law, level = self._law(tried)
                slope = law @ self.phi - aim
                now = float(np.linalg.norm(slope))
                if level - aim @ tried <= loss + rounding or scale < 1e-12:
                    break
                scale /= 2
            if now >= 0.5 * norm and now < 1e-11:  # rounding: what is there is as good as it gets
                theta = tried if now < norm else theta
                break
            theta, norm = tried, now
        else:
            raise InputError(f"no joint optimum: |grad F| = {norm:.1e}", where="softmax", mend=HULL)
        if np.linalg.norm(step) > 1e-6 * (1.0 + np.linalg.norm(theta)):
            # on the hull the gradient falls because q saturates, and Newton's steps do not fall with it
            raise InputError("no joint optimum: theta grows without end", where="softmax", mend=HULL)
        return SoftmaxState(theta, start.drawn)

    def train(self, state: SoftmaxState, dataset: int, volume: float) -> SoftmaxState:
        """``round(volume * examples)`` sequences of the dataset in batches, each a step ``theta += rate (mean phi - E_q[phi])``.

        A last batch with fewer sequences makes a step that is smaller in proportion, so that the number of steps is the volume's.
        """
        count = round(checked_step(self.problem, dataset, volume) * self.examples)
        drawn = None
        if self.sampled and count:
            rng = np.random.default_rng([self.seed, state.drawn, dataset])
            drawn = self.problem.sample(dataset, count, rng)
        theta = state.theta
        for first in range(0, count, self.batch):
            size = min(self.batch, count - first)
            features = self.moments[dataset] if drawn is None else self.phi[drawn[first : first + size]].mean(axis=0)
            law, _ = self._law(theta)
            theta = theta + self.learning_rate * (size / self.batch) * (features - law @ self.phi)
        return SoftmaxState(np.asarray(theta, dtype=np.float64), state.drawn + count)

    def descend(self, state: SoftmaxState, shares: ArrayLike, steps: int, rate: float) -> SoftmaxState:
        """``steps`` of gradient descent on ``sum_i s_i H_i`` for shares s of total 1: nothing is drawn.

        A step is ``theta += rate (sum_i s_i E_i[phi] - E_q[phi])``.
        """
        theta, aim = state.theta, np.asarray(shares, dtype=np.float64) @ self.moments
        for _ in range(steps):
            law, _ = self._law(theta)
            theta = theta + rate * (aim - law @ self.phi)
        return SoftmaxState(np.asarray(theta, dtype=np.float64), state.drawn)

    def _law(self, theta: Array) -> tuple[Array, float]:
        """q, shape (M,), and ln Z."""
        scores = self.phi @ theta
        top = float(scores.max())
        weights = np.exp(scores - top)
        total = float(weights.sum())
        return np.asarray(weights / total, dtype=np.float64), top + math.log(total)

    def _newton_step(self, law: Array, slope: Array) -> Array:
        centred = self.phi - law @ self.phi
        hessian = (law[:, None] * centred).T @ centred
        try:
            lower = np.linalg.cholesky(hessian)
        except np.linalg.LinAlgError as error:
            raise InputError("the Hessian is singular", where="softmax", mend=HULL) from error
        return np.asarray(np.linalg.solve(lower.T, np.linalg.solve(lower, slope)), dtype=np.float64)
