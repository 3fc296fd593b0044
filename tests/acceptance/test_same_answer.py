"""The same answer for 1, 2 and 4 workers bit for bit, and for OMP_NUM_THREADS 1 and 2 up to the rounding of sums.

``python -m tests.acceptance.test_same_answer`` prints the differences that docs/guides/files.md names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import fuzz

pytestmark = pytest.mark.acceptance

SWEEPS = {
    "counting": ["simulate", "counting", "--k", "2,5", "--alphabet", "3", "--length", "3", "--points", "3", "--examples", "64",
                 "--seeds", "2", "--out", "o"],
    "softmax": ["simulate", "softmax", "--k", "2", "--alphabet", "2", "--length", "5", "--points", "2", "--examples", "64", "--seeds", "2",
                "--out", "o"],
    "transformer": ["simulate", "transformer", "--k", "1", "--alphabet", "2", "--length", "4", "--points", "2", "--examples", "64",
                    "--size", "50k", "--device", "cpu", "--seeds", "2", "--out", "o"],
}  # fmt: skip
ALONE = {
    "mixture": ["simulate", "mixture", "--k", "2,5", "--leaves", "65536", "--points", "5", "--out", "o"],
    "rebound": ["experiment", *fuzz.VERBS["experiment"][0]],
    "fit": ["fit", "curve.csv", "--processes", "1", "--out", "o"],
}
FAR = {"transformer": 1e-3, "rebound": 1e-3}
"""How far, relative to the largest rate, readings may differ between one and two threads where weights were trained in between."""


def files_of(arguments: list[str], threads: int, files: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """The tables that a command writes."""
    folder.mkdir()
    fuzz.lay(fuzz.Case([], files), folder)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "paper_checks", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {path.name: path.read_bytes() for path in sorted((folder / "o").glob("*.csv"))}
    assert found or arguments[0] == "fit"
    return found or {"stdout": done.stdout.encode()}


def apart(one: dict[str, bytes], two: dict[str, bytes], folder: Path) -> float:
    """The largest difference of two sets of tables, relative to the largest number in its column."""
    assert one.keys() == two.keys()
    most = 0.0
    for name in one:
        if name == "stdout":
            most = max(most, float(one[name] != two[name]))
            continue
        frames = []
        for data in (one[name], two[name]):
            (folder / "table.csv").write_bytes(data)
            frames.append(pd.read_csv(folder / "table.csv"))
        assert list(frames[0].columns) == list(frames[1].columns)
        for column in frames[0].columns:
            first, second = (frame[column] for frame in frames)
            if first.dtype.kind == "f":
                a, b = first.to_numpy(), second.to_numpy()
                assert np.array_equal(np.isnan(a), np.isnan(b))
                scale = np.nanmax(np.abs(a), initial=1e-300)
                most = max(most, float(np.nanmax(np.abs(a - b), initial=0.0) / scale))
            else:
                assert first.equals(second), column
    return most


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return fuzz.materials(tmp_path_factory.mktemp("materials"))


@pytest.mark.parametrize("name", SWEEPS)
def test_the_number_of_workers_changes_no_bit(name: str, tmp_path: Path) -> None:
    tables = [
        files_of([*SWEEPS[name], *where], 2, {}, tmp_path / str(index))
        for index, where in enumerate(
            ([], ["--executor", "local", "--workers", "1"], ["--executor", "local", "--workers", "2"],
             ["--executor", "local", "--workers", "4"])
        )
    ]  # fmt: skip
    assert tables[0] == tables[1] == tables[2] == tables[3]


@pytest.mark.parametrize("name", [*SWEEPS, *ALONE])
def test_the_number_of_threads_changes_the_rounding_at_most(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    arguments = {**SWEEPS, **ALONE}[name]
    one, two = (files_of(arguments, threads, files, tmp_path / str(threads)) for threads in (1, 2))
    assert apart(one, two, tmp_path) <= FAR.get(name, 0.0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = fuzz.materials(Path(place) / "materials")
        for title, command in {**SWEEPS, **ALONE}.items():
            both = [files_of(command, threads, made, Path(place) / f"{title}{threads}") for threads in (1, 2)]
            print(f"{title}: {apart(*both, Path(place)):.2g}", flush=True)
