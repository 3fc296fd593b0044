"""The fit of elasticity constants to any curve: effective volumes (R16), kappa, beta, the bound (R5), the rivals."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastomath import Curve, InputError, finite_law
from elastomath.curve import Run

from .effective_volumes import CONSTANTS, estimate, interval
from .readings import ROUNDING, Readings
from .rivals import compare, predictions

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constant:
    """A measured constant with its interval: None for an end, or an estimate, that the data do not bound.

    level: the nominal coverage of [low, high].
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float

    @property
    def closed(self) -> bool:
        """Whether the estimate and both ends are there."""
        return None not in (self.estimate, self.low, self.high)

    def as_dict(self) -> dict[str, float | None]:
        """``{estimate, low, high, level}``."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True, slots=True)
class Bound:
    """R5 on the readings: ``0 <= V_p Dg_p + V_a Dg_a <= l (g_t(0) - g_t(l))`` with the nominal volumes V.

    holds   whether no reading breaks it by more than the noise: simultaneously at the level of the fit over both sides
            and every l > 0 (Bonferroni) with rate_se, by four times the sigma of `Readings` without
    worst   the largest of -ratio and ratio - 1, ratio = middle / upper side: how far outside the bound, in units of the
            bound; <= 0 where every reading is inside. Over the l whose upper side is above twice the standard error
            of its distance to the middle, since a ratio to noise says nothing; None where there is no such l
    z       the largest violation of either side in its own standard errors, over every l > 0; None without rate_se
    """

    holds: bool
    worst: float | None
    z: float | None


@dataclass(frozen=True, slots=True)
class Goodness:
    """How well R16 describes the run: Q_min, J - 2, and the chance of a larger Q_min under R16.

    p is None where J = 2, and where rate_se is not given, since the noise is then estimated from Q_min itself.
    """

    chi2: float
    dof: int
    p: float | None


@dataclass(frozen=True, slots=True)
class RunFit:
    """What one run measures. K_pretrain and K_align are in volume_unit, to be compared with the nominal volumes."""

    run: str
    K_pretrain: Constant
    K_align: Constant
    kappa: Constant
    nominal_kappa: float
    bound: Bound
    goodness: Goodness
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """``{run, K_pretrain, K_align, kappa, nominal_kappa, bound: {holds, worst}}``."""
        return {
            "run": self.run,
            "K_pretrain": self.K_pretrain.as_dict(),
            "K_align": self.K_align.as_dict(),
            "kappa": self.kappa.as_dict(),
            "nominal_kappa": self.nominal_kappa,
            "bound": {"holds": self.bound.holds, "worst": self.bound.worst},
        }


def fit_run(run: Run, level: float = 0.95, quadrature: str = "spline") -> RunFit:
    """Effective volumes of one run (R16): ``K_p Dgamma_p(L) + K_a Dgamma_a(L) = int_0^L l (-dgamma_t)`` at every L.

    By parts the right side is ``int_0^L gamma_t dl - L gamma_t(L)``, linear in the readings (`work_operator`). So the
    true values obey J linear constraints for given K, and the likelihood of Gaussian readings, maximised over the true
    values, is ``exp(-Q(K)/2)`` (`Balance`): errors on every reading, the shared baseline and the quadrature count.
    Least squares, which takes Dgamma_p for exact, is badly attenuated: K_p = 0.2 in place of 10 (theory R16).

    Estimate: argmin Q over K_p, K_a >= 0. Interval: values that a conditional likelihood-ratio test does not reject
    (`interval`); it was chosen before a parametric bootstrap, which agrees with it where the constants are well
    measured but resamples from the estimate, so that it can give no open end where they are not. Readings are taken
    as independent: standard errors over the same documents at every l overstate the error of a difference, and the
    intervals are then too wide. Without rate_se one sigma for all readings is estimated from the residual.

    kappa is K_p/K_a, profiled along its own direction; K are in volume_unit.
    Raises InputError for a missing component, fewer than two positive perturbations, or a bad level or quadrature.

    >>> from elastomath import Mixture, path_entropies
    >>> m, steps = Mixture.of([[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]], [10, 1, 0]), np.linspace(0, 3, 10)
    >>> rates = dict(zip(["pretrain", "align", "perturb"], path_entropies(m, steps)))
    >>> volumes = {"pretrain": 10, "align": 1, "perturb": 3}
    >>> curve = Curve.from_paths("demo", volumes, steps, rates, "nats/symbol", "symbols")
    >>> fitted = fit_run(curve.run("demo"))
    >>> round(fitted.K_pretrain.estimate, 3), round(fitted.K_align.estimate, 3), round(fitted.kappa.estimate, 3)
    (10.0, 1.0, 10.0)
    """
    return _fit(_readings(run, level, quadrature), run, level)


def _readings(run: Run, level: float, quadrature: str) -> Readings:
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level:g}", where="fit", mend="a level lies between 0 and 1, such as 0.95")
    return Readings.of(run, quadrature)


def _fit(readings: Readings, run: Run, level: float) -> RunFit:
    balance = readings.balance()
    best = estimate(balance)
    units = {"pretrain": readings.unit, "align": readings.unit, "kappa": 1.0}
    centres = {"pretrain": float(best.volumes[0]), "align": float(best.volumes[1]), "kappa": best.kappa}
    still = not readings.changes.any()
    found = {}
    for name in CONSTANTS:
        low, high = (None, None) if still else interval(balance, best, name, level, readings.known_noise)
        centre = None if still else _finite(centres[name], units[name])
        found[name] = Constant(centre, _finite(low, units[name]), _finite(high, units[name]), level)
    freedom = balance.equations - 2
    p_value = None
    if freedom and readings.known_noise:
        from scipy.stats import chi2

        p_value = float(chi2.sf(best.deviance, freedom))
    return RunFit(
        readings.run,
        found["pretrain"],
        found["align"],
        found["kappa"],
        float(readings.volumes[0] / readings.volumes[1]),
        _bound(readings, level),
        Goodness(best.deviance, freedom, p_value),
        tuple(_notes(readings, run, still, p_value, found["kappa"])),
    )


def _finite(value: float | None, unit: float) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value * unit)


def _notes(readings: Readings, run: Run, still: bool, p_value: float | None, kappa: Constant) -> list[str]:
    notes = []
    if readings.others:
        notes.append(f"components left aside: {', '.join(readings.others)}")
    if still:
        notes.append("no rate changes: the run says nothing about its constants")
    if not readings.known_noise:
        partly = " (some readings have one, which is not used)" if not np.isnan(run.rate_se).all() else ""
        if readings.perturbations.size == 3:
            notes.append(f"no rate_se and two perturbations: the intervals are open{partly}")
        else:
            size = f"{readings.rate_se[0, 0]:.3g} {run.rate_unit}"
            notes.append(f"no rate_se: one standard error for all readings, {size}, from the residual{partly}")
    if p_value is not None and p_value < 0.01:
        notes.append(f"the readings do not follow R16 within their standard errors (p = {p_value:.2g})")
    if not still and not kappa.closed:
        notes.append("the readings do not bound kappa on every side")
    if readings.rule != "spline":
        notes.append(f"quadrature {readings.rule!r} is a control: its constants are biased")
    return notes


def _bound(readings: Readings, level: float) -> Bound:
    weights = readings.volumes[:2]
    steps = readings.perturbations * readings.unit
    law = finite_law(steps, weights, readings.rates)
    middle, upper, steps = law.residual[1:], law.upper[1:], steps[1:]
    variance = readings.rate_se[:, 1:] ** 2 + readings.rate_se[:, :1] ** 2 + (ROUNDING * readings.rates[:, 1:]) ** 2
    error_middle, error_upper = weights**2 @ variance[:2], steps**2 * variance[2]
    outside = np.maximum(-middle, middle - upper)
    seen = upper > 2.0 * np.sqrt(error_middle + error_upper)
    worst = float((outside[seen] / upper[seen]).max()) if seen.any() else None
    with np.errstate(divide="ignore", invalid="ignore"):
        z_values = np.maximum(-middle / np.sqrt(error_middle), (middle - upper) / np.sqrt(error_middle + error_upper))
    z = float(np.nan_to_num(z_values, nan=0.0).max())  # 0/0: a rate that is 0 throughout
    if not readings.known_noise:
        return Bound(bool((outside <= 4.0 * np.sqrt(error_middle + error_upper)).all()), worst, None)
    from scipy.stats import norm

    return Bound(z <= float(norm.isf((1.0 - level) / (2 * steps.size))), worst, z)


def pooled_kappa(fits: Sequence[RunFit], level: float = 0.95) -> Constant:
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
    found = _regress(np.ones((len(usable), 1)), usable, level) if usable else None
    if found is None:
        return Constant(None, None, None, level)
    low, centre, high = (float(np.exp(found[0][0] + sign * found[1][0])) for sign in (-1, 0, 1))
    return Constant(centre, low, high, level)


def scaling_exponent(fits: Sequence[RunFit], level: float = 0.95) -> Constant | None:
    """beta in ``kappa ~ k^beta``: the slope of ln kappa on ln k over runs, k the nominal kappa, with a random effect.

    Joint compression has beta = 1; forgetting (R19) beta = 0 in |D_p|. Weighted as in `pooled_kappa`, t law of m - 2
    degrees of freedom; two runs leave no room to see a scatter between runs, and the interval then holds the errors
    of reading only. None for fewer than two distinct k among the runs that bound kappa.
    """
    usable = _usable(fits)
    if len({fitted.nominal_kappa for fitted in usable}) < 2:
        return None
    nominal = np.log([fitted.nominal_kappa for fitted in usable])
    found = _regress(np.stack([np.ones_like(nominal), nominal - nominal.mean()], axis=1), usable, level)
    if found is None:
        return None
    middle, half = float(found[0][1]), float(found[1][1])
    return Constant(middle, middle - half, middle + half, level)


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


def fit(
    curve: Curve,
    level: float = 0.95,
    quadrature: str = "spline",
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Every run's constants, their pooled kappa and beta, and the rival laws by held-out error, as plain JSON.

    ``runs: [{run, K_pretrain, K_align, kappa, nominal_kappa, bound: {holds, worst}}], pooled: {kappa, beta},
    models: [{name, parameters, heldout_error, heldout_runs, p, chosen}]``; a constant is `Constant.as_dict`, beta is null
    for fewer than two distinct nominal kappa. The models are described in `rivals.compare`; they are compared on align
    rates, and only where all runs have one rate_unit (elsewhere their errors are null).

    executor: any concurrent.futures executor, for curves of many runs. Raises InputError as `fit_run`.
    """
    runs = list(curve)
    work = partial(_one, level=level, quadrature=quadrature)
    results = list(map(work, runs) if executor is None else executor.map(work, runs, chunksize=8))
    fits = [fitted for fitted, _, _ in results]
    beta = scaling_exponent(fits, level)
    models = compare([readings for _, readings, _ in results], [told for _, _, told in results])
    if len({run.rate_unit for run in runs}) > 1:
        models = [model | {"heldout_error": None, "heldout_runs": None, "p": None, "chosen": False} for model in models]
    return {
        "runs": [fitted.as_dict() for fitted in fits],
        "pooled": {
            "kappa": pooled_kappa(fits, level).as_dict(),
            "beta": None if beta is None else beta.as_dict(),
        },
        "models": models,
    }


def _one(run: Run, level: float, quadrature: str) -> tuple[RunFit, Readings, list[Array | None]]:
    readings = _readings(run, level, quadrature)
    return _fit(readings, run, level), readings, predictions(readings)
