"""`import elastomath` is light: what it does not load, and how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("pandas", "pyarrow", "torch", "transformers", "sympy", "flint", "scipy", "matplotlib", "numba", "hypothesis")
LIMIT = 0.3
"""Seconds, in a fresh interpreter, numpy included."""

PROGRAM = """
import sys, time
start = time.perf_counter(), time.process_time()
import elastomath
print(time.perf_counter() - start[0], time.process_time() - start[1], *(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def fresh(program):
    command = [sys.executable, "-c", program, ",".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    wall, own, *loaded = done.stdout.split()
    return float(wall), float(own), loaded


def test_nothing_heavy_is_loaded():
    assert fresh(PROGRAM)[2] == []


def test_what_is_loaded_would_be_seen():
    assert "pandas" in fresh(PROGRAM.replace("import elastomath\n", "import elastomath, pandas\n"))[2]


def test_import_takes_less_than_the_limit():
    fresh(PROGRAM)  # compiled files and the disk's cache
    wall, own, _ = zip(*(fresh(PROGRAM) for _ in range(5)), strict=True)
    assert min(own) < LIMIT
    if os.getloadavg()[0] <= 2 * (os.cpu_count() or 1):  # on a machine that others keep busy the clock tells of them
        assert min(wall) < LIMIT
