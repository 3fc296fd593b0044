"""Rival laws: each recovers itself, none sees what it predicts, and the one chosen is the one that drew the curve."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from elastomath import Curve
from elastomath.fit import law_choice
from elastomath.fit.fit import fit
from elastomath.fit.law_choice import (
    BALANCE,
    SIGNIFICANT,
    _bootstrapped,
    compare,
    fit_over_runs,
    leave_each_out,
    leave_one_out,
    leave_runs_out,
    predictions,
    undecided,
    verdict,
)
from elastomath.fit.readings import Readings
from elastomath.fit.rival_laws import FORGETTING, FOURTH, JOINT, LAWS, LINE, LOGIT, POWER, REBOUND
from sim import simulate_mixture

TRUTH = {
    JOINT.name: [np.log(0.3), 2.6],
    FORGETTING.name: [np.log(0.15), 2.5],
    REBOUND.name: [np.log(0.15), np.log(0.12), 2.4],
    POWER.name: [np.log(1.8), 0.002],
    LINE.name: [0.02],
    FOURTH.name: [3e-6],
    LOGIT.name: [np.log(0.5), 2.1, -0.05],
}
"""Numbers that all runs share, with changes of 0.3 to 0.6 bits over the path."""


def drawn(law, seed, noise=0.01, top=20.0, points=12):
    """Eight runs of four pairs of volumes whose align rates follow the law, read with an error of ``noise``."""
    rng, curves = np.random.default_rng(seed), []
    steps = top * np.linspace(0, 1, points + 1) ** 1.5
    for pretrain, align in ((20, 1), (20, 4), (80, 1), (80, 4)):
        for repeat in range(2):
            start = 2.0 - 0.12 * np.log1p(align) + 0.02 * rng.standard_normal()
            level, base = np.full(steps.size, start), np.full(steps.size, float(pretrain + align))
            rates = {
                "pretrain": np.full(steps.size, 3.0),
                "align": law.over_runs(np.array(TRUTH[law.name]), steps, level, base),
                "perturb": 4.0 - 0.1 * steps / top,
            }
            rates = {name: values + noise * rng.standard_normal(steps.size) for name, values in rates.items()}
            errors = {name: np.full(steps.size, noise) for name in rates}
            name, volumes = f"{pretrain}-{align}-{repeat}", {"pretrain": pretrain, "align": align, "perturb": top}
            curves.append(
                Curve.from_paths(name, volumes, steps, rates, "bits/token", "tokens", rate_se=errors, seed=repeat)
            )
    return [Readings.of(run) for run in Curve.concat(curves)]


def over_runs(law, readings):
    """What is foretold of each run's readings at l > 0 from the other runs."""
    (told,) = leave_runs_out(law, [law_choice._Pile.of(readings)])
    return [run[1:] for run in np.split(told, np.cumsum([r.perturbations.size for r in readings])[:-1])]


def chosen(readings):
    along = zip(*(leave_each_out(law, readings) for law in LAWS), strict=True)
    rows = compare(readings, [[*run, None] for run in along])
    (row,) = (row for row in rows if row["chosen"])
    return row["name"], rows


@pytest.mark.parametrize("draws", [2, pytest.param(10, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("law", [law for law in LAWS if law is not LOGIT], ids=lambda law: law.name)
def test_each_law_is_chosen_on_its_own_curves(law, draws):
    """At least 90% of the time at 1% to 3% noise of the change: both of 2, or 9 of 10; 40 of 40 were seen at 0.01 bits.

    The logit law of unknown scale and place has one number more than forgetting and comes near it, so that the simpler of
    two that are not told apart is chosen: it is recovered where its scale is known, on contrasts (`test_rival_laws`).
    """
    names = [chosen(drawn(law, seed))[0] for seed in range(draws)]
    assert names.count(law.name) >= 0.9 * draws, names


def test_the_logit_law_is_chosen_or_said_to_be_undecided():
    """On rates forgetting comes near it: the fit says so, and never excludes the law that drew the curves."""
    for seed in range(3):
        name, rows = chosen(drawn(LOGIT, seed))
        close, said = undecided(rows), verdict(rows)
        assert LOGIT.name in close
        assert name == LOGIT.name or said.startswith("The align rates do not tell apart")
        assert (LINE.name in close) is False
        assert LINE.name in said.partition("Excluded: ")[2]


@pytest.mark.acceptance
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_recovery_of_each_law_on_its_own_curves(law):
    """Over 20 draws: at least 18 times the law that drew them is chosen, or is among those that the fit says it cannot tell apart."""
    rows = [chosen(drawn(law, seed))[1] for seed in range(20)]
    assert sum(law.name in undecided(row) for row in rows) >= 18


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_shared_numbers_come_back(law):
    readings = drawn(law, 1, noise=1e-4)
    (found,) = fit_over_runs(law, [law_choice._Pile.of(readings)])
    assert found == pytest.approx(TRUTH[law.name], abs=0.02)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_without_noise_a_law_predicts_what_it_has_not_seen(law):
    for readings in drawn(law, 2, noise=1e-12)[:2]:
        along = leave_one_out(law, readings)
        size = np.ptp(readings.rates[1])
        assert np.abs(along - readings.rates[1, 1:]).max() < 2e-3 * size
    runs = drawn(law, 2, noise=1e-12)
    for predicted, readings in zip(over_runs(law, runs), runs, strict=True):
        assert predicted == pytest.approx(readings.rates[1, 1:], abs=1e-5)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_does_not_see_what_it_predicts(law):
    readings = drawn(law, 3)[0]
    before = leave_one_out(law, readings)
    for index in (1, 5, 12):
        rates = readings.rates.copy()
        rates[1, index] += 0.3
        after = leave_one_out(law, replace(readings, rates=rates))
        assert after[index - 1] == before[index - 1]
        assert np.abs(np.delete(after - before, index - 1)).max() > 1e-3


def test_runs_that_are_left_out_are_not_seen():
    all_runs = drawn(FORGETTING, 4)
    before = over_runs(FORGETTING, all_runs)
    rates = all_runs[3].rates.copy()
    rates[1, 1:] += 0.5
    after = over_runs(FORGETTING, [*all_runs[:3], replace(all_runs[3], rates=rates), *all_runs[4:]])
    assert after[3] == pytest.approx(before[3], abs=1e-6)
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_the_rebound_law_is_its_differential_equation():
    """a' = -(rho a|a| + delta) with w^2 = delta/rho and pace^2 = rho delta, from above the base to below it."""
    rho, delta, base, start = 3.0, 0.2, 2.0, 1.2
    steps = np.linspace(0, 8, 9)
    path = solve_ivp(
        lambda _, a: -(rho * a * abs(a) + delta), (0, 8), [base - start], t_eval=steps, rtol=1e-10, atol=1e-12
    ).y[0]
    numbers = np.array([np.log(np.sqrt(delta / rho)), np.log(np.sqrt(rho * delta)), base])
    seen = REBOUND.over_runs(numbers, steps, np.full(9, start), np.ones(9))
    assert path[0] > 0 > path[-1]
    assert seen == pytest.approx(base - path, abs=1e-8)
    ratio, pace = (base - start) / np.sqrt(delta / rho), np.sqrt(rho * delta) * 8
    shape = REBOUND.shape(steps / 8, np.array([ratio, pace]))
    assert start + np.sqrt(delta / rho) * shape == pytest.approx(seen, abs=1e-9)


def test_a_force_linear_in_the_state_is_forgetting():
    """a' = -(rho a + delta): the reason why the rebound force has to grow faster than that to be a rival."""
    rho, delta, base, start = 0.4, 0.1, 2.0, 1.2
    steps = np.linspace(0, 6, 7)
    path = solve_ivp(lambda _, a: -(rho * a + delta), (0, 6), [base - start], t_eval=steps, rtol=1e-10, atol=1e-12).y[0]
    numbers = np.array([np.log(rho), base + delta / rho])
    assert FORGETTING.over_runs(numbers, steps, np.full(7, start), np.ones(7)) == pytest.approx(base - path, abs=1e-8)


@pytest.mark.parametrize("law", [JOINT, FORGETTING, POWER, LINE], ids=lambda law: law.name)
def test_a_law_within_a_run_is_the_same_law_over_runs(law):
    steps, start, base = np.linspace(0, 4, 6), np.full(6, 2.0), np.full(6, 5.0)
    shape = np.asarray(law.shape(steps, np.array([0.7])))
    numbers = {
        JOINT.name: [np.log(0.7 / 5), 2.5],
        FORGETTING.name: [np.log(0.7), 2.5],
        POWER.name: [np.log(0.7), 0.5],
        LINE.name: [0.5],
    }[law.name]
    assert law.over_runs(np.array(numbers), steps, start, base) == pytest.approx(2.0 + 0.5 * shape)


def test_mixture_curves_are_joint_compression_and_exact_curves_choose_it():
    curve = simulate_mixture([2, 10, 40], points=10, leaves=256, seeds=range(3), noise=1e-3)
    result = fit(curve)
    models = {model["name"]: model for model in result["models"]}
    assert models[JOINT.name]["chosen"]
    assert models[JOINT.name]["heldout_runs"] < models[FORGETTING.name]["heldout_runs"]
    assert not models[BALANCE]["chosen"]
    assert models[BALANCE]["heldout_runs"] is None


def test_a_line_wins_on_a_line_and_one_run_is_enough():
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 3, 9)
    rates = {"pretrain": 5 + 0.05 * rng.random(9), "align": 4 + 0.1 * steps, "perturb": 6 - 0.3 * rng.random(9)}
    curve = Curve.from_paths("line", {"pretrain": 10, "align": 1, "perturb": 3}, steps, rates, "bits/token", "tokens")
    models = {m["name"]: m for m in fit(curve)["models"]}
    assert models[LINE.name]["heldout_error"] < 1e-12
    assert models[LINE.name]["chosen"]
    assert models[LINE.name]["heldout_runs"] is None
    assert models[BALANCE]["heldout_error"] > 1e-3


def test_too_few_readings_are_said_and_nothing_is_chosen():
    (run,) = simulate_mixture([5.0], perturbations=[0, 1])
    curve = simulate_mixture([5.0], perturbations=[0, 1, 3])
    assert all(leave_one_out(law, Readings.of(next(iter(curve)))) is None for law in LAWS)
    models = fit(curve)["models"]
    assert [m["heldout_error"] for m in models] == [None] * (len(LAWS) + 1)
    assert not any(m["chosen"] for m in models)
    assert run.perturbations.size == 2


def test_runs_in_different_units_are_not_compared():
    one = simulate_mixture([5.0], points=8, noise=1e-3)
    frame = one.frame.assign(run="nats", rate_unit="nats/symbol")
    models = fit(Curve.concat([one, Curve(frame)]))["models"]
    assert all(model["heldout_error"] is None and not model["chosen"] for model in models)


def test_predictions_are_one_for_each_law_and_r16():
    readings = drawn(JOINT, 0)[0]
    assert [len(run) for run in predictions([readings, readings])] == [len(LAWS) + 1] * 2


def test_laws_are_weighed_over_bases_where_these_are_several():
    """Two laws that are as good, in 12 bases of 8 runs: one is given up (a weight below 5%) in 14% of cases, over runs in most."""
    rng = np.random.default_rng(0)
    given_up = {True: 0, False: 0}
    for _ in range(200):
        losses = np.zeros((2, 96))
        losses[0] = np.repeat(rng.standard_normal(12), 8) + 0.1 * rng.standard_normal(96)
        for over_bases in given_up:
            given_up[over_bases] += _bootstrapped(losses, [8] * 12 if over_bases else [1] * 96).min() < SIGNIFICANT
    assert 15 <= given_up[True] <= 44  # of 200; 14% is what a bootstrap of 12 has for 10%
    assert given_up[False] > 100
    one = _bootstrapped(losses[:, :8], [4, 4])
    assert (one == _bootstrapped(losses[:, :8], [1] * 8)).all()  # two bases say nothing of others
    # seeds of one behaviour are drawn together, where there are three behaviours or more: 4 behaviours are not 12 bases
    seeds = np.stack(
        [np.repeat([0.0, 0.0, 0.0, 1.0], 6), np.full(24, 0.45)]
    )  # four behaviours of three seeds of two runs
    of_behaviours = _bootstrapped(seeds, [2] * 12, [name for name in "abcd" for _ in range(3)])
    assert of_behaviours[1] == pytest.approx(0.262, abs=0.05)  # the last is drawn twice or more, of 4
    assert _bootstrapped(seeds, [2] * 12)[1] == pytest.approx(0.054, abs=0.03)  # six of its bases or more, of 12
    alone = _bootstrapped(seeds[:, 12:], [2] * 6, list("aaabbb"))
    assert (alone == _bootstrapped(seeds[:, 12:], [2] * 6)).all()  # two behaviours say nothing of others
    uneven = np.array([[0.0, 0.0, 0.0, 1.0, 0.0], [0.3, 0.3, 0.3, 0.3, 0.3]])
    assert _bootstrapped(uneven, [3, 1, 1])[1] == pytest.approx(10 / 27, abs=0.06)  # by hand, base by base
