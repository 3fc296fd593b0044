"""The mixture compressor, and its curves on synthetic families: exact, with the nominal volumes as effective ones (R16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath import Curve, InputError
from elastomath.arrays import Array
from elastomath.checks import positive, real, reals, rising, whole
from elastomath.memory import affordable
from elastomath.mixtures.kernels import RATES
from elastomath.mixtures.leafsums import leaf_sums
from elastomath.units import NATS_PER_BIT

from ..sources.problem import COMPONENTS, Problem
from .paths import MixtureConfiguration, mixture_paths

POINT_BYTES = 2000
"""What a reading takes: three rates, and their rows of a curve."""


@dataclass(frozen=True, eq=False)
class MixtureCompressor:
    """The ideal joint compressor: after volumes w it is ``q = sum_i w_i P_i / sum_i w_i``.

    Its state is the volumes that it has seen, shape (n,); before any it codes uniformly, ``q = 1/M``. The order of the
    data does not matter to it: training in sequence *is* joint training on the accumulated volumes, so R2-R5 and R16 hold
    along its life cycle with the nominal volumes.

    >>> from sim import problem_of_family
    >>> mixture = MixtureCompressor(problem_of_family("union", 1.5, 64))
    >>> state = mixture.train(mixture.train(mixture.start(), 0, 10.0), 1, 1.0)
    >>> bool((mixture.entropies(state) == mixture.entropies(mixture.optimum([10, 1, 0]))).all())
    True
    """

    problem: Problem
    name: str = "mixture"

    def start(self) -> Array:
        """No volume of anything, shape (n,)."""
        return np.zeros(len(self.problem.names))

    def optimum(self, volumes: ArrayLike, near: Array | None = None) -> Array:
        """The minimiser of ``sum_i w_i H_i`` is the mixture itself, exactly; InputError for volumes that are none."""
        return checked_volumes(volumes, len(self.problem.names))

    def train(self, state: Array, dataset: int, volume: float) -> Array:
        """``volume`` more of one dataset: an exact mixture adds it to what it has, whatever came before."""
        added = checked_step(self.problem, dataset, volume)
        return np.asarray(state + added * (np.arange(state.size) == dataset))

    def masses(self, state: Array) -> Array:
        """q, shape (M,); uniform in the untrained state."""
        total = float(state.sum())
        if total == 0:
            return np.full(self.problem.leaves, 1.0 / self.problem.leaves)
        return np.asarray(state / total @ self.problem.masses)

    def entropies(self, state: Array) -> Array:
        """``H_i = -sum P_i ln q`` of every dataset, shape (n,), in nats per leaf; inf where q lacks a leaf of P_i."""
        if not state.any():
            return np.full(len(state), np.log(self.problem.leaves))
        return leaf_sums(self.problem.masses, state, wanted=RATES, threads=1).cross

    def gradients(self, state: Array) -> Array:
        """``grad H_i = q - P_i`` in the parameters ln q of a saturated softmax, shape (n, M), nats.

        At the mixture ``k grad H_p + grad H_a + l grad H_t = 0``; at l = 0 the first two are antiparallel, their ratio k (R7).
        """
        return np.asarray(self.masses(state) - self.problem.masses)


def checked_volumes(volumes: ArrayLike, count: int) -> Array:
    """Volumes as float64 of shape (count,), >= 0, finite, not all 0; InputError otherwise."""
    weights = reals(volumes, "volumes", "optimum", shape=(count,), least=0.0)
    if not weights.any():
        raise InputError("volumes that are all 0", where="optimum", mend="give at least one > 0")
    return weights.copy()


def checked_step(problem: Problem, dataset: int, volume: float) -> float:
    """A volume >= 0 of a dataset that the problem has; InputError otherwise."""
    whole(dataset, "dataset", "train", least=0, most=len(problem.names) - 1)
    return real(volume, "volume", "train", least=0.0)


def perturbation_grid(l_max: float, points: int) -> NDArray[np.float64]:
    """0 and ``points`` volumes up to l_max: ``l_i = l_max (i/points)^2``, closer where the response is steepest.

    Raises InputError unless l_max is finite and > 0 and points >= 1.

    >>> perturbation_grid(4.0, 2)
    array([0., 1., 4.])
    """
    l_max = positive(l_max, "l_max", "perturbations")
    affordable(whole(points, "points", "perturbations", least=1), POINT_BYTES, "points", "perturbations")
    return np.asarray(l_max * np.linspace(0.0, 1.0, points + 1) ** 2)


def simulate_mixture(
    k: Sequence[float],
    *,
    perturbations: ArrayLike | None = None,
    l_max: float = 3.0,
    points: int = 12,
    alpha: float = 1.5,
    leaves: int = 4096,
    family: str = "union",
    seeds: Sequence[int] = (0,),
    cover: float = 0.0,
    overlap: float = 0.0,
    noise: float = 0.0,
) -> Curve:
    """Exact rates of the joint mixture along a perturbation: ``gamma_i(l) = H(P_i, q_l) / ln 2`` bits per leaf drawn.

    ``q_l = (k P_p + P_a + l P_t)/(k + 1 + l)``; a run for each (k, seed), in this order.
    Volumes are in units of |D_a|: k, 1 and the largest l, volume_unit ``symbols``, rate_unit ``bits/symbol``.
    Covariates: dynamics, family, alpha, leaves, k, seed, cover, overlap. Masses are drawn once a seed, in all cores.

    perturbations: l, rising from 0; without it `perturbation_grid` of ``l_max`` and ``points``.
    noise: standard deviation of Gaussian noise on every reading, in bits per symbol, written to rate_se; its stream
    depends on k and the seed only. 0 leaves rate_se empty: the readings are exact to rounding.
    Raises InputError for values that cannot be used, and where the perturbation is not covered (R1): an infinite
    rate has no place in a curve.

    >>> curve = simulate_mixture([10.0], perturbations=[0, 1], leaves=64, seeds=[0])
    >>> curve.runs
    ('mixture-union-k10-alpha1.5-leaves64-seed0',)
    >>> curve.run(curve.runs[0]).rates.shape
    (3, 2)
    """
    where = "simulate mixture"
    ratios = [positive(value, "k", where) for value in k]
    if perturbations is None:
        steps = perturbation_grid(l_max, points)
    else:
        steps = rising(perturbations, "perturbations", where, least_size=2, from_zero=True)
    _check(ratios, "k")
    affordable(len(seeds), POINT_BYTES, "seeds", where)
    _check(list(seeds), "seeds")
    noise = real(noise, "noise", where, least=0.0)
    affordable(len(ratios) * len(seeds) * steps.size, POINT_BYTES, "the sweep", where, "readings")
    grid = tuple(steps.tolist())
    jobs = [
        MixtureConfiguration(ratio, grid, family, alpha, leaves, int(seed), cover, overlap)
        for seed in seeds
        for ratio in ratios
    ]
    rates = np.empty((len(ratios), len(seeds), 3, steps.size))
    for index, path in enumerate(mixture_paths(jobs, response=False)):  # sorted by seed: each source is drawn once
        rates[index % len(ratios), index // len(ratios)] = path.entropies / NATS_PER_BIT
    if not np.isfinite(rates).all():
        raise InputError(
            f"family {family!r} leaves the perturbation uncovered at l = 0: its rate is infinite there",
            where=where,
            mend="give a cover > 0 (say 0.01), or another family",
        )
    if noise:
        for i, ratio in enumerate(ratios):
            for j, seed in enumerate(seeds):
                stream = np.random.default_rng([int(seed), int(np.float64(ratio).view(np.uint64))])
                rates[i, j] += noise * stream.standard_normal((3, steps.size))
        if (rates < 0).any():
            raise InputError(f"noise = {noise:g} makes a rate negative", where=where, mend="ask for less noise")
    return _curve(rates, ratios, [int(seed) for seed in seeds], steps, noise, family, alpha, leaves, cover, overlap)


def _curve(
    rates: Array,
    ratios: Sequence[float],
    seeds: Sequence[int],
    steps: Array,
    noise: float,
    family: str,
    alpha: float,
    leaves: int,
    cover: float,
    overlap: float,
) -> Curve:
    """One table for all runs, checked once: a run for each (k, seed), rates of shape (len(k), len(seeds), 3, J)."""
    import pandas as pd

    readings, runs = 3 * steps.size, len(ratios) * len(seeds)
    ks, drawn = np.repeat(ratios, len(seeds)), np.tile(seeds, len(ratios))
    shared = f"-overlap{overlap:g}" if overlap else ""
    names = [
        f"mixture-{family}-k{ratio:.12g}-alpha{alpha:g}-leaves{leaves}{shared}-seed{seed}"
        for ratio, seed in zip(ks.tolist(), drawn.tolist(), strict=True)
    ]
    volumes = np.stack([ks, np.ones(runs), np.full(runs, steps[-1])], axis=1)
    columns = {
        "run": np.repeat(np.array(names, dtype=object), readings),
        "component": np.tile(np.repeat(np.array(COMPONENTS, dtype=object), steps.size), runs),
        "volume": np.repeat(volumes.reshape(-1), steps.size),
        "perturbation": np.tile(steps, 3 * runs),
        "rate": rates.reshape(-1),
        "rate_se": noise if noise else np.nan,
        "rate_unit": "bits/symbol",
        "volume_unit": "symbols",
        "dynamics": "mixture",
        "family": family,
        "alpha": float(alpha),
        "leaves": int(leaves),
        "k": np.repeat(ks, readings),
        "seed": np.repeat(drawn, readings),
        "cover": float(cover),
        "overlap": float(overlap),
    }
    return Curve(pd.DataFrame(columns), where="simulate mixture")


def _check(values: Sequence[float], name: str) -> None:
    if not values:
        raise InputError(f"no {name}", where="simulate mixture", mend=f"give at least one of {name}")
    if len(set(values)) < len(values):
        raise InputError(f"{name} holds a value twice", where="simulate mixture", mend=f"give each of {name} once")
