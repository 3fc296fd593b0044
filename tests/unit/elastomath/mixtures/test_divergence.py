"""Divergences against exact logarithms of fractions, where floats are near the end of their digits."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, chi_square, cross_entropy, entropy, kl_divergence, overlap
from elastomath.mixtures.leafsums import CHUNK
from elastomath.testing.strategies import masses

PAIRS = st.integers(1, 8).flatmap(lambda leaves: st.tuples(masses(leaves), masses(leaves), masses(leaves)))


def exact_kl(p, q):
    """sum p ln(p/q) - p + q to 60 digits: the doubles as the exact numbers they are."""
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for a, b in zip(p, q, strict=True):
            a, b = mpmath.mpf(float(a)), mpmath.mpf(float(b))
            if a > 0 and b == 0:
                return float("inf")
            total += b if a == 0 else a * mpmath.log(a / b) - a + b
        return float(total)


@given(PAIRS)
def test_kl_divergence_to_its_last_digits(rows):
    p, q, _ = rows
    assert kl_divergence(p, q) == pytest.approx(exact_kl(p, q), rel=1e-12, abs=0)
    assert kl_divergence(p, q) >= 0
    assert kl_divergence(p, p) == 0


@pytest.mark.parametrize("tiny", [0.0, 5e-324, 1e-300, 1e-30, 1e-17, 1e-16, 1e-15, 1e-8, 1e-3, 0.1])
def test_kl_divergence_of_a_tiny_mass(tiny):
    """Where P/q is below the rounding of 1 - P/q, the mass of q still counts."""
    p, half = np.array([tiny, 1 - tiny]), np.array([0.5, 0.5])
    assert kl_divergence(p, half) == pytest.approx(exact_kl(p, half), rel=1e-13, abs=0)
    if tiny:
        assert kl_divergence(half, p) == pytest.approx(exact_kl(half, p), rel=1e-13, abs=0)


@pytest.mark.parametrize("gap", [0.05, 0.0151, 0.0149, 1e-2, 2e-3, 1.001e-3, 0.999e-3, 1e-5, 1e-9, 1e-12])
def test_kl_divergence_of_near_neighbours_keeps_its_digits(gap):
    p, q = np.array([0.3 + gap, 0.7 - gap]), np.array([0.3, 0.7])
    assert kl_divergence(p, q) == pytest.approx(exact_kl(p, q), rel=2e-13, abs=0)
    naive = float((p * np.log(p / q)).sum())
    if gap <= 1e-9:
        assert abs(naive - exact_kl(p, q)) > 1e-3 * exact_kl(p, q)  # which is why the series is there


@given(PAIRS)
def test_pinsker_at_its_tight_constant(rows):
    """D(P || q) >= 1/2 |P - q|_1^2 in nats."""
    p, q, _ = rows
    assert kl_divergence(p, q) >= 0.5 * np.abs(p - q).sum() ** 2 * (1 - 1e-9) - 1e-15


def test_pinsker_is_tight_and_a_larger_constant_is_caught():
    p, q = np.array([0.5 + 1e-4, 0.5 - 1e-4]), np.array([0.5, 0.5])
    ratio = kl_divergence(p, q) / np.abs(p - q).sum() ** 2
    assert 0.5 <= ratio < 0.5 + 1e-7


@given(PAIRS)
def test_cross_entropy_is_entropy_plus_divergence(rows):
    p, q, _ = rows
    if np.isinf(cross_entropy(p, q)):
        assert (p[q == 0] > 0).any()
        assert kl_divergence(p, q) == float("inf")
    else:
        assert cross_entropy(p, q) == pytest.approx(entropy(p) + kl_divergence(p, q), rel=1e-10, abs=1e-12)


@given(PAIRS)
def test_overlap_and_chi_square_are_the_fractions(rows):
    p, other, q = rows
    fractions = [[Fraction(float(x)) for x in row] for row in rows]
    expected = sum(a * b / c for a, b, c in zip(*fractions, strict=True) if c)
    assert overlap(p, other, q) == pytest.approx(float(expected), rel=1e-12)
    squares = [(a - c) ** 2 / c if c else (0 if not a else None) for a, _, c in zip(*fractions, strict=True)]
    if None in squares:
        assert chi_square(p, q) == float("inf")
    else:
        assert chi_square(p, q) == pytest.approx(float(sum(squares)), rel=1e-9, abs=1e-300)
        assert chi_square(p, q) == pytest.approx(overlap(p, p, q) - 1, rel=1e-6, abs=1e-10)
        assert kl_divergence(p, q) <= np.log1p(chi_square(p, q)) + 1e-12


def test_every_chunk_is_counted():
    rng = np.random.default_rng(0)
    leaves = 2 * CHUNK + 7
    p, q, r = (row / row.sum() for row in rng.exponential(size=(3, leaves)))
    assert cross_entropy(p, q) == pytest.approx(-(p * np.log(q)).sum(), rel=1e-12)
    assert kl_divergence(p, q) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-10)
    assert overlap(p, r, q) == pytest.approx((p * r / q).sum(), rel=1e-12)
    assert chi_square(p, q) == pytest.approx(((p - q) ** 2 / q).sum(), rel=1e-12)
    q[-1], p[0] = 0.0, 0.0
    p, q = p / p.sum(), q / q.sum()
    assert cross_entropy(p, q) == kl_divergence(p, q) == chi_square(p, q) == float("inf")
    assert overlap(p, r, q) == pytest.approx((p[:-1] * r[:-1] / q[:-1]).sum(), rel=1e-12)


def test_subnormal_masses_raise_no_warning():
    p, q = np.array([0.5, 0.5]), np.array([1e-320, 1.0])
    assert kl_divergence(p, q) == pytest.approx(exact_kl(p, q), rel=1e-13, abs=0)
    assert overlap(p, p, q) == chi_square(p, q) == float("inf")
    assert overlap(np.array([0.0, 1.0]), p, q) == overlap(p, np.array([0.0, 1.0]), q) == 0.5


def test_the_examples_in_bits():
    assert entropy(np.array([0.5, 0.25, 0.25])) / np.log(2) == pytest.approx(1.5, abs=1e-15)
    assert entropy(np.array([1.0, 0.0])) == 0


@pytest.mark.parametrize("divergence", [kl_divergence, chi_square, cross_entropy])
def test_masses_of_other_leaves_are_refused(divergence):
    with pytest.raises(InputError, match="masses of 2 and of 3 leaves"):
        divergence([0.5, 0.5], [0.5, 0.25, 0.25])
    with pytest.raises(InputError, match="masses of 3 and of 2 leaves"):
        overlap([0.5, 0.25, 0.25], [0.5, 0.5], [0.5, 0.5])
