"""A.7 on real text: leaf masses of film reviews, in blocks of bytes and words, beside leaves whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.pages import assumption_a7 as page
from elastomath.tails.verdict import HOLDS, pareto_verdict

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def texts():
    return page.reviews()


@pytest.fixture(scope="module")
def rows(texts):
    return {
        unit: {row.depth: row for row in pareto_verdict(counts, samples=60)}
        for unit, counts in (("bytes", page.byte_counts(texts)), ("words", page.word_counts(texts)))
    }


def test_known_leaves_are_judged_rightly():
    found = {name: pareto_verdict(values, samples=60)[0] for name, values in page.controls().items()}
    for name in ("Pareto 1.5, masses", "Pareto 1.5, counts of 20 a leaf", "zeta 1.5, counts"):
        assert found[name].verdict == HOLDS, name
    for name in ("lognormal, masses", "lognormal, counts of 20 a leaf"):
        assert found[name].verdict != HOLDS, name
        assert not found[name].whole_fits


def test_no_pareto_law_holds_over_all_leaves_of_real_text(rows):
    for unit, by_depth in rows.items():
        for depth, row in by_depth.items():
            assert not row.whole_fits, (unit, depth)
            assert row.verdict != HOLDS, (unit, depth)


def test_shallow_trees_contradict_the_mean_and_deep_ones_do_not(rows):
    assert [rows["bytes"][depth].mean_exists for depth in (1, 2, 3, 4, 6)] == [False] * 5
    assert [rows["bytes"][depth].mean_exists for depth in (12, 16, 24)] == [True] * 3
    indices = [row.sampled.alpha for row in rows["bytes"].values()]
    assert indices == sorted(indices)


def test_words_have_zipfs_tail(rows):
    """The frequent words follow a Pareto law with alpha near 1, Zipf's; 99 of 100 words are not among them."""
    row = rows["words"][1]
    low, high = row.tail_interval
    assert row.tail_p > 0.1
    assert low < 1.0 < high
    assert row.tail.tail < 0.05 * row.leaves


def test_the_index_is_no_property_of_the_masses(texts, rows):
    """Pareto masses keep their index when less text is read; these do not."""
    (few,) = pareto_verdict(page.byte_counts(texts[::10], (8,)), samples=60)
    full = rows["bytes"][8]
    spread = np.hypot(few.sampled.standard_error, full.sampled.standard_error)
    assert few.sampled.alpha - full.sampled.alpha > 10 * spread
