"""R6: what joint optimality says of the readings of any model class, and the response along a smooth branch of optima."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import real, reals, rising, same_shape
from ..errors import InputError
from ..mixtures.mixture import as_volumes
from .finite import as_readings


@dataclass(frozen=True, slots=True)
class OptimaLaw:
    """R6 between every two of J + 1 readings, the earlier one first; matrices have shape (J+1, J+1), nan for j >= m.

    perturbations  l_0 < l_1 < ... < l_J, shape (J+1,)
    residual       sum_{i != t} w_i (H_i(l_m) - H_i(l_j)) (+ the change of the regulariser), entry [j, m]
    lower          l_j (H_t(l_j) - H_t(l_m)): a bound below, less what reading j was missed by
    upper          l_m (H_t(l_j) - H_t(l_m)): a bound above, plus what reading m was missed by
    missed         F_l(reading) - min over the other readings of F_l, where that is > 0, shape (J+1,): how far each reading
                   is from a joint optimum at least, whatever the class; in volume times the unit of the rates
    """

    perturbations: Array
    residual: Array
    lower: Array
    upper: Array
    missed: Array

    def holds(self, missed: ArrayLike = 0.0, slack: float = 0.0) -> bool:
        """Whether the readings can be joint optima of some class, each missed by at most ``missed`` (a number, or (J+1,)).

        It is so iff no reading beats another at the other's perturbation by more: the readings themselves are such a class.
        """
        bound = reals(missed, "missed", "OptimaLaw.holds", least=0.0, finite=False)
        if bound.ndim:
            same_shape("OptimaLaw.holds", missed=bound, readings=self.missed)
        return bool(np.all(self.missed <= bound + real(slack, "slack", "OptimaLaw.holds", least=0.0)))


def optima_law(
    perturbations: ArrayLike, volumes: ArrayLike, rates: ArrayLike, regulariser: ArrayLike | None = None
) -> OptimaLaw:
    """R6: ``l_j (H_t(l_j) - H_t(l_m)) - miss_j <= sum_{i != t} w_i DeltaH_i <= l_m (H_t(l_j) - H_t(l_m)) + miss_m``, any class.

    perturbations: (J+1,), >= 0, increasing (the first need not be 0). volumes: (n-1,), w_i of every dataset but the
    perturbation. rates: (n, J+1), in nats (or any one unit) per the unit in which volumes count; the last row is the
    perturbation. regulariser: (J+1,), its value at each reading in volume times that unit; it joins the sum.
    The lower bound needs only that reading j is optimal, the upper only F_m(theta_m) <= F_m(theta_j); an optimum missed by
    delta costs delta, once, on its own side. Raises InputError for shapes that do not fit.

    >>> law = optima_law([0, 1], [10, 1], [[1.0, 1.0], [1.0, 1.5], [3.0, 2.0]])
    >>> float(law.residual[0, 1]), float(law.lower[0, 1]), float(law.upper[0, 1]), law.holds()
    (0.5, 0.0, 1.0, True)
    >>> optima_law([0, 1], [10, 1], [[1.0, 0.9], [1.0, 1.5], [3.0, 2.0]]).missed.round(12)  # the start was not optimal
    array([0.5, 0. ])
    """
    steps = rising(perturbations, "perturbations", "optima_law", least_size=2, least=0.0)
    weights, readings = as_readings(volumes, rates, steps.size, "optima_law")
    penalty = reals(
        np.zeros(steps.size) if regulariser is None else regulariser, "regulariser", "optima_law", shape=steps.shape
    )
    others = weights @ readings[:-1] + penalty
    residual = others[None, :] - others[:, None]
    fall = readings[-1][:, None] - readings[-1][None, :]
    better = -(residual - steps[:, None] * fall)  # F_j(theta_j) - F_j(theta_m)
    later = np.triu(np.ones((steps.size, steps.size), dtype=bool), 1)
    shown, lower, upper = (
        np.where(later, value, np.nan) for value in (residual, steps[:, None] * fall, steps[None, :] * fall)
    )
    return OptimaLaw(steps, shown, lower, upper, np.maximum(better.max(axis=1), 0.0))


def joint_optima(
    losses: ArrayLike, volumes: ArrayLike, perturbations: ArrayLike, regulariser: ArrayLike | None = None
) -> tuple[NDArray[np.intp], Array]:
    """``argmin over models of sum_{i != t} w_i H_i + l H_t`` in a finite class, by enumeration (R6). Returns (models (J,), rates (n, J)).

    losses: (n, m), H_i of each of m models, the perturbation last. volumes: (n-1,). perturbations: (J,), >= 0.
    regulariser: (m,), added to the objective. Of equally good models the first is taken. No unit of its own.

    >>> models, rates = joint_optima([[1.0, 1.1], [1.0, 2.0], [5.0, 1.0]], [10, 1], [0, 0.5, 1.0])
    >>> models
    array([0, 0, 1])
    """
    where = "joint_optima"
    weights = reals(volumes, "volumes", where, shape=(None,), above=0.0)
    table = reals(losses, "losses", where, shape=(weights.size + 1, None))
    steps = reals(perturbations, "perturbations", where, shape=(None,), least=0.0)
    if table.shape[1] == 0:
        raise InputError("no model", where=where, mend="losses need a column for each model")
    start = weights @ table[:-1]
    if regulariser is not None:
        start = start + reals(regulariser, "regulariser", where, shape=start.shape)
    chosen = np.array([int(np.argmin(start + step * table[-1])) for step in steps], dtype=np.intp)
    return chosen, table[:, chosen]


@dataclass(frozen=True, slots=True)
class Branch:
    """The response along a smooth branch of joint optima (R6), per unit of l.

    direction       d theta/dl = -G^-1 g_t, shape (d,)
    derivatives     dH_i/dl = -g_i' G^-1 g_t, shape (n,); the last is <= 0
    balance         sum_i w_i dH_i/dl: 0 at stationary points (R2)
    epsilon         -w_t dH_t/(w_a dH_a), R3's eps; nan where dH_a = 0 or there are not three datasets
    theta_constant  -w_a dH_a/(w_p dH_p) = 1/(1 - epsilon)
    gradient        |sum_i w_i g_i|: how far from stationary the point is

    In units c times as small (volumes c w_i, Hessian c G) direction and derivatives are divided by c, the gradient is
    multiplied by it, and everything else stays.
    """

    direction: Array
    derivatives: Array
    balance: float
    epsilon: float
    theta_constant: float
    gradient: float


def branch_response(gradients: ArrayLike, hessian: ArrayLike, volumes: ArrayLike) -> Branch:
    """``dH_i/dl = -g_i' G^-1 g_t`` at a stationary point of the joint objective with Hessian G > 0 (R6).

    gradients: (n, d), g_i = grad H_i, the perturbation last. hessian: (d, d), G of the whole objective sum_i w_i H_i
    (with its regulariser). volumes: (n,), the last is l. In the unit of H per unit of volume.
    Raises InputError where G is not positive definite or shapes do not fit.

    >>> b = branch_response([[0.5], [-5.5], [1.0]], [[12.0]], [10, 1, 0.5])  # one parameter
    >>> b.derivatives.round(4), round(b.balance, 12)
    (array([-0.0417,  0.4583, -0.0833]), 0.0)
    """
    where = "branch_response"
    slopes = reals(gradients, "gradients", where, shape=(None, None))
    joint = reals(hessian, "the Hessian", where, shape=(slopes.shape[1],) * 2)
    weights = as_volumes(volumes, len(slopes))
    if not slopes.size:
        raise InputError("no gradient", where=where, mend="pass n gradients of d entries")
    if not np.allclose(joint, joint.T, rtol=1e-9, atol=1e-12 * float(np.abs(joint).max())):
        raise InputError("the joint Hessian is not symmetric", where=where, mend="average it with its transpose")
    try:
        lower = np.linalg.cholesky(joint)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the joint Hessian is not positive definite", where="branch_response", mend="add a regulariser"
        ) from error
    white = np.linalg.solve(lower, slopes.T)  # G^-1 = L^-T L^-1
    derivatives = -white.T @ white[:, -1]
    epsilon = constant = float("nan")
    if len(weights) == 3 and derivatives[1] != 0:
        epsilon = float(-weights[2] * derivatives[2] / (weights[1] * derivatives[1]))
        constant = 1.0 / (1.0 - epsilon) if epsilon != 1 else float("inf")
    return Branch(
        -np.linalg.solve(lower.T, white[:, -1]),
        derivatives,
        float(weights @ derivatives),
        epsilon,
        constant,
        float(np.linalg.norm(weights @ slopes)),
    )
