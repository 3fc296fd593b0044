"""Pareto masses: the exponential integral, moments, transform, and the overlaps in closed form."""

import mpmath
import numpy as np
import pytest
from flint import arb
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from elastomath.certify.balls import working_precision
from elastomath.errors import InputError
from elastomath.pareto.law import (
    Pareto,
    as_tail_index,
    exponential_integral,
    independent_overlap,
    two_mass_mean,
    two_part_overlap,
)
from elastomath.pareto.overlaps import expected_overlaps, mass_mean, overlap_matrix
from tests.examples import examples

ORDERS = [
    -1.9,
    -0.3,
    0.0,
    0.5,
    1.0,
    1.0 + 1e-13,
    1.0 - 1e-9,
    1.0 + 1e-7,
    1.499,
    1.501,
    2.0,
    2.2,
    3.0 - 1e-8,
    5.0,
    39.9,
    40.1,
    300.0,
]
POINTS = [1e-300, 1e-40, 1e-12, 1e-5, 0.03, 0.4, 1.0 - 1e-12, 1.0 + 1e-12, 1.7, 5.0, 30.0, 200.0]


@pytest.mark.parametrize("order", ORDERS)
def test_the_exponential_integral_has_fourteen_digits(order):
    """Against balls of Arb, at 400 bits; mpmath's expint is not always right (E_300(200) at 60 digits)."""
    with working_precision(400):
        exact = [arb(x).expint(arb(order)) for x in POINTS]
        seen = exponential_integral(order, POINTS)
        errors = [abs(float(arb(float(v)) / e - 1)) for v, e in zip(seen, exact, strict=True) if e < arb(1e300)]
        assert all(e.rel_accuracy_bits() > 60 for e in exact)
    assert len(errors) >= 10
    assert max(errors) < 1.5e-14


@examples(60)
@given(st.floats(-2.0, 60.0), st.floats(1e-12, 80.0))
def test_the_recurrence_holds(order, x):
    """nu E_{nu+1}(x) = e^-x - x E_nu(x) (DLMF 8.19.12), on both sides of every switch of method."""
    left = order * exponential_integral(order + 1.0, x)
    right = np.exp(-x) - x * exponential_integral(order, x)
    assert abs(left - right) <= 4e-14 * (abs(left) + np.exp(-x) + x * exponential_integral(order, x))


@examples(60)
@given(st.floats(0.0, 50.0), st.floats(1e-9, 100.0))
def test_the_exponential_integral_lies_between_its_bounds(order, x):
    """1/(x + nu) < e^x E_nu(x) <= 1/(x + nu - 1) (DLMF 8.19.21); the lower one is off by less than a factor 1 + 1/(x + nu - 1)."""
    scaled = float(np.exp(x) * exponential_integral(order, x))
    assert scaled >= (1 - 1e-13) / (x + order)
    if x + order > 1:
        assert scaled <= (1 + 1e-13) / (x + order - 1)


def test_the_ends_of_the_exponential_integral():
    assert exponential_integral([0.5, 1.0, 1.5, 3.0], 0.0).tolist() == [np.inf, np.inf, 2.0, 0.5]
    assert exponential_integral(2.0, [746.0, np.inf]).tolist() == [0.0, 0.0]
    assert exponential_integral([[1.0], [2.0]], [0.1, 0.2, 0.3]).shape == (2, 3)
    for order, x in ((1.0, -0.1), (1.0, np.nan), (np.nan, 1.0), (np.inf, 1.0)):
        with pytest.raises(InputError, match=r"E_nu|nan|finite"):
            exponential_integral(order, x)


@pytest.mark.parametrize("alpha", [1.05, 1.5, 2.0, 3.7])
def test_moments_and_transform_are_integrals_of_the_density(alpha):
    law = Pareto(alpha)
    for power in (-2.0, -1.0, 0.5, 0.9 * alpha):
        exact = quad(lambda z, r=power: alpha * np.exp((r - alpha) * z), 0, np.inf)[0]
        assert law.moment(power) == pytest.approx(exact, rel=1e-8)
    for s in (1e-3, 0.7, 12.0):
        for order in (0, 1, 2, 3):
            exact = quad(lambda y, m=order, s=s: alpha * y ** (m - alpha - 1) * np.exp(-s * y), 1, np.inf)[0]
            assert law.laplace(s, order) == pytest.approx(exact, rel=1e-6)
    assert law.laplace(0.0, 1) == pytest.approx(law.mean())
    assert np.isinf(law.laplace(0.0, 2)) == (alpha <= 2)


def test_the_transform_near_one_starts_from_the_mean():
    """alpha + 1 - 1 is not alpha: the order of the exponential integral was off, by a quarter of alpha - 1 at 1 + 1e-15."""
    for alpha in (1.003, 1 + 1e-6, 1 + 1e-15):
        law = Pareto(alpha)
        assert float(law.laplace(0.0, 1)) == pytest.approx(float(law.mean()), rel=1e-15)
        exact = float(mpmath.mpf(alpha) * mpmath.expint(mpmath.mpf(alpha), 1e-300))
        assert float(law.laplace(1e-300, 1)) == pytest.approx(exact, rel=1e-15)


def test_infinite_moments_are_said_to_be_infinite():
    law = Pareto([1.5, 2.0, 2.5])
    assert law.moment(2).tolist() == [np.inf, np.inf, 5.0]
    assert np.isinf(law.moment(1.5)[0])
    assert law.variance()[2] == pytest.approx(5.0 - (5 / 3) ** 2)
    assert np.isinf(law.variance()[:2]).all()


@pytest.mark.parametrize("alpha", [1.0, 0.5, -1.0, np.nan, np.inf, [2.0, 1.0], "two", None])
def test_a_tail_index_without_a_mean_is_refused(alpha):
    with pytest.raises(InputError):
        as_tail_index(alpha)


ALPHAS = np.array([1.01, 1.2, 1.5, 2.0, 2.5, 4.0, 40.0])


def test_two_part_overlaps_three_times():
    """By digamma, by the hypergeometric function, and by the integral."""
    closed = two_part_overlap(ALPHAS)
    assert two_mass_mean(ALPHAS, [1.0, 1.0]) * 2 / Pareto(ALPHAS).mean() == pytest.approx(closed, rel=1e-13)
    assert overlap_matrix(Pareto(ALPHAS), [1.0, 1.0])[0][:, 0, 1] == pytest.approx(closed, abs=2e-14)


def test_independent_masses_overlap_by_more_than_one():
    """R9(c), tight: the limit of overlaps without a union, and 1 + 1/(alpha^2 - 1)."""
    exact = independent_overlap(ALPHAS)
    alone = expected_overlaps(Pareto(ALPHAS), np.inf, 0.0, (1, 0, 0)).align
    assert alone == pytest.approx(exact, rel=1e-13)
    assert exact - 1 == pytest.approx(1 / (ALPHAS**2 - 1), rel=1e-9)
    far = expected_overlaps(Pareto(2.5), [1e3, 1e5], 0.1, (1, 0, 0)).align
    assert abs(far - exact[4])[1] < abs(far - exact[4])[0] / 50


@examples(40)
@given(st.floats(1.02, 8.0), st.floats(-4.0, 4.0), st.floats(-4.0, 4.0))
def test_two_masses_at_any_weights(alpha, first, second):
    """Hypergeometric against quadrature; and E[X (aX + bZ)/(aX + bZ)] = E[X] ties the product to the square."""
    weights = np.exp([first, second])
    product = two_mass_mean(alpha, weights)
    assert mass_mean(Pareto(alpha), weights, (1, 1)) == pytest.approx(float(product), rel=1e-12)
    least = 1 / weights.max() if alpha > 2 else 0.0
    assert least / 2 <= product <= Pareto(alpha).mean() / weights.max()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, 2.0, 3.0]])
def test_weights_of_two_masses_are_two_positive_numbers(weights):
    with pytest.raises(InputError):
        two_mass_mean(2.0, weights)
