"""Bad masses and volumes: one line that says so, never a RuntimeWarning, never a number."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError, Mixture
from elastomath.certify.response import certify_law
from elastomath.laws.finite import finite_law
from elastomath.laws.response import response
from elastomath.mixtures.masses import as_masses, normalise, union
from elastomath.testing.strategies import exact_masses, masses, volumes
from tests.examples import examples
from tests.refusals import bad_masses, bad_volumes

common = examples(80)
MOST = np.finfo(np.float64).max
ROWS = [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]


def refused(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def weighable(values):
    """Whether non-negative finite numbers, not all 0, in one dimension: then they are weights, if no masses."""
    if isinstance(values, np.ndarray) or not isinstance(values, list) or not values:
        return False
    return all(type(v) in (int, float) and 0 <= v <= MOST for v in values) and any(values)


@common
@given(bad_masses())
def test_bad_masses_are_refused_wherever_masses_go_in(values):
    refused(lambda: as_masses(values))
    refused(lambda: union([[1.0], values]))
    refused(lambda: Mixture.of([values, values, values], [10, 1, 1]))
    refused(lambda: response(Mixture.of([[1.0], values], [1, 1])))


@common
@given(bad_masses())
def test_weights_are_refused_or_normalised_exactly(values):
    if not weighable(values):
        refused(lambda: normalise(values))
        return
    found, total = normalise(values), sum(map(Fraction, values))
    exact = [float(Fraction(value) / total) for value in values]
    np.testing.assert_allclose(found, exact, rtol=4e-16 * len(exact), atol=5e-324)


@common
@given(bad_volumes())
def test_bad_volumes_are_refused(values):
    refused(lambda: Mixture.of(ROWS, values))


@common
@given(bad_volumes(2))
def test_bad_shares_and_volumes_of_a_law(values):
    # shares may be 0 or left out, but not NaN, infinite, negative, or of another number
    plain = isinstance(values, list) and len(values) == 2 and all(type(v) is float for v in values)
    if values is not None and not (plain and all(0 <= v < np.inf for v in values)):
        refused(lambda: union([[1.0, 0.0], [0.0, 1.0]], values))


@common
@given(st.lists(exact_masses(3), min_size=3, max_size=3), st.integers(0, 2), st.integers(0, 2), st.data())
def test_the_certified_law_refuses_what_is_no_number(rows, dataset, leaf, data):
    spoilt = [list(row) for row in rows]
    spoilt[dataset][leaf] = data.draw(st.sampled_from([float("nan"), float("inf"), -1, None, 1j, "x", [1], b"1"]))
    refused(lambda: certify_law(spoilt, [1, 1, 1]))
    weights = [1, 1, 1]
    weights[dataset] = data.draw(st.sampled_from([float("nan"), -1, float("inf"), None, 1j, "x"]))
    refused(lambda: certify_law(rows, weights))
    refused(lambda: certify_law(rows, [1, 1]))


@common
@given(masses(positive=True), volumes(2), st.floats(0.1, 10))
def test_good_ones_are_kept(row, weights, scale):
    np.testing.assert_allclose(as_masses(row), row, rtol=1e-15)
    np.testing.assert_allclose(normalise(row * scale), row, rtol=1e-14)
    np.testing.assert_allclose(union([row, row], weights), row, rtol=1e-14)


@pytest.mark.parametrize(
    "bad",
    [
        ([0, 2, 1], [1, 1], np.ones((3, 3))),
        ([1, 2], [1, 1], np.ones((3, 2))),
        ([], [1, 1], np.ones((3, 0))),
        ([0, 1], [1], np.ones((3, 2))),
        ([0, 1], [1, 1], np.ones(3)),
    ],
)
def test_the_finite_law_refuses_shapes_and_steps(bad):
    refused(lambda: finite_law(*bad))
