"""R7, R8, R13 and R19 on drawn inputs: the union law, the gradient test, the two laws of rebound."""

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from elastomath.laws.finetuning import gradient_test
from elastomath.laws.forgetting import (
    Phase,
    effective_mixture,
    local_exponents,
    phase_weights,
    return_steps,
    sequential_masses,
)
from elastomath.laws.rebound import Scores, falls_faster, return_volume, score_slope
from elastomath.laws.response import response
from elastomath.laws.union import union_law
from elastomath.mixtures.masses import union
from elastomath.mixtures.mixture import Mixture
from elastomath.testing.strategies import masses
from tests.examples import examples

COMMON = examples(60)
VOLUMES = st.floats(1e-3, 1e4)


@st.composite
def scores(draw):
    low, gap, up = draw(st.floats(-5, 5)), draw(st.floats(1e-2, 5)), draw(st.floats(1e-2, 5))
    ends = (low + gap + up, low)
    return Scores(low + gap, *(ends if draw(st.booleans()) else ends[::-1]))


@COMMON
@given(st.lists(masses(5), min_size=3, max_size=5), VOLUMES, VOLUMES)
def test_the_union_law_is_the_balance_law(parts, k, step):
    law = union_law(parts, [k, 1.0, step])
    seen = response(Mixture.of([union(parts), parts[1], parts[2]], [k, 1.0, step]))
    assume(abs(law.gaps[1]) > 1e-6)
    share = 1 / len(parts)
    # (k pi_t + l)(T-1) = (k (pi_a + R) + 1)(1-A), which is eps times (1-A)/l
    left = (k * share + step) * -law.gaps[2]
    right = (k * (share + law.rest) + 1) * law.gaps[1]
    scale = (1 + k + step) * (1 + np.abs(seen.overlaps).max())
    assert abs(left - right) <= 1e-12 * scale
    assert law.epsilon >= -1e-12 * scale / abs(law.gaps[1]) or law.gaps[1] < 0


@COMMON
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6), st.floats(1e-6, 1e6))
def test_a_scaled_gradient_has_its_scale(gradient, scale):
    first = np.array(gradient)
    assume(np.abs(first).max() > 1e-300)
    for sign in (1, -1):
        found = gradient_test(first, sign * scale * first)
        assert math.isclose(found.ratio, scale, rel_tol=1e-9)
        assert math.isclose(found.cosine, sign, abs_tol=1e-12)
        assert found.exists == (sign < 0)


@COMMON
@given(scores(), VOLUMES, VOLUMES, st.floats(1.01, 100), st.floats(0, 1e4))
def test_the_finite_comparison_of_falls(named, k, n, factor, m):
    speeds = np.abs(score_slope(named, k, np.array([n, factor * n]), m))
    assume(abs(speeds[0] / speeds[1] - 1) > 1e-9)
    assert falls_faster(named, k, n, factor * n, m) == (speeds[1] > speeds[0])


@COMMON
@given(scores(), VOLUMES, VOLUMES, st.floats(1, 100), st.floats(0, 1))
def test_more_alignment_needs_at_least_in_proportion(named, k, n, factor, tolerance):
    few, many = return_volume(named, np.array([n, factor * n]), tolerance, k)
    assert many >= factor * few * (1 - 1e-9)


@COMMON
@given(scores(), st.floats(1, 1e4), st.floats(1, 100), st.floats(1e-4, 0.9))
def test_with_forgetting_more_alignment_needs_more_but_less_than_in_proportion(named, n, factor, rate):
    few, many = return_steps(named, np.array([n, factor * n]), rate)
    assert few * (1 - 1e-9) <= many <= factor * few * (1 + 1e-9)
    first, second = local_exponents(n, n, rate)
    assert 0 <= first <= 1
    assert second <= -1


@COMMON
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 500), st.floats(1e-4, 0.99)), max_size=6),
    st.lists(masses(4), min_size=4, max_size=4),
)
def test_a_sequential_run_is_a_joint_run(steps, rows):
    phases = [Phase(*step) for step in steps]
    weights, rest = phase_weights(phases)
    assert abs(weights.sum() + rest - 1) < 1e-12
    last = sequential_masses(rows[:3], phases, rows[3])[-1]
    assert np.allclose(effective_mixture(rows[:3], phases, rows[3]).masses, last, rtol=1e-10, atol=1e-15)
