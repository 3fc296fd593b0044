"""R1-R4: how each dataset's code length answers to a little more of the perturbation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .divergence import chi_square, overlap
from .errors import InputError
from .mixture import Mixture

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a mixture to its last dataset, in nats per leaf drawn and per unit of volume.

    overlaps        O_i = sum_x P_i P_t / q, shape (n,); for three datasets these are C, A, T
    derivatives     dH_i/dl = (1 - O_i)/N, shape (n,)                                        (R1)
    balance         sum_i w_i dH_i/dl, which is 0 for any distributions (up to rounding)       (R2)
    epsilon         1 + w_p dH_p/dH_a; for three datasets l (T-1)/(1-A); nan where dH_a = 0    (R3)
    theta_constant  -dH_a/(w_p dH_p) = 1/(1 - epsilon), where p is the first and a the second dataset
    uncovered       tau, the mass of P_t outside the support of q; the derivative of H_t is -inf where tau > 0
    """

    overlaps: Array
    derivatives: Array
    balance: float
    epsilon: float
    theta_constant: float
    uncovered: float


def response(mixture: Mixture) -> Response:
    """R1, R2 and R3 for a mixture whose last dataset is the perturbation (Thm 4.2 in closed form).

    ``dH_i/dl = (1 - sum_x P_i(x) P_t(x) / q(x)) / N``, sums over the support of q.

    Raises InputError for fewer than two datasets. Without coverage (tau > 0, only possible at l = 0) dH_t is -inf
    and the balance of the others is tau: k dH_p + dH_a -> tau.

    >>> r = response(Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5]))
    >>> r.overlaps.round(4), abs(r.balance) < 1e-15
    (array([1.0455, 0.    , 2.0909]), True)
    """
    if len(mixture.volumes) < 2:
        raise InputError(
            "a response needs a perturbation",
            where="response",
            mend="pass at least two datasets, the perturbation last",
        )
    q, total, perturb = mixture.masses, mixture.total, mixture.components[-1]
    overlaps = np.array([overlap(row, perturb, q) for row in mixture.components])
    uncovered = float(perturb[q == 0].sum())
    derivatives = (1.0 - overlaps) / total
    # 1 - T = -chi^2 keeps its digits when P_t is close to q
    derivatives[-1] = -np.inf if uncovered > 0 else -chi_square(perturb, q) / total
    moving = mixture.volumes > 0
    balance = float(mixture.volumes[moving] @ derivatives[moving])
    epsilon, constant = _constant(mixture, derivatives)
    return Response(overlaps, derivatives, balance, epsilon, constant, uncovered)


def _constant(mixture: Mixture, derivatives: Array) -> tuple[float, float]:
    if len(derivatives) < 3 or derivatives[1] == 0:
        return float("nan"), float("nan")
    pretrain, align = float(mixture.volumes[0] * derivatives[0]), float(derivatives[1])
    # k dH_p carries an error of k/N ulp, 1 - l (T-1)/(1-A) one of 1 ulp times dH_a: the smaller one is taken
    if len(derivatives) > 3 or not np.isfinite(derivatives[2]) or mixture.volumes[0] / mixture.total < abs(align):
        return 1.0 + pretrain / align, float("inf") if pretrain == 0 else -align / pretrain
    epsilon = -float(mixture.volumes[2] * derivatives[2]) / align
    return epsilon, float("inf") if epsilon == 1 else 1.0 / (1.0 - epsilon)
