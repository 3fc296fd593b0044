"""Balls and what is shown of them: the guard bits of proved digits, ends in floats, signs, and exact input."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

flint = pytest.importorskip("flint")

from elastomath.certify.balls import accurate, enclosure, exact_input, working_precision
from elastomath.errors import InputError


def ball(middle, radius):
    return flint.arb(middle, radius)


@pytest.mark.parametrize("digits", [1, 5, 15, 40])
def test_digits_are_proved_with_two_guard_bits(digits):
    """2^-(bits of the digits + 2) is enough, and half as sharp is not: the error stays below a quarter of the last digit."""
    need = math.ceil(digits * math.log2(10)) + 2
    with working_precision(512):
        sharpness = {
            bits: flint.arb(1, flint.arb(2) ** -bits).rel_accuracy_bits() for bits in range(need - 3, need + 4)
        }
        assert set(sharpness.values()) >= {need - 1, need}
        for bits, seen in sharpness.items():
            assert accurate(flint.arb(1, flint.arb(2) ** -bits), digits) == (seen >= need)
            if accurate(flint.arb(1, flint.arb(2) ** -bits), digits):
                assert flint.arb(2) ** -bits <= flint.arb(10) ** -digits / 4


def test_what_is_exact_has_every_digit():
    assert accurate(flint.fmpq(1, 3) * 3, 1000)
    assert accurate(flint.arb(0), 1000)
    assert accurate(0, 1000)
    assert not accurate(ball(0, 1e-300), 1)


def test_two_digits_more_are_shown_than_are_asked_for():
    with working_precision(256):
        third = flint.arb(1) / 3
        assert enclosure(third, 0.0, 15).digits == "0." + "3" * 17
        assert enclosure(third, 0.0, 3).digits == "0." + "3" * 5


def test_ends_are_the_nearest_floats_outside():
    with working_precision(256):
        seen = enclosure(flint.arb(1) / 3, 0.0, 15)
        assert (seen.low, seen.high) == (1 / 3, math.nextafter(1 / 3, 1)) or (
            seen.low,
            seen.high,
        ) == (math.nextafter(1 / 3, 0), 1 / 3)
        assert Fraction(seen.low) < Fraction(1, 3) < Fraction(seen.high)
        assert math.nextafter(seen.low, 1) == seen.high
        half = enclosure(flint.arb(0.5), 0.0, 15)
    assert (half.low, half.estimate, half.high, half.sign) == (0.5, 0.5, 0.5, 1)


@pytest.mark.parametrize(
    ("middle", "radius", "sign"), [(1.0, 0.5, 1), (-1.0, 0.5, -1), (0.5, 0.5, None), (-0.5, 0.5, None), (0.0, 0.0, 0)]
)
def test_a_sign_is_told_where_it_is_proved(middle, radius, sign):
    """A radius is rounded up in flint: a ball of radius 1/2 about 1/2 holds 0."""
    assert enclosure(ball(middle, radius), 0.0, 15).sign == sign


def test_infinities_are_told_from_what_was_not_proved():
    assert enclosure(None, math.inf, 15) == enclosure(None, math.inf, 3)
    assert enclosure(None, -math.inf, 15).sign == -1
    assert enclosure(None, math.inf, 15).sign == 1
    lost = enclosure(flint.arb("nan"), math.inf, 15)
    assert (lost.low, lost.high, lost.sign, lost.digits) == (-math.inf, math.inf, None, "")


def test_the_slack_of_an_agreement_is_used_to_its_end():
    with working_precision(128):
        half = enclosure(flint.arb(0.5), 0.0, 15)
    assert half.agrees(0.75, relative=0.5)
    assert half.agrees(0.25, relative=0.5)
    assert not half.agrees(math.nextafter(0.75, 1), relative=0.5)
    assert not half.agrees(math.nextafter(0.25, 0), relative=0.5)
    assert half.agrees(0.75, 0.25, 0.125)
    assert not half.agrees(math.nan, 1.0)
    assert not half.agrees(math.inf, 1.0)
    assert enclosure(None, math.inf, 15).agrees(math.inf, 0.0)


def test_the_precision_is_put_back_whatever_happens():
    before = flint.ctx.prec

    def stop():
        with working_precision(before + 100):
            raise ValueError(str(flint.ctx.prec - before))

    with pytest.raises(ValueError, match=r"^100$"):
        stop()
    assert flint.ctx.prec == before


def test_input_is_exact_and_rows_are_divided_by_their_sums():
    rows, volumes = exact_input([[1, 3], [0.5, 0], [0, 7]], [0.1, 1, 0])
    assert rows == [[Fraction(1, 4), Fraction(3, 4)], [1, 0], [0, 1]]
    assert volumes == [Fraction(0.1), 1, 0]


@pytest.mark.parametrize(
    ("rows", "volumes", "says"),
    [
        ([[1, 1]], [1], "1 datasets"),
        ([[1, 1], [1]], [1, 1], r"\[2, 1\] leaves"),
        ([[1, 1], [1, 1]], [1], "1 volume for 2"),
        ([[1, 1], [1, 1]], [0, 1], "volume 0 is 0"),
        ([[1, 1]] * 3, [1, 0, 1], "volume 1 is 0"),
        ([[1, 1], [0, 0]], [1, 1], "dataset 1 has no mass"),
        ([[1, -1], [1, 1]], [1, 1], "dataset 0, leaf 1"),
    ],
)
def test_input_that_is_none_is_refused(rows, volumes, says):
    with pytest.raises(InputError, match=says):
        exact_input(rows, volumes)
