"""Leaf masses: what is accepted, what is refused, unions and the Pareto law."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath import InputError, as_masses, normalise, pareto_masses, union


def test_rounding_is_mended_and_a_wrong_sum_is_not():
    third = np.array([0.1] * 10)
    assert abs(as_masses(third).sum() - 1) < 1e-15
    assert abs(as_masses([0.5, 0.5 + 9e-10]).sum() - 1) < 1e-15
    with pytest.raises(InputError, match=r"sum to 1\.000000002"):
        as_masses([0.5, 0.5 + 2e-9])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([np.nan, 1], "leaf mass 0 is nan"),
        ([1, np.inf], "leaf mass 1 is inf"),
        ([1.5, -0.5], "leaf mass 1 is -0.5"),
        ([], "shape"),
        (1.0, "shape"),
        ([[0.5, 0.5]], "shape"),
        ([[1], [1, 2]], "not numbers"),
        (["a"], "not numbers"),
        ([0.5 + 0j, 0.5], "not numbers"),
        (np.array([1j, 1]), "not numbers"),
        ([1e308, 1e308], "sum to inf"),
        ([0, 0], "sum to 0"),
    ],
)
def test_bad_masses_are_refused_with_the_leaf(values, says):
    with pytest.raises(InputError, match=says) as caught:
        as_masses(values, where="a.npy")
    assert "(a.npy)" in str(caught.value)


@pytest.mark.parametrize("counts", [[[1, 1], [1, 1]], [], [[]], 1.0])
def test_counts_are_one_row(counts):
    with pytest.raises(InputError, match="shape"):
        normalise(counts)


def test_counts_of_any_size_become_masses():
    np.testing.assert_array_equal(normalise([1e308, 1e308]), [0.5, 0.5])
    np.testing.assert_array_equal(normalise([5e-324, 5e-324]), [0.5, 0.5])
    np.testing.assert_array_equal(normalise([3, 0, 1]), [0.75, 0, 0.25])
    for bad in ([0, 0], [-1, 2], [np.nan]):
        with pytest.raises(InputError):
            normalise(bad)


def test_the_input_is_left_as_it_was():
    given = np.array([0.25, 0.75])
    as_masses(given)[0] = 7
    normalise(given)[0] = 7
    assert given.tolist() == [0.25, 0.75]


def test_a_union_is_the_weighted_mean():
    np.testing.assert_allclose(union([[1, 0], [0, 1]], [3, 1]), [0.75, 0.25])
    np.testing.assert_allclose(union([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), [1 / 3] * 3)
    for parts, shares, says in (
        ([], None, "no parts"),
        ([[1], [0.5, 0.5]], None, "leaves"),
        ([[1, 0], [0, 1]], [1], "1 shares for 2 parts"),
        ([[1, 0], [0, 1]], [-1, 2], "shares"),
        ([[1, 0], [0.5, 0.6]], None, "part 1"),
    ):
        with pytest.raises(InputError, match=says):
            union(parts, shares)


def test_pareto_masses_follow_their_law():
    """The weights before normalisation have Pr[Y > y] = y^-alpha: Hill's estimate at the true minimum recovers alpha."""
    alpha, leaves = 2.5, 200_000
    drawn = pareto_masses(alpha, leaves, seed=3)
    hill = leaves / np.log(drawn / drawn.min()).sum()
    assert abs(hill - alpha) < 5 * alpha / np.sqrt(leaves)
    median = np.median(drawn / drawn.min())
    assert abs(median - 2 ** (1 / alpha)) < 0.01
    np.testing.assert_array_equal(drawn, pareto_masses(alpha, leaves, seed=3))
    assert (drawn != pareto_masses(alpha, leaves, seed=4)).any()


@pytest.mark.parametrize("alpha", [1.0, 0.5, -2, np.nan, np.inf])
def test_a_tail_without_a_mean_is_refused(alpha):
    with pytest.raises(InputError, match="alpha has to be finite and > 1"):
        pareto_masses(alpha, 4)


def test_no_leaves_are_refused():
    with pytest.raises(InputError, match=">= 1"):
        pareto_masses(2, 0)
