"""R8: the union law in floats against the overlaps, at its threshold, and the scatter of single draws."""

import dataclasses
import math

import numpy as np
import pytest

from elastomath.derivations import definitions, derive
from elastomath.derivations import union as union_derivation
from elastomath.derivations.words import DerivationError
from elastomath.errors import InputError
from elastomath.laws import union as unionlaw
from elastomath.laws.response import response
from elastomath.laws.union import rest_ratios, union_constant, union_epsilon, union_law, union_threshold, union_turning
from elastomath.mixtures.masses import pareto_masses, union
from elastomath.mixtures.mixture import Mixture

PARTS = [[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]]


@pytest.mark.parametrize("step", [0.01, 0.4, 0.6, 3.0])
@pytest.mark.parametrize("shares", [None, [0.5, 0.2, 0.3], [0.1, 0.0, 0.9]])
def test_the_law_is_the_response(step, shares):
    found = union_law(PARTS, [30, 1, step], shares)
    seen = response(Mixture.of([union(PARTS, shares), *PARTS[1:]], [30, 1, step]))
    assert found.epsilon == pytest.approx(seen.epsilon, rel=1e-12)
    assert found.theta_constant == pytest.approx(seen.theta_constant, rel=1e-11)
    assert (seen.derivatives[0] < 0) == (step < found.threshold)
    assert found.gaps[1:] / 31.0 == pytest.approx(seen.derivatives[1:] * (31 + step) / 31, rel=1e-12)


def test_the_unit_of_the_volumes_does_not_matter():
    one, other = union_law(PARTS, [30, 1, 0.4]), union_law(PARTS, [3e4, 1e3, 4e2])
    assert one.epsilon == pytest.approx(other.epsilon, rel=1e-13)
    assert union_turning(PARTS, [30, 1, 0]) == pytest.approx(union_turning(PARTS, [3e4, 1e3, 0]), rel=1e-10)


def test_special_unions():
    k, step = 7.0, 0.3
    assert union_constant(k, step, 0.5, 0.5) == pytest.approx((1 + 2 * step / k) / (1 - step), rel=1e-14)
    third = 1 / 3
    assert union_epsilon(k, step, third, third, third) == pytest.approx(step * (2 * k + 3) / (k + 3 * step), rel=1e-14)
    for parts in (2, 3, 5, 9):  # exchangeable, k -> infinity: (n-1) l
        share = 1 / parts
        assert union_epsilon(1e12, step, share, share, (parts - 2) * share) == pytest.approx(
            (parts - 1) * step, rel=1e-9
        )
        assert union_threshold(share, share, (parts - 2) * share) == pytest.approx(1 / (parts - 1), rel=1e-13)
    ratio = 0.7
    three = (1 + 3 * step / k) / (1 - step * (1 + ratio))
    assert union_constant(k, step, third, third, ratio / 3) == pytest.approx(three, rel=1e-13)


def test_the_threshold_is_tight():
    for step in np.array([1 - 1e-9, 1 + 1e-9]) * union_turning(PARTS, [30, 1, 0]):
        law = union_law(PARTS, [30, 1, step])
        slope = response(Mixture.of([union(PARTS), *PARTS[1:]], [30, 1, step])).derivatives[0]
        assert (slope < 0) == (step < law.threshold)
    assert union_constant(10.0, 0.5, 1 / 3, 1 / 3, 1 / 3) == math.inf


def test_where_the_other_parts_are_perturbation_data_every_volume_will_do():
    parts = [[1 / 3, 2 / 3], [0.6, 0.4], [1 / 3, 2 / 3]]
    law = union_law(parts, [0.5, 1, 0.01])
    assert law.rest + 1 / 3 < 0 < law.gaps[1]
    assert law.rest + 1 / 3 >= -2.0  # never below -1/k
    assert law.threshold == math.inf
    assert 0 < law.epsilon < 1  # a chi-square over 1 - A: never negative


def test_three_parts_add_up():
    rng = np.random.default_rng(0)
    for _ in range(20):
        k, step = 10.0 ** rng.uniform(-1, 3), 10.0 ** rng.uniform(-2, 1)
        gaps = union_law(rng.dirichlet(np.ones(9), size=3), [k, 1, step]).gaps
        assert -gaps.sum() == pytest.approx(3 / k * (gaps[1] + step * gaps[2]), rel=1e-9, abs=1e-12)


def test_exchangeable_parts_have_a_ratio_of_expectations_of_at_most_one():
    rng, below = np.random.default_rng(1), []
    for k in (1.0, 10.0, 1000.0):
        pairs = np.zeros(2)
        for _ in range(300):
            parts = [pareto_masses(1.5, 16, rng) for _ in range(3)]
            first = union_law(parts, [k, 1, 0.2]).gaps
            second = union_law(parts, [k, 1, 0.2], align=0).gaps
            gap = (first[1] - first[0]) + (second[0] - second[1])
            assert gap >= -1e-14  # over each pair of draws, not only on average
            pairs += [first[0] + second[1], first[1] + second[0]]
        below.append(pairs[0] / pairs[1])
    assert below[0] < below[1] < below[2] < 1
    assert 1 - below[2] == pytest.approx(0, abs=0.01)


def test_single_draws_scatter_widely():
    shallow = np.quantile(rest_ratios(1.2, 1 << 4, 20_000, 1), [0.05, 0.95])
    deep = np.quantile(rest_ratios(1.2, 1 << 12, 200, 2), [0.05, 0.95])
    assert -4.8 < shallow[0] < -3.2  # of a few dozen draws only, these quantiles are anywhere from -10 to 11
    assert 6 < shallow[1] < 7.2
    assert 0.4 < deep[0] < 0.9
    assert 1.1 < deep[1] < 2.0


@pytest.mark.acceptance
def test_scatter_at_depth_16():
    low, high = np.quantile(rest_ratios(1.2, 1 << 16, 400, 3), [0.05, 0.95])
    assert low == pytest.approx(0.86, abs=0.06)
    assert high == pytest.approx(1.20, abs=0.08)


def test_blocks_of_draws_do_not_change_the_draws(monkeypatch):
    whole = rest_ratios(1.5, 64, 30, 4)
    monkeypatch.setattr(unionlaw, "BLOCK", 3 * 64 * 7)
    assert np.array_equal(rest_ratios(1.5, 64, 30, 4), whole)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: union_epsilon(0.0, 0.1, 0.5, 0.5),
        lambda: union_epsilon(1.0, -0.1, 0.5, 0.5),
        lambda: union_threshold(0.5, 0.0),
        lambda: union_constant(1.0, 0.1, 0.7, 0.5),
        lambda: union_constant(math.nan, 0.1, 0.5, 0.5),
        lambda: union_law(PARTS, [30, 1, 0.1], align=2),
        lambda: union_law(PARTS[:2], [30, 1, 0.1]),
        lambda: union_law(PARTS, [30, 1, 0.1], [0.5, 0.5]),
        lambda: union_law(PARTS, [30, 1, 0.1], [0.5, 0.5, 0.0]),
        lambda: union_law(PARTS, [30, 1]),
        lambda: rest_ratios(1.0, 16, 5),
        lambda: rest_ratios(1.5, 16, 0),
    ],
)
def test_what_cannot_be_used_is_refused(broken):
    with pytest.raises(InputError):
        broken()


def test_another_mixture_breaks_the_derivation(monkeypatch):
    monkeypatch.setattr(
        definitions, "joint_mass", lambda base, volume, perturb, step: ((base + step * perturb) / volume, volume)
    )
    with pytest.raises(DerivationError):
        union_derivation.BUILDERS["R8"]()


@pytest.mark.parametrize("number", [2, 4, 5, 6, 8, 10, 11, 12, 14, 15, 16])
def test_a_constant_that_is_off_cannot_be_derived(number):
    step = derive("R8").steps[number - 1]
    with pytest.raises(DerivationError):
        dataclasses.replace(step, formula=(step.lhs, step.relation, step.rhs * (1 + definitions.symbols().l / 100)))


@pytest.mark.parametrize("least", [2.0**-1070, 2.0**-1000])
def test_leaves_that_are_hardly_there_have_their_part_in_the_gaps(least):
    """The gaps of rows that differ on a tiny leaf only are in proportion to its mass, also where a share of it underflows."""
    rows = [[1.0, 4 * least], [1.0, 8 * least], [1.0, 2 * least]]
    law = union_law(rows, [3.0, 1.0, 0.25])
    q = (1 * (4 + 8 + 2) + 8 + 0.25 * 2) / 4.25
    expected = [-(x - q) * (2 - q) / q for x in (4, 8, 2)]
    assert law.gaps / least == pytest.approx(expected, rel=0.02 if least < 2.0**-1022 else 1e-14)


def test_gaps_that_are_small_keep_their_digits():
    """Parts a millionth apart: each gap is about 1e-12, and 1 - sum P_j P_t/q has four digits of it."""
    import mpmath

    rows = np.array([[0.25, 0.75], [0.25 + 2e-6, 0.75 - 2e-6], [0.25 - 1e-6, 0.75 + 1e-6]])
    law = union_law(rows, [3.0, 1.0, 0.25])
    with mpmath.workdps(50):
        parts = [[mpmath.mpf(p) / sum(map(mpmath.mpf, row)) for p in row] for row in rows.tolist()]
        q = [(a + b + c + b + c / 4) / mpmath.mpf("4.25") for a, b, c in zip(*parts, strict=True)]
        expected = [float(1 - sum(p * t / m for p, t, m in zip(row, parts[2], q, strict=True))) for row in parts]
    assert law.gaps == pytest.approx(expected, rel=1e-9)
