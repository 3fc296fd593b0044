"""Twenty thousand runs in a ledger: time and memory in proportion.

``python -m tests.acceptance.test_large`` prints the numbers of docs/guides/files.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

LEDGER = """
import sys
from elastomath.runs.ledger import Ledger, sweep
runs = [{"seed": seed} for seed in range(int(sys.argv[1]))]
for made in (len(runs), 0):
    calls = []
    with Ledger("runs.sqlite") as ledger:
        results, failures = sweep(lambda run: calls.append(run) or {"value": [run["seed"]] * 20}, runs, ledger)
    assert len(calls) == made and len(results) == len(runs) and not failures
"""
SIZES = (1_250, 5_000, 20_000)


def cost(size: int, folder: Path) -> tuple[float, float]:
    """(seconds of computing, GB at most) of a process of its own that fills a ledger, and finds it filled."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [sys.executable, "-c", LEDGER, str(size)], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        assert child.returncode == 0, out.read().decode()[-2000:]
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def rises(folder: Path) -> list[tuple[int, float, float]]:
    """(runs, seconds, GB) of each size."""
    found = []
    for size in SIZES:
        place = folder / str(size)
        place.mkdir()
        found.append((size, *cost(size, place)))
    return found


def test_time_and_memory_are_in_proportion(tmp_path: Path) -> None:
    """A run more costs from the second size to the third at most 1.6 times what it costs from the first to the second."""
    (first, *rest), (second, *more), (third, *most) = rises(tmp_path)
    for a, b, c, noise in zip(rest, more, most, (0.5, 0.02), strict=True):
        slope = max(b - a, noise) / (second - first)
        assert (c - b) / (third - second) < 1.6 * slope, (a, b, c)
    assert most[1] < 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for size, seconds, gigabytes in rises(Path(place)):
            print(f"| {size:,} runs | {seconds:.1f} s | {gigabytes:.2f} GB |", flush=True)
