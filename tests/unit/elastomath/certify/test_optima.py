"""Joint optima in balls: what has no certificate is refused in one line."""

import pytest

from elastomath.certify.optima import certify_tilt
from elastomath.errors import InputError


def test_a_feature_that_is_constant_is_refused():
    with pytest.raises(InputError, match="singular"):
        certify_tilt([[1], [1], [1]], [1, 1, 1], [[2, 1, 1], [3, 1, 0], [1, 1, 2]], [10, 1], [0, 1])


@pytest.mark.parametrize(
    "data",
    [[[1, 2, 3]] * 3, [[2, 1, 1], [4, 2, 2], [6, 3, 3]], [[1, 0, 1], [2, 1, 2], [0, 1, 0]]],
    ids=["equal", "multiples", "means"],
)
def test_what_has_the_mean_features_of_the_rest_moves_nothing(data):
    """The joint optimum stays where it is, so every change is exactly 0 at any precision, and there is no ratio of two."""
    still = certify_tilt([[0], [1], [2]], [1, 1, 1], data, [10, 1], [0, 1, 2])
    changes = [*still.residual, *still.lower, *still.upper, *still.work]
    assert {(change.low, change.high, change.sign) for change in changes} == {(0.0, 0.0, 0)}
    assert still.constant == ()
    assert all(len({rate.digits for rate in row}) == 1 for row in still.rates)
