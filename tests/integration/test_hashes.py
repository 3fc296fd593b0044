"""What `make` installs is held against `hashes.txt`: a known name with another hash stops it, now and the next time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hashes

ROOT = Path(__file__).parents[2]
NAME = "numpy-2.4.6-py3-none-any.whl"


def report(folder: Path, files: dict[str, str], *, old: bool = False) -> Path:
    """What pip writes; ``old``: as pip 22 did."""
    entries = [
        {"download_info": {"url": f"https://files.example/{name}",
                           "archive_info": {"hash": f"sha256={digest}"} if old else {"hashes": {"sha256": digest}}}}
        for name, digest in files.items()
    ]  # fmt: skip
    entries.append({"download_info": {"url": "file:///here", "dir_info": {"editable": True}}})
    file = folder / "installed.json"
    file.write_text(json.dumps({"install": entries}), encoding="utf-8")
    return file


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(hashes, "LIST", tmp_path / "hashes.txt")
    hashes.LIST.write_text(f"{'a' * 64}  {NAME}\n", encoding="ascii")
    return "a" * 64


@pytest.mark.parametrize("old", [False, True])
def test_an_altered_file_stops_this_installation_and_the_next(tmp_path, listed, capsys, old):
    assert hashes.main([str(report(tmp_path, {NAME: listed}, old=old))]) == 0
    assert capsys.readouterr().err == ""
    assert hashes.main([str(report(tmp_path, {NAME: "b" * 64}, old=old))]) == 1
    assert NAME in capsys.readouterr().err
    assert hashes.main([str(report(tmp_path, {}))]) == 1  # it is installed now, so that pip takes nothing


def test_a_file_that_is_not_listed_is_told_and_let_through(tmp_path, listed, capsys):
    assert hashes.main([str(report(tmp_path, {NAME: listed, "torch-2.13.0%2Bcpu.whl": "c" * 64}))]) == 0
    assert "1 of 2 installed files" in (said := capsys.readouterr().err)
    assert "torch-2.13.0+cpu.whl" in said


def test_a_moved_pin_is_added(tmp_path, listed):
    assert hashes.main(["--add", str(report(tmp_path, {"other-1.whl": "d" * 64}))]) == 0
    assert hashes.known() == {NAME: listed, "other-1.whl": "d" * 64}


def test_the_list_has_the_pinned_versions_and_any_python_reads_it():
    pinned = {line.split("==")[0].lower().replace("-", "_"): line.split("==")[1].split()[0]
              for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line}  # fmt: skip
    names = hashes.known()
    assert all(len(digest) == 64 for digest in names.values())
    of_wheels = {name.split("-")[0].lower(): re.sub(r"\.(tar\.gz|zip)$", "", name.split("-")[1]) for name in names}
    wrong = {name: version for name, version in of_wheels.items() if pinned.get(name, version) != version}
    assert wrong == {}
    assert len(set(of_wheels) & set(pinned)) > 0.8 * len(pinned)
    done = subprocess.run(
        [sys.executable, "-I", str(ROOT / "benchmarks/hashes.py"), "/nowhere"], capture_output=True, check=False
    )
    assert b"ModuleNotFoundError" not in done.stderr
