"""The softmax compressor: exact entropies and gradients, joint optima at R5, R7 and R16 to rounding, plain gradient descent."""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from elastomath import InputError
from elastomath.fit.quadrature import path_work
from sim.compressors.leaf_features import leaf_features
from sim.compressors.softmax import SoftmaxCompressor, SoftmaxState
from sim.cycles.stationary import (
    OptimaPath,
    load_paths,
    optima_path,
    path_grid,
    save_paths,
    stationarity,
    stationarity_table,
)
from sim.sources.problem import Problem

MAPS = [("random", {"count": 16}), ("ngrams", {"order": 2}), ("prefix", {"order": 2})]


def problem(alphabet=4, length=4, seed=0, parts=3):
    """Sources with a law of its own for every context; P_p is the union of P_a, P_t and ``parts - 2`` others."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(max(parts, 3)):
        masses = np.ones(1)
        for depth in range(length):
            law = rng.dirichlet(np.full(alphabet, 0.7), size=alphabet**depth)
            masses = (masses[:, None] * (0.98 * law + 0.02 / alphabet)).ravel()
        rows.append(masses)
    align, perturb = rows[:2]
    pretrain = np.mean(rows[:parts], axis=0) if parts > 1 else rows[2]
    return Problem(np.stack([pretrain, align, perturb]), alphabet, length)


@pytest.mark.parametrize(("kind", "choice"), MAPS)
def test_features_are_independent_centred_and_too_few(kind, choice):
    phi = leaf_features(problem(), kind, **choice)
    assert phi.shape[0] == 256
    assert phi.shape[1] < 255
    np.testing.assert_allclose(phi.mean(axis=0), 0, atol=1e-13)
    assert np.linalg.matrix_rank(np.column_stack([np.ones(256), phi])) == phi.shape[1] + 1


def test_ngrams_are_the_words_at_their_places():
    p = problem(3, 3)
    phi = leaf_features(p, "ngrams", order=2)
    words = [[(0, 1)], [(0, 2)], [(1, 1)], [(1, 2)], [(2, 1)], [(2, 2)]]
    words += [[(first, a), (first + 1, b)] for first in (0, 1) for a in (1, 2) for b in (1, 2)]
    by_hand = {
        tuple(all(symbols[place] == symbol for place, symbol in word) for symbols in p.symbols().tolist())
        for word in words
    }
    raw = {tuple(bool(v) for v in column > column.min() + 0.5) for column in phi.T}
    assert raw == by_hand


@pytest.mark.parametrize(("kind", "choice"), MAPS)
def test_entropies_and_gradients_are_exact(kind, choice):
    """H_i = -sum P_i ln q by hand, and grad H_i by central differences."""
    softmax = SoftmaxCompressor(problem(3, 3), kind, **choice)
    rng = np.random.default_rng(1)
    state = SoftmaxState(0.3 * rng.standard_normal(softmax.parameters))
    scores = np.exp(softmax.phi @ state.theta)
    by_hand = -(softmax.problem.masses @ np.log(scores / scores.sum()))
    np.testing.assert_allclose(softmax.entropies(state), by_hand, rtol=1e-13)
    np.testing.assert_allclose(softmax.masses(state).sum(), 1, rtol=1e-14)
    for index in rng.integers(0, softmax.parameters, 4):
        step = 1e-5 * (np.arange(softmax.parameters) == index)
        up, down = (softmax.entropies(SoftmaxState(state.theta + s * step)) for s in (1, -1))
        np.testing.assert_allclose(softmax.gradients(state)[:, index], (up - down) / 2e-5, rtol=1e-6, atol=1e-9)
        up, down = (softmax.gradients(SoftmaxState(state.theta + s * step))[0] for s in (1, -1))
        np.testing.assert_allclose(softmax.hessian(state)[index], (up - down) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_prefix_optimum_is_the_mixture_of_the_cut_trees(order):
    """Def 3.3: q is the mixture's mass of every word of ``order`` symbols, spread evenly below the cut."""
    p = problem()
    softmax = SoftmaxCompressor(p, "prefix", order=order)
    mixture = np.array([5.0, 1.0, 0.7]) @ p.masses / 6.7
    cut = mixture.reshape(4**order, -1).sum(axis=1)
    np.testing.assert_allclose(
        softmax.masses(softmax.optimum([5, 1, 0.7])), np.repeat(cut, 4 ** (4 - order)) / 4 ** (4 - order), rtol=1e-10
    )


@pytest.mark.parametrize("k", [5.0, 20.0])
@pytest.mark.parametrize(("kind", "choice"), MAPS)
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_joint_optima_obey_the_laws_to_rounding(kind, choice, k, parts):
    """Issue 4: R5 at every l, cosine -1, ratio k within 1e-6, effective volumes within 1e-4. Here 1e-12, 1e-12 and 1e-4."""
    softmax = SoftmaxCompressor(problem(parts=parts), kind, **choice)
    found = stationarity(optima_path(softmax, [k, 1], path_grid(2.0, 20, scale=0.3)), scale=0.3)
    assert found.holds
    assert found.low > 0.05
    assert found.one_plus_cosine < 1e-20
    assert found.misalignment < 1e-10
    assert abs(found.ratio / k - 1) < 1e-12
    assert max(abs(e) for e in found.errors) < 1e-4
    assert found.missed < 1e-12


def test_a_softmax_that_is_no_mixture_is_told_apart_from_one():
    """The model is limited: its optimum is not the mixture, so R2's overlaps are not those of the mixture (R6)."""
    p = problem()
    softmax = SoftmaxCompressor(p)
    state = softmax.optimum([5, 1, 0])
    mixture = np.array([5.0, 1.0, 0.0]) @ p.masses / 6
    assert np.abs(softmax.masses(state) - mixture).sum() > 0.3
    assert (softmax.entropies(state)[:2] @ [5, 1]) / 6 > -(mixture @ np.log(mixture)) + 0.1


def test_the_fit_of_a_curve_finds_the_volumes():
    """The same path through the judges of the house: `empirical.fit_run` of its curve."""
    from elastomath import Curve
    from elastomath.fit.fit import fit_run

    softmax = SoftmaxCompressor(problem(), "ngrams", order=2)
    path = optima_path(softmax, [5, 1], path_grid(2.0, 20))
    names = ("pretrain", "align", "perturb")
    curve = Curve.from_paths(
        "softmax",
        dict(zip(names, (5.0, 1.0, 2.0), strict=True)),
        path.perturbations,
        dict(zip(names, path.entropies, strict=True)),
        "nats/symbol",
        "symbols",
    )
    fitted = fit_run(curve.run("softmax"))
    assert fitted.K_pretrain.estimate == pytest.approx(5, rel=1e-4)
    assert fitted.K_align.estimate == pytest.approx(1, rel=1e-4)
    assert fitted.bound.holds


def test_response_is_the_slope_of_the_path():
    """R6: dH_i/dl = -g_i' G^-1 g_t against central differences of the optima, and R2's balance."""
    softmax = SoftmaxCompressor(problem(), "ngrams", order=1)
    state = softmax.optimum([5, 1, 0.5])
    branch = softmax.response(state, [5, 1, 0.5])
    up, down = (softmax.entropies(softmax.optimum([5, 1, 0.5 + s], state)) for s in (1e-4, -1e-4))
    np.testing.assert_allclose(branch.derivatives, (up - down) / 2e-4, rtol=1e-6)
    assert abs(branch.balance) < 1e-13


MUTANTS = {
    "gradients of the opposite sign in one dataset": lambda path: dataclasses.replace(
        path, misalignments=2 - path.misalignments
    ),
    "k off by 1e-3": lambda path: dataclasses.replace(path, volumes=path.volumes * [1.001, 1]),
    "optimum missed": lambda path: dataclasses.replace(
        path, entropies=path.entropies + 1e-6 * (path.perturbations > 0)
    ),
    "start missed": lambda path: dataclasses.replace(path, entropies=path.entropies + 1e-4 * (path.perturbations == 0)),
    "a component exchanged": lambda path: dataclasses.replace(path, entropies=path.entropies[[1, 0, 2]]),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_paths_are_found_out(mutant):
    """Each is a path that no joint optima have; the demands of the test above must refuse it."""
    path = optima_path(SoftmaxCompressor(problem()), [5, 1], path_grid(2.0, 12))
    sound, broken = stationarity(path), stationarity(MUTANTS[mutant](path))

    def passes(found):
        return (
            found.holds
            and found.misalignment < 1e-10
            and abs(found.ratio / found.nominal - 1) < 1e-12
            and max(abs(e) for e in found.errors) < 1e-6
            and found.missed < 1e-9
        )

    assert passes(sound)
    assert not passes(broken)


def test_optimum_on_the_hull_is_refused():
    """A dataset whose moments lie on the hull of the features has no optimum at finite theta."""
    masses = np.full((3, 16), 1 / 16)
    masses[1] = np.eye(16)[15]
    softmax = SoftmaxCompressor(Problem(masses, 4, 2), "ngrams", order=1)
    with pytest.raises(InputError, match=r"no joint optimum|singular"):
        softmax.optimum([0, 1, 0])
    assert softmax.entropies(softmax.optimum([1, 1, 0]))[1] < np.log(16)


def test_expected_descent_is_gradient_descent():
    """Without sampling a step is theta -= rate grad H_i, exactly, and many end at the dataset's own optimum."""
    softmax = SoftmaxCompressor(problem(), "ngrams", order=1, sampled=False, learning_rate=0.5, examples=100, batch=10)
    state = softmax.start()
    by_hand = state.theta
    for _ in range(3):
        by_hand = by_hand - 0.5 * softmax.gradients(SoftmaxState(by_hand))[1]
    np.testing.assert_allclose(softmax.train(state, 1, 0.3).theta, by_hand, rtol=1e-12)
    assert not state.theta.any()
    far = softmax.train(state, 1, 200.0)
    np.testing.assert_allclose(softmax.entropies(far)[1], softmax.entropies(softmax.optimum([0, 1, 0]))[1], atol=1e-8)


def test_sampled_descent_has_the_expected_mean_and_goes_on_where_it_stopped():
    softmax = SoftmaxCompressor(problem(), "ngrams", order=1, learning_rate=0.02, examples=1000)
    expected = dataclasses.replace(softmax, sampled=False)
    whole = softmax.train(softmax.start(), 0, 2.0)
    parts = softmax.train(softmax.train(softmax.start(), 0, 1.0), 0, 1.0)
    assert whole.drawn == parts.drawn == 2000
    assert np.abs(whole.theta - parts.theta).max() > 0  # other draws
    mean = np.mean(
        [dataclasses.replace(softmax, seed=s).train(softmax.start(), 0, 2.0).theta for s in range(20)], axis=0
    )
    exact = expected.train(expected.start(), 0, 2.0).theta
    spread = np.abs(whole.theta - exact).max()
    assert np.abs(mean - exact).max() < 0.7 * spread
    np.testing.assert_array_equal(softmax.train(whole, 0, 0.0).theta, whole.theta)


SCRIPT = """
import numpy as np
from sim.sources.problem import Problem
from sim.compressors.softmax import SoftmaxCompressor
masses = np.random.default_rng(0).dirichlet(np.ones(256), size=3)
softmax = SoftmaxCompressor(Problem(masses, 4, 4), "random", count=24, seed=3)
state = softmax.start()
for dataset, volume in ((0, 5), (1, 1), (2, 0.5)):
    state = softmax.train(state, dataset, volume)
    print([value.hex() for value in softmax.entropies(state).tolist()])
print([value.hex() for value in softmax.entropies(softmax.optimum([5, 1, 1])).tolist()])
"""


def test_a_seed_gives_the_same_curve_in_a_fresh_process():
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(SCRIPT, {})
    command = [sys.executable, "-c", SCRIPT]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert here.getvalue() == fresh.stdout
    assert fresh.stdout.count("0x1.") == 12


@pytest.mark.parametrize(
    "call",
    [
        lambda p: SoftmaxCompressor(p, "bigrams").phi,
        lambda p: SoftmaxCompressor(p, count=255).phi,
        lambda p: SoftmaxCompressor(p, "prefix", order=4).phi,
        lambda p: SoftmaxCompressor(p, "ngrams", order=0).phi,
        lambda p: SoftmaxCompressor(p, learning_rate=0),
        lambda p: SoftmaxCompressor(p, batch=0),
        lambda p: SoftmaxCompressor(p).optimum([0, 0, 0]),
        lambda p: SoftmaxCompressor(p).optimum([1, -1, 0]),
        lambda p: SoftmaxCompressor(p).train(SoftmaxState(np.zeros(16)), 3, 1),
        lambda p: SoftmaxCompressor(p).train(SoftmaxState(np.zeros(16)), 0, -1),
        lambda p: optima_path(SoftmaxCompressor(p), [1, 0], [0, 1]),
        lambda p: optima_path(SoftmaxCompressor(p), [1, 1], [0.5, 1]),
        lambda p: path_grid(0, 3),
        lambda p: load_paths("/nowhere/paths.json"),
    ],
)
def test_bad_input_is_one_clear_line(call):
    with pytest.raises(InputError) as caught:
        call(problem())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_what_a_missed_gradient_costs_the_cosine_and_the_ratio(share):
    """R7 off stationarity, at the tight constants: 1 + cos <= 1 - sqrt(1 - r^2), ratio/k within [1/(1 + r), 1/(1 - r)]."""
    sound = stationarity(optima_path(SoftmaxCompressor(problem()), [5, 1], path_grid(2.0, 6)))
    row = dataclasses.replace(sound, relative=share)
    force = np.array([1.0, 0.0])  # w_a grad H_a; all w_p grad H_p = -force + rest with |rest| = r
    angles = np.linspace(0, 2 * np.pi, 20_001)
    others = -force + share * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    norms = np.linalg.norm(others, axis=1)
    cosines, ratios = others @ force / norms, 1.0 / norms
    assert (1 + cosines).max() == pytest.approx(row.cosine_bound, rel=1e-6)
    assert ratios.min() == pytest.approx(row.ratio_bounds[0], rel=1e-6)
    assert ratios.max() == pytest.approx(row.ratio_bounds[1], rel=1e-6)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_work_is_exact_for_a_known_path(scale):
    """H_t = 1/(1 + l)^2 has W = int 2 l/(1 + l)^3 = L^2/(1 + L)^2."""
    steps = path_grid(3.0, 40, scale)
    np.testing.assert_allclose(path_work(steps, (1 + steps) ** -2.0, scale), (steps / (1 + steps)) ** 2, atol=1e-7)


def test_saved_paths_come_back(tmp_path):
    path = optima_path(SoftmaxCompressor(problem()), [5, 1], path_grid(2.0, 6))
    save_paths(tmp_path / "paths.json", [({"name": "softmax", "parameters": 16}, path)])
    ((made, again),) = load_paths(tmp_path / "paths.json")
    assert made == {"name": "softmax", "parameters": 16}
    for field in dataclasses.fields(OptimaPath):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(path, field.name))
    assert stationarity_table(tmp_path / "paths.json") == [stationarity(path, "softmax", 16)]
    (tmp_path / "paths.json").write_text('{"schema": "other", "rows": []}')
    with pytest.raises(InputError, match="no paths"):
        load_paths(tmp_path / "paths.json")
