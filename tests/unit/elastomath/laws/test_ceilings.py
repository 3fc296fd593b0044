"""R17 at its constants: strings, datasets and pools of mixtures, classes closed under mixing, and what has no ceiling."""

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from elastomath.certify.optima import certify_rises
from elastomath.errors import InputError
from elastomath.laws.ceilings import convex_ceiling, pooled_ceiling, rises, string_ceiling, volume_for
from elastomath.laws.response import response
from elastomath.mixtures.mixture import Mixture
from elastomath.verification.ceilings import segment_instance


def test_a_string_that_the_perturbation_misses_attains_the_ceiling():
    mixture = Mixture.of([[0.5, 0.5, 0], [0.8, 0.2, 0], [0, 0.5, 0.5]], [10, 1, 2])
    lengthened = np.log(mixture.at(0.0).masses[:2] / mixture.masses[:2])
    assert lengthened[0] == pytest.approx(string_ceiling(11, 2), rel=1e-14)
    assert lengthened[1] < 0.999 * string_ceiling(11, 2)


def test_a_dataset_attains_it_iff_it_shares_nothing_with_the_perturbation():
    apart = rises(Mixture.of([[0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5]], [10, 1, 2]))
    assert apart.rise[1] == pytest.approx(apart.ceiling, rel=1e-14)
    assert not apart.rise[1] <= 0.999 * apart.ceiling
    shared = rises(Mixture.of([[0.5, 0.5, 0], [0.99, 0.01, 0], [0, 0.5, 0.5]], [10, 1, 2]))
    assert shared.rise[1] < shared.ceiling


def test_both_sharp_bounds_are_attained_where_the_ratio_is_constant():
    """P_t/b is the same on the leaves of P_a: both bounds are equalities, and the linear forms are not."""
    mixture = Mixture.of([[0.2, 0.2, 0.6], [0.5, 0.5, 0], [0.1, 0.1, 0.8]], [3, 1, 4])
    seen = rises(mixture)
    assert seen.rise[1] == pytest.approx(seen.low[1], rel=1e-12)
    assert seen.rise[1] == pytest.approx(seen.high[1], rel=1e-12)
    before, after = response(mixture.at(0.0)).overlaps[1], response(mixture).overlaps[1]
    assert 0.5 * (1 - before) < 0.999 * seen.rise[1]
    assert min(1 - after, seen.ceiling) > 1.001 * seen.rise[1]


def test_the_volume_that_buys_a_ceiling():
    for ceiling in (1e-6, 0.01, 1.0, 30.0):
        volume = volume_for(ceiling, 3.0)
        assert string_ceiling(volume, 3.0) == pytest.approx(ceiling, rel=1e-12)
        assert string_ceiling(0.999 * volume, 3.0) > ceiling
    assert volume_for(800.0, 1.0) == 0.0


def test_a_class_closed_under_mixing_attains_its_own_ceiling_and_passes_that_of_strings():
    step, (start, end) = segment_instance(Fraction(10), Fraction(3, 5), Fraction(10**9))
    rise = math.log(start[1] / end[1])
    assert rise <= convex_ceiling(1, 10, float(step)) * (1 + 1e-12)
    assert rise > 0.999 * convex_ceiling(1, 10, float(step))
    assert rise > 10 * string_ceiling(11, float(step))
    pooled = 10 * math.log(start[0] / end[0]) + rise
    assert pooled <= pooled_ceiling(11, float(step))


def test_the_pooled_ceiling_is_attained_by_mixtures_of_disjoint_data():
    mixture = Mixture.of([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [10, 1, 3])
    pooled = float(mixture.volumes[:2] @ rises(mixture).rise[:2])
    assert pooled == pytest.approx(pooled_ceiling(11, 3), rel=1e-13)
    assert pooled > 0.999 * pooled_ceiling(11, 3)


@pytest.mark.parametrize("k", [0.01, 0.5, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("step", [1e-8, 0.1, 1.0, 50.0])
def test_the_ceiling_of_one_dataset_solves_its_equations(k, step):
    """k/r + 1/z = k + 1 and k r + z = N_L, by sympy in 50 digits from the other unknown."""
    exact_k, exact_step = sp.Rational(k), sp.Rational(step)
    total = exact_k + 1 + exact_step
    root = (
        -exact_step * (exact_k - 1) + sp.sqrt((exact_step * (exact_k - 1)) ** 2 + 4 * total * exact_k * exact_step)
    ) / (2 * total)
    z, r = 1 / (1 - root), exact_k / (exact_k + root)
    assert abs(sp.N(exact_k * r + z - total, 40)) < 1e-30
    assert abs(sp.N(exact_k / r + 1 / z - exact_k - 1, 40)) < 1e-30
    assert convex_ceiling(1.0, k, step) == pytest.approx(float(sp.N(sp.log(z), 40)), rel=1e-10)
    assert convex_ceiling(3.0, 3 * k, 3 * step) == pytest.approx(convex_ceiling(1.0, k, step), rel=1e-13)
    assert convex_ceiling(1.0, k, step) > string_ceiling(k + 1, step)


def test_small_perturbations_of_a_closed_class_cost_their_square_root():
    assert convex_ceiling(1, 10, 1e-10) == pytest.approx(math.sqrt(1e-10 * 10 / 11), rel=1e-4)


def test_a_gaussian_with_free_mean_has_no_ceiling():
    """D_p, D_a at 0, D_t at m: DeltaH_a = (L m/N_L)^2/2, 8.68 where mixtures are held to 0.087."""
    k, step, mean = 10.0, 1.0, 50.0
    moved = step * mean / (k + 1 + step)
    assert moved**2 / 2 == pytest.approx(625 / 72, rel=1e-14)
    assert moved**2 / 2 > 99 * string_ceiling(k + 1, step)
    assert (k + 1) * moved**2 / 2 > pooled_ceiling(
        k + 1, step
    )  # not even the pooled form: no class closed under mixing
    assert (k + 1) * moved**2 / 2 <= step * (mean**2 - (mean - moved) ** 2) / 2  # but R6 holds


def test_deletion_has_no_ceiling():
    start = Mixture.of([[1, 0], [0, 1]], [1, 1])
    for share in (0.5, 0.999999):
        after = Mixture.of([[1, 0], [0, 1]], [1, 1 - share])
        lengthened = math.log(start.masses[1] / after.masses[1])
        assert lengthened > string_ceiling(2, share)
    assert lengthened > 10


def test_float_ball_and_symbol_agree():
    rows, volumes = [[3, 1, 2, 2], [1, 4, 1, 2], [2, 2, 5, 1]], [Fraction(10), Fraction(1), Fraction(3, 4)]
    ball = certify_rises(rows, volumes)
    masses = [[sp.Rational(p, sum(row)) for p in row] for row in rows]
    weights = [sp.Rational(w.numerator, w.denominator) for w in volumes]
    start = [sum(w * row[x] for w, row in zip(weights[:2], masses[:2], strict=True)) / 11 for x in range(4)]
    end = [(11 * q + weights[2] * t) / (11 + weights[2]) for q, t in zip(start, masses[2], strict=True)]
    floats = rises(Mixture.of([np.array(row) / sum(row) for row in rows], [float(v) for v in volumes]))
    for i in (0, 1):
        before, after = (
            sum(p * t / q for p, t, q in zip(masses[i], masses[2], qs, strict=True)) for qs in (start, end)
        )
        symbols = {
            "rise": sum(p * sp.log(a / b) for p, a, b in zip(masses[i], start, end, strict=True)),
            "low": sp.log((11 + weights[2]) / (11 + weights[2] * before)),
            "high": sp.log((11 + weights[2] - weights[2] * after) / 11),
        }
        for name, symbol in symbols.items():
            enclosure = getattr(ball, name)[i]
            assert enclosure.agrees(float(sp.N(symbol, 40)), 1e-15)
            assert enclosure.agrees(float(getattr(floats, name)[i]), 1e-12)
        assert ball.above[i].sign == ball.below[i].sign == ball.room[i].sign == 1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: string_ceiling(0, 1), "is 0"),
        (lambda: string_ceiling(1, -1), "perturbation is -1"),
        (lambda: volume_for(0, 1), "ceiling is 0"),
        (lambda: volume_for(float("nan"), 1), "ceiling is nan"),
        (lambda: convex_ceiling(1, 0, 1), "is 0"),
        (lambda: pooled_ceiling(float("inf"), 1), "base volume is inf"),
    ],
)
def test_bad_input_is_refused(call, what):
    with pytest.raises(InputError, match=what):
        call()


def test_without_coverage_only_the_perturbation_falls_without_end():
    seen = rises(Mixture.of([[0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5]], [10, 1, 0.5]))
    assert np.isfinite(seen.low[:2]).all()
    assert np.isfinite(seen.rise[:2]).all()
    assert (seen.low[2], seen.rise[2]) == (-np.inf, -np.inf)


@pytest.mark.parametrize("step", [1e10, 1e15, 1e300])
def test_the_bound_below_keeps_its_digits_under_a_large_perturbation(step):
    """P_t misses the first dataset: its rise, both bounds and the ceiling are ln(1 + L/11); the bound below stood above the rise."""
    seen = rises(Mixture.of([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], [10, 1, step]))
    assert seen.low[0] == pytest.approx(math.log1p(step / 11), rel=1e-15)
    assert seen.rise[0] == seen.high[0] == pytest.approx(seen.ceiling, rel=1e-15)


def test_near_datasets_rise_between_their_bounds():
    """Second order in the distance; at 1e-8 the rise was the rounding of the masses' sums, three times its upper bound."""

    def rises_at(distance):
        base, apart = np.array([0.4, 0.3, 0.2, 0.1]), np.array([[0.5, -1.0, 1.2, -0.4], [0.9, 1.0, -2.0, -0.9]])
        align, perturb = (row / row.sum() for row in base * (1 + distance * apart))
        return rises(Mixture.of([base, align, perturb], [10, 1, 1]))

    far, near = rises_at(1e-4), rises_at(1e-8)
    assert np.all((near.low <= near.rise) & (near.rise <= near.high))
    assert near.rise * 1e8 == pytest.approx(far.rise, rel=3e-4, abs=0)


def test_a_bound_above_stays_finite_where_the_volumes_are_far_apart():
    seen = rises(Mixture.of([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], [1e-10, 1e-10, 1e300]))
    assert seen.high[0] == seen.low[0] == pytest.approx(310 * math.log(10) - math.log(2), rel=1e-15)
    assert seen.high[1] == pytest.approx(310 * math.log(10) - 2 * math.log(2), rel=1e-15)


def test_one_datasets_ceiling_over_the_range_of_doubles():
    """In 60 digits: 709.196208..., where a sum overflowed, and 1.4676892e-308, where a quotient did."""
    assert convex_ceiling(1e-308, 2.5e230, 1.0) == pytest.approx(709.1962086421661, rel=1e-14)
    assert convex_ceiling(1.7e308, 0.87, 1.85) == pytest.approx(1.46768920847988e-308, rel=1e-13)


@pytest.mark.parametrize("apart", [1e-6, 1e-8, 1e-9, 1e-11])
def test_the_rise_of_near_datasets_lies_within_its_bounds(apart):
    """Their sums differ by 1e-16 of rounding, which is more than the square of 1e-9: the rise was that of the sums."""
    random = np.random.default_rng(1)
    base = random.dirichlet(np.ones(6))
    rows = [base * (1 + apart * random.normal(size=6)) for _ in range(3)]
    mixture = Mixture.of([row / row.sum() for row in rows], [10, 1, 0.5])
    seen, exact = rises(mixture), certify_rises(mixture.components.tolist(), [10, 1, Fraction(1, 2)])
    for got, name in ((seen.low, "low"), (seen.rise, "rise"), (seen.high, "high")):
        sought = [value.estimate for value in getattr(exact, name)]
        assert got[:2] == pytest.approx(sought, rel=1e-13 / apart, abs=0)
