"""R13: rebound in joint compression, where its condition turns, and what it makes of Table 3."""

import dataclasses
import math

import numpy as np
import pytest

from elastomath.derivations import derive, rebound
from elastomath.derivations.words import DerivationError
from elastomath.errors import InputError
from elastomath.laws.rebound import (
    Scores,
    divergence_return_volume,
    falls_faster,
    faster_below,
    return_volume,
    score,
    score_slope,
)

FILMS = Scores(0.3, 0.9, 0.1)
PARTS = [[0.4, 0.3, 0.3], [0.6, 0.2, 0.2], [0.15, 0.43, 0.42]]
TABLE_3 = {  # safe examples, and the unsafe ones that bring the KL from the base below 0.01 (Ji et al., Table 3)
    "Llama2-7B": ([1000, 2000, 5000, 10000], [961, 844, 801, 729]),
    "Gemma-2B": ([1000, 2000, 5000, 10000], [923, 853, 709, 598]),
}


def test_the_score_is_the_average():
    assert score(FILMS, 2, 3, 5) == pytest.approx((2 * 0.3 + 3 * 0.9 + 5 * 0.1) / 10, rel=1e-15)
    step = 1e-4
    slope = (score(FILMS, 20, 3, 5 + step) - score(FILMS, 20, 3, 5 - step)) / (2 * step)
    assert score_slope(FILMS, 20, 3, 5) == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("targets", [(0.3, 0.9, 0.1), (0.7, 0.1, 0.9), (0.5, 1.0, 0.0)])
def test_the_fall_is_fastest_at_the_turn(targets):
    scores = Scores(*targets)
    turn = float(faster_below(scores, 100.0, 30.0))
    grid = turn + np.array([-1.0, 0.0, 1.0])
    speed = np.abs(score_slope(scores, 100.0, grid, 30.0))
    assert speed[1] > max(speed[0], speed[2])
    assert falls_faster(scores, 100.0, grid[0], grid[1], 30.0)
    assert not falls_faster(scores, 100.0, grid[1], grid[2], 30.0)


def test_the_finite_comparison_is_tight():
    k, less = 100.0, 10.0
    pole = k * (0.9 - 0.3) / 0.8
    other = 1 / (1 / pole - 1 / (k + less)) - k  # where c (1/N_1 + 1/N_2) = 1
    speeds = np.abs(score_slope(FILMS, k, np.array([less, other]), 0.0))
    assert speeds[0] == pytest.approx(speeds[1], rel=1e-12)
    assert falls_faster(FILMS, k, less, other * (1 - 1e-9))
    assert not falls_faster(FILMS, k, less, other * (1 + 1e-9))


def test_a_base_in_the_middle_never_shows_more_aligned_faster_at_first():
    assert faster_below(Scores(0.5, 0.9, 0.1), 1e6, 0.0) == pytest.approx(0, abs=1e-9)
    assert not falls_faster(Scores(0.5, 0.9, 0.1), 1e6, 1e3, 1e4)


def test_volume_to_return():
    volumes = return_volume(FILMS, [10, 100])
    assert volumes == pytest.approx([30, 300], rel=1e-14)
    for k in (1.0, 1e6):
        assert score(FILMS, k, 100, 300) == pytest.approx(0.3, abs=1e-14)
    assert FILMS.asymmetry == pytest.approx(3)


def test_a_tolerance_makes_the_exponent_larger_never_smaller():
    grid = np.geomspace(10, 1e5, 30)
    for tol in (0.0, 0.01, 0.1, 0.5):
        volumes = return_volume(FILMS, grid, tol, 1000.0)
        seen = volumes > 0
        exponents = np.diff(np.log(volumes[seen])) / np.diff(np.log(grid[seen]))
        assert np.all(exponents >= 1 - 1e-12)
        assert (exponents > 1 + 1e-6).any() == (tol > 0)
        at = score(FILMS, 1000.0, grid[seen], volumes[seen])
        assert at == pytest.approx(np.full(at.size, 0.3 + tol), rel=1e-12)
    assert return_volume(FILMS, 1e9, 0.7, 1.0) == 0


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("tolerance", [0.001, 0.01])
def test_a_divergence_tolerance_does_the_same(direction, tolerance):
    grid = [1000, 2000, 5000, 10000]
    volumes = np.array([divergence_return_volume(PARTS, 5000, n, tolerance, direction) for n in grid])
    assert np.all(np.diff(volumes / grid) >= 0)
    assert np.all(volumes[2:] > 0)
    for n, m in zip(grid, volumes, strict=True):
        if 0 < m < math.inf:
            q = np.array([5000, n, m]) @ np.array(PARTS) / (5000 + n + m)
            base = np.array(PARTS[0])
            pair = (base, q) if direction == "forward" else (q, base)
            assert (pair[0] * np.log(pair[0] / pair[1])).sum() == pytest.approx(tolerance, rel=1e-8)


def test_a_tolerance_that_is_never_met():
    assert divergence_return_volume([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], 1, 50, 1e-3) == math.inf
    assert divergence_return_volume(PARTS, 1e6, 1, 0.01) == 0


@pytest.mark.parametrize("model", TABLE_3)
def test_table_3_is_not_joint_compression(model):
    safe, unsafe = (np.array(column, dtype=float) for column in TABLE_3[model])
    assert np.all(np.diff(unsafe) < 0)  # m* falls with n ...
    assert np.all(np.diff(unsafe / safe) < 0)  # ... where m*/n may not: ten times the safe data need at least ten times
    least = unsafe[0] * safe / safe[0]
    assert np.all(unsafe[1:] < least[1:])
    assert least[-1] / unsafe[-1] > 13
    scores = Scores(0.5, 1.0, 0.5 - 0.5 * safe[0] / unsafe[0])  # the law that has the first row right
    assert return_volume(scores, safe) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Scores(0.5, 0.5, 0.1),
        lambda: Scores(0.5, 0.9, 0.6),
        lambda: Scores(math.nan, 0.9, 0.1),
        lambda: score(FILMS, 0, 1, 1),
        lambda: score(FILMS, 1, -1, 1),
        lambda: score(FILMS, 1, 1, math.inf),
        lambda: falls_faster(FILMS, 1.0, 2.0, 1.0),
        lambda: return_volume(FILMS, 1.0, 0.1),
        lambda: return_volume(FILMS, 1.0, -0.1, 1.0),
        lambda: divergence_return_volume(PARTS, 1, 1, 0.0),
        lambda: divergence_return_volume(PARTS, 1, 1, 0.1, "sideways"),
        lambda: divergence_return_volume(PARTS[:2], 1, 1, 0.1),
    ],
)
def test_what_cannot_be_used_is_refused(broken):
    with pytest.raises(InputError):
        broken()


def test_another_score_breaks_the_derivation(monkeypatch):
    monkeypatch.setattr(rebound, "score", lambda k, n, m, base, high, low: (k * base + n * high + m * low) / (k + n))
    with pytest.raises(DerivationError):
        rebound.BUILDERS["R13"]()


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6, 7, 9, 16, 18])
def test_a_factor_that_is_off_cannot_be_derived(number):
    step = derive("R13").steps[number - 1]
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs * 1.01))


@pytest.mark.parametrize("number", [14, 15])
def test_a_larger_pull_towards_the_base_cannot_be_derived(number):
    step = derive("R13").steps[number - 1]
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs * 0.99, step.relation, step.rhs))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-12, 1e-20, 1e-22])
def test_a_return_that_takes_nearly_all_the_data_keeps_its_digits(direction, tolerance):
    """Negative data equal to the base: D falls to 0 like (N_0/m)^2, and the share of m at the crossing rounds to 1."""
    import mpmath

    parts = [[0.5, 0.25, 0.25], [0.75, 0.125, 0.125], [0.5, 0.25, 0.25]]
    seen = divergence_return_volume(parts, 1.0, 1.0, tolerance, direction)
    with mpmath.workdps(60):
        base, positive = ([mpmath.mpf(p) for p in row] for row in parts[:2])
        q = [(b + p + mpmath.mpf(seen) * b) / (2 + mpmath.mpf(seen)) for b, p in zip(base, positive, strict=True)]
        pair = (base, q) if direction == "forward" else (q, base)
        off = sum(a * mpmath.log(a / b) - a + b for a, b in zip(*pair, strict=True)) / tolerance - 1
    assert abs(off) < 1e-15 / math.sqrt(tolerance)  # the rounding of q, beside which D is the square of a difference


@pytest.mark.parametrize("unit", [1e-300, 2.0**-40, 1e300])
def test_a_return_scales_with_the_unit(unit):
    usual = divergence_return_volume(PARTS, 3.0, 2.0, 0.05)
    assert divergence_return_volume(PARTS, 3.0 * unit, 2.0 * unit, 0.05) / unit == pytest.approx(usual, rel=1e-11)
