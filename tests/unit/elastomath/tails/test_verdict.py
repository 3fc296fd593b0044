"""The verdict on A.7: true Pareto masses pass, lognormal ones fail, counts are judged by the masses behind them."""

import json

import numpy as np
import pytest

from elastomath import InputError, pareto_masses
from elastomath.style import svg
from elastomath.tails.figures import verdict_figure
from elastomath.tails.fit import fit_tail
from elastomath.tails.verdict import HOLDS, REJECTED, TAIL_ONLY, pareto_verdict
from elastomath.trees.tokentree import TokenTree

SAMPLES = 60
"""As few as `pareto_verdict` takes at 95%."""


@pytest.fixture(scope="module")
def text_rows():
    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"etaoinshrdlu ", dtype=np.uint8)
    shares = 0.7 ** np.arange(letters.size)
    text = rng.choice(letters, 20_000, p=shares / shares.sum()).tobytes()
    tree = TokenTree.of([text], 4)
    return tree, pareto_verdict(tree, [2, 4], samples=SAMPLES)


def test_pareto_masses_pass_with_their_index_and_scale_does_not_matter():
    masses = pareto_masses(1.5, 3000, seed=2)
    (row,) = pareto_verdict(masses, samples=SAMPLES)
    (scaled,) = pareto_verdict(1e6 * masses, samples=SAMPLES)
    assert row.verdict == scaled.verdict == HOLDS
    assert row.mean_exists is True
    assert row.whole.low < 1.5 < row.whole.high
    assert scaled.whole.alpha == pytest.approx(row.whole.alpha, rel=1e-9)
    assert row.sampled is None
    assert row.total == pytest.approx(1.0)
    assert row.tail_mass <= 1.0


def test_masses_without_a_mean_are_said_to_have_none():
    masses = 1.0 + np.random.default_rng(3).pareto(0.7, 3000)
    (row,) = pareto_verdict(masses, samples=SAMPLES)
    assert (row.verdict, row.mean_exists) == (HOLDS, False)
    (row,) = pareto_verdict(1.0 + np.random.default_rng(6).pareto(1.0, 300), samples=SAMPLES)
    assert row.mean_exists is None


def test_lognormal_masses_fail_and_the_alternative_is_named():
    (row,) = pareto_verdict(np.exp(2.0 * np.random.default_rng(4).normal(size=5000)), samples=SAMPLES)
    assert not row.whole_fits
    assert row.verdict in {REJECTED, TAIL_ONLY}  # a far enough tail of 5000 values is like any other
    found = {rival.alternative: rival for rival in row.whole_rivals}
    assert found["lognormal"].favoured == "lognormal"
    assert max(row.whole_rivals, key=lambda rival: rival.log_ratio).alternative == "lognormal"
    assert found["lognormal"].parameters["sigma"] == pytest.approx(2.0, abs=0.1)


def test_a_pareto_tail_over_another_body_is_a_tail_only():
    rng = np.random.default_rng(9)
    x = np.concatenate([rng.uniform(0.1, 1.0, 1500), 1.0 + rng.pareto(1.5, 1500)])
    (row,) = pareto_verdict(x, samples=SAMPLES)
    assert (row.verdict, row.mean_exists) == (TAIL_ONLY, True)
    assert row.tail_interval[0] < 1.5 < row.tail_interval[1]


def test_counts_of_pareto_masses_pass_as_masses_though_no_law_of_counts_does():
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.5 * (1.0 + rng.pareto(1.5, 8_000)))
    counts = counts[counts > 0]
    (row,) = pareto_verdict(counts, samples=SAMPLES)
    assert not row.whole_fits  # the zeta law over all leaves
    assert row.sampled_fits
    assert row.verdict == HOLDS
    assert row.sampled_interval[0] < 1.5 < row.sampled_interval[1]
    assert not row.whole.low < 1.5 < row.whole.high


def test_counts_of_lognormal_masses_fail():
    rng = np.random.default_rng(6)
    counts = rng.poisson(5.0 * np.exp(1.5 * rng.normal(size=6_000)))
    (row,) = pareto_verdict(counts[counts > 0], samples=SAMPLES)
    assert not row.whole_fits
    assert row.sampled_fits is False
    assert row.verdict in {REJECTED, TAIL_ONLY}


def test_a_tree_is_pruned_to_each_depth(text_rows):
    tree, rows = text_rows
    assert [row.depth for row in rows] == [2, 4]
    for row in rows:
        counts = tree.prune(row.depth).counts
        assert row.leaves == counts.size
        assert row.total == counts.sum()
        assert row.whole.alpha == fit_tail(np.asarray(counts)).alpha
    masses = tree.prune(2).counts / tree.prune(2).counts.sum()
    (by_depth,) = pareto_verdict({2: masses}, samples=SAMPLES)  # no counts: no law of the masses behind them is fitted
    assert (by_depth.depth, by_depth.leaves, by_depth.sampled) == (2, rows[0].leaves, None)
    assert by_depth.whole.alpha == fit_tail(masses).alpha
    assert json.loads(json.dumps([row.row() for row in rows]))[0]["depth"] == 2
    # i.i.d. letters: the leaves' masses are products, nearly lognormal, and not Pareto
    assert not rows[1].whole_fits
    assert rows[1].better


def test_the_figure_draws_the_rows(text_rows):
    _, rows = text_rows
    figure = verdict_figure(rows, "bytes")
    top, bottom = figure.axes
    labels = [text.get_text() for text in top.get_legend().get_texts()]
    assert labels == ["all leaves", "tail", "masses, sampled"]
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), [row.whole.distance for row in rows])
    np.testing.assert_array_equal(bottom.lines[0].get_xdata(), [2, 4])
    assert svg(figure) == svg(verdict_figure(rows, "bytes"))
    with pytest.raises(InputError):
        verdict_figure([])


@pytest.mark.parametrize(
    "call",
    [
        lambda: pareto_verdict([1.0, 2.0]),
        lambda: pareto_verdict(np.ones(100)),
        lambda: pareto_verdict(np.arange(1, 100), [2]),
        lambda: pareto_verdict({2: np.arange(1, 100)}, [3]),
        lambda: pareto_verdict(np.arange(1.0, 100.0), samples=20),
        lambda: pareto_verdict(np.arange(1.0, 100.0), level=1.0),
        lambda: pareto_verdict(np.arange(0, 100)),
        lambda: pareto_verdict(TokenTree.of([b"abc" * 99], 2), [3]),
    ],
)
def test_bad_input_is_one_line(call):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
