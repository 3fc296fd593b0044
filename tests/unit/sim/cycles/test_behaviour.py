"""A behaviour in sequence: exact gradient descent against the logit law, and what its gradients foretell."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws import logit
from sim.compressors.mixture import MixtureCompressor
from sim.compressors.softmax import SoftmaxCompressor
from sim.cycles.behaviour import behave
from sim.sources.behaviour import problem_of_behaviour

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
    trained, descended = softmax.train(start, 1, 1.0), softmax.descend(start, 1, 7, softmax.learning_rate)
    assert np.array_equal(trained.theta, descended.theta)


def test_the_transformers_descent_is_that_of_its_gradients():
    pytest.importorskip("torch")
    from sim.compressors.networks import NetworkSize
    from sim.compressors.transformer import TransformerCompressor

    network = TransformerCompressor(problem_of_behaviour(4, 2), size=NetworkSize(8, 1, 2, 16), dtype="float64")
    start = network.start()
    wanted = start.theta.numpy() - 0.1 * network.gradients(start)[2]
    assert np.allclose(network.descend(start, 2, 1, 0.1).theta.numpy(), wanted, rtol=0, atol=1e-14)
    twice = network.descend(network.descend(start, 2, 1, 0.1), 2, 1, 0.1)
    assert np.array_equal(network.descend(start, 2, 2, 0.1).theta.numpy(), twice.theta.numpy())


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
