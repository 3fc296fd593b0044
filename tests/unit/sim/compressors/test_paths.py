"""The mixture as a compressor, and many mixtures at once: the same as one by one, whoever runs them."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from elastomath import InputError, Mixture, finite_law, mixture_residual, path_entropies, survey
from elastomath.laws.finetuning import gradient_test
from elastomath.laws.theorem import mixture_theta_bounds
from elastomath.mixtures.leafsums import COMPILED_FROM
from sim import (
    MixtureCompressor,
    MixtureConfiguration,
    family,
    mixture_paths,
    problem_of_family,
    problem_of_markov,
    simulate_mixture,
)
from sim.compressors.compressor import Compressor
from sim.compressors.paths import mixture_path
from sim.sources.families import family_rows

GRID = (0.0, 0.25, 1.0, 3.0)


# --- the compressor -----------------------------------------------------------------------------------------------------


def test_training_in_sequence_is_joint_training():
    for problem in (problem_of_family("union", 1.3, 500), problem_of_markov(2, 3, 8)):
        made = MixtureCompressor(problem)
        assert isinstance(made, Compressor)
        state = made.start()
        assert made.entropies(state) == pytest.approx([np.log(problem.leaves)] * 3)
        for dataset, volume in ((1, 0.5), (0, 7.0), (2, 0.25), (1, 0.5), (0, 3.0)):
            state = made.train(state, dataset, volume)
        np.testing.assert_allclose(state, [10, 1, 0.25])
        mixture = Mixture.of(problem.masses, [10, 1, 0.25])
        np.testing.assert_allclose(made.masses(state), mixture.masses, rtol=1e-13)
        np.testing.assert_allclose(made.entropies(state), mixture.cross_entropies(), rtol=1e-13)


def test_large_problems_go_through_compiled_sums():
    problem = problem_of_family("union", 1.5, 4 * COMPILED_FROM)
    made = MixtureCompressor(problem)
    expected = [-(row * np.log(made.masses(np.array([3.0, 1, 1])))).sum() for row in problem.masses]
    np.testing.assert_allclose(made.entropies(np.array([3.0, 1, 1])), expected, rtol=1e-12)


def test_the_mixture_is_the_optimum_and_its_gradients_those_of_a_softmax():
    made = MixtureCompressor(problem_of_family("union", 1.5, 40))
    volumes = np.array([10.0, 1, 0.5])
    best = made.masses(made.optimum(volumes))
    slopes = made.gradients(made.optimum(volumes))
    np.testing.assert_allclose(volumes @ slopes, 0, atol=1e-15)
    rng, logits, at = np.random.default_rng(0), np.log(best), 1e-5

    def entropies(z):
        return -(made.problem.masses * (z - np.log(np.exp(z).sum()))).sum(axis=1)

    for _ in range(5):
        way = rng.standard_normal(40)
        up, down = entropies(logits + at * way), entropies(logits - at * way)
        np.testing.assert_allclose((up - down) / (2 * at), slopes @ way, rtol=1e-7, atol=1e-10)
        assert volumes @ up > volumes @ entropies(logits)


@pytest.mark.parametrize("k", [0.5, 10.0, 1000.0])
def test_r7_cosine_and_ratio(k):
    made = MixtureCompressor(problem_of_family("union", 1.5, 200))
    found = gradient_test(*made.gradients(made.optimum([k, 1, 0]))[:2])
    assert found.exists
    assert found.cosine == pytest.approx(-1, abs=1e-14)
    assert found.ratio == pytest.approx(k, rel=1e-10)
    assert not gradient_test(*made.gradients(made.optimum([k, 1, 0.5]))[:2]).exists


@pytest.mark.parametrize("k", [0.5, 10.0, 1000.0])
def test_halves_keep_the_gradients_collinear_along_the_path(k):
    """With P_p = (P_a + P_t)/2 all datasets and q lie on one line, so R7's constant exists at every l < 1.

    It is |grad H_a|/|grad H_p| = (k + 2 l)/(1 - l), k times R18's constant of an instant.
    """
    made = MixtureCompressor(problem_of_family("union2", 1.5, 200))
    for step in (0.0, 0.5, 0.9):
        found = gradient_test(*made.gradients(made.optimum([k, 1, step]))[:2])
        assert found.exists
        assert found.ratio == pytest.approx((k + 2 * step) / (1 - step), rel=1e-9)


def test_volumes_that_are_refused():
    made = MixtureCompressor(problem_of_family("union", 1.5, 10))
    for call in (
        lambda: made.optimum([1, 2]),
        lambda: made.train(made.start(), 0, np.nan),
        lambda: made.train(made.start(), -1, 1),
    ):
        with pytest.raises(InputError):
            call()


# --- many at once ---------------------------------------------------------------------------------------------------------


def some(leaves=300):
    return [
        MixtureConfiguration(k, GRID, kind, alpha, leaves, seed, cover, overlap)
        for seed, (kind, alpha, cover, overlap) in enumerate(
            [
                ("union", 1.2, 0.0, 0.0),
                ("union2", 1.5, 0.0, 0.3),
                ("independent", 2.5, 0.0, 0.0),
                ("disjoint", 1.5, 0.1, 0.0),
            ]
        )
        for k in (1.0, 40.0)
    ]


@pytest.mark.parametrize("leaves", [300, COMPILED_FROM + 5])
def test_each_path_is_what_the_mixture_says(leaves):
    configurations = some(leaves)
    for response in (True, False):
        for configuration, path in zip(configurations, mixture_paths(configurations, response=response), strict=True):
            assert path.configuration == configuration
            mixture = Mixture.of(family(*configuration.source), [configuration.k, 1, 0])
            np.testing.assert_allclose(path.entropies, path_entropies(mixture, GRID), rtol=1e-12)
            if not response:
                assert path.overlaps is path.derivatives is None
                continue
            for column, step in enumerate(GRID):
                seen = survey(mixture.at(step), divergences=False).response
                np.testing.assert_allclose(path.overlaps[:, column], seen.overlaps, rtol=1e-11)
                np.testing.assert_allclose(path.derivatives[:, column], seen.derivatives, rtol=1e-9, atol=1e-15)


def test_the_law_read_from_a_path():
    configuration = MixtureConfiguration(10.0, (0.0, 0.25, 0.5), "union2", 1.2, 500, 3)
    (path,) = mixture_paths([configuration])
    mixture = Mixture.of(family(*configuration.source), [10, 1, 0])
    np.testing.assert_allclose(path.residual[1:], [mixture_residual(mixture, step) for step in (0.25, 0.5)], rtol=1e-10)
    law = finite_law(path.configuration.perturbations, [10, 1], path.entropies)
    np.testing.assert_allclose(path.bound, law.upper, rtol=1e-12)
    assert (path.residual[1:] <= path.bound[1:] / 2).all()  # R5, mixtures: the constant is 1/2
    assert (path.residual[1:] > 0.4 * path.bound[1:]).all()
    for theta, step in zip(path.theta, (0.25, 0.5), strict=True):
        low, high = 1.0, (1 + 2 * step / 10) / (1 - step)  # R18
        assert low < theta < high
        tight = mixture_theta_bounds(10.0, step)
        assert tight.low - 1e-12 <= theta <= tight.high + 1e-12


def test_uncovered_perturbations_are_infinite_not_wrong():
    (path,) = mixture_paths([MixtureConfiguration(10.0, (0.0, 1.0), "disjoint", leaves=99)])
    assert np.isinf(path.entropies[2, 0])
    assert np.isneginf(path.derivatives[2, 0])
    assert np.isfinite(path.entropies[:, 1]).all()
    assert path.derivatives[:2, 1] == pytest.approx([1 / 12, 1 / 12])  # R9a


def test_the_result_does_not_depend_on_who_runs_it():
    configurations = some()
    here = [path.entropies for path in mixture_paths(configurations)]
    with ThreadPoolExecutor(1) as one, ProcessPoolExecutor(2) as two:
        for executor, batch in ((one, 1), (one, 100), (two, 2)):
            found = [path.entropies for path in mixture_paths(configurations, executor=executor, batch=batch)]
            np.testing.assert_array_equal(found, here)
    turned = [path.entropies for path in mixture_paths(configurations[::-1])][::-1]
    np.testing.assert_array_equal(turned, here)


def test_masses_are_drawn_once_for_neighbours_of_one_source(monkeypatch):
    home, drawn = mixture_paths.__globals__, []  # the module that runs, whatever copies the doctests have imported
    monkeypatch.setitem(home, "family_rows", lambda *source: drawn.append(source) or family_rows(*source))
    list(mixture_paths(some()))
    assert len(drawn) == len(set(drawn)) == 4
    drawn.clear()
    monkeypatch.setitem(simulate_mixture.__globals__["mixture_paths"].__globals__, "family_rows", home["family_rows"])
    simulate_mixture([1, 2, 5], seeds=[0, 1], leaves=64)
    assert len(drawn) == 2


class Later(ThreadPoolExecutor):
    """One thread that keeps what it was given, to see that what waits is cancelled."""

    def __init__(self):
        super().__init__(1)
        self.futures: list[Future] = []

    def submit(self, *args, **kwargs):
        self.futures.append(super().submit(*args, **kwargs))
        return self.futures[-1]


def test_what_waits_is_cancelled_when_one_is_refused():
    bad = MixtureConfiguration(1.0, GRID, "union", 0.5, 64)
    many = [MixtureConfiguration(1.0, GRID, leaves=20_000, seed=seed) for seed in range(200)]
    with Later() as executor:
        with pytest.raises(InputError, match="alpha"):
            list(mixture_paths([bad, *many], executor=executor, batch=1))
        assert executor.futures[-1].cancelled()


def test_a_mutant_of_the_sums_is_seen(monkeypatch):
    """A path whose last dataset has the wrong weight breaks the identity of R5."""
    configuration = MixtureConfiguration(10.0, (0.0, 1.0), "union", 1.5, 300)
    rows = family_rows(*configuration.source)
    right = mixture_residual(Mixture.of(rows, [10, 1, 0]), 1.0)
    assert mixture_path(rows, configuration).residual[1] == pytest.approx(right, rel=1e-10)
    true = mixture_path.__globals__["leaf_sums"]
    monkeypatch.setitem(mixture_path.__globals__, "leaf_sums", lambda r, w, **o: true(r, w * (1, 1, 0.999), **o))
    assert mixture_path(rows, configuration).residual[1] != pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": 0.0}, "k is 0"),
        ({"k": np.inf}, "k is inf"),
        ({"k": 1.0, "perturbations": (0.0,)}, "rise"),
        ({"k": 1.0, "perturbations": (0.0, 1.0, 1.0)}, "rise"),
        ({"k": 1.0, "perturbations": (0.5, 1.0)}, "rise"),
        ({"k": 1.0, "perturbations": (0.0, np.inf)}, "finite"),
    ],
)
def test_configurations_that_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        MixtureConfiguration(**settings)


def test_one_table_for_many_runs():
    curve = simulate_mixture(np.geomspace(1, 100, 30).tolist(), seeds=range(10), leaves=64, points=4, overlap=0.5)
    assert len(curve.runs) == 300
    assert set(curve.frame["overlap"]) == {0.5}
    run = curve.run("mixture-union-k100-alpha1.5-leaves64-overlap0.5-seed9")
    mixture = Mixture.of(family("union", 1.5, 64, 9, overlap=0.5), [100, 1, 0])
    np.testing.assert_allclose(run.rates * np.log(2), path_entropies(mixture, run.perturbations), rtol=1e-13)
