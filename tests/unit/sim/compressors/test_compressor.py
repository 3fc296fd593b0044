"""What every compressor owes: one list of properties that all of them go through, and what turns each property red."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from elastomath import InputError
from sim.compressors.compressor import Compressor
from sim.compressors.counting import CountingCompressor
from sim.compressors.descent import JointTraining
from sim.compressors.logit import LogitCompressor
from sim.compressors.mixture import MixtureCompressor
from sim.compressors.networks import NetworkSize
from sim.compressors.perceptron import PerceptronCompressor
from sim.compressors.softmax import SoftmaxCompressor
from sim.compressors.transformer import TransformerCompressor
from sim.cycles.stationary import optima_path, path_grid, stationarity
from sim.sources.problem import Problem

PRETRAIN, ALIGN, PERTURB = range(3)
VOLUMES = np.array([5.0, 1.0, 0.7])


@cache
def problem():
    """P_p = (P_a + P_t + P_1)/3 over three symbols in two places, each with a law of its own for every context."""
    rng = np.random.default_rng(0)
    laws = [0.9 * rng.dirichlet(np.ones(9)) + 0.1 / 9 for _ in range(3)]
    return Problem(np.stack([np.mean(laws, axis=0), *laws[:2]]), 3, 2)


@cache
def closed():
    """The same on three places of two symbols, of which the last is the response to a prompt."""
    rng = np.random.default_rng(1)
    laws = [0.9 * rng.dirichlet(np.ones(8)) + 0.1 / 8 for _ in range(3)]
    return Problem(np.stack([np.mean(laws, axis=0), *laws[:2]]), 2, 3)


COMPRESSORS = {
    "mixture": lambda: MixtureCompressor(problem()),
    "counting": lambda: CountingCompressor(problem(), prior=0.0),
    "counting, one symbol of the past, tied": lambda: CountingCompressor(problem(), prior=0.0, order=1, tied=True),
    "counting, no past": lambda: CountingCompressor(problem(), prior=0.0, order=0),
    "softmax of random features": lambda: SoftmaxCompressor(problem(), "random", count=5, sampled=False),
    "softmax of words": lambda: SoftmaxCompressor(problem(), "ngrams", order=1),
    "softmax of prefixes": lambda: SoftmaxCompressor(problem(), "prefix", order=1),
    "logit": lambda: LogitCompressor(closed(), 0.3),
    "perceptron": lambda: PerceptronCompressor(problem(), 8, 1, examples=64, batch=8),
    "transformer": lambda: TransformerCompressor(
        problem(), NetworkSize(8, 1, 2, 12), dtype="float64", learning_rate=1e-2, joint=JointTraining(adamw=200)
    ),
}


@cache
def compressor(name):
    return COMPRESSORS[name]()


def states(c):
    """The untrained state, one trained in sequence, and two joint optima."""
    trained = c.train(c.train(c.start(), PRETRAIN, 2.0), ALIGN, 1.0)
    return [c.start(), trained, c.optimum(VOLUMES), c.optimum([1.0, 2.0, 0.0])]


def is_a_compressor_of_its_problem(c):
    assert isinstance(c, Compressor)
    assert c.entropies(c.start()).shape == (len(c.problem.names),)
    assert c.gradients(c.start()).shape == (len(c.problem.names), c.gradients(c.start()).shape[1])


def rates_are_the_code_lengths_of_its_masses(c):
    """H_i = -sum_x P_i ln q, q >= 0 and sum q = 1; so H_i >= H(P_i)."""
    entropy = -(c.problem.masses * np.log(c.problem.masses)).sum(axis=1)
    for state in states(c):
        q = c.masses(state)
        assert q.min() > 0
        assert q.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(c.entropies(state), -(c.problem.masses @ np.log(q)), rtol=1e-12)
        assert (c.entropies(state) >= entropy - 1e-12).all()


def optimum_is_stationary(c):
    """sum_i w_i grad H_i = 0, against the size of its terms."""
    for volumes in (VOLUMES, np.array([1.0, 0.0, 3.0]), np.array([0.5, 2.0, 0.5])):
        gradients = c.gradients(c.optimum(volumes))
        assert np.linalg.norm(volumes @ gradients) < 1e-7 * (volumes @ np.linalg.norm(gradients, axis=1))


def no_state_is_cheaper_than_the_optimum(c):
    best = c.optimum(VOLUMES)
    near = [c.optimum(VOLUMES * scale, best) for scale in ([1, 0.7, 1 / 0.7], [1, 1.3, 1], [1, 1, 0.8])]
    for state in [*states(c), *near]:
        assert VOLUMES @ c.entropies(state) >= VOLUMES @ c.entropies(best) - 1e-9


def optimum_knows_volumes_up_to_their_scale(c):
    best = c.optimum(VOLUMES)
    np.testing.assert_allclose(c.entropies(c.optimum(3 * VOLUMES, best)), c.entropies(best), rtol=1e-8)


def rates_fall_with_their_volume(c):
    """More of D_t: H_t falls, and sum_i w_i H_i over the others rises (both optima are best for their own volumes)."""
    state, before = None, None
    for perturb in (0.0, 0.3, 1.0, 4.0):
        state = c.optimum([5.0, 1.0, perturb], state)
        rates = c.entropies(state)
        if before is not None:
            assert rates[PERTURB] < before[PERTURB]
            assert 5 * rates[PRETRAIN] + rates[ALIGN] > 5 * before[PRETRAIN] + before[ALIGN]
        before = rates


def laws_hold_and_volumes_come_back(c):
    """R5 at every l, R7 at l = 0 (cosine -1, ratio k), and the effective volumes of R16 are the nominal ones."""
    found = stationarity(optima_path(c, [5.0, 1.0], path_grid(2.0, 12)))
    assert found.holds
    assert found.one_plus_cosine < 1e-10
    assert found.ratio == pytest.approx(5, rel=1e-6)
    assert max(abs(error) for error in found.errors) < 1e-3


def training_lowers_the_rate_of_what_is_trained(c):
    start = c.train(c.start(), PRETRAIN, 1.0)
    for dataset in (ALIGN, PERTURB):
        after = c.train(start, dataset, 2.0)
        assert c.entropies(after)[dataset] < c.entropies(start)[dataset]


def training_changes_no_state_and_repeats_itself(c):
    state = c.train(c.start(), PRETRAIN, 1.0)
    before = c.entropies(state).copy()
    once, again = (c.entropies(c.train(state, ALIGN, 1.0)) for _ in range(2))
    assert (once == again).all()
    assert (c.entropies(state) == before).all()
    assert (c.entropies(c.train(state, ALIGN, 0.0)) == before).all()
    assert not (once == before).any()


def volumes_that_are_none_are_refused_in_one_line(c):
    for volumes in ([1, 1], [1, 1, -1], [0, 0, 0], [1, np.nan, 1]):
        with pytest.raises(InputError) as error:
            c.optimum(volumes)
        assert "\n" not in str(error.value)
    for dataset, volume in ((3, 1.0), (-1, 1.0), (0, -1.0), (0, np.inf)):
        with pytest.raises(InputError) as error:
            c.train(c.start(), dataset, volume)
        assert "\n" not in str(error.value)


PROPERTIES = [
    is_a_compressor_of_its_problem,
    rates_are_the_code_lengths_of_its_masses,
    optimum_is_stationary,
    no_state_is_cheaper_than_the_optimum,
    optimum_knows_volumes_up_to_their_scale,
    rates_fall_with_their_volume,
    laws_hold_and_volumes_come_back,
    training_lowers_the_rate_of_what_is_trained,
    training_changes_no_state_and_repeats_itself,
    volumes_that_are_none_are_refused_in_one_line,
]


@pytest.mark.parametrize("property", PROPERTIES, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_every_compressor_has_every_property(name, property):
    property(compressor(name))


class Broken:
    """A compressor with one method replaced."""

    def __init__(self, compressor, **methods):
        self.__dict__.update(compressor=compressor, **methods)

    def __getattr__(self, name):
        return getattr(self.compressor, name)


def cut(state, factor=0.5):
    """The state itself, changed in place."""
    state *= factor
    return state


MUTANTS = {
    "rates in bits": (
        lambda c: {"entropies": lambda state: c.entropies(state) / np.log(2)},
        {"rates_are_the_code_lengths_of_its_masses"},
    ),
    "an optimum that takes D_a for D_t": (
        lambda c: {"optimum": lambda volumes, near=None: c.optimum(np.asarray(volumes)[..., [0, 2, 1]], near)},
        {"optimum_is_stationary", "no_state_is_cheaper_than_the_optimum", "laws_hold_and_volumes_come_back"},
    ),
    "an optimum with a thousandth more of D_p": (
        lambda c: {"optimum": lambda volumes, near=None: c.optimum(np.asarray(volumes) * [1.001, 1, 1], near)},
        {"optimum_is_stationary", "laws_hold_and_volumes_come_back"},
    ),
    "an optimum that counts a pseudo-volume": (
        lambda c: {"optimum": lambda volumes, near=None: c.optimum(np.asarray(volumes) + 0.01, near)},
        {"optimum_is_stationary", "optimum_knows_volumes_up_to_their_scale", "laws_hold_and_volumes_come_back"},
    ),
    "gradients of the other sign for D_a": (
        lambda c: {"gradients": lambda state: c.gradients(state) * np.array([[1], [-1], [1]])},
        {"optimum_is_stationary", "laws_hold_and_volumes_come_back"},
    ),
    "training that unlearns": (
        lambda c: {"train": lambda state, dataset, volume: c.train(state, (dataset + 1) % 3, volume)},
        {"training_lowers_the_rate_of_what_is_trained", "volumes_that_are_none_are_refused_in_one_line"},
    ),
    "training in place": (
        lambda c: {"train": lambda state, dataset, volume: cut(c.train(state, dataset, volume)) + cut(state, 0.9)},
        {"training_changes_no_state_and_repeats_itself"},
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_compressor_loses_its_properties(name):
    broken, lost = MUTANTS[name]
    exact = compressor("mixture")
    red = set()
    for property in PROPERTIES:
        try:
            property(Broken(exact, **broken(exact)))
        except (Exception, pytest.fail.Exception):  # wrong shapes are red as well
            red.add(property.__name__)
    assert lost <= red
    assert len(red) < len(PROPERTIES)
