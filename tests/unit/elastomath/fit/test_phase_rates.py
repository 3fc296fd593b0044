"""The rate of each phase under forgetting: known rates come back, with intervals that cover them."""

from dataclasses import replace

import numpy as np
import pytest

from elastomath import Curve
from elastomath.fit.fit import fit
from elastomath.fit.phase_rates import phase_rates
from elastomath.fit.readings import Readings

ALIGN, PERTURB = 4e-3, 2e-2


def curve(seed, noise=2e-3, volumes=(50, 100, 200, 400, 800), told=True):
    """A score that relaxes from 3.0 towards 2.0 in alignment and towards 3.4 in the perturbation (R19)."""
    rng, curves = np.random.default_rng(seed), []
    for index, align in enumerate(volumes):
        steps = 100 * np.linspace(0, 1, 9) ** 1.5
        aligned = 2.0 + 1.0 * np.exp(-ALIGN * align)
        rates = {
            "pretrain": np.full(9, 3.0),
            "align": 3.4 + (aligned - 3.4) * np.exp(-PERTURB * steps),
            "perturb": 4.0 - 1e-3 * steps,
        }
        rates = {name: values + noise * rng.standard_normal(9) for name, values in rates.items()}
        errors = {name: np.full(9, noise) for name in rates} if told else None
        sizes = {"pretrain": 5000, "align": align, "perturb": 100}
        curves.append(
            Curve.from_paths(f"run {index}", sizes, steps, rates, "bits/token", "examples", rate_se=errors, n=align)
        )
    return Curve.concat(curves)


def readings(*args, **options):
    return [Readings.of(run) for run in curve(*args, **options)]


def test_both_rates_come_back_without_noise():
    found = phase_rates(readings(0, noise=1e-9))
    assert found["align"].estimate == pytest.approx(ALIGN, rel=1e-4)
    assert found["perturb"].estimate == pytest.approx(PERTURB, rel=1e-4)


@pytest.mark.parametrize("draws", [20, pytest.param(60, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("told", [True, False])
def test_intervals_cover_both_rates(told, draws):
    hits = {"align": 0, "perturb": 0}
    for seed in range(draws):
        for name, rate in phase_rates(readings(seed, told=told)).items():
            truth = {"align": ALIGN, "perturb": PERTURB}[name]
            hits[name] += rate.low <= truth <= rate.high
    assert min(hits.values()) >= 0.85 * draws, hits


def test_what_the_runs_do_not_tell_is_null():
    found = phase_rates(readings(0, volumes=(100, 100, 200, 200)))
    assert found["align"] is None  # two alignment volumes cannot give three numbers
    assert found["perturb"] is not None
    open_ended = phase_rates(readings(0, noise=0.7))["align"]
    assert open_ended is None or open_ended.low is None


def test_fit_shows_the_rates():
    result = fit(curve(0))
    shown = result["pooled"]["forgetting"]
    assert shown["align"]["low"] < ALIGN < shown["align"]["high"]
    assert shown["perturb"]["low"] < PERTURB < shown["perturb"]["high"]
    assert next(model["name"] for model in result["models"] if model["chosen"]) == "forgetting"


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("volume", [1e-290, 1.0, 1e290])
def test_at_the_ends_of_the_doubles_nothing_overflows(size, volume):
    """The rates of a curve do not depend on its units, up to the ends of the doubles, and no warning is given."""
    seen = [
        replace(r, rates=r.rates * size, rate_se=r.rate_se * size, volumes=r.volumes * volume, unit=r.unit * volume)
        for r in readings(3)
    ]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        told = phase_rates(seen)
    plain = phase_rates(readings(3))
    for name in ("align", "perturb"):
        assert told[name].estimate * volume == pytest.approx(plain[name].estimate, rel=1e-5)
        assert told[name].high / told[name].low == pytest.approx(plain[name].high / plain[name].low, rel=1e-4)


def test_a_course_that_is_straight_has_a_bound_and_no_estimate():
    """On straight lines the curvature once gave rates such as 6e-11 with a narrow interval; the bound still holds a rate that is slow."""
    steps, rng = np.linspace(0, 1, 9) ** 1.5, np.random.default_rng(5)
    held = bounds = 0
    runs = readings(0)
    for slow in [0.0] * 10 + [0.02] * 10:  # what is forgotten over the whole run
        course = 2.0 + (np.expm1(-slow * steps) / -slow if slow else steps)
        rows = [replace(r, rates=np.stack([course + 0.01 * rng.standard_normal(9)] * 3)) for r in runs]
        rate = phase_rates([replace(r, rate_se=np.full((3, 9), 0.01)) for r in rows])["perturb"]
        bounds += rate.estimate is None and rate.low is None
        held += rate.high >= slow / 100
        assert rate.high < 0.01
    assert bounds >= 18  # 5% by chance
    assert held >= 18
