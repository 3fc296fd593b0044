"""The arithmetic coder: within two bits of the ideal, the same stream back, and nothing else taken for a stream."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError
from elastomath.codes.arithmetic import LARGEST_TOTAL, ArithmeticCode
from elastomath.codes.codewords import Bits
from tests.examples import examples

MODERATE = examples(80)
COUNTS = st.lists(
    st.one_of(st.integers(0, 3), st.integers(0, 1 << 20), st.integers(0, 1 << 34)), min_size=1, max_size=20
).filter(any)


def draw_stream(data, counts, most=40):
    used = [leaf for leaf, count in enumerate(counts) if count]
    return np.array(data.draw(st.lists(st.sampled_from(used), max_size=most)), dtype=np.int64)


@MODERATE
@given(COUNTS, st.data())
def test_a_stream_takes_at_most_two_bits_and_the_rounding_more_than_its_ideal(counts, data):
    code, stream = ArithmeticCode.of(counts), draw_stream(data, counts)
    bits = code.encode(stream)
    np.testing.assert_array_equal(code.decode(bits, stream.size), stream)
    # exactly: 2^-bits > (1/4) prod q(x_i) (1 - T/2^56)^n
    share = math.prod((Fraction(counts[leaf], code.total) for leaf in stream.tolist()), start=Fraction(1))
    lost = (1 - Fraction(code.total, 1 << 56)) ** stream.size
    assert Fraction(4, 1 << bits.size) > share * lost
    assert abs(code.ideal_bits(stream) + math.log2(share)) < 1e-9 * (1 + code.ideal_bits(stream))


def test_two_bits_are_needed_and_one_would_not_do():
    worst = 0.0
    rng = np.random.default_rng(0)
    for _ in range(400):
        counts = rng.integers(1, 50, rng.integers(2, 6))
        code = ArithmeticCode.of(counts)
        stream = rng.integers(0, counts.size, rng.integers(1, 12))
        worst = max(worst, code.encode(stream).size - code.ideal_bits(stream))
    assert 1.9 < worst < 2


def test_a_likely_stream_costs_less_than_a_bit_a_symbol():
    code = ArithmeticCode.of([999, 1])
    stream = np.zeros(10_000, dtype=int)
    bits = code.encode(stream)
    assert bits.size < 17  # 10000 log2(1000/999) = 14.4
    np.testing.assert_array_equal(code.decode(bits, 10_000), stream)


@pytest.mark.parametrize("total", [256, 1 << 20, LARGEST_TOTAL])
def test_long_streams_with_carries(total):
    rng = np.random.default_rng(1)
    counts = np.array([1, total - 3, 1, 1])
    code = ArithmeticCode.of(counts)
    for stream in (rng.integers(0, 4, 100_000), np.array([1] * 70_000 + [3] * 3 + [1] * 1000 + [0])):
        bits = code.encode(stream)
        ideal = code.ideal_bits(stream)
        assert ideal - 1e-6 * ideal <= bits.size <= ideal * (1 + 1e-12) + 2 + stream.size * code.rounding
        np.testing.assert_array_equal(code.decode(bits, stream.size), stream)


@MODERATE
@given(COUNTS.filter(lambda counts: sum(map(bool, counts)) > 1), st.data())
def test_cut_lengthened_and_damaged_streams(counts, data):
    code, stream = ArithmeticCode.of(counts), draw_stream(data, counts)
    bits = code.encode(stream)
    if bits.size:
        with pytest.raises(InputError, match="no stream of"):
            code.decode(Bits.of(bits.data, data.draw(st.integers(0, bits.size - 1))), stream.size)
    with pytest.raises(InputError, match="no stream of"):
        code.decode(Bits.of(str(bits) + data.draw(st.sampled_from(["0", "1", "0" * 64]))), stream.size)
    raw = Bits.of(data.draw(st.binary(max_size=30)))
    count = data.draw(st.integers(0, 30))
    try:
        found = code.decode(raw, count)
    except InputError:
        return
    assert str(code.encode(found)) == str(raw)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=30).filter(any), st.integers(40, 1 << 20))
@MODERATE
def test_quantised_masses_lose_what_is_stated_and_not_more(masses, total):
    code = ArithmeticCode.quantised(masses, total)
    assert code.total <= total
    weights = np.array([Fraction(mass) for mass in masses])
    leaves = int((weights > 0).sum())
    assert ((code.counts > 0) == (weights > 0)).all()
    for weight, count in zip(weights, code.counts.tolist(), strict=True):
        kept = weight / sum(weights) * (1 - Fraction(leaves, total))
        assert Fraction(count, code.total) >= kept * (1 - Fraction(1, 10**14))


def test_the_stated_loss_is_nearly_reached():
    """A leaf just below a whole unit of a coarse total loses the most."""
    masses = np.array([0.9, 0.1])
    code = ArithmeticCode.quantised(masses, 3)
    assert code.counts.tolist() == [1, 1]
    assert math.log2(0.9 * 2) > 0.5 * -math.log2(1 - 2 / 3)


def test_one_leaf_and_the_empty_stream():
    code = ArithmeticCode.of([0, 5, 0])
    assert code.encode([]).size == 0
    assert code.decode(Bits.of(""), 0).size == 0
    bits = code.encode([1] * 1000)
    assert bits.size <= 2
    assert code.decode(bits, 1000).tolist() == [1] * 1000
    assert code.ideal_bits([0]) == math.inf
    assert code.ideal_bits([1, 1]) == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ArithmeticCode.of([0, 0]), "counts sum to 0"),
        (lambda: ArithmeticCode.of([]), "shape"),
        (lambda: ArithmeticCode.of([1, -1]), "weight 1 is -1"),
        (lambda: ArithmeticCode.of([0.5, 0.5]), "not integers"),
        (lambda: ArithmeticCode.of([LARGEST_TOTAL, 1]), "counts sum to"),
        (lambda: ArithmeticCode.of([1 << 70]), "counts sum to"),
        (lambda: ArithmeticCode.of([Fraction(1, 2)]), "not integers"),
        (lambda: ArithmeticCode.quantised([0.5, float("nan")]), "weight 1 is nan"),
        (lambda: ArithmeticCode.quantised([0.0, 0.0]), "every mass is zero"),
        (lambda: ArithmeticCode.quantised([0.5, 0.5], total=2), "2 leaves on a total of 2"),
        (lambda: ArithmeticCode.quantised([0.5, 0.5], total=LARGEST_TOTAL + 1), "choose a total"),
        (lambda: ArithmeticCode.of([1, 0]).encode([0, 1]), "leaf 1 has no mass"),
        (lambda: ArithmeticCode.of([1, 1]).encode([2]), "leaves are 0 to 1"),
        (lambda: ArithmeticCode.of([1, 1]).encode([-1]), "leaves are 0 to 1"),
        (lambda: ArithmeticCode.of([1, 1]).encode([0.0]), "float64"),
        (lambda: ArithmeticCode.of([1, 1]).decode(Bits.of("0"), -1), "count is -1"),
        (lambda: ArithmeticCode.of([1, 1]).decode(Bits.of("0"), 10**12), "no stream of"),
        (lambda: ArithmeticCode.of([1, 1]).decode(Bits(np.zeros(1, np.uint8), 20), 5), "20 bits in 1 bytes"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()
