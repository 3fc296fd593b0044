"""The Curve: every rule of its format with the row and the rule named, and files that come back to the same bits."""

from __future__ import annotations

import csv
import errno
import os
import xml.etree.ElementTree

import numpy as np
import pandas as pd
import pytest

from elastomath import Curve, InputError
from elastomath.curve import COLUMNS
from elastomath.figures.curves import curve_figure
from elastomath.style import svg


def frame(run="r", steps=(0.0, 0.5, 1.0)):
    rows = [
        {"run": run, "component": name, "volume": volume, "perturbation": step, "rate": 1.0 + index + step / 7}
        for index, (name, volume) in enumerate((("pretrain", 10.0), ("align", 1.0), ("perturb", 1.0)))
        for step in steps
    ]
    return pd.DataFrame(rows).assign(rate_se=0.01, rate_unit="bits/byte", volume_unit="tokens")


def test_the_valid_table_is_accepted_as_it_is():
    curve = Curve(frame())
    assert curve.runs == ("r",)
    assert list(curve.frame[list(COLUMNS)].columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(curve.frame[list(frame().columns)], frame(), check_dtype=False)


# column, bad value, row (from 1, below the header), what the message says of the rule
RULES = [
    ("volume", np.nan, 4, "volume is empty .*finite and > 0"),
    ("volume", 0.0, 1, "volume is 0.0 .*finite and > 0"),
    ("volume", -1.0, 1, "volume is -1.0 .*finite and > 0"),
    ("volume", np.inf, 1, "volume is inf .*finite and > 0"),
    ("volume", 2.0, 5, "volume is 2.0 .*same for the whole run and component"),
    ("perturbation", np.nan, 2, "perturbation is empty .*finite and >= 0"),
    ("perturbation", -0.5, 2, "perturbation is -0.5 .*finite and >= 0"),
    ("perturbation", np.inf, 9, "perturbation is inf .*finite and >= 0"),
    ("perturbation", 0.0, 3, "perturbation is 0.0 .*occur once"),
    ("perturbation", 1.1, 3, "perturbation is 1.1 .*may not exceed"),
    ("perturbation", 0.25, 4, "perturbation is 0.25 .*a row at 0 for every component"),
    ("rate", np.nan, 6, "rate is empty .*finite and >= 0"),
    ("rate", -1e-9, 6, "rate is -1e-09 .*finite and >= 0"),
    ("rate", np.inf, 6, "rate is inf .*finite and >= 0"),
    ("rate", "fast", 6, "rate is 'fast' .*has to be a number"),
    ("rate_se", -0.1, 7, "rate_se is -0.1 .*empty, or finite and >= 0"),
    ("rate_se", np.inf, 7, "rate_se is inf .*empty, or finite and >= 0"),
    ("rate_se", "small", 7, "rate_se is 'small' .*has to be a number"),
    ("rate_unit", "bans", 2, "rate_unit is 'bans' .*one of bits/byte"),
    ("rate_unit", "bits/token", 2, "rate_unit is 'bits/token' .*same in the whole run"),
    ("rate_unit", "", 2, "rate_unit is '' .*may not be empty"),
    ("volume_unit", "litres", 2, "volume_unit is 'litres' .*one of tokens"),
    ("volume_unit", "bytes", 2, "volume_unit is 'bytes' .*same in the whole run"),
    ("run", "", 3, "run is '' .*may not be empty"),
    ("run", None, 3, "run is empty .*may not be empty"),
    ("component", " ", 3, "component is ' ' .*may not be empty"),
]


@pytest.mark.parametrize(("column", "value", "row", "says"), RULES)
def test_a_broken_rule_is_told_with_its_row(column, value, row, says):
    bad = frame().astype({column: object})
    bad.loc[row - 1, column] = value
    with pytest.raises(InputError, match=rf"row {row}: {says}") as caught:
        Curve(bad, where="a.csv")
    assert "(a.csv)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", [column for column in COLUMNS if column != "rate_se"])
def test_a_missing_column_is_named(column):
    with pytest.raises(InputError, match=f"columns missing: {column} "):
        Curve(frame().drop(columns=column))


def test_a_column_twice_no_rows_and_no_table_are_refused():
    with pytest.raises(InputError, match="'rate' occurs twice"):
        Curve(pd.concat([frame(), frame()[["rate"]]], axis=1))
    with pytest.raises(InputError, match="no rows"):
        Curve(frame().iloc[:0])
    with pytest.raises(InputError, match="type dict"):
        Curve({"run": ["a"]})
    for wrong in (True, 1j):
        with pytest.raises(InputError, match="has to be a number"):
            Curve(frame().assign(rate=wrong))


def test_standard_errors_may_be_missing_or_empty():
    assert Curve(frame().drop(columns="rate_se")).run("r").rate_se.shape == (3, 3)
    assert np.isnan(Curve(frame().assign(rate_se=np.nan)).run("r").rate_se).all()


def test_a_run_is_arrays_on_one_grid_with_the_perturbation_last():
    shuffled = frame().sample(frac=1, random_state=2)
    run = Curve(shuffled).run("r")
    assert run.components == ("pretrain", "align", "perturb")
    assert run.volumes.tolist() == [10, 1, 1]
    assert run.perturbations.tolist() == [0, 0.5, 1]
    np.testing.assert_array_equal(run.rates, frame()["rate"].to_numpy().reshape(3, 3))
    other = frame().replace({"component": {"align": "zebra", "pretrain": "ant"}})
    assert Curve(other).run("r").components == ("ant", "zebra", "perturb")


def test_components_read_at_different_perturbations_are_told():
    curve = Curve(frame().drop(index=4))
    with pytest.raises(InputError, match=r"'align' has no reading at perturbation 0\.5"):
        curve.run("r")
    with pytest.raises(InputError, match=r"no run named 'x'.*choose one of r"):
        curve.run("x")


def test_runs_keep_their_own_units_and_may_not_repeat():
    other = frame("s").assign(rate_unit="nats/symbol", volume_unit="symbols")
    curve = Curve.concat([Curve(frame()), Curve(other)])
    assert [(run.name, run.rate_unit) for run in curve] == [("r", "bits/byte"), ("s", "nats/symbol")]
    with pytest.raises(InputError, match=r"row 10: perturbation is 0\.0 .*occur once"):
        Curve.concat([Curve(frame()), Curve(frame())])
    with pytest.raises(InputError, match="no curve to join"):
        Curve.concat([])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_a_file_comes_back_to_the_same_bits(tmp_path, suffix):
    rng = np.random.default_rng(0)
    steps = np.concatenate([[0], np.cumsum(rng.random(400))])
    awkward = [5e-324, 1e-300, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, 0.0]
    rates = {name: rng.random(401) * 10.0 ** rng.integers(-12, 12, 401) for name in ("pretrain", "align", "perturb")}
    rates["align"][: len(awkward)] = awkward
    volumes = {"pretrain": 1e12 / 3, "align": 7.1, "perturb": steps[-1]}
    curve = Curve.from_paths(
        "NA", volumes, steps, rates, "bits/symbol", "symbols", model='é, "quoted"\n;', seed=3, alpha=0.1
    )
    back = Curve.read(curve.write(tmp_path / f"a{suffix}"))
    assert back.runs == ("NA",)  # a name, though to pandas no value
    pd.testing.assert_frame_equal(back.frame, curve.frame, check_exact=True)


def test_perturbation_at_the_volume_of_perturb_survives_rounding():
    steps = np.array([0.0, 0.1, 0.3])
    rates = {name: [1.0, 1.0, 1.0] for name in ("align", "perturb")}
    Curve.from_paths("r", {"align": 1, "perturb": 0.1 + 0.2 - 5e-17}, steps, rates, "bits/byte", "tokens")
    with pytest.raises(InputError, match="may not exceed"):
        Curve.from_paths("r", {"align": 1, "perturb": 0.299}, steps, rates, "bits/byte", "tokens")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rates": {"align": [1, 1]}}, "rate of align for volumes of align, perturb"),
        ({"rates": {"align": [1, 1], "perturb": [1]}}, r"rate of perturb has shape \(1,\)"),
        ({"rate_se": {"align": [1, 1], "perturb": [[1, 1]]}}, r"rate_se of perturb has shape \(1, 2\)"),
        ({"volume": 3}, "a covariate named volume"),
        ({"volumes": {}, "rates": {}}, "no component"),
        ({"rate_unit": "bans"}, "run r.*one of bits/byte"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(change, says):
    good = {"run": "r", "volumes": {"align": 1, "perturb": 1}, "perturbations": [0, 1]}
    good |= {"rates": {"align": [1, 1], "perturb": [1, 1]}, "rate_unit": "bits/byte", "volume_unit": "tokens"}
    Curve.from_paths(**good)
    with pytest.raises(InputError, match=says):
        Curve.from_paths(**(good | change))


def test_damaged_files_are_refused_in_one_line(tmp_path):
    good = Curve(frame()).write(tmp_path / "good.parquet").read_bytes()
    for name, data, says in (
        ("cut.parquet", good[: len(good) // 2], "not a readable Parquet file"),
        ("head.parquet", good[:4], "not a readable Parquet file"),
        ("none.parquet", b"", "not a readable Parquet file"),
        ("text.parquet", b"run,component", "not a readable Parquet file"),
        ("none.csv", b"", "the file is empty"),
        ("binary.csv", b"\xff\xfe\x00", "not UTF-8: byte 1 is 0xff"),
        ("ragged.csv", b"run,component\na,b\na,b,c,d\n", "line 3: 4 fields where the header has 2 fields"),
        ("short.csv", b"run,component\na,b\na\n", "line 3: 1 field where the header has 2 fields"),
        ("shifted.csv", ",".join(COLUMNS).encode() + b"\na,align,1,0,2,,bits/byte,tokens,\n", "line 2: 9 fields"),
        ("twice.csv", ",".join([*COLUMNS, "rate"]).encode(), "column 'rate' occurs twice"),
        ("header.csv", ",".join(COLUMNS).encode(), "no rows"),
        ("other.csv", b"a,b\n1,2\n", "columns missing: run, component"),
        ("curve.xlsx", b"x", "unknown suffix '.xlsx'"),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(InputError, match=says) as caught:
            Curve.read(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    for missing in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(
            InputError, match=r"no such curve file|a folder, where a curve file is wanted.*name a file in it"
        ):
            Curve.read(missing)


def test_a_csv_row_number_counts_below_the_header(tmp_path):
    file = Curve(frame()).write(tmp_path / "a.csv")
    lines = file.read_text().splitlines()
    lines[5] = lines[5].replace(",0.5,", ",oops,")
    file.write_text("\n".join(lines))
    with pytest.raises(InputError, match="row 5: perturbation is 'oops'"):
        Curve.read(file)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_a_write_that_stops_leaves_the_old_file(tmp_path, monkeypatch, suffix, error):
    file = Curve(frame()).write(tmp_path / f"a{suffix}")
    before = file.read_bytes()

    def stops(_, path, **options):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(pd.DataFrame, "to_csv" if suffix == ".csv" else "to_parquet", stops)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError
    with pytest.raises(expected) as caught:
        Curve(frame("other")).write(file)
    if expected is InputError:
        assert "No space left" in str(caught.value)
        assert str(file) in str(caught.value)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == [file.name]


def test_a_wrong_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"unknown suffix '\.json'.*\.csv or \.parquet"):
        Curve(frame()).write(tmp_path / "deep" / "a.json")
    assert os.listdir(tmp_path) == []


def test_a_curve_shows_itself():
    curve = Curve.from_paths(
        "a < b", {"pretrain": 10, "align": 1, "perturb": 1}, [0, 1],
        {"pretrain": [1.0, 0.99], "align": [1.0, 1.05], "perturb": [1.0, 0.6]}, "bits/symbol", "symbols",
    )  # fmt: skip
    assert repr(curve) == (
        "Curve of 1 run (a < b): pretrain, align, perturb in bits/symbol, at 2 perturbations up to 1 symbols."
    )
    html = curve._repr_html_()
    assert "<svg" in html
    assert "a &lt; b" in html
    assert "a < b" not in html
    frame = curve.to_frame()
    frame.loc[0, "rate"] = 7.0
    assert curve.frame.loc[0, "rate"] == 1.0  # a copy
    assert len(curve.plot().axes) == 3


def test_a_fit_shows_itself():
    from elastomath.fit.fit import fit_run
    from sim import simulate_mixture

    curve = simulate_mixture([10.0], leaves=64, points=8)
    fitted = fit_run(curve.run(curve.runs[0]))
    assert "pre-training outweighs alignment 10" in repr(fitted)
    assert list(fitted.to_frame()["constant"]) == ["K_pretrain", "K_align", "kappa", "elastic limit"]
    assert fitted.plot().axes
    assert "<svg" in fitted._repr_html_()


def test_a_text_that_a_spreadsheet_would_compute_is_quoted_in_csv_and_comes_back(tmp_path):
    names = ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@sum", "\tx", "'=1", "''=1", "'plain", "-5", "a=b", "\u202e\x1b[31m"]
    table = pd.concat([frame().assign(run=name, note=name) for name in names], ignore_index=True)
    curve = Curve(table)
    file = curve.write(tmp_path / "a.csv")
    again = Curve.read(file)
    assert again.runs == tuple(names)
    assert [str(note) for note in again.frame["note"].drop_duplicates()] == names
    fields = [field for line in csv.reader(file.open(newline="", encoding="utf-8")) for field in line]
    assert not [
        field for field in fields if field.startswith(("=", "+", "-", "@", "\t")) and not field.lstrip("-").isdigit()
    ]
    shown = svg(curve_figure(curve))
    xml.etree.ElementTree.fromstring(shown)
    assert "\x1b" not in shown


def test_what_is_computed_with_has_squares_and_quotients():
    for column, value in (("rate", 1e308), ("rate_se", 1e300), ("volume", 1e-300)):
        table = frame()
        table.loc[table["component"] == "align", column] = value
        with pytest.raises(InputError, match=f"{column} is .*: take another unit"):
            list(Curve(table))
    with pytest.raises(InputError, match=r"perturbation is 1e-60 .*: take another unit"):
        list(Curve(frame(steps=(0.0, 1e-60, 1.0))))
