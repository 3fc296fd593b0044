"""Comparisons: a difference that is there is found with the seeds that the plan asked for, and none where there is none."""

import math
from dataclasses import replace

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.fit.comparison import Difference, _corrected, _difference, _smallest, differences
from elastomath.fit.course import Course
from elastomath.fit.design import Pilot, plan
from elastomath.interval import Interval
from elastomath.laws.logit import aligned_contrast, perturbed_contrast
from tests.courses import in_bits

PILOT = Pilot(constant=0.15, start=-0.3, noise=0.3, scatter=0.12)


def side(found, rng, times=1.0, **covariates):
    """The runs of one side as the plan has them, its undo volumes ``times`` as large, with their scatter over seeds."""
    runs = []
    for seed in range(found.seeds):
        mine = replace(PILOT, constant=PILOT.constant / (times * math.exp(PILOT.scatter * rng.standard_normal())))
        expected = mine.course(np.array(found.readings), 64.0 * PILOT.constant / mine.constant, found.prompts)
        errors = expected.errors
        runs.append(
            replace(
                expected, values=expected.values + errors * rng.standard_normal(errors.size), align=64.0,
                base=expected.base + expected.base_error * rng.standard_normal(), covariates={"seed": seed} | covariates,
            )
        )  # fmt: skip
    return runs


def seen(found, rng, times, pairs):
    # other prompts on the second side: not paired, as the seeds of a simulation share nothing
    hits = 0
    for _ in range(pairs):
        sides = {"a": side(found, rng, pairs="x"), "b": side(found, rng, times, pairs="y")}
        (told,) = differences(sets=sides, constants=["undo_volume"])
        hits += told.apart
    return hits


def test_a_quarter_more_is_found_with_the_seeds_that_the_plan_asked_for():
    """40 pairs, of which 32 are asked for; of 150 others 84% were seen."""
    found, rng = plan(PILOT, [64.0], difference=0.25), np.random.default_rng(0)
    assert seen(found, rng, 1.25, 40) >= 26


def test_none_is_found_where_there_is_none():
    """40 pairs, of which 2 are expected; of 150 others 3.3% were seen."""
    found, rng = plan(PILOT, [64.0], difference=0.25), np.random.default_rng(1)
    assert seen(found, rng, 1.0, 40) <= 6


def test_seeds_that_share_their_prompts_are_paired():
    """What a seed does to both sides drops out: a small difference beside a large common scatter is found."""
    found, rng = plan(PILOT, [64.0], width=0.5), np.random.default_rng(2)
    found = replace(found, seeds=6)
    first, second = [], []
    for seed in range(6):
        common = math.exp(0.5 * rng.standard_normal())
        for runs, times in ((first, 1.0), (second, 1.15)):
            mine = replace(PILOT, constant=0.15 / (common * times))
            course = mine.course(np.array(found.readings) * common * 1.2, 64.0 * 0.15 / mine.constant, 10**6)
            runs.append(replace(course, align=64.0, covariates={"seed": seed}))
    told = differences({"a": first, "b": second})[0]
    assert told.pairs == 6
    assert told.apart
    assert told.effect.estimate == pytest.approx(1.15, rel=0.01)
    apart = [replace(run, covariates={"seed": run.covariates["seed"] + 10}) for run in second]
    assert not differences({"a": first, "b": apart})[0].apart


def test_more_comparisons_ask_for_more():
    found, rng = replace(plan(PILOT, [64.0], width=0.5), seeds=4), np.random.default_rng(3)
    sets = {name: side(found, rng, times) for name, times in (("a", 1.0), ("b", 1.3), ("c", 1.0), ("d", 1.1))}
    told = [one for one in differences(sets) if one.constant == "undo_volume"]
    assert len(told) == 6
    assert all(one.corrected >= one.p for one in told)
    assert min(one.corrected for one in told) == pytest.approx(min(1.0, 6 * min(one.p for one in told)))


def test_what_cannot_be_compared_is_said():
    found, rng = replace(plan(PILOT, [64.0], width=0.5), seeds=1), np.random.default_rng(4)
    one = differences({"a": side(found, rng), "b": side(found, rng)})[0]
    assert one.p is None
    assert "one seed" in one.sentence()
    short = [
        replace(run, volumes=run.volumes[:2], values=run.values[:2], errors=run.errors[:2], rates={})
        for run in side(found, rng)
    ]
    unreached = differences({"a": side(found, rng), "b": short})[0]
    assert unreached.effect.estimate is None
    assert unreached.censored == 1
    assert "not undone by the largest perturbation that was tried" in unreached.sentence()
    with pytest.raises(InputError, match="give two curves"):
        differences({"a": side(found, rng)})
    with pytest.raises(InputError, match="no alignment volume in common"):
        differences({"a": side(found, rng), "b": [replace(run, align=8.0) for run in side(found, rng)]})


def test_what_would_be_seen_is_seen_among_many_pairs():
    """An effect as large as the one that is named is told apart after the correction for all pairs, and of two sets none is needed."""
    rng, told = np.random.default_rng(7), []
    blank = side(replace(plan(PILOT, [64.0], width=0.5), seeds=3), rng)
    for _ in range(12):
        sets = {
            name: [replace(run, values=run.values + shift + 0.2 * rng.standard_normal()) for run in blank]
            for name, shift in (("a", 0.0), ("b", 0.5), ("c", 1.0), ("d", 2.0))
        }
        told += differences(sets, constants=["after"])
        two = {name: sets[name] for name in ("a", "b")}
        assert differences(two, constants=["after"])[0].smallest < told[-6].smallest
    large = [one for one in told if abs(one.effect.estimate) >= one.smallest]
    assert all(one.apart for one in large)
    assert 5 < len(large) < len(told)


def test_a_side_is_compared_by_seeds_that_have_all_its_runs():
    """Two behaviours of which one gives way three times as easily: a seed that lost the other's run is no mean of the rest."""
    m = np.linspace(0.0, 80.0, 21)

    def runs(times, seeds=(0, 1, 2, 3)):
        return [
            Course(
                "run", "contrast", "nats/response", "examples", m, perturbed_contrast(aligned_contrast(0.0, n, c * times), m, c * times),
                np.full(m.size, 0.01), 0.0, 0.01, n, covariates={"pairs": name, "seed": seed},
            )
            for seed in seeds
            for name, c in (("tone", 0.1), ("advice", 0.3))
            for n in (16.0, 64.0)
        ]  # fmt: skip

    plain, stiff = runs(1.0), runs(1 / 1.25)
    whole = {one.constant: one for one in differences({"plain": plain, "stiff": stiff})}
    assert whole["c"].effect.estimate == pytest.approx(1 / 1.25, rel=1e-3)  # of each behaviour, not of one c for both
    assert 1.0 < whole["undo_volume"].effect.estimate < 1.25
    left = {one.constant: one for one in differences({"plain": plain, "stiff": stiff[2:]})}["undo_volume"]
    assert left.pairs == 0  # a seed without one of the behaviours is none
    assert left.effect.estimate == pytest.approx(whole["undo_volume"].effect.estimate, rel=1e-9)


def test_a_ratio_that_is_no_double_is_not_told():
    """Two seeds whose volumes differ by e^60: the smallest ratio that would have been seen was an OverflowError."""
    nothing = Difference("a", "b", "c", None, Interval(1.0), 0.5, 0.5, None, 0, 0)
    (one,) = _corrected([nothing], [(60.0, 1.0)])
    assert one.smallest is None
    assert "would have been seen" not in one.sentence()
    (other,) = _corrected([nothing], [(0.1, 10.0)])
    assert other.smallest == pytest.approx(math.exp(_smallest(0.1, 10.0, 0.95)))
    effect, _ = _difference("a", "b", "c", None, {"0": -500.0}, {"0": 500.0}, 0, True, 0.95)
    assert effect.effect.estimate is None  # e^1000


def test_sets_in_bits_and_in_nats_do_not_differ_for_it():
    """1 bit = ln 2 nats: the contrast of the same runs differed by a factor 1.44 (p < 1e-6)."""
    runs = side(replace(plan(PILOT, [64.0], width=0.5), seeds=5), np.random.default_rng(8))
    bits = [in_bits(run) for run in runs]
    effects = {one.constant: one for one in differences({"a": runs, "b": bits})}
    assert abs(effects["after"].effect.estimate) < 1e-9
    assert effects["undo_volume"].effect.estimate == pytest.approx(1)
    tokens = [replace(run, unit="bits/token") for run in runs]
    assert {one.constant for one in differences({"a": runs, "b": tokens})} == {"undo_volume", "half_life"}
    with pytest.raises(InputError, match="volumes in examples and tokens"):
        differences({"a": runs, "b": [replace(run, volume_unit="tokens") for run in runs]})


def test_the_runs_that_happen_to_be_undone_are_not_compared():
    """Of the lasting side three seeds are not undone by the last perturbation; the two others alone would look shorter."""
    rng, few = np.random.default_rng(9), replace(plan(PILOT, [64.0], difference=1.0), seeds=5)
    first, second = side(few, rng), side(few, rng, 2.0)
    short = [
        replace(run, volumes=run.volumes[:3], values=run.values[:3], errors=run.errors[:3]) if index < 3 else run
        for index, run in enumerate(second)
    ]
    whole, part = (differences({"a": first, "b": runs}, constants=["undo_volume"])[0] for runs in (second, short))
    assert whole.effect.estimate == pytest.approx(2, rel=0.3)
    assert (part.effect.estimate, part.p, part.censored) == (None, None, 3)
    assert "3 runs were not undone" in part.sentence()
