"""R18 at its constants: both ends attained, in any class and for mixtures; the threshold; what lies off the line."""

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from elastomath.certify.optima import certify_theorem, two_models
from elastomath.derivations.theorem import ratio_kappa, theta_constant
from elastomath.errors import InputError
from elastomath.laws.finite import mixture_constant, path_entropies
from elastomath.laws.theorem import mixture_theta_bounds, residual_constant, theorem_readings, theta_bounds, union_parts
from elastomath.mixtures.mixture import Mixture
from elastomath.verification.theorem import extremal_parts

HALF = Fraction(1, 2)


def tied(k, tie, parts=(0.5, 0.5)):
    """Readings of two models that are equally good at the perturbation ``tie``: (H_p, H_a, H_t) at start and end."""
    rise = (k * parts[1] + tie) / (k * parts[0] + 1)
    return np.array([[1.0, 1.0 + parts[0] * rise - parts[1]], [1.0, 1.0 + rise], [2.0, 1.0]])


@pytest.mark.parametrize("parts", [(0.5, 0.5), (0.25, 0.75), (0.8, 0.2), (-0.05, 1.05)])
@pytest.mark.parametrize("k", [0.3, 10.0])
def test_both_ends_are_attained_by_two_models(k, parts):
    bounds = theta_bounds(k, 0.2, 0.05, parts)
    for tie, end in ((0.05, bounds.low), (0.2, bounds.high)):
        seen = theorem_readings([0.05, 0.2], k, tied(k, tie, parts), parts)
        assert seen.constant[0] == pytest.approx(end, rel=1e-12)
        assert seen.holds(1e-12)
    for tie in (0.05 * 0.99, 0.2 * 1.01):
        assert not theorem_readings([0.05, 0.2], k, tied(k, tie, parts), parts).holds(1e-12)


def test_halves_are_the_headline():
    assert theta_bounds(10, 0.5).low == 1.0
    assert theta_bounds(10, 0.5).high == pytest.approx((1 + 2 * 0.5 / 10) / (1 - 0.5), rel=1e-15)
    assert theta_bounds(10, 1.0).high == math.inf
    assert theta_bounds(10, 0.5).threshold == 1.0


@pytest.mark.parametrize(
    ("parts", "threshold"), [((0.25, 0.75), 3.0), ((0.75, 0.25), 1 / 3), ((-0.05, 1.05), math.inf)]
)
def test_the_threshold_is_where_the_sign_can_turn(parts, threshold):
    bounds = theta_bounds(10, 0.1, parts=parts)
    assert bounds.threshold == pytest.approx(threshold)
    if math.isfinite(threshold):
        for tie, sign in ((threshold * 0.99, -1), (threshold * 1.01, 1)):
            assert np.sign(np.diff(tied(10, tie, parts)[0])[0]) == sign


def test_further_parts_move_the_threshold():
    """Three equal parts with R' = 1: (1 + 3 l/k)/(1 - 2 l), threshold 1/2 (R8)."""
    third = 1 / 3
    bounds = theta_bounds(10, 0.25, parts=(third, third), further=third)
    assert bounds.high == pytest.approx((1 + 0.75 / 10) / (1 - 0.5), rel=1e-12)
    assert bounds.threshold == pytest.approx(0.5)


def test_further_parts_in_a_finite_class():
    """Four parts, R from the readings: the bound holds with it wherever DeltaH_a and 1 + k (pi_a + R) are > 0."""
    rng, seen = np.random.default_rng(5), 0
    for _ in range(300):
        rows = rng.dirichlet(np.full(5, 0.6), size=4)
        k, step = 8.0, 0.2
        union = rows.mean(axis=0)
        models = rng.dirichlet(np.full(5, 2.0), size=40)
        losses = -np.vstack([union, rows]) @ np.log(models).T
        start, end = (int(np.argmin(k * losses[0] + losses[1] + l * losses[2])) for l in (0.0, step))  # noqa: E741
        change = losses[:, end] - losses[:, start]
        if start == end or change[1] <= 0:
            continue
        further = 0.25 * (change[3] + change[4]) / change[1]
        if 1 + k * (0.25 + further) <= 0 or step * (0.25 + further) >= 0.25:
            continue
        seen += 1
        bounds = theta_bounds(k, step, parts=(0.25, 0.25), further=further)
        assert bounds.low - 1e-9 <= -change[1] / (k * change[0]) <= bounds.high * (1 + 1e-9)
    assert seen >= 5


# --- mixtures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["low", "high"])
@pytest.mark.parametrize("k", [0.5, 10.0])
def test_the_best_constants_of_mixtures_are_attained(which, k):
    """The extremal family comes within 0.1% of its end, so 0.999 of the constant is violated there."""
    delta = Fraction(1, 10**5)
    align, perturb = extremal_parts(which, Fraction(k), delta)
    rows = [[float(p) for p in row] for row in (align, perturb)]
    union = [(a + t) / 2 for a, t in zip(*rows, strict=True)]
    codes = path_entropies(Mixture.of([union, *rows], [k, 1, 0]), [0.0, 0.6])
    change = codes[:, 1] - codes[:, 0]
    constant, bounds = -change[1] / (k * change[0]), mixture_theta_bounds(k, 0.6)
    assert bounds.low * (1 - 1e-6) <= constant <= bounds.high * (1 + 1e-6)
    assert constant > 0.999 * bounds.high if which == "high" else constant < 1.001 * bounds.low


def test_mixtures_tighten_the_general_bounds():
    for k in (0.1, 1.0, 10.0, 1e4):
        for step in (0.01, 0.3, 0.9):
            inner, outer = mixture_theta_bounds(k, step), theta_bounds(k, step)
            assert outer.low < inner.low < inner.high < outer.high
    assert mixture_theta_bounds(1e7, 0.5).low == pytest.approx(4 / 3, rel=1e-6)
    assert mixture_theta_bounds(1e7, 0.5).high == pytest.approx(4 / 3, rel=1e-6)


def test_mixtures_keep_the_signs_beyond_twice_the_threshold():
    bounds = mixture_theta_bounds(10, 1.5)
    assert bounds.threshold > 2
    assert mixture_constant(11, bounds.threshold) == pytest.approx(1.0, rel=1e-11)
    assert math.isfinite(bounds.high)
    assert certify_theorem([5, 2, 1], [1, 2, 5], 10, 2).signs == (-1, 1)
    align, perturb = extremal_parts("high", Fraction(10), Fraction(1, 10**6))
    assert certify_theorem(align, perturb, 10, Fraction(21, 10)).signs == (-1, 1)
    assert certify_theorem(align, perturb, 10, Fraction(22, 10)).signs[0] == 1  # beyond c_+ = 1


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.98, 1.0, 1.02, 2.2, 50.0])
@pytest.mark.parametrize("width", [1e-6, 0.1, 3.0, 1e3])
def test_residual_constant_against_many_digits(ratio, width):
    u = sp.Rational(width) / (1 + sp.Rational(width))
    exact = width / (2 + width) if ratio == 1 else sp.N(ratio_kappa(u, u * (sp.Rational(ratio) - 1)), 60)
    assert residual_constant(1.0, width, ratio) == pytest.approx(float(exact), rel=1e-11)
    assert residual_constant(7.0, 7 * width, ratio) == pytest.approx(7 * float(exact), rel=1e-11)
    if ratio == 0:
        assert residual_constant(1.0, width, 0.0) == pytest.approx(mixture_constant(1.0, width), rel=1e-11)


def test_the_constant_falls_with_the_ratio():
    values = [residual_constant(3.0, 2.0, ratio) for ratio in np.linspace(0, 40, 200)]
    assert (np.diff(values) < 0).all()


# --- float, ball and symbol; the line -----------------------------------------------------------------------------------


def test_float_ball_and_symbol_agree():
    align, perturb, k, step, parts = [5, 2, 2], [1, 3, 5], Fraction(6), HALF, (Fraction(1, 4), Fraction(3, 4))
    ball = certify_theorem(align, perturb, k, step, parts)
    rows = [np.array(row) / sum(row) for row in (align, perturb)]
    shares = [float(p) for p in parts]
    union = shares[0] * rows[0] + shares[1] * rows[1]
    seen = theorem_readings([0, 0.5], 6.0, path_entropies(Mixture.of([union, *rows], [6, 1, 0]), [0, 0.5]), shares)
    assert ball.proved
    assert ball.constant.agrees(seen.constant[0], 1e-11)
    assert ball.general.agrees(seen.high[0], 1e-14)
    inner = mixture_theta_bounds(6.0, 0.5, tuple(shares))
    for enclosure, value, ratio in ((ball.low, inner.low, Fraction(7) / (k * parts[1])), (ball.high, inner.high, 0)):
        assert enclosure.agrees(value, 1e-12)
        u = step / (k + 1 + step)
        moved = 7 * ratio_kappa(sp.Rational(u), sp.Rational(u * (ratio - 1)))
        symbol = theta_constant(sp.Rational(k * parts[1]), sp.Rational(k * parts[0]), moved)
        assert enclosure.agrees(float(sp.N(symbol, 40)), 1e-14)
    general = theta_constant(sp.Rational(k * parts[1]), sp.Rational(k * parts[0]), sp.Rational(step))
    assert ball.general.agrees(float(general), 1e-15)


def test_the_parts_of_a_union_are_found():
    rng = np.random.default_rng(1)
    align, other = rng.dirichlet(np.ones(6), size=2)
    perturb = (align + 5 * other) / 6  # at the share 1.2 it is all of `other`
    for share in (0.1, 0.5, 1.2):
        assert union_parts((1 - share) * align + share * perturb, align, perturb) == pytest.approx((1 - share, share))
    assert union_parts(rng.dirichlet(np.ones(6)), align, perturb) is None
    assert union_parts(align, align, align) is None
    exact = [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]
    assert union_parts(*exact, tolerance=0.0) == (0.5, 0.5)  # what is exact needs no tolerance


def test_off_the_line_two_models_break_both_signs_at_any_perturbation():
    wanted = [Fraction(1, 4), Fraction(-1), Fraction(-1, 9)]
    f, start = two_models([[2, 1, 1, 1], [4, 1, 1, 2], [1, 1, 5, 1]], wanted)
    q_0 = np.array([value.estimate for value in start])
    q_1 = q_0 * np.exp(-np.array([float(x) for x in f]))
    assert q_1.sum() == pytest.approx(1.0, abs=1e-14)
    rows = np.array([[2, 1, 1, 1], [4, 1, 1, 2], [1, 1, 5, 1]]) / np.array([[5], [8], [8]])
    change = -rows @ np.log(q_1 / q_0)
    assert change == pytest.approx([float(x) for x in wanted], abs=1e-13)
    assert 4 * change[0] + change[1] == pytest.approx(0, abs=1e-12)  # a tie at l = 0, k = 4


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: theta_bounds(0, 0.5), "pretrain is 0"),
        (lambda: theta_bounds(1, 0.5, 0.5), "l from 0.5"),
        (lambda: theta_bounds(1, 0.5, parts=(0.5, 0.4)), "parts"),
        (lambda: theta_bounds(10, 0.5, parts=(-0.2, 1.2)), "parts"),
        (lambda: theorem_readings([0, 0.5], 1, [[1, 1]]), "rates have shape"),
        (lambda: theorem_readings([0, 1.5], 1, [[1, 1]] * 3), "beyond the threshold"),
        (lambda: residual_constant(0, 1, 1), "base volume is 0"),
        (lambda: certify_theorem([1, 1], [1, 2], 1, 1, (1, 1)), "parts"),
        (lambda: two_models([[1, 1], [1, 1]], [1, -1]), "not independent"),
        (lambda: two_models([[1, 0], [0, 1]], [1, 1]), "both signs"),
    ],
)
def test_bad_input_is_refused(call, what):
    with pytest.raises(InputError, match=what):
        call()


@pytest.mark.parametrize("parts", [(0.5, 0.5), (0.3, 0.7), np.array([0.3, 0.7])])
def test_bounds_are_plain_floats_whatever_the_parts_are(parts):
    for bounds in (theta_bounds(10, 0.5, parts=parts), mixture_theta_bounds(10, 0.5, parts)):
        assert {type(value) for value in (bounds.low, bounds.high, bounds.threshold)} == {float}


def test_a_tolerance_of_nothing_is_met_by_what_is_exact():
    assert union_parts([0.5, 0.5], [0.75, 0.25], [0.25, 0.75], tolerance=0.0) == (0.5, 0.5)
    off = [0.5, 0.25 + 2.0**-20, 0.25 - 2.0**-20]
    assert union_parts(off, [1, 0, 0], [0, 0.5, 0.5], tolerance=2.0**-20) == (0.5, 0.5)
    assert union_parts(off, [1, 0, 0], [0, 0.5, 0.5], tolerance=2.0**-20 * (1 - 2.0**-52)) is None


def test_the_constant_at_a_ratio_below_the_doubles_beside_one():
    """c(m) in 800 digits where N_0/L and m are both below 1e-300, and m L is ten times N_0."""
    import mpmath

    base, step, ratio = 1e-5, 1e300, 1e-304
    with mpmath.workdps(800):
        n, length, m = mpmath.mpf(base), mpmath.mpf(step), mpmath.mpf(ratio)
        u = length / (n + length)
        v = u * (m - 1)
        log = mpmath.log(1 + v)
        expected = float(n * u * (v - log) / ((u + v) * log - u * v))
    assert residual_constant(base, step, ratio) == pytest.approx(expected, rel=1e-12)


def test_the_constant_at_both_ends_of_the_doubles():
    """In 60 digits; the first was 0, the second an error of a base volume that is 0."""
    assert residual_constant(1.7e308, 0.59, 1.7e308) == pytest.approx(0.27228104764402794, rel=1e-13)
    assert residual_constant(5e-324, 1.7e308, 0.0) == pytest.approx(5e-324 * 1454, rel=1e-2)


def test_beyond_the_threshold_the_bounds_hold_what_happens():
    """q on two leaves: beyond c_+ = pi_t/pi_a the constant is negative, where the bounds said at least 1, and at least infinity."""
    align, perturb = np.array([4.0, 1.0, 1.0]) / 6, np.array([1.0, 1.0, 4.0]) / 6
    mixture = Mixture.of([(align + perturb) / 2, align, perturb], [10, 1, 0])
    for step in (2.15, 2.2001, 3.0, 5.0):
        before, after = path_entropies(mixture, [0.0, step]).T
        constant = -(after - before)[1] / (10 * (after - before)[0])
        for bounds in (theta_bounds(10, step), mixture_theta_bounds(10, step)):
            assert bounds.low <= constant <= bounds.high
        balls = certify_theorem([4, 1, 1], [1, 1, 4], 10, Fraction(step))
        assert balls.low.low <= constant <= balls.high.high
        assert balls.above.sign == balls.below.sign == 1
    assert mixture_theta_bounds(10, 5.0).low == pytest.approx(-1.51816356579805, rel=1e-12)
    assert (
        mixture_theta_bounds(10, 2.15).high
        == certify_theorem([4, 1, 1], [1, 1, 4], 10, Fraction(43, 20)).high.high
        == math.inf
    )
    late = theta_bounds(10, 5.0, start=2.0)  # (1 + 2l/10)/(1 - l) at 2 and at 5
    assert (late.low, late.high) == pytest.approx((-1.4, -0.5), rel=1e-15)
    assert theta_bounds(10, 5.0, start=1.0).low == -math.inf
    assert theta_bounds(10, 5.0).low == -math.inf


def test_a_certificate_of_equal_datasets_is_refused():
    with pytest.raises(InputError, match="nothing moves"):
        certify_theorem([1, 2], [2, 4], 10, 1)
