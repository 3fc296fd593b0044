"""Executors by name: results, failures and killed workers come back as what they are, and bad names in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Executor

import pytest

from elastomath import InputError
from elastomath.runs.executors import THREADS, WorkerDiedError, open_executor
from elastomath.runs.ledger import Ledger, sweep

PLACES = ["local", "slurm-local"]


@pytest.fixture(autouse=True)
def found_elsewhere(monkeypatch):
    """What these tests send elsewhere is found there by its module's name."""
    here = os.path.dirname(__file__)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
    monkeypatch.syspath_prepend(here)
    sys.modules["test_executors"] = sys.modules[__name__]
    for function in (square, wrong, killed, threads, pid, slow):
        monkeypatch.setattr(function, "__module__", "test_executors")


def square(configuration):
    return {"value": configuration["x"] ** 2}


def wrong(configuration):
    if configuration["x"] == 1:
        raise InputError("no such source", where="here", mend="name another")
    raise ZeroDivisionError("two")


def killed(configuration):
    if configuration["x"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if configuration["x"] == 3:
        os._exit(5)
    return {"value": configuration["x"]}


def threads(configuration):
    return {name: os.environ.get(name) for name in THREADS}


def pid(configuration):
    return {"pid": os.getpid(), "parent": os.getppid()}


def slow(configuration):
    time.sleep(60)
    return {}


@pytest.mark.parametrize("spec", PLACES)
def test_results_errors_and_bad_input_come_back(spec):
    with open_executor(spec, workers=2) as executor:
        assert isinstance(executor, Executor)
        futures = [executor.submit(square, {"x": x}) for x in range(2)]
        bad, two = executor.submit(wrong, {"x": 1}), executor.submit(wrong, {"x": 2})
        assert [future.result() for future in futures] == [{"value": 0}, {"value": 1}]
        assert str(bad.exception()) == "no such source (here): name another"
        assert isinstance(bad.exception(), InputError)
        assert isinstance(two.exception(), ZeroDivisionError)


def test_here_is_no_executor():
    with open_executor("here") as executor:
        assert executor is None


def test_processes_are_ours_and_few(tmp_path):
    before = {name: os.environ.get(name) for name in THREADS}
    with open_executor("local", workers=2) as executor:
        seen = [future.result() for future in [executor.submit(pid, {}) for _ in range(8)]]
        assert {row["parent"] for row in seen} == {os.getpid()}
        assert 1 <= len({row["pid"] for row in seen}) <= 2
        assert executor.submit(threads, {}).result() == dict.fromkeys(THREADS, "1")
    assert {name: os.environ.get(name) for name in THREADS} == before
    for row in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(row["pid"], 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_costs_its_own_run_and_no_other(tmp_path, workers, capsys):
    configurations = [{"x": x} for x in range(7)]
    with Ledger(tmp_path / "l.sqlite") as ledger, open_executor("local", workers=workers) as executor:
        results, failures = sweep(killed, configurations, ledger, executor)
        assert [row and row["value"] for row in results] == [0, 1, None, None, 4, 5, 6]
        assert len(failures) == 2
        reasons = sorted(ledger.failures().values())
        assert "WorkerDiedError: the process of this run left with exit code 5" in reasons[0]
        assert "killed by signal 9" in reasons[1]
        results, failures = sweep(square, configurations, ledger, executor)  # tried again
        assert (results[2], results[3], failures) == ({"value": 4}, {"value": 9}, [])
        assert ledger.failures() == {}


def test_a_killed_job_of_submitit_is_a_failed_run():
    with open_executor("slurm-local", workers=1) as executor:
        error = executor.submit(killed, {"x": 2}).exception()
        assert isinstance(error, WorkerDiedError)
        assert len(str(error).splitlines()) == 1
        assert executor.submit(square, {"x": 2}).result() == {"value": 4}


@pytest.mark.parametrize("spec", PLACES)
def test_an_exception_in_the_block_ends_what_runs_and_cancels_what_waits(spec):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), open_executor(spec, workers=1) as executor:  # noqa: PT012
        futures = [executor.submit(slow, {}) for _ in range(3)]
        while not futures[0].running():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 20
    assert isinstance(futures[0].exception(), WorkerDiedError)
    for future in futures[1:]:
        with pytest.raises((CancelledError, WorkerDiedError)):
            future.result()


ORPHAN = """
import os, sys, time
from elastomath.runs.executors import open_executor
from test_executors_orphan import hold
if __name__ == "__main__":
    with open_executor("local") as executor:
        executor.submit(hold, sys.argv[1]).result()
"""


def test_no_process_outlives_a_driver_that_was_killed(tmp_path):
    (tmp_path / "test_executors_orphan.py").write_text(
        "import os, time\ndef hold(path):\n    open(path, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    (tmp_path / "driver.py").write_text(ORPHAN)
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "pid")])
    until = time.monotonic() + 30
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    worker = int((tmp_path / "pid").read_text())
    driver.kill()
    driver.wait()
    while _alive(worker):
        assert time.monotonic() < until, "the worker of a dead driver goes on"
        time.sleep(0.05)


def _alive(worker):
    try:
        with open(f"/proc/{worker}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_cannot_be_sent_fails_as_one_run():
    with open_executor("local") as executor:
        assert executor.submit(lambda: 1).exception() is not None
        assert executor.submit(square, {"x": 3}).result() == {"value": 9}


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("cloud", {}, ["unknown executor 'cloud'", "slurm-local"]),
        ("local", {"workers": 0}, ["0 workers"]),
        ("local", {"timeout": 1}, ["timeout", "executor local"]),
        ("slurm", {}, ["no SLURM here", "local"]),
        ("slurm-local", {"no_such": 1}, ["no_such"]),
    ],
)
def test_bad_executors_are_one_line(spec, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError) as caught, open_executor(spec, **options):
        pass
    assert len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(("spec", "extra"), [("slurm-local", "slurm"), ("tcp://127.0.0.1:1", "dask")])
def test_a_missing_extra_is_named(spec, extra, monkeypatch):
    module = {"slurm": "submitit", "dask": "distributed"}[extra]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"-e '\.\[{extra}\]'"), open_executor(spec):
        pass


def test_a_scheduler_that_does_not_answer_is_one_line():
    pytest.importorskip("distributed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(InputError, match="no Dask scheduler answered within 1 s"):  # noqa: SIM117
            with open_executor(address, timeout=1):
                pass
        assert time.monotonic() - start < 15
