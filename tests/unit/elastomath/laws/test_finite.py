"""The finite law for mixtures: where a derivative changes its sign."""

import pytest

from elastomath import Mixture, response, sign_change

ROWS = [[0.47, 0.44, 0.09], [0.11, 0.62, 0.27], [0.27, 0.33, 0.4]]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_sign_changes_at_the_same_place_in_every_unit(unit):
    turning = sign_change(Mixture.of(ROWS, [2.0, 1.0, 0.0]), 1)
    assert turning == pytest.approx(1.96340603, rel=1e-8)
    assert sign_change(Mixture.of(ROWS, [2.0 * unit, unit, 0.0]), 1) == pytest.approx(unit * turning, rel=1e-9)


@pytest.mark.parametrize("apart", [2.0**-13, 2.0**-23, 2.0**-37])
def test_the_sign_changes_at_one_for_two_halves_however_near_they_are(apart):
    """R18: at l = pi_t/pi_a = 1 exactly; it was 1e-8 off at a distance of 1e-7, and none at 1e-11."""
    align, perturb = [0.5 + apart, 0.25 - apart, 0.25], [0.5 - apart, 0.25, 0.25 + apart]
    middle = [0.5, 0.25 - apart / 2, 0.25 + apart / 2]
    assert sign_change(Mixture.of([middle, align, perturb], [16.0, 1.0, 0.0]), 0) == pytest.approx(1.0, rel=1e-11)


def test_a_rare_string_turns_the_sign_early():
    """P_t makes a string of mass 1e-20 in D_p common: 1 - C = 0 at l = 2e-20, to first order in fractions; none was found."""
    mixture = Mixture.of([[1 - 1e-20, 1e-20], [1.0, 0.0], [0.5, 0.5]], [10, 1, 0])
    turning = sign_change(mixture, 0)
    assert turning == pytest.approx(2e-20, rel=1e-9)
    assert (
        response(mixture.at(0.999 * turning)).derivatives[0] < 0 < response(mixture.at(1.001 * turning)).derivatives[0]
    )


def test_epsilon_where_volume_times_derivative_is_below_the_doubles():
    """w_a dH_a = 2^-1078: a division by zero, where eps = l = 1/4 and the constant is 1/(1 - l) (halves, k = 2^1000)."""
    apart, unit = 2.0**-40, 2.0**-1000
    align, perturb = [0.5 + apart, 0.5 - apart], [0.5 - apart, 0.5 + apart]
    seen = response(Mixture.of([[0.5, 0.5], align, perturb], [1.0, unit, 0.25 * unit]))
    assert (seen.epsilon, seen.theta_constant) == pytest.approx((0.25, 4 / 3), rel=1e-12)
