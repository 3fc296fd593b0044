"""The mixture compressor on synthetic families: exact curves whose effective volumes are the nominal ones (R16)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elastomath import Curve, InputError, Mixture, path_entropies
from elastomath.progress import track
from elastomath.units import NATS_PER_BIT

from .families import family as draw_family


def perturbation_grid(l_max: float, points: int) -> NDArray[np.float64]:
    """0 and ``points`` volumes up to l_max: ``l_i = l_max (i/points)^2``, closer where the response is steepest.

    Raises InputError unless l_max is finite and > 0 and points >= 1.

    >>> perturbation_grid(4.0, 2)
    array([0., 1., 4.])
    """
    if not (np.isfinite(l_max) and l_max > 0):
        raise InputError(f"l_max = {l_max:g}", where="perturbations", mend="l_max has to be finite and > 0")
    if points < 1:
        raise InputError(f"{points} points", where="perturbations", mend="ask for at least one beside 0")
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
    noise: float = 0.0,
) -> Curve:
    """Exact rates of the joint mixture along a perturbation: ``gamma_i(l) = H(P_i, q_l) / ln 2`` bits per leaf drawn.

    ``q_l = (k P_p + P_a + l P_t)/(k + 1 + l)`` (section 1 of the theory); a run for each (k, seed), in this order.
    Volumes are in units of |D_a|: k, 1 and the largest l, volume_unit ``symbols``, rate_unit ``bits/symbol``.
    Covariates: dynamics, family, alpha, leaves, k, seed, cover.

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
    ratios = [_positive(value, "k") for value in k]
    steps = perturbation_grid(l_max, points) if perturbations is None else _steps(perturbations)
    _check(ratios, "k")
    _check(list(seeds), "seeds")
    if not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"noise = {noise:g}", where="simulate mixture", mend="noise has to be finite and >= 0")
    curves = []
    jobs = [(ratio, int(seed)) for ratio in ratios for seed in seeds]
    for ratio, seed in track(jobs, len(jobs), "simulating mixtures"):
        datasets = draw_family(family, alpha, leaves, seed, cover)
        rates = path_entropies(Mixture.of(datasets, [ratio, 1.0, 0.0]), steps) / NATS_PER_BIT
        if not np.isfinite(rates).all():
            raise InputError(
                f"family {family!r} leaves the perturbation uncovered at l = 0: its rate is infinite there",
                where="simulate mixture",
                mend="give a cover > 0 (say 0.01), or another family",
            )
        if noise:
            stream = np.random.default_rng([seed, int(np.float64(ratio).view(np.uint64))])
            rates = rates + noise * stream.standard_normal(rates.shape)
            if (rates < 0).any():
                raise InputError(
                    f"noise = {noise:g} makes a rate negative", where="simulate mixture", mend="ask for less noise"
                )
        names = ("pretrain", "align", "perturb")
        curves.append(
            Curve.from_paths(
                f"mixture-{family}-k{ratio:.12g}-alpha{alpha:g}-leaves{leaves}-seed{seed}",
                dict(zip(names, (ratio, 1.0, float(steps[-1])), strict=True)),
                steps,
                dict(zip(names, rates, strict=True)),
                "bits/symbol",
                "symbols",
                {name: np.full(steps.size, noise) for name in names} if noise else None,
                dynamics="mixture",
                family=family,
                alpha=float(alpha),
                leaves=int(leaves),
                k=ratio,
                seed=seed,
                cover=float(cover),
            )
        )
    return Curve.concat(curves)


def _positive(value: float, name: str) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} = {value:g}", where="simulate mixture", mend=f"{name} has to be finite and > 0")
    return float(value)


def _check(values: Sequence[float], name: str) -> None:
    if not values:
        raise InputError(f"no {name}", where="simulate mixture", mend=f"give at least one of {name}")
    if len(set(values)) < len(values):
        raise InputError(f"{name} holds a value twice", where="simulate mixture", mend=f"give each of {name} once")


def _steps(perturbations: ArrayLike) -> NDArray[np.float64]:
    try:
        steps = np.asarray(perturbations, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("perturbations are not numbers", where="simulate mixture", mend="give volumes >= 0") from error
    rising = steps.ndim == 1 and steps.size > 1 and np.isfinite(steps).all() and bool((np.diff(steps) > 0).all())
    if not rising or steps[0] != 0:
        raise InputError(
            "perturbations do not rise from 0",
            where="simulate mixture",
            mend="give at least two finite volumes, sorted, the first one 0",
        )
    return steps
