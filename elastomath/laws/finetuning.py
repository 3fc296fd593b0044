"""R7, the first-order law of fine-tuning: when an elasticity constant exists at a point, and how far it reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Array
from ..checks import FINITE, FINITES, POSITIVE, checked, numbers, reals, rising
from ..errors import InputError


@dataclass(frozen=True, slots=True)
class GradientTest:
    """What two gradients at one point say about an elasticity constant (R7).

    cosine        cos(grad H_p, grad H_a); nan where a gradient is 0
    ratio         |grad H_a| / |grad H_p|, the constant's value where it exists; w_p/w_a at a stationary point
    misalignment  |grad H_p/|grad H_p| + grad H_a/|grad H_a||, in [0, 2]: 0 where antiparallel, with full digits there
                  (cosine = misalignment^2/2 - 1)
    exists        misalignment <= tolerance: kappa(delta) is the same, and positive, for every displacement
    tolerance     what was asked for
    """

    cosine: float
    ratio: float
    misalignment: float
    exists: bool
    tolerance: float

    @property
    def steepest(self) -> float:
        """``kappa(grad H_p) = -cos |grad H_a|/|grad H_p|``, the stiffness ratio along the steepest direction of H_p."""
        return -self.cosine * self.ratio

    @checked(angle=FINITE)
    def spread(self, angle: float) -> float:
        """Half the range of kappa over displacements within ``angle`` (radians, < pi/2) of the line of grad H_p.

        ``|grad H_a|/|grad H_p| sqrt(1 - cos^2) tan(angle)``: unless the gradients are collinear it is unbounded.

        >>> gradient_test([1.0, 0.0], [-2.0, 0.1]).spread(math.pi / 4).__round__(6)
        0.1
        """
        sine = 0.5 * self.misalignment * math.sqrt(max(0.0, 4.0 - self.misalignment**2))
        return self.ratio * sine * math.tan(angle)


@checked(pretrain_gradient=FINITES, align_gradient=FINITES, tolerance=POSITIVE)
def gradient_test(pretrain_gradient: ArrayLike, align_gradient: ArrayLike, tolerance: float = 1e-6) -> GradientTest:
    """Whether an elasticity constant exists at a point: ``cos(grad H_p, grad H_a) = -1``; its value ``|grad H_a|/|grad H_p|`` (R7).

    Gradients of any one shape, per the unit in which volumes count; two backward passes of a model give them. Summed in
    float64. ``tolerance`` bounds the misalignment, an angle in radians where it is small. At the base itself grad H_p = 0
    in expectation: a cosine there is noise. Raises InputError for shapes that differ and for entries that are not finite.

    >>> found = gradient_test([3.0, -1.0, 0.5], [-60.0, 20.0, -10.0])
    >>> found.cosine, round(found.ratio, 12), found.exists
    (-1.0, 20.0, True)
    >>> gradient_test([1.0, 0.0], [-1.0, 1.0]).exists
    False
    """
    first, second = (np.asarray(g, dtype=np.float64).ravel() for g in (pretrain_gradient, align_gradient))
    if np.shape(pretrain_gradient) != np.shape(align_gradient) or first.size == 0:
        raise InputError(
            f"gradients have shapes {np.shape(pretrain_gradient)} and {np.shape(align_gradient)}",
            where="gradient_test",
            mend="take both with respect to the same parameters",
        )
    scales = [float(np.abs(g).max()) for g in (first, second)]
    if min(scales) == 0.0:
        ratio = math.inf if scales[1] > 0 else math.nan if scales[0] == 0 else 0.0
        return GradientTest(math.nan, ratio, math.nan, False, tolerance)
    units, lengths = [], []
    for gradient, scale in zip((first, second), scales, strict=True):  # scaled, so that no square under- or overflows
        length = float(np.linalg.norm(gradient / scale))
        units.append(gradient / scale / length)
        lengths.append(length)
    ratio = lengths[1] / lengths[0] * (scales[1] / scales[0])
    misalignment = min(2.0, float(np.linalg.norm(units[0] + units[1])))
    return GradientTest(misalignment**2 / 2 - 1.0, ratio, misalignment, misalignment <= tolerance, tolerance)


def stiffness_ratios(pretrain_gradient: ArrayLike, align_gradient: ArrayLike, displacements: ArrayLike) -> Array:
    """``kappa(delta) = -(grad H_a . delta)/(grad H_p . delta)`` for each displacement (R7); gradients (m,), displacements (D, m).

    inf or nan where H_p does not move.

    >>> stiffness_ratios([1.0, 0.0], [-2.0, 1.0], [[1.0, 0.0], [1.0, 1.0], [1.0, 3.0]])
    array([ 2.,  1., -1.])
    """
    first = reals(pretrain_gradient, "pretrain gradient", "stiffness_ratios", shape=(None,))
    second = reals(align_gradient, "align gradient", "stiffness_ratios", shape=first.shape)
    moves = reals(displacements, "displacements", "stiffness_ratios", shape=(None, first.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-(moves @ second) / (moves @ first), dtype=np.float64)


@checked(hessian=numbers(shape=(None, None)), displacements=FINITES)
def elastic_energy(hessian: ArrayLike, displacements: ArrayLike) -> Array:
    """``1/2 delta' (Hessian F) delta``, the second-order value of w_p DeltaH_p + w_a DeltaH_a at a stationary point (R7).

    hessian (m, m), displacements (..., m); volume times nats.

    >>> elastic_energy([[2.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [1.0, 1.0]])
    array([1., 3.])
    """
    moves, size = np.asarray(displacements, dtype=np.float64), len(np.asarray(hessian))
    if moves.shape[-1:] != (size,) or np.shape(hessian) != (size, size):
        raise InputError(
            f"Hessian {np.shape(hessian)}, displacements {moves.shape}",
            where="elastic_energy",
            mend="give (m, m) and (..., m)",
        )
    return np.asarray(0.5 * ((moves @ np.asarray(hessian, dtype=np.float64)) * moves).sum(axis=-1), dtype=np.float64)


@checked(third=FINITES)
def remainder_bound(third: ArrayLike) -> Array:
    """``M/6`` bounds |w_p DeltaH_p + w_a DeltaH_a - 1/2 delta' Hessian delta|, M = max |d^3/ds^3 F(theta + s delta)| (R7).

    ``third`` is M, or M_3 |delta|^3 where M_3 bounds the norm of the third derivative. 1/6 is the best constant.

    >>> float(remainder_bound(6.0))
    1.0
    """
    return np.asarray(np.abs(np.asarray(third, dtype=np.float64)) / 6.0, dtype=np.float64)


@checked(align_slope=FINITES, curvature=FINITES)
def elastic_limit(align_slope: ArrayLike, curvature: ArrayLike) -> Array:
    """``2 |w_a grad H_a . u| / (u' Hessian F u)``: the distance along u at which energy and linear term are equal (R7).

    Second order. ``align_slope`` is w_a grad H_a . u, ``curvature`` u' (Hessian F) u; inf where it is not positive.

    >>> elastic_limit([0.5, 0.5], [4.0, 0.0])
    array([0.25,  inf])
    """
    slope, bend = np.abs(np.asarray(align_slope, dtype=np.float64)), np.asarray(curvature, dtype=np.float64)
    shape = np.broadcast(slope, bend).shape
    return np.asarray(np.divide(2 * slope, bend, out=np.full(shape, np.inf), where=bend > 0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ElasticPath:
    """A path of displacements from a stationary point, J readings in order; every array has shape (J,) (R7).

    energy   w_p DeltaH_p + w_a DeltaH_a, volume times nats
    linear   |w_a grad H_a . delta|
    ratio    energy/linear: far below 1 in the linear regime, inf where H_a does not move to first order, nan where nothing has moved
    limit    position of the first crossing of ratio = 1, by linear interpolation; inf if there is none
    """

    positions: Array
    energy: Array
    linear: Array
    ratio: Array
    limit: float


def elastic_path(positions: ArrayLike, volumes: ArrayLike, changes: ArrayLike, align_slopes: ArrayLike) -> ElasticPath:
    """Energy against the linear term along a path, and the elastic limit, where they are equal (R7).

    positions: (J,), rising (steps, distance, volume). volumes: (w_p, w_a). changes: DeltaH_p and DeltaH_a, shape (2, J),
    in nats. align_slopes: grad H_a . delta, shape (J,). Raises InputError for shapes that do not fit.

    >>> path = elastic_path([0, 1, 2], [10, 1], [[0, 0.05, 0.3], [0, -0.4, -0.6]], [0, -0.5, -1.0])
    >>> path.energy, path.ratio, round(path.limit, 3)
    (array([0. , 0.1, 2.4]), array([nan, 0.2, 2.4]), 1.364)
    """
    where = "elastic_path"
    at, weights = rising(positions, "positions", where), reals(volumes, "volumes", where, shape=(2,), above=0.0)
    moved, slopes = (
        reals(changes, "changes", where, shape=(2, at.size)),
        reals(align_slopes, "align slopes", where, shape=at.shape),
    )
    energy, linear = weights @ moved, np.abs(weights[1] * slopes)
    ratio = np.divide(energy, linear, out=np.where(energy > 0, np.inf, np.nan), where=linear > 0)
    beyond = np.flatnonzero(ratio >= 1)
    limit = math.inf
    if beyond.size:
        index = int(beyond[0])
        limit = float(at[index])
        if index > 0 and ratio[index - 1] < 1:
            before = float(ratio[index - 1])
            limit = float(at[index - 1] + (1 - before) / (ratio[index] - before) * (at[index] - at[index - 1]))
    return ElasticPath(at, energy, linear, ratio, limit)
