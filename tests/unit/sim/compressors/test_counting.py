"""The counting compressor: beside counts in dictionaries, R5 with its regulariser, R7, R16, and R19's weights; and mutants."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad

from elastomath import InputError
from elastomath.laws.finetuning import gradient_test
from elastomath.laws.forgetting import Phase, decay, elasticity_constant, phase_weights
from elastomath.laws.optima import optima_law
from elastomath.laws.volumes import effective_volumes
from sim import CountingCompressor, MixtureCompressor, problem_of_grammar, problem_of_markov
from sim.compressors.compressor import Compressor
from sim.compressors.counting import Counts

STEPS = np.array([0.0, 0.1, 0.5, 1.0, 3.0])
CLASSES = [{}, {"order": 0}, {"order": 1}, {"order": 2, "tied": True}, {"order": 0, "tied": True}]


@cache
def problem(conflict=0.6, alphabet=2, length=6):
    return problem_of_markov(alphabet, 3, length, seed=1, conflict=conflict)


@cache
def compressor(**settings):
    return CountingCompressor(problem(), **settings)


def key(compressor, sequence, t):
    order = len(sequence) if compressor.order is None else compressor.order
    past = tuple(sequence[max(0, t - order) : t])
    return past if compressor.tied else (t, past)


def counted(compressor, sequences, weights):
    """Counts of (context, symbol) in dictionaries, one sequence after another, decayed as they come."""
    counts, keep = defaultdict(float), (1 - compressor.forgetting) ** (1 / compressor.examples)
    for sequence, weight in zip(sequences, weights, strict=True):
        for name in counts:
            counts[name] *= keep
        for t, symbol in enumerate(sequence):
            counts[key(compressor, sequence, t), symbol] += weight
    return counts


def predicted(compressor, counts):
    """q of every leaf: KT predictions along its path, from the dictionaries."""
    size, masses = compressor.problem.alphabet, []
    for sequence in compressor.problem.symbols().tolist():
        mass = 1.0
        for t, symbol in enumerate(sequence):
            context = key(compressor, sequence, t)
            total = sum(counts[context, y] for y in range(size)) + size * compressor.prior
            mass *= (counts[context, symbol] + compressor.prior) / total if total else 1 / size
        masses.append(mass)
    return np.array(masses)


# --- counts and predictions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", CLASSES)
def test_expected_counts_by_dictionaries(settings):
    for prior in (0.0, 0.5, 3.0):
        made = compressor(prior=prior, examples=10, **settings)
        state = made.optimum([4, 1, 0.5])
        weights = 10 * np.array([4, 1, 0.5]) @ problem().masses
        expected = predicted(made, counted(made, problem().symbols().tolist(), weights))
        np.testing.assert_allclose(made.masses(state), expected, rtol=1e-12)
        by_leaf = -(problem().masses * np.log(expected)).sum(axis=1)
        np.testing.assert_allclose(made.entropies(state), by_leaf, rtol=1e-12)
        assert made.masses(state).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("settings", [{}, {"order": 1, "tied": True}])
def test_sampled_sequences_decay_one_after_another(settings):
    made = compressor(prior=0.5, examples=8, forgetting=0.3, sampled=True, seed=5, **settings)
    state = made.train(made.train(made.start(), 0, 5.0), 1, 1.5)
    assert state.drawn == 52
    drawn = [
        problem().sample(0, 40, np.random.default_rng([5, 0, 0])),
        problem().sample(1, 12, np.random.default_rng([5, 1, 40])),
    ]
    sequences = problem().symbols()[np.concatenate(drawn)].tolist()
    expected = predicted(made, counted(made, sequences, np.ones(52)))
    np.testing.assert_allclose(made.masses(state), expected, rtol=1e-10)


def test_sampled_counts_are_expected_counts_on_average():
    """E of the sampled counts: sum_j (1-eta)^(j/E) = (1 - X)/(1 - (1-eta)^(1/E)), against E (1 - X)/h in the limit."""
    settings = {"prior": 0.5, "examples": 50, "forgetting": 0.2}
    expected = compressor(**settings).train(compressor(**settings).start(), 2, 3.0)
    draws = [compressor(sampled=True, seed=s, **settings) for s in range(400)]
    mean = np.mean([made.train(made.start(), 2, 3.0).tables[-1] for made in draws], axis=0)
    h = decay(0.2)
    discrete = expected.tables[-1] * (h / 50) / -math.expm1(-h / 50)
    error = np.sqrt(discrete.max() / 400)
    assert np.abs(mean - discrete).max() < 5 * error
    assert np.abs(mean[:, ::-1] - discrete).max() > 50 * error  # the test can see


def test_one_history_one_state_and_nested_joint_samples():
    made = compressor(sampled=True, examples=200, seed=3)
    one, again = (made.train(made.train(made.start(), 0, 2.0), 1, 1.0) for _ in range(2))
    for a, b in zip(one.tables, again.tables, strict=True):
        np.testing.assert_array_equal(a, b)
    other = replace(made, seed=4)
    assert any(
        (a != b).any()
        for a, b in zip(one.tables, other.train(other.train(other.start(), 0, 2.0), 1, 1.0).tables, strict=True)
    )
    small, large = made.optimum([3, 1, 0.5]), made.optimum([3, 1, 0.55])
    assert all((a <= b).all() for a, b in zip(small.tables, large.tables, strict=True))
    assert sum((b - a).sum() for a, b in zip(small.tables[:1], large.tables[:1], strict=True)) == 10


def test_a_state_is_not_changed_by_training():
    made = compressor()
    state = made.train(made.start(), 0, 1.0)
    before = [table.copy() for table in state.tables]
    made.train(state, 1, 2.0)
    for old, new in zip(before, state.tables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert isinstance(made, Compressor)


# --- limits: the mixture, and R19 ----------------------------------------------------------------------------------------


def test_without_prior_and_forgetting_it_is_the_mixture():
    mixture, made = MixtureCompressor(problem()), compressor(prior=0.0)
    for volumes in ([10, 1, 0], [10, 1, 3], [0, 0, 1], [1e-3, 1e3, 1]):
        code = made.optimum(volumes)
        np.testing.assert_allclose(made.masses(code), mixture.masses(np.array(volumes, float)), rtol=1e-12)
        np.testing.assert_allclose(made.entropies(code), mixture.entropies(mixture.optimum(volumes)), rtol=1e-12)
    state, other = made.start(), mixture.start()
    for dataset, volume in ((0, 10.0), (1, 1.0), (2, 0.3), (0, 0.1)):
        state, other = made.train(state, dataset, volume), mixture.train(other, dataset, volume)
        np.testing.assert_allclose(made.masses(state), mixture.masses(other), rtol=1e-12)


def test_the_distance_to_the_mixture_falls_as_the_prior():
    mixture = MixtureCompressor(problem())
    exact = mixture.entropies(mixture.optimum([10, 1, 1]))
    gaps = []
    for prior in (1e-1, 1e-3, 1e-5):
        made = compressor(prior=prior)
        gaps.append(np.abs(made.entropies(made.optimum([10, 1, 1])) - exact).max())
    assert np.diff(np.log(gaps)) == pytest.approx([-math.log(100)] * 2, rel=0.1)  # linear: these P_i are not q


PHASES = ((0, 20.0), (1, 3.0), (0, 0.0), (2, 1.5), (1, 0.25))


def check_forgetting(eta):
    """R19: with prior 0 the code is the mixture with the phase weights, its start left out."""
    made = compressor(prior=0.0, forgetting=eta)
    state = made.start()
    for dataset, volume in PHASES:
        state = made.train(state, dataset, volume)
    weights, _ = phase_weights([Phase(dataset, volume, eta) for dataset, volume in PHASES])
    code = sum(w * problem().masses[dataset] for w, (dataset, _) in zip(weights, PHASES, strict=True))
    np.testing.assert_allclose(made.masses(state), code / weights.sum(), rtol=1e-11)


@pytest.mark.parametrize("eta", [1e-3, 0.05, 0.6])
def test_forgetting_has_the_weights_of_r19(eta):
    check_forgetting(eta)


def test_beta_is_zero_in_the_pretraining_volume():
    """K_p/K_a -> 1/(e^{h n_a} - 1), whatever n_p (R19): 2.8566 at eta = 1e-3, n_a = 300, where the nominal are 67 and 333.

    The code after a perturbation l is the joint one with the volumes of the phases and (e^{hl} - 1)/h in place of l.
    """
    eta, h = 1e-3, decay(1e-3)
    for pretrain in (2e4, 1e5):
        made = compressor(prior=0.0, forgetting=eta)
        aligned = made.train(made.train(made.start(), 0, pretrain), 1, 300.0)
        volumes = [-math.expm1(-h * pretrain) * math.exp(-h * 300) / h, -math.expm1(-h * 300) / h]
        kappa = float(elasticity_constant(pretrain, 300, eta))
        assert volumes[0] / volumes[1] == pytest.approx(kappa, rel=1e-12)
        assert kappa == pytest.approx(2.8566, abs=5e-5)
        for step in (1.0, 100.0, 2000.0):
            joint = made.optimum([*volumes, math.expm1(h * step) / h])
            np.testing.assert_allclose(made.entropies(made.train(aligned, 2, step)), made.entropies(joint), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("eta in place of h", lambda eta: eta),
        ("twice the rate", lambda eta: 2 * decay(eta)),
        ("nothing forgotten", lambda eta: 1e-12),
    ],
)
def test_mutants_of_forgetting(name, mutant, monkeypatch):
    monkeypatch.setitem(CountingCompressor.train.__globals__, "decay", mutant)
    with pytest.raises(AssertionError):
        check_forgetting(0.05)


# --- joint optima ---------------------------------------------------------------------------------------------------------


def path(made, k=10.0):
    states = [made.optimum([k, 1.0, step]) for step in STEPS]
    rates = np.stack([made.entropies(state) for state in states], axis=1)
    return states, rates, np.array([made.regulariser(state) for state in states])


def check_regularised_law(made, regulariser=None):
    """R5 with R in the sum: between 0 and L (H_t(0) - H_t(L)), and equal to the weighted divergence of the predictions."""
    states, rates, own = path(made)
    penalty = own if regulariser is None else regulariser(made, states)
    law = optima_law(STEPS, [10, 1], rates, penalty)
    assert law.holds(slack=1e-12)
    exact = [made.residual(states[0], state) for state in states[1:]]
    np.testing.assert_allclose(law.residual[0, 1:], exact, rtol=1e-9)
    assert (law.residual[0, 1:] > 0).all()
    assert (law.residual[0, 1:] <= law.upper[0, 1:]).all()
    return law, own


@pytest.mark.parametrize("settings", CLASSES)
@pytest.mark.parametrize("prior", [0.0, 0.5, 20.0])
def test_r5_holds_with_the_prior_as_a_regulariser(settings, prior):
    made = compressor(prior=prior, examples=10, **settings)
    law, own = check_regularised_law(made)
    _, rates, _ = path(made)
    plain = optima_law(STEPS, [10, 1], rates)
    np.testing.assert_allclose(law.residual[0, 1:] - plain.residual[0, 1:], own[1:] - own[0], atol=1e-12)


def test_r5_fails_without_the_regulariser_by_exactly_its_change():
    made = compressor(prior=20.0, examples=10)
    _, rates, own = path(made)
    plain = optima_law(STEPS, [10, 1], rates)
    assert not plain.holds(slack=1e-6)
    assert plain.residual[0, 1:].min() < 0  # the lower bound itself is broken: more perturbation makes D_p, D_a shorter
    assert plain.holds(missed=np.ptp(own) + 1e-12)  # R6: a miss of delta costs delta


def test_mutants_of_the_regulariser():
    made = compressor(prior=0.5, examples=10)
    check_regularised_law(made)
    for factor in (-1.0, 0.99, 0.5, 0.0):
        with pytest.raises(AssertionError):
            check_regularised_law(made, lambda m, states, f=factor: np.array([f * m.regulariser(s) for s in states]))


def test_any_other_code_is_worse_by_the_divergence_of_its_predictions():
    """F(q') - F(q) = residual(q, q') >= 0 for any counts whatever: the optimum is one."""
    rng = np.random.default_rng(0)
    for settings in CLASSES:
        made = compressor(prior=0.5, examples=10, **settings)
        volumes = np.array([10, 1, 0.7])
        best = made.optimum(volumes)

        def objective(state, made=made, volumes=volumes):
            return volumes @ made.entropies(state) + made.regulariser(state)

        for _ in range(5):
            other = Counts(tuple(table * rng.lognormal(0, 0.5, table.shape) for table in best.tables))
            assert objective(other) - objective(best) == pytest.approx(made.residual(best, other), rel=1e-8)
            assert objective(other) > objective(best)


@pytest.mark.parametrize("settings", CLASSES)
def test_gradients_balance_at_the_optimum_and_are_derivatives(settings):
    made = compressor(prior=0.0, examples=10, **settings)
    volumes = np.array([10, 1, 0.7])
    state = made.optimum(volumes)
    slopes = made.gradients(state)
    assert slopes.shape == (3, made.parameters)
    np.testing.assert_allclose(volumes @ slopes, 0, atol=1e-13)

    logits = [np.log(table) for table in made.predictions(state)]

    def entropies(moved):
        tables = []
        for table in moved:
            weights = np.exp(table)
            tables.append(weights / weights.sum(axis=1, keepdims=True))
        # counts in proportion to the predictions, many of them, give these predictions whatever the prior
        return replace(made, prior=0.0).entropies(Counts(tuple(tables)))

    rng, at = np.random.default_rng(1), 1e-5
    for _ in range(3):
        way = [rng.standard_normal(table.shape) for table in logits]
        up, down = (entropies([a + s * at * b for a, b in zip(logits, way, strict=True)]) for s in (1, -1))
        flat = np.concatenate([b.reshape(-1) for b in way])
        np.testing.assert_allclose((up - down) / (2 * at), slopes @ flat, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("settings", CLASSES)
def test_r7_gradients_are_antiparallel_and_their_ratio_is_k(settings):
    for k in (2.0, 50.0):
        made = compressor(prior=0.0, **settings)
        pretrain, align, _ = made.gradients(made.optimum([k, 1, 0]))
        found = gradient_test(pretrain, align)
        assert found.exists
        assert found.ratio == pytest.approx(k, rel=1e-10)
    made = compressor(prior=50.0, examples=10, **settings)  # a prior is a third force
    pretrain, align, _ = made.gradients(made.optimum([2.0, 1, 0]))
    found = gradient_test(pretrain, align)
    if made.parameters == 2:  # one free parameter: collinear whatever the point, but the ratio is not k
        assert abs(found.cosine) == pytest.approx(1, abs=1e-12)
        assert abs(found.ratio - 2) > 0.1
    else:
        assert abs(found.cosine) < 1 - 1e-6


@pytest.mark.parametrize("settings", [{}, {"order": 1}, {"order": 2, "tied": True}])
def test_r16_effective_volumes_are_the_nominal_ones(settings):
    """W = int l (-dH_t) = int H_t dl - L H_t(L), by quadrature; a prior of 0, any class of contexts."""
    made = compressor(prior=0.0, **settings)

    def entropy(step):
        return float(made.entropies(made.optimum([10, 1, step]))[2])

    steps = np.array([0.3, 1.0, 3.0])
    work = [quad(entropy, 0, step, epsabs=1e-13, epsrel=1e-13)[0] - step * entropy(step) for step in steps]
    rates = np.stack([made.entropies(made.optimum([10, 1, step]))[:2] for step in (0.0, *steps)], axis=1)
    seen = effective_volumes(rates[:, 1:] - rates[:, :1], work)
    np.testing.assert_allclose(seen.volumes, [10, 1], rtol=1e-6)


def test_r16_reads_forgetting_in_its_own_perturbation():
    """A sequential run is joint in l' = (e^{hl} - 1)/h: read in l' the volumes are R19's, read in l they come out too small."""
    eta, h, end = 0.1, decay(0.1), 3.0
    made = compressor(prior=0.0, forgetting=eta)
    aligned = made.train(made.train(made.start(), 0, 20.0), 1, 1.0)
    true = np.array([-math.expm1(-20 * h) * math.exp(-h) / h, -math.expm1(-h) / h])
    steps = np.linspace(end / 6, end, 6)
    rates = np.stack([made.entropies(made.train(aligned, 2, step)) for step in (0.0, *steps)], axis=1)

    def read(measure, slope):
        """The constants where a step l counts as measure(l): W = int measure (-dH_t) = int H_t slope dl - measure(L) H_t(L)."""

        def integrand(step):
            return float(made.entropies(made.train(aligned, 2, step))[2]) * slope(step)

        work = [quad(integrand, 0, s, epsabs=1e-13)[0] - measure(s) * rates[2, i + 1] for i, s in enumerate(steps)]
        return effective_volumes(rates[:2, 1:] - rates[:2, :1], work)

    own = read(lambda step: math.expm1(h * step) / h, lambda step: math.exp(h * step))
    np.testing.assert_allclose(own.volumes, true, rtol=1e-7)
    nominal = read(lambda step: step, lambda step: 1.0)
    assert (nominal.volumes < true).all()
    assert nominal.kappa < 0.9 * true[0] / true[1]  # 6.89 for 7.91


def test_no_prior_is_too_small_for_r5_to_need_it():
    """k dH_p + dH_a -> -dR/dl as l -> 0, first order where R5's bound is second: any prior breaks it at a small enough L."""
    for prior in (0.5, 0.05):
        made = compressor(prior=prior, examples=1000)
        start, later = (made.optimum([10, 1, step]) for step in (0.0, 1e-6))
        change = made.entropies(later) - made.entropies(start)
        own = made.regulariser(later) - made.regulariser(start)
        assert own > 0
        assert 10 * change[0] + change[1] == pytest.approx(-own, rel=0.05)
        assert 10 * change[0] + change[1] < 0


def test_a_grammar_whose_union_covers_it():
    made = CountingCompressor(problem_of_grammar(3, 2, 5, seed=2), prior=0.0)
    states = [made.optimum([10, 1, step]) for step in (0.0, 1.0)]
    mixture = MixtureCompressor(made.problem)
    for state, step in zip(states, (0.0, 1.0), strict=True):
        np.testing.assert_allclose(made.entropies(state), mixture.entropies(mixture.optimum([10, 1, step])), rtol=1e-11)


def test_what_is_not_covered_is_infinite():
    apart = problem_of_markov(2, 3, 4, seed=1, union="none", sharpness=1e-6)  # nearly deterministic, and D_1 is another
    made = CountingCompressor(replace(apart, masses=np.round(apart.masses)), prior=0.0)
    state = made.train(made.start(), 0, 1.0)
    found = made.entropies(state)
    assert found[0] == 0
    assert np.isinf(found[1:]).any()
    assert np.isfinite(replace(made, prior=0.5).entropies(state)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prior": -0.5}, "prior"),
        ({"prior": float("nan")}, "prior"),
        ({"forgetting": 1.0}, "forgetting"),
        ({"examples": 0}, "examples"),
        ({"order": -1}, "order"),
        ({"tied": True}, "tied"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        CountingCompressor(problem(), **settings)


def test_volumes_that_are_refused():
    made = compressor()
    for volumes in ([0, 0, 0], [1, 1], [1, -1, 0], [1, np.inf, 0]):
        with pytest.raises(InputError, match="volumes"):
            made.optimum(volumes)
    with pytest.raises(InputError, match="dataset is 3"):
        made.train(made.start(), 3, 1.0)
    with pytest.raises(InputError, match="volume is -1"):
        made.train(made.start(), 0, -1.0)
