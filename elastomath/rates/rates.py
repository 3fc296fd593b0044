"""Compression rates: code length per symbol of each dataset under the joint tree, and how they answer a perturbation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import an, checked, reals
from ..codes.lengths import expected_length, huffman_lengths, shannon_lengths
from ..mixtures.divergence import cross_entropy
from ..mixtures.mixture import PERTURBED, Mixture


@checked(mixture=an(Mixture))
def rates(mixture: Mixture, spelled: ArrayLike | None = None) -> Array:
    """Compression rates ``gamma_i = E_{x ~ P_i}[-ln q(x) / s(x)]`` in nats per symbol, shape (n,).

    ``spelled``: s(x), the symbols (or tokens, or bytes) that a leaf spells, shape (M,), > 0; without it s = 1, and a rate
    is nats per leaf drawn, the cross entropy H(P_i, q). ``inf`` where q lacks a leaf of P_i.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]], [1, 1])
    >>> (rates(m, [1, 1, 2]) / np.log(2)).round(4)  # q = 1/4, 3/8, 3/8
    array([1.5306, 1.0613])
    """
    q = mixture.masses
    if spelled is None:
        return mixture.cross_entropies()
    inverse = _inverse(spelled, mixture.leaves)
    return np.array([cross_entropy(row * inverse, q) for row in mixture.components])


@checked(mixture=an(Mixture))
def normalised_rates(mixture: Mixture, spelled: ArrayLike | None = None) -> Array:
    """Normalised rates ``E_{x ~ P_i}[(-ln q(x) - ln M) / s(x)]``, nats per symbol, shape (n,).

    Without ``spelled`` they are per block, ``d gamma_i - ln M = H_i - ln M``. With leaf masses X = Y/M, E[Y] = 1 over
    leaves, that is ``-E[Y_i ln Ybar]``, Ybar = M q, and it is computed so: trees of different M can be compared, and a
    flat q gives 0. It may have either sign, is at least ``-D(P_i || flat)``, and differs from `rates` by a constant, so
    no derivative and no difference changes. ``inf`` where q lacks a leaf of P_i.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]], [1, 1])
    >>> bool(np.allclose(normalised_rates(m), rates(m) - np.log(3), atol=1e-15))
    True
    """
    density = mixture.leaves * mixture.masses
    if spelled is None:
        return np.array([cross_entropy(row, density) for row in mixture.components])
    inverse = _inverse(spelled, mixture.leaves)
    return np.array([cross_entropy(row * inverse, density) for row in mixture.components])


@checked(mixture=PERTURBED)
def rate_response(mixture: Mixture, spelled: ArrayLike | None = None) -> Array:
    """R1 per symbol: ``d gamma_i/dl = (1/N) sum_x P_i(x) (1 - P_t(x)/q(x)) / s(x)``, sums over the support of q.

    In nats per symbol and per unit of the last dataset's volume l, shape (n,); with s = 1 it is (1 - O_i)/N of
    `response`. The weights 1/s enter because q minimises sum w_i H_i, code length per leaf: for s that is not constant
    the balance R2 does *not* hold for these derivatives. With a = 1/s, m that of the first leaf and tau the mass of P_t outside the
    support of q the sum is taken as ``sum (P_i - q)(q - P_t)/q a + sum (q - P_t)(a - m) + m tau``, q - P_t and P_i - q from
    the differences P_j - P_t, so that it keeps its digits where the datasets are near to each other. Without coverage
    (tau > 0) the last entry is -inf.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0.5])
    >>> rate_response(m).round(4), rate_response(m, [1, 2, 2]).round(4)
    (array([-0.004 ,  0.087 , -0.0949]), array([-0.0257,  0.0435, -0.0949]))
    """
    q, perturb = mixture.masses, mixture.components[-1]
    covered, inverse = q > 0, _inverse(spelled, mixture.leaves)
    apart = mixture.components - perturb
    gap = mixture.volumes / mixture.total @ apart  # q - P_t
    pull = np.divide(gap, q, out=np.zeros_like(q), where=covered)
    outside = float(perturb[~covered].sum())
    level = float(np.where(covered, gap, 0.0) @ (inverse - inverse[0])) + float(inverse[0]) * outside
    # P_i - q, from what is not large beside both
    moved = np.where(perturb < 2.0 * mixture.components, apart - gap, mixture.components - q)
    slopes = (moved @ (inverse * pull) + level) / mixture.total
    if outside > 0:
        slopes[-1] = -np.inf
    return np.asarray(slopes, dtype=np.float64)


@checked(mixture=an(Mixture))
def code_lengths(mixture: Mixture) -> dict[str, Array]:
    """Expected lengths ``E_i[L]`` of the two real codes built on q, in bits per leaf drawn (R14): each of shape (n,).

    ``shannon``: H(P_i, q) <= E_i[L] < H(P_i, q) + 1 for each dataset. ``huffman``: least for the mixture as a whole,
    and for one dataset it may lie below H(P_i, q). ``inf`` where q lacks a leaf of P_i.

    >>> m = Mixture.of([[0.42, 0.2, 0.2, 0.16, 0.02]], [1])
    >>> {code: values.round(12).tolist() for code, values in code_lengths(m).items()}
    {'shannon': [2.64], 'huffman': [2.14]}
    """
    q = mixture.masses
    lengths = {"shannon": shannon_lengths(np.minimum(q, 1.0)), "huffman": huffman_lengths(q)}
    return {
        code: np.array([expected_length(row, used) for row in mixture.components]) for code, used in lengths.items()
    }


def _inverse(spelled: ArrayLike | None, leaves: int) -> Array:
    if spelled is None:
        return np.ones(leaves)
    symbols = reals(spelled, "symbols spelled", "rates", shape=(leaves,), above=0.0)
    return np.asarray(1.0 / symbols, dtype=np.float64)
