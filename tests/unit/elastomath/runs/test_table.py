"""Tables of runs in one file and in two, what is dropped, what is refused, and the verb that reads them (R27)."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from elastomath.errors import InputError
from elastomath.runs.table import read_runs
from paper_checks.claims.keep import SAVED_RUNS
from paper_checks.cli.commands import app


@pytest.fixture
def files(tmp_path):
    """Forty mixtures of three datasets as RegMix publishes its runs: two files, prefixes, one dataset without losses."""
    rng = np.random.default_rng(0)
    shares = np.round(rng.dirichlet([1.0, 1.0, 1.0, 0.02], 40), 3)
    rows = rng.dirichlet(np.full(30, 0.3), 4)
    rates = -np.log(shares / shares.sum(axis=1, keepdims=True) @ rows + 1e-9) @ rows.T
    mix, loss = tmp_path / "mix.csv", tmp_path / "loss.csv"
    names = ["arxiv", "github", "pile_cc", "enron"]
    head = ",".join(f"train_the_pile_{name}" for name in names)
    mix.write_text(f"index,{head}\n" + "".join(f"{i},{','.join(map(str, row))}\n" for i, row in enumerate(shares)))
    order = rng.permutation(40)[:38]  # another order, two runs without losses
    head = ",".join(f"metric/the_pile_{name}_val_loss" for name in names[:3])
    loss.write_text(f"index,{head}\n" + "".join(f"{i},{','.join(map(repr, rates[i, :3].tolist()))}\n" for i in order))
    return mix, loss, shares, rates


def test_two_files_are_joined_by_run_and_by_dataset(files):
    mix, loss, shares, rates = files
    told = read_runs(mix, loss)
    assert told.datasets == ("arxiv", "github", "pile_cc")
    assert told.unrated == ("enron",)
    assert told.dropped == 38 - len(told.runs) > 0
    for label, w, h in zip(told.runs, told.shares, told.rates, strict=True):
        assert w.tolist() == shares[int(label), :3].tolist()
        assert h == pytest.approx(rates[int(label), :3], rel=1e-15)
        assert w.sum() >= 0.98 - 1e-9
    assert len(read_runs(mix, loss, coverage=1e-6).runs) == 38


def test_one_file_and_volumes_in_any_unit(files, tmp_path):
    mix, loss, *_ = files
    two = read_runs(mix, loss)
    head = ",".join([f"share_{d}" for d in two.datasets] + [f"rate_{d}" for d in two.datasets])
    one = tmp_path / "one.csv"
    table = np.hstack([two.shares * 5e9, two.rates])
    one.write_text(
        f"run,{head}\n"
        + "".join(f"{r},{','.join(map(repr, row.tolist()))}\n" for r, row in zip(two.runs, table, strict=True))
    )
    told = read_runs(one)
    assert told.runs == two.runs
    assert told.shares == pytest.approx(two.shares * 5e9, rel=1e-15)
    seen = [
        json.loads(CliRunner().invoke(app, ["joint", *map(str, given), "--json"]).stdout)
        for given in ((one,), (mix, loss))
    ]
    assert seen[0]["violated"] == seen[1]["violated"] == 0
    assert seen[0]["effective"]["beta"]["estimate"] == pytest.approx(seen[1]["effective"]["beta"]["estimate"], rel=1e-6)
    assert set(seen[0]) >= {"runs", "violated", "comparisons", "delta", "effective"}
    beta = seen[1]["effective"]["beta"]
    assert beta["low"] < 1 < beta["high"]


def test_the_verb_says_what_it_saw_and_draws_it(files, tmp_path):
    mix, loss, *_ = files
    told = CliRunner().invoke(app, ["joint", str(mix), str(loss), "--out", str(tmp_path / "out")])
    assert told.exit_code == 0
    assert told.stdout.startswith("These ")
    assert "runs may all be joint optima" in " ".join(told.stdout.split())
    assert (tmp_path / "out" / "joint.svg").stat().st_size > 1000
    assert json.loads((tmp_path / "out" / "joint.json").read_text())["violated"] == 0
    few = tmp_path / "few.csv"
    few.write_text("run,share_a,share_b,rate_a,rate_b\n1,0.9,0.1,2.0,1.0\n2,0.1,0.9,1.0,3.0\n")
    seen = json.loads(CliRunner().invoke(app, ["joint", str(few), "--json"]).stdout)
    assert seen["violated"] == 2
    assert seen["delta"] == pytest.approx([0.7, 1.7])
    assert seen["effective"]["beta"]["estimate"] is None  # two runs tell no power


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run,share_a,rate_a\n1,1,1\n2,1,1\n", "1 datasets"),
        ("run,share_a,share_b,rate_a,rate_b\n1,0.5,0.5,1,x\n2,0.5,0.5,1,1\n", "'x' in column 'rate_b'"),
        ("run,share_a,share_b,rate_a,rate_b\n1,0.5,-0.5,1,1\n2,0.5,0.5,1,1\n", "negative"),
        ("run,share_a,share_b,rate_a,rate_b\n1,0.5,0.5,1,1\n", "1 of 1 runs"),
        ("run,share_a,share_b,rate_a,rate_b\n", "0 runs"),
        ("run,share_a,share_b,rate_a\n1,0.5,0.5,1\n", "1 datasets"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, text, message):
    file = tmp_path / "runs.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_runs(file)


def test_a_run_that_occurs_twice_is_refused(files, tmp_path):
    mix, loss, *_ = files
    doubled = tmp_path / "doubled.csv"
    doubled.write_text(loss.read_text() + loss.read_text().splitlines()[1] + "\n")
    with pytest.raises(InputError, match="occurs twice"):
        read_runs(mix, doubled)


def test_the_saved_reading_of_regmix():
    saved = json.loads((SAVED_RUNS / "joint-regmix" / "joint-regmix.json").read_text())["sets"]
    seen = {name: (one["runs"], one["violated"], one["comparisons"]) for name, one in saved.items()}
    assert seen == {
        "1M, train": (287, 211, 82082),
        "1M, test": (140, 0, 19460),
        "60M": (140, 6, 19460),
        "1B": (51, 1, 2550),
    }
    for one in saved.values():
        beta = one["effective"]["beta"]
        assert 0.5 < beta["low"] < 1 < beta["high"]
        assert len(one["delta"]) == one["runs"]
        assert 0.45 < one["shuffled"] < 0.6
        assert one["effective"]["margin"] > 0
