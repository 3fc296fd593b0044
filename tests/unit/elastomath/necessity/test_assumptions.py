"""R9's rules at their edges: what counts as large k, small l, a violation, a covered leaf, and the rows that are counted."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from elastomath.necessity.assumptions import ASSUMPTIONS, _usual
from elastomath.necessity.drawing import count_rows
from elastomath.necessity.instance import Instance
from elastomath.necessity.search import _rows_up_to, fails

ONE, TEN, TENTH, TINY = Fraction(1), Fraction(10), Fraction(1, 10), Fraction(1, 10**12)
USUAL = (TEN, ONE, TENTH)

FREE = Instance(((1, 1), (1, 0), (0, 1)), USUAL)
TWO = Instance(((1, 0), (0, 1)), USUAL, (1, 1))
THREE = Instance(((1, 1), (1, 0), (0, 1)), USUAL, (1, 1, 1))
SAME = Instance(((1, 1), (1, 0), (1, 0)), USUAL, (1, 1, 1))
APART = Instance(((2, 1), (1, 2), (2, 1)), USUAL, (1, 1, 1))
STOPPED = replace(TWO, model=(2, 1))
UNEVEN = replace(TWO, shares=(2, 1))
LAWS = Instance(((2, 1), (1, 2), (1, 1)), USUAL)
BARE = Instance(((1, 0), (0, 1), (0, 1)), USUAL)
UNCOVERED = Instance(((1, 1, 0), (1, 0, 0), (0, 1, 1)), (TEN, ONE, Fraction(0)))
KINDS = {
    "union": FREE, "distinct": SAME, "independent": LAWS, "small l": TWO, "coverage": UNCOVERED, "large k": TWO,
    "joint optimum": STOPPED, "two parts": THREE, "two parts, masses alike": APART, "equal parts": UNEVEN,
}  # fmt: skip


def at(instance, k=None, l=None):  # noqa: E741
    old_k, one, old_l = instance.volumes
    return replace(instance, volumes=(old_k if k is None else k, one, old_l if l is None else l))


@pytest.mark.parametrize("name", KINDS)
def test_ten_is_large_and_a_tenth_is_small(name):
    """k = 10 and l = 1/10 are allowed; less of k, more of l, and l = 0 are not, where the rule says so."""
    admits, seen = ASSUMPTIONS[name].admits, KINDS[name]
    assert admits(seen)
    assert admits(at(seen, k=TEN - TINY)) == (name == "large k")
    if name == "coverage":
        assert not admits(at(seen, l=TINY))
        return
    assert admits(at(seen, l=TENTH + TINY)) == (name == "small l")
    assert admits(at(seen, l=TINY))
    assert not admits(at(seen, l=Fraction(0)))


def test_far_is_usual():
    assert _usual(FREE)
    assert _usual(at(FREE, l=TINY))
    assert not _usual(at(FREE, l=Fraction(0)))
    assert not _usual(at(FREE, l=TENTH + TINY))
    assert not _usual(at(FREE, k=TEN - TINY))
    assert not _usual(Instance(((1, 1), (1, 0), (1, 0)), USUAL))


def test_a_leaf_of_the_perturbation_alone_is_what_the_union_excludes():
    admits = ASSUMPTIONS["union"].admits
    assert not admits(Instance(((1, 0, 0), (1, 1, 0), (0, 10**6, 1)), USUAL))
    assert admits(Instance(((1, 0, 0), (1, 10**6, 1), (0, 10**6, 1)), USUAL))
    assert not admits(replace(FREE, model=(1, 1)))
    assert not admits(THREE)


def test_without_coverage_alignment_has_to_rise_strictly():
    """A(0) < 1, strictly: 1 - A is 0 where P_a meets P_t as the optimum does."""
    admits = ASSUMPTIONS["coverage"].admits
    flat = Instance(((1, 1, 0), (1, 1, 0), (1, 1, 0)), (TEN, ONE, Fraction(0)))
    assert flat.gaps()[1] == 0
    assert not admits(flat)
    near = Instance(((1, 1, 0), (1, 1, 0), (10**6, 10**6, 1)), (TEN, ONE, Fraction(0)))
    assert 0 < near.gaps()[1] < Fraction(1, 10**6)
    assert admits(near)


def test_one_leaf_more_or_one_value_more_makes_laws():
    admits = ASSUMPTIONS["independent"].admits
    assert not admits(Instance(((1, 1), (1, 2), (2, 1)), USUAL))  # one value of the law only
    assert not admits(Instance(((1,), (1,), (1,)), USUAL))
    assert admits(LAWS)


def test_masses_alike_are_positive_and_the_same_in_some_order():
    admits = ASSUMPTIONS["two parts, masses alike"].admits
    assert not admits(Instance(((1, 0), (0, 1), (1, 0)), USUAL, (1, 1, 1)))
    assert not admits(Instance(((3, 1), (1, 2), (2, 1)), USUAL, (1, 1, 1)))
    assert admits(APART)


def test_shares_are_positive_and_two():
    admits = ASSUMPTIONS["equal parts"].admits
    assert not admits(replace(TWO, shares=(1, 0)))
    assert not admits(THREE)
    assert admits(replace(TWO, shares=(10**6, 1)))


def test_a_compressor_covers_every_leaf_that_has_mass():
    admits = ASSUMPTIONS["joint optimum"].admits
    assert not admits(replace(TWO, model=(1, 0)))
    assert not admits(TWO)
    assert admits(replace(TWO, model=(10**6, 1)))


@pytest.mark.parametrize("kind", [Fraction, float])
def test_a_part_fails_beyond_its_edge_and_not_at_it(kind):
    zero, least = kind(0), kind(Fraction(1, 2**60))

    def failing(part, pretrain, align, k=10, bound=100):
        gaps = (pretrain, align, kind(-1))
        return bool(fails(part, np.array(gaps) if kind is float else gaps, k, bound))

    assert not failing("pretrain", zero, zero)
    assert failing("pretrain", least, zero)
    assert not failing("pretrain", -least, zero)
    assert not failing("align", zero, zero)
    assert failing("align", zero, -least)
    assert not failing("align", zero, least)
    assert failing("existence", zero, zero)
    assert not failing("existence", kind(Fraction(1, 2**39)), zero)
    # |dH_a/(k dH_p)| at M and at 1/M, exactly, and a little beyond; k = 8 and M = 64 are exact in floats
    for sign in (1, -1):
        p = kind(sign * Fraction(1, 2**10))
        edge = 8 * 64 * Fraction(1, 2**10)
        assert not failing("theta", p, kind(edge), 8, 64)
        assert failing("theta", p, kind(edge * (1 + Fraction(1, 2**50))), 8, 64)
        edge = Fraction(8, 64 * 2**10)
        assert not failing("theta", p, -kind(edge), 8, 64)
        assert failing("theta", p, -kind(edge * (1 - Fraction(1, 2**50))), 8, 64)
    assert not failing("theta", zero, kind(1), 8, 64)  # no ratio: existence fails, not Theta


@pytest.mark.parametrize(("leaves", "most"), [(1, 4), (2, 1), (2, 5), (3, 4)])
def test_rows_of_counts_are_all_there_are(leaves, most):
    grid = np.stack(np.meshgrid(*[range(most + 2)] * leaves, indexing="ij"), -1).reshape(-1, leaves).tolist()
    expected = [row for row in grid if 1 <= sum(row) <= most and math.gcd(*row) == 1]
    assert count_rows(leaves, most).tolist() == expected
    assert count_rows(leaves, 0).shape == (0, leaves)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tuples_of_rows_are_all_that_add_up_to_at_most(rows):
    table = count_rows(2, 4)
    totals = table.sum(axis=1)
    every = np.stack(np.meshgrid(*[np.arange(len(table))] * rows, indexing="ij"), -1).reshape(-1, rows)
    for most in (rows - 1, rows, rows + 1, rows + 3):
        kept = every[totals[every].sum(axis=1) <= most]
        assert _rows_up_to(table, rows, most).tolist() == kept.tolist()
