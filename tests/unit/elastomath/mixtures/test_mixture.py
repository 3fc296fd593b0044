"""Mixtures: q, N, their entropies, and the volumes that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, Mixture, kl_divergence
from elastomath.laws.response import response, response_matrix
from elastomath.mixtures.mixture import as_mixture, as_volumes
from elastomath.rates.rates import normalised_rates, rates
from elastomath.testing.strategies import mixtures

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


def test_an_array_that_needs_nothing_is_not_copied():
    rows = np.array(ROWS)
    assert np.shares_memory(Mixture.of(rows, [10, 1, 1]).components, rows)
    for other in (rows * (1 + 1e-12), rows[:, ::-1], ROWS, rows.astype(np.float32)):
        assert not np.shares_memory(Mixture.of(other, [10, 1, 1]).components, rows)
        assert Mixture.of(other, [10, 1, 1]).components.flags.c_contiguous


# --- rates ----------------------------------------------------------------------------------------------------------


@given(mixtures())
def test_normalised_rates_are_minus_the_mean_of_y_log_ybar(mixture):
    """Section 1: with X = Y/M, E[Y] = 1 over leaves, d gamma_i - ln M = -E[Y_i ln Ybar]."""
    y = mixture.leaves * mixture.components
    joint = mixture.volumes @ y / mixture.total
    np.testing.assert_allclose(y.mean(axis=1), 1, rtol=1e-12)
    seen = joint > 0
    expected = -(y[:, seen] * np.log(joint[seen])).sum(axis=1) / mixture.leaves
    np.testing.assert_allclose(normalised_rates(mixture), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(normalised_rates(mixture), rates(mixture) - np.log(mixture.leaves), atol=1e-13)
    flat = np.full(mixture.leaves, 1 / mixture.leaves)
    floor = [-kl_divergence(row, flat) for row in mixture.components]
    assert (normalised_rates(mixture) >= np.array(floor) - 1e-12).all()


@given(mixtures(), st.lists(st.integers(1, 9), min_size=10, max_size=10))
def test_rates_per_symbol_and_pooled(mixture, lengths):
    """E[L/s] is E[L]/s where s is constant; normalisation takes ln M / s from each leaf."""
    spelled = np.array(lengths[: mixture.leaves], dtype=float)
    constant = np.full(mixture.leaves, 3.0)
    np.testing.assert_allclose(rates(mixture, constant), mixture.cross_entropies() / 3, rtol=1e-12)
    shift = np.log(mixture.leaves) * (mixture.components @ (1 / spelled))
    np.testing.assert_allclose(
        normalised_rates(mixture, spelled), rates(mixture, spelled) - shift, rtol=1e-11, atol=1e-12
    )


@given(mixtures(coverage=True), st.lists(st.integers(1, 9), min_size=10, max_size=10))
def test_the_balance_holds_for_pooled_rates_with_volumes_in_symbols(mixture, lengths):
    """R2 with W_i = w_i E_i[s]: sum_i W_i d(H_i/E_i[s])/dl = sum_i w_i dH_i/dl = 0."""
    spelled = np.array(lengths[: mixture.leaves], dtype=float)
    symbols = mixture.components @ spelled
    per_symbol = response(mixture).derivatives / symbols
    size = np.abs(mixture.volumes * response(mixture).derivatives).sum() + 1e-15
    assert abs((mixture.volumes * symbols) @ per_symbol) <= 1e-12 * size + 1e-14


@pytest.mark.parametrize("bad", [[1, 1], [1, 1, 0], [1, 1, -1], [1, 1, np.nan], [1, 1, np.inf], ["a", 1, 1], 3.0])
def test_symbols_that_cannot_be_are_refused(bad):
    mixture = Mixture.of(ROWS, [10, 1, 1])
    for call in (rates, normalised_rates):
        with pytest.raises(InputError):
            call(mixture, bad)


# --- the response to any dataset ------------------------------------------------------------------------------------


@given(st.integers(2, 5).flatmap(mixtures), st.booleans())
def test_the_response_matrix_is_symmetric_negative_and_balanced(mixture, at_rest):
    """R = -G/N: reciprocity dH_i/dw_j = dH_j/dw_i, v'Rv <= 0, R w = 0 (R2), and its last column is R1."""
    mixture = mixture.at(0.0) if at_rest else mixture
    matrix, seen = response_matrix(mixture), response(mixture)
    scale = (1 + mixture.total / mixture.volumes[mixture.volumes > 0].min()) / mixture.total
    rounding = 1e-13 * (1 + seen.overlaps.max()) / mixture.total
    np.testing.assert_allclose(matrix[:, -1], seen.derivatives, rtol=1e-9, atol=rounding)
    assert (matrix == matrix.T).all()
    held = mixture.volumes > 0
    inner, weights = matrix[np.ix_(held, held)], mixture.volumes[held]
    assert np.linalg.eigvalsh(inner).max() <= 1e-12 * scale
    assert np.abs(inner @ weights).max() <= 1e-12  # nats, each term at most 1


def test_the_response_matrix_is_the_derivative_of_the_rates():
    mixture = Mixture.of(ROWS, [10, 1, 0.5])
    for j in range(3):
        step = np.zeros(3)
        step[j] = 1e-6
        up, down = (Mixture.of(ROWS, mixture.volumes + sign * step) for sign in (1, -1))
        slope = (up.cross_entropies() - down.cross_entropies()) / 2e-6
        np.testing.assert_allclose(response_matrix(mixture)[:, j], slope, atol=1e-9)


def test_reciprocity_is_no_accident_of_equal_volumes():
    """The balance alone would allow an asymmetric matrix; a matrix with w_i in place of 1/N is caught."""
    matrix = response_matrix(Mixture.of([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.5, 0.2]], [10, 1, 0.5]))
    assert not np.allclose(matrix * [10, 1, 0.5], (matrix * [10, 1, 0.5]).T)
    assert np.allclose(matrix, matrix.T, rtol=1e-14)


def test_one_dataset_is_a_mixture_unless_two_are_asked_for():
    alone = Mixture.of([[0.5, 0.5]], [1.0])
    assert as_mixture(alone, "here") is alone
    with pytest.raises(InputError, match="a mixture of 1 dataset"):
        as_mixture(alone, "here", least=2)
