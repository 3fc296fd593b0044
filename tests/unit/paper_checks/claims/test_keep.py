"""Results are kept whole, under their name, and without paths of the machine that made them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from elastomath.curve import Curve
from elastomath.errors import InputError
from paper_checks.claims.claim import Evidence
from paper_checks.claims.keep import CARD, SAVED_RUNS, keep_cards, keep_result


def test_a_kept_result_is_found_by_the_claims(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "rebound.csv").write_bytes((SAVED_RUNS / "rebound" / "rebound.csv").read_bytes())
    told = {"curve": str(out / "rebound.csv"), "falls": [{"slope": 1 / 3}]}
    (out / "rebound.json").write_text(json.dumps(told))
    at = keep_result(out, "rebound-algorithms", tmp_path / "results")
    assert json.loads((at / "rebound-algorithms.json").read_text()) == {
        "curve": "rebound-algorithms.csv",
        "falls": [{"slope": 0.33333333}],
    }
    assert Curve.read(at / "rebound-algorithms.csv").runs == Curve.read(out / "rebound.csv").runs
    found = Evidence(reruns={"rebound-algorithms": at}).saved("rebound-algorithms")
    assert found.there
    assert found.summary["falls"]


def test_what_is_no_finished_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finished experiment"):
        keep_result(tmp_path, None, tmp_path / "results")
    (tmp_path / "a.csv").write_text("no curve")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError):
        keep_result(tmp_path, None, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_cards_are_kept_without_their_forecasts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match="card"):
        keep_cards([out], tmp_path / "results")
    (out / "card.json").write_text(json.dumps(dict.fromkeys(CARD, 1 / 3) | {"forecast": [1], "pairs": "/home/advice"}))
    at = keep_cards([out], tmp_path / "results")
    (card,) = json.loads((at / "cards.json").read_text())["cards"]
    assert card == dict.fromkeys(CARD, 0.33333333) | {"pairs": "advice"}


def test_no_kept_result_names_a_machine() -> None:
    for path in SAVED_RUNS.glob("*/*.json"):
        assert '"/' not in path.read_text(encoding="utf-8"), path
