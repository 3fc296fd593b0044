"""Files are whole or not there: exceptions, full disks and killed processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from elastomath import InputError
from elastomath.storage import sweep_lock, whole_file


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_replaces_the_old_one(tmp_path):
    target = tmp_path / "deep" / "er" / "a.txt"
    for text in ("old", "new"):
        with whole_file(target) as aside:
            assert aside.suffix == ".txt"
            assert aside.parent == target.parent
            aside.write_text(text)
    assert target.read_text() == "new"
    assert listing(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write():
        with whole_file(target) as aside:
            aside.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch, call):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match="No space left") as caught, whole_file(target) as aside:
        aside.write_text("half")
    assert str(target) in str(caught.value)
    assert target.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from elastomath.storage import whole_file\n"
        "with whole_file(sys.argv[1]) as aside:\n"
        "    aside.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(target)], check=False).returncode == -9
    assert target.read_text() == "old"


def test_the_file_has_the_permissions_of_an_ordinary_one(tmp_path):
    with whole_file(tmp_path / "a.txt") as aside:
        aside.write_text("x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for target in (tmp_path, tmp_path / "file" / "below.txt", tmp_path / ("n" * 300 + ".txt")):
        with pytest.raises(InputError) as caught, whole_file(target):
            pytest.fail("the block ran")
        assert "\n" not in str(caught.value)


def test_the_lock_of_a_killed_process_is_swept(tmp_path):
    sweep_lock(tmp_path / "none" / ".lock")
    (tmp_path / ".lock").touch()
    sweep_lock(tmp_path / ".lock")
    assert list(tmp_path.iterdir()) == []
