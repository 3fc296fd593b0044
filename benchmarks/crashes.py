"""A crash at every write of a verb: ``python -m benchmarks.crashes`` stops a command at the n-th open for writing, write,
fsync, rename or commit, as a kill does (nothing is cleaned up), then runs it again to the end.

What has to hold, for each n: the second run ends well, its files have the bytes of a run that was never stopped, and
nothing else lies in the folder.
"""

from __future__ import annotations

import argparse
import builtins
import io
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import fuzz

KILLED = 137
COMMANDS: dict[str, list[str]] = {
    "simulate": ["simulate", "counting", "--k", "2,5", "--alphabet", "2", "--length", "2", "--points", "1",
                 "--examples", "32", "--out", "o"],
    "mixture": ["simulate", "mixture", "--k", "2", "--leaves", "16", "--points", "2", "--out", "o"],
    "study": ["study", "hooke", "--preset", "tiny", "--out", "o"],
    "experiment": ["experiment", *fuzz.VERBS["experiment"][0]],
    "fit": ["fit", "curve.csv", "--out", "o"],
    "joint": ["joint", "runs.csv", "--out", "o"],
    "encode": ["measure", "--model", "model", "--data", "short.txt", "--encode", "o/mine.emc", "--device", "cpu", "--dtype", "float32"],
    "decode": ["decode", "mine.emc", "--out", "o/back.txt", "--device", "cpu"],
}  # fmt: skip
"""Small commands that write, by name."""
CLOCKS = ("seconds", "elapsed")
"""Entries of JSON files that are times, and differ."""


class Shim:
    """Counts what a process does to files, and ends it at the n-th event as a kill does."""

    def __init__(self, stop: int | None, report: int) -> None:
        self.stop, self.report, self.count = stop, report, 0

    def event(self) -> None:
        """One more; the last one where it is the n-th."""
        self.count += 1
        if self.count == self.stop:
            os._exit(KILLED)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with an event before it."""

        def shimmed(*args: Any, **kwargs: Any) -> Any:
            self.event()
            return function(*args, **kwargs)

        return shimmed

    def install(self) -> None:
        """Put the events where files are made: for Python's files, descriptors, renames, and SQLite's statements."""
        shim, opened = self, io.open

        def watched(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            stream = opened(file, mode, *args, **kwargs)
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return stream
            shim.event()
            stream.write = shim.before(stream.write) if hasattr(stream, "__dict__") else stream.write
            return stream

        builtins.open = io.open = watched  # type: ignore[assignment]
        for name in ("replace", "rename", "fsync", "unlink", "mkdir", "write"):
            setattr(os, name, self.before(getattr(os, name)))

        class Connection(sqlite3.Connection):
            """A connection whose statements and commits are events."""

            def execute(self, *args: Any) -> sqlite3.Cursor:
                shim.event()
                return super().execute(*args)

            def __exit__(self, *args: Any) -> Any:
                shim.event()
                done = super().__exit__(*args)
                shim.event()
                return done

        connect = sqlite3.connect
        sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)  # type: ignore[assignment,misc]


def attempt(name: str, folder: Path, stop: int | None) -> tuple[int, int]:
    """Run a command in a folder, in a forked child that stops at an event; (exit code, events)."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as out:
        pid = os.fork()
        if pid == 0:
            os.close(read)
            shim = Shim(stop, write)
            exit = os._exit

            def leave(code: int) -> None:
                io.FileIO(write, "w", closefd=False).write(str(shim.count).encode())
                exit(code)

            os._exit = leave  # type: ignore[assignment]
            shim.install()
            environment = {"HF_HUB_OFFLINE": "1", "ELASTOMATH_CACHE": str(folder / "cache")}
            fuzz._child(COMMANDS[name], folder, environment, out.fileno(), out.fileno())
        os.close(write)
        status, _ = fuzz._wait(pid)
        counted = os.read(read, 100)
        os.close(read)
    return os.waitstatus_to_exitcode(status), int(counted or 0)


def written(folder: Path) -> dict[str, bytes]:
    """What a command left in its folder o; a ledger as what it holds, JSON without its clocks."""
    found = {}
    for path in sorted((folder / "o").rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if path.suffix == ".sqlite":
                from elastomath.runs.ledger import Ledger

                with Ledger(path) as ledger:
                    found[name] = json.dumps(_timeless(ledger.dump()), sort_keys=True).encode()
            elif path.suffix == ".json":
                found[name] = json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True).encode()
            else:
                found[name] = path.read_bytes()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in CLOCKS}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def crashes(name: str, files: dict[str, bytes], every: int = 1) -> tuple[int, list[str]]:
    """Stop a command at every ``every``-th event and run it again; (how many crashes, what went wrong)."""
    arguments = {part for word in COMMANDS[name] for part in word.split(",")}
    used = {file: data for file, data in files.items() if file in arguments or file.startswith("model/")}

    def fresh() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="elastomath-crash-"))
        fuzz.lay(fuzz.Case([], used), folder)
        return folder

    def check(folder: Path, stop: int | None) -> str:
        if stop is not None:
            code, _ = attempt(name, folder, stop)
            if code != KILLED:
                return f"{name}, event {stop}: ended with {code}"
        code, _ = attempt(name, folder, None)
        if code != 0:
            return f"{name}, event {stop}: the next run ended with {code}"
        found = written(folder)
        if sorted(found) != sorted(whole):
            return f"{name}, event {stop}: {sorted(set(found) ^ set(whole))} differ"
        other = [file for file in found if found[file] != whole[file]]
        return f"{name}, event {stop}: other bytes in {', '.join(other)}" if other else ""

    folder = fresh()
    code, events = attempt(name, folder, None)
    whole = written(folder)
    shutil.rmtree(folder)
    wrong = [] if code == 0 and whole else [f"{name}: ended with {code}"]
    tried = 0
    for stop in range(1, events + 1, every):
        folder = fresh()
        try:
            said = check(folder, stop)
            wrong += [said] if said else []
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        tried += 1
    return tried, wrong


def main() -> None:
    """The command line; exit code 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="crashes at every write of a verb")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMMANDS)}; all")
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    fuzz.load_libraries()
    with tempfile.TemporaryDirectory(prefix="elastomath-crash-files-") as folder:
        files = fuzz.materials(Path(folder))
    failed = False
    for name in given.names or COMMANDS:
        tried, wrong = crashes(name, files, given.every)
        print(f"{name}: {tried} crashes, {len(wrong)} went wrong", *wrong, sep="\n  ", flush=True)
        failed |= bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
