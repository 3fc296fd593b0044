"""Paths of joint optima of a trainable compressor, and what R5, R7 and R16 say of them as the gradient that is left falls."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elastomath import InputError, finite_law
from elastomath.arrays import Array
from elastomath.checks import positive, reals, rising, whole
from elastomath.fit.quadrature import path_work
from elastomath.foreign import json_of
from elastomath.laws.finetuning import gradient_test
from elastomath.laws.optima import optima_law
from elastomath.laws.volumes import effective_volumes
from elastomath.runs.ledger import Configuration, Result
from elastomath.storage import whole_file

from ..compressors.compressor import Compressor

SCHEMA = "elastomath.laws.finetuning/1"


@dataclass(frozen=True, eq=False)
class OptimaPath:
    """What was read along joint optima at volumes (k, 1, l), each found from the one before.

    perturbations   l_0 = 0 < ... < l_J, shape (J+1,)
    volumes         (w_p, w_a), shape (2,)
    entropies       H_i, shape (3, J+1), nats per leaf
    gradients       |sum_i w_i grad H_i| / sum_i w_i at each optimum, shape (J+1,): how far from stationary
    norms           |grad H_i| at each optimum, shape (3, J+1)
    misalignments   the angle-like distance of grad H_a from -(w_p grad H_p + l grad H_t), unit vectors, in [0, 2], shape (J+1,)
    ratio           |grad H_a|/|grad H_p| at l = 0, which is w_p/w_a at an optimum (R7)
    steps           what each optimum cost (`Descent`), where the compressor says so
    seconds         in all
    """

    perturbations: Array
    volumes: Array
    entropies: Array
    gradients: Array
    norms: Array
    misalignments: Array
    ratio: float
    steps: tuple[Result, ...]
    seconds: float


def optima_path(compressor: Compressor, volumes: ArrayLike, perturbations: ArrayLike, near: Any = None) -> OptimaPath:
    """Joint optima of ``w_p H_p + w_a H_a + l H_t`` for rising l, the first from ``near`` (or from the untrained state).

    volumes: (w_p, w_a), > 0. perturbations: rising from 0, shape (J+1,), J >= 1. Raises InputError for others.
    """
    weights = reals(volumes, "volumes (|D_p|, |D_a|)", "optima path", shape=(2,), above=0.0)
    steps = rising(perturbations, "perturbations", "optima path", least_size=2, from_zero=True)
    began, state = time.monotonic(), near
    entropies, left, norms, angles, costs, ratio = [], [], [], [], [], math.nan
    for step in steps:
        joint = np.array([*weights, step])
        state = compressor.optimum(joint, state)
        slopes = compressor.gradients(state)
        entropies.append(compressor.entropies(state))
        left.append(np.linalg.norm(joint @ slopes) / joint.sum())
        norms.append(np.linalg.norm(slopes, axis=1))
        rest = weights[0] * slopes[0] + step * slopes[2]
        angles.append(gradient_test(rest, slopes[1]).misalignment)
        if step == 0:
            ratio = gradient_test(slopes[0], slopes[1]).ratio
        descent = getattr(state, "descent", None)
        if descent is not None:
            costs.append(descent.as_dict())
    return OptimaPath(
        steps,
        weights,
        np.array(entropies).T,
        np.array(left),
        np.array(norms).T,
        np.array(angles),
        ratio,
        tuple(costs),
        time.monotonic() - began,
    )


def path_grid(l_max: float, points: int, scale: float = 1.0) -> Array:
    """0 and ``points`` perturbations up to l_max, at Chebyshev's places in ln(1 + l/scale): dense at both ends. Shape (points + 1,).

    l_max and scale in one unit of volume.

    >>> path_grid(3.0, 2).round(6)
    array([0., 1., 3.])
    """
    l_max, scale = positive(l_max, "l_max", "path grid"), positive(scale, "scale", "path grid")
    whole(points, "points", "path grid", least=1)
    places = 0.5 - 0.5 * np.cos(math.pi * np.arange(points + 1) / points)
    grid = scale * np.expm1(places * math.log1p(l_max / scale))
    grid[0], grid[-1] = 0.0, l_max
    return np.asarray(grid, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Stationarity:
    """One path of joint optima against R5, R7 and R16.

    R7 off stationarity: with ``r = |w_p grad H_p + w_a grad H_a| / |w_a grad H_a| < 1`` the triangle of the two forces gives
    ``0 <= 1 + cos <= 1 - sqrt(1 - r^2)`` and ``1/(1 + r) <= (|grad H_a|/|grad H_p|)/(w_p/w_a) <= 1/(1 - r)``, each end attained:
    the cosine misses -1 by the second order of the gradient that training has left, the ratio misses k by the first.

    name, parameters        of the compressor
    gradient                the largest |grad F| (per unit of volume) that was left at an optimum of the path, nats
    relative                the largest |sum_i w_i grad H_i| / |w_a grad H_a|: the same, against the force of alignment
    one_plus_cosine         1 + cos(grad H_p, grad H_a) at l = 0; 0 at an optimum (R7)
    ratio, nominal          |grad H_a|/|grad H_p| at l = 0, and k = w_p/w_a
    misalignment            the largest of the path's, the force of D_t counted with that of D_p where l > 0
    low, high               the smallest and largest of residual / upper bound over l > 0 (R5: within [0, 1]; mixtures [0, 1/2]);
                            nan where H_t did not fall
    K_pretrain, K_align     effective volumes (R16), in the unit of w; they should be w_p and w_a
    missed                  the largest by which an optimum is beaten by another reading of the path, volume times nats (R6)
    """

    name: str
    parameters: int
    gradient: float
    relative: float
    one_plus_cosine: float
    ratio: float
    nominal: float
    misalignment: float
    low: float
    high: float
    K_pretrain: float
    K_align: float
    K_nominal: tuple[float, float]
    missed: float

    @property
    def holds(self) -> bool:
        """Whether R5 holds at every l: ``0 <= residual <= upper``, with no slack."""
        return self.low >= 0.0 and self.high <= 1.0

    @property
    def cosine_bound(self) -> float:
        """``1 - sqrt(1 - r^2)``, r = ``relative``: the most that 1 + cos can be; 2 where r >= 1 and nothing is known."""
        rest = self.relative
        return rest**2 / (1.0 + math.sqrt(1.0 - rest**2)) if rest < 1 else 2.0

    @property
    def ratio_bounds(self) -> tuple[float, float]:
        """``1/(1 + r), 1/(1 - r)``, r = ``relative``: between these is ratio/nominal; inf where r >= 1."""
        rest = self.relative
        return 1.0 / (1.0 + rest), 1.0 / (1.0 - rest) if rest < 1 else math.inf

    @property
    def errors(self) -> tuple[float, float]:
        """Relative errors of K_pretrain and K_align."""
        return self.K_pretrain / self.K_nominal[0] - 1.0, self.K_align / self.K_nominal[1] - 1.0


def stationarity(path: OptimaPath, name: str = "", parameters: int = 0, scale: float = 1.0) -> Stationarity:
    """What a path shows of R5, R7 and R16; ``scale`` is that of `path_work`, in units of |D_a|.

    Raises InputError where nothing moved, or fewer than two perturbations beside 0 were read.
    """
    law = finite_law(path.perturbations, path.volumes, path.entropies)
    ratios = law.ratio[1:]
    changes = path.entropies[:2, 1:] - path.entropies[:2, :1]
    work = path_work(path.perturbations, path.entropies[2], scale * float(path.volumes[1]))[1:]
    fitted = effective_volumes(changes, work)
    force = path.volumes[1] * path.norms[1]
    total = path.volumes.sum() + path.perturbations
    return Stationarity(
        name,
        parameters,
        float(path.gradients.max()),
        float((path.gradients * total / force).max()),
        float(path.misalignments[0] ** 2 / 2),
        path.ratio,
        float(path.volumes[0] / path.volumes[1]),
        float(path.misalignments.max()),
        float(ratios.min()),
        float(ratios.max()),
        float(fitted.volumes[0]),
        float(fitted.volumes[1]),
        (float(path.volumes[0]), float(path.volumes[1])),
        float(optima_law(path.perturbations, path.volumes, path.entropies).missed.max()),
    )


def save_paths(target: str | os.PathLike[str], paths: Iterable[tuple[Configuration, OptimaPath]]) -> None:
    """Write paths with the settings that made them (name, parameters, ...) as one JSON file, whole or not at all."""
    rows = []
    for curve, path in paths:
        values = {
            key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(path).items()
        }
        rows.append({"made": curve, "path": values})
    with whole_file(target) as aside:
        aside.write_text(json.dumps({"schema": SCHEMA, "rows": rows}, indent=1, allow_nan=False), encoding="utf-8")


def load_paths(source: str | os.PathLike[str]) -> list[tuple[Configuration, OptimaPath]]:
    """The paths of a file of `save_paths`; InputError where it is none."""
    arrays = ("perturbations", "volumes", "entropies", "gradients", "norms", "misalignments")
    try:
        text = json_of(source, "file of paths", "write it with save_paths")
        if text["schema"] != SCHEMA:
            raise KeyError(text["schema"])
        rows = []
        for row in text["rows"]:
            values: Result = {key: np.array(value) if key in arrays else value for key, value in row["path"].items()}
            values["steps"] = tuple(values["steps"])
            rows.append((dict(row["made"]), OptimaPath(**values)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no paths of joint optima: {error}", where=str(source), mend="write it by save_paths"
        ) from error
    return rows


def stationarity_table(source: str | os.PathLike[str]) -> list[Stationarity]:
    """A row for each saved path (`save_paths`), in the order of the file: for the documents, the report and the figure."""
    return [
        stationarity(path, str(curve.get("name", "")), int(curve.get("parameters", 0)))
        for curve, path in load_paths(source)
    ]
