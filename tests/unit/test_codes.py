"""Code lengths: exact at powers of two, optimal against brute force, deep codes without recursion."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from elastomath import InputError, entropy
from elastomath.codes import NO_CODEWORD, expected_length, huffman_lengths, kraft_sum, shannon_lengths


def test_shannon_lengths_are_exact_at_every_power_of_two_and_beside_it():
    exponents = np.arange(0, 1074)
    powers = np.ldexp(1.0, -exponents)
    assert shannon_lengths(powers).tolist() == exponents.tolist()
    normal = powers[:1000]
    assert shannon_lengths(np.nextafter(normal, 0.0)).tolist() == (exponents[:1000] + 1).tolist()
    assert shannon_lengths(np.nextafter(normal[1:], 1.0)).tolist() == exponents[1:1000].tolist()


def test_the_rounded_logarithm_would_be_wrong_where_the_exact_rule_is_right():
    above = np.nextafter(0.5**40, 1.0)  # a little more than 2^-40: 40 bits
    below = np.nextafter(0.5**40, 0.0)  # a little less: 41 bits
    assert shannon_lengths([above, below]).tolist() == [40, 41]
    assert np.ceil(-np.log2(below)) != 41  # the naive rule


def brute_force(weights):
    """The least cost over all length vectors that satisfy Kraft's inequality."""
    best, longest = None, max(len(weights) - 1, 0)
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
        (lambda: shannon_lengths([-0.5]), ">= 0"),
        (lambda: kraft_sum([-2]), ">= 0"),
        (lambda: expected_length([0.5, 0.5], [1]), "one length a leaf"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
