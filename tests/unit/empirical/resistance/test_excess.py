"""Excess code lengths (F1): the split of a loss into level and divergence, its errors, and verdicts that can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath.errors import InputError
from elastomath.interval import Estimate
from elastomath.mixtures.divergence import kl_divergence
from elastomath.units import NATS_PER_BIT
from empirical.resistance.excess import (
    Lengths,
    Pair,
    Term,
    combination,
    over_seeds,
    pair_estimates,
    pooled_gaps,
    verdict,
)


def random_lengths(rng, count=40, rate=2.0) -> Lengths:
    tokens = rng.integers(3, 25, count)
    return Lengths(tokens * rate + rng.standard_normal(count), tokens)


def random_pair(seed: int, near=1, far=2) -> Pair:
    rng = np.random.default_rng(seed)
    return Pair(near, far, *(random_lengths(rng, rate=rng.uniform(1, 3)) for _ in range(6)))


@given(st.integers(0, 10**6))
def test_the_gap_of_losses_is_level_plus_excess_exactly(seed):
    """L(theta_kl; D_l) - L(theta_lk; D_k) = [h_l - h_k] + [excess_forward - excess_inverse]."""
    found = pair_estimates(random_pair(seed))
    total = found["gap_level"].estimate + found["gap_excess_after"].estimate
    assert found["gap_held_out_loss"].estimate == pytest.approx(total, abs=1e-12)
    both = found["excess_after_forward"].estimate - found["excess_after_inverse"].estimate
    assert found["gap_excess_after"].estimate == pytest.approx(both, abs=1e-12)
    assert found["gap_level"].estimate == pytest.approx(
        found["entropy_far"].estimate - found["entropy_near"].estimate, abs=1e-12
    )


def drawn_pair(rng, laws, count=4000, tokens=12) -> Pair:
    """Documents of i.i.d. tokens from p_near and p_far, coded by both laws before, and by halves of both after."""
    near, far = (np.asarray(law) for law in laws)
    halves = (near + far) / 2
    samples = [rng.choice(near.size, (count, tokens), p=law) for law in (near, far)]

    def lengths(law, data):
        return Lengths(-np.log(law)[data].sum(1), np.full(count, tokens))

    return Pair(
        1,
        2,
        own_near=lengths(near, samples[0]),
        own_far=lengths(far, samples[1]),
        before_inverse=lengths(far, samples[0]),
        before_forward=lengths(near, samples[1]),
        after_inverse=lengths(halves, samples[0]),
        after_forward=lengths(halves, samples[1]),
    )


LAWS = ([0.7, 0.2, 0.1], [0.2, 0.3, 0.5])


def test_excess_estimates_the_divergence_in_its_direction():
    """E[L(theta; D_k) - L(theta_k; D_k)] = D(p_k || p_theta); the other direction of the divergence is not it."""
    near, far = (np.array(law) for law in LAWS)
    found = pair_estimates(drawn_pair(np.random.default_rng(0), LAWS))
    for name, one, other in (
        ("excess_before_inverse", near, far),
        ("excess_before_forward", far, near),
        ("excess_after_inverse", near, (near + far) / 2),
        ("excess_after_forward", far, (near + far) / 2),
    ):
        truth, wrong = kl_divergence(one, other) / NATS_PER_BIT, kl_divergence(other, one) / NATS_PER_BIT
        estimate = found[name]
        assert abs(estimate.estimate - truth) < 4 * estimate.se
        assert abs(truth - wrong) > 6 * estimate.se  # the mutant with its arguments exchanged is told apart
        assert abs(estimate.estimate - wrong) > 4 * estimate.se


def test_before_training_the_gap_vanishes_to_third_order():
    """D(q||p) - D(p||q) at q = p(1 + h e): a half of h leaves an eighth."""
    base, direction = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, -0.9])
    direction -= base @ direction

    def asymmetry(h):
        q = base * (1 + h * direction)
        return kl_divergence(q, base) - kl_divergence(base, q)

    assert asymmetry(0.1) / asymmetry(0.05) == pytest.approx(8, rel=0.05)


def test_errors_are_those_of_repeated_draws():
    values, errors = [], []
    for seed in range(200):
        estimate = pair_estimates(drawn_pair(np.random.default_rng(seed), LAWS, count=100))["gap_excess_after"]
        values.append(estimate.estimate)
        errors.append(estimate.se)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.15)


def test_pairing_removes_what_documents_share():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(50) * 10
    tokens = np.full(50, 8.0)
    one, other = 20 + shared, 18 + shared + 0.1 * rng.standard_normal(50)
    paired = combination([Term(1, one, tokens), Term(-1, other, tokens)]).se
    apart = np.hypot(combination([Term(1, one, tokens)]).se, combination([Term(1, other, tokens)]).se)
    assert paired < apart / 20


def test_a_lower_entropy_of_the_target_is_not_resistance():
    """Both directions reach their targets equally well; only h_l > h_k: losses say F1, excess does not."""
    pairs = []
    for seed in range(6):
        pair = random_pair(seed)
        tokens = np.asarray(pair.own_near.tokens, dtype=float)
        rng = np.random.default_rng(seed + 100)

        def lengths(level, tokens=tokens, rng=rng):
            return Lengths(tokens * level + 0.01 * rng.standard_normal(tokens.size), tokens)

        same = {"own_near": lengths(1.0), "own_far": lengths(1.2)}
        same |= {"before_inverse": lengths(1.4), "before_forward": lengths(1.6)}
        same |= {"after_inverse": lengths(1.1), "after_forward": lengths(1.3)}
        pairs.append([replace(pair, **same)])
    pooled = pooled_gaps(pairs)
    assert verdict(pooled["held_out_loss"]) == "supported"
    assert verdict(pooled["level"]) == "supported"
    assert verdict(pooled["excess_after"]) == "not decided"
    assert abs(pooled["excess_after"].estimate) < 1e-3


def test_the_same_target_is_taken_from_the_right_runs():
    pairs = [random_pair(1, 1, 2), random_pair(2, 1, 3), random_pair(3, 2, 3)]
    up, down = pair_estimates(pairs[0])["loss_forward"], pair_estimates(pairs[2])["loss_inverse"]
    assert pooled_gaps([pairs])["same_target"].estimate == pytest.approx(up.estimate - down.estimate)
    assert "same_target" not in pooled_gaps([pairs[:1]])


@pytest.mark.parametrize(
    ("values", "se", "word"),
    [
        ([1.0, 1.1, 0.9], 0.01, "supported"),
        ([-1.0, -1.1, -0.9], 0.01, "opposed"),
        ([1.0, 3.0], 0.1, "supported for these weights, seeds too few to tell"),
        ([-1.0], 0.1, "opposed for these weights, seeds too few to tell"),
        ([1.0], 1.0, "not decided"),
    ],
)
def test_verdicts_name_the_interval_that_decides(values, se, word):
    assert verdict(over_seeds([Estimate(value, se) for value in values])) == word


def test_a_single_seed_leaves_the_interval_over_seeds_open():
    pooled = over_seeds([Estimate(1.0, 0.1)])
    assert pooled.over_seeds.low is None
    assert pooled.over_documents.high == pytest.approx(1.196, abs=1e-3)


@pytest.mark.parametrize(
    "terms",
    [
        [],
        [Term(1, [1.0], [1.0])],
        [Term(1, [1.0, 2.0], [1.0, 1.0]), Term(-1, [1.0], [1.0])],
        [Term(1, [1.0, 2.0], [0.0, 0.0])],
    ],
)
def test_terms_that_cannot_be_paired_are_refused(terms):
    with pytest.raises(InputError):
        combination(terms)
