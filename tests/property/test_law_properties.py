"""R1-R5 at their tight constants on the float functions, for random masses, volumes and numbers of datasets.

Every inequality is followed by a search for a violation of a slightly stronger one: where hypothesis cannot find it, the
constant is not tight, or the strategies do not reach the place where it is.
"""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st

from elastomath import Mixture, finite_law, mixture_residual, path_entropies, response, sign_change
from elastomath.laws.finite import mixture_constant
from elastomath.mixtures.divergence import kl_divergence
from tests.examples import examples

ROUNDING = 1e-13
"""Allowed relative to the size of the terms that were added up."""

common = examples(100, suppress_health_check=[HealthCheck.too_slow])
search = settings(max_examples=3000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
"""Any violation will do: it is not made small."""

weights = st.one_of(
    st.just(0.0),
    st.floats(1e-3, 1.0),
    st.floats(-12.0, 0.0).map(lambda power: 10.0**power),
    st.floats(0.02, 1.0).map(lambda share: share**-8.0),  # a heavy tail
)


@st.composite
def mixtures(draw, datasets=(2, 5), extremes=True):
    """Masses with zeros and heavy tails on 1 to 10 leaves; sometimes P_p a union, or datasets nearly or exactly equal."""
    count, leaves = draw(st.integers(*datasets)), draw(st.integers(1, 10))
    rows = [draw(st.lists(weights, min_size=leaves, max_size=leaves).filter(any)) for _ in range(count)]
    rows = [np.array(row) / max(row) / np.sum(np.array(row) / max(row)) for row in rows]
    kind = draw(st.sampled_from(["free", "free", "union", "near", "copy"]))
    if kind == "union" and count > 2:
        rows[0] = np.mean(rows[1:], axis=0)
    elif kind == "near":
        rows[-1] = rows[0] * (1 + 10.0 ** draw(st.floats(-7, -1)) * np.linspace(-1, 1, leaves))
        rows[-1] /= rows[-1].sum()
    elif kind == "copy":
        rows[-1] = rows[draw(st.integers(0, count - 2))]
    reach = 8.0 if extremes else 2.0
    volumes = [
        10.0 ** draw(st.floats(-reach / 2, reach)),
        *([1.0] * (count - 2)),
        10.0 ** draw(st.floats(-reach, reach)),
    ]
    return Mixture.of(rows, volumes)


def covered(mixture):
    """P_t restricted to the leaves of the others, so that H_t(0) is finite (or the example is dropped)."""
    others = (mixture.components[:-1] > 0).any(axis=0)
    assume(bool((mixture.components[-1] * others).any()))
    row = mixture.components[-1] * others
    return Mixture.of([*mixture.components[:-1], row / row.sum()], mixture.volumes)


def fall(mixture):
    """H_t(0) - H_t(L) = sum_x P_t ln(q_L/q_0), term by term without the cancellation of two entropies."""
    base, total = mixture.volumes[:-1] @ mixture.components[:-1], float(mixture.volumes[:-1].sum())
    step, perturb = float(mixture.volumes[-1]), mixture.components[-1]
    seen = perturb > 0
    moved = step * (total * perturb[seen] / base[seen] - 1) / (total + step)
    return math.fsum(perturb[seen] * np.log1p(moved))


def noise(mixture, value):
    """Rounding of q by 1e-16 moves KL by as much times sqrt(KL), in the unit of volume times nats."""
    return ROUNDING * value + 1e-15 * math.sqrt(2 * value * mixture.total) + 1e-30


# --- R1, R2, R3 -------------------------------------------------------------------------------------------------------


@common
@given(mixtures())
def test_overlaps_lie_in_their_ranges(mixture):
    """R1: 0 <= w_i O_i <= N, sum_i w_i O_i = N, T >= 1, and |dH_i/dl| follows."""
    seen, total = response(mixture), mixture.total
    assert (seen.overlaps >= 0).all()
    assert (mixture.volumes * seen.overlaps <= total * (1 + ROUNDING)).all()
    assert float(mixture.volumes @ seen.overlaps) == pytest.approx(total, rel=ROUNDING)
    assert seen.overlaps[-1] >= 1 - ROUNDING
    assert seen.derivatives[-1] <= 0
    assert seen.derivatives == pytest.approx(
        (1 - seen.overlaps) / total, rel=1e-9, abs=ROUNDING * seen.overlaps.max() / total
    )


@common
@given(mixtures())
def test_derivatives_are_those_of_the_code_lengths(mixture):
    """R1 by a complex step: Im H_i(l + ih)/h is the derivative to rounding."""
    volumes = mixture.volumes.astype(complex)
    volumes[-1] += 1e-30j * mixture.volumes[-1]
    q = volumes @ mixture.components / volumes.sum()
    seen = response(mixture)
    for row, overlap, derivative in zip(mixture.components, seen.overlaps, seen.derivatives, strict=True):
        slope = -(row[row > 0] * np.log(q[row > 0])).sum().imag / (1e-30 * mixture.volumes[-1])
        assert abs(derivative - slope) <= 1e-12 * (1 + overlap) / mixture.total


@common
@given(mixtures())
def test_the_balance_is_zero(mixture):
    """R2 for 2 to 5 datasets: sum_i w_i dH_i = 0, relative to terms that add up to at most 2."""
    assert abs(response(mixture).balance) <= ROUNDING * 2


@common
@given(mixtures(), st.lists(st.floats(-3, 3), min_size=10, max_size=10))
def test_no_other_compressor_is_better(mixture, tilt):
    """R2: sum_i w_i (H(P_i, r) - H(P_i, q)) = N KL(q || r) >= 0."""
    q = mixture.masses
    other = q * np.exp(tilt[: q.size])
    other /= other.sum()
    seen = q > 0
    cost = math.fsum(mixture.volumes @ mixture.components[:, seen] * np.log(q[seen] / other[seen]))
    assert cost >= -ROUNDING * mixture.total
    assert cost == pytest.approx(mixture.total * kl_divergence(q, other), rel=1e-9, abs=10 * ROUNDING * mixture.total)


@common
@given(mixtures(datasets=(3, 3)))
def test_the_theta_constant_is_the_ratio_of_the_responses(mixture):
    """R3: -dH_a/(k dH_p) = 1/(1 - eps), at least 1 where dH_p < 0 < dH_a."""
    seen, (k, _, step) = response(mixture), mixture.volumes
    pretrain, align, perturb = seen.derivatives
    clear = 1e-6 * (1 + seen.overlaps) / mixture.total
    assume(abs(align) > clear[1] and abs(pretrain) > clear[0])
    assert seen.epsilon == pytest.approx(-step * perturb / align, rel=1e-12)
    lost = 1e-15 * (1 + seen.overlaps[0]) / abs(mixture.total * pretrain)  # digits of 1 - C
    lost += 1e-15 * (1 + seen.overlaps[1]) / abs(mixture.total * align)  # of 1 - A
    lost += (
        1e-15 * (1 + abs(seen.epsilon)) / abs(1 - seen.epsilon) * (1 + seen.overlaps[1]) / abs(mixture.total * align)
    )
    assert seen.theta_constant == pytest.approx(-align / (k * pretrain), rel=1e-12 + lost)
    if pretrain < 0 < align:
        assert seen.theta_constant >= 1 - ROUNDING


def test_the_theta_constant_comes_as_near_to_one_as_one_likes_and_no_nearer():
    """R3: 1 is the best lower bound where the signs hold; 1.001 is not one."""

    def violates(mixture):
        pretrain, align, _ = response(mixture).derivatives
        return pretrain < 0 < align and response(mixture).theta_constant < 1.001

    unions = st.builds(
        lambda k, step: Mixture.of([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], [k, 1.0, step]),
        st.floats(0.1, 1e4),
        st.floats(1e-6, 0.9),
    )
    found = find(unions, violates, settings=search)
    assert 1 - ROUNDING <= response(found).theta_constant < 1.001


# --- R4 -----------------------------------------------------------------------------------------------------------------


@common
@given(mixtures())
def test_scaled_responses_never_fall(mixture):
    """R4: N^2 dH_i/dl = N (1 - O_i) does not fall in l, so a response turns at most once, from - to +."""
    base = float(mixture.volumes[:-1].sum())
    steps = base * 10.0 ** np.linspace(-4, 4, 33)
    seen = [response(mixture.at(float(step))) for step in steps]
    scaled = np.array([(base + step) ** 2 * r.derivatives for step, r in zip(steps, seen, strict=True)])
    size = np.array([(base + step) * (1 + r.overlaps) for step, r in zip(steps, seen, strict=True)])
    assert (np.diff(scaled, axis=0) >= -ROUNDING * (size[1:] + size[:-1])).all()


@common
@given(mixtures(datasets=(3, 5)))
def test_an_alignment_that_gains_makes_the_others_lose(mixture):
    """R4 for n datasets: if every response but one and the perturbation's is <= 0, that one is >= 0."""
    seen = response(mixture)
    size = mixture.volumes * (1 + seen.overlaps) / mixture.total
    others = float(mixture.volumes[1:-1] @ seen.derivatives[1:-1])
    if others <= 0:
        assert mixture.volumes[0] * seen.derivatives[0] >= -ROUNDING * size.sum()


@common
@given(mixtures(extremes=False))
def test_the_turning_point_has_overlap_one(mixture):
    """R4: at the root, sum_x P_i P_t/q = 1; before it dH_i < 0, after it dH_i > 0."""
    root = sign_change(mixture, 0)
    if root is None:
        return
    assert response(mixture.at(root)).overlaps[0] == pytest.approx(1.0, abs=1e-11)
    rounding = 1e-12 / mixture.at(root).total
    assert response(mixture.at(root * 0.9)).derivatives[0] <= rounding
    assert response(mixture.at(root * 1.1)).derivatives[0] >= -rounding


def test_the_factor_in_front_of_the_response_is_needed():
    """R4: dH_i/dl itself (without N^2) does fall for some mixtures: what is monotone is N^2 dH_i/dl."""

    def falls(mixture):
        early, late = response(mixture), response(mixture.at(10 * float(mixture.volumes[-1])))
        return late.derivatives[0] < early.derivatives[0] - 1e-3 / mixture.total

    assert falls(find(mixtures(), falls, settings=search))


# --- R5 -----------------------------------------------------------------------------------------------------------------


@common
@given(mixtures())
def test_the_residual_is_between_zero_and_the_sharp_bound(mixture):
    """R5: 0 <= N_0 KL(q_0 || q_L) <= c (H_t(0) - H_t(L)) <= (L/2) (H_t(0) - H_t(L)), with no room but rounding."""
    mixture = covered(mixture)
    step, start = float(mixture.volumes[-1]), mixture.at(0.0)
    residual, drop, constant = mixture_residual(mixture, step), fall(mixture), mixture_constant(start.total, step)
    rounding = noise(mixture, residual) + 1e-15 * step
    assert residual >= 0.0
    assert residual <= constant * drop + rounding
    assert constant <= step / 2 * (1 + ROUNDING)
    # the slack of the general bound is exactly N_L KL(q_L || q_0)
    back = mixture.total * kl_divergence(mixture.masses, start.masses)
    assert abs(step * drop - residual - back) <= noise(mixture, residual) + noise(mixture, back) + 1e-14 * (
        step * (1 + abs(drop)) + mixture.total * ROUNDING
    )


@common
@given(mixtures(extremes=False), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_the_law_holds_between_any_two_volumes(mixture, early, late):
    """R5 from l_0 to l_1: l_0 (H_t(l_0) - H_t(l_1)) <= sum w DeltaH <= l_1 (...), the lower side exact with KL."""
    base = float(mixture.volumes[:-1].sum())
    first, last = (base * 10.0 ** (power - 2.0) for power in sorted((early, late)))
    codes = path_entropies(mixture, [first, last])
    change = codes[:, 1] - codes[:, 0]
    residual, drop = float(mixture.volumes[:-1] @ change[:-1]), -float(change[-1])
    rounding = 1e-14 * (base + last) * (1 + codes.max())
    at_first, at_last = mixture.at(first), mixture.at(last)
    assert first * drop - rounding <= residual <= last * drop + rounding
    below = at_first.total * kl_divergence(at_first.masses, at_last.masses)
    above = at_last.total * kl_divergence(at_last.masses, at_first.masses)
    assert abs(residual - first * drop - below) <= rounding
    assert abs(last * drop - residual - above) <= rounding


@common
@given(mixtures(extremes=False))
def test_readings_of_a_mixture_obey_the_finite_law(mixture):
    """R5 through finite_law and path_entropies: the residual is N_0 KL, and its share of the bound is at most c/L."""
    mixture = covered(mixture)
    start, step = mixture.at(0.0), float(mixture.volumes[-1])
    path = [0.0, step / 3, step]
    codes = path_entropies(start, path)
    law = finite_law(path, start.volumes[:-1], codes)
    slack = 1e-14 * mixture.total * (1 + float(codes.max()))
    assert law.holds(slack)
    for index in (1, 2):
        assert abs(law.residual[index] - mixture_residual(start, path[index])) <= slack
        assert (
            law.residual[index] <= mixture_constant(start.total, path[index]) / path[index] * law.upper[index] + slack
        )


def two_kinds_of_leaves():
    """P_t = q_0 given an event that q_0 misses with a chance delta: the family in which c is attained."""
    return st.builds(
        lambda delta, step: Mixture.of([[1 - delta, delta], [1 - delta, delta], [1.0, 0.0]], [3.0, 1.0, step]),
        st.floats(1e-4, 0.5),
        st.floats(-3.0, 3.0).map(lambda power: 4.0 * 10.0**power),
    )


STRONGER = {
    "0.49 L": lambda residual, drop, m: residual > 0.49 * m.volumes[-1] * drop,
    "0.999 c": lambda residual, drop, m: residual > 0.999 * mixture_constant(m.at(0.0).total, m.volumes[-1]) * drop,
    "0.999 c at L > 10 N_0": lambda residual, drop, m: (
        m.volumes[-1] > 40 and residual > 0.999 * mixture_constant(4.0, m.volumes[-1]) * drop
    ),
}


@pytest.mark.parametrize("name", STRONGER)
def test_a_smaller_constant_is_violated(name):
    def violates(mixture):
        return STRONGER[name](mixture_residual(mixture, float(mixture.volumes[-1])), fall(mixture), mixture)

    assert violates(find(two_kinds_of_leaves(), violates, settings=search))


def test_the_sharp_constant_is_below_half_the_perturbation():
    """R5: c < L/2 at every L > 0, so L/2 is never attained, and c/L tends to 1/2 only as L -> 0."""
    for power in range(-6, 7):
        assert mixture_constant(4.0, 4.0 * 10.0**power) < 4.0 * 10.0**power / 2
    assert mixture_constant(4.0, 4e-6) / 4e-6 == pytest.approx(0.5, abs=2e-7)


@pytest.mark.parametrize("factor", [1.01, 0.99])
def test_the_residual_is_kl_and_no_multiple_of_it(factor):
    """R5: residual >= 1.01 N_0 KL fails and so does residual <= 0.99 N_0 KL, on readings of the code lengths."""

    def violates(mixture):
        start, step = mixture.at(0.0), float(mixture.volumes[-1])
        law = finite_law([0.0, step], start.volumes[:-1], path_entropies(start, [0.0, step]))
        claimed = factor * mixture_residual(start, step)
        slack = 1e-12 * mixture.total
        return law.residual[1] < claimed - slack if factor > 1 else law.residual[1] > claimed + slack

    assert violates(find(two_kinds_of_leaves(), violates, settings=search))


def test_zero_is_the_best_multiple_below():
    """R5: no positive share of the bound is a lower bound; residual < 1% of L (H_t(0) - H_t(L)) occurs."""

    def violates(mixture):
        drop, step = fall(mixture), float(mixture.volumes[-1])
        return drop > 1e-3 and mixture_residual(mixture, step) < 0.01 * step * drop

    rare = st.builds(
        lambda delta, step: Mixture.of([[1 - delta, delta], [1 - delta, delta], [0.0, 1.0]], [3.0, 1.0, step]),
        st.floats(1e-9, 0.5),
        st.floats(1e-3, 1e4),
    )
    assert violates(find(rare, violates, settings=search))
