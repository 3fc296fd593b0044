"""C, A, T of i.i.d. masses: laws, quadrature and its bound, R8 with general parts, thresholds at large k."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.certify.balls import working_precision
from elastomath.certify.pareto import certify_pareto, pareto_mean
from elastomath.errors import InputError
from elastomath.pareto import overlaps
from elastomath.pareto.fluctuation import sampled_overlaps
from elastomath.pareto.law import Pareto, two_mass_mean
from elastomath.pareto.overlaps import (
    Coarse,
    Gamma,
    Lognormal,
    aliasing_bound,
    equal_parts_overlap,
    expected_overlaps,
    mass_mean,
    overlap_matrix,
)
from tests.examples import examples

LAWS = [
    Pareto(1.1),
    Pareto(1.5),
    Pareto(2.0),
    Pareto(3.3),
    Gamma(0.4),
    Gamma(1.0),
    Gamma(7.0),
    Lognormal(0.5),
    Lognormal(1.5),
]


# --- the quadrature's bound ------------------------------------------------------------------------------------------


def worst_aliasing(transform, integral, step):
    """The largest relative error of the trapezoid in ln s over the position of its grid."""
    errors = []
    for shift in np.linspace(0.0, 1.0, 41):
        s = np.exp((np.arange(-400, 401) + shift) * step)
        errors.append(abs(step * (transform(s) * s).sum() / integral - 1))
    return max(errors)


@pytest.mark.parametrize("step", [0.6, 0.8, 1.0, 1.5])
def test_the_aliasing_bound_is_within_a_small_factor(step):
    """Holds for each law, and is attained up to a factor of 6 by e^-s, whose error is 2 |Gamma(1 + 2 pi i/h)| exactly."""
    bound = aliasing_bound(step)
    exponential = worst_aliasing(lambda s: np.exp(-s), 1.0, step)
    exact = 2 * math.sqrt(2 * math.pi**2 / step / math.sinh(2 * math.pi**2 / step))  # |Gamma(1+iy)|^2 = pi y/sinh(pi y)
    assert exponential == pytest.approx(exact, rel=2e-2)
    assert exponential <= bound <= 6 * exponential
    assert worst_aliasing(lambda s: (1 + s) ** -2.0, 1.0, step) <= bound
    pair = Pareto(1.5)
    integral = float(two_mass_mean(1.5, [1.0, 1.0]))
    assert worst_aliasing(lambda s: pair.laplace(s, 1) ** 2, integral, step) <= bound


def test_the_default_step_costs_nothing():
    assert aliasing_bound(0.22) < 2e-17
    assert aliasing_bound(0.25) > 2e-16  # what a little longer step would cost: the bound is no formality


# --- the laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_transforms_are_derivatives_of_each_other(law):
    s, h = np.array([0.05, 0.6, 4.0]), 1e-5
    for order in (0, 1):
        slope = (law.laplace(s - h, order) - law.laplace(s + h, order)) / (2 * h)
        assert law.laplace(s, order + 1) == pytest.approx(slope, rel=1e-4)
    assert law.laplace(0.0) == pytest.approx(1.0, rel=1e-12)
    assert law.laplace(0.0, 1) == pytest.approx(float(law.mean()), rel=1e-12)


def test_closed_forms_of_other_laws():
    """Gamma: A_n = nc/(nc+1). Lognormal: A_2 = e^{-sigma^2/4} E[sech(sigma Z/sqrt 2)]."""
    shape = np.array([0.3, 1.0, 2.5, 40.0])
    for n in (2, 3, 6):
        seen = equal_parts_overlap(Gamma(shape), n)
        assert seen.value == pytest.approx(n * shape / (n * shape + 1), abs=2e-14)
    z = np.arange(-1536, 1537) / 128
    for sigma in (0.2, 1.0, 2.5):
        mean = (np.exp(-z * z / 2) / np.cosh(sigma * z / math.sqrt(2))).sum() / 128 / math.sqrt(2 * math.pi)
        assert equal_parts_overlap(Lognormal(sigma), 2).value == pytest.approx(
            math.exp(-(sigma**2) / 4) * mean, abs=1e-14
        )


def test_merged_gamma_masses_are_gamma_masses():
    weights = [2.0, 0.7, 1.0]
    merged, error = overlap_matrix(Coarse(Gamma(0.5), 6), weights)
    assert merged == pytest.approx(overlap_matrix(Gamma(3.0), weights)[0], abs=1e-12)
    assert error.max() < 1e-12
    s = np.array([0.1, 2.0])
    for order in (0, 1, 2):
        assert Coarse(Gamma(0.5), 6).laplace(s, order) == pytest.approx(Gamma(3.0).laplace(s, order), rel=1e-13)
    assert Coarse(Gamma(0.5), 6).moment(2) == pytest.approx(float(Gamma(3.0).moment(2)))
    assert np.isinf(Coarse(Pareto(1.5), 2).moment(2))
    with pytest.raises(InputError):
        Coarse(Pareto(1.5), 2).moment(3)
    with pytest.raises(InputError):
        Coarse(Pareto(1.5), 2).laplace(1.0, 3)


@pytest.mark.parametrize("make", [Gamma, Lognormal])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_parameters_of_laws_are_positive(make, value):
    with pytest.raises(InputError):
        make(value)


# --- overlaps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_square_by_its_own_integral_agrees_with_the_balance(law):
    """The diagonal comes from sum_j w_j O_jt = N; E[Y_t^2/S] by its own integral is the same number."""
    weights = np.array([1.0, 2.0, 0.6])
    overlaps, error = overlap_matrix(law, weights)
    square = weights.sum() / law.mean() * mass_mean(law, weights, (0, 0, 2))
    assert overlaps[2, 2] == pytest.approx(float(square), rel=1e-11)
    assert overlaps == pytest.approx(overlaps.T)
    assert error.max() < 1e-12


@pytest.mark.parametrize("law", [Pareto(1.3), Gamma(0.8), Lognormal(1.0)], ids=repr)
def test_means_by_monte_carlo(law):
    """E[prod Y^m / S^r] of every kind that is used, within 5 standard errors of 4e5 draws."""
    rng, size = np.random.default_rng(11), 400_000
    if isinstance(law, Pareto):
        draws = np.exp(rng.standard_exponential((3, size)) / law.alpha)
    elif isinstance(law, Gamma):
        draws = rng.gamma(law.shape, size=(3, size))
    else:
        draws = np.exp(law.sigma * rng.standard_normal((3, size)))
    weights = np.array([1.0, 3.0, 0.5])
    total = weights @ draws
    for orders, power in (((0, 1, 1), 1), ((1, 1, 1), 2), ((0, 2, 1), 2), ((0, 3, 1), 3), ((2, 1, 1), 3)):
        sample = np.prod(draws ** np.array(orders)[:, None], axis=0) / total**power
        error = sample.std() / math.sqrt(size)
        assert abs(sample.mean() - mass_mean(law, weights, orders, power)) < 5 * error


@examples(40)
@given(
    st.floats(1.03, 6.0),
    st.floats(-2.0, 4.0),
    st.floats(-3.0, 2.0),
    st.lists(st.floats(0.05, 5.0), min_size=2, max_size=5),
)
def test_the_union_law_with_general_parts(alpha, log_k, log_l, shares):
    """R8: eps = l (k pi_a + 1 + k R)/(k pi_t + l), and the theorem's signs hold exactly for l (pi_a + R) < pi_t."""
    k, step, pi = 10.0**log_k, 10.0**log_l, np.array(shares) / sum(shares)
    seen = expected_overlaps(Pareto(alpha), k, step, shares)
    gap = 1 - float(seen.align)
    assert seen.responses @ np.array([k, 1.0, step]) == pytest.approx(0.0, abs=1e-12)
    assert seen.pretrain == pytest.approx(float(pi @ seen.parts), rel=1e-12)
    if gap < 1e-6:
        return
    rest = float((pi[:-2] * (1 - seen.parts[:-2])).sum()) / gap
    slack = 1e-11 * (1 + step) * (1 + 1 / gap) / min(pi[-1], 1.0)
    epsilon = step * (k * pi[-2] + 1 + k * rest) / (k * pi[-1] + step)
    assert abs(seen.epsilon - epsilon) <= slack * (1 + abs(epsilon))
    margin = pi[-1] - step * (pi[-2] + rest)  # l < pi_t/(pi_a + R), and every l where pi_a + R <= 0
    if abs(margin) > slack:
        assert (seen.responses[0] < 0) == (margin > 0)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_equal_parts_in_the_limit(n):
    """k -> inf: T - 1 = (n-1)(1 - A), so eps = (n-1) l exactly, whatever the law."""
    for law in LAWS:
        seen = expected_overlaps(law, np.inf, [0.05, 0.4], (1,) * n)
        assert seen.epsilon == pytest.approx((n - 1) * np.array([0.05, 0.4]), rel=1e-9)
        assert seen.responses.tolist() == [[0.0, 0.0, 0.0]] * 2 or np.isfinite(seen.responses).all()


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_two_part_unions_have_the_exact_constant(law):
    """R18: the constant is (1 + 2l/k)/(1 - l) for P_p = (P_a + P_t)/2, for every law."""
    k, step = np.array([0.3, 10.0, 1e3])[:, None], np.array([0.01, 0.5, 3.0])
    seen = expected_overlaps(law, k, step, (1, 1)).theta_constant
    assert seen == pytest.approx((1 + 2 * step / k) / (1 - step), rel=1e-8)


def test_more_weight_on_the_rest_turns_the_sign():
    """Small dispersion, k -> inf: dH_a > 0 exactly where pi_a + pi_t > sum_j pi_j^2; a heavy tail moves the border."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), size=60)
    criterion = shares[:, 1] + shares[:, 2] - (shares**2).sum(axis=1)
    clear = abs(criterion) > 0.01
    gap = 1 - expected_overlaps(Gamma(1e5), np.inf, 0.0, shares).align
    assert (np.sign(gap[clear]) == np.sign(criterion[clear])).all()
    assert {1.0, -1.0} == set(np.sign(criterion[clear]))
    border = (3, 1, 1)
    light, heavy = (1 - float(expected_overlaps(law, np.inf, 0.0, border).align) for law in (Gamma(1e5), Pareto(1.1)))
    assert light < 0 < 0.5 < heavy


def test_depth_can_turn_the_sign_where_the_parts_are_unequal():
    """R10 needs equal parts: with shares (3, 1, 1) merging leaves takes 1 - A below 0 and up again."""
    gaps = [1 - float(expected_overlaps(Coarse(Pareto(2.5), 4**g), np.inf, 0.0, (3, 1, 1)).align) for g in range(7)]
    assert gaps[0] > 0.03
    assert min(gaps) < 0 < gaps[1]
    assert gaps[-1] > min(gaps)
    equal = [1 - float(equal_parts_overlap(Coarse(Pareto(2.5), 4**g), 3).value) for g in range(7)]
    assert all(fine > coarse > 0 for fine, coarse in itertools.pairwise(equal))


@pytest.mark.parametrize(("ks", "steps"), [(4, 3), pytest.param(11, 9, marks=pytest.mark.acceptance)])
def test_merging_lowers_the_gap_of_equal_parts_at_every_volume(ks, steps):
    """Proved for k -> inf; here on a grid of alpha, k and l: no exception in 80 cells (or 550), and A < 1 in each."""
    alpha = np.array([1.05, 1.2, 2.0, 3.0, 5.0])[:, None, None]
    k, step = np.geomspace(1e-3, 1e4, ks)[:, None], np.concatenate([[0], np.geomspace(1e-3, 1e3, steps)])
    gaps = [1 - expected_overlaps(Coarse(Pareto(alpha), f), k, step).align for f in (1, 2, 8)]
    assert gaps[0].size == 5 * ks * (steps + 1)
    assert (gaps[0] > gaps[1]).all()
    assert (gaps[1] > gaps[2]).all()
    assert gaps[2].min() > 0


def test_a_perturbation_outside_of_the_union_at_no_volume():
    """w_t = 0: T = E[Y^2] N/mu int phi phi ds exists for alpha > 2 only."""
    overlaps, _ = overlap_matrix(Pareto([1.5, 2.5]), [2.0, 1.0, 0.0])
    assert np.isinf(overlaps[0, 2, 2])
    law = Pareto(2.5)
    exact = 3.0 / law.mean() * law.moment(2) * mass_mean(law, [2.0, 1.0, 0.0], (0, 0, 0))
    assert overlaps[1, 2, 2] == pytest.approx(float(exact))


def test_shapes_broadcast():
    seen = expected_overlaps(Pareto(np.full((4, 1), 1.5)), np.full(5, 10.0), 0.1, np.ones((5, 3)))
    assert seen.align.shape == (4, 5)
    assert seen.parts.shape == (4, 5, 3)
    assert seen.responses.shape == (4, 5, 3)
    assert np.ptp(seen.align) == 0


def test_sampled_trees_agree_with_the_integral_at_finite_volumes():
    """A and T of 2^14 leaves, general shares, within the limit law's width: alpha = 3 has none of the slow rates."""
    draws = sampled_overlaps(3.0, 1 << 14, 60, 5.0, 0.7, (1, 2, 1), seed=3)
    exact = expected_overlaps(Pareto(3.0), 5.0, 0.7, (1, 2, 1))
    for values, limit in ((draws.align, exact.align), (draws.perturb, exact.perturb)):
        assert abs(values.mean() - limit) < 5 * values.std() / math.sqrt(60) + 1e-4


@pytest.mark.parametrize(
    ("k", "step", "shares"),
    [
        (0, 0, (1, 1)),
        (-1, 0, (1, 1)),
        (1, -0.1, (1, 1)),
        (1, np.inf, (1, 1)),
        (np.nan, 0, (1, 1)),
        (1, 0, (1,)),
        (1, 0, (0, 0)),
        (1, 0, (1, -1)),
    ],
)
def test_bad_volumes_and_shares_are_refused(k, step, shares):
    with pytest.raises(InputError):
        expected_overlaps(Pareto(2.0), k, step, shares)


@pytest.mark.parametrize("weights", [1.0, [1.0], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(InputError):
        overlap_matrix(Pareto(2.0), weights)
    with pytest.raises(InputError):
        mass_mean(Pareto(2.0), weights, (1, 1))
    with pytest.raises(InputError):
        equal_parts_overlap(Pareto(2.0), 1)


# --- R11's numbers ---------------------------------------------------------------------------------------------------


def test_which_instance_the_printed_responses_belong_to():
    """0.025 and 0.0056 at k = 1, 10: two equal Pareto parts at alpha = 3.22 to 3.24, and no three equal parts."""
    alpha = np.linspace(1.05, 8.0, 696)[:, None]

    def matching(parts):
        first, second = np.moveaxis(
            expected_overlaps(Pareto(alpha), [1.0, 10.0], 0.0, (1,) * parts).responses[..., 1], -1, 0
        )
        return alpha[(abs(first - 0.025) < 5e-4) & (abs(second - 0.0056) < 5e-5), 0]

    assert matching(2) == pytest.approx([3.22, 3.23, 3.24])
    assert matching(3).size == 0


NARROW = [
    Pareto(2e3),
    Pareto(1e6),
    Pareto(1e12),
    Pareto(1e100),
    Gamma(1e7),
    Gamma(1e200),
    Lognormal(5e-4),
    Lognormal(1e-60),
]


@pytest.mark.parametrize("law", NARROW, ids=repr)
def test_narrow_laws_obey_the_union_law_to_the_last_digits(law):
    """alpha -> inf: the overlaps tend to 1 like 1/alpha^2, and what the law says of their differences holds exactly."""
    k, step = np.array([0.3, 10.0, 1e3])[:, None], np.array([0.01, 0.5, 3.0])
    seen = expected_overlaps(law, k, step, (1, 1)).theta_constant
    assert seen == pytest.approx((1 + 2 * step / k) / (1 - step), rel=3e-12)
    assert expected_overlaps(law, np.inf, 0.4, (1, 1, 1)).epsilon == pytest.approx(0.8, rel=1e-12)


@pytest.mark.parametrize("law", [Pareto(1.7e3), Gamma(2e6), Lognormal(7e-4)], ids=repr)
@pytest.mark.parametrize("weights", [(3.0, 4.0, 3.1), (0.2, 1.2, 30.0), (1.0, 2.0, 0.5, 0.7)])
def test_moments_and_integrals_meet_where_one_takes_over(law, weights):
    weights = np.array(weights)
    shares = weights / weights.sum()
    moments = overlaps._narrow_gaps(*overlaps._relative_moments(law), shares)
    integrals = overlaps._wide_gaps(law, weights, overlap_matrix(law, weights)[0])
    assert moments == pytest.approx(integrals, rel=3e-9, abs=3e-15)


def test_moments_of_narrow_laws_are_those_of_their_definition():
    from fractions import Fraction

    for alpha in (5, 12, 1000):
        raw = [Fraction(alpha, alpha - r) for r in range(5)]
        mean = raw[1]
        m2, m3, m4 = (
            sum(Fraction(math.comb(n, r)) * raw[r] * (-mean) ** (n - r) for r in range(n + 1)) / mean**n
            for n in (2, 3, 4)
        )
        assert [float(x) for x in overlaps._relative_moments(Pareto(alpha))] == pytest.approx(
            [float(m2), float(m3 / m2), float(m4 / m2)], rel=1e-14
        )
    assert [float(x) for x in overlaps._relative_moments(Gamma(2.0))] == [0.5, 1.0, 3.0]  # 1/c, 2/c, (3 + 6/c)/c
    w = math.e
    assert [float(x) for x in overlaps._relative_moments(Lognormal(1.0))] == pytest.approx(
        [w - 1, (w - 1) * (w + 2), (w - 1) * (w**4 + 2 * w**3 + 3 * w**2 - 3)]
    )


def test_narrow_laws_beside_wide_ones():
    both = expected_overlaps(Pareto([3.0, 1e9]), [10.0, 1e3], 0.1)
    for index, (alpha, k) in enumerate(((3.0, 10.0), (1e9, 1e3))):
        assert both.epsilon[index] == pytest.approx(float(expected_overlaps(Pareto(alpha), k, 0.1).epsilon), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.1, 1.01, 1.003])
def test_means_of_heavy_tails_have_all_of_their_left_end(alpha):
    """E[Y^2/S] falls like s^(alpha-1) to the left: what lies before the least double was left out, 12% at alpha = 1.003."""
    law = Pareto(alpha)
    with working_precision(200):
        square = float(pareto_mean(Fraction(alpha), [Fraction(1), Fraction(3), Fraction(2)], (0, 0, 2), 60).mid())
    assert float(mass_mean(law, [1, 3, 2], (0, 0, 2))) == pytest.approx(square, rel=1e-13)
    # E[Y (Y + Z)^2/S^2] = E[Y]; the transforms of the third order were too large for doubles
    whole = sum(
        times * float(mass_mean(law, [1, 1], orders, 2)) for times, orders in ((1, (3, 0)), (2, (2, 1)), (1, (1, 2)))
    )
    assert whole == pytest.approx(float(law.mean()), rel=1e-12)
    far, exact = expected_overlaps(law, 10.0, 1e9), certify_pareto(alpha, 10, 10**9)
    assert far.responses[..., 1] == pytest.approx(exact.responses[1].estimate, rel=1e-10)
