"""Joint optima in balls: what has no certificate is refused in one line."""

import pytest

from elastomath.certify.optima import certify_tilt
from elastomath.errors import InputError


def test_a_feature_that_is_constant_is_refused():
    with pytest.raises(InputError, match="singular"):
        certify_tilt([[1], [1], [1]], [1, 1, 1], [[2, 1, 1], [3, 1, 0], [1, 1, 2]], [10, 1], [0, 1])
