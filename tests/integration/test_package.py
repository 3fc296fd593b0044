"""The wheel and the sdist: they build, hold what they need, and work where the repository is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import elastomath

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_the_version_is_said_once_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert elastomath.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(
        rf"^## {re.escape(version)}, \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_the_distributions_hold_what_they_need(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "elastomath/py.typed",
        "paper_checks/published/table1.csv",
        "paper_checks/report/templates/report.html",
    ):
        assert wanted in names
    saved = {str(path.relative_to(ROOT)) for path in (ROOT / "paper_checks" / "saved_runs").rglob("*.*")}
    assert saved <= set(names)
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "elastomath/__init__.py"} <= held


def test_an_editable_install_stands_before_a_clone_in_the_working_folder(tmp_path: Path) -> None:
    """A path, not a finder: python asks finders last, and the folder of a clone called elastomath would be the package."""
    build = f"from setuptools.build_meta import build_editable; print(build_editable({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        added = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert [Path(name).suffix for name in added] == [".pth"]
        assert archive.read(added[0]).decode().strip() == str(ROOT)


def _smoke(python: list[str], folder: Path, environment: dict[str, str]) -> None:
    """What a newcomer tries first, away from the repository."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
        return done.stdout

    place = run("-c", "import elastomath; print(elastomath.__file__)")
    assert str(ROOT) not in place
    claims = json.loads(run("-m", "paper_checks", "verify", "--only", "R2", "--quick", "--json", "--processes", "1"))
    assert all(claim["holds"] for claim in claims["claims"])
    rows = json.loads(
        run("-m", "paper_checks", "check", "A.7", "Table3", "Hooke-reverse", "--json", "--processes", "1")
    )
    assert all(row["stands"] for row in rows["claims"])
    run("-m", "paper_checks", "simulate", "mixture", "--k", "10", "--leaves", "64", "--out", "runs")
    fitted = json.loads(run("-m", "paper_checks", "fit", "runs/mixture.csv", "--json"))
    assert abs(fitted["runs"][0]["kappa"]["estimate"] - 10) < 0.1


def test_the_wheel_works_without_the_repository(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    place = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    plain = {"PYTHONPATH": str(place), "NUMBA_DISABLE_JIT": "1"}  # loops are compiled in the clean environment below
    _smoke([sys.executable], tmp_path, os.environ | plain)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_installs_into_a_clean_environment(built: Path, tmp_path: Path, kind: str) -> None:
    (package,) = built.glob(kind)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(package)]
    subprocess.run(install, check=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    _smoke([python], tmp_path, environment)
