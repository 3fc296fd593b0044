"""Sweeps: the same on every executor, the same after a kill, the same from every seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elastomath import Curve, InputError
from elastomath.laws.logit import aligned_contrast, undo_volume
from elastomath.runs.executors import open_executor
from elastomath.runs.ledger import Ledger
from paper_checks.cli.commands import main
from sim.cycles.sweeps import configurations, run, simulate
from tests.forks import killed_once

from .logged_sweep import logged

CYCLE = {"perturbations": [0, 0.25, 1], "alignments": [0.5, 1]}
SMALL = {"name": "union", "alphabet": 2, "length": 5}


def quick_sweep():
    """Every compressor that runs in milliseconds; sampled and expected, joint and sequential."""
    runs = configurations("mixture", source=SMALL, cycle=CYCLE, mode=["joint", "sequential"], seed=[0])
    runs += configurations(
        "counting", source={"name": "markov", "alphabet": 2, "length": 6}, cycle=CYCLE, resistance=0.5, seed=[0, 1],
        settings={"forgetting": 0.2, "sampled": True},
    )  # fmt: skip
    return runs + configurations(
        "softmax", source=SMALL, cycle=CYCLE, settings={"count": 8}, mode=["joint", "sequential"]
    )


def sweep_of_every_kind():
    """The quick ones, and a transformer."""
    short = {"perturbations": [0, 0.5], "alignments": [1], "inverse": False, "k": 2}
    return quick_sweep() + configurations(
        "transformer", source=SMALL, cycle=short, settings={"examples": 64, "batch": 32}
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The sweep in this process: its files' bytes and the content of its ledger."""
    return made(sweep_of_every_kind(), tmp_path_factory.mktemp("here"), None)


@pytest.fixture(scope="module")
def quickly_here(tmp_path_factory):
    """The quick sweep in this process: workers that are not asked for a transformer do not load torch."""
    return made(quick_sweep(), tmp_path_factory.mktemp("quick"), None)


def made(runs, folder, executor):
    result = simulate(runs, folder, executor=executor)
    assert result["runs"] == {"done": len(runs), "failed": 0, "total": len(runs)}
    with Ledger(result["ledger"]) as ledger:
        dump = ledger.dump()
    return dump, *(Path(result[name]).read_bytes() for name in ("curve", "records"))


def test_the_local_pool_gives_the_same(here, tmp_path):
    with open_executor("local", workers=2) as executor:
        assert made(sweep_of_every_kind(), tmp_path, executor) == here


def test_submitits_local_executor_gives_the_same(quickly_here, tmp_path):
    pytest.importorskip("submitit")
    with open_executor("slurm-local", workers=2) as executor:
        assert made(quick_sweep(), tmp_path, executor) == quickly_here


def test_a_dask_cluster_of_two_workers_gives_the_same(quickly_here, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
    )
    with cluster, open_executor(cluster.scheduler_address) as executor:
        assert made(quick_sweep(), tmp_path, executor) == quickly_here


def test_a_ledger_that_differs_is_seen(here, tmp_path):
    other = configurations("mixture", source=SMALL, cycle=CYCLE, mode=["joint", "sequential"], seed=[1])
    assert made(other, tmp_path, None)[0] != here[0]


def logged_sweep(folder: Path, spec: str) -> None:
    """Twelve short runs into ``folder``; each that ends adds a line to its ``log``."""
    os.environ["SWEEP_LOG"] = str(folder / "log")
    runs = configurations(
        "counting", source=SMALL, seed=list(range(12)), cycle={"perturbations": [0, 0.25, 1]}, settings={"sampled": True}
    )  # fmt: skip
    with open_executor(spec, workers=2) as executor:
        simulate(runs, folder, executor=executor, function=logged)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """The folder of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWEEP_LOG", "")
        logged_sweep(folder, "here")
    return folder


@pytest.mark.parametrize("spec", ["here", "local"])
def test_a_killed_sweep_ends_as_one_that_was_left_alone_and_repeats_nothing(left_alone, tmp_path, monkeypatch, spec):
    monkeypatch.setenv("SWEEP_LOG", "")
    folder = tmp_path / "cut"
    folder.mkdir()
    ledger = folder / "simulate.sqlite"
    in_the_middle = lambda: ledger.exists() and len(finished(ledger)) >= 3  # noqa: E731
    killed_once(in_the_middle, lambda: logged_sweep(folder, spec), tmp_path / "said.txt")
    done = finished(ledger)
    assert 3 <= len(done) < 12
    logged_sweep(folder, spec)
    with Ledger(left_alone / "simulate.sqlite") as one, Ledger(ledger) as two:
        assert one.dump() == two.dump()
        assert len(one.dump()["runs"]) == 12
    for name in ("simulate.csv", "simulate.json"):
        assert (left_alone / name).read_bytes() == (folder / name).read_bytes()
    log = (folder / "log").read_text().split()
    assert set(log) == {row["key"] for row in dump_of(ledger)["runs"]}
    assert all(log.count(key) == 1 for key in done)  # no finished run is repeated
    assert len(log) <= 12 + 2  # at most what was on its way in two workers
    logged_sweep(folder, "here")
    assert (folder / "log").read_text().split() == log  # all is done: nothing is run


def finished(path):
    try:
        return {row["key"] for row in dump_of(path)["runs"]}
    except InputError:  # not quite there yet
        return set()


def dump_of(path):
    with Ledger(path) as ledger:
        return ledger.dump()


def test_every_seed_reproduces_its_curve_in_a_fresh_process(here):
    """The same bits from another interpreter, other bits from another seed; a transformer's come from the executors above."""
    program = (
        "import json, sys\nfrom sim.cycles.sweeps import run\n"
        "json.dump([run(c)['runs'] for c in json.load(sys.stdin)], sys.stdout)"
    )
    runs = [c for c in sweep_of_every_kind() if c["dynamics"] in ("softmax", "counting")]
    answer = subprocess.run([sys.executable, "-c", program], input=json.dumps(runs), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    recorded = {json.dumps(row["configuration"], sort_keys=True): row["result"]["runs"] for row in here[0]["runs"]}
    for configuration, again in zip(runs, json.loads(answer.stdout), strict=True):
        assert recorded[json.dumps(configuration, sort_keys=True)] == again
    for configuration in (runs[0], sweep_of_every_kind()[-1]):
        other = run(configuration | {"seed": 7})["runs"]
        assert other[0]["entropies"] != recorded[json.dumps(configuration, sort_keys=True)][0]["entropies"]


def test_a_run_that_fails_is_recorded_and_tried_again(tmp_path, capsys):
    runs = configurations("mixture", source=SMALL, cycle=CYCLE, seed=[0, 1, 2])
    result = simulate(runs, tmp_path, function=fails_at_one)
    assert result["runs"] == {"done": 2, "failed": 1, "total": 3}
    assert "training diverged" in result["failures"][0]
    assert len(Curve.read(result["curve"]).runs) == 4
    assert dump_of(result["ledger"])["failures"][0]["reason"].startswith("FloatingPointError")
    result = simulate(runs, tmp_path)
    assert (result["runs"]["done"], dump_of(result["ledger"])["failures"]) == (3, [])
    with pytest.raises(InputError, match="no run ended well"):
        simulate(configurations("mixture", seed=[1], source=SMALL), tmp_path, name="bad", function=fails_at_one)


def fails_at_one(configuration):
    if configuration["seed"] == 1:
        raise FloatingPointError("training diverged: a rate is not a number")
    return run(configuration)


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_simulate_goes_through_a_ledger_and_the_same_command_ends_at_once(capsys, tmp_path):
    command = ["simulate", "counting", "--k", "2,8", "--align", "0.5,1", "--forgetting", "0,0.1", "--length", "3"]
    command += ["--points", "2", "--resistance", "0.5", "--out", tmp_path, "--json"]
    code, out, _ = call(capsys, *command)
    first = json.loads(out)
    assert code == 0
    assert (first["runs"], first["failed"]) == (4, 0)
    assert {"curve", "runs", "seconds"} <= set(first)
    assert all(os.path.exists(figure) for figure in first["figures"])
    assert len(first["figures"]) == 5
    curve = Curve.read(first["curve"])
    assert len(curve.runs) == 8
    assert set(curve.frame["forgetting"]) == {0.0, 0.1}
    content = Path(first["records"]).read_bytes()
    code, out, _ = call(capsys, *command)
    assert code == 0
    assert Path(first["records"]).read_bytes() == content


def test_the_logit_compressor_is_undone_by_what_the_law_says(capsys, tmp_path):
    """A behaviour of one direction, aligned by two volumes in sequence: its undo volumes are those of R22."""
    command = [
        "simulate",
        "logit",
        "--source",
        "behaviour",
        "--align",
        "16,64",
        "--constant",
        "0.3,0.6",
    ]
    code, out, _ = call(capsys, *command, "--k", "10", "--points", "2", "--out", tmp_path, "--json")
    told = json.loads(out)
    assert (code, told["runs"], told["failed"]) == (0, 2, 0)
    for row in json.loads(Path(told["records"]).read_text())["runs"]:
        constant = row["configuration"]["settings"]["constant"]
        for way in row["record"]["runs"]:
            n, undo = way["volumes"][1], way["undo"]
            z = way["entropies"][2][0] - way["entropies"][1][0]
            assert z == pytest.approx(float(aligned_contrast(0.0, n, constant)), rel=1e-12)
            assert undo["volume"] == pytest.approx(float(undo_volume(0.0, n, constant)), rel=2e-3)


def test_perceptrons_of_several_widths_go_through_their_life_cycle(capsys, tmp_path):
    command = [
        "simulate",
        "perceptron",
        "--width",
        "4,8",
        "--depth",
        "1",
        "--alphabet",
        "2",
        "--length",
        "3",
        "--k",
        "2",
    ]
    code, out, _ = call(capsys, *command, "--points", "2", "--examples", "64", "--out", tmp_path, "--json")
    told = json.loads(out)
    assert (code, told["runs"], told["failed"]) == (0, 2, 0)
    assert set(Curve.read(told["curve"]).frame["width"]) == {4, 8}


def test_joint_life_cycles_of_the_mixture_keep_the_fast_curve(capsys, tmp_path):
    """Both ways to a mixture's joint optima, `--mode joint` and none, are the same law on the same masses."""
    shared = ["--k", "4", "--points", "5", "--l-max", "2"]
    _, out, _ = call(capsys, "simulate", "mixture", *shared, "--leaves", "256", "--out", tmp_path / "a", "--json")
    fast = Curve.read(json.loads(out)["curve"])
    cycle = [*shared, "--mode", "joint", "--alphabet", "4", "--length", "4", "--out", tmp_path / "b", "--json"]
    _, out, _ = call(capsys, "simulate", "mixture", *cycle)
    slow = Curve.read(json.loads(out)["curve"])
    np.testing.assert_allclose(next(iter(slow)).rates * 4, next(iter(fast)).rates, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["counting", "--size", "50k"], ["counting has no size", "--size"]),
        (["mixture", "--mode", "sequential", "--forgetting", "0.1"], ["--forgetting", "counting"]),
        (["counting", "--source", "weather"], ["weather", "markov"]),
        (["counting", "--mode", "backwards"], ["backwards", "joint"]),
        (["counting", "--align", "2,1"], ["alignments"]),
        (["counting", "--noise", "0.1"], ["--noise"]),
        (["counting", "--executor", "cloud"], ["unknown executor", "cloud"]),
        (["counting", "--forgetting", "1"], ["forgetting"]),
        (["transformer", "--size", "9q"], ["9q"]),
        (["transformer", "--dtype", "float8"], ["float8"]),
        (["softmax", "--learning-rate", "-1"], ["learning rate"]),
        (["counting", "--alphabet", "1"], ["1"]),
        (["softmax", "--width", "8"], ["softmax has no width", "perceptron"]),
        (["perceptron", "--depth", "1.5"], ["--depth", "1.5"]),
        (["perceptron", "--width", "0"], ["width 0"]),
        (["logit", "--alphabet", "4"], ["4 symbols", "--alphabet 2"]),
        (["logit", "--alphabet", "2", "--constant", "0"], ["constant"]),
    ],
)
def test_bad_sweeps_are_one_line(capsys, tmp_path, arguments, words):
    code, out, err = call(capsys, "simulate", *arguments, "--out", tmp_path)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1), err
    assert all(word in err for word in words)
