"""The paper's printed numbers: read as printed, judged by formulas computed again here."""

import math

import numpy as np
import pytest
from scipy import stats

from elastomath.errors import InputError
from paper_checks.published import tables as published
from paper_checks.published.tables import published_table, resistance_effect, reversal_exponent


def test_the_tables_are_the_printed_ones():
    one, three = published_table(1), published_table(3)
    assert list(one.columns) == ["dataset", "model", "pair", "inverse_loss", "forward_loss"]
    assert one.iloc[2].tolist() == ["alpaca", "Llama2-7B", "3-1", 0.1666, 0.2346]
    assert set(one.groupby(["dataset", "model"]).size()) == {3}
    assert three["unsafe_examples_to_kl_below_0.01"].tolist() == [961, 844, 801, 729, 923, 853, 709, 598]
    gaps = one["forward_loss"] - one["inverse_loss"]
    assert round(gaps.min(), 4) == 0.0002
    assert round(gaps.median(), 3) == 0.016
    assert (gaps < 0.005).sum() == 6
    with pytest.raises(InputError, match="Tables 1 and 3"):
        published_table(2)


def test_resistance_against_the_definitions():
    found, table = resistance_effect(0.9), published_table(1)
    gaps = (table.forward_loss - table.inverse_loss).to_numpy().reshape(9, 3)
    assert found.pairs == found.positive == 27
    assert found.sign_p == pytest.approx(2 * 0.5**27)
    assert found.cluster_sign_p == pytest.approx(2 * 0.5**9)
    interval = stats.ttest_1samp(gaps.mean(1), 0).confidence_interval(0.9)
    assert (found.pooled.low, found.pooled.high) == pytest.approx(tuple(interval))
    loss = {(d, m, p): (i, f) for d, m, p, i, f in table.itertuples(index=False)}
    same = [loss[d, m, "2-1"][1] - loss[d, m, "3-2"][0] for d, m, p in loss if p == "2-1"]
    assert found.same_target.estimate == pytest.approx(np.mean(same))
    assert found.same_target_positive == sum(value > 0 for value in same) == 8
    assert found.same_target_sign_p == pytest.approx(2 * (9 + 1) / 2**9)
    assert 0 < found.target_share < 1


def test_clusters_share_datasets_and_models():
    """Over the three means of the datasets, and of the models, by scipy: as if nine, the interval on D_2 left 0 out."""
    found, table = resistance_effect(), published_table(1)
    table = table.assign(gap=table.forward_loss - table.inverse_loss)
    pairs = table.set_index(["dataset", "model", "pair"])
    same = pairs.forward_loss.xs("2-1", level=2) - pairs.inverse_loss.xs("3-2", level=2)
    for what, pooled, alike in found.shared:
        means = table.groupby(what[:-1]).gap.mean(), same.groupby(what[:-1]).mean()
        for interval, values in zip((pooled, alike), means, strict=True):
            wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            assert (interval.low, interval.high) == pytest.approx(tuple(wanted))
            assert interval.estimate == pytest.approx(values.mean())
    assert [what for what, *_ in found.shared] == ["datasets", "models"]
    assert found.same_target.low > 0 > max(alike.low for *_, alike in found.shared)
    assert any("not decided on D_2 for other datasets or models" in line for line in found.conclusions())


def test_an_effect_that_all_datasets_have_is_decided_for_others(monkeypatch):
    table = published_table(1).copy()
    table["inverse_loss"], table["forward_loss"] = 0.2, 0.3 + 1e-4 * np.arange(27)
    monkeypatch.setattr(published, "published_table", lambda number: table)
    assert any("is decided for other datasets and models" in line for line in resistance_effect().conclusions())


def test_targets_alone_can_give_every_gap(monkeypatch):
    """Losses that depend on the target only: every gap is positive, all of it is the targets', and nothing is left on D_2."""
    table = published_table(1).copy()
    level = {"1": 0.1, "2": 0.2, "3": 0.35}
    table["inverse_loss"] = [level[pair[2]] for pair in table.pair]
    table["forward_loss"] = [level[pair[0]] for pair in table.pair]
    table.loc[::3, "inverse_loss"] += 1e-9  # so that no scatter is exactly 0
    monkeypatch.setattr(published, "published_table", lambda number: table)
    found = resistance_effect()
    assert found.positive == 27
    assert found.target_share == pytest.approx(1.0)
    assert found.same_target.estimate == pytest.approx(0.0, abs=1e-12)


def test_reversal_exponents_against_scipy():
    found, table = reversal_exponent(), published_table(3)
    for name, constant in found.models:
        rows = table[table.model == name]
        line = stats.linregress(np.log(rows.safe_examples), np.log(rows["unsafe_examples_to_kl_below_0.01"]))
        half = stats.t.ppf(0.975, 2) * line.stderr
        assert (constant.low, constant.estimate, constant.high) == pytest.approx(
            (line.slope - half, line.slope, line.slope + half)
        )
    assert found.pooled.estimate == pytest.approx(np.mean([c.estimate for _, c in found.models]))  # the same n for both
    assert found.pooled.high < 0
    p_values = {law: p for law, _, _, p in found.laws}
    assert all(p < 1e-3 for p in p_values.values())
    assert p_values["joint compression (R13)"] < 1e-6


@pytest.mark.parametrize(("power", "kept"), [(1.0, {0, 1, 2, 3}), (0.4, {2, 3}), (1.5, {1, 3}), (-0.3, set())])
def test_each_law_keeps_the_exponents_that_it_allows(power, kept, monkeypatch):
    table = published_table(3).copy()
    wobble = np.tile([1.001, 0.999, 0.999, 1.001], 2)
    table["unsafe_examples_to_kl_below_0.01"] = table.safe_examples**power * wobble
    monkeypatch.setattr(published, "published_table", lambda number: table)
    found = reversal_exponent()
    assert {index for index, (*_, p) in enumerate(found.laws) if p > 0.05} == kept


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, math.nan])
@pytest.mark.parametrize("function", [resistance_effect, reversal_exponent])
def test_a_level_that_is_none_is_refused(function, level):
    with pytest.raises(InputError, match="level"):
        function(level)


@pytest.mark.parametrize(
    "fall", [lambda s: -s, lambda s: -(s**2) - 0.1, lambda s: -np.sqrt(s) - 0.01, lambda s: -1 - s**4]
)
def test_no_memoryless_law_lets_the_higher_start_arrive_first(fall):
    from scipy.integrate import solve_ivp

    def arrival(start):
        level = lambda _, s: s[0] - 0.05  # noqa: E731
        level.terminal = True
        return solve_ivp(lambda _, s: fall(s), (0, 1e3), [start], events=level, rtol=1e-9).t_events[0][0]

    times = [arrival(start) for start in (0.5, 1.0, 2.0, 4.0)]
    assert times == sorted(times)
