"""The geometric pool of datasets, for which the reverse divergence obeys the law exactly, and by how much others miss (R12).

The mixture ``q = sum w_i P_i / N`` minimises ``sum w_i D(P_i || q)``; the pool ``q ~ prod P_i^{w_i/N}`` minimises
``sum w_i D(q || P_i)``. Each balances its own divergence, and misses the balance of the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Array
from ..checks import an, checked, numbers
from ..errors import InputError
from .divergence import NEAR, kl_divergence, log_gap
from .mixture import PERTURBED, Mixture


@dataclass(frozen=True, slots=True)
class GeometricPool:
    """The logarithmic (geometric) pool ``q = prod_i P_i^{w_i/N} / Z`` of datasets with volumes, on their common support (R12).

    mixture       the datasets and volumes, the perturbation last; a dataset of volume 0 does not restrict the support
    masses        q, shape (M,): 0 off the common support of the datasets that have a volume
    disagreement  ``-ln Z = min_q sum_i (w_i/N) D(q || P_i)`` in nats, >= 0, and 0 only for equal datasets

    Build it with `GeometricPool.of`. For every r on the support
    ``sum_i w_i D(r || P_i) = N D(r || q) + N disagreement``, so q is the joint optimum of the reverse divergences, and
    ``k DeltaD_p + DeltaD_a = N_0 D(q_L || q_0)`` exactly.

    >>> pool = GeometricPool.of(Mixture.of([[0.5, 0.5], [0.8, 0.2]], [1, 1]))
    >>> pool.masses.round(4), round(pool.disagreement, 4)  # odds 1 and 4 pool to 2
    (array([0.6667, 0.3333]), 0.0527)
    """

    mixture: Mixture
    masses: Array
    disagreement: float

    @classmethod
    @checked(mixture=an(Mixture))
    def of(cls, mixture: Mixture) -> GeometricPool:
        """The pool of a mixture's datasets. Raises InputError where no leaf is in the support of all of them."""
        covered = np.asarray((mixture.components[mixture.volumes > 0] > 0).all(axis=0))
        if not covered.any():
            raise InputError(
                "the datasets have no leaf in common",
                where="geometric pool",
                mend="it is defined on the common support; smooth the masses, or use the mixture",
            )
        mixed, apart = mixture.masses, _apart(mixture, covered)
        least = apart.min()
        raw = np.zeros(mixture.leaves)
        raw[covered] = mixed[covered] * np.exp(least - apart)
        moved = float(mixed[covered] @ np.expm1(least - apart)) - float(mixed[~covered].sum())
        log = math.log1p(moved) if moved > -0.5 else math.log(raw.sum())
        return cls(mixture, raw / raw.sum(), max(0.0, float(least) - log))

    def kl_reverse(self) -> Array:
        """``D(q || P_i)`` in nats, shape (n,); ``inf`` for a dataset of volume 0 that lacks a leaf of q."""
        return np.array([kl_divergence(self.masses, row) for row in self.mixture.components])

    def kl_forward(self) -> Array:
        """``D(P_i || q)`` in nats, shape (n,): the divergence that the pool does *not* balance."""
        return np.array([kl_divergence(row, self.masses) for row in self.mixture.components])

    def response_matrix(self) -> Array:
        """``dD(q || P_i)/dw_j = -Cov_q(ln P_i/q, ln P_j/q) / N``, nats per unit of volume, shape (n, n).

        Symmetric, with ``v' R v <= 0`` and ``R w = 0``: the dual of `response.response_matrix`, and its last column is
        the response to the perturbation. Raises InputError where a dataset of volume 0 lacks a leaf of q (its
        divergence is infinite).
        """
        covered = self.masses > 0
        q, rows = self.masses[covered], self.mixture.components[:, covered]
        if (rows == 0).any():
            raise InputError(
                "a dataset lacks a leaf of the pool, so its reverse divergence is infinite",
                where="geometric pool",
                mend="pass datasets with a common support",
            )
        logs = np.log(rows) - np.log(q)
        logs -= (logs @ q)[:, None]
        matrix = -((logs * q) @ logs.T) / self.mixture.total
        return np.asarray(0.5 * (matrix + matrix.T), dtype=np.float64)

    def response(self) -> Array:
        """``dD(q || P_i)/dl = -Cov_q(ln P_i/q, ln P_t/q) / N`` for the last dataset, nats per unit of volume, shape (n,)."""
        return np.asarray(self.response_matrix()[:, -1], dtype=np.float64)

    def forward_balance(self) -> float:
        """``sum_i w_i dD(P_i || q)/dl = E_q[g] - E_m[g]``, g = ln(P_t/q), m the mixture: what the pool misses. Nats.

        It is the Pythagorean defect ``D(m || P_t) - D(m || q) - D(q || P_t)``. ``inf`` or NaN does not occur on a
        common support; otherwise raises InputError.
        """
        covered = self.masses > 0
        if (self.mixture.components[:, ~covered] > 0).any():
            raise InputError(
                "the datasets do not have the same support",
                where="geometric pool",
                mend="their forward divergence from the pool is infinite; smooth the masses",
            )
        q, mixed = self.masses[covered], self.mixture.masses[covered]
        moved = mixed * np.expm1(self.disagreement - _apart(self.mixture, covered))  # q - m
        return float(moved @ (np.log(self.mixture.components[-1, covered]) - np.log(q)))


@checked(mixture=PERTURBED, perturbations=numbers(least=0.0))
def pooled_divergences(mixture: Mixture, perturbations: ArrayLike) -> Array:
    """``D(q_l || P_i)`` of the geometric pools q_l along perturbations l of the last dataset, nats. Shape (n, J).

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> pooled_divergences(m, [0.0, 1.0]).shape
    (3, 2)
    """
    steps = np.atleast_1d(np.asarray(perturbations, dtype=np.float64)).ravel()
    return np.array([GeometricPool.of(mixture.at(float(step))).kl_reverse() for step in steps]).T.reshape(
        len(mixture.components), steps.size
    )


@checked(mixture=PERTURBED)
def pool_residual(mixture: Mixture, perturbation: float) -> float:
    """R5 for the pool, exactly: ``sum_{i != t} w_i DeltaD(q || P_i) = N_0 D(q_L || q_0)``, volume times nats.

    At most ``L (D_t(0) - D_t(L))``, as for every model class; here 1 is the best factor (for mixtures it is 1/2).

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> d = pooled_divergences(m, [0.0, 1.0])
    >>> bool(abs(m.volumes[:-1] @ (d[:, 1] - d[:, 0])[:-1] - pool_residual(m, 1.0)) < 1e-15)
    True
    """
    end, first = mixture.at(perturbation), GeometricPool.of(mixture.at(0.0)).masses
    covered = (first > 0) & (mixture.components[-1] > 0)
    if perturbation == 0 or not covered.any():
        return float(mixture.volumes[:-1].sum() * kl_divergence(GeometricPool.of(end).masses, first))
    # q_L/q_0 = (P_t/q_0)^{L/N}/Z: from its logarithm, which is small where L is
    g = first[covered]
    moved = perturbation / end.total * (np.log(mixture.components[-1, covered]) - np.log(g))
    lost, top = float(first[~covered].sum()), float(moved.max())
    with np.errstate(over="ignore"):
        shift = float(g @ np.expm1(moved)) - lost  # Z - 1
    logs = moved - (math.log1p(shift) if abs(shift) < 0.5 else top + math.log(float(g @ np.exp(moved - top))))
    excess = np.expm1(logs)
    gaps = np.where(np.abs(excess) < NEAR, excess * logs - log_gap(excess), (1 + excess) * logs - excess)
    return float(mixture.volumes[:-1].sum() * (g @ gaps + lost))


def _apart(mixture: Mixture, covered: NDArray[np.bool_]) -> Array:
    """``sum_i (w_i/N) (e_i - ln(1 + e_i)) = ln(m / prod P_i^{w_i/N})``, P_i = m (1 + e_i), on leaves that all datasets have."""
    weighted = mixture.volumes > 0
    rows, shares = mixture.components[weighted][:, covered], mixture.volumes[weighted] / mixture.total
    return np.asarray(_gaps(rows, shares, mixture.masses[covered]).sum(axis=0))


def _gaps(rows: Array, shares: Array, q: Array) -> Array:
    """``share_i (e_i - ln(1 + e_i))``, P_i = q (1 + e_i), for each dataset and leaf."""
    with np.errstate(over="ignore"):
        excess = (rows - q) / q  # the quotient may be denormal
    near = np.abs(excess) < NEAR  # where 1 + e has lost digits of e; elsewhere e near -1 has lost those of P/q
    weights = shares[:, None]
    far = weights * rows / q - weights * (1.0 + np.log(rows) - np.log(q))
    return np.where(near, weights * log_gap(np.where(near, excess, 0.0)), far)


@dataclass(frozen=True, slots=True)
class ReverseBalance:
    """By how much the reverse divergence of an arithmetic mixture misses its balance (R12); volume-free, nats.

    terms      w_i dD(q || P_i)/dl = -(w_i/N) sum_x (P_t - q) ln(P_i/q), shape (n,): what should cancel
    balance    their sum, the miss: E_t[A] - E_q[A], A = sum_i (w_i/N) phi(P_i/q) = ln(q / prod P_i^{w_i/N}) >= 0
    leading    1/2 sum_x q e_t sum_i (w_i/N) e_i^2, P_i = q (1 + e_i): the miss up to terms of fourth order
    remainder  sum_x q |e_t| sum_i (w_i/N) |e_i|^3 / (3 (1 - max|e|)): |balance - leading| is at most this; inf where
               some |e| >= 1
    """

    terms: Array
    balance: float
    leading: float
    remainder: float


@checked(mixture=PERTURBED)
def reverse_balance(mixture: Mixture) -> ReverseBalance:
    """``sum_i w_i dD(q || P_i)/dl`` of the arithmetic mixture, which is not 0 (R12).

    With phi(r) = r - 1 - ln r and sum_i w_i (P_i/q - 1) = 0 on every leaf it is ``sum_x (P_t - q) A``: the perturbation
    sees the datasets disagree (A, the logarithm of arithmetic over geometric mean) more than the mixture does, or less.
    So it may have either sign; it is ``D(P_t || g) - D(P_t || q) - D(q || g)`` with the geometric pool g, a Pythagorean
    defect. Third order in the differences, where the terms that cancel are of second order.
    Raises InputError where datasets with a volume do not share the support of q, for then terms are infinite.

    >>> found = reverse_balance(Mixture.of([[0.5, 0.5], [0.6, 0.4], [0.3, 0.7]], [10, 1, 1]))
    >>> round(found.balance, 6), round(found.leading, 6), found.terms.round(4)
    (-0.000668, -0.000105, array([ 0.0053,  0.007 , -0.013 ]))
    """
    q, shares = mixture.masses, mixture.volumes / mixture.total
    covered = q > 0
    rows, q = mixture.components[:, covered], q[covered]
    if (rows[shares > 0] == 0).any() or (mixture.components[:, ~covered] > 0).any():
        raise InputError(
            "the datasets do not share the support of the mixture, so a reverse divergence is infinite",
            where="reverse_balance",
            mend="pass datasets with a common support",
        )
    rows, weights = rows[shares > 0], shares[shares > 0]
    excess, logs = (rows - q) / q, np.log(rows) - np.log(q)
    near = np.abs(excess) < NEAR
    logs = np.where(near, np.log1p(np.where(near, excess, 0.0)), logs)
    pull = (mixture.components[-1, covered] - q) / q
    terms = np.zeros(len(shares))
    terms[shares > 0] = -weights * (logs @ (q * pull))
    largest = float(max(np.abs(excess).max(), np.abs(pull).max()))
    cubes = float((q * np.abs(pull)) @ (weights @ np.abs(excess) ** 3))
    return ReverseBalance(
        terms,
        float((q * pull) @ _gaps(rows, weights, q).sum(axis=0)),
        0.5 * float((q * pull) @ (weights @ excess**2)),
        cubes / (3 * (1 - largest)) if largest < 1 else float("inf"),
    )
