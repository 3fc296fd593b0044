"""A sign, a factor or a mask broken in a formula of `elastomath`: some verdict of `elastomath check` has to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastomath import verification

ROOT = Path(__file__).parents[2]
MUTANTS = [
    ("laws/response.py", "(uncovered - sums.gram) / mixture.total", "(uncovered + sums.gram) / mixture.total", "R1"),
    ("laws/response.py", "= -sums.squares[-1] / mixture", "= sums.squares[-1] / mixture", "R2"),
    ("laws/response.py", "1.0 / (1.0 - epsilon)", "1.0 / (1.0 + epsilon)", "R3"),
    ("laws/finite.py", "moved = -float(gaps.gram[0])", "moved = float(gaps.gram[0])", "R4"),
    ("laws/finite.py", "-steps[1:] * change[-1]", "steps[1:] * change[-1]", "R5"),
    ("laws/union.py", "(perturb - step * (align + others))", "(perturb + step * (align + others))", "R8"),
    ("laws/finetuning.py", "-(moves @ second) / (moves @ first)", "(moves @ second) / (moves @ first)", "R7"),
    ("mixtures/pool.py", "matrix = -((logs * q) @ logs.T)", "matrix = ((logs * q) @ logs.T)", "R12"),
    ("laws/rebound.py", "np.asarray(-above / total", "np.asarray(above / total", "R13"),
    ("laws/theorem.py", "left = [1.0 - moved * pull", "left = [1.0 + moved * pull", "R18"),
    ("laws/ceilings.py", "return math.log1p(quotient)", "return -math.log1p(quotient)", "R17"),
    ("laws/forgetting.py", "np.expm1(-before) / np.expm1(-after)", "np.expm1(-before) / np.expm1(after)", "R19"),
    ("laws/volumes.py", "return start.total * divergences", "return -start.total * divergences", "R16"),
]
"""(file, formula, broken formula, the claim that has to fall): one for each result."""
FURTHER = [("laws/finite.py", "(base_volume, perturbation, 0.0)", "(base_volume, perturbation, 1.0)", "R5")]
"""A second one of a result: in the acceptance tests."""

COMPILED = [("R5", 1), ("R12", 2)]
"""Checks, by result and place, that go through the compiled loops."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, to be broken; what is compiled goes with them, and is made anew for a file that has changed.

    A clone that has run nothing has compiled nothing: what the checks need is compiled there first, for the tests that
    follow too, and not in a copy.
    """
    for id, index in COMPILED:
        verification._judge(id, index, 1, 0, True)
    folder = tmp_path_factory.mktemp("house")
    unfinished = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")  # of another worker, which is writing them now
    for package in ("elastomath", "sim", "empirical", "paper_checks"):
        shutil.copytree(ROOT / package, folder / package, ignore=unfinished)
    return folder


BENCH = """
import os, sys
import flint, numba, numpy, pandas, scipy.optimize, scipy.special, sympy, typer

for line in sys.stdin:
    if not (child := os.fork()):
        os.dup2(os.open("verdicts.json", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1)
        id, *floats = line.split()
        sys.argv[1:] = ["check", id, "--json", "--processes", "1"]
        from paper_checks.__main__ import main

        if floats:
            from types import SimpleNamespace
            from elastomath.verification import tally

            tally.derive = lambda id: SimpleNamespace(steps=("left out",), conclusion=(), hypotheses=(), summary="")

        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs ``check`` for each id that it is sent, in a fork of its own, and says the exit code: all but the house is loaded once.

Where a word follows the id, the derivation is left out: it looks at no float, so a broken one cannot turn it red.
"""


@pytest.fixture(scope="module")
def bench(house: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BENCH]
    with subprocess.Popen(command, cwd=house, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _verdicts(bench: subprocess.Popen[str], house: Path, asked: str) -> tuple[int, list[dict[str, object]]]:
    assert bench.stdin is not None
    assert bench.stdout is not None
    print(asked, file=bench.stdin, flush=True)
    code = int(bench.stdout.readline())
    return code, json.loads((house / "verdicts.json").read_text(encoding="utf-8"))["claims"]


@pytest.mark.parametrize(
    ("file", "formula", "broken", "id"),
    [*MUTANTS, *(pytest.param(*mutant, marks=pytest.mark.acceptance) for mutant in FURTHER)],
    ids=[f"{m[3]}-{m[0]}-{i}" for i, m in enumerate([*MUTANTS, *FURTHER])],
)
def test_a_broken_formula_changes_a_verdict(
    bench: subprocess.Popen[str], house: Path, file: str, formula: str, broken: str, id: str
) -> None:
    path = house / "elastomath" / file
    whole = path.read_text(encoding="utf-8")
    assert whole.count(formula) == 1
    path.write_text(whole.replace(formula, broken), encoding="utf-8")
    try:
        code, rows = _verdicts(bench, house, f"{id} floats")
    finally:
        path.write_text(whole, encoding="utf-8")
    assert code == 1
    assert [row["stands"] for row in rows] == [False]


@pytest.mark.parametrize("asked", ["R2", "R2 floats"])
def test_the_unbroken_house_stands(bench: subprocess.Popen[str], house: Path, asked: str) -> None:
    code, rows = _verdicts(bench, house, asked)
    assert code == 0
    assert rows[0]["stands"]
