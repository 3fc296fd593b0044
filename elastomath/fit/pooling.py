"""Constants of many runs together: the common kappa, its exponent in k, and how it moves with other covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import SHARE, an, checked, listed
from ..curve import COLUMNS, READ, Curve
from ..interval import Interval
from .result import RunFit

WIDE = 1e3
"""A constant known to no better than this factor is not told."""


@checked(fits=listed(an(RunFit)), level=SHARE)
def pooled_kappa(fits: Sequence[RunFit], level: float = 0.95) -> Interval:
    """The common kappa of several runs: mean of ln kappa with a random effect (DerSimonian and Laird 1986).

    Weights ``1/(s_i^2 + tau^2)``: tau^2 is the scatter between runs beyond the errors, by moments; s_i comes from the
    half of the interval of ln kappa_i that faces the mean. (With the whole width a run that came out low, whose interval
    is narrow, outweighs one that came out high: 200 runs of k = 5 and 20 then gave beta = 0.969 +- 0.017.) A run whose
    half is open has no weight, nor has one without an estimate. Interval: t law of m - 1 degrees of freedom and the
    scatter seen, never below the one expected (Hartung and Knapp). One run gives its own constant, none gives Nones. For
    runs of different nominal kappa it is a kind of geometric mean.
    """
    usable = _usable(fits)
    if len(usable) == 1:
        return usable[0].kappa
    regression = _regress(np.ones((len(usable), 1)), usable, level) if usable else None
    if regression is None:
        return Interval(None, None, None, level)
    low, centre, high = (float(np.exp(regression[0][0] + sign * regression[1][0])) for sign in (-1, 0, 1))
    return Interval(centre, low, high, level)


@checked(fits=listed(an(RunFit)), level=SHARE)
def scaling_exponent(fits: Sequence[RunFit], level: float = 0.95) -> Interval | None:
    """beta in ``kappa ~ k^beta``: the slope of ln kappa on ln k over runs, k the nominal kappa, with a random effect.

    Joint compression has beta = 1; forgetting (R19) beta = 0 in |D_p|. Weighted as in `pooled_kappa`, t law of m - 2
    degrees of freedom; two runs leave no room to see a scatter between runs, and the interval then holds the errors
    of reading only. None for fewer than two distinct k among the runs that bound kappa.
    """
    usable = _usable(fits)
    if len({fitted.nominal_kappa for fitted in usable}) < 2:
        return None
    nominal = np.log([fitted.nominal_kappa for fitted in usable])
    regression = _regress(np.stack([np.ones_like(nominal), nominal - nominal.mean()], axis=1), usable, level)
    if regression is None:
        return None
    middle, half = float(regression[0][1]), float(regression[1][1])
    return Interval(middle, middle - half, middle + half, level)


def _usable(fits: Sequence[RunFit]) -> list[RunFit]:
    return [f for f in fits if f.kappa.estimate and not (f.kappa.low is None and f.kappa.high is None)]


def _regress(design: Array, fits: Sequence[RunFit], level: float) -> tuple[Array, Array] | None:
    """Random-effects regression of ln kappa: coefficients (d,) and the half widths of their intervals (d,).

    None where the runs that have a weight do not determine the coefficients.
    """
    from scipy.stats import norm, t

    normal = float(norm.isf((1 - level) / 2))
    values = np.log([fitted.kappa.estimate or np.nan for fitted in fits])
    lows = np.log([fitted.kappa.low or 1.0 for fitted in fits])
    highs = np.log([fitted.kappa.high or np.inf for fitted in fits])
    lows[[fitted.kappa.low is None for fitted in fits]] = -np.inf
    up, down = (np.maximum(width, 1e-15) / normal for width in (highs - values, values - lows))
    errors = np.minimum(up, down)
    expected = values
    for _ in range(100):
        weights = errors**-2.0
        if np.linalg.matrix_rank(design[weights > 0]) < design.shape[1]:
            return None
        freedom = int((weights > 0).sum()) - design.shape[1]
        middle, residual, covariance = _weighted(design, values, weights)
        spare = float(weights.sum() - np.einsum("i,ij,jk,ik->", weights**2, design, covariance, design))
        excess = float((weights * residual**2).sum()) - freedom
        between = max(0.0, excess / spare) if freedom > 0 and spare > 0 else 0.0
        weights = 1.0 / (errors**2 + between)
        middle, residual, covariance = _weighted(design, values, weights)
        last, expected = expected, design @ middle
        errors = np.where(expected > values, up, down)
        if np.abs(expected - last).max() < 1e-12:
            break
    if not freedom:
        return middle, normal * np.sqrt(np.diag(covariance))
    scatter = max(1.0, float((weights * residual**2).sum()) / freedom)
    return middle, float(t.isf((1 - level) / 2, freedom)) * np.sqrt(scatter * np.diag(covariance))


def _weighted(design: Array, values: Array, weights: Array) -> tuple[Array, Array, Array]:
    covariance = np.linalg.inv((design.T * weights) @ design)
    middle = covariance @ (design.T * weights) @ values
    return np.asarray(middle), np.asarray(values - design @ middle), np.asarray(covariance)


@checked(curve=an(Curve))
def run_covariates(curve: Curve) -> dict[str, list[Any]]:
    """The curve's further columns that have one value a run, by name: a list in the order of its runs."""
    frame, covariates = curve.frame, {}
    for column in frame.columns:
        if column in COLUMNS + READ:
            continue
        values = frame.groupby("run", sort=False)[column]
        if bool((values.nunique(dropna=False) == 1).all()):
            first = values.first()
            covariates[str(column)] = [first[run] for run in curve.runs]
    return covariates


@checked(fits=listed(an(RunFit)), level=SHARE)
def covariate_effects(
    fits: Sequence[RunFit], covariates: Mapping[str, Sequence[Any]], level: float = 0.95
) -> list[dict[str, Any]]:
    """How kappa moves with each covariate at equal nominal k: ``ln kappa = c + beta ln k + effect``, one covariate a time.

    A covariate whose values are all numbers > 0 gives an exponent, ``kappa ~ x^exponent``; any other gives, for each of
    its values but the first, the factor on kappa against the first. Random effect and intervals as in `scaling_exponent`.
    Covariates that do not vary, or that the runs cannot tell from k (or from too few runs), are left out, and so is an effect whose
    interval for what it does to kappa, over the range of the covariate, is wider than a factor `WIDE`.
    Returns ``[{name, value, exponent | factor: constant}]``; value is None for an exponent.
    """
    usable = set(map(id, _usable(fits)))
    rows = [index for index, fitted in enumerate(fits) if id(fitted) in usable]
    kept = [fits[index] for index in rows]
    if len(kept) < 3:
        return []
    nominal = np.log([fitted.nominal_kappa for fitted in kept])
    base = [np.ones(len(kept))] + ([nominal - nominal.mean()] if np.ptp(nominal) > 0 else [])
    effects: list[dict[str, Any]] = []
    for name, column in covariates.items():
        values = [column[index] for index in rows]
        names: Sequence[str | None]
        numeric = all(isinstance(v, int | float | np.number) and not isinstance(v, bool) and v > 0 for v in values)
        if numeric:
            x = np.log(np.array(values, dtype=np.float64))
            columns, names = [x - x.mean()], [None]
        else:
            names = [*dict.fromkeys(str(v) for v in values)][1:]
            columns = [np.array([str(v) == value for v in values], dtype=np.float64) for value in names]
        if not columns or not all(np.ptp(c) > 0 for c in columns):
            continue
        design = np.stack([*base, *columns], axis=1)
        if np.linalg.matrix_rank(design) < design.shape[1] or len(kept) < design.shape[1]:
            continue
        answer = _regress(design, kept, level)
        if answer is None:
            continue
        for place, value in enumerate(names, start=len(base)):
            middle, half = float(answer[0][place]), float(answer[1][place])
            if 2 * half * float(np.ptp(columns[place - len(base)])) > np.log(WIDE):
                continue
            kind, scale = ("exponent", float) if value is None else ("factor", np.exp)
            constant = Interval(float(scale(middle)), float(scale(middle - half)), float(scale(middle + half)), level)
            effects.append({"name": name, "value": value, kind: constant.as_dict()})
    return effects
