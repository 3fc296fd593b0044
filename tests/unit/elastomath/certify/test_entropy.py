"""The certified entropy of counts: against exact small cases, many digits, the float, and bad input."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import entropy, normalise
from elastomath.certify.entropy import certify_entropy
from elastomath.errors import InputError
from tests.examples import examples


@examples(60)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any))
def test_the_float_lies_near_the_ball_and_a_sum_of_many_digits_in_it(counts):
    import mpmath

    proved, total = certify_entropy(counts, digits=20), sum(counts)
    with mpmath.workdps(60):
        exact = mpmath.fsum(-mpmath.mpf(c) / total * mpmath.log(mpmath.mpf(c) / total) for c in counts if c)
        assert (
            mpmath.mpf(proved.low) - mpmath.mpf(10) ** -300 <= exact <= mpmath.mpf(proved.high) + mpmath.mpf(10) ** -300
        )
        assert abs(mpmath.mpf(proved.digits) - exact) <= mpmath.mpf(10) ** -19 * (1 + exact)
    assert proved.agrees(entropy(normalise(counts)), 1e-13, 1e-13)


def test_order_and_grouping_change_nothing():
    counts = [5, 1, 1, 1, 3, 3, 0]
    assert certify_entropy(counts) == certify_entropy(counts[::-1]) == certify_entropy(np.array(counts, dtype=np.uint8))


def test_uniform_and_single_leaves():
    assert certify_entropy([4] * 8, digits=30).digits.startswith("2.0794415416798359282516963643745")  # 3 ln 2
    assert certify_entropy([0, 3]).sign == 0
    assert certify_entropy([10**30, 1]).sign == 1  # beyond 64 bits, and no digit is lost to cancellation
    tiny = certify_entropy([10**30, 1]).estimate
    assert tiny == pytest.approx(1e-30 * (1 + 30 * math.log(10)), rel=1e-12)


def test_precision_that_does_not_reach_says_so():
    low = certify_entropy([10**200, 1], digits=15, last_precision=128)
    assert low.low <= certify_entropy([10**200, 1]).estimate <= low.high
    assert low.sign is None


def test_a_million_counts_are_certified_in_a_fifth_of_a_second():
    counts = np.random.default_rng(0).zipf(1.3, 10**6).clip(max=10**9)
    certify_entropy(counts[:1000])
    spent = []
    for _ in range(3):
        start = time.process_time()
        certify_entropy(counts)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.4  # 0.1 s on an idle core, with room for a busy one


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([], "shape"),
        ([[1, 2]], "shape"),
        ([0, 0], "every count is zero"),
        ([1, -1], "count 1 is negative"),
        ([0.5, 0.5], "type float64"),
        ([math.nan], "type float64"),
        (["1"], "type"),
        ([True, False], "type bool"),
    ],
)
def test_bad_counts_are_refused(counts, says):
    with pytest.raises(InputError, match=says):
        certify_entropy(counts)


def test_integers_on_both_sides_of_the_largest_int64_are_exact():
    """numpy makes floats of [2^63, 1], which were refused as no integers; H = ln(2^63 + 1) - 2^63/(2^63 + 1) ln 2^63."""
    assert certify_entropy([2**63, 1]).digits == certify_entropy([1, 2**63, 0]).digits == "4.8429437950449084e-18"
