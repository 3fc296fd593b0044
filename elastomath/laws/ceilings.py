"""R17: how far adding data can raise code lengths, and the volume that holds a rise below a wanted ceiling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..checks import NONNEGATIVE, POSITIVE, checked
from ..mixtures.kernels import OVERLAPS, RESPONSES
from ..mixtures.leafsums import leaf_moves, leaf_sums
from ..mixtures.mixture import PERTURBED, Mixture
from .theorem import log_quotient


@checked(base_volume=POSITIVE, perturbation=NONNEGATIVE)
def string_ceiling(base_volume: float, perturbation: float) -> float:
    """``ln(1 + L/N_0)`` nats: the most that any single string, and so any dataset, can lengthen in a mixture, for any P_t (R17).

    Attained iff the perturbation misses the string. Additions only: deleting data has no such ceiling.
    base_volume: N_0 > 0, everything that is kept; perturbation: L >= 0, in the same unit.

    >>> round(string_ceiling(11, 1), 6)
    0.087011
    """
    quotient = perturbation / base_volume
    return math.log1p(quotient) if quotient < math.inf else log_quotient(perturbation, base_volume)


@checked(ceiling=POSITIVE, perturbation=NONNEGATIVE)
def volume_for(ceiling: float, perturbation: float) -> float:
    """``N_0 = L/(e^c - 1)``: the volume whose `string_ceiling` under a perturbation of volume L is c nats (R17).

    ceiling: c > 0 nats per string. perturbation: L >= 0. In the unit of the perturbation.

    >>> round(volume_for(0.01, 1.0), 4)
    99.5008
    """
    if ceiling < 700:
        return perturbation / math.expm1(ceiling)
    return (
        perturbation * math.exp(-ceiling / 2) * math.exp(-ceiling / 2)
    )  # e^c is beyond the doubles, L e^-c need not be


@checked(base_volume=POSITIVE, perturbation=NONNEGATIVE)
def pooled_ceiling(base_volume: float, perturbation: float) -> float:
    """``N_0 ln(1 + L/N_0)``: the most that ``k DeltaH_p + DeltaH_a`` can be in a class closed under mixing (R17).

    It is below L, its limit for large N_0. In the unit of the volumes times nats.

    >>> round(pooled_ceiling(11, 1), 6)
    0.957125
    """
    most = string_ceiling(base_volume, perturbation)
    return base_volume * most if most > 1e-300 else float(perturbation)


@checked(volume=POSITIVE, others=POSITIVE, perturbation=NONNEGATIVE)
def convex_ceiling(volume: float, others: float, perturbation: float) -> float:
    """``ln[1 + (L + sqrt(L^2 + 4 L k/(k+1)))/2]``: the most that one dataset can rise in a class closed under mixing (R17).

    k = others/volume and L = perturbation/volume. It is ``-ln(1 - y)`` at the root y in [0, 1) of
    ``N_L y^2 + L (k - 1) y = k L``, N_L = k + 1 + L; solved for 1/(1 - y), nothing in it cancels. About sqrt(L k/(k+1))
    for small L, far above `string_ceiling`, which holds for the class of all mixtures only. Attained in the limit by the
    mixtures of two models. volume: of the dataset itself, > 0; others: of the rest that is kept, > 0; nats.

    >>> round(convex_ceiling(1, 10, 1), 6)
    0.946475
    """
    step, own = perturbation / volume, volume / others
    kept = 1.0 / (1.0 + own) if own < math.inf else others / volume
    if step == math.inf:
        return log_quotient(perturbation, volume)
    root = math.sqrt(perturbation) / math.sqrt(volume) * math.sqrt(step + 4.0 * kept)
    return math.log1p(step / 2.0 + root / 2.0)


@dataclass(frozen=True, slots=True)
class Rises:
    """How far each dataset of a mixture has risen from l = 0 to its last volume L, with its bounds; shape (n,), nats (R17).

    rise        DeltaH_i
    low, high   ln(N_L/(N_0 + L O_0)) <= DeltaH_i <= ln((N_L - L O_L)/N_0), O_0 and O_L the overlaps with P_t at both ends
    ceiling     ln(1 + L/N_0), what no string can exceed
    """

    rise: Array
    low: Array
    high: Array
    ceiling: float


@checked(mixture=PERTURBED)
def rises(mixture: Mixture) -> Rises:
    """``ln(N_L/(N_0 + L O_0)) <= DeltaH_i <= ln((N_L - L O_L)/N_0) <= ln(1 + L/N_0)`` for every dataset of a mixture (R17).

    Both sides are attained where P_t/q is constant on D_i, and are sharper than u (1 - O_0) and (L/N_0)(1 - O_L),
    u = L/N_L. The perturbation is the last dataset; without coverage its low and rise are -inf. nats per leaf drawn.

    >>> r = rises(Mixture.of([[0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5]], [10, 1, 0.5]))
    >>> r.rise.round(4), r.high.round(4), round(r.ceiling, 4)
    (array([0.0201, 0.0445,   -inf]), array([ 0.0204,  0.0445, -0.6975]), 0.0445)
    """
    step, base = mixture.volumes[-1], float(mixture.volumes[:-1].sum())
    ends, ceiling = mixture.along(np.array([0.0, step])), string_ceiling(base, float(step))
    before, after = leaf_sums(mixture.components, ends, wanted=RESPONSES, compiled=True).gram
    moves, divergences, outside = leaf_moves(mixture.components, mixture.volumes[:-1], mixture.volumes[-1:])
    drift = mixture.volumes[:-1] / base @ moves[:-1, 0] - divergences[0]  # 0, but masses sum to 1 up to rounding
    rise = np.where(np.abs(drift) > 1e-15 * np.abs(moves[:, 0]), moves[:, 0] - drift, moves[:, 0])
    shift = step / (base + step) * (before - outside)  # gram = O_i - 1 + outside
    if shift.min() >= -0.5:
        low = -np.log1p(shift)
    else:  # the same with N_0 + L O_0 added up, for L/N_L may be 1 to rounding
        far = shift < -0.5
        low = -np.log1p(np.where(far, 0.0, shift))
        met = leaf_sums(mixture.components, ends[0], beside=mixture.components[-1], wanted=OVERLAPS).overlaps
        for i in np.flatnonzero(far):
            low[i] = log_quotient(base + float(step), base + float(step * met[i]))
    if step > 0 and outside > 0:
        rise[-1] = low[-1] = -np.inf
    return Rises(rise, low, _highest(mixture, after, ceiling), ceiling)


def _highest(mixture: Mixture, after: Array, ceiling: float) -> Array:
    """``ln((N_L - L O_L)/N_0)``, from ``after = O_L - 1``."""
    step, base = float(mixture.volumes[-1]), float(mixture.volumes[:-1].sum())
    if step == 0:
        return np.zeros(len(after))
    ratio = step / base
    if ratio * float(after.max()) <= 0.5 and -ratio * float(after.min()) < math.inf and ratio < math.inf:
        return np.asarray(np.log1p(-ratio * after), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        excess = np.where(after == 0, 0.0, -ratio * after)
    far, beyond = excess < -0.5, excess == np.inf
    high = np.log1p(np.where(far, 0.0, excess))
    high[beyond] = ceiling + np.log(-after[beyond])
    if far.any():  # the same as ln sum P_i q_0/q_L, in which nothing cancels
        start = mixture.at(0.0).masses
        shrunk = leaf_sums(mixture.components, mixture.volumes, beside=start, wanted=OVERLAPS).overlaps
        with np.errstate(divide="ignore"):
            high[far] = np.log(shrunk[far])
    return high
