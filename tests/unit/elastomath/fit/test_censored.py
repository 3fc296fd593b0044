"""Regression of volumes that lie between two readings or beyond the last."""

from __future__ import annotations

import numpy as np
import pytest

from elastomath.errors import InputError
from elastomath.fit.censored import volume_regression

GRID = np.array([0.0, 200.0, 500.0, 1000.0, 2000.0, np.inf])


def _brackets(volumes):
    place = np.searchsorted(GRID, volumes)
    return GRID[place - 1], GRID[place]


def _sample(seed, slope=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 2))
    cluster = np.repeat(np.arange(20), 3)
    log = 6 + slope * x[:, 0] + 0.4 * rng.normal(size=60) + 0.3 * rng.normal(size=20)[cluster]
    return x, np.exp(log), cluster


def test_slopes_come_back_from_readings_on_a_grid_and_the_wrong_one_is_not_seen():
    told = [volume_regression(*_brackets(volumes), x, cluster) for x, volumes, cluster in map(_sample, range(5))]
    assert np.mean([fit.slopes[0].estimate for fit in told]) == pytest.approx(1.0, abs=0.1)
    assert sum(fit.slopes[0].low < 1 < fit.slopes[0].high for fit in told) >= 4
    assert sum(fit.slopes[1].low < 0 < fit.slopes[1].high for fit in told) >= 4
    assert all(fit.reached + fit.beyond == 60 and fit.clusters == 20 for fit in told)
    # 2.98 standard errors of 19 degrees of freedom: what is seen in 80% of draws
    half = (told[0].slopes[0].high - told[0].slopes[0].low) / 2
    assert told[0].visible[0] / half == pytest.approx((2.093 + 0.861) / 2.093, rel=1e-3)


def test_what_was_not_reached_is_no_reading():
    """Taking the last reading for the volume pulls the slope to 0; the regression does not."""
    x, volumes, cluster = _sample(3, slope=2.0)
    low, high = _brackets(volumes)
    assert np.isinf(high).sum() > 8
    naive = np.polyfit(x[:, 0], np.log(np.where(np.isinf(high), low, np.sqrt(np.maximum(low, 60) * high))), 1)[0]
    assert naive < 1.6
    assert volume_regression(low, high, x, cluster).slopes[0].estimate == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(
    ("low", "high", "columns", "message"),
    [
        ([1.0] * 8, [1.0] * 8, [[float(i)] for i in range(8)], "do not bracket"),
        ([1.0] * 8, [np.inf] * 8, [[float(i)] for i in range(8)], "no volume was reached"),
        ([1.0] * 8, [2.0] * 8, [[1.0]] * 8, "not independent"),
        ([1.0] * 3, [2.0] * 3, [[1.0], [2.0], [4.0]], "3 clusters"),
    ],
)
def test_what_cannot_be_told_is_refused(low, high, columns, message):
    with pytest.raises(InputError, match=message):
        volume_regression(low, high, columns)
