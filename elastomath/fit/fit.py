"""The fit of elasticity constants to any curve: effective volumes (R16), kappa, beta, the bound (R5), the rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..checks import SHARE, an, checked, one_of
from ..curve import Curve, Run
from ..errors import InputError
from ..interval import Interval
from ..laws.finite import finite_law
from ..shown import Shown
from .constants import bases, labels, optimiser
from .course import Course, courses, in_one_unit
from .effective_volumes import CONSTANTS, estimate, interval
from .elastic_limit import elastic_limit
from .law_choice import BALANCE, Judged, compare, compare_over_bases, predictions, verdict
from .phase_rates import phase_rates
from .pooling import covariate_effects, pooled_kappa, run_covariates, scaling_exponent
from .quadrature import RULES
from .readings import ROUNDING, Readings
from .result import Bound, Goodness, RunFit, Scatter
from .rival_laws import ADAM, LAWS, LOGIT, LOGIT_IN_NATS, LOGIT_OF_SHARES, REBOUND, REBOUND_FALLING
from .summary import Joint, Summary, bounded, summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_CHANCE, CURVE_CHANCE = 0.01, 1e-4
"""So small a chance of the scatter of one run (divided by the runs of the curve), or of all of its runs together, tells
that rate_se is another error."""


PART = 32
"""Runs whose laws are fitted side by side, by one process."""


@checked(run=an(Run), level=SHARE, quadrature=one_of(*RULES))
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
    intervals are then too wide; `Scatter` sees it where it is much. Without rate_se one sigma for all readings is
    estimated from the residual.

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


def _fit(readings: Readings, run: Run, level: float, chance: float = RUN_CHANCE) -> RunFit:
    balance = readings.balance()
    best = estimate(balance)
    units = {"pretrain": readings.unit, "align": readings.unit, "kappa": 1.0}
    centres = {"pretrain": float(best.volumes[0]), "align": float(best.volumes[1]), "kappa": best.kappa}
    still = not readings.changes.any()
    fits = {}
    for name in CONSTANTS:
        low, high = (None, None) if still else interval(balance, best, name, level, readings.known_noise)
        centre = None if still else _finite(centres[name], units[name])
        fits[name] = Interval(centre, _finite(low, units[name]), _finite(high, units[name]), level)
    freedom = balance.equations - 2
    p_value = None
    if freedom and readings.known_noise:
        from scipy.special import chdtrc

        p_value = float(chdtrc(freedom, best.deviance))
    scatter = Scatter(*readings.scatter())
    fitted = RunFit(
        readings.run,
        fits["pretrain"],
        fits["align"],
        fits["kappa"],
        float(readings.volumes[0] / readings.volumes[1]),
        _bound(readings, level),
        Goodness(best.deviance, freedom, p_value),
        tuple(_notes(readings, run, still, p_value, fits["kappa"], str(scatter) if scatter.too_small(chance) else "")),
        elastic_limit(readings, level),
        scatter,
    )
    return fitted.with_mild_errors() if scatter.too_small(chance) else fitted


def _finite(value: float | None, unit: float) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value * unit)


def _notes(readings: Readings, run: Run, still: bool, p_value: float | None, kappa: Interval, mild: str) -> list[str]:
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
    if mild:
        notes.append(mild)
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
    visible = upper > 2.0 * np.sqrt(error_middle + error_upper)
    worst = float((outside[visible] / upper[visible]).max()) if visible.any() else None
    with np.errstate(divide="ignore", invalid="ignore"):
        z_values = np.maximum(-middle / np.sqrt(error_middle), (middle - upper) / np.sqrt(error_middle + error_upper))
    z = float(np.nan_to_num(z_values, nan=0.0).max())  # 0/0: a rate that is 0 throughout
    if not readings.known_noise:
        return Bound(bool((outside <= 4.0 * np.sqrt(error_middle + error_upper)).all()), worst, None)
    from scipy.stats import norm

    return Bound(z <= float(norm.isf((1.0 - level) / (2 * steps.size))), worst, z)


class Fitted(Shown, dict[str, Any]):
    """What a fit says as plain JSON, and its `Summary`, by which a notebook shows it."""

    def __init__(self, answer: Mapping[str, Any], summary: Summary) -> None:
        super().__init__(answer)
        self.summary = summary

    def __reduce__(self) -> tuple[Any, ...]:
        return Fitted, (dict(self), self.summary)

    def sentences(self) -> list[str]:
        """The conclusion."""
        return self.summary.sentences()

    def table(self) -> list[dict[str, Any]]:
        """The constants of the summary."""
        return self.summary.table()

    def plot(self) -> Figure:
        """The courses that were fitted."""
        return self.summary.plot()


@checked(curve=an(Curve), level=SHARE, quadrature=one_of(*RULES))
def fit(
    curve: Curve,
    level: float = 0.95,
    quadrature: str = "spline",
    executor: Executor | None = None,
    *,
    by: str | None = None,
    laws: Sequence[str] | None = None,
) -> Fitted:
    """Every run's constants, what they are together, and the rival laws by held-out error, as plain JSON.

    ``runs: [{run, K_pretrain, K_align, kappa, nominal_kappa, bound: {holds, worst}, elastic_limit, scatter, notes}],
    pooled: {kappa, beta, covariates, forgetting: {align, perturb}},
    models: [{name, parameters, heldout_error, heldout_runs, p, chosen}], models_verdict: a sentence,
    warnings: [where rate_se is no error within the run (`Scatter`)]``; a constant is `Interval.as_dict`, beta is null
    for fewer than two distinct nominal kappa, covariates are those of `covariate_effects`, forgetting holds the rates of
    `phase_rates` (null where the data do not tell). The models are described in `law_choice.compare`; they are compared on
    align rates, and only where all runs have one rate_unit (elsewhere their errors are null).

    by: a covariate, or ``run``: adds ``groups: [{value, runs, kappa, beta, models}]``, the same for the runs of each value.
    laws: names of the models to compare, all by default.
    executor: any concurrent.futures executor, for curves of many runs.
    Beside these, the keys of `Summary.as_dict`: conclusion, constants, pooled_constants, answers, logit, joint, laws, missing.
    What is returned is that dictionary; its ``summary`` is the `Summary` as an object, which a notebook shows in its place.
    Raises InputError as `fit_run`, and for a covariate or a law that is not there.
    """
    runs = list(curve)
    known = [*(law.name for law in (*LAWS, *ADAM)), BALANCE]
    for name in laws or ():
        if name not in known:
            raise InputError(f"unknown law {name!r}", where="fit", mend=f"choose from {', '.join(known)}")
    covariates = run_covariates(curve) | {"run": list(curve.runs)}
    if by is not None and by not in covariates:
        there = ", ".join(covariates)
        raise InputError(f"no covariate {by!r} with one value a run", where="fit", mend=f"choose from {there}")
    work = partial(_some, level=level, quadrature=quadrature, chance=RUN_CHANCE / len(runs))
    parts = [runs[first : first + PART] for first in range(0, len(runs), PART)]
    results = list(chain.from_iterable(map(work, parts) if executor is None else executor.map(work, parts)))
    whole_scatter = _scatter([fitted for fitted, _, _ in results])
    if whole_scatter.too_small(CURVE_CHANCE):  # a run of few readings does not show it alone
        results = [(fitted.with_mild_errors(), readings, course) for fitted, readings, course in results]
    effects = covariate_effects([fitted for fitted, _, _ in results], run_covariates(curve), level)
    whole = _together(results, level, laws)
    one_unit = len({(run.rate_unit, run.volume_unit) for run in runs}) == 1
    phases = phase_rates([readings for _, readings, _ in results], level) if one_unit else {}
    rates = {name: None if rate is None else rate.as_dict() for name, rate in phases.items()}
    answer: dict[str, Any] = {
        "runs": [fitted.as_dict() for fitted, _, _ in results],
        "pooled": {"kappa": whole["kappa"], "beta": whole["beta"], "covariates": effects, "forgetting": rates},
        "models": whole["models"],
        "models_verdict": whole["models_verdict"],
        "warnings": _warnings([fitted for fitted, _, _ in results], whole_scatter),
    }
    if by is not None:
        answer["groups"] = []
        for value in dict.fromkeys(map(str, covariates[by])):
            mine = [result for result, own in zip(results, covariates[by], strict=True) if str(own) == value]
            names = [fitted.run for fitted, _, _ in mine]
            answer["groups"].append({"value": value, "runs": names} | _together(mine, level, laws))
    near = [fitted for fitted, _, _ in results if fitted.near_joint]
    # a kappa that is open, or that its interval leaves anywhere, is no end of a range
    kappas = [k.estimate for k in (one.kappa for one in near) if k.estimate is not None and k.closed and bounded(k)]
    differ = len({fitted.nominal_kappa for fitted in near}) > 1
    common = Interval(None, None, None, level) if differ else pooled_kappa(near, level)
    apart = (min(kappas), max(kappas)) if differ and kappas else None
    joint = Joint(tuple(fitted.run for fitted in near), len(runs), common, apart)
    every = in_one_unit(list(courses(curve)))
    summary = summarise(
        every, level, joint=joint, laws=_contrast_laws([readings for _, readings, _ in results], every, laws)
    )
    return Fitted(answer | summary.as_dict(), summary)


def _contrast_laws(readings: Sequence[Readings], runs: Sequence[Course], laws: Sequence[str] | None) -> list[Judged]:
    """The rival laws on the contrast, where the logit law is at home: rows of `compare_over_bases`."""
    contrasts = [Readings.of_course(course) for course in runs]
    return _compared(
        [replace(contrast, volumes=r.volumes) for contrast, r in zip(contrasts, readings, strict=True)], runs, laws
    )


def course_laws(runs: Sequence[Course], laws: Sequence[str] | None = None) -> list[Judged]:
    """The rival laws on courses alone, of contrasts or of scores: rows of `compare_over_bases`; runs of two readings are left aside."""
    whole = [course for course in runs if course.volumes.size > 2]
    return _compared([Readings.of_course(course) for course in whole], whole, laws)


def _compared(readings: Sequence[Readings], runs: Sequence[Course], laws: Sequence[str] | None) -> list[Judged]:
    """The laws over runs of one base, in the form of the measure, which falls. None where the measures or units differ."""
    if len({(course.measure, course.unit, course.volume_unit) for course in runs}) != 1:
        return []
    own = LOGIT_IN_NATS if runs[0].unit == "nats/response" else LOGIT_OF_SHARES if runs[0].unit == "score" else LOGIT
    falling = {LOGIT.name: own, REBOUND.name: REBOUND_FALLING}
    named = [falling.get(law.name, law) for law in LAWS if laws is None or law.name in laws]
    if own is LOGIT_IN_NATS and all("adam" in (optimiser(course) or "adam") for course in runs):
        named += [law for law in ADAM if laws is None or law.name in laws]
    return compare_over_bases(readings, bases(runs), named, groups=labels(runs))


def _scatter(fits: Sequence[RunFit]) -> Scatter:
    return Scatter(sum(fitted.scatter.chi2 for fitted in fits), sum(fitted.scatter.dof for fitted in fits))


def _warnings(fits: Sequence[RunFit], whole: Scatter) -> list[str]:
    """One line where rate_se is another error than that of the readings, in the whole curve or in some of its runs."""
    if whole.too_small(CURVE_CHANCE):
        return [str(whole)]
    mild = [fitted for fitted in fits if fitted.scatter.too_small(RUN_CHANCE / len(fits))]
    return [f"{', '.join(fitted.run for fitted in mild[:8])}: {_scatter(mild)}"] if mild else []


_Result = tuple[RunFit, Readings, list[Array | None]]


def _some(runs: Sequence[Run], level: float, quadrature: str, chance: float) -> list[_Result]:
    """A part of the runs, whose laws are fitted side by side."""
    readings = [_readings(run, level, quadrature) for run in runs]
    fits = [_fit(r, run, level, chance) for r, run in zip(readings, runs, strict=True)]
    return list(zip(fits, readings, predictions(readings), strict=True))


def _together(results: Sequence[_Result], level: float, laws: Sequence[str] | None) -> dict[str, Any]:
    """kappa, beta and the models of several runs."""
    fits, beta = [fitted for fitted, _, _ in results], None
    exponent = scaling_exponent(fits, level)
    if exponent is not None:
        beta = exponent.as_dict()
    models = compare([readings for _, readings, _ in results], [course for _, _, course in results], laws)
    kappa = pooled_kappa(fits, level).as_dict()
    return {"kappa": kappa, "beta": beta, "models": models, "models_verdict": verdict(models)}
