"""Ball arithmetic: enclosures hold the true value, signs are proved or refused, and float, ball and symbol agree."""

import math
import threading
from fractions import Fraction

import flint
import numpy as np
import pytest
import sympy as sp

from elastomath.certify import response as certify
from elastomath.certify.balls import working_precision
from elastomath.certify.response import certify_law, sharp_constant
from elastomath.errors import InputError
from elastomath.laws.finite import finite_law, mixture_constant, mixture_residual, path_entropies
from elastomath.laws.response import response
from elastomath.mixtures.masses import pareto_masses, union
from elastomath.mixtures.mixture import Mixture
from elastomath.verification.instances import certified_instances

HALF = Fraction(1, 2)
ROWS, VOLUMES = [[2, 1, 1], [0, 1, 1], [1, 0, 0]], [10, 1, HALF]


def symbolic_law(rows, volumes):
    """Everything in R1-R5 for one instance by sympy: exact masses, derivatives by differentiation, 40 digits."""
    step = sp.Symbol("l", positive=True)
    weights = [sp.Rational(w.numerator, w.denominator) for w in map(Fraction, volumes)]
    last = weights[-1]
    weights[-1] = step
    masses = [
        [sp.Rational(Fraction(p).numerator, Fraction(p).denominator) / sum(map(sp.Rational, row)) for p in row]
        for row in rows
    ]
    total = sum(weights)
    joint = [sum(w * row[x] for w, row in zip(weights, masses, strict=True)) / total for x in range(len(rows[0]))]
    codes = [-sum(p * sp.log(q) for p, q in zip(row, joint, strict=True) if p) for row in masses]
    slopes = [sp.diff(code, step).subs(step, last) for code in codes]
    change = [code.subs(step, last) - code.subs(step, 0) for code in codes]
    others = sum(w * d for w, d in zip(weights[:-1], change[:-1], strict=True))
    out = {
        "entropies": [code.subs(step, last) for code in codes],
        "derivatives": slopes,
        "residual": [others],
        "bound": [-last * change[-1]],
        "theta_constant": [-slopes[1] / (weights[0] * slopes[0])],
    }
    return {name: [sp.N(value, 40) for value in values] for name, values in out.items()}


def test_float_ball_and_symbol_agree():
    rows = [[3, 1, 2, 2], [1, 4, 1, 2], [2, 2, 5, 1]]
    volumes = [Fraction(10), Fraction(1), Fraction(3, 4)]
    symbol, ball = symbolic_law(rows, volumes), certify_law(rows, volumes)
    mixture = Mixture.of([np.array(row) / sum(row) for row in rows], [float(v) for v in volumes])
    seen, start = response(mixture), mixture.at(0.0)
    law = finite_law([0.0, 0.75], [10.0, 1.0], path_entropies(start, [0.0, 0.75]))
    floats = {
        "entropies": mixture.cross_entropies(),
        "derivatives": seen.derivatives,
        "residual": [mixture_residual(start, 0.75)],
        "bound": [law.upper[1]],
        "theta_constant": [seen.theta_constant],
    }
    assert ball.proved
    for name, values in symbol.items():
        enclosures = getattr(ball, name)
        for exact, enclosure, value in zip(
            values, np.atleast_1d(np.array(enclosures, dtype=object)), floats[name], strict=True
        ):
            assert sp.Float(enclosure.low, 40) <= exact <= sp.Float(enclosure.high, 40)
            assert enclosure.high - enclosure.low <= 4e-16 * abs(float(exact))
            assert sp.sign(exact) == enclosure.sign
            assert abs(sp.Float(enclosure.digits, 40) - exact) <= abs(exact) * sp.Float("1e-15")
            assert enclosure.agrees(float(value), 1e-13)


@pytest.mark.parametrize("name", sorted(certified_instances()))
def test_every_instance_is_proved(name):
    rows, volumes = certified_instances()[name]
    law = certify_law(rows, volumes)
    assert law.proved
    assert law.balance.sign == 0
    assert law.residual.sign == 1
    assert law.slack.sign == law.sharp_slack.sign == 1
    assert 0.0 in law.residual_gap
    assert all(
        slope.low <= d.high and d.low <= slope.high for slope, d in zip(law.slopes, law.derivatives, strict=True)
    )


def test_counts_fractions_and_binary_floats_give_the_same():
    masses = [[HALF, Fraction(1, 4), Fraction(1, 4)], [0, HALF, HALF], [1, 0, 0]]
    assert certify_law(ROWS, VOLUMES) == certify_law(masses, VOLUMES)
    assert certify_law(ROWS, VOLUMES) == certify_law([[float(p) for p in row] for row in masses], [10.0, 1.0, 0.5])


def test_a_float_is_the_binary_fraction_that_it_is():
    exact = [[Fraction(0.1), Fraction(0.2)], [Fraction(0.7), Fraction(0.1)]]
    assert certify_law(exact, [1, 1]) == certify_law([[0.1, 0.2], [0.7, 0.1]], [1, 1])
    decimal = certify_law([[1, 2], [7, 1]], [1, 1])
    assert certify_law(exact, [1, 1]).overlaps[0].digits[:15] == decimal.overlaps[0].digits[:15]


def test_splitting_leaves_changes_nothing():
    split = [[mass for mass in row for _ in range(3)] for row in ROWS]
    whole, parts = certify_law(ROWS, VOLUMES), certify_law(split, VOLUMES)
    for name in ("overlaps", "derivatives"):
        assert getattr(whole, name) == getattr(parts, name)
    assert parts.residual.low <= whole.residual.high
    assert whole.residual.low <= parts.residual.high


def test_many_leaves_as_balls_agree_with_exact_sums(monkeypatch):
    draws = [pareto_masses(1.3, 80, seed=seed) for seed in range(3)]
    rows = [row.tolist() for row in (union(draws), draws[1], draws[2])]
    exact = certify_law(rows, VOLUMES)
    monkeypatch.setattr(certify, "EXACT_LEAVES", 4)
    balls = certify_law(rows, VOLUMES)
    assert balls.proved
    assert exact.balance.sign == 0
    assert balls.balance.sign is None  # a ball cannot prove that a number is zero, and says so
    assert 0.0 in balls.balance
    assert abs(balls.balance.high) < 1e-30
    for name in ("overlaps", "derivatives", "entropies"):
        for one, other in zip(getattr(exact, name), getattr(balls, name), strict=True):
            assert one.low <= other.high
            assert other.low <= one.high
            assert one.sign == other.sign


def test_precision_rises_until_the_digits_are_proved():
    few, many = certify_law(ROWS, VOLUMES, digits=15), certify_law(ROWS, VOLUMES, digits=300)
    assert (few.proved, many.proved) == (True, True)
    assert few.precision < many.precision
    assert many.residual.digits.startswith(few.residual.digits[:14])
    assert len(many.residual.digits) > 300


def test_what_is_not_proved_is_said():
    law = certify_law(ROWS, VOLUMES, digits=300, last_precision=256)
    assert not law.proved
    assert law.precision <= 256


def test_a_tiny_residual_keeps_its_sign_and_digits():
    near = [[10**12, 10**12], [10**12, 10**12], [10**12 + 1, 10**12 - 1]]
    law = certify_law(near, [10, 1, Fraction(1, 10**6)])
    assert law.proved
    assert law.residual.sign == 1
    assert law.sharp_slack.sign == 1
    assert 0 < law.residual.high < 1e-30


def test_no_motion_is_exactly_zero():
    same = certify_law([[1, 2], [1, 2], [1, 2]], [3, 1, 5])
    assert [value.sign for value in (same.residual, same.bound, same.slack, same.sharp_slack)] == [0, 0, 0, 0]
    assert [value.sign for value in same.derivatives] == [0, 0, 0]
    assert same.epsilon is None
    assert same.theta_constant is None
    at_rest = certify_law(ROWS, [10, 1, 0])
    assert at_rest.residual.sign == at_rest.bound.sign == 0


def test_without_coverage_entropies_and_bound_are_infinite():
    rows = [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    law = certify_law(rows, [10, 1, 1])
    assert law.start_entropies[-1].estimate == math.inf
    assert law.bound.estimate == law.sharp_slack.estimate == math.inf
    assert law.residual.sign == 1
    assert law.proved
    start = certify_law(rows, [10, 1, 0])
    assert start.derivatives[-1].estimate == -math.inf
    assert start.balance.estimate == 0.5  # tau, of the others
    assert response(Mixture.of([[0.5, 0.5, 0], [1, 0, 0], [0, 0.5, 0.5]], [10, 1, 0])).balance == pytest.approx(0.5)


@pytest.mark.parametrize("step", [Fraction(1, 10**6), Fraction(1, 100), Fraction(9, 10), 1, 50, 10**6])
@pytest.mark.parametrize("base", [Fraction(1, 2), 11, 1001])
def test_the_sharp_constant_in_float_and_ball(base, step):
    with working_precision(256):
        ball = sharp_constant(
            flint.fmpq(*Fraction(base).as_integer_ratio()), flint.fmpq(*Fraction(step).as_integer_ratio())
        )
        expected, below_half = float(ball.mid()), bool(ball < flint.fmpq(*Fraction(step).as_integer_ratio()) / 2)
    assert mixture_constant(float(base), float(step)) == pytest.approx(expected, rel=1e-12)
    assert below_half


def test_precision_is_put_back_after_an_error():
    before = flint.ctx.prec

    def fail():
        with working_precision(999):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert flint.ctx.prec == before
    certify_law(ROWS, VOLUMES, digits=100)
    assert flint.ctx.prec == before


def test_threads_do_not_disturb_each_other():
    expected = {digits: certify_law(ROWS, VOLUMES, digits=digits) for digits in (15, 200)}
    seen: list[bool] = []

    def work(digits):
        for _ in range(10):
            seen.append(certify_law(ROWS, VOLUMES, digits=digits) == expected[digits])

    threads = [threading.Thread(target=work, args=(digits,)) for digits in (15, 200, 15, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 40


@pytest.mark.parametrize(
    ("rows", "volumes", "words"),
    [
        ([[1, 1]], [1], "1 datasets"),
        ([[1, 1], [1]], [1, 1], "leaves"),
        ([[1, 1], [1, 1]], [1], "1 volume for 2 datasets"),
        ([[1, -1], [1, 1]], [1, 1], "dataset 0, leaf 1"),
        ([[1, math.nan], [1, 1]], [1, 1], "has to be a finite number"),
        ([[1, math.inf], [1, 1]], [1, 1], "has to be a finite number"),
        ([[0, 0], [1, 1]], [1, 1], "no mass"),
        ([[1, 1], [1, 1]], [0, 1], "volume 0 is 0"),
        ([[1, 1], [1, 1]], [1, -1], "has to be >= 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(rows, volumes, words):
    with pytest.raises(InputError, match=words) as caught:
        certify_law(rows, volumes)
    assert "\n" not in str(caught.value)
