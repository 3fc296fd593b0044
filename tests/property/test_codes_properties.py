"""What holds of code lengths for every source (R14, R15), and how far the generators reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from elastomath import cross_entropy, entropy
from elastomath.codes import expected_length, huffman_lengths, kraft_sum, shannon_lengths
from elastomath.rates import code_lengths
from elastomath.strategies import masses, mixtures, volumes

BIT = np.log(2.0)
ROUNDING = 1e-12
REACH = settings(max_examples=1000, phases=[Phase.generate], derandomize=True, database=None)


@given(masses())
def test_huffman_on_its_own_source_costs_less_than_one_bit_more_than_the_entropy(p):
    """R14: H <= E[L] < H + 1, per block."""
    bits, cost = entropy(p) / BIT, expected_length(p, huffman_lengths(p))
    assert bits - ROUNDING <= cost < bits + 1


@given(st.integers(1, 30).flatmap(lambda size: st.lists(st.integers(0, 1 << 50), min_size=size, max_size=size)))
def test_huffman_fills_the_code_tree_exactly(weights):
    """Kraft's sum is 1 exactly, for every source."""
    if any(weights):
        assert kraft_sum(huffman_lengths(weights)) == 1


@given(st.lists(st.integers(1, 1 << 70), min_size=2, max_size=12), st.randoms())
def test_huffman_costs_do_not_depend_on_the_order_of_the_leaves(weights, random):
    cost = sum(w * int(n) for w, n in zip(weights, huffman_lengths(weights), strict=True))
    shuffled = weights[:]
    random.shuffle(shuffled)
    assert cost == sum(w * int(n) for w, n in zip(shuffled, huffman_lengths(shuffled), strict=True))


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=12))
def test_heavier_leaves_never_have_longer_codewords(weights):
    lengths = huffman_lengths(weights)
    order = np.argsort(weights, kind="stable")
    assert (np.diff(lengths[order]) <= 0).all()


@given(masses(positive=True))
def test_shannon_lengths_satisfy_kraft_and_are_the_ceiling(q):
    lengths = shannon_lengths(q)
    exact = [Fraction(float(mass)) for mass in q]
    for mass, length in zip(exact, lengths, strict=True):
        assert Fraction(1, 1 << int(length)) <= mass  # L >= -log2 q
        assert length == 0 or mass < Fraction(1, 1 << int(length - 1))  # and no integer below does
    assert kraft_sum(lengths) <= sum(exact)


@given(mixtures())
def test_shannon_under_mismatch_costs_less_than_one_bit_more_than_the_cross_entropy(mixture):
    """R14: H(P_i, q) <= E_i[L] < H(P_i, q) + 1 for each dataset."""
    bits, costs = mixture.cross_entropies() / BIT, code_lengths(mixture)["shannon"]
    assert (bits - ROUNDING <= costs).all()
    assert (costs < bits + 1).all()


@given(mixtures())
def test_huffman_is_the_best_of_the_two_codes_for_the_mixture(mixture):
    costs, weights = code_lengths(mixture), mixture.volumes / mixture.total
    assert weights @ costs["huffman"] <= weights @ costs["shannon"] + ROUNDING


@given(mixtures())
def test_huffman_under_mismatch_obeys_the_golden_ratio_bound(mixture):
    """R14: F_{n+1} p <= 1 for a word of length n, so E_i[L] <= 1 + H(P_i, q)/log2(golden ratio)."""
    q, golden = mixture.masses, (1 + np.sqrt(5)) / 2
    lengths = huffman_lengths(q)
    numbers = [0, 1]
    while len(numbers) < lengths.max() + 2:
        numbers.append(numbers[-1] + numbers[-2])
    assert all(numbers[n + 1] * mass <= 1 + ROUNDING for n, mass in zip(lengths, q, strict=True) if n > 0)
    nats = mixture.cross_entropies()
    assert (code_lengths(mixture)["huffman"] <= 1 + nats / np.log(golden) + 1e-9).all()


@pytest.mark.parametrize(
    ("strategy", "condition"),
    [
        (masses(), lambda p: p.size == 1),
        (masses(), lambda p: (p == 0).sum() > 2),
        (masses(), lambda p: p.size > 4 and np.unique(p).size == 1),
        (masses(), lambda p: p.min() > 0 and p.max() / p.min() > 1e9),
        (volumes(3), lambda w: w[0] / w[2] > 1e6),
        (mixtures(), lambda m: (m.components[-1][m.components[:-1].sum(axis=0) == 0] > 0).any()),
        (mixtures(), lambda m: entropy(m.components[0]) == 0 and entropy(m.components[1]) > 1),
        # Huffman below the cross entropy: that it is a bound for each dataset is false
        (mixtures(), lambda m: (code_lengths(m)["huffman"] < m.cross_entropies() / BIT - 0.1).any()),
    ],
)
def test_the_generators_reach_the_awkward_cases(strategy, condition):
    find(strategy, condition, settings=REACH)


def test_a_tighter_bound_is_found_out():
    """No margin below one bit holds, and the lower bound is reached."""
    slack = 0.9
    find(
        masses(positive=True),
        lambda p: expected_length(p, huffman_lengths(p)) >= entropy(p) / BIT + slack,
        settings=REACH,
    )
    find(
        mixtures(),
        lambda m: (code_lengths(m)["shannon"] >= m.cross_entropies() / BIT + slack).any(),
        settings=REACH,
    )
    find(masses(), lambda p: cross_entropy(p, p) > 0.1 and abs(gap(p)) < ROUNDING, settings=REACH)


def gap(p):
    return expected_length(p, huffman_lengths(p)) - entropy(p) / BIT
