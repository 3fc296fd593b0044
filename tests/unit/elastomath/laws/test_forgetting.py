"""R19: forgetting in closed form against the recursion, its constants, exponents and bounds."""

import dataclasses
import math

import numpy as np
import pytest

from elastomath.derivations import derive
from elastomath.derivations.words import DerivationError
from elastomath.errors import InputError
from elastomath.laws.finite import finite_law, path_entropies
from elastomath.laws.forgetting import (
    Phase,
    aligned_score,
    decay,
    effective_mixture,
    elasticity_constant,
    first_fall,
    local_exponents,
    phase_weights,
    return_steps,
    sequential_masses,
    step_weights,
    tampering_ceiling,
)
from elastomath.laws.rebound import Scores, return_volume

ROWS = np.random.default_rng(0).dirichlet(np.ones(8), size=4)
FILMS = Scores(0.3, 0.9, 0.1)


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.7])
def test_a_run_is_the_recursion_and_a_joint_run(rate):
    phases = [Phase(0, 40, rate), Phase(1, 7, rate), Phase(2, 5, rate / 2), Phase(1, 3, rate)]
    model = ROWS[3]
    for phase in phases:
        for _ in range(int(phase.steps)):
            model = (1 - phase.rate) * model + phase.rate * ROWS[phase.dataset]
    assert sequential_masses(ROWS[:3], phases, ROWS[3])[-1] == pytest.approx(model, rel=1e-12)
    joint = effective_mixture(ROWS[:3], phases, ROWS[3])
    assert joint.masses == pytest.approx(model, rel=1e-12)
    assert joint.total == pytest.approx(1, rel=1e-14)


def test_nothing_done_is_the_start():
    assert sequential_masses(ROWS[:3], [], ROWS[3]).tolist() == [ROWS[3].tolist()]
    assert effective_mixture(ROWS[:3], [Phase(0, 0, 0.5)], ROWS[3]).volumes.tolist() == [1.0]
    assert step_weights([])[1] == 1.0


def test_weights_of_steps_add_up_and_decay():
    rates = np.random.default_rng(1).uniform(0, 1, 50)
    weights, rest = step_weights(rates)
    assert weights.sum() + rest == pytest.approx(1, rel=1e-14)
    direct = [rates[j] * np.prod(1 - rates[j + 1 :]) for j in range(50)]
    assert weights == pytest.approx(direct, rel=1e-12)
    average, rest = step_weights(1 / np.arange(1, 401))
    assert average == pytest.approx(np.full(400, 1 / 400), rel=1e-12)  # joint compression
    assert rest == 0


def test_the_constant_of_the_page():
    exact = elasticity_constant([2e4, 1e5], 300, 1e-3)
    assert exact == pytest.approx([2.856641, 2.856641], abs=5e-7)
    assert elasticity_constant(1e5, 300, 1e-3, exponential=True) == pytest.approx(1 / math.expm1(0.3), rel=1e-14)
    assert elasticity_constant(1e5, 300, 1e-3, exponential=True) == pytest.approx(2.858296, abs=5e-7)
    weights, _ = phase_weights([Phase(0, 2e4, 1e-3), Phase(1, 300, 1e-3), Phase(2, 77, 1e-3)])
    assert weights[0] / weights[1] == pytest.approx(exact[0], rel=1e-12)  # whatever the perturbation


def test_the_exponential_form_is_off_by_half_the_rate():
    for rate in (1e-2, 1e-4):
        assert (decay(rate) - rate) / rate == pytest.approx(rate / 2, rel=1e-2)
        assert rate < decay(rate) < rate / (1 - rate)


def test_few_steps_are_joint_compression():
    assert elasticity_constant(30, 10, 1e-9) == pytest.approx(3, rel=1e-6)
    first, second = local_exponents(1, 1, 1e-9)
    assert first == pytest.approx(1, abs=1e-8)
    assert second == pytest.approx(-1, abs=1e-8)
    assert return_steps(FILMS, 10, 1e-9) == pytest.approx(return_volume(FILMS, 10), rel=1e-6)


def test_exponents_are_slopes_and_keep_their_bounds():
    grid = np.geomspace(1, 1e5, 21)
    first, second = local_exponents(grid, grid, 1e-3)
    assert np.all(np.diff(first) <= 0)
    assert np.all((first >= 0) & (first <= 1))
    assert np.all(np.diff(second) <= 0)
    assert np.all(second <= -1)
    step = 1e-5
    for n in (10.0, 1000.0):
        up, down = (np.log(elasticity_constant(n * math.exp(s), 300, 1e-3)) for s in (step, -step))
        assert local_exponents(n, 300, 1e-3)[0] == pytest.approx((up - down) / (2 * step), rel=1e-6)
        up, down = (np.log(elasticity_constant(1e4, n * math.exp(s), 1e-3)) for s in (step, -step))
        assert local_exponents(1e4, n, 1e-3)[1] == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_far_too_much_alignment_leaves_nothing_of_pretraining():
    assert elasticity_constant(1e6, 1e9, 0.5) == 0
    assert local_exponents(1e9, 1, 0.5)[0] == 0


def test_the_first_fall_grows_without_r13s_condition():
    middle = Scores(0.5, 0.9, 0.1)  # in joint compression more alignment never falls faster from here
    falls = first_fall(middle, np.array([0, 10, 100, 1000]), 1e-2)
    assert np.all(np.diff(falls) > 0)
    at = float(aligned_score(middle, 100, 1e-2))
    assert falls[2] == pytest.approx(at - ((1 - 1e-2) * at + 1e-2 * 0.1), rel=1e-13)


@pytest.mark.parametrize("scores", [FILMS, Scores(0.7, 0.1, 0.9)])
def test_steps_to_return(scores):
    rate, n = 0.01, 250
    m = float(return_steps(scores, n, rate))
    at = scores.base
    for _ in range(n):
        at += rate * (scores.positive - at)
    assert at == pytest.approx(float(aligned_score(scores, n, rate)), rel=1e-12)
    after = scores.negative + (at - scores.negative) * (1 - rate) ** m
    assert after == pytest.approx(scores.base, rel=1e-12)


def test_m_star_rises_bends_down_and_saturates():
    grid = np.geomspace(1, 1e5, 41)
    steps = return_steps(FILMS, grid, 1e-3)
    assert np.all(np.diff(steps[:30]) > 0)
    exponents = np.diff(np.log(steps)) / np.diff(np.log(grid))
    assert np.all((exponents >= 0) & (exponents < 1))
    assert steps[-1] == pytest.approx(math.log(0.8 / 0.2) / decay(1e-3), rel=1e-12)
    within = return_steps(FILMS, grid, 1e-3, 0.05)
    assert np.all(np.diff(within) >= 0)
    assert np.all(within < steps)


@pytest.mark.parametrize("reverse", [False, True])
def test_m_star_rises_under_a_divergence_too(reverse):
    base, positive, negative = np.array([0.4, 0.3, 0.3]), np.array([0.8, 0.1, 0.1]), np.array([0.05, 0.5, 0.45])
    last, steps = -1, np.arange(1, 4000)
    for n in (50, 100, 200, 500, 2000, 20000):
        kept = (1 - 1e-3) ** n
        start = kept * base + (1 - kept) * positive
        left = (1 - 1e-3) ** steps[:, None]
        model = left * start + (1 - left) * negative
        pair = (base, model) if reverse else (model, base)
        divergence = (pair[0] * np.log(pair[0] / pair[1])).sum(axis=1)
        met = int(np.argmax(divergence < 0.01))
        assert divergence[met] < 0.01
        assert met >= last
        last = met
    assert last > 100


def test_the_ceiling_is_linear_and_attained_by_data_that_share_nothing():
    assert tampering_ceiling([100, 200], 1e-3) == pytest.approx([0.1000500333, 0.2001000667], rel=1e-9)
    start = [0.5, 0.5, 0.0]
    after = sequential_masses([[0.0, 0.0, 1.0]], [Phase(0, 100, 1e-3)], start)[-1]
    assert -np.log(after[0] / 0.5) == pytest.approx(float(tampering_ceiling(100, 1e-3)), rel=1e-12)


def test_the_finite_law_holds_with_effective_volumes():
    phases = [Phase(0, 500, 1e-3), Phase(1, 300, 1e-3)]
    start = effective_mixture(ROWS[:3], phases, ROWS[3])
    steps = np.array([0, 10, 100, 1000])
    models = [sequential_masses(ROWS[:3], [*phases, Phase(2, m, 1e-3)], ROWS[3])[-1] for m in steps]
    codes = np.array([[-(row @ np.log(q)) for q in models] for row in [ROWS[3], *ROWS[:3]]])
    volumes = np.expm1(steps * decay(1e-3))  # L, in units of the start's volume 1
    law = finite_law(volumes, start.volumes, codes)
    assert law.holds(1e-12)
    assert np.all(law.ratio[1:] <= 0.5)
    same = path_entropies(dataclasses.replace(start, components=np.vstack([start.components, ROWS[2]]),
                                              volumes=np.append(start.volumes, 0.0)), volumes)  # fmt: skip
    assert codes == pytest.approx(same, rel=1e-12)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Phase(0, -1, 0.1),
        lambda: Phase(0, 1, 0.0),
        lambda: Phase(0, 1, 1.0),
        lambda: decay(1.0),
        lambda: step_weights([0.5, 1.5]),
        lambda: step_weights([[0.5]]),
        lambda: effective_mixture(ROWS[:2], [Phase(2, 1, 0.1)], ROWS[3]),
        lambda: elasticity_constant(0, 1, 0.1),
        lambda: local_exponents(1, 0, 0.1),
        lambda: return_steps(FILMS, 1, 0.1, -1),
    ],
)
def test_what_cannot_be_used_is_refused(broken):
    with pytest.raises(InputError):
        broken()


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 9, 12, 14, 19, 22])
def test_a_factor_that_is_off_cannot_be_derived(number):
    step = derive("R19").steps[number - 1]
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs * 1.01))


@pytest.mark.parametrize("number", [10, 13, 18])
def test_a_tighter_exponent_cannot_be_derived(number):
    step = derive("R19").steps[number - 1]
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs * (1.01 if number != 10 else 0.99)))
