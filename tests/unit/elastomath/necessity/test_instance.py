"""The moves by which an instance is made smaller, one by one: a move that is lost leaves counterexamples that are not minimal."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from elastomath.errors import InputError
from elastomath.necessity.instance import IndependentLaws, Instance, _lower, _lower_rows, _simpler, tex
from elastomath.necessity.shrinking import shrink

ONE, TEN, TENTH = Fraction(1), Fraction(10), Fraction(1, 10)
USUAL = (TEN, ONE, TENTH)
PARTS = Instance(((9, 4, 7), (8, 1, 0), (3, 2, 1), (5, 7, 11)), (Fraction(37, 3), ONE, Fraction(3, 7)), (3, 2, 4, 5))
MODEL = Instance(((9, 4, 7), (8, 1, 0)), USUAL, (1, 1), (5, 7, 11))

MOVES = {
    "the first leaf goes into the second": (PARTS, {"counts": ((13, 7), (9, 0), (5, 1), (12, 11))}),
    "the last leaf goes into the first": (PARTS, {"counts": ((16, 4), (8, 1), (4, 2), (16, 7))}),
    "the first leaf is dropped": (PARTS, {"counts": ((4, 7), (1, 0), (2, 1), (7, 11))}),
    "the last leaf is dropped": (PARTS, {"counts": ((9, 4), (8, 1), (3, 2), (5, 7))}),
    "a model's leaves are merged with the data's": (MODEL, {"counts": ((13, 7), (9, 0)), "model": (12, 11)}),
    "a model's leaf is dropped with the data's": (MODEL, {"counts": ((4, 7), (1, 0)), "model": (7, 11)}),
    "the first part is dropped": (PARTS, {"counts": PARTS.counts[1:], "shares": (2, 4, 5)}),
    "the second part is dropped": (
        PARTS,
        {"counts": (PARTS.counts[0], *PARTS.counts[2:]), "shares": (3, 4, 5)},
    ),
    "a row becomes another row": (PARTS, {"counts": (PARTS.counts[1], *PARTS.counts[1:])}),
    "a row becomes one leaf": (PARTS, {"counts": (*PARTS.counts[:3], (0, 0, 1))}),
    "a row becomes flat": (PARTS, {"counts": ((1, 1, 1), *PARTS.counts[1:])}),
    "a row is halved downwards": (PARTS, {"counts": (*PARTS.counts[:3], (2, 3, 5))}),
    "a row is halved upwards": (PARTS, {"counts": (*PARTS.counts[:3], (3, 4, 6))}),
    "a count becomes 0": (PARTS, {"counts": (*PARTS.counts[:3], (5, 7, 0))}),
    "a count becomes 1": (PARTS, {"counts": (*PARTS.counts[:3], (5, 7, 1))}),
    "a count loses one": (PARTS, {"counts": (*PARTS.counts[:3], (5, 7, 10))}),
    "a count loses a quarter": (PARTS, {"counts": (*PARTS.counts[:3], (5, 7, 9))}),
    "a share falls": (PARTS, {"shares": (3, 2, 4, 4)}),
    "shares become equal": (PARTS, {"shares": (1, 1, 1, 1)}),
    "a count of the model falls": (MODEL, {"model": (5, 7, 10)}),
    "the model becomes flat": (MODEL, {"model": (1, 1, 1)}),
    "k becomes 10": (PARTS, {"volumes": (TEN, ONE, Fraction(3, 7))}),
    "k becomes a whole number near by": (PARTS, {"volumes": (Fraction(12), ONE, Fraction(3, 7))}),
    "the numerator of k falls": (PARTS, {"volumes": (Fraction(36, 3), ONE, Fraction(3, 7))}),
    "l becomes 0": (PARTS, {"volumes": (Fraction(37, 3), ONE, Fraction(0))}),
    "l becomes 1/2": (PARTS, {"volumes": (Fraction(37, 3), ONE, Fraction(1, 2))}),
    "the numerator of l falls": (PARTS, {"volumes": (Fraction(37, 3), ONE, Fraction(2, 7))}),
    "the denominator of l falls": (PARTS, {"volumes": (Fraction(37, 3), ONE, Fraction(3, 6))}),
    "two leaves change places": (PARTS, {"counts": ((4, 9, 7), (1, 8, 0), (2, 3, 1), (7, 5, 11))}),
    "two leaves far apart change places": (PARTS, {"counts": ((7, 4, 9), (0, 1, 8), (1, 2, 3), (11, 7, 5))}),
    "two leaves of the data and of the model change places": (
        MODEL,
        {"counts": ((9, 7, 4), (8, 0, 1)), "model": (5, 11, 7)},
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_every_move_is_tried(move):
    start, change = MOVES[move]
    assert replace(start, **change) in list(start.smaller())


def test_the_two_parts_that_the_theorem_names_are_never_dropped():
    assert {len(seen.counts) for seen in PARTS.smaller()} == {3, 4}
    assert {len(seen.counts) for seen in MODEL.smaller()} == {2}


def test_counts_fall_by_bisection_to_one_less():
    assert list(_lower(0)) == []
    assert list(_lower(1)) == [0]
    assert list(_lower(2)) == [0, 1, 1]
    assert list(_lower(11)) == [0, 1, 6, 9, 10]
    assert list(_lower(12)) == [0, 1, 6, 9, 11]


def test_rows_fall():
    rows = list(_lower_rows((4, 3), ((1, 1), (5, 5), (4, 3))))
    assert rows == [
        (1, 1),  # the other row that is smaller, and no other
        (1, 0),
        (0, 1),
        (1, 1),
        (2, 1),
        (2, 2),
        *((count, 3) for count in (0, 1, 2, 3)),
        *((4, count) for count in (0, 1, 2)),
    ]


def test_fractions_are_made_simpler_from_both_sides():
    seen = list(_simpler(Fraction(22, 7)))
    assert seen[:4] == [0, 1, 10, TENTH]
    assert seen[4:10] == [3, 3, 3, Fraction(16, 5), Fraction(22, 7), Fraction(22, 7)]
    assert seen[10:16] == [Fraction(n, 7) for n in (0, 1, 11, 17, 20, 21)]
    assert seen[16:19] == [Fraction(22, n) for n in (1, 4, 6)]
    assert seen[19:22] == [Fraction(22 - (7 - n), n) for n in (1, 4, 6)]  # numerator and denominator fall together
    assert seen[22:26] == [4, 2, Fraction(7, 2), Fraction(5, 2)]  # to either side of what is near
    assert seen[-2:] == [Fraction(22, 7) + Fraction(1, 100), Fraction(22, 7) - Fraction(1, 100)]


def test_sizes_put_leaves_first_then_rows_counts_and_volumes():
    assert PARTS.size[:4] == (3, 4, 58 + 14, 37 + 3 + 1 + 1 + 3 + 7)
    assert MODEL.size[:3] == (3, 2, 29 + 2 + 23)
    assert IndependentLaws((1, 3), USUAL).size[:3] == (2, 4, 11 + 2 + 11)


def test_independent_laws_lose_values_lower_them_and_simplify_volumes():
    laws = IndependentLaws((2, 3, 7), USUAL)
    smaller = list(laws.smaller())
    for law in ((3, 7), (2, 7), (2, 3), (1, 3, 7), (1, 2, 7), (2, 3, 6), (1, 1, 1), (1, 1, 3), (1, 2, 4)):
        assert replace(laws, law=tuple(sorted(law))) in smaller, law
    assert replace(laws, volumes=(ONE, ONE, TENTH)) in smaller
    assert replace(laws, volumes=(TEN, ONE, ONE)) in smaller
    assert replace(laws, volumes=(TEN, ONE, Fraction(0))) in smaller
    assert all(seen.volumes[0] > 0 and min(seen.law) >= 1 for seen in smaller)
    with pytest.raises(InputError, match="a value of the law is 0"):
        IndependentLaws((1, 0), USUAL)
    assert IndependentLaws((1, 1), USUAL).law == (1, 1)


def test_volumes_at_the_edge():
    """k > 0 and l >= 0: l = 0 is the limit, and k as small as one likes."""
    assert replace(PARTS, volumes=(Fraction(1, 10**9), ONE, Fraction(0))).volumes[2] == 0
    for volumes in ((Fraction(0), ONE, TENTH), (TEN, ONE, Fraction(-1, 10**9)), (TEN, Fraction(2), TENTH)):
        with pytest.raises(InputError, match="volumes are not"):
            replace(PARTS, volumes=volumes)


def test_shrinking_stops_at_its_limit_and_no_earlier():
    start = Instance(((1024, 1), (1, 1), (1, 0)), USUAL)

    def violates(seen):
        return (
            max(seen.counts[0]) >= 7
            and seen.leaves == 2
            and seen.volumes == USUAL
            and seen.counts[1:] == ((1, 1), (1, 0))
        )

    end = shrink(start, violates)
    assert end.counts[0] in ((7, 0), (0, 7), (7, 1), (1, 7))
    trials = next(limit for limit in range(1, 2000) if shrink(start, violates, limit) == end)
    assert shrink(start, violates, trials - 1) != end
    assert shrink(start, violates, 0) == start


def test_fractions_in_latex():
    assert (tex(Fraction(3)), tex(Fraction(-3, 7))) == ("3", r"-\tfrac{3}{7}")
    assert tex(Fraction(1, 1001)) == r"\frac{1}{1001}"


@pytest.mark.parametrize(("step", "shown", "drawn"), [(TENTH, "1/10", r"\tfrac{1}{10}"), (Fraction(0), "0+", "0^+")])
def test_volumes_are_shown_as_they_are_and_the_limit_as_one(step, shown, drawn):
    seen = replace(TWO_ROWS, volumes=(TEN, ONE, step))
    assert seen.text().splitlines() == [
        "    P_p = 1/3 P_a + 2/3 P_t",
        "    P_a = (1, 0)",
        "    P_t = (1/4, 3/4)",
        f"    (k, 1, l) = (10, 1, {shown})",
    ]
    assert seen.latex().endswith(f"(k, 1, l) = (10, 1, {drawn})")
    assert seen.latex().startswith(r"P_p = \tfrac{1}{3} P_a + \tfrac{2}{3} P_t")


TWO_ROWS = Instance(((1, 0), (1, 3)), USUAL, (1, 2))
