"""Twenty thousand runs in a ledger, a million rows through the readers: time and memory in proportion.

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
TABLE = """
import sys
import numpy as np
import pandas as pd
from pathlib import Path
from elastomath.fit.tables import read_table
runs = int(sys.argv[1]) // 30
steps = np.linspace(0, 4, 10)
slopes = {"pretrain": (50.0, -0.01), "align": (1.0, 0.2), "perturb": (4.0, -0.4)}
parts = [pd.DataFrame({"run": np.repeat([f"r{i}" for i in range(runs)], 10), "component": name, "volume": volume,
                       "perturbation": np.tile(steps, runs), "rate": np.tile(1 + slope * steps / (1 + steps), runs),
                       "rate_se": 0.01, "rate_unit": "bits/symbol", "volume_unit": "symbols"})
         for name, (volume, slope) in slopes.items()]
frame = pd.concat(parts)
if sys.argv[2] == "csv":
    frame.to_csv("rows.csv", index=False)
else:
    frame.to_parquet("rows.parquet")
table = read_table(f"rows.{sys.argv[2]}")
assert len(table.curve.runs) == len(table.courses) == runs
table.curve.write("again." + sys.argv[2])
"""
WORK = {
    "ledger": (LEDGER, (1_250, 5_000, 20_000)),
    "csv": (TABLE, (60_000, 240_000, 960_000)),
    "parquet": (TABLE, (60_000, 240_000, 960_000)),
}
"""What is done, and to how many runs or rows."""
PEAK = """
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""
"""kB at most; ru_maxrss of a child begins at that of the process that started it."""


def cost(what: str, size: int, folder: Path) -> tuple[float, float]:
    """(seconds of computing, GB at most) of a process of its own that does it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [sys.executable, "-c", WORK[what][0] + PEAK, str(size), what],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        assert child.returncode == 0, out.read().decode()[-2000:]
        peak = int(out.read().split()[-1])
    return used.ru_utime + used.ru_stime, peak / 1e6


def rises(what: str, folder: Path) -> list[tuple[int, float, float]]:
    """(runs or rows, seconds, GB) of each size."""
    found = []
    for size in WORK[what][1]:
        place = folder / f"{what}-{size}"
        place.mkdir()
        found.append((size, *cost(what, size, place)))
    return found


@pytest.mark.parametrize("what", WORK)
def test_time_and_memory_are_in_proportion(what: str, tmp_path: Path) -> None:
    """A run or row more costs from the second size to the third at most 1.6 times what it costs from the first to the second."""
    (first, *rest), (second, *more), (third, *most) = rises(what, tmp_path)
    for a, b, c, noise in zip(rest, more, most, (0.5, 0.02), strict=True):
        slope = max(b - a, noise) / (second - first)
        assert (c - b) / (third - second) < 1.6 * slope, (a, b, c)
    assert most[1] < 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for name in sys.argv[1:] or WORK:
            for size, seconds, gigabytes in rises(name, Path(place)):
                print(f"| {name} | {size:,} | {seconds:.1f} s | {gigabytes:.2f} GB |", flush=True)
