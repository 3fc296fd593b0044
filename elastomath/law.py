"""R4 and R5: the finite law along a perturbation path, for mixtures in closed form and for any readings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import kernels
from .divergence import CHUNK, kl_divergence
from .errors import InputError
from .mixture import Mixture

Array = NDArray[np.float64]


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
        """Whether 0 <= residual <= upper at every l, within ``slack`` (same unit as the residual: volume times nats)."""
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
    steps, weights, readings = (np.asarray(a, dtype=np.float64) for a in (perturbations, volumes, rates))
    if readings.ndim != 2 or readings.shape != (weights.size + 1, steps.size):
        raise InputError(
            f"rates have shape {readings.shape}, volumes {weights.shape}, perturbations {steps.shape}",
            where="finite_law",
            mend="rates need a row for each dataset, the perturbation last, and a column for each perturbation",
        )
    if steps.size == 0 or steps[0] != 0 or np.any(np.diff(steps) <= 0):
        raise InputError("perturbations do not rise from 0", where="finite_law", mend="sort them and start at 0")
    change = readings - readings[:, :1]
    return FiniteLaw(steps, weights @ change[:-1], -steps * change[-1])


def path_entropies(mixture: Mixture, perturbations: ArrayLike) -> Array:
    """H_i(l) = H(P_i, q_l) along perturbations l of the last dataset, in nats per leaf drawn. Shape (n, J).

    Each leaf is read once for the whole path (in chunks; compiled for large trees), so the cost is J logarithms a leaf.
    An entry is ``inf`` where q_l lacks a leaf of P_i.

    >>> m = Mixture.of([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]], [4, 1, 0])
    >>> path_entropies(m, [0.0, 1.0]).shape
    (3, 2)
    """
    steps = np.asarray(perturbations, dtype=np.float64)
    if steps.ndim != 1 or np.any(~np.isfinite(steps)) or np.any(steps < 0):
        raise InputError("a perturbation is negative or not finite", where="path_entropies", mend="give volumes >= 0")
    base, rows = mixture.volumes[:-1], mixture.components
    if mixture.leaves >= kernels.COMPILED_FROM and len(rows) > 1:
        return np.asarray(kernels.path_sums(rows, base, steps) + np.log(base.sum() + steps), dtype=np.float64)
    out = np.zeros((len(rows), steps.size))
    for start in range(0, mixture.leaves, CHUNK):
        part = rows[:, start : start + CHUNK]
        mass = base @ part[:-1] + steps[:, None] * part[-1]
        if (mass > 0).all():
            out -= part @ np.log(mass).T
            continue
        for row, masses in enumerate(part):
            seen = masses > 0
            with np.errstate(divide="ignore"):
                out[row] -= np.log(mass[:, seen]) @ masses[seen]
    return np.asarray(out + np.log(base.sum() + steps), dtype=np.float64)


def mixture_residual(mixture: Mixture, perturbation: float) -> float:
    """The residual of R5 for mixtures, exactly: ``sum_{i != t} w_i DeltaH_i = N0 KL(q_0 || q_L)``, volume times nats.

    N0 is the volume of every dataset but the perturbation. It is at most half the bound of `finite_law`.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [10, 1, 0])
    >>> law = finite_law([0, 1], [10, 1], path_entropies(m, [0, 1]))
    >>> bool(abs(law.residual[1] - mixture_residual(m, 1.0)) < 1e-12)
    True
    """
    start = mixture.at(0.0)
    return start.total * kl_divergence(start.masses, mixture.at(perturbation).masses)


def mixture_constant(base_volume: float, perturbation: float) -> float:
    """``c = N_0 [(N/L) ln(N/N_0) - 1]``, N = N_0 + L: the best constant in residual <= c (H_t(0) - H_t(L)) for mixtures (R5).

    In the unit of the volumes; at most L/2, about L/2 - L^2/(6 N_0) for small L. base_volume > 0, perturbation >= 0.

    >>> round(mixture_constant(1.0, 1.0), 12), mixture_constant(11.0, 0.0)
    (0.38629436112, 0.0)
    """
    w = perturbation / base_volume
    if w < 0.01:  # sum over n of (-1)^(n+1) w^n/(n(n+1)); the closed form loses its digits here
        return base_volume * math.fsum((-1) ** (n + 1) * w**n / (n * (n + 1)) for n in range(1, 9))
    return base_volume * ((1.0 + w) * math.log1p(w) / w - 1.0)


def sign_change(mixture: Mixture, dataset: int, limit: float = 1e6) -> float | None:
    """R4: the only l > 0 at which dH_i/dl turns from - to +, or None where its sign is the same on (0, limit].

    ``dataset`` is the row (0 pretrain, 1 align). The root of sum_x P_i P_t/q_l = 1 is bracketed, then found by
    Brent's method to 1e-12 relative. That there is at most one is R4; see the derivation.

    >>> m = Mixture.of([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]], [2, 1, 0])
    >>> sign_change(m, 1) is None
    True
    """
    from scipy.optimize import brentq

    base, row, perturb = (
        mixture.volumes[:-1] @ mixture.components[:-1],
        mixture.components[dataset],
        mixture.components[-1],
    )
    product, volume = row * perturb, float(mixture.volumes[:-1].sum())
    seen = product > 0

    def slope(log_step: float) -> float:  # in ln l, so that the tolerance is relative however small the root is
        step = math.exp(log_step)
        return 1.0 - (volume + step) * float((product[seen] / (base[seen] + step * perturb[seen])).sum())

    low, high, rounding = math.log(1e-12 * volume), math.log(limit), 1e-15
    if slope(low) >= -rounding or slope(high) <= rounding:
        return None
    return math.exp(brentq(slope, low, high, xtol=1e-13))
