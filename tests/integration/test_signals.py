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
    "4000",
    "--points",
    "8",
    "--out",
    "o",
]
POOLED = ["verify", "--processes", "2", "--cases", "2000"]


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    pipe = subprocess.PIPE
    command = COMMAND + arguments
    return subprocess.Popen(
        command, cwd=folder, stdout=pipe, stderr=pipe, text=True, env=environment, preexec_fn=_interruptible
    )


def _interruptible() -> None:
    """A test run that ignores SIGINT, as one in the background of a script does, would hand that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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


READINGS = "\n".join(
    f"r{run},{name},{volume},{x},{1 + slope * x / (1 + x)},,bits/symbol,symbols"
    for run in range(160)
    for name, volume, slope in (("pretrain", 50 + run, -0.01), ("align", 1, 0.2), ("perturb", 4, -0.4))
    for x in (0, 0.5, 1, 2, 3, 4)
)
SHARES = "\n".join(f"r{i},{i / 400},{1 - i / 400},{1 + i / 800},{1.5 - i / 1000}" for i in range(1, 400))
TRAINED = ["--model", "model", "--device", "cpu", "--dtype", "float32", "--out", "o"]
PAIRED = ["--pairs", "pairs.jsonl", "--held-out", "8", "--batch", "4", "--max-tokens", "12"]
VERBS_AT_WORK: dict[str, list[str]] = {
    "simulate": ["simulate", *LONG[1:]],
    "transformer": ["simulate", "transformer", "--k", "4,16", "--alphabet", "2", "--length", "4", "--points", "9", "--examples", "512",
                    "--size", "50k", "--device", "cpu", "--out", "o"],
    "study": ["study", "volumes", "--preset", "quick", "--out", "o"],
    "verify": ["verify", "--processes", "1", "--cases", "2000"],
    "check": ["check", "--processes", "1"],
    "report": ["report", "--preset", "theory", "--out", "o/r.html"],
    "rates": ["rates", "long.txt", "--depth", "12"],
    "fit": ["fit", "many.csv", "--processes", "1", "--out", "o"],
    "joint": ["joint", "shares.csv", "--out", "o"],
    "plot": ["plot", "many.csv", "--out", "o/o.svg"],
    "measure": ["measure", "--model", "model", "--data", "long.txt", "--device", "cpu", "--dtype", "float32"],
    "encode": ["measure", "--model", "model", "--data", "long.txt", "--encode", "o/o.emc", "--device", "cpu", "--dtype", "float32"],
    "predict": ["predict", *TRAINED, *PAIRED, "--n", "4,8,16,32,64", "--adapt"],
    "track": ["track", "--models", ",".join(f"m{i}" for i in range(20)), "--pairs", "pairs.jsonl", "--perturbations",
              ",".join(str(8 * i) for i in range(1, 19)), "--limit", "30", "--device", "cpu", "--out", "o"],
    "rebound": ["experiment", "rebound", *TRAINED, "--align", "good.jsonl", "--perturb", "bad.jsonl", "--adapt-volume", "8",
                "--align-volumes", "4,8", "--perturb-volumes", "4,8", "--seeds", "0,1,2,3,4,5,6,7", "--held-out", "4", "--lora-rank", "0"],
    "durability": ["experiment", "durability", *TRAINED, *PAIRED, "--align-volumes", "8,16"],
    "defence": ["experiment", "defence", *TRAINED, *PAIRED, "--volume", "16"],
    "stiffness": ["experiment", "stiffness", "--model", "model", "--texts", "plus.jsonl,minus.jsonl,long.txt", "--positions", "400",
                  "--window", "16", "--device", "cpu", "--out", "o"],
    "inversion": ["experiment", "inversion", *TRAINED, "--align", "plus.jsonl", "--opposed", "minus.jsonl", "--budget", "200",
                  "--align-volume", "100", "--held-out", "4"],
    "resistance": ["experiment", "resistance", *TRAINED, "--align", "plus.jsonl", "--align-volume", "160", "--held-samples", "4",
                   "--sample-tokens", "8", "--held-out", "4"],
}  # fmt: skip
"""Each verb that computes for a while, on tiny models."""
SIDES = ("plus", "minus")
SOON = {"rates": 0.1, "joint": 0.1, "plot": 0.1, "predict": 0.4, "track": 0.4}
"""Seconds of computing after which verbs are stopped that are done within a second; the others after one."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from benchmarks import fuzz

    made = fuzz.materials(tmp_path_factory.mktemp("materials"))
    head = "run,component,volume,perturbation,rate,rate_se,rate_unit,volume_unit\n"
    fuzz.load_libraries()
    copies = {
        name.replace("model", f"m{i}", 1): made[name] for name in made if name.startswith("model/") for i in range(20)
    }
    return (
        made
        | copies
        | {
            "many.csv": (head + READINGS + "\n").encode(),
            "shares.csv": ("run,share_a,share_b,rate_a,rate_b\n" + SHARES + "\n").encode(),
            **{
                f"{name}.jsonl": "".join(f'{{"text": "{name} {i} film {i * i} light"}}\n' for i in range(1200)).encode()
                for name in SIDES
            },
            "long.txt": " ".join(str(i * i) for i in range(400_000)).encode(),
        }
    )


@pytest.mark.acceptance
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", VERBS_AT_WORK)
def test_a_signal_at_any_verb_is_one_line_and_leaves_whole_files(files, name, number):
    from benchmarks import fuzz

    used = {file: data for file, data in files.items() if not file.startswith("done/")}
    after = SOON.get(name, 1.0)
    outcome = fuzz.signalled(
        fuzz.Case(VERBS_AT_WORK[name], used), number, after * (0.6 if number == signal.SIGINT else 1.2)
    )
    assert outcome.code == 128 + number, outcome
    assert outcome.err.splitlines()[-1] == "elastomath: stopped; the same command continues from what it had recorded"
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not outcome.orphans
    assert [file for file in outcome.left if file.endswith(("-wal", "-shm")) or "/." in f"/{file}"] == []


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
            lines = len(err.splitlines())
            # by the signal itself Python ends before our first line, and after our last one
            assert lines == 1 or (lines == 0 and process.returncode == -signal.SIGINT)


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
