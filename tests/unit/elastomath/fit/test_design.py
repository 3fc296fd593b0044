"""Plans: what they promise is what runs then give."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import nct

from elastomath.errors import InputError
from elastomath.fit import design
from elastomath.fit.course import Course
from elastomath.fit.design import Pilot, pilot_of, plan, power_of, t_beyond
from elastomath.laws.logit import undo_volume
from tests.courses import in_bits

PILOT = Pilot(constant=0.15, start=-0.3, noise=0.4, scatter=0.15)


def drawn(found, rng, n=64.0, times=1.0):
    """ln m* of every seed of a plan, each seed with its own c, so that ln m* scatters as the pilot says."""
    logs = []
    for _ in range(found.seeds):
        mine = replace(PILOT, constant=PILOT.constant / (times * math.exp(PILOT.scatter * rng.standard_normal())))
        # n/m* of one c: the alignment is scaled with it, so that m* alone scatters
        expected = mine.course(np.array(found.readings), n * PILOT.constant / mine.constant, found.prompts)
        read = replace(
            expected, values=expected.values + expected.errors * rng.standard_normal(expected.values.size),
            base=expected.base + expected.base_error * rng.standard_normal(),
        )  # fmt: skip
        logs.append(math.log(read.passage().estimate or read.volumes[-1]))
    return np.array(logs)


def test_the_width_that_was_asked_for_is_the_one_that_comes():
    from scipy.stats import t

    found, rng = plan(PILOT, [64.0], width=0.2), np.random.default_rng(0)
    logs = [drawn(found, rng) for _ in range(60)]
    half = np.median([one.std(ddof=1) / math.sqrt(one.size) * t.ppf(0.975, one.size - 1) for one in logs])
    assert math.expm1(half) <= 0.2 * 1.15
    truth = math.log(float(undo_volume(-0.3, 64, 0.15)))
    assert np.mean([one.mean() for one in logs]) == pytest.approx(truth, abs=0.03)


def test_more_is_asked_for_less_width_and_more_scatter():
    wide, narrow = plan(PILOT, width=0.4), plan(PILOT, width=0.15)
    assert 3 * narrow.trained + narrow.read > 3 * wide.trained + wide.read
    assert plan(replace(PILOT, scatter=0.4), width=0.3).seeds > plan(PILOT, width=0.3).seeds
    assert plan(PILOT, width=0.2).half_width <= math.log(1.2)
    assert plan(PILOT, difference=0.5).seeds < plan(PILOT, difference=0.2).seeds


def test_the_power_is_that_of_a_t_test():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(1)
    a, b = 0.5 * rng.standard_normal((4000, 6)), 1.0 + 0.5 * rng.standard_normal((4000, 6))
    seen = float((ttest_ind(a, b, axis=1).pvalue < 0.05).mean())
    assert power_of(1.0, 0.5, 6) == pytest.approx(seen, abs=0.02)


@pytest.mark.parametrize("freedom", [1.0, 2.0, 3.7, 14.0, 200.0, 1e4])
def test_the_noncentral_t_is_scipys_where_that_is_a_number(freedom):
    for edge in (0.0, 0.5, 2.0, 12.7, 60.0):
        for shift in (-5.0, 0.0, 0.5, 5.0, 40.0):
            assert t_beyond(edge, freedom, shift) == pytest.approx(float(nct.sf(edge, freedom, shift)), abs=1e-9)


def test_a_plan_leaves_out_no_number_of_seeds():
    """scipy's noncentral t is not a number for 3, 8, 30, 31 and 47 seeds here; the power rises with every seed."""
    powers = [power_of(math.log(1.6485), 0.061, seeds, 0.99) for seeds in range(2, 48)]
    assert np.isfinite(powers).all()
    assert (np.diff(powers) > -1e-12).all()
    assert powers[1] == pytest.approx(0.99758598, abs=1e-8)


@pytest.mark.parametrize("difference", [None, 0.6])
def test_no_plan_that_was_left_out_is_cheaper(difference, monkeypatch):
    """Each number of prompts at each spacing, priced by hand."""
    monkeypatch.setattr(design, "READINGS", design.READINGS[1::2])
    monkeypatch.setattr(design, "SPACINGS", design.SPACINGS[::2])
    chosen, n, prices = plan(PILOT, [64.0], difference=difference, adapted=160.0), np.array([64.0]), []
    last = design.REACH * chosen.undo[0] * (1 + (difference or 0.0)) * math.exp(2 * PILOT.scatter)
    for count, spacing in itertools.product(design.READINGS, design.SPACINGS):
        places = np.rint(last * np.linspace(0.0, 1.0, count) ** spacing)
        one = design._error(PILOT, places, n)
        for prompts in design.PROMPTS if math.isfinite(one) and np.unique(places).size == count else ():
            sigma = math.hypot(PILOT.scatter, one / math.sqrt(prompts))
            seeds = design._seeds(sigma, 0.25, difference, 0.8, 0.95) or math.inf
            prices.append(40.0 * seeds * (3 * (160 + 64 + places[-1]) + 2 * prompts * (1 + count)))
    assert len(prices) > 50
    assert 3 * chosen.trained + chosen.read == pytest.approx(min(prices), rel=1e-12)


def test_what_cannot_be_had_is_refused():
    with pytest.raises(InputError, match="no plan of up to"):
        plan(replace(PILOT, scatter=2.0), width=0.05)
    with pytest.raises(InputError, match="width"):
        plan(PILOT, width=0.0)
    texts = Course(
        "a", "contrast", "bits/token", "examples", np.arange(3.0), np.array([1.0, 0.5, 0.2]), np.full(3, 0.1)
    )
    with pytest.raises(InputError, match="no constant of the logit law"):
        pilot_of([texts], 32)


def test_a_pilot_gives_back_what_drew_it():
    rng, found = np.random.default_rng(2), []
    for seed in range(6):
        mine = replace(PILOT, constant=0.15)
        course = mine.course(np.linspace(0, 40, 11), 64.0, 64)
        found.append(
            replace(course, values=course.values + course.errors * rng.standard_normal(11), covariates={"seed": seed})
        )
    told = pilot_of(found, 64)
    assert told.constant == pytest.approx(0.15, rel=0.03)
    assert told.noise == pytest.approx(0.4, rel=1e-6)
    assert told.start == pytest.approx(-0.3)
    assert told.scatter < 0.1


def drawn_pilot(scatter, noise, rng, seeds=200):
    pilot, runs = replace(PILOT, noise=noise), []
    for seed in range(seeds):
        mine = replace(pilot, constant=0.15 * math.exp(scatter * rng.standard_normal()))
        course = mine.course(np.linspace(0, 60, 13), 64.0 * 0.15 / mine.constant, 32)
        values = course.values + course.errors * rng.standard_normal(13)
        base = course.base + course.base_error * rng.standard_normal()
        runs.append(replace(course, values=values, base=base, align=64.0, covariates={"seed": seed}))
    return runs


@pytest.mark.parametrize("noise", [0.02, 0.8])
def test_the_scatter_of_a_pilot_is_without_that_of_its_readings(noise):
    """ln m* of 200 seeds scatters by 0.1 by itself, whatever its readings add: a plan adds that of its own prompts again."""
    scatter = pilot_of(drawn_pilot(0.1, noise, np.random.default_rng(3)), 32).scatter
    assert scatter == pytest.approx(0.1, rel=0.15)


def test_a_pilot_in_bits_is_the_same_pilot():
    """1 bit = ln 2 nats: its start and noise were read as if they were nats."""
    runs = drawn_pilot(0.1, 0.4, np.random.default_rng(4), 5)
    bits = [in_bits(run) for run in runs]
    nats, other = pilot_of(runs, 32), pilot_of(bits, 32)
    for name in ("constant", "start", "noise", "scatter"):
        assert getattr(other, name) == pytest.approx(getattr(nats, name), rel=1e-6)


def test_a_pilot_with_a_run_that_was_not_undone_tells_no_scatter():
    runs = drawn_pilot(0.1, 0.4, np.random.default_rng(4), 5)
    short = replace(runs[0], volumes=runs[0].volumes[:4], values=runs[0].values[:4], errors=runs[0].errors[:4])
    assert pilot_of([short, *runs[1:]], 32).scatter == Pilot().scatter
