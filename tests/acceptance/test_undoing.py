"""What docs/undoing.md says of the fit, drawn again: coverage of one case, and of pairs of settings what `compare` sees."""

from __future__ import annotations

import json

import pytest

from benchmarks.undoing import CASES, DOCS, compared, judged, tables

pytestmark = pytest.mark.acceptance


def test_compare_sees_a_quarter_with_the_seeds_that_plan_asks_for() -> None:
    """In 80% of 500 simulated pairs that differ by 25%, and in at most 5% of 500 that do not; less two standard errors."""
    seen = compared(500)
    assert seen["seen"] > 0.80 - 2 * 0.018
    assert seen["false"] < 0.05 + 2 * 0.010
    assert seen == json.loads((DOCS / "data" / "undoing.json").read_text())["compared"]


def test_intervals_of_a_dense_course_hold_the_truth_as_often_as_they_say() -> None:
    """93% to 97% over 1,000 bases, each end missed in 1% to 4%."""
    for name, one in judged(CASES[0], 1000)["reached"].items():
        assert 0.93 < one["held"] < 0.97, (name, one)
        assert 0.01 < one["above"] < 0.04, (name, one)
        assert 0.01 < one["below"] < 0.04, (name, one)


def test_the_page_is_its_data() -> None:
    text = (DOCS / "undoing.md").read_text()
    assert all(line in text for line in tables(json.loads((DOCS / "data" / "undoing.json").read_text())).splitlines())
