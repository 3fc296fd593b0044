"""R1-R4: how each dataset's code length answers to a little more of the perturbation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..mixtures.kernels import ALL_BUT_DIVERGENCES, DIVERGENCES, OVERLAPS, RESPONSES
from ..mixtures.leafsums import LeafSums, leaf_sums
from ..mixtures.mixture import Mixture, as_mixture


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a mixture to its last dataset, in nats per leaf drawn and per unit of volume.

    overlaps        O_i = sum_x P_i P_t / q, shape (n,); for three datasets these are C, A, T
    derivatives     dH_i/dl = (1 - O_i)/N, shape (n,)                                        (R1)
    balance         sum_i w_i dH_i/dl, which is 0 for any distributions (up to rounding)       (R2)
    epsilon         1 + w_p dH_p/(w_a dH_a); for three datasets (w_t/w_a) (T-1)/(1-A); nan where dH_a = 0    (R3)
    theta_constant  -w_a dH_a/(w_p dH_p) = 1/(1 - epsilon), where p is the first and a the second dataset
    uncovered       tau, the mass of P_t outside the support of q; the derivative of H_t is -inf where tau > 0

    In units c times as small, volumes c w_i, the derivatives are divided by c and everything else stays.
    """

    overlaps: Array
    derivatives: Array
    balance: float
    epsilon: float
    theta_constant: float
    uncovered: float


@dataclass(frozen=True, slots=True)
class Survey:
    """The rates, divergences and response of a mixture, from one reading of its masses; nats per leaf drawn.

    cross_entropies  H_i = H(P_i, q), the ideal code length of dataset i under the joint tree, shape (n,)
    chi_squares      sum_x (P_i - q)^2 / q, shape (n,), no unit
    kl_forward       D(P_i || q), shape (n,); None where divergences were not asked for
    kl_reverse       D(q || P_i), shape (n,); None likewise
    response         R1-R3 for the last dataset
    """

    cross_entropies: Array
    chi_squares: Array
    kl_forward: Array | None
    kl_reverse: Array | None
    response: Response


def survey(mixture: Mixture, *, divergences: bool = True, threads: int | None = None) -> Survey:
    """``H_i = -sum P_i ln q``, ``dH_i/dl = (1 - O_i)/N`` and the divergences of every dataset in one call (R1-R3, R12).

    A large tree is read once, by compiled code in ``threads`` threads (default: all cores); the result is the same for
    any number of them. ``inf`` where support is missing, as in `cross_entropy`, `chi_square` and `kl_divergence`.
    ``divergences=False`` leaves the two KL divergences out, which takes less than half the time: they cost a logarithm
    for each dataset, all the rest one for each leaf. Raises InputError for fewer than two datasets.

    >>> s = survey(Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5]))
    >>> s.cross_entropies.round(4), s.response.derivatives.round(4), s.kl_reverse.round(4)
    (array([1.0407, 1.3437, 0.7376]), array([-0.004 ,  0.087 , -0.0949]), array([0.0009,    inf,    inf]))
    """
    as_mixture(mixture, "survey", least=2)
    wanted = ALL_BUT_DIVERGENCES | (DIVERGENCES if divergences else 0)
    sums = leaf_sums(mixture.components, mixture.volumes, wanted=wanted, threads=threads)
    forward, reverse = (sums.forward, sums.reverse) if divergences else (None, None)
    return Survey(sums.cross, sums.squares, forward, reverse, _response(mixture, sums))


def response(mixture: Mixture) -> Response:
    """R1, R2 and R3 for a mixture whose last dataset is the perturbation (Thm 4.2 in closed form).

    ``dH_i/dl = (1 - sum_x P_i(x) P_t(x) / q(x)) / N``, sums over the support of q.

    Raises InputError for fewer than two datasets. Without coverage (tau > 0, only possible at l = 0) dH_t is -inf
    and the balance of the others is tau: k dH_p + dH_a -> tau.

    >>> r = response(Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5]))
    >>> r.overlaps.round(4), abs(r.balance) < 1e-15
    (array([1.0455, 0.    , 2.0909]), True)
    """
    as_mixture(mixture, "response", least=2)
    return _response(mixture, leaf_sums(mixture.components, mixture.volumes, wanted=OVERLAPS | RESPONSES))


def _response(mixture: Mixture, sums: LeafSums) -> Response:
    uncovered = float(sums.outside[-1])
    # sum (P_i - q)(P_t - q)/q over the support is O_i - 1 + tau, and keeps its digits where P_i or P_t is near q
    derivatives = (uncovered - sums.gram) / mixture.total
    derivatives[-1] = -sums.squares[-1] / mixture.total
    moving = mixture.volumes > 0
    balance = float(mixture.volumes[moving] @ derivatives[moving])
    epsilon, constant = _constant(mixture, derivatives)
    return Response(sums.overlaps, derivatives, balance, epsilon, constant, uncovered)


def response_matrix(mixture: Mixture) -> Array:
    """``R_ij = dH_i/dw_j = (1 - sum_x P_i P_j / q) / N``: R1 for a little more of *any* dataset. Shape (n, n).

    In nats per leaf drawn and per unit of volume. It is symmetric, as reciprocity is for elastic bodies: dataset i loses by
    more of j what j loses by more of i. With G_ij = sum_x (P_i - q)(P_j - q)/q it is -G/N, so ``v' R v <= 0``; and
    ``R w = 0`` is the balance R2, for each column. Without coverage (only the last dataset can lack it) its diagonal
    entry is -inf.

    >>> r = response_matrix(Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5]))
    >>> r.round(4)[2], bool(abs(r - r.T).max() < 1e-15)
    (array([-0.004 ,  0.087 , -0.0949]), True)
    """
    volume = as_mixture(mixture, "response_matrix").total
    sums = [leaf_sums(mixture.components, mixture.volumes, beside=row, wanted=RESPONSES) for row in mixture.components]
    gram, outside = np.array([column.gram for column in sums]), sums[0].outside
    matrix = (outside[:, None] + outside - 0.5 * (gram + gram.T)) / volume
    matrix[outside > 0, outside > 0] = -np.inf
    return np.asarray(matrix, dtype=np.float64)


def _constant(mixture: Mixture, derivatives: Array) -> tuple[float, float]:
    if len(derivatives) < 3 or derivatives[1] == 0:
        return float("nan"), float("nan")
    align = float(mixture.volumes[1] * derivatives[1])
    # w_p dH_p carries an error of w_p/N ulp, 1 - l (T-1)/(1-A) one of 1 ulp times w_a dH_a: the smaller one is taken
    if len(derivatives) > 3 or not np.isfinite(derivatives[2]) or mixture.volumes[0] / mixture.total < abs(align):
        epsilon = 1.0 + _quotient(mixture, derivatives, 0, 1)
        return epsilon, float("inf") if derivatives[0] == 0 else -_quotient(mixture, derivatives, 1, 0)
    epsilon = -_quotient(mixture, derivatives, 2, 1)
    return epsilon, float("inf") if epsilon == 1 else 1.0 / (1.0 - epsilon)


def _quotient(mixture: Mixture, derivatives: Array, over: int, under: int) -> float:
    """``w_i dH_i/(w_j dH_j)`` by mantissas and exponents, since either product may be below the doubles."""
    pair = [over, under]
    (w, x, g, h), (a, b, c, d) = np.frexp([*mixture.volumes[pair], *derivatives[pair]])
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(w * g / (x * h), a + c - b - d))
