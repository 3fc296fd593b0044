"""What bad input has done once, in its smallest form; and a short pass of the fuzzer (`benchmarks.fuzz`)."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks import crashes, fuzz
from elastomath import InputError
from paper_checks.cli.commands import app, main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("torch")
    return fuzz.materials(tmp_path_factory.mktemp("materials"))


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command line in a folder with these files: its one line of refusal, nothing else, and nothing left."""

    def run(*arguments: str, **given: bytes) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ELASTOMATH_CACHE", str(tmp_path / "cache"))
        for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", ""), ("PIP_INDEX_URL", "file:///dev/null")):
            monkeypatch.setenv(name, value)  # what is refused too late would be fetched first
        for name, data in given.items():
            (tmp_path / name.replace("_", ".")).write_bytes(data)
        before = fuzz.contents(tmp_path)
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        told = capsys.readouterr()
        outcome = fuzz.Outcome(int(stop.value.code or 0), told.out, told.err, 0.0, 0)
        assert fuzz.fault(outcome) == ""
        assert outcome.code == 2, outcome
        assert fuzz.contents(tmp_path) == before
        return told.err

    return run


LARGE = ("4294967296", "1000000000000", "9223372036854775808", "1" + "0" * 400)


@pytest.mark.parametrize("count", LARGE)
@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "counting", "--seeds"],
        ["simulate", "mixture", "--leaves"],
        ["simulate", "mixture", "--points"],
        ["simulate", "counting", "--length"],
        ["simulate", "softmax", "--alphabet"],
        ["simulate", "counting", "--source", "markov", "--length"],
        ["simulate", "counting", "--executor", "local", "--workers"],
        ["verify", "--only", "R2", "--cases"],
        ["verify", "--only", "R2", "--processes"],
        ["predict", "--pairs", "advice", "--batch"],
        ["experiment", "rebound", "--lora-rank"],
        ["experiment", "rebound", "--batch"],
        ["experiment", "rebound", "--align-volumes"],
        ["experiment", "durability", "--held-out"],
        ["experiment", "stiffness", "--positions"],
        ["experiment", "inversion", "--budget"],
    ],
)  # fmt: skip
def test_every_count_has_an_upper_end(refused, arguments, count):
    refused(*arguments, count)


def test_the_upper_end_says_why(refused):
    assert "GB of memory are at hand" in refused("simulate", "counting", "--seeds", LARGE[1])
    assert "GB of memory are at hand" in refused("experiment", "rebound", "--lora-rank", LARGE[1])


def test_an_error_line_repeats_no_more_than_its_ends(refused):
    wide = ",".join(f"c{i}" for i in range(20_000)).encode()
    assert len(refused("measure", "--data", "a.csv", a_csv=wide + b"\n" + wide)) < 2000
    assert len(refused("rates", "x" * 100_000)) < 2000
    line = refused("rates", "a\u202e\x1b[2J.npy")
    assert "\\u202e\\x1b[2J" in line


def test_pipes_and_devices_are_no_files(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    for arguments in (["rates"], ["measure", "--data"], ["fit"], ["joint"], ["experiment", "rebound", "--config"]):
        assert "a pipe, not a file" in refused(*arguments, "pipe.txt")
        refused(*arguments, "zero.txt")
    for name in ("pipe.txt", "zero.txt"):
        refused("decode", name, "--out", "x")


def test_rows_that_nest_without_end(refused):
    deep = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    refused("rates", "a.jsonl", a_jsonl=deep)
    refused("measure", "--data", "a.jsonl", a_jsonl=deep)
    refused("predict", "--pairs", "b.jsonl", b_jsonl=deep.replace(b"text", b"prompt"))
    refused("experiment", "rebound", "--config", "c.toml", c_toml=b"a = " + b"[" * 50_000)
    refused("experiment", "rebound", "--config", "d.yaml", d_yaml=b"[" * 5000)
    refused("measure", "--data", "e.txt", "--before", "f.json", e_txt=b"text", f_json=b"[" * 100_000)


def test_a_gguf_header_without_end(refused):
    key = struct.pack("<Q", 12) + b"general.tags"
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IIQ", 9, 4, 1 << 63)
    assert "an array of 9223372036854775808 entries" in refused("measure", "--model", "a.gguf", "--data", "b.txt",
                                                                a_gguf=header + bytes(900), b_txt=b"text")  # fmt: skip


def coded(*numbers: int, flags: int = 0, weights: bytes = bytes(8), name: bytes = b"") -> bytes:
    from empirical.coding.patch import varint

    data = b"EMc\x01" + bytes([flags]) + b"".join(map(varint, numbers)) + weights + bytes(24) + name
    return data + zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize(
    "numbers",
    [
        (1 << 62, 16, 4, 1, 8, 0),
        (5000, 16, 4, 1, 8, 0),
        (1, 1 << 62, 4, 1, 8, 0),
        (1, 16, 1 << 62, 1, 8, 0),
        (1, 16, 4, 1 << 62, 8, 0),
        (1, 16, 4, 200, 8, 0),
        (1, 16, 4, 1, 1 << 60, 0),
        (1, 16, 4, 1, 8, 1 << 60),
        (0, 16, 4, 1, 8, 0),
    ],
)
def test_a_coded_file_with_huge_numbers(refused, numbers):
    pytest.importorskip("torch")
    refused("decode", "a.emc", "--out", "b", a_emc=coded(*numbers))


def test_a_coded_file_does_not_decide_what_is_fetched(refused):
    pytest.importorskip("torch")
    from empirical.coding.patch import varint
    from empirical.fetch.catalog import CATALOG, MODEL

    known = coded(1, 16, 4, 1, 8, 0, weights=bytes.fromhex(CATALOG[MODEL].sha256)[:8])
    assert f"elastomath fetch {MODEL}" in refused("decode", "a.emc", "--out", "b", a_emc=known)
    name = b"someone/model"
    other = coded(1, 16, 4, 1, 8, 0, flags=32, name=varint(len(name)) + name + varint(0))
    assert "--model someone/model" in refused("decode", "a.emc", "--out", "b", a_emc=other)
    refused("decode", "a.emc", "--out", "b", a_emc=coded(1, 16, 4, 1, 8, 0, flags=7))


def test_corrections_that_inflate_without_end():
    from empirical.coding.patch import difference, mend

    bomb = zlib.compress(bytes(50_000_000), 9)
    with pytest.raises(InputError, match="corrections"):
        mend(b"abc", bomb, 10)
    assert mend(b"abc", difference(b"abc", b"xbcy"), 4) == b"xbcy"
    with pytest.raises(InputError, match="corrections"):
        mend(b"abc", difference(b"abc", b"xbcy"), 1)


def test_a_checkpoint_that_is_cut_or_changed(tmp_path):
    torch = pytest.importorskip("torch")
    from empirical.models.checkpoints import about_checkpoint, load_checkpoint, save_checkpoint

    model = torch.nn.Linear(4, 3)
    file = tmp_path / "a.safetensors"
    save_checkpoint(file, model, about={"stage": 1})
    whole = file.read_bytes()
    draw = np.random.default_rng(0)
    for cut in (0, 4, 8, 40, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="checkpoint"):
            load_checkpoint(file, model)
        assert about_checkpoint(file) is None
    for at in draw.integers(0, len(whole), 60):
        raw = bytearray(whole)
        raw[at] ^= 1 << int(draw.integers(8))
        file.write_bytes(raw)
        before = [value.clone() for value in model.parameters()]
        try:
            load_checkpoint(file, model)
        except InputError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            assert all(map(torch.equal, before, model.parameters()))


def test_a_curve_that_fit_would_not_read_is_not_written(refused):
    refused("curve", "a.jsonl", "--map", "step=perturbation,x=perturb:score", "--out", "o.csv",
            a_jsonl=b'{"step":0,"x":0.2}\n{"step":1e308,"x":0.4}\n')  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "kind", "row"),
    [
        ("nats", "nats", '"resps": [[[-1e308, false]]]'),
        ("nats", "nats", '"resps": [[[-1e400, false]]]'),
        ("nats", "nats", '"resps": [[[-1' + "0" * 400 + ", false]]]"),
        ("bits_per_byte", "bits_per_byte", '"metrics": ["bits_per_byte"], "bits_per_byte": ["x", 4]'),
        ("bits_per_byte", "bits_per_byte", '"metrics": ["bits_per_byte"], "bits_per_byte": [-1' + "0" * 400 + ", 4]"),
        ("bits_per_byte", "bits_per_byte", '"metrics": ["bits_per_byte"], "bits_per_byte": [-3, 0]'),
        ("bits_per_byte", "bits_per_byte", '"metrics": 5, "bits_per_byte": [-3, 4]'),
        ("acc", "score", '"metrics": [["acc"]], "acc": 1e308'),
    ],
)
def test_samples_of_the_harness_with_numbers_that_are_none(refused, tmp_path, metric, kind, row):
    names = []
    for step in (0, 8):
        file = tmp_path / f"checkpoint-{step}" / "samples_harm_1.jsonl"
        file.parent.mkdir()
        file.write_text("".join(f'{{"doc_id": {i}, "doc": {{}}, {row}}}\n' for i in range(3)))
        names.append(f"checkpoint-{step}/{file.name}")
    refused("curve", *names, "--map", f"harm_1.{metric}=perturb:{kind}", "--out", "o.csv")


def test_joint_takes_no_numbers_at_the_ends_of_the_doubles(refused):
    refused("joint", "a.csv", a_csv=b"run,share_a,share_b,rate_a,rate_b\na,1,0,1e308,1\nb,0,1,1,1\n")


@pytest.mark.parametrize(
    "option", ["--difference", "--scatter", "--start", "--noise", "--c", "--adapted", "--tokens", "--n"]
)
@pytest.mark.parametrize("value", ["1e308", "1e31"])
def test_a_plan_has_numbers_that_can_be_computed_with(refused, option, value):
    refused("plan", option, value)


def test_a_speed_that_no_machine_has(refused):
    refused("plan", "--speed", "1e-320")


def test_a_run_that_asks_for_too_much_leaves_no_folder(refused, tmp_path, files):
    for name in files:
        if name.startswith("model/") or name in ("good.jsonl", "bad.jsonl"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(files[name])
    line = refused("experiment", "rebound", "--model", "model", "--align", "good.jsonl", "--perturb", "bad.jsonl", "--adapt-volume", "8",
                   "--align-volumes", "16", "--perturb-volumes", "8", "--seeds", "0", "--held-out", "40", "--device", "cpu", "--dtype",
                   "float32", "--out", "deep/o")  # fmt: skip
    assert "examples asked for" in line


PASSED = ("run", "component", "volume", "perturbation", "rate", "rate_se", "rate_unit", "volume_unit", "contrast_se", "base_contrast",
          "base_contrast_se")  # fmt: skip


@pytest.mark.parametrize("column", PASSED[-3:])
@pytest.mark.parametrize("value", ["0.01(18", "inf", "1e308", "-1e40", "many"])
def test_readings_beside_the_rates_are_numbers_too(refused, column, value):
    rows = [
        {"run": "a", "component": name, "volume": 4, "perturbation": step, "rate": 1 + step / 8, "rate_se": 0.01,
         "rate_unit": "nats/response", "volume_unit": "examples", "contrast_se": 0.01, "base_contrast": -0.3,
         "base_contrast_se": 0.01} | {column: value}
        for name in ("pretrain", "align", "perturb") for step in (0, 1, 2)
    ]  # fmt: skip
    table = "\n".join(",".join(str(row[name]) for name in PASSED) for row in rows)
    for verb in (["fit"], ["compare", "a.csv"], ["plan"]):
        assert f"row 1: {column} is " in refused(*verb, "a.csv", a_csv=f"{','.join(PASSED)}\n{table}\n".encode())


@pytest.mark.parametrize("dynamics", ["softmax", "counting", "logit", "transformer"])
def test_a_volume_has_an_upper_end_and_a_lower_one(refused, dynamics):
    pytest.importorskip("torch")
    small = ["--alphabet", "2", "--length", "5", "--points", "1"]
    refused("simulate", dynamics, "--k", "1e308", *small)
    refused("simulate", dynamics, "--l-max", "1e308", *small)
    refused("simulate", dynamics, "--align", "1e-320,1", *small)
    if dynamics in ("softmax", "transformer"):
        refused("simulate", dynamics, "--k", "1e-9", *small)
        assert "GB of memory are at hand" in refused("simulate", dynamics, "--k", "1e15", *small)


@pytest.mark.parametrize("sizes", [{"vocab_size": -8}, {"num_attention_heads": 0}, {"hidden_size": "many"}])
def test_a_configuration_that_fits_no_layer_is_refused_in_a_dry_run_too(refused, tmp_path, files, sizes):
    (tmp_path / "model").mkdir()
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_bytes(files[f"model/{name}"])
    (tmp_path / "model" / "config.json").write_text(json.dumps(json.loads(files["model/config.json"]) | sizes))
    refused("experiment", "durability", "--model", "model", "--pairs", "pairs.jsonl", "--dry-run", "--held-out", "8", "--align-volumes",
            "4", "--device", "cpu", "--out", "o", pairs_jsonl=files["pairs.jsonl"])  # fmt: skip


def test_a_forecast_that_never_comes_down_ends():
    from empirical.durability.forecast import undo_volume

    start = np.zeros(4)
    assert np.isnan(undo_volume(start, np.full(4, np.inf), 0.1, 4))
    assert np.isnan(undo_volume(start, np.full(4, 1e300), 0.1, 4))
    assert undo_volume(start, np.full(4, 40.0), 0.1, 4) > 100


def test_a_short_pass_of_the_fuzzer(files):
    fuzz.load_libraries()
    wrong = []
    cheap = [
        number
        for number in range(400)
        if fuzz.case_of(number, 0, files).arguments[0] in ("rates", "joint", "curve", "plan", "compare", "decode")
    ]
    for number, outcome in fuzz.serve(cheap[:60], lambda number: fuzz.case_of(number, 0, files)):
        said = fuzz.fault(outcome)
        wrong += [(number, fuzz.case_of(number, 0, files).arguments, said)] if said else []
    assert wrong == []


@pytest.mark.parametrize(("name", "every"), [("mixture", 4), ("joint", 2)])
def test_a_crash_at_a_write_is_mended_by_the_next_run(files, name, every):
    events, states, wrong = crashes.crashes(name, files, every)
    assert wrong == []
    assert events > 10
    assert states >= 2


@pytest.mark.acceptance
@pytest.mark.parametrize("name", [name for name in crashes.COMMANDS if name not in ("mixture", "joint")])
def test_a_crash_at_any_write_is_mended_by_the_next_run(name):
    command = [
        sys.executable,
        "-m",
        "benchmarks.crashes",
        name,
        "--every",
        "1",
    ]  # a process of its own: it changes the catalogue
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_what_is_wrong_is_seen():
    good = fuzz.Outcome(2, "", "elastomath: bad input\n", 0.1, 0)
    assert fuzz.fault(good) == ""
    for change in (
        {"code": -11}, {"code": 3}, {"out": "x"}, {"err": ""}, {"err": "Traceback (most recent call last):\n"}, {"seconds": 21.0},
        {"bytes": 3 << 30}, {"orphans": True}, {"left": ["o"]}, {"err": "elastomath: \x1b[31m\n"}, {"err": "elastomath: " + "x" * 3000},
        {"err": "a.py:1: RuntimeWarning: overflow\nelastomath: x\n"}, {"code": 0, "left": [".a.0123abcd-12-x.csv"]},
    ):  # fmt: skip
        assert fuzz.fault(fuzz.Outcome(**(good.__dict__ | change))) != "", change


def test_every_verb_is_fuzzed_half_by_files_and_half_by_options(files):
    command = typer.main.get_command(app)
    assert set(fuzz.VERBS) == set(command.commands)
    assert {line[0] for line in fuzz.VERBS["experiment"]} == set(command.commands["experiment"].commands)
    cases = [fuzz.case_of(number, 1, files) for number in range(3000)]
    assert [bool(case.damaged) for case in cases] == [number % 2 == 1 for number in range(3000)]
    assert {case.arguments[0] for case in cases[::2]} == set(fuzz.VERBS)
    reading = {verb for verb, lines in fuzz.VERBS.items() if any(fuzz.named_files(line, files) for line in lines)}
    assert (
        {case.arguments[0] for case in cases[1::2]} == reading >= {"track", "curve", "compare", "plan", "plot", "fit"}
    )


def test_the_same_seed_gives_the_same_cases(files):
    for number in range(20):
        assert fuzz.case_of(number, 3, files) == fuzz.case_of(number, 3, dict(files))
    assert {Path(name).suffix for name in files} >= {".npy", ".csv", ".emc", ".gguf", ".parquet", ".safetensors"}
