"""R21-R25: the logit law in floats, against balls over the whole range of doubles, and against the differential equation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit, logit, wrightomega

from elastomath.certify.logit import certify_logit, certify_replay, certify_return_ratio
from elastomath.errors import InputError
from elastomath.laws.logit import (
    aligned_contrast,
    fall_volume,
    first_falls,
    gradient_constants,
    kappa_exponent,
    matched_volumes,
    perturbed_contrast,
    replayed_contrast,
    return_ratio,
    rise,
    undo_exponent,
    undo_slope,
    undo_volume,
)

STARTS = [-720.0, -700.0, -300.0, -40.0, -5.0, -1.0, 0.0, 1e-9, 0.3, 2.0, 10.0, 36.5, 300.0, 700.0, 720.0]
EXPOSURES = [1e-300, 1e-100, 1e-16, 1e-8, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e8, 1e16, 1e100, 1e300]


@pytest.mark.parametrize("start", STARTS)
def test_every_digit_over_the_range_of_doubles(start):
    for exposure in EXPOSURES:
        proved = certify_logit(start, exposure, 1)
        climbed = rise(start, exposure, 1.0)
        if proved.rise.estimate < 1e-290:  # the doubles end here
            assert climbed <= 2e-290
            assert undo_exponent(start, exposure, 1.0) == pytest.approx(1, abs=1e-12)
            continue
        volumes = matched_volumes(start, climbed, 1.0)
        assert climbed == pytest.approx(proved.rise.estimate, rel=2e-15)
        assert aligned_contrast(start, exposure, 1.0) == pytest.approx(proved.contrast.estimate, rel=1e-14, abs=1e-15)
        seen = {
            "undo": undo_volume(start, exposure, 1.0),
            "slope": undo_slope(start, exposure, 1.0),
            "exponent": undo_exponent(start, exposure, 1.0),
            "pretrain": volumes.pretrain,
            "align": volumes.align,
            "kappa": volumes.kappa,
            "kappa_exponent": kappa_exponent(start, exposure, 1.0),
        }
        size = max(abs(start), abs(start + climbed), 50)  # e^z of a double z has |z| units in its last place
        for name, value in seen.items():
            expected = getattr(proved, name)
            assert value == pytest.approx(expected.estimate, rel=4e-16 * size), (name, exposure)
        falls = first_falls(start + climbed, start, 1.0)
        told = (falls.contrast, falls.opposed, falls.code_length, falls.probability)
        for value, expected in zip(told, proved.falls, strict=False):
            assert value == pytest.approx(expected.estimate, rel=1e-12, abs=1e-307)


def test_the_plain_formula_cancels_where_the_rise_does_not():
    plain = 1e-3 + math.exp(30) - float(wrightomega(30 + math.exp(30) + 1e-3).real)
    proved = certify_logit(30, 1e-3, 1).rise.estimate
    assert plain != pytest.approx(proved, rel=1e-2, abs=0)
    assert rise(30.0, 1e-3, 1.0) == pytest.approx(proved, rel=2e-15)


def test_volumes_are_finite_where_odds_alone_are_not():
    """e^720 is no double: m*, K_a and the exponent of kappa were infinite or NaN from |z| = 710 on."""
    assert undo_volume(-720.0, 1e-100, 1.0) == pytest.approx(certify_logit(-720, 1e-100, 1).undo.estimate, rel=1e-12)
    assert fall_volume(-720.0, [0.0, 1e-100], 1.0)[0] == 0
    assert matched_volumes(720.0, [0.0, 1e-300], 1.0).align == pytest.approx([0.0, math.exp(720 - 300 * math.log(10))])
    assert matched_volumes(5000.0, 0.0, 1.0).align == 0
    assert kappa_exponent(-800.0, 760.0, 1.0) == pytest.approx(-760, rel=1e-12)
    assert kappa_exponent(-800.0, 1e104, 1.0) == pytest.approx(-1, rel=1e-12)


def test_beyond_the_range_nothing_is_nan():
    for start, exposure in itertools.product([-5000.0, 5000.0], [0.0, 1e-300, 1.0, 1e300]):
        values = [rise(start, exposure, 1.0), aligned_contrast(start, exposure, 1.0), undo_volume(start, exposure, 1.0)]
        values += [undo_slope(start, exposure, 1.0), perturbed_contrast(start, exposure, 1.0)]
        assert not np.any(np.isnan(values)), (start, exposure)
    assert rise(5000.0, 1e300, 1.0) == 0
    assert rise(-5000.0, 100.0, 1.0) == pytest.approx(100, rel=1e-14)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("start", [-6.0, 0.0, 4.0])
def test_the_closed_forms_solve_the_differential_equation(share, start):
    volumes = np.array([0.1, 1.0, 10.0, 100.0])
    path = solve_ivp(
        lambda n, z: 0.3 * (share - 1 / (1 + np.exp(-z))), (0, 100), [start], t_eval=volumes, rtol=1e-11, atol=1e-12
    )
    assert replayed_contrast(start, volumes, 0.3, share) == pytest.approx(path.y[0], abs=1e-9)
    if start or share != 0.5:  # not at rest
        assert replayed_contrast(start, volumes, 0.31, share) != pytest.approx(path.y[0], abs=1e-3)


def test_the_ends_of_replay_are_alignment_and_perturbation():
    volumes = np.geomspace(1e-6, 1e6, 25)
    assert np.array_equal(replayed_contrast(1.0, volumes, 0.3, 1.0), aligned_contrast(1.0, volumes, 0.3))
    assert np.array_equal(replayed_contrast(1.0, volumes, 0.3, 0.0), perturbed_contrast(1.0, volumes, 0.3))
    assert replayed_contrast(1.0, volumes, 0.3, 1e-300) == pytest.approx(
        perturbed_contrast(1.0, volumes, 0.3), abs=1e-12
    )


@pytest.mark.parametrize("share", [1e-12, 0.02, 0.5, 0.97])
@pytest.mark.parametrize("start", [-300.0, -3.0, 0.0, 8.0, 300.0])
def test_replay_against_balls(start, share):
    for exposure in (1e-6, 0.1, 3.0, 50.0, 2e3):
        end = float(replayed_contrast(start, exposure, 1.0, share))
        speed = abs(share - expit(end))
        if abs(end - logit(share)) < 1e-9 or end == start:
            assert speed * exposure < 1e-9 * max(1, abs(end)) * max(1.0, exposure)
            continue
        proved = certify_replay(start, end, share)
        assert abs(proved.estimate - exposure) * speed <= 1e-13 * max(abs(end), 1)


def test_a_base_stays_on_its_own_data():
    assert float(replayed_contrast(float(logit(0.2)), 1e9, 1.0, 0.2)) == pytest.approx(float(logit(0.2)), rel=1e-15)
    z = replayed_contrast(3.0, 7.0, 0.2, 0.5)
    assert np.sinh(z / 2) == pytest.approx(math.sinh(1.5) * math.exp(-7 * 0.2 / 4), rel=1e-14)


def test_no_data_leaves_every_bit():
    """At volume 0 the state is the state, whatever rounding a processor's exp and ln have."""
    z = np.linspace(-30, 30, 2001)
    for share in (0.0, 0.03, 0.4, 0.5, 0.9, 1.0):
        assert (replayed_contrast(z, 0.0, 0.3, share) == z).all()


def test_perturbing_is_aligning_from_the_other_side():
    assert np.array_equal(perturbed_contrast(2.5, [1.0, 30.0], 0.3), -aligned_contrast(-2.5, [1.0, 30.0], 0.3))
    assert float(fall_volume(-0.4, rise(0.4, 17.0, 0.3), 0.3)) == pytest.approx(17, rel=1e-13)


@pytest.mark.parametrize("start", [-3.0, 0.0, 2.0])
def test_the_undo_volume_brings_the_contrast_back(start):
    volumes = np.geomspace(1e-3, 1e9, 13)
    top = aligned_contrast(start, volumes, 0.3)
    needed = undo_volume(start, volumes, 0.3)
    assert perturbed_contrast(top, needed, 0.3) == pytest.approx(np.full(13, start), abs=1e-11)
    step = 1e-5
    slopes = (undo_volume(start, volumes * (1 + step), 0.3) - undo_volume(start, volumes * (1 - step), 0.3)) / (
        2 * step * volumes
    )
    assert undo_slope(start, volumes, 0.3) == pytest.approx(slopes, rel=1e-5, abs=1e-12)
    assert undo_exponent(start, volumes, 0.3) == pytest.approx(slopes * volumes / needed, rel=1e-5)


def test_the_exponent_of_the_undo_volume_has_its_ends():
    exponents = undo_exponent(0.0, np.geomspace(1e-12, 1e300, 300), 0.3)
    assert np.all(np.diff(exponents) <= 0)
    assert exponents[0] == pytest.approx(1, abs=1e-11)
    assert np.all(exponents > 0)
    far = 1e250  # 1/(ln(cn) - B(z_0)), not 1/ln(cn)
    assert undo_exponent(-3.0, far, 0.3) == pytest.approx(1 / (math.log(0.3 * far) + 3 + math.exp(3)), rel=1e-6)


def test_the_ratio_of_going_back():
    assert float(return_ratio(0.6, 0.9)) == pytest.approx(0.252623309133, rel=1e-10)
    assert certify_return_ratio(Fraction(3, 5), Fraction(9, 10)).digits.startswith("0.252623309")
    assert float(return_ratio(0.1, 0.4)) == pytest.approx(1 / float(return_ratio(0.6, 0.9)), rel=1e-13)
    for low, high in ((0.6, 0.9), (0.2, 0.7), (0.05, 0.3), (0.5, 0.5 + 1e-9), (1e-12, 1 - 1e-12)):
        proved = certify_return_ratio(low, high)
        assert proved.agrees(float(return_ratio(low, high)), 1e-9 if high - low < 1e-6 else 1e-13)
        z = logit(low), logit(high)
        down, up = fall_volume(z[1], z[1] - z[0], 0.3), fall_volume(-z[0], z[1] - z[0], 0.3)
        assert float(return_ratio(low, high)) == pytest.approx(float(down / up), rel=1e-6)
        assert (return_ratio(low, high) < 1) == (Fraction(low) + Fraction(high) > 1)


@pytest.mark.parametrize("pair", [(2e-269, 1e-53), (1e-200, 2e-200), (1e-300, 0.5)])
def test_the_ratio_of_going_back_between_rare_responses(pair):
    """p_1 p_2 is below the doubles, the ratio is not."""
    assert return_ratio(*pair) == pytest.approx(certify_return_ratio(*pair).estimate, rel=1e-12, abs=0)


def test_the_ratio_of_going_back_under_any_kernel_of_the_state():
    """A mean of e^-z over the way: between its ends, and at either end for a kernel that is slow there."""
    z = np.linspace(logit(0.6), logit(0.9), 200_001)
    for kernel in (np.ones_like(z), np.exp(-3 * z), 2 + np.sin(9 * z), 1e-4 + (z - z[0]) ** 2, 1e-4 + (z - z[-1]) ** 2):
        down, up = np.trapezoid((1 + np.exp(-z)) / kernel, z), np.trapezoid((1 + np.exp(z)) / kernel, z)
        assert 1 / 9 < down / up < 2 / 3
    assert down / up < 0.13  # slow near the top
    flat = np.trapezoid(1 + np.exp(-z), z) / np.trapezoid(1 + np.exp(z), z)
    assert flat == pytest.approx(float(return_ratio(0.6, 0.9)), rel=1e-9)


def test_first_falls_turn_where_they_are_said_to():
    shares = np.linspace(0.001, 0.999, 999)
    falls = first_falls(logit(shares), logit(0.3), 0.3)
    assert np.all(np.diff(falls.contrast) > 0)
    assert np.all(np.diff(falls.opposed) > 0)
    assert shares[np.argmax(falls.code_length)] == pytest.approx(1 / 2, abs=1e-3)
    assert shares[np.argmax(falls.probability)] == pytest.approx(2 / 3, abs=1e-3)
    assert shares[np.argmin(falls.kl_forward)] == pytest.approx(0.15, abs=1e-3)
    assert shares[np.argmax(falls.kl_reverse)] > 2 / 3


def test_first_falls_are_slopes_along_the_perturbation():
    z, z0, c, step = 1.3, -0.4, 0.3, 1e-6

    def measures(at):
        p, base = expit(at), expit(z0)
        forward = base * np.log(base / p) + (1 - base) * np.log((1 - base) / (1 - p))
        reverse = p * np.log(p / base) + (1 - p) * np.log((1 - p) / (1 - base))
        return np.array([at, -np.log1p(-p), np.log(p), p, forward, reverse])  # gamma_+ rises

    after = perturbed_contrast(z, step, c)
    seen = first_falls(z, z0, c)
    told = [seen.contrast, seen.opposed, seen.code_length, seen.probability, seen.kl_forward, seen.kl_reverse]
    assert (measures(z) - measures(after)) / step == pytest.approx(np.array(told, dtype=float), rel=1e-5)


@pytest.mark.parametrize("start", [-4.0, 0.0, 1.5])
def test_matched_volumes_are_a_mixture_with_the_same_state_and_speed(start):
    pi, c = float(expit(start)), 0.3
    for n in (0.1, 3.0, 40.0, 1e4):
        way = float(rise(start, n, c))
        p = float(expit(start + way))
        volumes = matched_volumes(start, way, c)
        total = float(volumes.pretrain + volumes.align)
        assert float(volumes.pretrain * pi + volumes.align) / total == pytest.approx(p, rel=1e-12)
        assert p / total == pytest.approx(c * p**2 * (1 - p), rel=1e-12)  # -dp/dm of both
        assert float(volumes.align) == pytest.approx(n - (way - 1 + math.exp(-way)) / c, rel=1e-11)
        assert float(volumes.kappa) == pytest.approx((1 - p) / (p - pi), rel=1e-11)
        assert float(volumes.align) <= n
    assert float(matched_volumes(start, 60.0, c).pretrain) == pytest.approx(1 / ((1 - pi) * c), rel=1e-12)


def test_the_exponent_of_kappa_is_minus_one_at_both_ends_only():
    grid = np.geomspace(1e-9, 1e300, 2000)
    exponents = kappa_exponent(0.0, grid, 0.3)
    assert np.all(exponents <= -1)
    assert exponents[[0, -1]] == pytest.approx([-1, -1], abs=1e-8)
    assert exponents.min() == pytest.approx(-1.1699, abs=1e-4)
    step = 1e-5
    logs = [np.log(matched_volumes(0.0, rise(0.0, grid * factor, 0.3), 0.3).kappa) for factor in (1 + step, 1 - step)]
    assert exponents[:1200] == pytest.approx(((logs[0] - logs[1]) / (2 * step))[:1200], rel=1e-4)
    rare = kappa_exponent(-40.0, np.array([1.0, 10.0, 60.0]), 0.3)  # forgetting's, with c n for eta n
    x = 0.3 * np.array([1.0, 10.0, 60.0])
    assert rare == pytest.approx(-x / (1 - np.exp(-x)), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-170, 1.0, 1e200])
def test_the_cosine_of_two_gradients_does_not_know_their_size(scale):
    """The product of two small norms is 0, and the cosine was 0 where it is -1; of two large ones NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        assert gradient_constants([-scale, 0.0], [scale, 0.0], 0.5, 1e-300).cosine == -1
    assert math.isnan(gradient_constants([0.0, 0.0], [1.0, 0.0], 0.5, 0.1).cosine)


def test_constants_from_gradients():
    rng = np.random.default_rng(0)
    direction, p = rng.normal(size=7), 0.7
    seen = gradient_constants(-(1 - p) * direction, p * direction, p, 1e-2, 4)
    kernel = 1e-2 / 4 * float(direction @ direction)
    assert [seen.aligning, seen.perturbing, seen.kernel] == pytest.approx([kernel] * 3, rel=1e-12)
    assert seen.cosine == pytest.approx(-1, rel=1e-12)
    bent = gradient_constants(-(1 - p) * direction, p * direction + rng.normal(size=7), p, 1e-2, 4)
    assert bent.aligning != pytest.approx(bent.perturbing, rel=1e-2)
    assert bent.cosine > -1 + 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rise(math.nan, 1, 1), "contrasts is nan"),
        (lambda: rise(0, -1, 1), "volumes"),
        (lambda: rise(0, 1, 0), "constant"),
        (lambda: replayed_contrast(0, 1, 1, 1.5), "share"),
        (lambda: return_ratio(0.9, 0.6), "low < high"),
        (lambda: fall_volume(0, -1, 1), "falls is -1"),
        (lambda: gradient_constants([1.0], [1.0, 2.0], 0.5, 1), "one shape"),
        (lambda: gradient_constants([1.0], [1.0], 1.0, 1), "probability"),
        (lambda: certify_logit(0, -1, 1), "n = -1"),
        (lambda: certify_logit("x", 1, 1), "a finite number"),
        (lambda: certify_replay(0, 1, 2), "share"),
        (lambda: certify_return_ratio(0.9, 0.6), "p_1 < p_2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
