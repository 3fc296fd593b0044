"""R16 read from a sequential run: the volumes that count, with the clock of a perturbation that forgets itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import NONNEGATIVE, NONNEGATIVES, POSITIVES, REALS, Gate, checked, numbers, rising, same_shape
from ..errors import InputError
from ..laws.springs import springs_of_readings
from ..laws.volumes import effective_volumes
from .quadrature import path_work

_STEPS: Gate = lambda values, name, where: rising(values, name, where, least_size=3, from_zero=True)  # noqa: E731
FASTEST = 8.0
"""The largest h times L that is tried: beyond it nothing of the start is left."""


@dataclass(frozen=True, slots=True)
class Effective:
    """Volumes that count, in units of the perturbation at rest, read with one clock h.

    pretrain, align   K_p, K_a; nan where the curve does not determine them
    misfit            largest |K_p DeltaH_p + K_a DeltaH_a - W| over the largest |W|: how far the curve is from any joint one
    clock             h, what a unit of volume forgets in the reading
    """

    pretrain: float
    align: float
    misfit: float
    clock: float

    @property
    def kappa(self) -> float | None:
        """K_p/K_a where both are > 0, else None: there is no elasticity constant."""
        if not (math.isfinite(self.pretrain) and math.isfinite(self.align)) or min(self.pretrain, self.align) <= 0:
            return None
        return self.pretrain / self.align


@checked(perturbations=NONNEGATIVES, clock=NONNEGATIVE)
def run_down(perturbations: ArrayLike, clock: float) -> Array:
    """``l' = (e^{h l} - 1)/h``: what l in sequence counts for, in units of what was there at rest; l itself for h = 0.

    With forgetting a volume l leaves ``e^{-hl}(c + P_t (e^{hl} - 1)/h)``: the mixture of a joint run at l' (R19).

    >>> run_down([0.0, 1.0], 0.0), run_down([0.0, 1.0], np.log(2)).round(6)
    (array([0., 1.]), array([0.      , 1.442695]))
    """
    steps = np.asarray(perturbations, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # e^y - 1 = y to rounding where y is so small
        return np.where(clock * steps < 1e-16, steps, np.expm1(clock * steps) / (clock or 1.0))


@checked(perturbations=_STEPS, entropies=numbers(shape=(3, None)), clock=NONNEGATIVE)
def read(perturbations: ArrayLike, entropies: ArrayLike, clock: float = 0.0) -> Effective:
    """R16 at the perturbations l' of ``clock``: ``K_p DeltaH_p + K_a DeltaH_a = int l' (-dH_t)`` by least squares.

    entropies: (3, J+1), nats. Joint optima have clock 0 and give the nominal volumes; counting with forgetting has its own h and
    gives R19's. The integral is a spline's in ln(1 + l'/c), c the one of nine that leaves the least misfit. Raises InputError
    where nothing moved.
    """
    steps, rates = cast(Array, perturbations), cast(Array, entropies)
    same_shape("read", perturbations=steps, perturb=rates[2])
    largest = float(run_down(perturbations, clock)[-1])
    tried = [_read(perturbations, entropies, clock, scale) for scale in largest * np.geomspace(0.03, 3.0, 9)]
    return min(tried, key=lambda reading: reading.misfit)


def _read(perturbations: ArrayLike, entropies: ArrayLike, clock: float, scale: float) -> Effective:
    rates, steps = np.asarray(entropies, dtype=np.float64), run_down(perturbations, clock)
    work = path_work(steps, rates[2], scale)[1:]
    fitted = effective_volumes(rates[:2, 1:] - rates[:2, :1], work)
    largest = float(np.abs(work).max())
    misfit = fitted.misfit / largest if largest > 0 and math.isfinite(fitted.misfit) else math.inf
    return Effective(float(fitted.volumes[0]), float(fitted.volumes[1]), misfit, clock)


@checked(perturbations=_STEPS, entropies=numbers(shape=(3, None)))
def best_clock(perturbations: ArrayLike, entropies: ArrayLike) -> Effective:
    """The reading whose clock h >= 0 leaves the least misfit, from a grid of h L up to `FASTEST`, then golden section."""
    from scipy.optimize import minimize_scalar

    steps, rates = cast(Array, perturbations), cast(Array, entropies)
    same_shape("best_clock", perturbations=steps, perturb=rates[2])
    largest = float(steps[-1])
    grid = np.concatenate([[0.0], np.geomspace(1e-3, FASTEST, 40)]) / largest

    def misfit(clock: float) -> float:
        return _read(perturbations, entropies, float(clock), float(run_down(largest, clock)) / 6).misfit

    misfits = np.array([misfit(clock) for clock in grid])
    index = int(misfits.argmin())
    low, high = grid[max(0, index - 1)], grid[min(grid.size - 1, index + 1)]
    fine = minimize_scalar(misfit, bounds=(low, high), method="bounded", options={"xatol": 1e-7 * high})
    clock = float(fine.x) if fine.fun < misfits[index] else float(grid[index])
    return read(perturbations, entropies, clock)


@checked(perturbations=NONNEGATIVES, volumes=POSITIVES, entropies=REALS)
def elastic_limit(perturbations: ArrayLike, volumes: ArrayLike, entropies: ArrayLike) -> float | None:
    """The l at which nothing pushes back any more (`springs`): the first at which neither H_p nor H_a lies below its rest.

    None where none is seen. It does not depend on the volumes, only on the signs of the changes.
    """
    try:
        spring = springs_of_readings(perturbations, volumes, entropies).elastic_limit()
    except InputError:
        return None
    return None if spring is None else spring[1]
