"""Coverage of the intervals of R16 on simulated curves with known constants: each holds its nominal share, or more.

Two-sided where the constants are well measured; at least the level where the noise is as large as the changes, and
there the usual chi-square threshold must be seen to fail, or the test could not tell.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, chi2

from elastomath.curve import Run
from elastomath.fit.effective_volumes import CONSTANTS, critical_rise, estimate
from elastomath.fit.fit import fit_run
from elastomath.fit.pooling import pooled_kappa
from elastomath.fit.readings import Readings
from sim import simulate_mixture

DRAWS = 200
LEVEL = 0.95


def fewest(draws: int = DRAWS) -> int:
    """Fewer covered intervals than this has probability below 0.001 for each check when coverage is nominal."""
    return int(binom.ppf(0.001, draws, LEVEL))


def noisy_runs(k: float, points: int, noise: float, draws: int = DRAWS, told: bool = True) -> list[Run]:
    (run,) = simulate_mixture([k], points=points, leaves=512, alpha=1.5)
    rng = np.random.default_rng([points, int(k)])
    errors = np.full_like(run.rates, noise if told else np.nan)
    size = run.rates.shape
    return [replace(run, rates=run.rates + noise * rng.standard_normal(size), rate_se=errors) for _ in range(draws)]


def covered(runs: list[Run], truths: dict[str, float]) -> dict[str, int]:
    counts = dict.fromkeys(CONSTANTS, 0)
    for run in runs:
        fitted = fit_run(run, LEVEL)
        for name, constant in zip(CONSTANTS, (fitted.K_pretrain, fitted.K_align, fitted.kappa), strict=True):
            low = -np.inf if constant.low is None else constant.low
            high = np.inf if constant.high is None else constant.high
            counts[name] += low <= truths[name] <= high
    return counts


@pytest.mark.parametrize("draws", [100, pytest.param(DRAWS, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize(("points", "noise", "told"), [(6, 3e-4, True), (6, 3e-4, False)])
def test_well_measured_constants(points, noise, told, draws):
    counts = covered(noisy_runs(3.0, points, noise, draws, told), {"pretrain": 3.0, "align": 1.0, "kappa": 3.0})
    for name in CONSTANTS:
        assert counts[name] >= fewest(draws), counts
    # nor wider than they need to be: 100 draws are all covered by chance once in 170 times
    assert min(counts.values()) <= binom.ppf(0.99 if draws < DRAWS else 0.999, draws, LEVEL), counts


def rises_at_truth(runs: list[Run], truths: dict[str, float]) -> tuple[dict[str, int], dict[str, int]]:
    """How often the truth lies under the conditional and under the usual threshold; quicker than finding the ends."""
    conditional, usual = dict.fromkeys(CONSTANTS, 0), dict.fromkeys(CONSTANTS, 0)
    for run in runs:
        readings = Readings.of(run)
        balance = readings.balance()
        lowest = estimate(balance).deviance
        for name in CONSTANTS:
            truth = truths[name] / (1.0 if name == "kappa" else readings.unit)
            grid = np.concatenate([[0.0], np.geomspace(*balance.span(name), 30), [truth]])
            values = balance.along(name, grid)[0]
            highest = max(float(values.max()), -np.inf if name == "kappa" else balance.at_infinity(name))
            rise = values[-1] - lowest
            conditional[name] += rise <= critical_rise(highest, balance.equations, LEVEL)
            usual[name] += rise <= chi2.ppf(LEVEL, 1)
    return conditional, usual


@pytest.mark.parametrize(
    ("k", "points", "noise"),
    [pytest.param(3.0, 11, 0.05, marks=pytest.mark.acceptance), (10.0, 11, 0.03), (10.0, 5, 0.01)],
)
def test_noise_as_large_as_the_changes(k, points, noise):
    runs = noisy_runs(k, points, noise)
    conditional, usual = rises_at_truth(runs, {"pretrain": k, "align": 1.0, "kappa": k})
    for name in CONSTANTS:
        assert conditional[name] >= fewest(), (conditional, usual)
    if points == 11:
        assert usual["kappa"] < fewest(), usual


def test_the_ends_say_the_same_as_the_threshold():
    """The interval that is reported holds the truth just where the test at the truth does not reject it."""
    runs = noisy_runs(10.0, 7, 2e-3, draws=30)
    for run in runs:
        inside, _ = rises_at_truth([run], {"pretrain": 10.0, "align": 1.0, "kappa": 10.0})
        found = covered([run], {"pretrain": 10.0, "align": 1.0, "kappa": 10.0})
        assert all(found[name] >= inside[name] for name in CONSTANTS)  # outermost ends: never less
        assert sum(found.values()) <= sum(inside.values()) + 1


def test_pooled_kappa():
    runs = noisy_runs(5.0, 6, 3e-4, draws=120)
    fits = [fit_run(run, LEVEL) for run in runs]
    groups = [pooled_kappa(fits[start : start + 4], LEVEL) for start in range(0, 120, 4)]
    hits = sum(group.low <= 5.0 <= group.high for group in groups)
    assert hits >= binom.ppf(0.001, len(groups), LEVEL)
    single = np.mean([np.log(fitted.kappa.high / fitted.kappa.low) for fitted in fits])
    assert np.mean([np.log(group.high / group.low) for group in groups]) < single
