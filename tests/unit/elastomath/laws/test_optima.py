"""R6: readings of any class judged between every two of them, misses at their price, the response along a branch."""

from fractions import Fraction

import numpy as np
import pytest

from elastomath.certify.optima import certify_tilt
from elastomath.derivations import derive
from elastomath.derivations.optima import competitors
from elastomath.errors import InputError
from elastomath.laws.finite import finite_law, path_entropies
from elastomath.laws.optima import branch_response, joint_optima, optima_law
from elastomath.laws.response import response
from elastomath.mixtures.mixture import Mixture
from elastomath.verification.optima import plateau_share, solve_tilt, tilt_path, turning_family

MIXTURE = Mixture.of([[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.7, 0.1, 0.2]], [10, 1, 0])
STEPS = [0.0, 0.5, 1.0, 4.0]


def test_from_zero_it_is_the_finite_law():
    codes = path_entropies(MIXTURE, STEPS)
    law, any_start = finite_law(STEPS, [10, 1], codes), optima_law(STEPS, [10, 1], codes)
    assert any_start.residual[0, 1:] == pytest.approx(law.residual[1:], rel=1e-12)
    assert any_start.upper[0, 1:] == pytest.approx(law.upper[1:], rel=1e-12)
    assert (any_start.lower[0, 1:] == 0).all()
    assert any_start.holds(slack=1e-13)
    assert np.isnan(any_start.residual[np.tril_indices(4)]).all()


def test_a_miss_costs_itself_on_its_own_side_only():
    """End worse by 0.3: the upper bound is passed by 0.3 and no more, the lower one is not touched."""
    codes = path_entropies(MIXTURE, [0.0, 2.0])
    tied = codes.copy()
    tied[0, 1] = codes[0, 0] + (2 * (codes[2, 0] - codes[2, 1]) - (codes[1, 1] - codes[1, 0])) / 10  # residual = upper
    exact = optima_law([0, 2], [10, 1], tied)
    assert exact.residual[0, 1] == pytest.approx(exact.upper[0, 1], abs=1e-13)
    missed = optima_law([0, 2], [10, 1], tied + np.array([[0, 0.03], [0, 0], [0, 0]]))
    assert missed.residual[0, 1] - missed.upper[0, 1] == pytest.approx(0.3, abs=1e-12)
    assert missed.missed == pytest.approx([0, 0.3], abs=1e-12)
    assert missed.holds([0, 0.301])
    assert not missed.holds([0, 0.3 * 0.999])
    assert not missed.holds([0.301, 0])


def test_a_regulariser_joins_the_sum():
    losses = np.array([[1.0, 1.4, 1.2], [1.0, 0.9, 1.1], [3.0, 1.0, 0.5]])
    penalty = np.array([0.0, 2.0, 7.0])
    chosen, rates = joint_optima(losses, [2, 1], [0, 1, 4], penalty)
    assert chosen.tolist() == [0, 0, 1]
    assert optima_law([0, 1, 4], [2, 1], rates, penalty[chosen]).holds(slack=1e-14)
    every = [np.argmin(2 * losses[0] + losses[1] + step * losses[2] + penalty) for step in (0, 1, 4)]
    assert chosen.tolist() == every
    assert not optima_law([0, 1, 4], [2, 1], rates).holds(slack=1e-14)  # without it the second model was better at 0


def test_readings_within_the_bounds_are_optima_of_the_class_of_these_readings():
    """R6's last claim: what holds between neighbours holds between all, and the readings are a class with these optima."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        steps = np.sort(rng.uniform(0, 5, size=6))
        falls = rng.uniform(0, 1, size=5)
        residual = falls * (steps[:-1] + rng.uniform(0, 1, size=5) * np.diff(steps))
        others, perturb = np.append(0, np.cumsum(residual)), np.append(5, 5 - np.cumsum(falls))
        law = optima_law(steps, [1.0], [others, perturb])
        assert law.holds(slack=1e-12)
        values = others + np.outer(steps, perturb)
        assert (np.diag(values) <= values.min(axis=1) + 1e-12).all()


def test_the_constant_one_is_reached_by_an_exponential_family():
    assert Fraction(9, 10) < plateau_share(10) < plateau_share(100) < plateau_share(1000) < 1
    assert plateau_share(1000) > Fraction(999, 1000)


def test_mixtures_as_a_branch():
    """R6's form of R1 with theta = the masses on all but one leaf is R1 itself."""
    mixture = MIXTURE.at(2.0)
    q = mixture.masses
    gradients = -(mixture.components[:, :-1] / q[:-1]) + mixture.components[:, -1:] / q[-1]
    hessian = mixture.total * (np.diag(1 / q[:-1]) + 1 / q[-1])
    seen, direct = branch_response(gradients, hessian, mixture.volumes), response(mixture)
    assert seen.derivatives == pytest.approx(direct.derivatives, rel=1e-10)
    assert seen.epsilon == pytest.approx(direct.epsilon, rel=1e-9)
    assert seen.theta_constant == pytest.approx(direct.theta_constant, rel=1e-9)
    assert seen.gradient < 1e-13
    assert abs(seen.balance) < 1e-14
    assert seen.direction == pytest.approx((mixture.components[-1] - q)[:-1] / mixture.total, rel=1e-10)


def test_more_than_one_change_of_sign_in_an_exponential_family():
    """R4's last sentence stops at mixtures: dH_a > 0 at l = 0 and < 0 later, in fractions."""
    rows, models, k, step, slopes = turning_family()
    assert slopes[0] > 0 > slopes[1]
    assert all(sum(row) == 1 and min(row) >= 0 for row in [*rows, *models])
    assert (k, step) == (100, 2020)


def test_float_ball_and_symbol_agree():
    features, base, data = [[0], [1], [3]], [2, 1, 1], [[3, 2, 1], [1, 4, 1], [1, 1, 2]]
    steps = [Fraction(0), Fraction(1, 2), Fraction(3)]
    ball = certify_tilt(features, base, data, [10, 1], steps)
    rows = np.array([np.array(row) / sum(row) for row in data])
    floats, _ = tilt_path(np.array(features, float), np.log(base), rows, np.array([10.0, 1.0]), np.array([0, 0.5, 3]))
    for row, enclosures in zip(floats, ball.rates, strict=True):
        for value, enclosure in zip(row, enclosures, strict=True):
            assert enclosure.agrees(value, 1e-13)
            assert enclosure.high - enclosure.low < 1e-14
    law = optima_law([0, 0.5, 3], [10, 1], floats)
    c = competitors()
    for j in (0, 1):
        assert ball.residual[j].agrees(law.residual[j, j + 1], 1e-9, 1e-13)
        assert ball.lower[j].agrees(law.residual[j, j + 1] - law.lower[j, j + 1], 1e-9, 1e-13)
        assert ball.upper[j].agrees(law.upper[j, j + 1] - law.residual[j, j + 1], 1e-9, 1e-13)
        others = [10 * floats[0, i] + floats[1, i] for i in (j, j + 1)]
        slack = {c.l_0: [0, 0.5][j], c.g: [0.5, 2.5][j], c.E_0: others[0], c.E_1: others[1]}
        slack |= {c.t_0: floats[2, j], c.t_1: floats[2, j + 1], c.miss_0: 0, c.miss_1: 0}
        lower, upper = (derive("R6").steps[index].difference for index in (3, 4))
        assert ball.lower[j].agrees(float(lower.subs(slack)), 1e-9, 1e-13)
        assert ball.upper[j].agrees(float(upper.subs(slack)), 1e-9, 1e-13)


def test_newton_reaches_the_mean():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(8, 3))
    mean = rng.dirichlet(np.ones(8)) @ features
    _, q, _ = solve_tilt(features, np.zeros(8), mean, np.zeros(3))
    assert q @ features == pytest.approx(mean, abs=1e-13)


def test_data_on_the_edge_of_the_features_have_no_optimum():
    with pytest.raises(InputError, match="no optimum was proved"):
        certify_tilt([[0], [1]], [1, 1], [[1, 0], [1, 0], [1, 0]], [1, 1], [0])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: optima_law([0, 1], [1], [[1, 1]]), "rates have shape"),
        (lambda: optima_law([0, 1], [1], [[1, 1], [1, 1]], [0]), "regulariser"),
        (lambda: optima_law([1, 0], [1], [[1, 1], [1, 1]]), "do not rise"),
        (lambda: optima_law([0, float("nan")], [1], [[1, 1], [1, 1]]), "entry 1 of perturbations is nan"),
        (lambda: joint_optima([[1.0]], [1, 1], [0]), "losses have shape"),
        (lambda: branch_response([[1.0]], [[1.0, 0.0]], [1]), "Hessian have shape"),
        (lambda: branch_response([[1.0], [1.0]], [[-1.0]], [1, 1]), "not positive definite"),
        (lambda: certify_tilt([[0], [1]], [1, 1], [[1, 1]] * 3, [1, 1], [1, 0]), "do not rise"),
    ],
)
def test_bad_input_is_refused(call, what):
    with pytest.raises(InputError, match=what):
        call()
