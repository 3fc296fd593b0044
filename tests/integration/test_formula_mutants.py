"""A sign, a factor or a mask broken in a formula of `elastomath`: some verdict of `elastomath check` has to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = [
    ("laws/response.py", "(uncovered - sums.gram) / mixture.total", "(uncovered + sums.gram) / mixture.total", "R1"),
    ("laws/response.py", "= -sums.squares[-1] / mixture", "= sums.squares[-1] / mixture", "R2"),
    ("laws/response.py", "1.0 / (1.0 - epsilon)", "1.0 / (1.0 + epsilon)", "R3"),
    ("laws/finite.py", "moved = -float(gaps.gram[0])", "moved = float(gaps.gram[0])", "R4"),
    ("laws/finite.py", "-steps[1:] * change[-1]", "steps[1:] * change[-1]", "R5"),
    ("laws/finite.py", "(base_volume, perturbation, 0.0)", "(base_volume, perturbation, 1.0)", "R5"),
    ("laws/union.py", "(perturb - step * (align + others))", "(perturb + step * (align + others))", "R8"),
    ("laws/finetuning.py", "-(moves @ second) / (moves @ first)", "(moves @ second) / (moves @ first)", "R7"),
    ("mixtures/pool.py", "matrix = -((logs * q) @ logs.T)", "matrix = ((logs * q) @ logs.T)", "R12"),
    ("laws/rebound.py", "np.asarray(-above / total", "np.asarray(above / total", "R13"),
    ("laws/theorem.py", "left = 1.0 - moved * pull", "left = 1.0 + moved * pull", "R18"),
    ("laws/ceilings.py", "return math.log1p(quotient)", "return -math.log1p(quotient)", "R17"),
    ("laws/forgetting.py", "np.expm1(-before) / np.expm1(-after)", "np.expm1(-before) / np.expm1(after)", "R19"),
    ("laws/volumes.py", "return start.total * divergences", "return -start.total * divergences", "R16"),
]
"""(file, formula, broken formula, the claim that has to fall)."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, to be broken; what is compiled goes with them, and is made anew for a file that has changed."""
    folder = tmp_path_factory.mktemp("house")
    unfinished = shutil.ignore_patterns("*.tmp.*", "*.pyc.*")  # of another worker, which is writing them now
    for package in ("elastomath", "sim", "empirical", "paper_checks"):
        shutil.copytree(ROOT / package, folder / package, ignore=unfinished)
    return folder


def _verdicts(house: Path, id: str) -> tuple[int, list[dict[str, object]]]:
    environment = os.environ | {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "paper_checks", "check", id, "--json", "--processes", "1"]
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, json.loads(done.stdout)["claims"] if done.stdout else []


@pytest.mark.parametrize(
    ("file", "formula", "broken", "id"), MUTANTS, ids=[f"{m[3]}-{m[0]}-{i}" for i, m in enumerate(MUTANTS)]
)
def test_a_broken_formula_changes_a_verdict(house: Path, file: str, formula: str, broken: str, id: str) -> None:
    path = house / "elastomath" / file
    whole = path.read_text(encoding="utf-8")
    assert whole.count(formula) == 1
    path.write_text(whole.replace(formula, broken), encoding="utf-8")
    try:
        code, rows = _verdicts(house, id)
    finally:
        path.write_text(whole, encoding="utf-8")
    assert code == 1
    assert [row["stands"] for row in rows] == [False]


def test_the_unbroken_house_stands(house: Path) -> None:
    code, rows = _verdicts(house, "R2")
    assert code == 0
    assert rows[0]["stands"]
