"""A million rows through the fit and the report, twenty thousand runs in a ledger: time and memory in proportion.

``python -m tests.acceptance.test_large`` prints the table of docs/guides/files.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.acceptance

RUNS = 30
FIT = "from paper_checks.cli.commands import main; main(['fit', 'curve.csv', '--processes', '1'])"
REPORT = """
from pathlib import Path
from elastomath import Curve
from elastomath.figures.curves import curve_figure
from paper_checks.report.common import fit_table
from paper_checks.report.page import Section, render
curve = Curve.read("curve.csv")
section = Section("large", "A large curve")
fit_table(section, curve)
section.draw(curve_figure(curve), "All runs")
render(Path("page.html"), "theory", [section], [], [])
"""
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
SIZES = {FIT: (60_000, 250_000, 1_000_000), REPORT: (60_000, 250_000, 1_000_000), LEDGER: (1_250, 5_000, 20_000)}
NAMES = {FIT: "fit, rows", REPORT: "report, rows", LEDGER: "ledger made and read again, runs"}


def write_curve(path: Path, rows: int) -> None:
    """A curve of `RUNS` runs of three components, law R5 with noise, in so many rows."""
    points = rows // (3 * RUNS)
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 1, points)
    with open(path, "w", encoding="utf-8") as file:
        file.write("run,component,volume,perturbation,rate,rate_unit,volume_unit\n")
        for run in range(RUNS):
            k = 2.0 + run
            shares = {
                "pretrain": k / (k + 1 + steps),
                "align": 1 / (k + 1 + steps),
                "perturb": (0.05 + steps) / (k + 1.05 + steps),
            }
            for component, share in shares.items():
                volume = {"pretrain": k, "align": 1.0, "perturb": 1.0}[component]
                rates = 2.0 - np.log2(share) / 4 + rng.normal(0, 1e-3, points)
                file.writelines(
                    f"r{run},{component},{volume},{step!r},{rate!r},bits/symbol,symbols\n"
                    for step, rate in zip(steps.tolist(), rates.tolist(), strict=True)
                )


def cost(code: str, size: int, folder: Path) -> tuple[float, float]:
    """(seconds of computing, GB at most) of a process of its own."""
    if code != LEDGER:
        write_curve(folder / "curve.csv", size)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(size)], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        assert child.returncode == 0, out.read().decode()[-2000:]
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def rises(code: str, folder: Path) -> list[tuple[int, float, float]]:
    """(size, seconds, GB) of each size."""
    found = []
    for size in SIZES[code]:
        place = folder / str(size)
        place.mkdir()
        found.append((size, *cost(code, size, place)))
    return found


@pytest.mark.parametrize("code", [FIT, REPORT, LEDGER], ids=list(NAMES.values()))
def test_time_and_memory_are_in_proportion(code: str, tmp_path: Path) -> None:
    """A row more costs from the second size to the third at most 1.6 times what it costs from the first to the second."""
    (first, *rest), (second, *more), (third, *most) = rises(code, tmp_path)
    for a, b, c, noise in zip(rest, more, most, (0.5, 0.05), strict=True):
        slope = max(b - a, noise) / (second - first)
        assert (c - b) / (third - second) < 1.6 * slope, (a, b, c)
    assert most[1] < 6


if __name__ == "__main__":
    for code, name in NAMES.items():
        with tempfile.TemporaryDirectory() as place:
            for size, seconds, gigabytes in rises(code, Path(place)):
                print(f"| {name} {size:,} | {seconds:.1f} s | {gigabytes:.2f} GB |", flush=True)
