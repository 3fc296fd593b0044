"""Springs: what sums exactly, what only to first order, and where the linear regime ends."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import Curve, InputError, Mixture, finite_law, mixture_residual, path_entropies, response
from elastomath.certify.balls import working_precision
from elastomath.laws.springs import (
    elastic_limit,
    springs,
    springs_of_readings,
    springs_of_run,
)
from elastomath.mixtures.masses import pareto_masses, union
from elastomath.mixtures.pool import pooled_divergences, reverse_balance
from elastomath.testing.strategies import mixtures
from tests.examples import examples

common = examples(80)
TWO_PARTS = [[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]


def equal_parts(k, seed=0, leaves=512, alpha=2.0):
    parts = [pareto_masses(alpha, leaves, seed=3 * seed + j) for j in range(3)]
    return Mixture.of([union(parts), parts[1], parts[2]], [k, 1.0, 0.0])


@common
@given(st.integers(2, 4).flatmap(lambda n: mixtures(n, coverage=True)), st.floats(1e-3, 1e2))
def test_the_forces_sum_to_the_energy_which_is_a_divergence(mixture, size):
    """sum_i F_i = N_0 D(q_0 || q_l), complementary = N_l D(q_l || q_0), elongations = changes of the code lengths."""
    last = size * float(mixture.volumes[:-1].sum())
    path = [0.0, last / 2, last]
    found = springs(mixture, path)
    codes = path_entropies(mixture, path)
    scale = (found.volumes.sum() + last) * (1 + codes.max())
    np.testing.assert_allclose(found.elongations, (codes - codes[:, :1])[:-1], atol=1e-12 * (1 + codes.max()))
    np.testing.assert_allclose(found.forces.sum(axis=0), found.energy, atol=1e-12 * scale)
    np.testing.assert_allclose(found.pull - found.push, found.energy, atol=1e-12 * scale)
    for index, step in enumerate(path):
        residual = mixture_residual(mixture, step)
        assert found.energy[index] == pytest.approx(residual, rel=1e-9, abs=1e-9 * math.sqrt(residual * scale) + 1e-24)
    assert (found.complementary >= -1e-12 * scale).all()
    pulled = found.pull > 0
    room = 1e-9 + 1e-15 * scale / found.pull[pulled]  # forces are differences of terms of size scale
    shares = found.nonlinearity[pulled]
    assert ((shares >= 0) & (shares <= 1 + room)).all()


def test_near_rest_the_digits_are_kept():
    """At l = 1e-7 |D_a| the energy is 1e-13 of a nat; readings of entropies would have lost it."""
    from flint import arb

    mixture, step = Mixture.of([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], [20, 1, 0]), 1e-7
    found = springs(mixture, [0.0, step])
    rows = [[Fraction(float(x)) for x in row] for row in mixture.components]
    with working_precision(300):
        ball = lambda x: arb(x.numerator) / arb(x.denominator)  # noqa: E731
        energy, moved = arb(0), arb(0)
        for p, a, t in zip(*rows, strict=True):
            base = 20 * p + a
            ratio = (ball(base) + arb(step) * ball(t)) / (21 + arb(step)) / (ball(base) / 21)
            energy -= ball(base) * ratio.log()
            moved -= ball(p) * ratio.log()
        assert found.energy[1] == pytest.approx(float(energy), rel=1e-11)
        assert found.elongations[0, 1] == pytest.approx(float(moved), rel=1e-8)
    assert found.near_rest[1] == pytest.approx(found.energy[1], rel=1e-6)
    law = finite_law([0, step], [20, 1], path_entropies(mixture, [0, step]))
    assert abs(law.residual[1] - found.energy[1]) > 0.01 * found.energy[1]


def near_parts(distance):
    """P_p the mean of P_a and P_t, which are so near each other."""
    base, apart = np.array([0.4, 0.3, 0.2, 0.1]), np.array([[0.5, -1.0, 1.2, -0.4], [0.9, 1.0, -2.0, -0.9]])
    align, perturb = (row / row.sum() for row in base * (1 + distance * apart))
    return Mixture.of([(align + perturb) / 2, align, perturb], [10, 1, 0])


def in_fractions(mixture, step):
    """DeltaH_i and Delta D(q || P_i) of masses that are divided by their sum exactly, in balls."""
    from flint import arb, fmpq

    rows = [[Fraction(float(x)) for x in row] for row in mixture.components]
    rows = [[x / sum(row) for x in row] for row in rows]
    volumes = [Fraction(float(w)) for w in mixture.volumes[:-1]]
    start = [sum(w * p for w, p in zip(volumes, column, strict=False)) for column in zip(*rows, strict=True)]
    total, step = sum(volumes), Fraction(step)
    ends = [(p + step * t) / (total + step) for p, t in zip(start, rows[-1], strict=True)]
    start = [p / total for p in start]
    log = lambda x: arb(fmpq(x.numerator, x.denominator)).log()  # noqa: E731
    sum_ = lambda weights, logs: sum(fmpq(w.numerator, w.denominator) * y for w, y in zip(weights, logs, strict=True))  # noqa: E731
    with working_precision(2000):
        moved = [log(p / q) for p, q in zip(start, ends, strict=True)]
        elongations = [float(sum_(row, moved)) for row in rows[:-1]]
        reverse = [
            float(
                sum_(ends, [log(q / p) for q, p in zip(ends, row, strict=True)])
                - sum_(start, [log(q / p) for q, p in zip(start, row, strict=True)])
            )
            for row in rows[:-1]
        ]
    return elongations, reverse


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("step", [1e-8, 1.0, 100.0])
def test_near_datasets_keep_their_digits(distance, step):
    """Masses sum to 1 up to rounding; elongations of 1e-12 were that rounding, 5% off at 1e-6 and worthless at 1e-8."""
    mixture = near_parts(distance)
    found, (elongations, reverse) = springs(mixture, [0.0, step]), in_fractions(mixture, step)
    assert found.elongations[:, 1] == pytest.approx(elongations, rel=2e-15 / distance, abs=0)
    assert found.reverse[:, 1] == pytest.approx(reverse, rel=2e-15 / distance, abs=0)


def test_the_printed_divergence_keeps_its_digits_near_rest():
    """As a difference of two divergences it was 5e-8 off at l = 1e-8 |D_a|."""
    mixture = Mixture.of([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], [20, 1, 0])
    for step in (1e-200, 1e-8, 1.0, 1e8):
        assert springs(mixture, [0.0, step]).reverse[:, 1] == pytest.approx(
            in_fractions(mixture, step)[1], rel=1e-13, abs=0
        )


def test_the_printed_divergence_is_infinite_where_a_leaf_is_lacking():
    """P_a lacks a leaf of the base: never finite. P_p lacks one of P_t alone: finite at rest."""
    lacking = springs(Mixture.of([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], [10, 1, 0]), [0.0, 1.0])
    assert np.isnan(lacking.reverse).tolist() == [[False, True], [True, True]]
    wide = springs(Mixture.of([[1e-320, 1.0], [0.5, 0.5], [0.4, 0.6]], [10, 1, 0]), [0.0, 1.0])
    assert np.isfinite(wide.reverse).all()


def test_the_work_of_the_perturbation_is_the_energy():
    """R16 read as mechanics: int l (-dH_t) = E, by the trapezoid rule to the square of the grid's spacing."""
    errors = []
    for count in (50, 100, 200):
        found = springs(equal_parts(10), np.linspace(0, 2, count + 1))
        errors.append(abs(found.work[-1] - found.energy[-1]))
    assert errors[0] < 1e-4 * found.energy[-1]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_hookes_law_proper_is_that_of_the_perturbation():
    """Near rest l = K fall, E = K fall^2/2 = complementary, and none of these far from it."""
    mixture = equal_parts(10)
    found = springs(mixture, [0.0, 1e-5, 5.0])
    constant = -1.0 / response(mixture.at(0.0)).derivatives[-1]
    assert found.perturbations[1] == pytest.approx(constant * found.fall[1], rel=1e-4)
    assert found.energy[1] == pytest.approx(constant * found.fall[1] ** 2 / 2, rel=1e-4)
    assert found.energy[1] == pytest.approx(found.complementary[1], rel=1e-4)
    assert found.energy[1] == pytest.approx(found.near_rest[1], rel=1e-4)
    assert abs(found.perturbations[2] / (constant * found.fall[2]) - 1) > 0.1
    assert found.complementary[2] > 1.1 * found.energy[2]


def test_the_energy_near_rest_is_that_of_the_perturbation():
    mixture = Mixture.of([[0.5, 0.25, 0.25], [0.1, 0.5, 0.4], [0.8, 0.1, 0.1]], [10, 1, 0])
    excess = response(mixture.at(0.0)).overlaps[-1] - 1.0
    assert springs(mixture, [0.0, 1.0, 2.0]).near_rest == pytest.approx([0.0, excess / 22, 4 * excess / 22], rel=1e-12)


def test_two_readings_of_the_formula_of_hooke():
    """Forward forces become equal and opposite as l -> 0; with the divergence as printed they do not; in the pool they do."""
    mixture = equal_parts(10, alpha=1.5)
    path = np.array([0.0, 1e-7, 1e-5, 1e-4])
    found = springs(mixture, path)
    forward = found.forces.sum(axis=0)[1:] / found.pull[1:]
    printed = found.reverse_forces.sum(axis=0) / np.abs(found.reverse_forces).max(axis=0).clip(1e-300)
    assert (np.diff(forward) > 0).all()
    assert forward[0] < 1e-5
    miss = reverse_balance(mixture)
    expected = miss.balance / np.abs(miss.terms).max()
    assert printed[2] == pytest.approx(expected, rel=0.01)
    assert abs(expected) > 0.5  # more than half of the larger force is not balanced
    pooled = pooled_divergences(mixture, path)
    forces = mixture.volumes[:-1, None] * (pooled - pooled[:, :1])[:-1]
    apart = np.abs(forces.sum(axis=0))[2:] / np.abs(forces).max(axis=0)[2:]
    assert apart[0] < 1e-3
    assert apart[1] / apart[0] == pytest.approx(10, rel=0.05)


# --- the elastic limit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0.5, 1.0, 10.0, 1000.0])
def test_the_limit_of_two_mirrored_parts_in_closed_form(k):
    """P_p = (P_a + P_t)/2 with P_t the mirror image of P_a: pre-training is back where the shares are mirrored, l = 2(k+1)/k."""
    assert elastic_limit(Mixture.of(TWO_PARTS, [k, 1, 0])) == pytest.approx(2 * (k + 1) / k, rel=1e-10)


@pytest.mark.parametrize("distance", [1e-3, 1e-7, 1e-9])
def test_the_limit_of_near_datasets_is_that_of_their_second_moments(distance):
    """2 (1 + 1/k) |D_a| for mirrored parts, however near: from 1e-7 on it was 0, "no linear regime"."""
    assert elastic_limit(near_parts(distance)) == pytest.approx(2.2, rel=max(0.1 * distance, 1e-15 / distance))


@pytest.mark.parametrize("rare", [1e-6, 1e-12, 1e-30])
def test_a_gain_on_a_rare_leaf_is_soon_spent(rare):
    """P_a has r there, q_0 has r^2, P_t all: r ln(1 + l/r^2) = ln(1 + l); a limit below 2e-9 of N_0 was 0."""
    limit = elastic_limit(Mixture.of([[1 - rare**2, rare**2], [1 - rare, rare], [0.0, 1.0]], [1.0, rare**2, 0.0]))
    assert rare < limit < 1000 * rare
    gained = rare * math.log1p(limit / (rare**2 * (1 + rare)))
    assert gained == pytest.approx(
        (1 - rare) * math.log1p(limit / (1 + rare**2)) + rare * math.log1p(limit), rel=1e-9, abs=0
    )


def test_the_limit_is_where_the_energy_is_the_pull():
    mixture = equal_parts(20)
    limit = elastic_limit(mixture)
    found = springs(mixture, [0.0, 0.999 * limit, limit, 1.001 * limit])
    assert found.nonlinearity[1] < 1 - 1e-5
    assert found.energy[2] == pytest.approx(found.pull[2], rel=1e-9)
    assert found.nonlinearity[3] == pytest.approx(1, abs=1e-12)
    low, estimate, high = springs(mixture, np.linspace(0, 3, 31)).elastic_limit()
    assert low <= limit <= high
    assert estimate == pytest.approx(limit, rel=0.01)


def test_for_large_k_the_limit_is_that_of_the_first_terms_and_about_the_aligned_volume():
    """l* -> 2 (1-A)/(T-1), about |D_a| for three exchangeable parts."""
    mixtures = [equal_parts(1000, seed, leaves=4096) for seed in range(8)]
    limits = [elastic_limit(mixture) for mixture in mixtures]
    slopes = [response(mixture.at(0.0)).derivatives for mixture in mixtures]
    guesses = [2 * (1000 * max(pretrain, 0.0) + max(align, 0.0)) / -perturb for pretrain, align, perturb in slopes]
    np.testing.assert_allclose(limits, guesses, rtol=0.01)
    assert np.median(limits) == pytest.approx(1.0, abs=0.1)


def test_the_energy_near_rest_is_finite_where_its_value_is():
    """l^2 (T_0 - 1)/(2 N_0) for masses of 1e-296 under the perturbation: 1.6e304, though l^2 T_0 is beyond the doubles."""
    small = 1.22324729e-296
    rows = [[small, 1.0, small], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    (_, near) = springs(Mixture.of(rows, [1.0, 1e4, 1.0]), [0.0, 20002.0]).near_rest
    assert near == pytest.approx(20002.0**2 / small / 2.0, rel=1e-9)


def test_where_there_is_no_linear_regime_or_nothing_moves():
    assert elastic_limit(Mixture.of(np.eye(3), [10, 1, 0])) == 0.0  # disjoint: all give way at once
    assert elastic_limit(Mixture.of([[0.5, 0.5]] * 3, [10, 1, 0])) is None
    near_copy = Mixture.of([[0.51, 0.49], [0.9, 0.1], [0.5, 0.5]], [10, 1, 0])
    assert elastic_limit(near_copy) is None  # pre-training goes on gaining for ever
    found = springs(Mixture.of(np.eye(3), [10, 1, 0]), [0.0, 1.0])
    assert found.fall[1] == np.inf
    assert found.energy[1] == pytest.approx(11 * math.log(12 / 11), rel=1e-14)
    assert np.isnan(found.reverse).all()


@examples(40)
@given(mixtures(3, coverage=True))
def test_beyond_the_limit_nothing_has_gained_and_before_it_something_has(mixture):
    limit = elastic_limit(mixture)
    if not limit or limit < 1e-6 * mixture.volumes[:-1].sum():
        return
    found = springs(mixture, [0.0, 0.9 * limit, 1.1 * limit])
    rounding = 1e-12 * found.pull.max() + 1e-15
    assert found.push[1] > -rounding
    assert found.push[2] <= rounding
    slopes = response(mixture.at(0.0)).derivatives
    assert (slopes[:-1] < 0).any()


# --- readings ---------------------------------------------------------------------------------------------------------


def test_readings_and_curves_give_the_springs_of_the_mixture():
    mixture, path = equal_parts(10), np.linspace(0, 3, 13)
    codes = path_entropies(mixture, path)
    exact = springs(mixture, path)
    found = springs_of_readings(path, [10, 1], codes)
    np.testing.assert_allclose(found.forces, exact.forces, atol=1e-12)
    np.testing.assert_allclose(found.fall, exact.fall, atol=1e-12)
    np.testing.assert_allclose(found.energy, exact.energy, atol=1e-12)
    names = ("pretrain", "align", "perturb")
    curve = Curve.from_paths(
        "run",
        dict(zip(names, [10.0, 1.0, 3.0], strict=True)),
        path,
        dict(zip(names, codes / math.log(2), strict=True)),
        "bits/symbol",
        "symbols",
        rate_se={name: np.full(path.size, 1e-3) for name in names},
    )
    of_curve = springs_of_run(curve.run("run"))
    np.testing.assert_allclose(of_curve.energy, exact.energy / math.log(2), atol=1e-12)
    assert of_curve.unit == "bits/symbol"
    np.testing.assert_allclose(of_curve.energy_se[1:], 1e-3 * math.sqrt(2 * (100 + 1)), rtol=1e-12)
    assert of_curve.energy_se[0] == 0
    assert of_curve.elastic_limit() == pytest.approx(exact.elastic_limit(), rel=1e-9)


def test_standard_errors_are_those_of_noisy_readings():
    rng, path = np.random.default_rng(0), np.array([0.0, 1.0, 2.0])
    codes, se = path_entropies(equal_parts(10), path), 1e-3
    seen = [
        springs_of_readings(path, [10, 1], codes + se * rng.standard_normal(codes.shape)).energy for _ in range(3000)
    ]
    claimed = springs_of_readings(path, [10, 1], codes, np.full_like(codes, se)).energy_se
    np.testing.assert_allclose(np.std(seen, axis=0)[1:], claimed[1:], rtol=0.06)
    assert np.isnan(springs_of_readings(path, [10, 1], codes).energy_se[1:]).all()


def test_a_limit_before_the_first_reading_is_bracketed_from_zero():
    found = springs_of_readings([0, 1], [1, 1], [[1, 1.1], [1, 1.1], [1, 0.8]])
    assert found.elastic_limit() == (0.0, 1.0, 1.0)
    assert springs_of_readings([0, 1], [1, 1], [[1, 0.9], [1, 1.1], [1, 0.8]]).elastic_limit() is None


@pytest.mark.parametrize("path", [[], [0.5, 1], [0, 1, 1], [0, 2, 1], [0, np.nan], [0, np.inf], "x", [[0, 1]]])
def test_perturbations_that_cannot_be_are_refused(path):
    with pytest.raises(InputError, match="perturbations"):
        springs(Mixture.of(TWO_PARTS, [10, 1, 0]), path)


def test_what_has_no_spring_is_refused():
    one = Mixture.of([[0.5, 0.5]], [1])
    for call in (
        lambda: springs(one, [0, 1]),
        lambda: elastic_limit(one),
        lambda: springs_of_readings([0, 1], [10, 1], [[1, 1], [1, 1], [1, 1]], [[1, 1]]),
        lambda: springs_of_readings([0, 1], [10], [[1, 1], [1, 1], [1, 1]]),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("apart", [1e-3, 1e-7, 1e-9])
def test_the_elastic_limit_of_near_datasets_is_that_of_their_differences(apart):
    """Halves near each other have 2 + 2/k, however near they are; their gains, 1e-15, were taken for none."""
    random = np.random.default_rng(3)
    base = random.dirichlet(np.ones(6))
    align, perturb = (row / row.sum() for row in base * (1 + apart * random.normal(size=(2, 6))))
    halves = Mixture.of([(align + perturb) / 2, align, perturb], [10, 1, 0])
    assert elastic_limit(halves) == pytest.approx(2.2, rel=1e-5)
