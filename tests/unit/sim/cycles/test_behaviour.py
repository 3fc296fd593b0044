"""A behaviour in sequence: exact gradient descent against the logit law, and what its gradients foretell."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws import logit
from elastomath.laws.planner import needed_rise
from sim.compressors.mixture import MixtureCompressor
from sim.compressors.perceptron import PerceptronCompressor
from sim.compressors.softmax import SoftmaxCompressor
from sim.cycles.behaviour import behave, ordered, replayed
from sim.sources.behaviour import problem_of_behaviour
from sim.studies.order import forecast
from sim.studies.replay import law_volume, restoring_share
from sim.studies.sequence import _slope

VOLUMES = [2**i for i in range(3, 13)]


def one_direction(share=0.5):
    return SoftmaxCompressor(problem_of_behaviour(2, 4, share), features="ngrams", order=1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_with_a_frozen_kernel_the_law_holds_to_the_size_of_the_steps(share):
    """z_n and m* within 2% over n = 2^3 ... 2^12; halving c halves what is left: Euler's steps of one order."""
    worst = []
    for constant in (0.02, 0.01):
        record = behave(one_direction(share), constant, [round(n * 0.02 / constant) for n in VOLUMES])["behaviour"]
        assert record["base"]["z"] == pytest.approx(np.log(share / (1 - share)), abs=1e-9)
        assert record["aligning"] == pytest.approx(constant, rel=1e-9)
        assert record["perturbing"] == pytest.approx(constant, rel=1e-9)
        assert all(way["kernel"] == pytest.approx(1, rel=1e-12) for way in record["ways"])
        worst.append(max(abs(way["forecast_undo_volume"] / way["undo_volume"] - 1) for way in record["ways"]))
        assert all(
            abs(way["forecast_z"] - way["z"]) < 0.02 * (way["z"] - record["base"]["z"]) for way in record["ways"]
        )
    assert worst[0] < 0.02
    assert worst[1] < 0.7 * worst[0]


def test_the_record_keeps_few_readings_from_the_first_to_the_last():
    record = behave(one_direction(), 0.02, [1000])
    (run,) = record["runs"]
    steps, entropies = run["perturbations"], np.array(run["entropies"])
    assert steps[0] == 0
    assert steps[-1] == run["volumes"][2] > 150
    assert len(steps) == entropies.shape[1] <= 25
    z = entropies[2] - entropies[1]
    assert z[-1] <= record["behaviour"]["base"]["z"] < z[-2]


def test_several_directions_leave_an_error_that_smaller_steps_do_not_mend():
    errors = []
    for constant in (0.02, 0.01):
        softmax = SoftmaxCompressor(problem_of_behaviour(2, 4, 0.5, seed=3), features="ngrams", order=2)
        (way,) = behave(softmax, constant, [round(2.56 / constant)])["behaviour"]["ways"]
        errors.append(way["forecast_undo_volume"] / way["undo_volume"] - 1)
    assert errors[0] == pytest.approx(errors[1], rel=0.1)
    assert abs(errors[0]) > 0.005


def test_below_even_odds_going_back_costs_more_than_coming():
    (way,) = behave(one_direction(0.1), 0.01, [100])["behaviour"]["ways"]
    assert way["z"] < 0
    assert way["undo_volume"] > 3 * way["n"]
    assert way["undo_volume"] == pytest.approx(float(logit.undo_volume(np.log(1 / 9), 100, 0.01)), rel=0.01)


def test_descent_is_training_without_draws():
    softmax = SoftmaxCompressor(
        problem_of_behaviour(2, 4), features="ngrams", order=2, sampled=False, examples=7, batch=1
    )
    start = softmax.start()
    trained, descended = softmax.train(start, 1, 1.0), softmax.descend(start, [0, 1, 0], 7, softmax.learning_rate)
    assert np.array_equal(trained.theta, descended.theta)


def test_the_transformers_descent_is_that_of_its_gradients():
    pytest.importorskip("torch")
    from sim.compressors.networks import NetworkSize
    from sim.compressors.transformer import TransformerCompressor

    network = TransformerCompressor(problem_of_behaviour(4, 2), size=NetworkSize(8, 1, 2, 16), dtype="float64")
    start = network.start()
    wanted = start.theta.numpy() - 0.1 * network.gradients(start)[2]
    assert np.allclose(network.descend(start, [0, 0, 1], 1, 0.1).theta.numpy(), wanted, rtol=0, atol=1e-14)
    twice = network.descend(network.descend(start, [0, 0, 1], 1, 0.1), [0, 0, 1], 1, 0.1)
    assert np.array_equal(network.descend(start, [0, 0, 1], 2, 0.1).theta.numpy(), twice.theta.numpy())


@pytest.mark.parametrize(
    ("compressor", "constant", "volumes"),
    [
        (one_direction(), 0.0, [8]),
        (one_direction(), 0.02, []),
        (one_direction(), 0.02, [8, 8]),
        (one_direction(), float("nan"), [8]),
        (MixtureCompressor(problem_of_behaviour()), 0.02, [8]),
    ],
)
def test_what_cannot_be_used_is_refused(compressor, constant, volumes):
    with pytest.raises(InputError):
        behave(compressor, constant, volumes)


@pytest.mark.parametrize("given", [(1, 3, 0.5), (4, 1, 0.5), (4, 3, 0.0), (4, 3, 1.0), (4, 3, float("nan"))])
def test_a_behaviour_has_prompts_two_responses_and_a_share_inside(given):
    with pytest.raises(InputError):
        problem_of_behaviour(*given)


# --- perceptrons, replay, order ---------------------------------------------------------------------------------------
def perceptron(width=16, depth=2, seed=0, **source):
    return PerceptronCompressor(problem_of_behaviour(2, 4, seed=seed, **source), width=width, depth=depth, seed=seed)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_perceptrons_gradient_is_that_of_its_entropies(depth):
    network = perceptron(8, depth, neutral=True)
    state, rng = network.start(), np.random.default_rng(0)
    way = rng.standard_normal(network.parameters)
    ends = [network.entropies(type(state)(state.theta + step * way)) for step in (1e-6, -1e-6)]
    assert np.allclose(network.gradients(state) @ way, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)
    assert network.masses(state).sum() == pytest.approx(1, abs=1e-12)
    entropy = -np.sum(network.problem.masses * np.log(network.masses(state)), axis=1)
    assert np.allclose(network.entropies(state), entropy, rtol=1e-12)
    stepped = network.descend(state, [0.3, 0.7, 0.0], 1, 0.1)
    assert np.allclose(stepped.theta, state.theta - 0.1 * (np.array([0.3, 0.7, 0.0]) @ network.gradients(state)))
    trained = network.train(state, 1, 0.01)
    assert np.array_equal(trained.theta, network.descend(state, [0, 1, 0], 1, network.learning_rate).theta)


def test_the_perceptrons_optimum_has_the_share_of_the_base():
    network = perceptron(32)
    z = np.subtract(*network.entropies(network.optimum([1, 0, 0]))[[2, 1]])
    assert z == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(InputError):
        perceptron(0)
    with pytest.raises(InputError):
        PerceptronCompressor(problem_of_behaviour(2, 4), learning_rate=0.0)


def test_a_wide_perceptron_turns_less_and_has_the_logit_law():
    """The turn of the gradient falls like the root of the width (here to a third at 16 times), and m* comes to the law's."""
    ways = [behave(perceptron(width, seed=1), 0.05, [64])["behaviour"]["ways"][0] for width in (16, 256)]
    assert ways[1]["turned"] < 0.4 * ways[0]["turned"]
    assert ways[1]["undo_volume"] == pytest.approx(float(logit.undo_volume(0.0, 64, 0.05)), rel=0.04)
    assert behave(one_direction(), 0.05, [64])["behaviour"]["ways"][0]["turned"] == pytest.approx(0, abs=1e-12)


def test_a_replay_has_the_laws_undo_volume_and_rests_at_the_joint_optimum_of_the_mix():
    mixes = [("align", 0.0), ("align", 0.3), ("align", 0.6), ("pretrain", 0.5), ("past", 0.0)]
    replay = replayed(one_direction(), 0.02, 400, 400.0, mixes)["replay"]
    for mix in replay["mixes"][:2]:
        height = float(needed_rise(replay["z0"], mix["undo_volume"], 0.02, mix["share"]))
        assert height == pytest.approx(replay["z"] - replay["z0"], rel=0.02)
    kept, mixed, past = replay["mixes"][2:]
    assert kept["undo_volume"] is None
    assert kept["end"] == pytest.approx(kept["joint"], abs=0.02) == pytest.approx(np.log(0.6 / 0.4), abs=0.02)
    assert mixed["end"] == pytest.approx(np.log(0.25 / 0.75), abs=0.02)
    for mix in (kept, mixed):
        assert mix["speed"] == pytest.approx(1, abs=0.1)
    # the whole past: the joint law's n, and a lag of 1/(c p (1 - p)), the better the larger c n
    assert past["undo_volume"] == pytest.approx(400 + 1 / (0.02 * 0.25), rel=0.12)
    fast = replayed(one_direction(), 0.1, 800, 800.0, [("past", 0.0)])["replay"]["mixes"][0]
    assert fast["undo_volume"] == pytest.approx(800 + 1 / (0.1 * 0.25), rel=0.02)


def test_the_order_of_data_is_that_of_the_flows():
    order = ordered(one_direction(), 0.02, 150, 150)["order"]
    law = forecast(order)
    for row in order["orders"]:
        assert row["undo_volume"] == pytest.approx(law[row["order"]], rel=0.02)
    assert law["early"] < law["interleaved"] < law["late"]
    neutral = ordered(
        SoftmaxCompressor(problem_of_behaviour(2, 3, neutral=True), features="ngrams", order=2), 0.02, 150, 150
    )
    rows = {row["order"]: row["undo_volume"] for row in neutral["order"]["orders"]}
    assert rows["early"] != pytest.approx(rows["late"], rel=1e-3)  # two prompts that begin alike share a direction


def test_neutral_text_is_on_prompts_of_its_own():
    masses = problem_of_behaviour(3, 3, neutral=True, seed=2).masses.reshape(3, 9, 3)
    assert masses[0, 3:].sum() == masses[1:, :3].sum() == 0
    assert np.allclose(masses[1, 3:, 0].sum(), 1)


@pytest.mark.parametrize(
    "life", [lambda c: replayed(c, 0.02, 8, 8.0, [("align", 0.1)]), lambda c: ordered(c, 0.02, 8, 8)]
)
def test_what_has_no_gradient_descent_is_refused(life):
    with pytest.raises(InputError):
        life(MixtureCompressor(problem_of_behaviour()))


def test_the_share_that_restores_the_joint_law():
    told = {"z": 2.0, "z0": 0.0, "p0": 0.5, "constant": 0.05, "n": 100}
    assert float(needed_rise(0.0, law_volume(told, 0.3), 0.05, 0.3)) == pytest.approx(2.0, rel=1e-12)
    assert law_volume(told, 0.5) == np.inf
    share = restoring_share(told)
    assert law_volume(told, share) == pytest.approx(100, rel=1e-9)
    assert restoring_share(told, 1.5) < share
    assert restoring_share(told | {"n": 10}) is None  # without a replay it takes more than that


def test_the_exponent_in_the_width_is_that_of_all_seeds():
    """Exact powers give it exactly, with a level for each seed; seeds that differ give Student's interval, one seed gives none."""
    widths = [8.0, 16.0, 32.0]
    exact = _slope(widths, [[3 * w**-1.5, 7 * w**-1.5] for w in widths])
    assert (exact.estimate, exact.low, exact.high) == pytest.approx((-1.5, -1.5, -1.5), abs=1e-9)
    rough = _slope(widths, [[3 * w**-1.5, 7 * w**-1.5 * (2 if w == 16 else 1)] for w in widths])
    assert rough.low < -1.5 < rough.high < 0.5
    alone = _slope(widths[:2], [[1.0], [0.5]])
    assert (alone.estimate, alone.low, alone.high) == (pytest.approx(-1.0), None, None)
