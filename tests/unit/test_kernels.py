"""Compiled loops: the logarithm enclosed in balls, every sum against the numpy version, the same bits in any threads."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastomath import InputError, Mixture, kernels, path_entropies
from elastomath.certify import working_precision
from elastomath.divergence import chi_square, cross_entropy, kl_divergence, overlap
from elastomath.response import response, survey
from elastomath.strategies import mixtures

ordinary = settings(max_examples=60, deadline=None, derandomize=True)


def polynomial_error(coefficients, pieces=128):
    """A proved bound of |P(z)/f(z) - 1| for f(z) = (atanh(s)/s - 1)/z = sum z^n/(2n+3), z = s^2 up to (3 - 2 sqrt 2)^2."""
    from flint import fmpq, fmpq_poly

    end, terms = Fraction(2945, 100000), 24  # (3 - 2 sqrt 2)^2 = 0.029437...
    assert (3 - 2 * math.sqrt(2)) ** 2 < float(end)
    exact = [Fraction(c) for c in coefficients]
    gaps = [(exact[n] if n < len(exact) else 0) - Fraction(1, 2 * n + 3) for n in range(terms)]
    gap = fmpq_poly([fmpq(g.numerator, g.denominator) for g in gaps])
    half, worst = end / (2 * pieces), 0.0
    for piece in range(pieces):
        middle = half * (2 * piece + 1)
        local = gap(fmpq_poly([fmpq(middle.numerator, middle.denominator), 1]))
        bound = sum((abs(Fraction(int(c.p), int(c.q))) * half**n for n, c in enumerate(local.coeffs())), Fraction(0))
        worst = max(worst, float(3 * bound))  # f >= 1/3
    tail = float(end**terms / (2 * terms + 3) / (1 - end))
    return worst + 3 * tail


def test_the_polynomial_misses_by_less_than_the_docstring_says():
    assert polynomial_error(kernels.POLYNOMIAL) < 5e-16
    assert polynomial_error(kernels.POLYNOMIAL) > 1e-16  # the bound is not far from what is there


@pytest.mark.parametrize("index", range(7))
def test_a_changed_coefficient_is_found(index):
    changed = list(kernels.POLYNOMIAL)
    changed[index] += 1e-15 / 0.0294**index
    assert polynomial_error(changed) > 5e-16


@pytest.fixture(scope="module")
def leafwise():
    import numba

    kernels.compiled()

    @numba.njit(error_model="numpy")
    def run(p, q, logs, forward, reverse):
        for j in range(p.size):
            logs[j] = kernels._ln(p[j])
            forward[j], reverse[j] = kernels._leaf_divergences(p[j], q[j], 1.0 / q[j])

    return run


def points():
    """Masses over all exponents, next to 1, next to the seams at sqrt(1/2) and sqrt(2), and pairs at every distance."""
    rng = np.random.default_rng(3)
    wide = 10.0 ** rng.uniform(-280, 0, 4000)
    seams = np.array([1.0, math.sqrt(0.5), math.sqrt(2), 0.5, 2.0])[:, None] * (1 + 2.0 ** -np.arange(1, 53))
    near = np.concatenate([seams.ravel(), (2 - seams / seams.max()).ravel()])
    p = np.concatenate([wide, near, rng.uniform(0, 1, 2000)])
    apart = np.concatenate([1 + 2.0 ** -rng.uniform(0.1, 50, p.size // 2), 10.0 ** rng.uniform(-5, 5, p.size)])
    q = p * apart[: p.size] ** rng.choice([-1, 1], p.size)
    return p, q


def test_logarithms_and_divergences_of_a_leaf_against_balls(leafwise):
    from flint import arb

    p, q = points()
    logs, forward, reverse = (np.empty(p.size) for _ in range(3))
    leafwise(p, q, logs, forward, reverse)
    worst = {"ln": 0.0, "forward": 0.0, "reverse": 0.0}
    with working_precision(256):
        for a, b, *found in zip(p, q, logs, forward, reverse, strict=True):
            x, y = arb(float(a)), arb(float(b))
            log = (x / y).log()
            exact = {"ln": x.log(), "forward": x * log - x + y, "reverse": x - y - y * log}
            for (name, value), got in zip(exact.items(), found, strict=True):
                if value == 0:
                    assert got == 0
                else:
                    worst[name] = max(worst[name], abs(float((arb(float(got)) - value) / value)))
    assert worst["ln"] < 6e-16
    assert worst["forward"] < 5e-15
    assert worst["reverse"] < 5e-15


def odd(mixture, shift):
    """The mixture with some of its masses made tiny, subnormal or a negative zero."""
    rows = mixture.components.copy()
    rows[0, 0] *= [1.0, 1e-250, 1e-300, 1e-320][shift % 4]
    rows[-1, -1] *= [1.0, 1e-295, 5e-324][shift % 3]
    rows[rows == 0] = -0.0 if shift % 2 else 0.0
    sums = rows.sum(axis=1)
    return None if (sums == 0).any() else Mixture.of(rows / sums[:, None], mixture.volumes)


def agree(found, expected, scale=1.0):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * scale)


def measured(p, q):
    return cross_entropy(p, q), kl_divergence(p, q), overlap(p, q, q), overlap(p, p, q)


@ordinary
@given(st.integers(2, 4).flatmap(mixtures), st.integers(0, 11), st.booleans())
def test_compiled_and_numpy_agree_on_every_kind_of_mass(mixture, shift, at_rest):
    mixture = odd(mixture, shift) or mixture
    mixture = mixture.at(0.0) if at_rest else mixture
    expected, paths = survey(mixture), path_entropies(mixture, [0.0, 1e-3, 2.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "COMPILED_FROM", 1)
        found, compiled_paths = survey(mixture), path_entropies(mixture, [0.0, 1e-3, 2.0])
        pairs = [measured(p, q) for p in mixture.components for q in mixture.components]
        brief, plain = survey(mixture, divergences=False), response(mixture)
    agree(found.cross_entropies, expected.cross_entropies)
    agree(found.chi_squares, expected.chi_squares)
    # q differs by rounding in the two, and D(P || q) by as much times sqrt(D)
    agree(found.kl_forward, expected.kl_forward, 1.0)
    agree(found.kl_reverse, expected.kl_reverse, 1.0)
    agree(found.response.overlaps, expected.response.overlaps)
    seen = 1 + min(expected.response.overlaps.max(), 1e300)
    agree(found.response.derivatives, expected.response.derivatives, seen / mixture.total)
    assert found.response.uncovered == pytest.approx(expected.response.uncovered, rel=1e-12)
    agree(compiled_paths, paths)
    agree(pairs, [measured(p, q) for p in mixture.components for q in mixture.components])
    assert brief.kl_forward is None
    assert (brief.response.derivatives == plain.derivatives).all()
    assert (brief.response.derivatives == found.response.derivatives).all()


def test_large_trees_take_the_compiled_way_and_agree_with_numpy():
    rng = np.random.default_rng(1)
    leaves = kernels.COMPILED_FROM + 321
    rows = 1 + rng.pareto(1.3, (3, leaves))
    rows[1, ::7] = 0.0
    rows[2, rng.integers(0, leaves, 50)] = 1e-300 * rows.sum()
    mixture = Mixture.of(rows / rows.sum(axis=1, keepdims=True), [10, 1, 0.5])
    found, q = survey(mixture), mixture.masses
    for i, p in enumerate(mixture.components):
        seen = p > 0
        assert found.cross_entropies[i] == pytest.approx(-(p * np.log(q)).sum(), rel=1e-13)
        assert found.kl_forward[i] == pytest.approx((p[seen] * np.log(p[seen] / q[seen])).sum(), rel=1e-12)
        assert found.kl_forward[i] == pytest.approx(kl_divergence(p, q), rel=1e-13)
        assert found.chi_squares[i] == pytest.approx(chi_square(p, q), rel=1e-12)
        assert found.response.overlaps[i] == pytest.approx(overlap(p, mixture.components[-1], q), rel=1e-12)
    assert found.kl_reverse[1] == np.inf
    assert found.kl_reverse[0] == pytest.approx((q * np.log(q / mixture.components[0])).sum(), rel=1e-11)
    assert abs(found.response.balance) < 1e-15
    assert path_entropies(mixture, [0.5])[:, 0] == pytest.approx(found.cross_entropies, rel=1e-13)


def test_the_same_bits_whatever_the_number_of_threads():
    rng = np.random.default_rng(2)
    rows = rng.exponential(size=(3, 5 * kernels.CHUNK + 77)) ** 8
    rows /= rows.sum(axis=1, keepdims=True)
    weights, steps = np.array([0.9, 0.08, 0.02]), np.linspace(0, 1, 3)
    for threads in (2, 3, 7):
        for call in (
            lambda threads: kernels.mixture_sums(rows, weights, threads=threads),
            lambda threads: kernels.pair_sums(rows[0], rows[1], threads=threads),
            lambda threads: kernels.path_sums(rows, weights[:2], steps, threads=threads),
            lambda threads: np.array(kernels.cross_sum(rows[0], rows[1], threads=threads)),
            lambda threads: np.array(kernels.overlap_sum(*rows, threads=threads)),
            lambda threads: np.array(kernels.scan(rows[0], threads=threads)),
        ):
            assert call(threads).tobytes() == call(1).tobytes()


def test_near_equal_datasets_keep_their_digits_in_large_trees():
    """D(P || Q) of P = Q (1 + e) is e^2/2 sum Q (1 - e/3 ...): rounding of a naive sum would be a hundred times as large."""
    leaves, gap = 1 << 18, 1e-9
    q = np.full(leaves, 1.0 / leaves)
    p = q * (1 + gap * np.where(np.arange(leaves) % 2, 1, -1))
    mean = float((((p - q) / q) ** 2).sum() / leaves)
    assert kl_divergence(p, q) == pytest.approx(mean / 2, rel=1e-12)
    assert abs(float((p * np.log(p / q)).sum()) - mean / 2) > 1e-2 * mean


@pytest.mark.parametrize("bad", [np.nan, -1e-300, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("place", [0, 12345, (1 << 18) - 1])
def test_large_masses_are_checked_too(bad, place):
    p = np.full(1 << 18, 2.0**-18)
    q = p.copy()
    q[place] = bad
    for call in (cross_entropy, kl_divergence, chi_square):
        if call is cross_entropy and bad == np.inf:
            continue  # weights of any size
        with pytest.raises(InputError):
            call(p, q)
    q[place] = -0.0
    assert cross_entropy(p, q) == np.inf
    with pytest.raises(InputError, match="sum to"):
        kl_divergence(p, q * 2)


def test_a_survey_needs_a_perturbation():
    with pytest.raises(InputError, match="perturbation"):
        survey(Mixture.of([[0.5, 0.5]], [1]))
