"""The quick life cycle of a transformer: pre-train, two alignment volumes, perturb, come back; two seeds, under four minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elastomath import Curve

COMMAND = ("simulate", "transformer", "--k", "8", "--align", "0.5,1", "--l-max", "1", "--points", "4", "--seeds", "2")


@pytest.mark.acceptance
def test_the_quick_life_cycle_of_a_transformer_takes_less_than_four_minutes(tmp_path):
    options = ["--examples", "512", "--executor", "local", "--workers", "2", "--out", str(tmp_path), "--json"]
    start, before = time.monotonic(), os.times()
    answer = subprocess.run(
        [sys.executable, "-m", "paper_checks", *COMMAND, *options], capture_output=True, text=True, check=False
    )
    seconds, after = time.monotonic() - start, os.times()
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{seconds:.0f} s, {used:.0f} s of processors")
    curve = Curve.read(result["curve"])
    assert len(curve.runs) == 4
    assert set(curve.frame["seed"]) == {0, 1}
    assert curve.frame["parameters"].min() >= 50_000
    for run in curve:
        assert run.rates[2, -1] < run.rates[2, 0]  # the perturbation was learned
    rows = json.loads(Path(result["records"]).read_text())["runs"]
    for row in rows:
        losses = row["record"]["losses"]
        assert losses["pretrained"][0] < losses["untrained"][0]
        assert losses["aligned 1"][1] < losses["pretrained"][1]
    assert seconds < 240
