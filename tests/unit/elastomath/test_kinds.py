"""Files of another kind than a verb reads: what they are is said, and what is wanted."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from elastomath.curve import Curve
from elastomath.errors import InputError
from elastomath.fit.tables import read_table
from elastomath.foreign import kind_of
from elastomath.runs.table import read_runs

KINDS = {
    "a.json": "a JSON file",
    "lines.jsonl": "a JSON file",
    "list.json": "a JSON file",
    "a.parquet": "a Parquet file",
    "a.npy": "a .npy array",
    "a.zip": "a zip archive, a spreadsheet or a checkpoint",
    "a.safetensors": "a safetensors file of a model",
    "a.gguf": "a GGUF file of a model",
    "a.html": "an HTML or XML file",
    "model": "the folder of a model",
    "folder": "a folder",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"runs": [1]}, indent=1))
    (tmp_path / "lines.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "list.json").write_text('\n[{"a": 1}]')
    pd.DataFrame({"a": [1.0]}).to_parquet(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "a.safetensors").write_bytes((20).to_bytes(8, "little") + b'{"__metadata__": {}}')
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes(8))
    (tmp_path / "a.html").write_text("<!DOCTYPE html><p>")
    for name in ("model", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_told_by_how_a_file_begins(name, folder):
    assert kind_of(folder / name) == KINDS[name]
    if (folder / name).is_file():
        other = (folder / name).rename(folder / "renamed.csv")
        assert kind_of(other) == KINDS[name]


@pytest.mark.parametrize("text", ["run,share_a,rate_a\n", "\ufeffrun,a\n", '"{a}",b\n', "", "[x],y\n", "{x},y\n"])
def test_a_table_is_no_other_kind(text, tmp_path):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert kind_of(tmp_path / "a.csv") == ""


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("read", "wanted"), [(Curve.read, "a curve file"), (read_table, "a curve file"), (read_runs, "a CSV table of runs")]
)
def test_a_reader_says_what_it_is_and_what_is_wanted(read, wanted, name, folder):
    if name == "a.parquet" and wanted == "a curve file":
        return
    with pytest.raises(InputError) as caught:
        read(folder / name)
    assert caught.value.what == f"{KINDS[name]}, where {wanted} is wanted"
    assert caught.value.mend.startswith("give a .csv")


def test_a_folder_of_results_names_the_curve_in_it(folder):
    (folder / "folder" / "rebound.csv").write_text("run\n")
    with pytest.raises(InputError, match=r"name a file in it, such as .*rebound\.csv"):
        Curve.read(folder / "folder")


def test_a_parquet_file_by_another_name_is_no_csv_file(folder):
    (folder / "a.parquet").rename(folder / "a.csv")
    with pytest.raises(InputError, match="a Parquet file, where a curve file is wanted"):
        Curve.read(folder / "a.csv")
