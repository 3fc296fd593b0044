"""Codewords: canonical order, words beyond 64 bits, streams that come back, and streams that cannot."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError
from elastomath.codes.codewords import Bits, Codewords, canonical_words
from elastomath.codes.lengths import (
    NO_CODEWORD,
    huffman_lengths,
    kraft_sum,
    shannon_fano_elias_lengths,
    shannon_lengths,
)
from tests.examples import examples

MODERATE = examples(60)
WEIGHTS = st.lists(st.one_of(st.integers(1, 5), st.integers(1, 1 << 40)), min_size=1, max_size=30)


def fibonacci(count):
    numbers = [1, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


def texts(words):
    return [words.text(leaf) for leaf in range(words.lengths.size) if words.lengths[leaf] != NO_CODEWORD]


def is_prefix_free(words):
    ordered = sorted(words)
    return all(not later.startswith(word) for word, later in itertools.pairwise(ordered))


def by_the_definition(lengths):
    """Canonical words as Python integers: in order of (length, leaf), the next number, shifted to its length."""
    found, number, before = {}, 0, 0
    for size, leaf in sorted((int(n), leaf) for leaf, n in enumerate(lengths) if n != NO_CODEWORD):
        number = (number + bool(found)) << (size - before)
        found[leaf], before = format(number, f"0{size}b") if size else "", size
    return [found[leaf] for leaf in sorted(found)]


@pytest.mark.parametrize("lengths", [[2, 1, 3, 3], [0], [1, 1], [3, NO_CODEWORD, 1, 2], [5, 70, 64, 63, 65, 130, 128]])
def test_canonical_words_are_those_of_the_definition(lengths):
    assert texts(canonical_words(lengths)) == by_the_definition(lengths)


@MODERATE
@given(WEIGHTS, st.sampled_from([huffman_lengths, shannon_lengths, shannon_fano_elias_lengths]))
def test_canonical_words_of_every_code_are_prefix_free_and_come_back(weights, code):
    words = canonical_words(code(weights))
    assert texts(words) == by_the_definition(words.lengths)
    assert is_prefix_free(texts(words)) or len(weights) == 1
    stream = np.arange(len(weights)).repeat(2)[::-1]
    bits = words.encode(stream)
    assert str(bits) == "".join(words.text(leaf) for leaf in stream)
    np.testing.assert_array_equal(words.decode(bits, stream.size), stream)
    if words.lengths.max() > 0:
        np.testing.assert_array_equal(words.decode(bits), stream)


@pytest.mark.parametrize("code", [huffman_lengths, shannon_lengths])
def test_words_of_1500_bits(code):
    weights = fibonacci(1500)
    words = canonical_words(code(weights))
    assert words.lengths.max() > 1000
    stream = np.random.default_rng(0).integers(0, 1500, 200)
    bits = words.encode(stream)
    assert bits.size == words.lengths[stream].sum()
    np.testing.assert_array_equal(words.decode(bits), stream)
    longest = int(np.argmax(words.lengths))
    assert words.word(longest) == int(words.text(longest), 2)
    if code is huffman_lengths:
        assert words.text(1) == "1" * 1499  # the last word of a full canonical code


def test_a_table_of_12_bits_and_the_words_behind_it():
    lengths = np.concatenate([np.full(4095, 12), [13, 14, 14]])
    words = canonical_words(lengths)
    stream = np.random.default_rng(1).permutation(np.arange(lengths.size).repeat(3))
    np.testing.assert_array_equal(words.decode(words.encode(stream)), stream)


def test_one_leaf_has_the_empty_word():
    words = canonical_words([0])
    assert words.encode([0, 0, 0]).size == 0
    assert words.decode(Bits.of(""), 3).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="say how many"):
        words.decode(Bits.of(""))


def test_a_code_without_words():
    words = canonical_words([NO_CODEWORD, NO_CODEWORD])
    assert words.decode(words.encode([])).size == 0
    with pytest.raises(InputError, match="without words"):
        words.decode(Bits.of("0"))


@examples(80)
@given(WEIGHTS.filter(lambda weights: len(weights) > 1), st.data())
def test_a_cut_or_damaged_stream_is_refused_or_read_but_never_worse(weights, data):
    lengths = data.draw(st.sampled_from([huffman_lengths, shannon_lengths, shannon_fano_elias_lengths]))(weights)
    words = canonical_words(lengths)
    stream = np.array(data.draw(st.lists(st.integers(0, len(weights) - 1), min_size=1, max_size=20)))
    bits = words.encode(stream)
    cut = data.draw(st.integers(0, bits.size - 1))
    with pytest.raises(InputError):
        words.decode(Bits.of(bits.data, cut), stream.size)
    with pytest.raises(InputError):
        words.decode(bits, stream.size + 1)
    raw = np.frombuffer(data.draw(st.binary(max_size=40)), dtype=np.uint8)
    for count in (None, stream.size):
        try:
            found = words.decode(Bits.of(raw), count)
        except InputError:
            continue
        assert str(words.encode(found)) == str(Bits.of(raw))


def test_what_no_word_begins_with_is_found():
    words = canonical_words([2, 2, 20])  # 00, 01, 1000...
    with pytest.raises(InputError, match="no word begins at bit 2"):
        words.decode(Bits.of("01" + "11" * 20))
    with pytest.raises(InputError, match="no word begins at bit 0"):
        words.decode(Bits.of("1000000001" + "0" * 20))  # beyond the table
    with pytest.raises(InputError, match="ends at bit 8, but the word at bit 2 goes on"):
        words.decode(Bits.of("01100000"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: canonical_words([1, 1, 1]), "Kraft"),
        (lambda: canonical_words([1.0, 2.0]), "float64"),
        (lambda: canonical_words([[1]]), "shape"),
        (lambda: canonical_words([-2]), ">= 0"),
        (lambda: canonical_words([1, 1]).encode([2]), "leaf 2 has no codeword"),
        (lambda: canonical_words([1, 1]).encode([0, -1]), "symbol 1"),
        (lambda: canonical_words([1, NO_CODEWORD]).encode([1]), "no codeword"),
        (lambda: canonical_words([1, 1]).encode([0.5]), "float64"),
        (lambda: canonical_words([1, 1]).encode([[0]]), "shape"),
        (lambda: canonical_words([1, 1]).decode(Bits.of("0"), -1), "count is -1"),
        (lambda: canonical_words([1, 1]).decode(Bits(np.zeros(1, np.uint8), 9)), "9 bits in 1 bytes"),
        (lambda: canonical_words([1, 1]).word(2), "no codeword"),
        (lambda: canonical_words([NO_CODEWORD, 0]).text(0), "no codeword"),
        (lambda: Bits.of("01x"), "other signs"),
        (lambda: Bits.of(b"a", 9), "9 bits of 1 bytes"),
        (lambda: Bits.of(np.zeros(2)), "float64"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_words_that_begin_others_are_found_when_a_tree_is_made():
    words = Codewords(
        np.array([1, 2]), np.array([0, 1]), np.array([0, 1]), np.array([0, 1 << 62], dtype=np.uint64), canonical=False
    )
    assert texts(words) == ["0", "01"]
    with pytest.raises(InputError, match="begins another"):
        words.decode(Bits.of("01"))


def test_less_than_one_word_is_found():
    for stream in ("0", "010"):
        with pytest.raises(InputError, match="goes on"):
            canonical_words([2, 2, 2]).decode(Bits.of(stream))


def test_bits_behind_the_last_are_0():
    bits = Bits.of(b"\xff\xff", 11)
    assert bits.data.tolist() == [0xFF, 0xE0]
    assert str(bits) == "1" * 11
    assert Bits.of("").size == 0


def test_kraft_of_canonical_words_is_what_they_fill():
    lengths = shannon_lengths([3, 1, 1])
    filled = sum(Fraction(1, 1 << len(word)) for word in texts(canonical_words(lengths)))
    assert filled == kraft_sum(lengths) == Fraction(3, 4)
