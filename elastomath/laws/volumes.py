"""R16: the volumes that datasets count for, from the exact identity of a curve of joint optima.

The statistical fit, with errors on every reading, is made elsewhere; here readings are exact and nothing is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import real, reals, rising
from ..errors import InputError
from ..mixtures.leafsums import leaf_moves
from ..mixtures.mixture import Mixture, as_mixture

RANK_TOLERANCE = 1e-9
"""Singular values of the scaled changes below this share of the largest count as zero."""


def mixture_work(mixture: Mixture, perturbations: ArrayLike) -> Array:
    """``W(L) = int_0^L l (-dH_t) = N_0 KL(q_0 || q_L)`` for mixtures, exactly (R5, R16). Shape (J,) -> (J,), volume times nats.

    It is finite without coverage too. perturbations: L >= 0 of the last dataset; the mixture's own last volume is not used.

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> mixture_work(m, [0.0, 1.0]).round(6)
    array([0.      , 0.064276])
    """
    start = as_mixture(mixture, "mixture_work", least=2).at(0.0)
    steps = reals(perturbations, "perturbations", "mixture_work", least=0.0)
    if steps.ndim > 1:
        raise InputError(f"perturbations of shape {steps.shape}", where="mixture_work", mend="give them in one row")
    steps = np.atleast_1d(steps)
    if not steps.size:
        return steps
    _, divergences, _ = leaf_moves(start.components, start.volumes[:-1], steps)
    return start.total * divergences


def work_bounds(perturbations: ArrayLike, perturb: ArrayLike) -> tuple[Array, Array]:
    """Stieltjes sums that enclose ``W(l_m) - W(l_0) = int l (-dH_t)`` for joint optima of any class (R16). Shapes (J+1,) each.

    ``sum_j l_j f_j <= W <= sum_j l_{j+1} f_j``, ``f_j = H_t(l_j) - H_t(l_{j+1})``, since H_t falls. They differ by at
    most the longest step times the whole fall, need no smoothness, and are attained by classes that jump.
    perturbations: (J+1,), increasing. perturb: (J+1,), H_t there. Raises InputError where H_t rises: that is no joint optimum.

    >>> work_bounds([0, 1, 2], [3.0, 2.0, 1.5])
    (array([0. , 0. , 0.5]), array([0., 1., 2.]))
    """
    steps = rising(perturbations, "perturbations", "work_bounds", least_size=2, least=0.0)
    codes = reals(perturb, "rates", "work_bounds", shape=steps.shape)
    falls = -np.diff(codes)
    if not np.all(falls >= 0):
        index = int(np.flatnonzero(~(falls >= 0))[0])
        raise InputError(
            f"H_t rises between l = {steps[index]:g} and {steps[index + 1]:g}",
            where="work_bounds",
            mend="joint optima cannot do that: check the optimiser, or the order of the readings",
        )
    lower, upper = (np.concatenate([[0.0], np.cumsum(side * falls)]) for side in (steps[:-1], steps[1:]))
    return lower, upper


@dataclass(frozen=True, slots=True)
class Volumes:
    """What a curve of joint optima says about the volumes of its datasets (R16), in the unit of the perturbation.

    volumes    K_i of every dataset but the perturbation, shape (n-1,); nan where the curve does not determine it
    kappa      K_0/K_1 (pre-training over alignment); nan where it is not determined
    total      sum_i K_i where only that is determined (all changes equal), or the sum of the volumes; else nan
    rank       how many combinations of the volumes the curve determines
    condition  largest over smallest singular value of the changes, each scaled to length 1; inf where one is 0
    misfit     largest |sum_i K_i DeltaH_i - W| over the readings, in volume times rate
    """

    volumes: Array
    kappa: float
    total: float
    rank: int
    condition: float
    misfit: float


def effective_volumes(changes: ArrayLike, work: ArrayLike, tolerance: float = RANK_TOLERANCE) -> Volumes:
    """The K with ``sum_{i != t} K_i DeltaH_i(l) = W(l)`` at every reading (R16): k and 1 for joint optima of any class.

    changes: (n-1, J), H_i(l_j) - H_i(0) at J perturbations. work: (J,), W = int_0^l l (-dH_t) there (`mixture_work`, or a
    quadrature). The equations are solved by least squares, exactly where the readings are exact. The K are determined
    iff the rows of ``changes`` are independent: a union of D_a and D_t makes them so as soon as anything moves, while
    data that share nothing with the perturbation rise alike and give only the sum. Raises InputError for shapes that do
    not fit, fewer readings than datasets, or readings that did not move.

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> from elastomath import path_entropies
    >>> codes = path_entropies(m, [0.0, 0.5, 1.0])
    >>> seen = effective_volumes(codes[:2, 1:] - codes[:2, :1], mixture_work(m, [0.5, 1.0]))
    >>> seen.volumes.round(9), round(seen.kappa, 9), seen.rank
    (array([4., 1.]), 4.0, 2)
    """
    rows = reals(changes, "changes", "effective_volumes", shape=(None, None))
    target = reals(work, "work", "effective_volumes", shape=rows.shape[1:])
    tolerance = real(tolerance, "tolerance", "effective_volumes", least=0.0, most=0.1)
    if rows.shape[1] < rows.shape[0]:
        raise InputError(
            f"{rows.shape[1]} readings for {rows.shape[0]} volumes",
            where="effective_volumes",
            mend="give a row for each dataset but the perturbation and at least as many readings as rows",
        )
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.any():
        raise InputError("nothing moved", where="effective_volumes", mend="take a larger perturbation")
    scaled = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    left, singular, right = np.linalg.svd(scaled.T, full_matrices=False)
    rank = int((singular > tolerance * singular[0]).sum())
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")
    inverse = right[:rank].T @ ((left[:, :rank].T @ target) / singular[:rank])
    fitted = inverse / np.where(lengths > 0, lengths, 1.0)
    misfit = float(np.abs(fitted @ rows - target).max())
    if rank == len(rows):
        kappa = float(fitted[0] / fitted[1]) if len(fitted) > 1 and fitted[1] != 0 else float("nan")
        return Volumes(fitted, kappa, float(fitted.sum()), rank, condition, misfit)
    alike = bool(np.all(np.abs(rows - rows[0]) <= tolerance * lengths.max()))
    total = float(target @ rows[0] / (rows[0] @ rows[0])) if alike else float("nan")
    return Volumes(np.full(len(rows), np.nan), float("nan"), total, rank, condition, misfit)
