"""Scalars of the law at the ends of the range of doubles and near cancellation: each figure recomputed in balls."""

import math

import numpy as np
import pytest

from elastomath.codes.lengths import expected_length
from elastomath.errors import InputError
from elastomath.laws.ceilings import convex_ceiling, pooled_ceiling, rises, string_ceiling, volume_for
from elastomath.laws.finite import mixture_constant, mixture_residual
from elastomath.laws.springs import springs
from elastomath.laws.theorem import mixture_theta_bounds, residual_constant
from elastomath.laws.volumes import mixture_work
from elastomath.mixtures.divergence import chi_square, entropy
from elastomath.mixtures.mixture import Mixture
from elastomath.pareto.law import Pareto, exponential_integral, independent_overlap, two_mass_mean, two_part_overlap
from elastomath.pareto.overlaps import Lognormal, expected_overlaps

PINS = {
    "c_+ at 1e12": (lambda: residual_constant(1, 1e12, 0), 26.631021115957175),
    "c_+ at 1e17": (lambda: residual_constant(1, 1e17, 0), 38.14394658089878),
    "c at a ratio of 1e200": (lambda: residual_constant(1, 1, 1e200), 0.0010885565308333650),
    "R5's constant of a vanishing base": (lambda: mixture_constant(1e-300, 1e300), 1.3805510557964273e-297),
    "R5's constant of a vanishing perturbation": (lambda: mixture_constant(1e300, 1e-300), 5e-301),
    "threshold at a share of 0.01": (
        lambda: mixture_theta_bounds(1, 0.5, (0.01, 0.99)).threshold,
        1.7096268574596115e22,
    ),
    "threshold at a share of 0.015": (
        lambda: mixture_theta_bounds(1, 0.5, (0.015, 0.985)).threshold,
        987779404444579.6,
    ),
    "convex ceiling at 1e17": (lambda: convex_ceiling(1, 10, 1e17), 39.143946580898778),
    "convex ceiling at 1e200": (lambda: convex_ceiling(1, 10, 1e200), 460.51701859880914),
    "string ceiling": (lambda: string_ceiling(1e-200, 1e200), 921.03403719761827),
    "pooled ceiling": (lambda: pooled_ceiling(1e300, 1e-300), 1e-300),
    "volume for a high ceiling": (lambda: volume_for(800.0, 1e300), 1e300 * math.exp(-400) * math.exp(-400)),
    "E_-2(2)": (lambda: exponential_integral(-2, 2), 0.16916910404576588),
    "E_-30.3(1.5)": (lambda: exponential_integral(-30.3, 1.5), 2.2800169092018693e27),
    "E_-1000(700)": (lambda: exponential_integral(-1000, 700), 4.5867615988294386e-281),
    "Pareto's fifth derivative": (lambda: Pareto(2.0).laplace(2.0, 5), 0.33833820809153176),
    "Pareto's thirtieth derivative": (lambda: Pareto(1.5).laplace(1.5, 30), 8.2435347109155593e23),
    "Lognormal far out": (lambda: Lognormal(0.5).laplace(1000), 7.054860678547551e-23),
    "epsilon under nearly all perturbation": (
        lambda: expected_overlaps(Pareto(1.5), 10, 1e9).epsilon,
        7.256940634513639,
    ),
    "two uneven masses at a large alpha": (
        lambda: two_mass_mean(101.92489385928884, [0.477772132265327, 4.389014101421892e-09]),
        2.113786637441072,
    ),
    "variance of even masses": (lambda: Pareto(1e140).variance(), 1e-280),
    "independent parts of even masses": (lambda: independent_overlap(1e200), 1.0),
    "E_nu of a large order": (lambda: exponential_integral(1e17, 1.0), math.exp(-1.0) / 1e17),
    "two parts of even masses": (lambda: two_part_overlap(1e6), 0.9999999999995),
}


@pytest.mark.parametrize("name", PINS)
def test_the_figures_of_the_reports(name):
    value, right = PINS[name]
    assert float(value()) == pytest.approx(right, rel=2e-13)


def test_entropy_lies_between_its_bounds_where_masses_sum_to_one_within_rounding():
    assert entropy(np.array([1.0000000005])) == 0.0
    assert entropy(np.array([0.4999999995, 0.5])) <= math.log(2) * (1 + 1e-15)
    assert entropy(np.array([0.5000000005, 0.5])) == pytest.approx(math.log(2), rel=1e-15)


def test_lengths_that_are_not_whole_are_refused_not_cut_off():
    with pytest.raises(InputError, match="code lengths"):
        expected_length([0.5, 0.5], [1.9, 1.9])
    assert expected_length([0.5, 0.5], np.array([1, 2], dtype=np.uint8)) == 1.5


@pytest.mark.parametrize(("k", "right"), [(1e12, 1.874999999988125e-13), (1e16, 1.8749999999999988e-17)])
def test_residual_work_and_energy_under_a_large_base(k, right):
    mixture = Mixture.of([[0.5, 0.25, 0.25], [0, 0.5, 0.5], [0.25, 0.5, 0.25]], [k, 1, 0])
    assert mixture_residual(mixture, 1.0) == pytest.approx(right, rel=1e-14)
    assert mixture_work(mixture, [1.0])[0] == pytest.approx(right, rel=1e-14)
    assert springs(mixture, [0.0, 1.0]).energy[1] == pytest.approx(right, rel=1e-14)


def test_springs_under_a_large_perturbation():
    found = springs(Mixture.of([[0.5, 0.25, 0.25], [0, 0.5, 0.5], [1, 0, 0]], [10, 1, 0]), [0.0, 1e12])
    assert found.energy[1] == pytest.approx(147.45646825705572, rel=1e-14)
    assert found.elongations[:, 1] == pytest.approx([12.222334241391454, 25.233125843141178], rel=1e-14)


def test_a_rise_stays_below_its_bound_under_a_large_perturbation():
    found = rises(Mixture.of([[1, 0], [1 - 1.5e-11, 1.5e-11], [0, 1]], [10, 1, 500]))
    assert (found.rise <= found.high + 1e-14 * abs(found.high)).all()
    assert (found.low <= found.rise + 1e-14 * abs(found.rise)).all()
    assert found.rise[2] == pytest.approx(-27.299104695, rel=1e-9)


def test_chi_square_of_a_subnormal_mass():
    right = 1e-16 / 1e-320  # the double 1e-320 is 9.99989e-321
    assert chi_square(np.array([1 - 1e-8, 1e-8]), np.array([1, 1e-320])) == pytest.approx(right, rel=1e-7)
