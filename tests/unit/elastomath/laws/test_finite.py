"""The finite law for mixtures: where a derivative changes its sign."""

import pytest

from elastomath import Mixture, sign_change

ROWS = [[0.47, 0.44, 0.09], [0.11, 0.62, 0.27], [0.27, 0.33, 0.4]]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_sign_changes_at_the_same_place_in_every_unit(unit):
    turning = sign_change(Mixture.of(ROWS, [2.0, 1.0, 0.0]), 1)
    assert turning == pytest.approx(1.96340603, rel=1e-8)
    assert sign_change(Mixture.of(ROWS, [2.0 * unit, unit, 0.0]), 1) == pytest.approx(unit * turning, rel=1e-9)
