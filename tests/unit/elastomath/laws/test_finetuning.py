"""R7: the gradient test, the energy and its remainder at the tight constant, and the elastic limit of a non-convex model."""

import math

import numpy as np
import pytest

from elastomath.derivations import derive, finetuning
from elastomath.derivations.language import Rises, Step
from elastomath.derivations.words import DerivationError
from elastomath.errors import InputError
from elastomath.laws.finetuning import (
    elastic_energy,
    elastic_limit,
    elastic_path,
    gradient_test,
    remainder_bound,
    stiffness_ratios,
)
from elastomath.verification.softmax import LowRankSoftmax


def test_antiparallel_gradients_have_a_constant():
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(50, 40))
    found = gradient_test(gradient, -20 * gradient)
    assert found.exists
    assert found.cosine == pytest.approx(-1, abs=1e-15)
    assert found.ratio == pytest.approx(20, rel=1e-14)
    ratios = stiffness_ratios(gradient.ravel(), -20 * gradient.ravel(), rng.normal(size=(30, 2000)))
    assert np.allclose(ratios, 20, rtol=1e-9)


def test_parallel_gradients_have_none():
    found = gradient_test([1.0, 2.0], [3.0, 6.0])
    assert not found.exists
    assert found.cosine == pytest.approx(1)
    assert found.steepest == pytest.approx(-3)  # the same for all delta, but negative


@pytest.mark.parametrize("angle", [1e-3, 1e-6, 1e-9])
def test_a_small_angle_keeps_its_digits(angle):
    found = gradient_test([1.0, 0.0], [-math.cos(angle), math.sin(angle)])
    assert found.misalignment == pytest.approx(angle, rel=1e-6)
    assert found.exists == (angle <= 1e-6 * (1 + 1e-9))


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e150, 1e300])
def test_no_square_under_or_overflows(scale):
    found = gradient_test([3 * scale, 4 * scale], [-6 * scale, -8 * scale])
    assert found.ratio == pytest.approx(2, rel=1e-14)
    assert found.exists


def test_float32_gradients_of_many_entries():
    gradient = np.random.default_rng(1).normal(size=200_000).astype(np.float32)
    found = gradient_test(gradient, (-7 * gradient.astype(np.float64)).astype(np.float32))
    assert found.ratio == pytest.approx(7, rel=1e-7)
    assert found.exists


def test_a_gradient_of_zero_has_no_cosine():
    base = gradient_test([0.0, 0.0], [1.0, 1.0])  # the base on its own samples
    assert not base.exists
    assert math.isnan(base.cosine)
    assert base.ratio == math.inf
    assert gradient_test([1.0, 0.0], [0.0, 0.0]).ratio == 0
    assert math.isnan(gradient_test([0.0], [0.0]).ratio)


@pytest.mark.parametrize(
    "pair", [([1.0], [1.0, 2.0]), ([], []), ([math.nan], [1.0]), ([1.0], [math.inf]), ([[1.0, 2.0]], [1.0, 2.0])]
)
def test_unusable_gradients_are_refused(pair):
    with pytest.raises(InputError, match="gradient"):
        gradient_test(*pair)


def test_off_collinearity_kappa_takes_every_value():
    rng = np.random.default_rng(2)
    g_p, g_a = rng.normal(size=(2, 6))
    c = -(g_a @ g_p) / (g_p @ g_p)
    rest = g_a + c * g_p
    for wanted in (-100.0, 0.0, 3.0, 1e4):
        z = (c - wanted) * (g_p @ g_p) / (rest @ rest)
        assert stiffness_ratios(g_p, g_a, [g_p + z * rest])[0] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_the_spread_is_attained_and_not_passed():
    rng = np.random.default_rng(3)
    g_p, g_a = rng.normal(size=(2, 5))
    found, angle = gradient_test(g_p, g_a), 0.4
    unit = g_p / np.linalg.norm(g_p)
    across = rng.normal(size=(20_000, 5))
    rest = g_a - (g_a @ unit) * unit
    across = np.vstack([across - np.outer(across @ unit, unit), rest, -rest])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    away = np.abs(stiffness_ratios(g_p, g_a, unit + math.tan(angle) * across) - found.steepest)
    assert away.max() == pytest.approx(found.spread(angle), rel=1e-9)


def test_one_sixth_is_the_best_constant():
    # F = G s^2/2 + M s^3/6 has the remainder M/6; the bound with a smaller constant would be passed
    def energy(s):
        return 3 * s**2 / 2 + 5 * s**3 / 6

    rest = energy(1.0) - float(elastic_energy([[3.0]], [1.0]))
    assert rest == pytest.approx(float(remainder_bound(5.0)), rel=1e-14)
    assert rest > 0.99 * float(remainder_bound(5.0))
    assert float(remainder_bound(-5.0)) > 0


def test_the_limit_is_where_the_energy_is_the_linear_term():
    hessian, slope, direction = np.diag([2.0, 5.0]), np.array([0.3, -0.4]), np.array([0.6, 0.8])
    distance = float(elastic_limit(slope @ direction, direction @ hessian @ direction))
    assert elastic_energy(hessian, distance * direction) == pytest.approx(abs(slope @ direction) * distance, rel=1e-14)
    assert elastic_limit(0.2, -1.0) == math.inf


def test_a_path_across_grad_h_a_is_beyond_the_limit_at_once():
    """Energy where H_a has no slope: the ratio was NaN and the limit infinite, where `elastic_limit` says 0."""
    path = elastic_path([0, 1, 2], [10, 1], [[0, 0.05, 0.3], [0, -0.4, -0.6]], [0, -0.5, 0.0])
    assert path.ratio[1:].tolist() == [pytest.approx(0.2), math.inf]
    assert path.limit == 1.0
    assert elastic_path([0, 1], [10, 1], [[0, 1], [0, 1]], [0, 0]).limit == 1.0
    assert elastic_limit(0.0, 2.0) == 0.0


def test_a_path_that_never_leaves_the_linear_regime():
    path = elastic_path([0, 1], [10, 1], [[0, 0.1], [0, -0.9]], [0, -1.0])
    assert path.limit == math.inf
    assert path.energy == pytest.approx([0, 0.1])


@pytest.mark.parametrize(
    "arguments",
    [
        ([0, 1], [1], [[0, 1], [0, 1]], [0, 1]),
        ([1, 0], [1, 1], [[0, 1], [0, 1]], [0, 1]),
        ([0, 1], [1, 1], [[0, 1]], [0, 1]),
    ],
)
def test_a_path_that_does_not_fit_is_refused(arguments):
    with pytest.raises(InputError, match="elastic_path"):
        elastic_path(*arguments)


@pytest.fixture(scope="module")
def softmax():
    rng, model = np.random.default_rng(0), LowRankSoftmax(12, 20, 3)
    data = rng.gamma(0.3, size=(3, 12, 20))
    data /= data.sum(axis=(1, 2), keepdims=True)
    return model, data, model.fit(data[:2], [20, 1])


def test_gradients_and_hessians_of_the_softmax_by_differences(softmax):
    model, data, _ = softmax
    rng = np.random.default_rng(4)
    theta, move = rng.normal(size=(2, model.size))
    slopes = model.gradients(theta, data)
    up, down = (model.losses(theta + h * move, data) for h in (1e-6, -1e-6))
    assert slopes @ move == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8)
    bend = (model.gradients(theta + 1e-6 * move, data) - model.gradients(theta - 1e-6 * move, data))[1] / 2e-6
    assert model.hessian(theta, data[1]) @ move == pytest.approx(bend, rel=1e-5, abs=1e-7)


def test_low_rank_softmax_at_its_joint_optimum(softmax):
    model, data, theta = softmax
    slopes = model.gradients(theta, data)
    found = gradient_test(slopes[0], slopes[1], 1e-12)
    assert found.exists  # cosine -1 to 24 digits: 1 + cos = misalignment^2/2
    assert found.ratio == pytest.approx(20, abs=1e-9)
    assert not gradient_test(slopes[0], slopes[2]).exists
    off = theta + 0.05 * np.random.default_rng(5).normal(size=model.size)
    assert not gradient_test(*model.gradients(off, data)[:2]).exists


def test_fine_tuning_leaves_the_linear_regime_within_a_few_steps(softmax):
    model, data, theta = softmax
    slopes, codes = model.gradients(theta, data), model.losses(theta, data[:2])
    hessian = 20 * model.hessian(theta, data[0]) + model.hessian(theta, data[1])
    told = float(elastic_limit(slopes[1] @ slopes[2], slopes[2] @ hessian @ slopes[2])) / 0.1
    place, moves, slides = theta, [np.zeros(2)], [0.0]
    for _ in range(12):
        place = place - 0.1 * model.gradients(place, data[2:])[0]
        moves.append(model.losses(place, data[:2]) - codes)
        slides.append(float(slopes[1] @ (place - theta)))
    path = elastic_path(np.arange(13), [20, 1], np.array(moves).T, slides)
    assert 1 < path.limit < 8
    assert path.limit == pytest.approx(told, rel=0.1)
    assert np.all(path.energy[1:] > 0)
    near = theta + 1e-4 * slopes[2]  # second order: the residual is the energy
    energy = float(np.array([20, 1]) @ (model.losses(near, data[:2]) - codes))
    assert energy == pytest.approx(float(elastic_energy(hessian, near - theta)), rel=1e-3)


def test_the_gauge_leaves_the_hessian_singular(softmax):
    model, data, theta = softmax
    values = np.linalg.eigvalsh(20 * model.hessian(theta, data[0]) + model.hessian(theta, data[1]))
    assert np.sum(np.abs(values) < 1e-9) >= model.rank**2
    assert values.min() > -1e-9


def test_no_convergence_is_said():
    with pytest.raises(InputError, match="grad F"):
        LowRankSoftmax(2, 3, 1).fit(np.full((1, 2, 3), 1 / 6), [1.0], gradient=-1.0)


def test_a_wrong_energy_breaks_the_derivation(monkeypatch):
    monkeypatch.setattr(finetuning, "taylor", lambda value, curvature, s: value + curvature * s**2 / 3)
    with pytest.raises((DerivationError, ValueError)):
        finetuning.BUILDERS["R7"]()


def test_a_smaller_remainder_cannot_be_built():
    import dataclasses

    (step,) = (step for step in derive("R7") if step.statement.startswith("so f itself"))
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs * 0.99))
    assert isinstance(step.proof, Rises)
    assert isinstance(step, Step)


def test_displacements_have_the_size_of_the_gradients():
    with pytest.raises(InputError, match="displacements"):
        stiffness_ratios([1.0, 0.5], [-2.0, 0.1], [[1.0, 0.5, 0.3]])
