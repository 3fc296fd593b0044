"""Mixtures: q, N, their entropies, and the volumes that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, Mixture, kl_divergence
from elastomath.mixture import as_volumes
from elastomath.strategies import mixtures

ROWS = [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]


@given(mixtures())
def test_the_joint_masses_are_the_weighted_mean(mixture):
    q = mixture.masses
    assert q.sum() == pytest.approx(1, abs=1e-12)
    for leaf in range(mixture.leaves):
        weighted = sum(w * row[leaf] for w, row in zip(mixture.volumes, mixture.components, strict=True))
        assert q[leaf] == pytest.approx(weighted / mixture.total, rel=1e-12)


@given(mixtures())
def test_the_joint_masses_are_the_best_code_for_the_mixture(mixture):
    """q minimises sum w_i H(P_i, q): the compensation identity sum w_i D(P_i || r) = sum w_i D(P_i || q) + N D(q || r)."""
    q, w = mixture.masses, mixture.volumes
    r = 0.5 * q + 0.5 / mixture.leaves
    cost = sum(v * kl_divergence(row, r) for v, row in zip(w, mixture.components, strict=True))
    least = float(w @ mixture.kl_forward())
    assert cost == pytest.approx(least + mixture.total * kl_divergence(q, r), rel=1e-9, abs=1e-9 * mixture.total)


@given(mixtures(), st.floats(0.1, 10))
def test_only_the_ratios_of_volumes_matter(mixture, unit):
    other = Mixture.of(mixture.components, mixture.volumes * unit)
    np.testing.assert_allclose(other.masses, mixture.masses, rtol=1e-12)


@given(mixtures())
def test_forward_divergence_is_what_the_code_adds_to_the_entropy(mixture):
    np.testing.assert_allclose(
        mixture.cross_entropies(), mixture.entropies() + mixture.kl_forward(), rtol=1e-10, atol=1e-12
    )
    share = mixture.volumes / mixture.total
    # a string of dataset i costs at most -ln(w_i / N) more than under its own code
    assert (mixture.kl_forward() <= -np.log(share) + 1e-12).all()


def test_the_bound_of_the_share_is_reached_by_disjoint_datasets():
    mixture = Mixture.of([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [10, 1, 0.5])
    np.testing.assert_allclose(mixture.kl_forward(), -np.log(mixture.volumes / 11.5), rtol=1e-14)
    assert np.isinf(mixture.kl_reverse()).all()


def test_the_perturbation_alone_may_be_zero():
    mixture = Mixture.of(ROWS, [10, 1, 0])
    assert mixture.at(0.5).volumes.tolist() == [10, 1, 0.5]
    assert mixture.at(0.0).total == 11
    assert mixture.volumes.tolist() == [10, 1, 0]
    for bad in ([0, 1, 1], [10, 0, 1], [10, 1, -1e-9]):
        with pytest.raises(InputError, match="volume"):
            Mixture.of(ROWS, bad)
    with pytest.raises(InputError, match="volume 0 is 0"):
        Mixture.of(ROWS[:1], [0])
    with pytest.raises(InputError, match="volume 2 is nan"):
        mixture.at(float("nan"))


@pytest.mark.parametrize(
    ("rows", "volumes", "says"),
    [
        ([], [], "no dataset"),
        (ROWS, [1, 1], "2 volumes for 3 datasets"),
        (ROWS, [1, np.inf, 1], "volume 1 is inf"),
        (ROWS, ["a", 1, 1], "not numbers"),
        (ROWS, [1e308, 1e308, 1e308], "no finite sum"),
        ([[1.0], [0.5, 0.5]], [1, 1], r"\[1, 2\] leaves"),
        ([[0.5, 0.5], [0.5, 0.6]], [1, 1], "dataset 1"),
    ],
)
def test_bad_mixtures_are_refused(rows, volumes, says):
    with pytest.raises(InputError, match=says):
        Mixture.of(rows, volumes)


def test_volumes_are_a_vector():
    with pytest.raises(InputError, match="volumes"):
        as_volumes([[1, 2]], 2)
