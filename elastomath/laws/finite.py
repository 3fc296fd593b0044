"""R4 and R5: the finite law along a perturbation path, for mixtures in closed form and for any readings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import positive, real, reals, rising, whole
from ..errors import InputError
from ..mixtures.kernels import RATES, RESPONSES
from ..mixtures.leafsums import leaf_moves, leaf_sums
from ..mixtures.mixture import Mixture, as_mixture
from .theorem import residual_constant

LEAST_TURN = 1e-280
"""The least volume at which a derivative is looked for to turn, in N_0: where q_0 has a rare string, it turns early."""
BLOCK = 1 << 15
"""Leaves whose differences are held at a time."""


@dataclass(frozen=True, slots=True)
class FiniteLaw:
    """R5 along a path of perturbations l_0 = 0 < l_1 < ... < l_J; every array has shape (J + 1,).

    residual   sum_{i != t} w_i (H_i(l) - H_i(0)), the left side of the law (k dH_p + dH_a for three datasets)
    upper      l (H_t(0) - H_t(l)), its upper bound; the lower bound is 0
    ratio      residual / upper, in [0, 1]; for mixtures in [0, 1/2]; nan at l = 0
    """

    perturbations: Array
    residual: Array
    upper: Array

    @property
    def ratio(self) -> Array:
        """residual / upper, nan where the bound is 0."""
        return np.divide(self.residual, self.upper, out=np.full_like(self.upper, np.nan), where=self.upper > 0)

    def holds(self, slack: float = 0.0) -> bool:
        """Whether 0 <= residual <= upper at every l, within ``slack`` >= 0 (same unit as the residual: volume times nats)."""
        slack = real(slack, "slack", "FiniteLaw.holds", least=0.0)
        return bool(np.all(self.residual >= -slack) and np.all(self.residual <= self.upper + slack))


def finite_law(perturbations: ArrayLike, volumes: ArrayLike, rates: ArrayLike) -> FiniteLaw:
    """R5 on readings of any model class: ``0 <= sum_{i != t} w_i DeltaH_i <= l (H_t(0) - H_t(l))``.

    perturbations: (J+1,), starting at 0, increasing. volumes: (n-1,), w_i of every dataset but the perturbation.
    rates: (n, J+1), in nats (or any one unit) per the unit in which volumes count; the last row is the perturbation.
    At joint optima the law is a theorem for every model class (R6). Raises InputError for shapes that do not fit.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0])
    >>> law = finite_law([0, 0.1, 1], [10, 1], path_entropies(m, [0, 0.1, 1]))
    >>> law.holds(), law.ratio.round(2)
    (True, array([ nan, 0.5 , 0.48]))
    """
    steps = rising(perturbations, "perturbations", "finite_law", from_zero=True)
    weights, readings = as_readings(volumes, rates, steps.size, "finite_law", uncovered=True)
    change = readings[:, 1:] - readings[:, :1]
    residual, upper = np.zeros(steps.size), np.zeros(steps.size)
    residual[1:], upper[1:] = weights @ change[:-1], -steps[1:] * change[-1]
    return FiniteLaw(steps, residual, upper)


def as_readings(
    volumes: ArrayLike, rates: ArrayLike, steps: int, where: str, *, uncovered: bool = False
) -> tuple[Array, Array]:
    """Checked volumes w_i > 0 of every dataset but the perturbation, (n-1,), and rates, (n, steps), the perturbation last.

    Rates are finite; where ``uncovered`` the first rate of the perturbation may be inf: at l = 0 no code has a word for it.

    >>> as_readings([10, 1], [[1.0, 2.0]], 2, "demo")
    Traceback (most recent call last):
    elastomath.errors.InputError: rates have shape (1, 2) (demo): rates need the shape (3, 2)
    """
    weights = reals(volumes, "volumes", where, shape=(None,), above=0.0)
    if not weights.size:
        raise InputError("no volume", where=where, mend="give one for every dataset but the perturbation")
    readings = reals(rates, "rates", where, shape=(weights.size + 1, steps), finite=not uncovered)
    if uncovered:
        reals(readings[:, 1:], "rates", where)
        reals(readings[:-1], "rates", where)
        real(readings[-1, 0], "the first rate of the perturbation", where, above=-math.inf, finite=False)
    return weights, readings


def path_entropies(mixture: Mixture, perturbations: ArrayLike) -> Array:
    """H_i(l) = H(P_i, q_l) along perturbations l of the last dataset, in nats per leaf drawn. Shape (n, J).

    Each leaf is read once for the whole path (in chunks; compiled for large trees), so the cost is J logarithms a leaf.
    An entry is ``inf`` where q_l lacks a leaf of P_i.

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> path_entropies(m, [0.0, 1.0]).shape
    (3, 2)
    """
    as_mixture(mixture, "path_entropies")
    steps = reals(perturbations, "perturbations", "path_entropies", shape=(None,), least=0.0)
    if len(mixture.components) == 1:
        return np.repeat(mixture.entropies()[:, None], steps.size, axis=1)
    if not steps.size:
        return np.zeros((len(mixture.components), 0))
    return leaf_sums(mixture.components, mixture.along(steps), wanted=RATES).cross.T


def mixture_residual(mixture: Mixture, perturbation: float) -> float:
    """The residual of R5 for mixtures, exactly: ``sum_{i != t} w_i DeltaH_i = N0 KL(q_0 || q_L)``, volume times nats.

    N0 is the volume of every dataset but the perturbation. It is at most half the bound of `finite_law`.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0])
    >>> law = finite_law([0, 1], [10, 1], path_entropies(m, [0, 1]))
    >>> bool(abs(law.residual[1] - mixture_residual(m, 1.0)) < 1e-12)
    True
    """
    volumes = as_mixture(mixture, "mixture_residual", least=2).at(perturbation).volumes
    _, divergences, _ = leaf_moves(mixture.components, volumes[:-1], volumes[-1:])
    return float(volumes[:-1].sum() * divergences[0])


def mixture_constant(base_volume: float, perturbation: float) -> float:
    """``c = N_0 [(N/L) ln(N/N_0) - 1]``, N = N_0 + L: the best constant in residual <= c (H_t(0) - H_t(L)) for mixtures (R5).

    In the unit of the volumes; at most L/2, about L/2 - L^2/(6 N_0) for small L.
    To 1e-14 relative, whatever the volumes. base_volume > 0, perturbation >= 0.

    >>> round(mixture_constant(1.0, 1.0), 12), mixture_constant(11.0, 0.0)
    (0.38629436112, 0.0)
    """
    base_volume = positive(base_volume, "base_volume", "mixture_constant")
    perturbation = real(perturbation, "perturbation", "mixture_constant", least=0.0)
    return residual_constant(base_volume, perturbation, 0.0)


def sign_change(mixture: Mixture, dataset: int, limit: float | None = None) -> float | None:
    """R4: the only l > 0 at which dH_i/dl turns from - to +, or None where its sign is the same on (0, limit].

    ``dataset`` is the row (0 pretrain, 1 align). l and ``limit`` are in the unit of the volumes; without a limit it is a million
    times N_0, the volume of all but the perturbation. The root of sum_x P_i P_t/q_l = 1 is bracketed, then found by
    Brent's method to 1e-12 relative. That there is at most one is R4; see the derivation.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]], [2, 1, 0])
    >>> sign_change(m, 1) is None
    True
    """
    from scipy.optimize import brentq

    as_mixture(mixture, "sign_change", least=2)
    dataset = whole(dataset, "dataset", "sign_change", least=0, most=len(mixture.volumes) - 1)
    rows, volume = mixture.components[[dataset, -1]], float(mixture.volumes[:-1].sum())
    limit = min(1e6 * volume, 1e307) if limit is None else positive(limit, "limit", "sign_change")

    def slope(log_step: float) -> float:  # in ln l, so that the tolerance is relative however small the root is
        volumes = mixture.at(math.exp(log_step)).volumes
        gaps = leaf_sums(rows, volumes, base=mixture.components, wanted=RESPONSES)
        rounding = 4e-16 * math.sqrt(float(gaps.squares.sum()))  # of P - q, times what it is multiplied with
        moved = -float(gaps.gram[0])  # 1 - sum P_i P_t/q_l, for q_l covers all
        return moved if abs(moved) > rounding else _near_gap(mixture.components, volumes, dataset)

    low, high = max(math.log(volume) + math.log(LEAST_TURN), -744.0), math.log(limit)
    if slope(low) >= 0 or slope(high) <= 0:
        return None
    return math.exp(brentq(slope, low, high, xtol=1e-13))


def _near_gap(components: Array, volumes: Array, dataset: int) -> float:
    """``-sum (P_i - q)(P_t - q)/q`` where datasets are near each other: from their differences, which are exact; 0 within rounding."""
    shares = volumes / volumes.sum()
    total = size = 0.0
    for start in range(0, components.shape[1], BLOCK):
        masses = components[:, start : start + BLOCK]
        masses = masses[:, (masses > 0).any(axis=0)]
        away, pull = (masses[row] - masses for row in (dataset, -1))
        q, first, second = shares @ masses, shares @ away, shares @ pull
        total -= float((first / q) @ second)
        size += float((shares @ np.abs(away) / q) @ np.abs(second) + (np.abs(first) / q) @ (shares @ np.abs(pull)))
    return total if abs(total) > 4e-16 * size else 0.0
