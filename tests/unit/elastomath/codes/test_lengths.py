"""Code lengths: exact at powers of two, optimal against brute force, deep codes without recursion."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from elastomath import InputError, entropy
from elastomath.codes.lengths import (
    NO_CODEWORD,
    as_lengths,
    expected_length,
    huffman_lengths,
    kraft_sum,
    length_limited_lengths,
    shannon_fano_elias_lengths,
    shannon_lengths,
    total_length,
)


def test_shannon_lengths_are_exact_at_every_power_of_two_and_beside_it():
    exponents = np.arange(0, 1074)
    powers = np.ldexp(1.0, -exponents)

    def alone(masses):
        return [int(shannon_lengths([mass])[0]) for mass in masses]

    assert alone(powers) == exponents.tolist()
    normal = powers[:1000]
    assert alone(np.nextafter(normal, 0.0)) == (exponents[:1000] + 1).tolist()
    assert alone(np.nextafter(normal[1:], 1.0)) == exponents[1:1000].tolist()


def test_the_rounded_logarithm_would_be_wrong_where_the_exact_rule_is_right():
    above = np.nextafter(0.5**40, 1.0)  # a little more than 2^-40: 40 bits
    below = np.nextafter(0.5**40, 0.0)  # a little less: 41 bits
    assert shannon_lengths([above, below]).tolist() == [40, 41]
    assert np.ceil(-np.log2(below)) != 41  # the naive rule


def brute_force(weights, limit=None):
    """The least cost over all length vectors (none beyond ``limit``) that satisfy Kraft's inequality."""
    best, longest = None, max(len(weights) - 1, 0) if limit is None else limit
    for lengths in itertools.product(range(longest + 1), repeat=len(weights)):
        if sum(Fraction(1, 1 << n) for n in lengths) <= 1:
            cost = sum(w * n for w, n in zip(weights, lengths, strict=True))
            best = cost if best is None else min(best, cost)
    return best


def test_huffman_is_optimal_against_brute_force():
    rng = np.random.default_rng(1)
    for size in (1, 2, 3, 4, 5):
        for _ in range(12):
            weights = rng.integers(1, rng.choice([4, 50]), size).tolist()
            assert int(np.dot(weights, huffman_lengths(weights))) == brute_force(weights)
    weights = [1, 1, 2, 3, 5, 8]
    assert int(np.dot(weights, huffman_lengths(weights))) == brute_force(weights)


def test_length_limited_codes_are_optimal_against_brute_force():
    rng = np.random.default_rng(3)
    for size in (2, 3, 4, 5):
        for limit in range((size - 1).bit_length(), size):
            for _ in range(8):
                weights = rng.integers(1, rng.choice([4, 50, 1000]), size).tolist()
                lengths = length_limited_lengths(weights, limit)
                assert lengths.max() <= limit
                assert kraft_sum(lengths) == 1
                assert total_length(weights, lengths) == brute_force(weights, limit)


def test_a_limit_costs_where_it_binds_and_nothing_where_it_does_not():
    weights = fibonacci(40)
    free = huffman_lengths(weights)
    costs = [total_length(weights, length_limited_lengths(weights, limit)) for limit in range(6, 41)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[5] > costs[-3] > costs[-2] == costs[-1] == total_length(weights, free)
    for limit in (39, 40, 64, 1000):
        np.testing.assert_array_equal(length_limited_lengths(weights, limit), free)
    np.testing.assert_array_equal(length_limited_lengths([1] * 64, 6), np.full(64, 6))


def test_a_limit_on_floats_exact_numbers_and_sums_beyond_64_bits():
    weights = fibonacci(30)
    expected = length_limited_lengths(weights, 7)
    for same in (np.array(weights, dtype=float), [Fraction(w, 3) for w in weights], [w << 60 for w in weights]):
        np.testing.assert_array_equal(length_limited_lengths(same, 7), expected)
    near = [1 << 60, 1 << 59, 1 << 58, 1 << 57, 1 << 56]  # the packages would wrap
    assert length_limited_lengths(near, 3).tolist() == [1, 3, 3, 3, 3]
    assert length_limited_lengths([5, 0, 1, 0], 1).tolist() == [1, NO_CODEWORD, 1, NO_CODEWORD]
    assert length_limited_lengths([7], 0).tolist() == [0]
    assert length_limited_lengths([5, 0, 1, 0], 2, whole_alphabet=True).tolist() == [2, 2, 2, 2]


def test_a_fixed_alphabet_codes_leaves_of_weight_0_and_is_optimal():
    weights = [0, 3, 0, 5, 1]
    lengths = huffman_lengths(weights, whole_alphabet=True)
    assert kraft_sum(lengths) == 1
    assert total_length(weights, lengths) == brute_force(weights)
    assert (lengths >= 1).all()
    floats = huffman_lengths(np.array(weights, dtype=float), whole_alphabet=True)
    np.testing.assert_array_equal(floats, lengths)
    assert huffman_lengths([-0.0, 1.0, 2.0], whole_alphabet=True).tolist() == [2, 2, 1]


def test_shannon_lengths_of_counts_are_exact():
    assert shannon_lengths([1, 1, 1, 1]).tolist() == [2, 2, 2, 2]
    assert shannon_lengths([1, 1, 1, 2]).tolist() == [3, 3, 3, 2]
    big = 1 << 61
    for weights in ([big, big - 1, 1], [big * 4, big * 4 - 1, 3], [Fraction(1, 3), Fraction(1, 7), Fraction(11, 21)]):
        total = sum(weights)
        for weight, length in zip(weights, shannon_lengths(weights).tolist(), strict=True):
            assert weight * (1 << length) >= total
            assert length == 0 or weight * (1 << (length - 1)) < total
    assert shannon_lengths([3, 0]).tolist() == [0, NO_CODEWORD]
    assert shannon_fano_elias_lengths([3, 1, 0]).tolist() == [2, 3, NO_CODEWORD]


def test_total_length_is_exact():
    assert total_length([1 << 62, 1 << 61], [2, 3]) == (1 << 63) + 3 * (1 << 61)
    assert total_length([-(1 << 62)] * 3, [1, 1, 1]) == -3 << 62  # the sum wraps round in 64 bits
    assert total_length([Fraction(1, 3), 0], [4, NO_CODEWORD]) == Fraction(4, 3)
    assert as_lengths([], where="here").size == 0


def test_the_radix_sort_is_stable_and_right_on_every_digit():
    rng = np.random.default_rng(4)
    from elastomath.codes.lengths import _radix_sorted

    for weights in (
        rng.integers(0, 1 << 62, 5000),
        rng.integers(0, 3, 5000) << 33,
        np.zeros(100, dtype=np.int64),
        rng.zipf(1.3, 5000).clip(max=10**9),
        10.0 ** rng.uniform(-320, 300, 5000),
        np.array([0.0, -0.0, 5e-324, 1.0, -0.0]),
    ):
        ordered, order = _radix_sorted(weights)
        expected = np.argsort(weights, kind="stable")
        np.testing.assert_array_equal(order, expected)
        np.testing.assert_array_equal(ordered, weights[expected])


def test_shannon_is_not_optimal_so_the_brute_force_can_tell():
    weights = [1, 1, 1]
    assert int(np.dot(weights, shannon_lengths(np.array(weights) / 3))) > brute_force(weights)


def fibonacci(count):
    numbers = [1, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


@pytest.mark.parametrize("count", [80, 1500])  # within 64 bits, and far beyond
def test_fibonacci_weights_give_the_deepest_code_exactly(count):
    lengths = huffman_lengths(fibonacci(count))
    # 1, 1, 2, 3, ...: a path, the two lightest leaves deepest
    assert sorted(lengths.tolist()) == sorted([count - 1, *range(1, count)])
    assert kraft_sum(lengths) == 1


def test_integer_weights_are_joined_exactly_where_floats_would_tie():
    close = [1 << 53, 1 << 53, (1 << 53) + 1, (1 << 54) + 1]  # in floats the third is the first
    assert huffman_lengths(close).tolist() == [3, 3, 2, 1]
    assert huffman_lengths(np.array(close, dtype=float)).tolist() == [2, 2, 2, 2]
    close = [1 << 62, (1 << 62) + 1, (1 << 62) + 2, (1 << 63) + 2]  # sums beyond 64 bits
    assert huffman_lengths(close).tolist() == [3, 3, 2, 1]


def test_sums_beyond_64_bits_do_not_wrap():
    near = [1 << 62, 1 << 62, 1 << 62, (1 << 62) + 1]
    for weights in (near, np.array(near), np.array(near, dtype=np.uint64)):
        assert huffman_lengths(weights).tolist() == [2, 2, 2, 2]


def test_exact_and_compiled_kernels_agree():
    rng = np.random.default_rng(2)
    for size in (1, 2, 3, 17, 300):
        weights = rng.zipf(1.4, size).clip(max=10**6)
        exact = huffman_lengths([Fraction(int(w)) for w in weights])
        np.testing.assert_array_equal(huffman_lengths(weights), exact)
        np.testing.assert_array_equal(huffman_lengths(weights.astype(float)), exact)
        np.testing.assert_array_equal(huffman_lengths(weights.astype(np.int32)), exact)


def test_ties_join_leaves_before_nodes_and_keep_the_longest_codeword_short():
    assert huffman_lengths([2, 1, 1, 2]).tolist() == [2, 2, 2, 2]  # not 1, 3, 3, 2, which costs as much
    assert huffman_lengths([1, 1, 1]).tolist() == [2, 2, 1]  # lower indices are joined first


def test_weights_of_zero_get_no_codeword_and_a_single_leaf_needs_none():
    assert huffman_lengths([0, 3, 0]).tolist() == [NO_CODEWORD, 0, NO_CODEWORD]
    assert kraft_sum([NO_CODEWORD, 0, NO_CODEWORD]) == 1
    assert shannon_lengths([1.0, 0.0]).tolist() == [0, NO_CODEWORD]
    assert expected_length([0.5, 0.5], [0, NO_CODEWORD]) == float("inf")
    assert expected_length([1.0, 0.0], [0, NO_CODEWORD]) == 0.0


def test_the_bounds_are_tight_from_both_sides():
    dyadic = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])
    bits = entropy(dyadic) / np.log(2)
    assert abs(expected_length(dyadic, huffman_lengths(dyadic)) - bits) < 1e-12
    assert abs(expected_length(dyadic, shannon_lengths(dyadic)) - bits) < 1e-12
    excess = []
    for tiny in (1e-2, 1e-4, 1e-6):
        skew = np.array([1 - tiny, tiny])
        excess.append(expected_length(skew, huffman_lengths(skew)) - entropy(skew) / np.log(2))
    assert excess == sorted(excess)
    assert 1 - 3e-5 < excess[-1] < 1


def test_the_examples_of_r15():
    # Thm 3.4 as printed says ceil(H) = 2 bits a block
    quarters = np.array([0.5, 0.25, 0.25])
    assert expected_length(quarters, huffman_lengths(quarters)) == 1.5
    assert np.ceil(entropy(quarters) / np.log(2)) == 2
    five = np.array([0.42, 0.2, 0.2, 0.16, 0.02])
    assert abs(entropy(five) / np.log(2) - 1.990) < 5e-4
    assert abs(expected_length(five, huffman_lengths(five)) - 2.14) < 1e-12


def test_floats_at_the_ends_of_their_range():
    assert huffman_lengths([1.7e308, 1.7e308, 1.7e308]).tolist() == [2, 2, 1]
    assert huffman_lengths([5e-324, 1e-323, 1.0]).tolist() == [2, 2, 1]
    assert huffman_lengths([1.7e308, 1.7e308, 5e-324]).tolist() == [2, 1, 2]  # and no leaf is lost in scaling


def test_a_heavy_leaf_may_get_more_than_one_bit_above_its_information():
    """R14: for one leaf Huffman has no margin of a bit; the Fibonacci bound is the one that holds, and it is tight."""
    weights = np.array([0.01, 0.97, 0.99, 1.0, 2.0])
    length, mass = huffman_lengths(weights)[1], weights[1] / weights.sum()
    assert length == 4 > 1 - np.log2(mass) + 0.6
    assert 0.97 < 5 * mass <= 1  # F_5 = 5


def test_kraft_sum_is_an_exact_fraction():
    assert kraft_sum([1, 1, 200]) == 1 + Fraction(1, 1 << 200)
    assert kraft_sum([]) == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: huffman_lengths([]), "shape"),
        (lambda: huffman_lengths([[1, 2]]), "shape"),
        (lambda: huffman_lengths([0, 0]), "every weight is zero"),
        (lambda: huffman_lengths([1, -1]), "weight 1 is -1"),
        (lambda: huffman_lengths([Fraction(1), Fraction(-1, 2)]), "weight 1 is -1/2"),
        (lambda: huffman_lengths([1.0, float("nan")]), "weight 1 is nan"),
        (lambda: huffman_lengths([1.0, float("inf")]), "weight 1 is inf"),
        (lambda: huffman_lengths(["a", "b"]), "not numbers"),
        (lambda: huffman_lengths([None, 1]), "not numbers"),
        (lambda: shannon_lengths([1.5]), "<= 1"),
        (lambda: shannon_lengths([0.6, 0.6]), "masses sum to 1.2"),
        (lambda: shannon_lengths([-0.5]), ">= 0"),
        (lambda: kraft_sum([-2]), ">= 0"),
        (lambda: expected_length([0.5, 0.5], [1]), "one length a leaf"),
        (lambda: kraft_sum([0.5]), "float64"),
        (lambda: huffman_lengths([0, 0], whole_alphabet=True), "every weight is zero"),
        (lambda: huffman_lengths([[1, 2], [3]]), "no array"),
        (lambda: shannon_lengths([0, 0]), "every weight is zero"),
        (lambda: shannon_lengths([3, -1]), "weight 1 is -1"),
        (lambda: length_limited_lengths([1, 1, 1], 1), "3 leaves and words of at most 1 bits.*at least 2"),
        (lambda: length_limited_lengths([1, 1], -1), "limit is -1"),
        (lambda: length_limited_lengths([1.0, float("nan")], 3), "weight 1 is nan"),
        (lambda: length_limited_lengths([], 3), "shape"),
        (lambda: total_length([1, 1], [1, NO_CODEWORD]), "leaf 1 has no codeword"),
        (lambda: total_length([0.5, 0.5], [1, 1]), "floats"),
        (lambda: total_length([1], [1, 1]), "one length a leaf"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_float_ball_integer_and_symbol_agree():
    """H <= E[L] < H + 1: the symbolic steps of R14 on an instance, floats, balls and integer powers."""
    import sympy as sp
    from flint import arb

    from elastomath.certify.balls import working_precision
    from elastomath.derivations import derive
    from elastomath.derivations.words import language
    from elastomath.verification.codes import power_gap

    counts = [13, 5, 4, 2, 1]
    total, lengths = sum(counts), huffman_lengths(counts)
    step = derive("R14").steps[2]
    symbols = {str(symbol): symbol for symbol in (step.lhs - step.rhs).free_symbols}

    def over_leaves(expression):
        rows = [
            {symbols["Q"]: sp.Rational(c, total), symbols["rho"]: sp.Rational(1, 2 ** int(n))}
            for c, n in zip(counts, lengths, strict=True)
        ]
        return expression.replace(language().Total, lambda summand: sum(summand.subs(row) for row in rows))

    mean, entropy_bits = (sp.N(over_leaves(side) / sp.log(2), 30) for side in (step.lhs, step.rhs))
    masses = np.array(counts) / total
    assert abs(float(mean) - expected_length(masses, lengths)) < 1e-14
    assert abs(float(entropy_bits) - entropy(masses) / np.log(2)) < 1e-14
    with working_precision(128):
        ball = sum((arb(c) / total * (arb(total) / c).log() for c in counts), start=arb(0)) / arb(2).log()
        assert ball.overlaps(arb(str(entropy_bits), 1e-25))
        assert ball < arb(total_length(counts, lengths)) / total < ball + 1
    assert power_gap(counts, total_length(counts, lengths)) == (1, 1)
