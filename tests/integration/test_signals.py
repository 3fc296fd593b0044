"""A signal ends a command in one line, with 130 or 143, its children gone and its ledger whole; so do a closed pipe and a full stdout."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from elastomath import InputError
from elastomath.runs import ledger as ledgers
from elastomath.runs.ledger import Ledger

COMMAND = [sys.executable, "-m", "paper_checks"]
LONG = [
    "simulate",
    "counting",
    "--k",
    "2",
    "--alphabet",
    "4",
    "--length",
    "5",
    "--seeds",
    "400",
    "--points",
    "8",
    "--out",
    "o",
]
POOLED = ["verify", "--processes", "2", "--cases", "2000"]


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    pipe = subprocess.PIPE
    return subprocess.Popen(COMMAND + arguments, cwd=folder, stdout=pipe, stderr=pipe, text=True, env=environment)


def until(true, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 100
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (LONG, signal.SIGINT),
        (LONG, signal.SIGTERM),
        ([*LONG, "--executor", "local", "--workers", "2"], signal.SIGTERM),
        (POOLED, signal.SIGTERM),
    ],
)
def test_a_signal_is_one_line_and_leaves_no_child(tmp_path, arguments, number):
    process = started(arguments, tmp_path)
    me, children = psutil.Process(process.pid), []

    def at_work() -> bool:
        children[:] = me.children(recursive=True)
        recorded = (tmp_path / "o" / "counting.sqlite").exists()
        return recorded if arguments[0] == "simulate" else len(children) >= 2

    until(at_work, process)
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    assert [line for line in err.splitlines() if "left" not in line] == [
        "elastomath: stopped; the same command continues from what it had recorded"
    ]
    _, alive = psutil.wait_procs(children, timeout=2)
    assert alive == []
    assert time.monotonic() - begun < 30
    if arguments[0] == "simulate":
        assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["counting.sqlite"]
        with Ledger(tmp_path / "o" / "counting.sqlite") as ledger:
            assert ledger.dump()["failures"] == []


def test_a_signal_while_it_starts_is_one_line(tmp_path):
    for delay in (0.06, 0.12, 0.2, 0.35):
        process = started(["rates", "none.npy"], tmp_path)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if "Traceback" in err:  # Python itself had hardly come to our first line
            assert "in guarded" not in err
            assert "/elastomath/" not in err
        else:
            assert process.returncode in (2, 130, -signal.SIGINT)
            assert len(err.splitlines()) == (process.returncode != -signal.SIGINT)  # that was before Python itself


def test_a_reader_that_goes_away_and_a_full_stdout_are_no_traceback(tmp_path):
    process = started(["simulate", "--help"], tmp_path)
    process.stdout.close()
    process.wait(timeout=60)
    assert process.stderr.read() == ""
    np.save(tmp_path / "p.npy", [0.5, 0.5])
    for arguments in (["rates", "p.npy"], ["--help"]):
        with open("/dev/full", "w") as full:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
            done = subprocess.run(
                COMMAND + arguments, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, env=environment
            )
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("elastomath: ")
        assert len(done.stderr.splitlines()) == 1


def test_a_ledger_that_another_process_holds_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledgers, "PATIENCE", 1.5)
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.put({"x": 1}, {})
        holder = sqlite3.connect(path)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="another process has held the ledger"):
            ledger.put({"x": 2}, {})
        assert "another process holds" in capsys.readouterr().err
        holder.rollback()
        holder.close()
        ledger.put({"x": 2}, {})
        assert len(ledger.dump()["runs"]) == 2


def test_a_database_of_somebody_else_is_left_as_it_is(tmp_path):
    path = tmp_path / "counting.sqlite"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE people (name TEXT)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="it is the database of something else: people"):
        Ledger(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["counting.sqlite"]


def test_a_ledger_is_made_when_something_is_recorded(tmp_path):
    with Ledger(tmp_path / "new" / "l.sqlite") as ledger:
        assert ledger.get({"x": 1}) is None
        assert ledger.dump() == {"runs": [], "failures": []}
        assert list(tmp_path.iterdir()) == []
        with Ledger(tmp_path / "new" / "l.sqlite") as other:
            other.put({"x": 1}, {"value": 2})
        assert ledger.get({"x": 1}) == {"value": 2}


DRIVER = """
import sys
from elastomath.runs.ledger import Ledger
for seed in range(int(sys.argv[2]), 60, 2):
    with Ledger(sys.argv[1]) as ledger:
        ledger.put({"seed": seed}, {"value": seed})
"""


def test_two_commands_in_one_folder_never_find_it_locked(tmp_path):
    path = str(tmp_path / "o" / "l.sqlite")
    drivers = [
        subprocess.Popen([sys.executable, "-c", DRIVER, path, part], stderr=subprocess.PIPE, text=True) for part in "01"
    ]
    for driver in drivers:
        assert driver.communicate(timeout=100)[1] == ""
    with Ledger(path) as ledger:
        assert len(ledger.dump()["runs"]) == 60
