"""The tilt probe: the law on a real model's own distributions, at known volumes, with an exact joint optimum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elastomath.arrays import Array
from elastomath.errors import InputError

HULL = "use fewer features or more positions, so that the moments of the data are inside the hull of phi"


@dataclass(frozen=True)
class TiltState:
    """The probe at one theta: entropies H_i (d,) in nats per position, their gradients g_i (d, m), and what a Hessian needs."""

    theta: Tensor
    entropies: Tensor
    gradients: Tensor
    means: Tensor
    tilt: Tensor
    normaliser: Tensor


@dataclass(frozen=True)
class Optimum:
    """A joint optimum of F = sum_i w_i H_i.

    theta (m,); entropies (d,) in nats per position; gradients (d, m); gradient_norm = ||sum_i w_i g_i||, in volume times
    nats; response (d,) = dH_i/dw_t = -g_i' G^-1 g_t for the last dataset t (R6), G the joint Hessian of F; passes over
    the cached probabilities.
    """

    theta: Array
    entropies: Array
    gradients: Array
    gradient_norm: float
    response: Array
    velocity: Array
    passes: int


class TiltProbe:
    """Exponential tilts of a frozen model: ``p(y|x) = p_base(y|x) exp(theta . phi(y)) / Z_theta(x)`` (R6).

    ``base``: p_base at n positions, (n, V); ``features``: phi, (V, m); ``targets``: the token that came, (n,). Sums are made
    in the dtype of ``base`` (float64 for the accuracy of the tests: float32 products stall near 5e-8).
    A dataset is a weight on positions, so a union of datasets costs nothing. ``H_i = sum_x W_i(x) [ln Z(x) - theta . phi(y_x)
    - ln p_base(y_x|x)]`` is convex in theta, and Newton's method with the exact Hessian
    ``sum_x u(x) Cov_{p(.|x)}(phi)`` reaches the joint optimum to rounding.

    Raises InputError for shapes that do not fit, rows that are not probabilities, and a feature constant over tokens.

    >>> base = torch.full((4, 3), 1 / 3, dtype=torch.float64)
    >>> probe = TiltProbe(base, torch.eye(3, dtype=torch.float64)[:, :2], torch.tensor([0, 1, 2, 0]))
    >>> optimum = probe.solve([1.0], np.full((1, 4), 0.25))
    >>> bool(abs(optimum.entropies[0] - 1.5 * np.log(2)) < 1e-12)   # the entropy of (1/2, 1/4, 1/4)
    True
    """

    def __init__(self, base: Tensor, features: Tensor, targets: Tensor) -> None:
        if base.ndim != 2 or features.shape[0] != base.shape[1] or targets.shape != base.shape[:1]:
            raise InputError(
                f"base {tuple(base.shape)}, features {tuple(features.shape)}, targets {tuple(targets.shape)} do not fit",
                where="TiltProbe",
                mend="pass (positions, vocabulary), (vocabulary, features) and (positions,)",
            )
        spread = features.amax(0) - features.amin(0)
        if not bool((spread > 0).all()):
            raise InputError(
                f"feature {int((spread <= 0).nonzero()[0, 0])} is constant over tokens",
                where="TiltProbe",
                mend="its tilt would change nothing; drop it",
            )
        rows = base.sum(1)
        slack = 100 * torch.finfo(base.dtype).eps * math.sqrt(base.shape[1]) + 1e-12
        if not bool(torch.isfinite(rows).all()) or float((rows - 1).abs().max()) > slack:
            raise InputError(
                "a row of the base model's probabilities does not sum to 1",
                where="TiltProbe",
                mend="pass a softmax of the logits",
            )
        self.base, self.targets = base, targets
        self.features = features.to(base)
        self._target_features = self.features[targets]
        self._base_code = -torch.log(base.gather(1, targets[:, None]).squeeze(1))
        if not bool(torch.isfinite(self._base_code).all()):
            raise InputError(
                "the base model gives a target probability 0", where="TiltProbe", mend="compute logits in float32"
            )

    @property
    def positions(self) -> int:
        """n, the number of token positions."""
        return int(self.base.shape[0])

    @property
    def feature_count(self) -> int:
        """m, the number of features."""
        return int(self.features.shape[1])

    def evaluate(self, theta: Tensor, weights: Tensor) -> TiltState:
        """H_i and g_i = sum_x W_i(x) (E_{p(.|x)} phi - phi(y_x)) for every dataset, in one product over the cached rows."""
        exponent = self.features @ theta
        shift = exponent.max()
        tilt = torch.exp(exponent - shift)
        product = self.base @ torch.cat([tilt[:, None] * self.features, tilt[:, None]], dim=1)
        normaliser = product[:, -1]
        means = product[:, :-1] / normaliser[:, None]
        code = torch.log(normaliser) + shift - self._target_features @ theta + self._base_code
        return TiltState(theta, weights @ code, weights @ (means - self._target_features), means, tilt, normaliser)

    def hessian(self, state: TiltState, position_weights: Tensor) -> Tensor:
        """``G = sum_x u(x) Cov_{p(.|x)}(phi)``, shape (m, m), exact; ``position_weights``: u = sum_i w_i W_i, shape (n,)."""
        marginal = state.tilt * (self.base.T @ (position_weights / state.normaliser))
        second = self.features.T @ (marginal[:, None] * self.features)
        return second - state.means.T @ (position_weights[:, None] * state.means)

    def solve(
        self,
        volumes: list[float] | Array,
        weights: Array,
        start: Array | None = None,
        tolerance: float = 3e-14,
        limit: int = 60,
    ) -> Optimum:
        """The joint optimum of ``F = sum_i w_i H_i`` by Newton's method with the exact Hessian and step halving.

        volumes: (d,), >= 0; weights: (d, n), rows summing to 1; the last dataset is the perturbation. It stops where the
        gradient norm is below ``tolerance`` times the total volume, or no longer falls (rounding). Raises InputError
        where no optimum is reached in ``limit`` passes: a dataset whose moments lie on the hull of phi has none.
        """
        volume = torch.as_tensor(np.asarray(volumes, dtype=np.float64)).to(self.base)
        share = torch.as_tensor(np.asarray(weights, dtype=np.float64)).to(self.base)
        position_weights = volume @ share
        theta = torch.zeros(self.feature_count).to(self.base) if start is None else torch.as_tensor(start).to(self.base)
        total = float(volume.sum())
        state = self.evaluate(theta, share)
        best = state
        passes, best_norm, factor = 1, self._norm(volume, state), None
        stalled = 0
        while best_norm > tolerance * total and stalled < 2:
            if passes >= limit:
                raise InputError(
                    f"no joint optimum after {passes} passes (gradient norm {best_norm:.1e})",
                    where="tilt probe",
                    mend=HULL,
                )
            factor = self._factor(self.hessian(best, position_weights))
            step = torch.cholesky_solve((volume @ best.gradients)[:, None], factor).squeeze(1)
            scale, loss = 1.0, float(volume @ best.entropies)
            while True:
                state = self.evaluate(best.theta - scale * step, share)
                passes += 1
                norm = self._norm(volume, state)
                rounding = 1e-12 * total * (1 + abs(loss))
                if math.isfinite(norm) and float(volume @ state.entropies) <= loss + rounding:
                    break
                scale /= 2
                if passes >= limit:
                    break
            if norm < best_norm:
                stalled = stalled + 1 if norm > 0.5 * best_norm and norm < 1e-9 * total else 0
                best, best_norm = state, norm
            elif norm < 1e-9 * total:  # rounding: what was there is as good as it gets
                stalled += 1
            else:
                best, best_norm = state, norm
        factor = self._factor(self.hessian(best, position_weights))
        step = torch.cholesky_solve((volume @ best.gradients)[:, None], factor)
        if float(torch.linalg.vector_norm(step)) > 1e-6 * (1.0 + float(torch.linalg.vector_norm(best.theta))):
            # the gradient is small only because the tilt saturates: on the hull, Newton's steps do not shrink with it
            raise InputError("no joint optimum: the tilt grows without end", where="tilt probe", mend=HULL)
        velocity = -torch.cholesky_solve(best.gradients[-1][:, None], factor).squeeze(1)
        return Optimum(
            _numpy(best.theta),
            _numpy(best.entropies),
            _numpy(best.gradients),
            best_norm,
            _numpy(best.gradients @ velocity),
            _numpy(velocity),
            passes,
        )

    def path(self, base_volumes: list[float] | Array, weights: Array, perturbations: Array) -> list[Optimum]:
        """Joint optima at volumes (w, l) for rising l, each predicted from the ones before by d theta/dl = -G^-1 g_t.

        base_volumes: (d-1,), every dataset but the perturbation; perturbations: (J,), >= 0 and rising.
        """
        optima: list[Optimum] = []
        for index, size in enumerate(perturbations):
            start = _predict(perturbations[:index], optima, float(size)) if optima else None
            optima.append(self.solve([*base_volumes, float(size)], weights, start))
        return optima

    @staticmethod
    def _norm(volume: Tensor, state: TiltState) -> float:
        return float(torch.linalg.vector_norm(volume @ state.gradients))

    @staticmethod
    def _factor(hessian: Tensor) -> Tensor:
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if int(failed):
            raise InputError("the joint Hessian is singular", where="tilt probe", mend=HULL)
        return factor


def one_plus_cosine(first: Array, second: Array) -> float:
    """``1 + cos(u, v) = |u/|u| + v/|v||^2 / 2``, without cancellation near cos = -1 (R7). Shapes (m,), (m,).

    >>> one_plus_cosine(np.array([1.0, 0.0]), np.array([-2.0, 0.0]))
    0.0
    """
    total = first / np.linalg.norm(first) + second / np.linalg.norm(second)
    return float(total @ total) / 2.0


def projection_features(embedding: Tensor, count: int, seed: int) -> Tensor:
    """phi: a Gaussian projection of the output embedding, centred and scaled to unit variance over tokens. (V, m), float64.

    Raises InputError where more features are asked for than the embedding is wide: their Hessian would be singular.
    """
    width = int(embedding.shape[1])
    if not 1 <= count <= width:
        raise InputError(
            f"{count} features", where="tilt probe", mend=f"choose between 1 and the embedding's width {width}"
        )
    projection = np.random.default_rng(seed).standard_normal((width, count))
    values = embedding.detach().to(torch.float64) @ torch.as_tensor(projection).to(embedding.device)
    values = values - values.mean(0)
    return values / values.std(0)


def _predict(perturbations: Array, optima: list[Optimum], size: float) -> Array:
    """Cubic Hermite extrapolation of theta(l) from the last two optima and their velocities; linear from one."""
    last = optima[-1]
    if len(optima) == 1:
        return np.asarray(last.theta + (size - perturbations[-1]) * last.velocity, dtype=np.float64)
    from scipy.interpolate import CubicHermiteSpline

    pair = optima[-2:]
    spline = CubicHermiteSpline(perturbations[-2:], [o.theta for o in pair], [o.velocity for o in pair])
    return np.asarray(spline(size, extrapolate=True), dtype=np.float64)


def _numpy(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().to("cpu", torch.float64).numpy(), dtype=np.float64)
