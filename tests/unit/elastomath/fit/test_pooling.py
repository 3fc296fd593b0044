"""Constants of many runs: how kappa moves with covariates, against runs whose dependence is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from elastomath import Curve, InputError
from elastomath.fit.fit import fit
from elastomath.fit.pooling import covariate_effects, run_covariates
from elastomath.fit.result import Bound, Goodness, RunFit, Scatter
from elastomath.interval import Interval
from paper_checks.claims.keep import SAVED_RUNS
from sim import simulate_mixture


def fitted(index, kappa, nominal, spread=0.05):
    constant = Interval(kappa, kappa * np.exp(-1.96 * spread), kappa * np.exp(1.96 * spread), 0.95)
    return RunFit(
        f"run {index}",
        constant,
        constant,
        constant,
        nominal,
        Bound(True, 0.0, None),
        Goodness(0, 1, None),
        (),
        constant,
        Scatter(1.0, 3),
    )


def population(rng, runs=40, beta=0.7, size_power=-0.3, algorithm=1.5, spread=0.05):
    """Runs with kappa = k^beta size^power, times a factor for the algorithm dpo, read with a relative error."""
    k, size = 10.0 ** rng.uniform(0, 2, runs), 10.0 ** rng.uniform(6, 9, runs)
    kind = rng.choice(["sft", "dpo"], runs)
    kind[0] = "sft"
    kappa = (
        k**beta
        * size**size_power
        * np.where(kind == "dpo", algorithm, 1.0)
        * np.exp(spread * rng.standard_normal(runs))
    )
    fits = [fitted(index, value, nominal, spread) for index, (value, nominal) in enumerate(zip(kappa, k, strict=True))]
    return fits, {"parameters": size.tolist(), "algorithm": kind.tolist(), "same": ["x"] * runs, "k": k.tolist()}


def test_an_exponent_and_a_factor_come_back_one_at_a_time():
    fits, covariates = population(np.random.default_rng(0), algorithm=1.0)
    (size, *others) = covariate_effects(fits, covariates)
    assert size["name"] == "parameters"
    assert size["exponent"]["low"] < -0.3 < size["exponent"]["high"]
    assert size["exponent"]["high"] - size["exponent"]["low"] < 0.05
    assert [effect["name"] for effect in others] == ["algorithm"]  # what does not vary, and k itself, is left out
    fits, covariates = population(np.random.default_rng(1), size_power=0.0)
    effects = {effect["name"]: effect for effect in covariate_effects(fits, covariates)}
    assert effects["algorithm"]["value"] == "dpo"
    assert effects["algorithm"]["factor"]["low"] < 1.5 < effects["algorithm"]["factor"]["high"]
    assert effects["algorithm"]["factor"]["low"] > 1.3


def test_coverage_of_a_covariates_exponent():
    hits, draws = 0, 200
    for seed in range(draws):
        fits, covariates = population(np.random.default_rng(seed), runs=12, algorithm=1.0)
        exponent = covariate_effects(fits, {"parameters": covariates["parameters"]})[0]["exponent"]
        hits += exponent["low"] <= -0.3 <= exponent["high"]
    assert 0.90 * draws <= hits <= 0.995 * draws, hits


def test_too_few_runs_have_no_effects():
    fits, covariates = population(np.random.default_rng(0), runs=2)
    assert covariate_effects(fits, covariates) == []


def test_an_effect_known_to_no_factor_is_left_out():
    """On the saved rebound runs the factor of a seed was 0.29 [3e-16, 3e14]."""
    fits, covariates = population(np.random.default_rng(0))
    wide = [replace(one, kappa=replace(one.kappa, low=one.kappa.low / 1e9, high=one.kappa.high * 1e9)) for one in fits]
    assert [effect["name"] for effect in covariate_effects(fits, covariates)] == ["parameters", "algorithm"]
    assert covariate_effects(wide, covariates) == []


def test_covariates_are_columns_with_one_value_a_run():
    curve = simulate_mixture([2, 10], seeds=[0, 1], points=6, leaves=64)
    frame = curve.frame.assign(step=np.arange(len(curve.frame)))
    found = run_covariates(Curve(frame))
    assert "step" not in found
    assert found["k"] == [2, 2, 10, 10]
    assert found["seed"] == [0, 1, 0, 1]


def test_groups_are_the_fits_of_their_own_runs():
    curve = simulate_mixture([2, 10], seeds=[0, 1, 2], points=8, leaves=128, noise=1e-4)
    whole = fit(curve, by="k")
    assert [group["value"] for group in whole["groups"]] == ["2.0", "10.0"]
    alone = fit(Curve(curve.frame[curve.frame.k == 10].reset_index(drop=True)))
    assert whole["groups"][1]["kappa"] == alone["pooled"]["kappa"]
    assert whole["groups"][1]["models"] == alone["models"]
    assert "groups" not in fit(curve)
    by_run = fit(curve, by="run")["groups"]
    assert [group["runs"] for group in by_run] == [[name] for name in curve.runs]
    assert by_run[0]["kappa"] == whole["runs"][0]["kappa"]


def test_a_law_may_be_named_and_has_to_be_one():
    curve = simulate_mixture([2, 10], points=8, leaves=128, noise=1e-4)
    names = [model["name"] for model in fit(curve, laws=["forgetting", "straight line"])["models"]]
    assert names == ["forgetting", "straight line"]
    with pytest.raises(InputError, match="unknown law 'hooke'"):
        fit(curve, laws=["hooke"])
    with pytest.raises(InputError, match="no covariate 'size'"):
        fit(curve, by="size")


def test_runs_of_different_volumes_have_no_kappa_in_common():
    """On exact curves each kappa is its nominal ratio, so the conclusion gives their range; of one ratio it gives the one."""
    for ratios, words in (([2.0, 40.0], "runs from 2 to 40"), ([40.0], "(K_pretrain over K_align), is 40")):
        summary = fit(simulate_mixture(ratios, points=8)).summary
        assert summary.joint is not None
        assert words in summary.joint.verdict()


def test_a_kappa_that_is_open_is_no_end_of_the_range():
    """On the saved durability runs the estimate of one run, > 2.02 in the table, was the upper end: 5.077."""
    curve = Curve.read(SAVED_RUNS / "durability" / "durability.csv")
    answer = fit(curve)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer  # numbers of Python, not of numpy
    joint = answer.summary.joint
    assert joint is not None
    kappas = [run["kappa"] for run in answer["runs"] if run["run"] in joint.near]
    closed = [k["estimate"] for k in kappas if k["low"] and k["high"] is not None and k["high"] < 1e3 * k["low"]]
    assert joint.apart == (min(closed), max(closed))
    assert max(k["estimate"] for k in kappas) > 1.5 * joint.apart[1]
    assert joint.verdict().endswith("runs from 0.5 to 2.8 where it is bounded")
    (laws,) = [sentence for sentence in answer["conclusion"] if sentence.startswith("These runs cannot tell")]
    assert "rebound and driving force (0.5" in laws
    (logit,) = [sentence for sentence in answer["conclusion"] if "c = 0.051 to 0.33" in sentence]
    assert f"over {len(answer['logit'])} bases" in logit
    assert "first fall (nats per 1000 examples)" in answer.summary.cells()[0]


def test_a_summary_shows_itself():
    """Its conclusion at the prompt, a figure and a table in a notebook."""
    summary = fit(simulate_mixture([2.0], points=8)).summary
    assert repr(summary) == " ".join(summary.sentences())
    assert summary.to_frame().loc[0, "half_life"].estimate == summary.groups[0].half_life.best.estimate
    assert "<svg" in summary._repr_html_()
    assert "undo_volume" in summary._repr_html_()
