"""Life cycles against closed forms: R5, R7, R13 and R19 where they must hold, brackets that bracket, F1's numbers by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from elastomath import InputError, cross_entropy
from elastomath.laws.forgetting import decay
from sim import CountingCompressor, MixtureCompressor, problem_of_family
from sim.compressors.softmax import SoftmaxCompressor
from sim.cycles.crossing import crossing
from sim.cycles.lifecycle import LifeCycle, behaviour, curve_of, live, reverse_divergence, training_unit
from sim.cycles.resistance import resist
from sim.sources.problem import Problem

CYCLE = LifeCycle(6.0, (0.5, 1.0, 2.0), (0.0, 0.3, 1.0), precision=1e-10)


@pytest.fixture(scope="module")
def problem():
    return problem_of_family("union", 1.4, 64, seed=2, alphabet=2)


def volumes_of(run, part):
    return [entry[part]["volume"] for entry in run["runs"]]


def test_the_mixture_lives_the_same_jointly_and_in_sequence(problem):
    one, two = (live(MixtureCompressor(problem), dataclasses.replace(CYCLE, mode=m)) for m in ("joint", "sequential"))
    for a, b in zip(one["runs"], two["runs"], strict=True):
        np.testing.assert_allclose(a["entropies"], b["entropies"], rtol=1e-14)
        np.testing.assert_allclose(a["reverse"], b["reverse"], rtol=1e-10, atol=1e-15)
        assert a["undo"]["volume"] == pytest.approx(b["undo"]["volume"], rel=1e-9)
        assert a["back"]["volume"] == pytest.approx(b["back"]["volume"], rel=1e-9)


def test_r5_and_r7_along_the_mixtures_life(problem):
    for run in live(MixtureCompressor(problem), CYCLE)["runs"]:
        k, n, _ = run["volumes"]
        change = np.array(run["entropies"]) - np.array(run["entropies"])[:, :1]
        residual = k * change[0] + n * change[1]
        bound = -np.array(run["perturbations"]) * change[2]
        assert (residual[1:] > 0).all()
        assert (residual[1:] < bound[1:] / 2).all()  # the half is R5's for mixtures
        rest, moved = run["gradients"]
        assert rest["cosine"] == pytest.approx(-1, abs=1e-12)
        assert rest["ratio"] == pytest.approx(k / n, rel=1e-12)
        assert rest["residual"] < 1e-14
        assert moved["residual"] < 1e-14  # with l grad H_t in the sum
        assert moved["cosine"] > -1 + 1e-6


def undoing(levels, n):
    """R13: m* = n (s_+ - s_p)/(s_p - s_-)."""
    return n * (levels["align"] - levels["pretrain"]) / (levels["pretrain"] - levels["perturb"])


@pytest.mark.parametrize("k", [2.0, 50.0])
def test_the_volume_that_undoes_a_mixtures_alignment_is_r13s(problem, k):
    record = live(MixtureCompressor(problem), dataclasses.replace(CYCLE, k=k))
    for run in record["runs"]:
        found, wanted = run["undo"], undoing(record["levels"], run["volumes"][1])
        assert found["low"] * (1 - 1e-12) <= wanted <= found["high"] * (1 + 1e-12)
        assert found["volume"] == pytest.approx(wanted, rel=1e-9)
        swapped = record["levels"] | {"align": record["levels"]["perturb"], "perturb": record["levels"]["align"]}
        assert abs(undoing(swapped, run["volumes"][1]) / found["volume"] - 1) > 0.01  # a mutant is far off


def test_with_forgetting_it_is_r19s(problem):
    eta = 0.2
    h = decay(eta)
    counting = CountingCompressor(problem, prior=0.0, forgetting=eta)
    record = live(counting, dataclasses.replace(CYCLE, k=200.0))
    levels = record["levels"]
    ratio = (levels["align"] - levels["pretrain"]) / (levels["pretrain"] - levels["perturb"])
    for run in record["runs"]:
        n = run["volumes"][1]
        assert run["undo"]["volume"] == pytest.approx(math.log1p(ratio * -math.expm1(-h * n)) / h, rel=1e-8)
        assert run["undo"]["volume"] < 0.999 * undoing(levels, n)  # joint compression is another law


@pytest.mark.parametrize("mode", ["joint", "sequential"])
def test_back_is_within_epsilon_and_a_hair_less_is_not(problem, mode):
    mixture = MixtureCompressor(problem)
    for run in live(mixture, dataclasses.replace(CYCLE, mode=mode, epsilon=0.25))["runs"]:
        k, n, step = run["volumes"]
        rested, moved, after, before = (
            mixture.entropies(np.array(v))[1]
            for v in ([k, n, 0], [k, n, step], [k, n + run["back"]["high"], step], [k, n + run["back"]["low"], step])
        )
        assert after - rested <= 0.25 * (moved - rested) * (1 + 1e-12)
        assert before - rested > 0.25 * (moved - rested) * (1 - 1e-12)
        assert run["back"]["high"] - run["back"]["low"] <= 1e-10 * run["back"]["high"]
        assert run["back"]["moved"] == pytest.approx(moved - rested, rel=1e-12)


def test_a_softmax_trained_in_sequence_is_read_between_its_steps(problem):
    softmax = SoftmaxCompressor(problem, count=8, examples=100, batch=8)
    assert training_unit(softmax) == 0.08
    record = live(softmax, LifeCycle(2.0, (0.5, 1.0), (0.0, 0.01, 0.02, 0.5)))
    run = record["runs"][1]
    assert run["volumes"] == pytest.approx([2.0, 0.96, 0.48])
    assert run["perturbations"] == pytest.approx([0, 0.08, 0.48])  # two of them fall together
    assert run["undo"]["high"] is None or run["undo"]["high"] / 0.08 == pytest.approx(round(run["undo"]["high"] / 0.08))
    with pytest.raises(InputError, match="less than a step"):
        live(softmax, LifeCycle(0.001))


def test_units_of_training(problem):
    assert training_unit(MixtureCompressor(problem)) is None
    assert training_unit(CountingCompressor(problem)) is None
    assert training_unit(CountingCompressor(problem, sampled=True, examples=200)) == 1 / 200


def test_the_curve_has_the_rates_of_the_record():
    problem = problem_of_family("union2", 1.5, 81, alphabet=3)
    record = live(MixtureCompressor(problem), CYCLE)
    curve = curve_of(record, "a", seed=3)
    assert curve.runs == ("a-n0.5", "a-n1", "a-n2")
    for run, entry in zip(curve, record["runs"], strict=True):
        np.testing.assert_allclose(run.rates * math.log(2) * 4, entry["entropies"], rtol=1e-14)
        assert run.volumes.tolist() == entry["volumes"]
    assert set(curve.frame["seed"]) == {3}


def test_no_coverage_and_other_datasets_are_one_line():
    apart = problem_of_family("disjoint", 1.5, 64, alphabet=2)
    with pytest.raises(InputError, match="not covered"):
        live(MixtureCompressor(apart), CYCLE)
    two = Problem(np.full((2, 4), 0.25), 2, 2, names=("a", "b"))
    with pytest.raises(InputError, match="pretrain, align, perturb"):
        live(MixtureCompressor(two), CYCLE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0.0},
        {"k": math.inf},
        {"alignments": ()},
        {"alignments": (1.0, 1.0)},
        {"perturbations": (0.0,)},
        {"perturbations": (0.1, 1.0)},
        {"perturbations": (0.0, 2.0, 1.0)},
        {"mode": "both"},
        {"epsilon": 0.0},
        {"epsilon": 1.0},
        {"precision": 0.0},
        {"largest": 0.0},
    ],
)
def test_life_cycles_that_cannot_be_lived_are_refused(wrong):
    with pytest.raises(InputError):
        LifeCycle(**({"k": 10.0} | wrong))


def test_the_behaviour_is_one_for_aligned_leaves_and_zero_for_perturbed_ones():
    rows = np.array([[0.25] * 4, [0.5, 0.5, 0, 0], [0, 0.25, 0.75, 0]])
    assert behaviour(Problem(rows, 2, 2)).tolist() == [1.0, 2 / 3, 0.0, 0.5]


def test_reverse_divergences_by_hand():
    assert reverse_divergence([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert reverse_divergence([1.0, 0.0], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert reverse_divergence([0.5, 0.5], [1.0, 0.0]) is None


# --- crossings ---------------------------------------------------------------------------------------------------------


def add(state, before, after):
    assert after > before
    return state + (after - before)


@pytest.mark.parametrize("root", [1e-3, 0.7, 1.0, 9.99, 10.0])
@pytest.mark.parametrize("precision", [1e-2, 1e-9])
def test_a_crossing_is_bracketed(root, precision):
    found = crossing(add, 0.0, lambda x: root - x, first=0.01, largest=10.0, precision=precision)
    assert found.low < root * (1 + 1e-12)
    assert root <= found.high * (1 + 1e-12)
    assert found.high - found.low <= precision * found.high * (1 + 1e-9)
    assert found.volume == pytest.approx(root, rel=1e-9)
    assert found.state == pytest.approx(found.high, rel=1e-12)


def test_crossings_at_the_start_and_never():
    assert crossing(add, 0.0, lambda x: -x, first=1, largest=2).volume == 0.0
    never = crossing(add, 0.0, lambda x: 3.0 - x, first=0.5, largest=2.5)
    assert (never.low, never.high, never.volume, never.open_gap) == (2.5, None, None, 0.5)
    assert never.as_dict()["closed_gap"] is None
    with pytest.raises(InputError):
        crossing(add, 0.0, lambda x: 1.0, first=0, largest=1)


def test_a_crossing_in_whole_units_ends_at_one_unit():
    seen = []

    def advance(state, before, after):
        seen.append((after - before) / 0.25)
        return state + (after - before)

    found = crossing(advance, 0.0, lambda x: 3.1 - x, first=0.25, largest=10.0, unit=0.25, precision=1e-9)
    assert (found.low, found.high) == (3.0, 3.25)
    assert all(step == round(step) and step >= 1 for step in seen)


# --- resistance --------------------------------------------------------------------------------------------------------


def test_resistance_of_a_mixture_by_hand(problem):
    k, slices, volume = 5.0, (0.4, 1.0, 3.0), 0.7
    record = resist(MixtureCompressor(problem), k, slices, volume)
    p_p, p_a, _ = problem.masses
    codes = [(k * p_p + n * p_a) / (k + n) for n in slices]

    def divergence(p, q):
        return cross_entropy(p, q) - cross_entropy(p, p)

    assert [(pair["from"], pair["to"]) for pair in record["pairs"]] == [(0, 1), (0, 2), (1, 2)]
    for pair in record["pairs"]:
        i, j = pair["from"], pair["to"]
        for side, start, target in ((pair["forward"], i, j), (pair["inverse"], j, i)):
            mass = k + slices[start]
            after = (mass * codes[start] + volume * codes[target]) / (mass + volume)
            assert side["loss"] == pytest.approx(cross_entropy(codes[target], after), rel=1e-12)
            assert side["entropy"] == pytest.approx(cross_entropy(codes[target], codes[target]), rel=1e-12)
            assert side["excess_before"] == pytest.approx(divergence(codes[target], codes[start]), rel=1e-8)
            assert side["excess"] == pytest.approx(divergence(codes[target], after), rel=1e-8)
            assert 0 < side["excess"] < side["excess_before"]
        assert pair["lower_loss"] == (pair["inverse"]["loss"] < pair["forward"]["loss"])
        assert pair["lower_excess"] == (pair["inverse"]["excess"] < pair["forward"]["excess"])


def test_counting_without_prior_resists_as_the_mixture_does(problem):
    one, two = (resist(c(problem), 5.0) for c in (MixtureCompressor, lambda p: CountingCompressor(p, prior=0.0)))
    for a, b in zip(one["pairs"], two["pairs"], strict=True):
        for side in ("forward", "inverse"):
            assert a[side]["loss"] == pytest.approx(b[side]["loss"], rel=1e-12)


@pytest.mark.parametrize("slices", [(), (1.0,), (1.0, 1.0), (2.0, 1.0)])
def test_slices_that_do_not_rise_are_refused(problem, slices):
    with pytest.raises(InputError, match="rise"):
        resist(MixtureCompressor(problem), 5.0, slices)


@pytest.mark.parametrize("volume", [float("inf"), float("nan"), 0.0, -1.0])
def test_a_resistance_that_is_no_volume_is_refused_before_anything_runs(volume):
    from sim.cycles.sweeps import configurations

    with pytest.raises(InputError, match="resistance"):
        configurations("counting", resistance=volume)
