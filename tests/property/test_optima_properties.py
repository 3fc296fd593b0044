"""R6, R16, R17, R18 for random classes, data, parts and perturbations, each followed by a search for a violation of a stronger claim."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st

from elastomath.laws.ceilings import convex_ceiling, pooled_ceiling, rises
from elastomath.laws.finite import path_entropies
from elastomath.laws.optima import joint_optima, optima_law
from elastomath.laws.theorem import mixture_theta_bounds, residual_constant, theorem_readings, theta_bounds
from elastomath.laws.volumes import mixture_work, work_bounds
from elastomath.mixtures.mixture import Mixture
from elastomath.testing.strategies import mixtures
from elastomath.verification.ceilings import segment_instance
from tests.examples import examples

common = examples(100, suppress_health_check=[HealthCheck.too_slow])
search = settings(max_examples=2000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])

codes = st.integers(0, 40).map(lambda eighths: eighths / 8)
counts = st.integers(0, 12)


@st.composite
def classes(draw, datasets=(2, 4)):
    """A finite class known by its losses alone (dyadic, so that sums are exact), volumes, increasing perturbations, a regulariser."""
    n, models = draw(st.integers(*datasets)), draw(st.integers(2, 6))
    losses = np.array(draw(st.lists(st.lists(codes, min_size=models, max_size=models), min_size=n, max_size=n)))
    volumes = np.array(draw(st.lists(st.integers(1, 64), min_size=n - 1, max_size=n - 1))) / 4
    gaps = draw(st.lists(st.integers(1, 64), min_size=1, max_size=4))
    steps = (draw(st.integers(0, 8)) + np.concatenate([[0], np.cumsum(gaps)])) / 4
    penalty = np.array(draw(st.lists(codes, min_size=models, max_size=models)))
    return losses, volumes, steps, penalty


@common
@given(classes())
def test_any_class_obeys_the_finite_law_exactly(drawn):
    """R6 with no margin: every sum is exact in floats here."""
    losses, volumes, steps, penalty = drawn
    chosen, rates = joint_optima(losses, volumes, steps, penalty)
    law = optima_law(steps, volumes, rates, penalty[chosen])
    later = ~np.isnan(law.residual)
    assert law.holds()
    assert (law.lower[later] <= law.residual[later]).all()
    assert (law.residual[later] <= law.upper[later]).all()
    assert (np.diff(rates[-1]) <= 0).all()
    low, high = work_bounds(steps, rates[-1])
    assert low[-1] <= law.residual[0, -1] <= high[-1]


@common
@given(classes(), st.data())
def test_a_wrong_model_costs_what_it_was_missed_by(drawn, data):
    """R6 with misses: any model at any reading; the two bounds widen by the miss of their own end, exactly."""
    losses, volumes, steps, penalty = drawn
    best, _ = joint_optima(losses, volumes, steps, penalty)
    taken = np.array([data.draw(st.integers(0, losses.shape[1] - 1)) for _ in steps])
    objective = lambda models: volumes @ losses[:-1, models] + steps * losses[-1, models] + penalty[models]  # noqa: E731
    miss = objective(taken) - objective(best)
    law = optima_law(steps, volumes, losses[:, taken], penalty[taken])
    later = ~np.isnan(law.residual)
    assert (law.residual >= law.lower - miss[:, None])[later].all()
    assert (law.residual <= law.upper + miss[None, :])[later].all()
    assert (law.missed <= miss).all()
    assert law.holds(miss)


STRONGER = {
    "0.999 of the upper bound": lambda law, miss: law.residual[0, 1] > 0.999 * law.upper[0, 1] + 1e-9,
    "a lower bound of 0.001 of the fall above": lambda law, miss: (
        law.residual[0, 1] < law.lower[0, 1] + 0.001 * (law.upper[0, 1] - law.lower[0, 1]) - 1e-9
    ),
    "0.999 of the miss of the end": lambda law, miss: (
        miss[1] > 0 and law.residual[0, 1] > law.upper[0, 1] + 0.999 * miss[1]
    ),
    "0.999 of the miss of the start": lambda law, miss: (
        miss[0] > 0 and law.residual[0, 1] < law.lower[0, 1] - 0.999 * miss[0]
    ),
}


@pytest.mark.parametrize("name", STRONGER)
def test_a_stronger_law_is_violated(name):
    @st.composite
    def two_models(draw):
        residual, fall, start = draw(codes), draw(st.integers(1, 16)) / 8, draw(st.integers(0, 8)) / 4
        steps = np.array([start, start + draw(st.integers(1, 16)) / 4])
        rates = np.array([[8.0, 8.0 + residual - draw(codes)], [8.0, 8.0 - fall]])
        return optima_law(steps, [1.0], rates), optima_law(steps, [1.0], rates).missed

    found = find(two_models(), lambda drawn: STRONGER[name](*drawn), settings=search)
    assert found[0].holds(found[1])


# --- R18 ------------------------------------------------------------------------------------------------------------


@st.composite
def unions(draw):
    """(k, parts, steps below the threshold, rows P_p, P_a, P_t with zeros and heavy tails)."""
    leaves = draw(st.integers(2, 6))
    rows = [np.array(draw(st.lists(counts, min_size=leaves, max_size=leaves).filter(any)), float) for _ in range(2)]
    align, perturb = (row / row.sum() for row in rows)
    share = draw(st.sampled_from([0.5, 0.5, 0.25, 0.8]))
    k = 10.0 ** draw(st.floats(-1, 3))
    places = sorted({draw(st.floats(0.01, 0.95)) for _ in range(2)})
    assume(len(places) == 1 or places[1] - places[0] > 1e-3)
    steps = np.concatenate([[0.0], np.array(places) * share / (1 - share)])
    return k, (1 - share, share), steps, np.stack([(1 - share) * align + share * perturb, align, perturb])


@common
@given(unions(), st.integers(0, 2**32 - 1))
def test_the_theorem_in_any_finite_class(drawn, seed):
    k, parts, steps, rows = drawn
    models = np.random.default_rng(seed).dirichlet(np.ones(rows.shape[1]), size=40) + 1e-6
    losses = -rows @ np.log(models / models.sum(axis=1, keepdims=True)).T
    _, rates = joint_optima(losses, [k, 1.0], steps)
    assert theorem_readings(steps, k, rates, parts).holds(1e-12 * (1 + k))


@common
@given(unions())
def test_the_theorem_for_mixtures_at_its_best_constants(drawn):
    """c_- fall <= residual <= c_+ fall, multiplied out, with no room but rounding; both ends lie inside the general ones."""
    k, parts, steps, rows = drawn
    step = float(steps[-1])
    change = np.diff(path_entropies(Mixture.of(rows, [k, 1, 0]), [0.0, step]), axis=1)[:, 0]
    beta, rounding = k * parts[1], 1e-13 * (1 + k) * (1 + step)
    fall, residual = -change[2], (k * parts[0] + 1) * change[1] + k * parts[1] * change[2]
    assert residual >= residual_constant(k + 1, step, (k + 1) / beta) * fall - rounding
    assert residual <= residual_constant(k + 1, step, 0.0) * fall + rounding
    inner, outer = mixture_theta_bounds(k, step, parts), theta_bounds(k, step, parts=parts)
    assert outer.low < inner.low < inner.high < outer.high
    assert outer.threshold < inner.threshold


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_better_constant_for_mixtures_is_violated(end):
    """0.999 of the best constant above, 1.001 of that below: two leaves, one of them rare, violate it."""

    def violates(drawn):
        k, step, rare, missing = drawn
        most = 2 * (k + 1) / k
        if rare * most >= 1:
            return False
        start = np.array([1 - rare, rare])
        perturb = np.array([1.0, 0.0]) if missing else np.array([1 - rare * most, rare * most])
        align = np.maximum(((k + 1) * start - k / 2 * perturb) / (k / 2 + 1), 0)
        rows = [(align + perturb) / 2, align / align.sum(), perturb]
        change = np.diff(path_entropies(Mixture.of(rows, [k, 1, 0]), [0.0, step]), axis=1)[:, 0]
        bounds = mixture_theta_bounds(k, step)
        rise, down = change[1], -k * change[0]
        return rise > 0.999 * bounds.high * down if end == "high" else rise < 1.001 * bounds.low * down

    strategy = st.tuples(
        st.floats(0.1, 100), st.floats(0.3, 0.95), st.floats(-5, -0.5).map(lambda p: 10.0**p), st.booleans()
    )
    assert violates(find(strategy, violates, settings=search))


# --- R16, R17 -------------------------------------------------------------------------------------------------------


@common
@given(mixtures(coverage=True), st.integers(2, 12))
def test_the_sums_enclose_the_work_of_mixtures(mixture, count):
    last = float(mixture.volumes[-1])
    steps = np.linspace(0, last, count)
    rates = path_entropies(mixture.at(0.0), steps)[-1]
    low, high = work_bounds(steps, np.minimum.accumulate(rates))
    work, rounding = mixture_work(mixture, [last])[0], 1e-13 * mixture.total * (1 + float(rates.max()))
    assert low[-1] - rounding <= work <= high[-1] + rounding


@common
@given(mixtures())
def test_every_dataset_of_a_mixture_stays_between_its_bounds(mixture):
    seen, rounding = rises(mixture), 1e-12 * (1 + mixture.total / float(mixture.at(0.0).total))
    for rise, low, high in zip(seen.rise[:-1], seen.low, seen.high, strict=False):
        assert low - rounding <= rise
        assert math.exp(rise) <= math.exp(high) + rounding
        assert rise <= seen.ceiling * (1 + 1e-12) + 1e-15


@common
@given(st.integers(1, 200), st.integers(1, 99), st.integers(0, 12))
def test_segments_stay_below_the_ceilings_of_closed_classes(tenths, percent, power):
    k, y, h = Fraction(tenths, 10), Fraction(percent, 100), Fraction(10**power)
    step, (start, end) = segment_instance(k, y, h)
    change = [math.log(a / b) for a, b in zip(start[:2], end[:2], strict=True)]
    size = float(k) + 1
    assert change[1] <= convex_ceiling(1.0, float(k), float(step)) + 1e-9
    assert float(k) * change[0] + change[1] <= pooled_ceiling(size, float(step)) + 1e-12 * size


def test_a_lower_ceiling_of_closed_classes_is_violated():
    def violates(drawn):
        step, (start, end) = segment_instance(Fraction(drawn[0]), Fraction(drawn[1], 10), Fraction(10) ** drawn[2])
        return math.log(start[1] / end[1]) > 0.999 * convex_ceiling(1.0, float(drawn[0]), float(step))

    assert violates(
        find(st.tuples(st.integers(1, 50), st.integers(1, 9), st.integers(0, 8)), violates, settings=search)
    )
