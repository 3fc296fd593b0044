"""What holds of code lengths for every source (R14, R15), and how far the generators reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from elastomath import InputError, cross_entropy, entropy
from elastomath.codes.lengths import (
    NO_CODEWORD,
    expected_length,
    huffman_lengths,
    kraft_sum,
    length_limited_lengths,
    shannon_fano_elias_lengths,
    shannon_lengths,
    total_length,
)
from elastomath.codes.path import code_path
from elastomath.rates.rates import code_lengths
from elastomath.testing.strategies import masses, mixtures, volumes
from tests.examples import examples

BIT = np.log(2.0)
ROUNDING = 1e-12
REACH = settings(max_examples=1000, phases=[Phase.generate], derandomize=True, database=None)


@given(masses())
def test_huffman_on_its_own_source_costs_less_than_one_bit_more_than_the_entropy(p):
    """R14: H <= E[L] < H + 1, per block."""
    bits, cost = entropy(p) / BIT, expected_length(p, huffman_lengths(p))
    assert bits - ROUNDING <= cost < bits + 1 + ROUNDING


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


def every_leaf_has_a_mass(mixture):
    """No leaf of a dataset has so small a share of q that the double is 0: a code of these masses has no word for it."""
    seen = (mixture.components[mixture.volumes > 0] > 0).any(axis=0)
    return bool((mixture.masses[seen] > 0).all())


@given(mixtures())
def test_shannon_under_mismatch_costs_less_than_one_bit_more_than_the_cross_entropy(mixture):
    """R14: H(P_i, q) <= E_i[L] < H(P_i, q) + 1 for each dataset."""
    assume(every_leaf_has_a_mass(mixture))
    bits, costs = mixture.cross_entropies() / BIT, code_lengths(mixture)["shannon"]
    assert (bits - ROUNDING <= costs).all()
    assert (costs < bits + 1 + ROUNDING).all()  # at q = 1/2 less the last bit both are 2 in doubles


@given(mixtures())
def test_huffman_is_the_best_of_the_two_codes_for_the_mixture(mixture):
    assume(mixture.masses.max() < 1)  # a mass that rounds to 1 has a word of length 0, and the rest none
    costs, weights = code_lengths(mixture), mixture.volumes / mixture.total
    assert weights @ costs["huffman"] <= weights @ costs["shannon"] + ROUNDING


@given(mixtures())
def test_huffman_under_mismatch_obeys_the_golden_ratio_bound(mixture):
    """R14: F_{n+1} p <= 1 for a word of length n, so E_i[L] <= 1 + H(P_i, q)/log2(golden ratio)."""
    assume(every_leaf_has_a_mass(mixture))
    q, golden = mixture.masses, (1 + np.sqrt(5)) / 2
    lengths = huffman_lengths(q)
    numbers = [0, 1]
    while len(numbers) < lengths.max() + 2:
        numbers.append(numbers[-1] + numbers[-2])
    assert all(numbers[n + 1] * mass <= 1 + ROUNDING for n, mass in zip(lengths, q, strict=True) if n > 0)
    nats = mixture.cross_entropies()
    assert (code_lengths(mixture)["huffman"] <= 1 + nats / np.log(golden) + 1e-9).all()


MODERATE = examples(60)


@MODERATE
@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=24).filter(any), st.integers(0, 24))
def test_a_limit_is_kept_costs_no_less_and_is_refused_where_words_are_too_few(weights, limit):
    leaves = sum(map(bool, weights))
    if leaves > 1 << limit:
        with pytest.raises(InputError, match="at least"):
            length_limited_lengths(weights, limit)
        return
    lengths, free = length_limited_lengths(weights, limit), huffman_lengths(weights)
    assert lengths.max() <= limit
    assert kraft_sum(lengths) == 1
    assert total_length(weights, lengths) >= total_length(weights, free)
    if free.max() <= limit:
        assert (lengths == free).all()
    if limit:
        exact = length_limited_lengths([Fraction(w, 3) for w in weights], limit)
        assert total_length(weights, exact) == total_length(weights, lengths)


@MODERATE
@given(st.lists(st.one_of(st.floats(), st.integers(-3, 1 << 70)), max_size=8))
def test_any_list_of_numbers_gives_a_code_or_one_line(weights):
    for code in (huffman_lengths, shannon_lengths, shannon_fano_elias_lengths, lambda w: length_limited_lengths(w, 3)):
        try:
            lengths = code(weights)
        except InputError:
            continue
        assert lengths.shape == (len(weights),)
        assert kraft_sum(lengths) <= 1 + Fraction(1, 10**8)
        assert ((lengths == NO_CODEWORD) == (np.array(weights, dtype=float) == 0)).all()


@st.composite
def counted(draw, rows=3, most=8):
    """Rows of counts on one leaf set, each with a positive one."""
    leaves = draw(st.integers(2, most))
    row = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 10**6)), min_size=leaves, max_size=leaves).filter(any)
    return [draw(row) for _ in range(rows)]


steps = st.fractions(0, 5, max_denominator=50)


@MODERATE
@given(counted(), st.fractions("1/10", 100, max_denominator=20), steps, steps)
def test_the_finite_law_and_the_effective_volumes_hold_exactly_for_huffman_codes(rows, k, one, other):
    """R5: l_0 (E_t(l_0) - E_t(l_1)) <= k DeltaE_p + DeltaE_a <= l_1 (...); R16: the integral, with K_p = k, K_a = 1."""
    path = code_path(rows, [k, 1], max(one, other), min(one, other))
    assert path.floor <= path.residual <= path.bound
    assert path.residual == path.work
    assert all(path.start <= step <= path.end for step in path.breakpoints)
    assert list(path.breakpoints) == sorted(path.breakpoints)


@MODERATE
@given(counted(2), st.fractions("1/10", 100, max_denominator=20), st.fractions("1/50", "49/50", max_denominator=50))
def test_the_theorem_made_true_holds_exactly_for_huffman_codes(parts, k, end):
    """R18: with P_p = (P_a + P_t)/2 and 0 < L < 1, whatever moves."""
    align, perturb = parts
    union = [x * sum(perturb) + y * sum(align) for x, y in zip(align, perturb, strict=True)]
    path = code_path([union, align, perturb], [k, 1], end)
    pretrain, moved, _ = path.changes()
    if any(path.changes()):
        assert pretrain < 0 < moved
        assert 1 <= path.theta <= (1 + 2 * end / k) / (1 - end)
    for j, step in enumerate(path.breakpoints):  # the constant of each change is the instantaneous one, exactly
        first, second, _ = path.changes(j, j + 1)
        assert -second / (k * first) == (1 + 2 * step / k) / (1 - step)


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
