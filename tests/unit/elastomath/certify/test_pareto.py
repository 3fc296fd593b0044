"""Pareto overlaps as balls: they contain the truth at every precision, and float, ball and symbol agree."""

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx, fmpq
from hypothesis import given
from hypothesis import strategies as st

from elastomath.certify import pareto as module
from elastomath.certify.balls import working_precision
from elastomath.certify.pareto import (
    certify_pareto,
    certify_two_parts,
    exact_independent_overlap,
    pareto_mean,
    two_mass_ball,
)
from elastomath.derivations.pareto import two_part_factor
from elastomath.errors import InputError
from elastomath.pareto.law import Pareto, independent_overlap, two_part_overlap
from elastomath.pareto.overlaps import equal_parts_overlap, expected_overlaps, mass_mean
from elastomath.verification.pareto import gauss_ball
from tests.examples import examples

CASES = [
    (Fraction(11, 10), [1, 1, 1], [0, 1, 1]),
    (Fraction(3, 2), [Fraction(10, 3), Fraction(13, 3), Fraction(47, 15)], [1, 0, 1]),
    (Fraction(3, 2), [Fraction(10, 3), Fraction(13, 3), Fraction(47, 15)], [0, 0, 2]),
    (Fraction(6, 5), [1, 50, Fraction(1, 20)], [0, 0, 2]),
    (2, [1, 1], [1, 1]),
    (2, [1, 3], [0, 2]),
    (4, [100, Fraction(1, 100)], [1, 1]),
    (Fraction(5, 2), [1, 0, 0], [0, 1, 1]),
    (Fraction(5, 2), [Fraction(1, 7), 2, 3, 1], [0, 0, 0, 1]),
]


def mean_at(alpha, weights, orders, bits):
    with working_precision(max(64, bits + 60)):
        return pareto_mean(Fraction(alpha), [Fraction(w) for w in weights], orders, bits)


@pytest.mark.parametrize(("alpha", "weights", "orders"), CASES)
def test_a_coarse_ball_contains_the_fine_one(alpha, weights, orders):
    """Whatever the step and the cut-offs are, the enclosure holds; 2 bits leave an aliasing error of 1e-3 of the mean."""
    fine = mean_at(alpha, weights, orders, 90)
    assert fine.rel_accuracy_bits() > 80
    for bits in (2, 4, 7, 12, 20, 40):
        coarse = mean_at(alpha, weights, orders, bits)
        assert coarse.overlaps(fine)
        assert coarse.contains(fine.mid())
        assert coarse.rel_accuracy_bits() >= bits - 2
    if max(orders) < 3:
        seen = mass_mean(Pareto(float(alpha)), [float(w) for w in weights], tuple(orders))
        assert float(seen) == pytest.approx(float(fine.mid()), rel=1e-11)


def test_the_aliasing_term_is_needed():
    """The middle of a coarse enclosure is off by a tenth of its width at least once: the bound is no formality."""
    shares = []
    for alpha, weights, orders in CASES:
        truth, coarse = mean_at(alpha, weights, orders, 60), mean_at(alpha, weights, orders, -12)
        assert coarse.contains(truth.mid())
        shares.append(abs(float((coarse.mid() - truth.mid()) / coarse.rad())))
    assert 0.1 < max(shares) <= 1


@pytest.mark.parametrize(
    ("alpha", "weights"), [(Fraction(13, 10), [1, 2, 3]), (3, [1, 1, 1]), (Fraction(7, 3), [5, 1])]
)
def test_two_rules_of_quadrature_agree(alpha, weights):
    """The trapezoid in ln s and Arb's Gauss-Legendre enclose the same number."""
    weights = [Fraction(w) for w in weights]
    with working_precision(110):
        gauss = gauss_ball(Fraction(alpha), weights, len(weights) - 2, 40)
        orders = [0] * (len(weights) - 2) + [1, 1]
        assert gauss.overlaps(pareto_mean(Fraction(alpha), weights, orders, 60))
        assert gauss.rel_accuracy_bits() > 30


def test_digits_are_those_asked_for():
    fine = certify_pareto(Fraction(6, 5), digits=80)
    assert fine.proved
    assert len(fine.gap.digits) > 80
    for digits in (5, 15, 40):
        seen = certify_pareto(Fraction(6, 5), digits=digits)
        assert seen.proved
        assert abs(Fraction(seen.gap.digits) - Fraction(fine.gap.digits)) < Fraction(10) ** -digits
    few = certify_pareto(Fraction(6, 5), digits=50, last_precision=100)
    assert not few.proved
    assert few.gap.low <= fine.gap.estimate <= few.gap.high


def test_two_parts_by_digamma_and_by_the_integral_to_sixty_digits():
    for alpha in (Fraction(101, 100), Fraction(3, 2), 2, 7):
        closed, gap = certify_two_parts(alpha, 60)
        law = certify_pareto(alpha, shares=(1, 1), digits=60)
        assert closed.digits == law.align.digits
        assert gap.digits == law.gap.digits
    assert certify_two_parts(2, 30)[0].digits == str(sp.N(sp.Rational(4, 3) * (2 - 2 * sp.log(2)), 32))


def test_narrow_masses_by_digamma_and_by_the_integral():
    """Arb's E_nu(s) is no number for nu from 2000 on and small s; the Taylor polynomials enclose it there."""
    for alpha in (3000, Fraction(10001, 2), 10**5):
        law = certify_pareto(alpha, shares=(1, 1), digits=20)
        assert law.proved
        closed = Fraction(certify_two_parts(alpha, 20)[1].digits)
        assert abs(Fraction(law.gap.digits) / closed - 1) < Fraction(1, 10**20)
    with working_precision(128):
        for nu in (1001, 5001):
            near = module._near_zero(arb(nu), arb(2) ** -2)
            assert near.overlaps((arb(2) ** -2).expint(arb(nu)))
            assert near.rel_accuracy_bits() > 110


def test_the_constant_is_proved_too():
    """At k = 1e-30 and l = 1e30 1 - epsilon is 3e-31 of 1: the ball at 256 bits holds 0, and there was said to be no constant."""
    law = certify_pareto(Fraction(3, 2), Fraction(1, 10**30), 10**30)
    assert law.proved
    assert law.theta_constant.estimate == pytest.approx(-3e30, rel=1e-14)
    pretrain, align, _ = law.responses
    assert law.theta_constant.estimate == pytest.approx(-align.estimate / pretrain.estimate * 1e30, rel=1e-12)


def test_float_ball_and_symbol_of_the_closed_form_agree():
    """A_2 = factor (psi - psi): the derivation's factor, the ball's and the float's."""
    symbol = sp.Symbol("alpha", positive=True)
    formula = two_part_factor(symbol) * (sp.digamma((symbol + 1) / 2) - sp.digamma(symbol / 2))
    for alpha in (Fraction(6, 5), Fraction(5, 2), Fraction(9)):
        exact = sp.N(formula.subs(symbol, sp.Rational(alpha.numerator, alpha.denominator)), 30)
        ball = certify_two_parts(alpha, 25)[0]
        assert abs(sp.Float(ball.digits, 30) - exact) < sp.Float(10) ** -25
        assert ball.agrees(float(two_part_overlap(float(alpha))), 1e-14)
        independent = exact_independent_overlap(alpha)
        assert float(independent_overlap(float(alpha))) == pytest.approx(float(independent), rel=1e-15)
        assert sp.Rational(independent.numerator, independent.denominator) == sp.Rational(str(alpha)) ** 2 / (
            sp.Rational(str(alpha)) ** 2 - 1
        )


@examples(25)
@given(
    st.fractions(Fraction(21, 20), Fraction(6), max_denominator=40),
    st.fractions(Fraction(1, 20), Fraction(200), max_denominator=20),
    st.fractions(Fraction(0), Fraction(5), max_denominator=20),
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
)
def test_floats_keep_their_own_bound(alpha, k, step, shares):
    """Every overlap of the float quadrature is within the error that it states of the certified one."""
    exact = certify_pareto(alpha, k, step, shares, digits=16)
    seen = expected_overlaps(Pareto(float(alpha)), float(k), float(step), shares)
    assert exact.proved
    for value, error, enclosure in zip(seen.parts, seen.error, exact.parts, strict=True):
        room = error + 1e-15 * abs(enclosure.estimate) * (1 + 20 / float(alpha - 1))  # alpha itself is rounded
        assert enclosure.low - room <= value <= enclosure.high + room
    for value, enclosure in zip(seen.responses, exact.responses, strict=True):
        assert enclosure.agrees(float(value), 1e-12, 1e-13 / float(1 + k + step))
    balance = k * exact.responses[0].estimate + exact.responses[1].estimate + step * exact.responses[2].estimate
    assert float(balance) == pytest.approx(0.0, abs=1e-12)


def test_general_parts_and_the_printed_values():
    seen = [
        certify_pareto(alpha, digits=12).gap.estimate
        for alpha in (Fraction(6, 5), Fraction(3, 2), 2, Fraction(5, 2), 4)
    ]
    assert np.round(seen, 5).tolist() == [0.58368, 0.3175, 0.15165, 0.08748, 0.02881]
    assert certify_pareto(Fraction(5, 2), None, 0, (3, 1, 1)).gap.sign == 1
    assert certify_pareto(Fraction(5, 2), None, 0, (8, 1, 1)).gap.sign == -1  # A > 1: dH_a < 0 with a union
    four = certify_pareto(Fraction(3, 2), None, 0, (1, 1, 1, 1), digits=12)
    assert four.align.agrees(float(equal_parts_overlap(Pareto(1.5), 4).value), 1e-13)


def test_the_two_mass_ball_is_the_integral():
    with working_precision(150):
        for alpha, a, b in ((Fraction(5, 4), 1, 1), (Fraction(3), 1, 1000), (Fraction(3, 2), Fraction(1, 9), 2)):
            exact = Fraction(alpha)
            ball = two_mass_ball(
                arb(fmpq(exact.numerator, exact.denominator)), arb(fmpq(*Fraction(a).as_integer_ratio())), arb(b)
            )
            assert ball.overlaps(pareto_mean(exact, [Fraction(a), Fraction(b)], [1, 1], 100))


def test_the_precision_of_flint_is_put_back():
    before = ctx.prec
    certify_pareto(2, digits=40)
    certify_two_parts(2)
    with pytest.raises(InputError):
        certify_pareto(1)
    assert ctx.prec == before


@pytest.mark.parametrize(
    "call",
    [
        lambda: certify_pareto(1),
        lambda: certify_pareto(0.5),
        lambda: certify_pareto(math.nan),
        lambda: certify_pareto(math.inf),
        lambda: certify_pareto(10**13),
        lambda: certify_pareto("a"),
        lambda: certify_pareto(2, 0),
        lambda: certify_pareto(2, -1),
        lambda: certify_pareto(2, 1, -1),
        lambda: certify_pareto(2, 1, 0, (1,)),
        lambda: certify_pareto(2, 1, 0, (0, 0)),
        lambda: certify_pareto(2, 1, 0, (1, -1)),
        lambda: certify_pareto(2, 1, 0, (1, 1, 0)),
        lambda: certify_two_parts(1),
        lambda: exact_independent_overlap(1),
    ],
)
def test_bad_numbers_are_refused(call):
    with pytest.raises(InputError):
        call()


def test_a_transform_at_weight_zero_is_the_moment():
    with working_precision(80):
        assert module._transform(arb(3), fmpq(0), 2, arb(1)).overlaps(arb(3))
