"""Overlaps on M leaves: sampling, coarse-graining (R10), and the rates and constants of the approach to many leaves."""

import math

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.laws.response import response
from elastomath.mixtures.masses import union
from elastomath.mixtures.mixture import Mixture
from elastomath.pareto import fluctuation
from elastomath.pareto.fluctuation import leaf_limit, merge_leaves, sampled_overlaps
from elastomath.pareto.law import Pareto
from elastomath.pareto.overlaps import expected_overlaps, overlap_matrix


def test_sampled_overlaps_are_the_responses_of_the_same_masses():
    k, step, shares, leaves = 7.0, 0.3, [1.0, 2.0, 1.0], 24
    seen = sampled_overlaps(1.4, leaves, 5, k, step, shares, [1, 2, 12], seed=9)
    assert seen.leaves.tolist() == [24, 12, 2]
    masses = np.exp(np.random.default_rng(9).standard_exponential((5, 3, leaves)) / 1.4)
    masses /= masses.sum(axis=2, keepdims=True)
    for draw, parts in enumerate(masses):
        for column, factor in enumerate((1, 2, 12)):
            merged = merge_leaves(parts, factor)
            overlaps = response(
                Mixture.of([union(list(merged), shares), merged[1], merged[2]], [k, 1.0, step])
            ).overlaps
            assert seen.align[draw, column] == pytest.approx(overlaps[1], rel=1e-12)
            assert seen.perturb[draw, column] == pytest.approx(overlaps[2], rel=1e-12)


def test_blocks_do_not_show(monkeypatch):
    whole = sampled_overlaps(1.3, 64, 30, merges=[1, 8], seed=2)
    monkeypatch.setattr(fluctuation, "BLOCK", 500)
    assert (sampled_overlaps(1.3, 64, 30, merges=[1, 8], seed=2).align == whole.align).all()


def test_one_leaf_has_no_response():
    seen = sampled_overlaps(1.5, 8, 20, merges=[8])
    assert seen.align == pytest.approx(1.0)
    assert seen.perturb == pytest.approx(1.0)


def test_a_merger_of_two_leaves_raises_the_gap_in_a_third_of_the_draws():
    """Exactly 1/3 for exchangeable parts, k -> inf, whatever the law; 24% where four leaves become two (the printed 24%)."""
    for alpha in (1.2, 4.0):
        raised = float((sampled_overlaps(alpha, 2, 40_000, seed=4).align > 1).mean())
        assert abs(raised - 1 / 3) < 5 * math.sqrt(2 / 9 / 40_000)
    four = sampled_overlaps(1.2, 4, 40_000, merges=[1, 2], seed=5).align
    assert float((four[:, 1] < four[:, 0]).mean()) == pytest.approx(0.243, abs=0.012)
    many = sampled_overlaps(1.2, 1 << 12, 200, merges=[1, 2], seed=6).align
    assert (many[:, 1] > many[:, 0]).all()  # never seen where many pairs are merged at once


def test_the_printed_table_of_depths():
    """R10: E[1-A] at alpha = 1.2, 2^16 leaves; 60 draws have about twice the printed standard errors, and agree within them."""
    merges = [2 ** (16 - depth) for depth in (4, 8, 12, 16)]
    gaps = 1 - sampled_overlaps(1.2, 1 << 16, 240, merges=merges, seed=0).align
    errors = gaps.std(axis=0, ddof=1) / math.sqrt(60)
    assert (abs(gaps.mean(axis=0) - [0.033, 0.129, 0.299, 0.544]) < 3 * np.hypot(errors, errors / 2)).all()
    assert (errors > 1.5 * np.array([0.004, 0.007, 0.006, 0.004])).all()
    per_token = gaps.mean(axis=0) / [4, 8, 12, 16]
    assert (per_token <= 1 / np.array([4, 8, 12, 16])).all()
    assert (np.diff(gaps.mean(axis=0)) > 0).all()


@pytest.mark.parametrize("alpha", [1.2, 1.7, 2.6, 5.0])
@pytest.mark.parametrize(
    ("k", "step", "shares"), [(math.inf, 0.0, (1, 1, 1)), (5.0, 0.7, (1, 2, 1)), (2.0, 0.1, (1, 1))]
)
def test_the_gradient_in_the_normalisations(alpha, k, step, shares):
    """c_j by central differences of the limit, and sum_j c_j = -A, since A is homogeneous of degree -1 in 1 + delta."""
    limit = leaf_limit(alpha, k, step, shares)
    assert limit.overlap == pytest.approx(float(expected_overlaps(Pareto(alpha), k, step, shares).align))
    assert limit.gradient.sum() == pytest.approx(-limit.overlap, rel=1e-9)
    _, weights = fluctuation._weights(alpha, k, step, shares)
    parts = weights.size
    for j in range(parts):
        moved = []
        for sign in (1, -1):
            scale = np.ones(parts)
            scale[j] += sign * 1e-4
            value = overlap_matrix(Pareto(alpha), weights / scale)[0][-2, -1]
            moved.append(value * weights.sum() / (weights / scale).sum() / scale[-1] / scale[-2])
        assert limit.gradient[j] == pytest.approx((moved[0] - moved[1]) / 2e-4, abs=1e-6)


def test_three_rates_below_two():
    """alpha = 1.5: bias M^-1/2, standard deviation M^-1/4, quartiles M^-1/3, each with its constant."""
    limit = leaf_limit(1.5)
    assert (limit.bias_rate, limit.deviation_rate) == (0.5, 0.25)
    assert limit.spread_rate == pytest.approx(1 / 3)
    sizes, seen = (256, 16384), []
    for leaves, draws in zip(sizes, (30_000, 1500), strict=True):
        gap = sampled_overlaps(1.5, leaves, draws, seed=leaves).align[:, 0] - limit.overlap
        low, high = np.quantile(gap, [0.25, 0.75])
        seen.append((gap.mean(), gap.std(), high - low))
        error = gap.std() / math.sqrt(draws)
        assert abs(gap.mean() - limit.bias * leaves**-0.5) < 4 * error + 0.05 * limit.bias * leaves**-0.5
        assert gap.std() == pytest.approx(limit.deviation * leaves**-0.25, rel=0.12)
        width = np.diff(limit.quantile([0.25, 0.75], leaves))[0]
        assert high - low == pytest.approx(width, rel=0.7 * leaves ** (-1 / 6))  # the order after
    (_, deviation, width), (_, later, narrower) = seen
    exponents = np.log([deviation / later, width / narrower]) / math.log(sizes[1] / sizes[0])
    assert exponents == pytest.approx([0.25, 1 / 3], abs=0.05)
    assert exponents[1] > exponents[0] + 0.03  # not one rate for both


def test_the_limit_law_is_skewed_the_way_it_should_be():
    """alpha = 1.5: 10%, 50% and 90% of A_M - A on 2^16 leaves, against the stable law."""
    limit, leaves = leaf_limit(1.5), 1 << 16
    gap = sampled_overlaps(1.5, leaves, 500, seed=8).align[:, 0] - limit.overlap
    expected = limit.quantile([0.1, 0.5, 0.9], leaves) - limit.overlap
    assert np.quantile(gap, [0.1, 0.5, 0.9]) == pytest.approx(expected, abs=0.12 * np.ptp(expected))
    assert limit.skew < 0 < expected[1]  # a large leaf of a or t lowers A far; the median lies above


@pytest.mark.parametrize(
    ("alpha", "k", "step", "shares"), [(4.5, math.inf, 0.0, (1, 1, 1)), (4.0, 5.0, 0.7, (1, 2, 1))]
)
def test_the_delta_method_above_two(alpha, k, step, shares):
    """Bias 1/M and both widths M^-1/2, with constants."""
    limit, leaves, draws = leaf_limit(alpha, k, step, shares), 128, 30_000
    assert (limit.bias_rate, limit.deviation_rate, limit.spread_rate) == (1.0, 0.5, 0.5)
    gap = sampled_overlaps(alpha, leaves, draws, k, step, shares, seed=1).align[:, 0] - limit.overlap
    error = gap.std() / math.sqrt(draws)
    assert abs(gap.mean() - limit.bias / leaves) < 4 * error + 0.15 * abs(limit.bias) / leaves
    assert abs(limit.bias) / leaves > 5 * error  # so the sign and the size were seen
    assert gap.std() == pytest.approx(limit.deviation / math.sqrt(leaves), rel=0.06)
    assert limit.quantile(0.5, 100.0) == pytest.approx(limit.overlap)


@pytest.mark.parametrize(
    "call",
    [
        lambda: leaf_limit(2.0),
        lambda: leaf_limit(1.0),
        lambda: leaf_limit([1.5, 1.6]),
        lambda: leaf_limit(1.5, 0.0),
        lambda: leaf_limit(1.5, 1.0, -1.0),
        lambda: leaf_limit(1.5, 1.0, 0.0, (1,)),
        lambda: sampled_overlaps(1.5, 0, 1),
        lambda: sampled_overlaps(1.5, 4, 0),
        lambda: sampled_overlaps(1.5, 4, 1, merges=[3]),
        lambda: sampled_overlaps(1.5, 4, 1, merges=[]),
        lambda: sampled_overlaps(1.5, 4, 1, merges=[0]),
        lambda: sampled_overlaps(0.9, 4, 1),
        lambda: sampled_overlaps(1.5, 4, 1, shares=(1, -1)),
        lambda: merge_leaves([0.5, 0.5, 0.0], 2),
        lambda: merge_leaves(1.0, 1),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
