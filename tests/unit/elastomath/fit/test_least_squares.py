"""Problems of least squares side by side: each ends where scipy's ends, whatever the others do."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import least_squares as one_by_one

from elastomath.fit.least_squares import least_squares


@dataclass
class Decays:
    """y = a e^(-b x), a problem for each row of the data."""

    problem: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def residual(self, numbers):
        a, b = numbers.T[:, self.problem]
        return a * np.exp(-b * self.x) - self.y

    def keep(self, problems):
        place = np.full(self.problem.max() + 1, -1)
        place[problems] = np.arange(problems.size)
        mine = place[self.problem] >= 0
        return replace(self, problem=place[self.problem][mine], x=self.x[mine], y=self.y[mine])


def problems(count=30, readings=12):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 5, count), rng.uniform(0.1, 3, count)
    x = np.tile(np.linspace(0, 3, readings), (count, 1))
    y = a[:, None] * np.exp(-b[:, None] * x) + 0.05 * rng.standard_normal(x.shape)
    return Decays(np.repeat(np.arange(count), readings), x.ravel(), y.ravel())


def test_every_problem_ends_where_scipy_ends():
    every = problems()
    found, cost = least_squares(every, np.ones((30, 2)))
    for index in range(30):
        alone = every.keep(np.array([index]))
        told = one_by_one(
            lambda n, alone=alone: alone.residual(n[None]), [1.0, 1.0], xtol=1e-14, ftol=1e-14, gtol=1e-14
        )
        assert found[index] == pytest.approx(told.x, abs=1e-6)
        assert cost[index] == pytest.approx(2 * told.cost, rel=1e-9)
        again, _ = least_squares(alone, np.ones((1, 2)))
        assert again[0] == pytest.approx(found[index], abs=1e-9)


def test_numbers_stay_between_their_ends_and_nothing_to_fit_costs_nothing():
    every = problems()
    found, _ = least_squares(every, np.ones((30, 2)), np.array([0.0, 0.5]), np.array([3.0, 2.0]))
    assert (found >= [0.0, 0.5]).all()
    assert (found <= [3.0, 2.0]).all()
    assert (found == [3.0, 2.0]).any()

    class Nothing(Decays):
        def residual(self, numbers):
            return self.y

    _, cost = least_squares(Nothing(every.problem, every.x, every.y), np.zeros((30, 0)))
    assert cost == pytest.approx((every.y.reshape(30, -1) ** 2).sum(1))
