"""Levels of alignment (Q1): crossings with brackets, the two laws' ratios against the laws themselves, and mutants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from elastomath.errors import InputError
from elastomath.laws.forgetting import Phase, aligned_score, decay, sequential_masses
from elastomath.laws.rebound import Scores, score
from empirical.inversion.costs import (
    LAWS,
    Path,
    _percentiles,
    _resampled,
    crossing,
    drawn_rows,
    forgetting_ratio,
    joint_ratio,
    moved_by,
    pooled_ratio,
    predict,
)

asymptotes = st.floats(1.05, 20)
levels = st.tuples(st.floats(0.05, 0.9), st.floats(0.05, 0.09)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def path(examples, alignment) -> Path:
    costs = np.outer(np.asarray(examples, dtype=float), [1.0, 20.0, 0.25, 70.0])
    return Path(costs, np.asarray(alignment, dtype=float))


@given(asymptotes, st.floats(0.05, 20), levels, st.floats(10, 1e4))
def test_joint_ratio_is_what_joint_compression_takes(top, bottom, span, k):
    """m/n = (A - lo)/(B + lo), against roots of R13's score itself."""
    low, high = span
    scores = Scores(0.0, top, -bottom)

    def volume(level):
        return brentq(lambda n: float(score(scores, k, n, 0)) - level, 0, 1e9, xtol=1e-10, rtol=1e-14)

    up, n = volume(high) - volume(low), volume(high)
    down = brentq(lambda m: float(score(scores, k, n, m)) - low, 0, 1e9, xtol=1e-10, rtol=1e-14)
    assert down / up == pytest.approx(joint_ratio(top, bottom, low), rel=1e-6)


@given(asymptotes, st.floats(0.05, 20), levels, st.floats(1e-4, 0.05))
def test_forgetting_ratio_is_what_forgetting_takes(top, bottom, span, rate):
    """ln[(hi+B)/(lo+B)] / ln[(A-lo)/(A-hi)], against R19's own updates of a two-leaf model."""
    low, high = span
    share = bottom / (top + bottom)  # of the leaf whose mass is the score: base at share, targets at 1 and 0
    start = share + low * (1 - share) / top

    def score_of(mass):
        return (mass - share) * top / (1 - share)

    targets = [[1.0, 0.0], [0.0, 1.0]]

    def after(dataset, steps, mass):
        return sequential_masses(targets, [Phase(dataset, steps, rate)], [mass, 1 - mass])[-1, 0]

    up = brentq(lambda n: score_of(after(0, n, start)) - high, 0, 1e6, xtol=1e-9)
    down = brentq(lambda n: score_of(after(1, n, after(0, up, start))) - low, 0, 1e6, xtol=1e-9)
    assert down / up == pytest.approx(forgetting_ratio(top, bottom, low, high), rel=1e-5)


def test_mutants_of_the_ratios_fail():
    true = joint_ratio(1.5, 0.8, 0.6)
    for wrong in (joint_ratio(0.8, 1.5, 0.6), (1.5 - 0.9) / (0.8 + 0.9), (1.5 - 0.6) / (0.8 - 0.6)):
        assert abs(wrong / true - 1) > 0.05
    true = forgetting_ratio(1.5, 0.8, 0.6, 0.9)
    for wrong in (forgetting_ratio(1.5, 1.5, 0.6, 0.9), forgetting_ratio(1.5, 0.8, 0.5, 0.9), 1 / true):
        assert abs(wrong / true - 1) > 0.05


@given(asymptotes, st.floats(0.05, 0.9))
def test_going_back_is_cheaper_under_either_law(top, low):
    """A = B: both ratios lie below 1 and tend to it for a straight way up, so a ratio below 1 shows no elasticity."""
    high = min(low + 0.05, 0.99)
    assert joint_ratio(top, top, low) < 1
    assert forgetting_ratio(top, top, low, high) < 1
    assert joint_ratio(1e6, 1e6, low) == pytest.approx(1, abs=1e-5)
    assert forgetting_ratio(1e6, 1e6, low, high) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("law", LAWS)
def test_predict_finds_the_law_that_made_the_way_up(law):
    n = np.linspace(0, 400, 13)
    if law == LAWS[0]:
        k, top = 250.0, 650 / 400
        a = score(Scores(0.0, top, -top), k, n, 0.0)
        wanted = k
    else:
        rate = 4e-3
        top = 1 / (1 - np.exp(-400 * decay(rate)))
        a = aligned_score(Scores(0.0, top, -top), n, rate)
        wanted = rate
    found = predict(n, a, 0.6, 0.9, law)
    assert found.parameter == pytest.approx(wanted, rel=1e-4)
    assert found.asymptote == pytest.approx(top, rel=1e-4)
    assert found.misfit < 1e-6
    fine = np.linspace(0, 400, 4001)
    reached = [np.interp(level, np.interp(fine, n, a), fine) for level in (0.6, 0.9)]
    assert found.up == pytest.approx(reached[1] - reached[0], rel=0.02)
    assert found.down == pytest.approx(found.up * found.ratio)
    other = LAWS[1 - LAWS.index(law)]
    assert predict(n, a, 0.6, 0.9, other).misfit > 1e-3  # the rival does not fit


@pytest.mark.parametrize("law", LAWS)
def test_a_straight_way_up_predicts_equal_costs(law):
    n = np.linspace(0, 100, 6)
    found = predict(n, n / 100, 0.6, 0.9, law)
    assert found.ratio == pytest.approx(1, abs=0.01)
    assert found.up == pytest.approx(30, rel=0.01)


def test_the_first_crossing_counts_whichever_the_side():
    up = path([0, 10, 20, 30], [0.0, 0.7, 0.5, 0.95])
    found = crossing(up, 0.6)
    assert found.estimate[0] == pytest.approx(10 * 0.6 / 0.7)
    assert (found.low[0], found.high[0]) == (0, 10)
    down = path([0, 10, 20], [0.9, 0.8, 0.3])
    assert crossing(down, 0.6).estimate[0] == pytest.approx(14)
    np.testing.assert_allclose(crossing(down, 0.6).estimate, np.array([1, 20, 0.25, 70]) * 14)


def test_a_level_that_is_not_reached_is_open_and_a_start_on_it_costs_nothing():
    down = path([0, 10, 20], [0.9, 0.8, 0.7])
    found = crossing(down, 0.6)
    assert found.estimate is None
    assert found.high is None
    assert found.low[0] == 20
    assert crossing(down, 0.9).estimate == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("examples", "alignment"), [([1, 2], [0.1, 0.2]), ([0, 2, 2], [0.1, 0.2, 0.3]), ([0, 1], [0.1, np.nan]), ([], [])]
)
def test_paths_out_of_order_are_refused(examples, alignment):
    with pytest.raises(InputError):
        path(examples, alignment)


def test_a_prediction_needs_a_way_up():
    with pytest.raises(InputError, match="examples do not rise"):
        predict([0, 1], [0, 1], 0.6, 0.9, LAWS[0])
    with pytest.raises(InputError, match="levels"):
        predict([0, 1, 2], [0, 0.5, 1], 0.9, 0.6, LAWS[0])


@pytest.mark.parametrize(
    ("unknown", "ends"), [(0, (25.0, 974.0)), (20, (5.0, 974.0)), (30, (None, None)), (1000, (None, None))]
)
def test_draws_of_which_nothing_is_known_open_both_ends(unknown, ends):
    """1,000 draws of 0 to 999 without the largest ``unknown``: 3% may all lie below, or all above; they counted as the largest."""
    draws = np.arange(1000.0)
    draws[1000 - unknown :] = np.nan
    drawn = _percentiles(np.random.default_rng(0).permutation(draws))
    assert (drawn["low"], drawn["high"]) == ends


def test_a_ratio_of_two_costs_that_were_not_reached_is_no_large_one():
    """A tenth of the draws reached neither cost: the ratio of the others, 2, is bounded on no side; where one alone, on the one side."""
    both, one = np.full(100, 2.0), np.full(100, 1.0)
    both[:10], one[:10] = np.inf, np.inf
    with np.errstate(invalid="ignore"):
        assert _percentiles(both / one) == {"low": None, "high": None}
    assert _percentiles(both) == {"low": 2.0, "high": None}
    assert _percentiles(np.ones(100) / both) == {"low": 0.0, "high": 0.5}


def test_ratios_pool_geometrically_and_stay_open_where_a_seed_is():
    found = pooled_ratio([0.5, 1.0, 2.0])
    assert found.estimate == pytest.approx(1)
    assert found.low * found.high == pytest.approx(1)
    assert found.high == pytest.approx(np.exp(4.302653 * np.log(2) / np.sqrt(3)), rel=1e-5)
    assert pooled_ratio([0.5, None]).estimate is None
    assert pooled_ratio([0.5]).low is None


def test_prompts_are_drawn_whole_and_for_both_kinds_at_once():
    prompts = {"align": np.array([0, 0, 1, 2]), "opposed": np.array([2, 1, 1])}
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = drawn_rows(prompts, rng)
        times = {kind: np.bincount(numbers[rows[kind]], minlength=3) for kind, numbers in prompts.items()}
        drawn = times["align"] // [2, 1, 1]
        assert drawn.sum() == 3
        assert times["opposed"].tolist() == (drawn * [0, 2, 1]).tolist()


def test_responses_to_one_prompt_do_not_narrow_the_intervals():
    """Each response four times: the spread of a cost over draws of prompts is that of once; over documents it was half of it."""
    up_own, down_own = np.random.default_rng(1).normal(0, 4, (2, 40))

    def run(times, known):
        def reading(a, own):
            rows = {"opposed": np.repeat(60 + (10 + own) * a, times), "align": np.full(40 * times, 60.0)}
            numbers = {f"prompts_{kind}": np.repeat(np.arange(40), times).tolist() for kind in rows} if known else {}
            return (
                {f"nats_{k}": v for k, v in rows.items()}
                | {f"tokens_{k}": np.full(40 * times, 10.0) for k in rows}
                | numbers
            )

        costs = np.outer([0.0, 10.0, 20.0], np.ones(4)).tolist()
        way = {"costs": costs, "readings": [reading(a, up_own) for a in (0.0, 0.5, 1.0)]}
        down = {"costs": costs, "readings": [reading(a, down_own) for a in (0.9, 0.6, 0.3)]}
        return {"up": way, "legs": {"inverse": down}}

    once, known, unknown = run(1, False), run(4, True), run(4, False)
    spreads = [float(np.std(_resampled(result, 0.5, 0.8)["inverse"])) for result in (once, known, unknown)]
    errors = [
        moved_by(result["up"]["readings"][0], result["up"]["readings"][-1])[1] for result in (once, known, unknown)
    ]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.15)
    assert spreads[2] == pytest.approx(spreads[0] / 2, rel=0.15)
    assert errors[1] == pytest.approx(errors[0], rel=0.01)
    assert errors[2] == pytest.approx(errors[0] / 2, rel=0.02)


def test_continuations_of_one_prompt_are_one_draw():
    scores = np.random.default_rng(2).uniform(size=30)
    once = [{"scores": np.zeros(30)}, {"scores": scores}]
    twice = [
        {"scores": np.repeat(each["scores"], 2), "prompts_scores": np.repeat(np.arange(30), 2).tolist()}
        for each in once
    ]
    assert moved_by(*twice) == pytest.approx(moved_by(*once))
    assert moved_by(*once)[1] == pytest.approx(scores.std(ddof=1) / np.sqrt(30))
