"""Crashes and kills of every verb that writes: ``python -m benchmarks.crashes --seed 0 --count 200`` (`make crash`).

A trial stops one command several times in one folder, then runs it to its end. A crash ends the process before its n-th open
for writing, write, fsync, rename, deletion, or statement of SQLite, as a kill does (nothing is cleaned up); a kill is SIGKILL
after a random time. ``--every 1`` goes through all events of a command instead: the folder is copied in each state that it has
before one of them, and the command is run to its end in each copy. What has to hold: the last run ends well, its files have the
bytes of a run that was never stopped, nothing else lies in the folder, and no run that the ledger held was made again.

A seed gives the same crashes again; kills come when the clock says.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

from . import fuzz

CRASHED = 137
COMMANDS: dict[str, list[str]] = {
    "simulate": ["simulate", "counting", "--k", "2,5", "--alphabet", "2", "--length", "2", "--points", "1",
                 "--examples", "32", "--out", "o"],
    "mixture": ["simulate", "mixture", "--k", "2", "--leaves", "16", "--points", "2", "--out", "o"],
    "study": ["study", "hooke", "--preset", "tiny", "--out", "o"],
    "experiment": ["experiment", *fuzz.VERBS["experiment"][0]],
    "report": ["report", "--preset", "theory", "--out", "o/report.html"],
    "fetch": ["fetch", "film-reviews", "--mirror", "mirror", "--out", "o"],
    "fit": ["fit", "curve.csv", "--out", "o"],
    "joint": ["joint", "runs.csv", "--out", "o"],
    "encode": ["measure", "--model", "model", "--data", "short.txt", "--encode", "o/mine.emc", "--device", "cpu", "--dtype", "float32"],
    "decode": ["decode", "mine.emc", "--out", "o/back.txt", "--device", "cpu"],
}  # fmt: skip
"""Small commands that write, by name."""
CLOCKS = ("seconds", "elapsed")
"""Entries of JSON files that are times, and differ."""
WEIGHTS = ("experiment", "encode", "decode")
"""Commands that need torch: they come last, for a fork of a process that has loaded it takes longer."""
STOPS = 8
"""A trial stops a command at most so often before it may end."""


class Shim:
    """Counts what a process does to files, and ends it at the n-th event as a kill does."""

    def __init__(self, stop: int | None, look: Callable[[int], None] | None = None) -> None:
        self.stop, self.look, self.count, self.again = stop, look, 0, 0

    def event(self) -> None:
        """One more; the last one where it is the n-th."""
        self.count += 1
        if self.count == self.stop:
            os._exit(CRASHED)
        if self.look is not None:
            look, self.look = self.look, None  # what it does itself to files is no event
            count = self.count
            look(count)
            self.look, self.count = look, count

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with an event before it."""

        def shimmed(*args: Any, **kwargs: Any) -> Any:
            self.event()
            return function(*args, **kwargs)

        return shimmed

    def install(self) -> None:
        """Put the events where files are made (Python's files, descriptors, renames, SQLite's statements), and watch the ledger."""
        shim, opened = self, io.open

        def watched(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            stream = opened(file, mode, *args, **kwargs)
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return stream
            shim.event()
            stream.write = shim.before(stream.write) if hasattr(stream, "__dict__") else stream.write
            return stream

        builtins.open = io.open = watched  # type: ignore[assignment]
        for name in ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir", "write"):
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

        from elastomath.runs.ledger import Ledger

        put = Ledger.put

        def recorded(ledger: Ledger, configuration: Any, result: Any) -> None:
            shim.again += ledger.get(configuration) is not None
            put(ledger, configuration, result)

        Ledger.put = recorded  # type: ignore[method-assign]


class Ended(NamedTuple):
    """How a command ended: exit code, events, runs made again that the ledger held, and what it printed."""

    code: int
    events: int
    again: int
    printed: str


def attempt(
    name: str,
    folder: Path,
    *,
    stop: int | None = None,
    kill: float | None = None,
    look: Callable[[int], None] | None = None,
) -> Ended:
    """Run a command in a folder, in a forked child that stops at an event, or is killed after so many seconds.

    look   is called in the child before each event, with its number
    """
    read, write = os.pipe()
    with tempfile.TemporaryFile() as out:
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _child(COMMANDS[name], folder, Shim(stop, look), out.fileno(), write)
        os.close(write)
        if kill is not None:
            time.sleep(kill)
            os.kill(pid, signal.SIGKILL)
        status, _ = fuzz._wait(pid)
        counts = os.read(read, 100).split() or [b"0", b"0"]
        os.close(read)
        printed = fuzz._text(out)
    return Ended(os.waitstatus_to_exitcode(status), int(counts[0]), int(counts[1]), printed)


def _child(arguments: list[str], folder: Path, shim: Shim, out: int, counts: int) -> NoReturn:
    """The rest of a forked child's life; at its end it writes how many events there were, and runs made again."""
    exit = os._exit

    def leave(code: int) -> NoReturn:
        io.FileIO(counts, "w", closefd=False).write(f"{shim.count} {shim.again}".encode())
        exit(code)

    os._exit = leave  # type: ignore[assignment]
    code = 99
    with contextlib.suppress(BaseException):
        os.setsid()
        for number in (1, 2):
            os.dup2(out, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        os.chdir(folder)
        os.environ.update(HF_HUB_OFFLINE="1", ELASTOMATH_CACHE=str(folder / "cache"))
        shim.install()
        code = fuzz._verb(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    leave(code)


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


@dataclass
class Bench:
    """A command, the files that it reads, its events, seconds and files when nothing stops it."""

    name: str
    used: dict[str, bytes]
    events: int = 0
    seconds: float = 0.0
    whole: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, files: dict[str, bytes]) -> Bench:
        """The command run once to its end. Raises RuntimeError where that fails."""
        arguments = {part for word in COMMANDS[name] for part in word.split(",")}
        folders = tuple(f"{part}/" for part in arguments | {"model"})
        bench = cls(name, {file: data for file, data in files.items() if file in arguments or file.startswith(folders)})
        with bench.folder() as folder:
            begun = time.monotonic()
            ended = attempt(name, folder)
            bench.events = ended.events
            bench.seconds, bench.whole = time.monotonic() - begun, written(folder)
        if ended.code != 0 or not bench.whole:
            raise RuntimeError(f"{name} ended with {ended.code}: {ended.printed[-1000:]}")
        return bench

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder with the files of the command."""
        with fuzz.laid(fuzz.Case([], self.used)) as folder:
            yield folder

    def ended(self, folder: Path, stopped: str, look: Callable[[int], None] | None = None) -> tuple[int, str]:
        """Run the command to its end: how many events that had, and what is wrong with it then, nothing where all is well."""
        before = fuzz.contents(folder)
        ended = attempt(self.name, folder, look=look)
        return ended.events, self._wrong(folder, before, ended, stopped)

    def _wrong(self, folder: Path, before: dict[str, int], ended: Ended, stopped: str) -> str:
        found = written(folder)
        if ended.code != 0:
            return f"{self.name}, {stopped}: the next run ended with {ended.code}: {ended.printed[-500:]}"
        if ended.again:
            return f"{self.name}, {stopped}: {ended.again} finished runs were made again"
        beside = {name for name in fuzz.contents(folder).keys() - before.keys() if name.partition("/")[0] != "o"}
        odd = sorted(set(found) ^ set(self.whole)) + sorted(beside - {"cache"})
        if odd:
            return f"{self.name}, {stopped}: {', '.join(odd)} left or lacking"
        other = [file for file in found if found[file] != self.whole[file]]
        return f"{self.name}, {stopped}: other bytes in {', '.join(other)}" if other else ""

    def trial(self, draw: random.Random, kills: bool, most: int = STOPS) -> tuple[int, str]:
        """Stop the command up to ``most`` times, then run it to its end; (how often it was stopped, what went wrong)."""
        stopped: list[str] = []
        with self.folder() as folder:
            while len(stopped) < most:
                if kills:
                    after = draw.uniform(0, self.seconds)
                    code, _, again, _ = attempt(self.name, folder, kill=after)
                    what, wanted = f"killed after {after:.3f} s", -signal.SIGKILL
                else:
                    stop = draw.randint(1, self.events)
                    code, _, again, _ = attempt(self.name, folder, stop=stop)
                    what, wanted = f"event {stop}", CRASHED
                if again:
                    return len(stopped), f"{self.name}, {', '.join(stopped)}: {again} finished runs were made again"
                if code == 0:  # it had less to do than that
                    break
                stopped.append(what)
                if code != wanted:
                    return len(stopped), f"{self.name}, {', '.join(stopped)}: ended with {code}"
            return len(stopped), self.ended(folder, ", ".join(stopped))[1]


@dataclass
class States:
    """Copies of a folder, one for each state that it had before an event of a command; what a crash there leaves is that state.

    used   the files that the command reads;  place   a folder for the copies, each named by the first event that it stands before
    known  digests of the states that there were
    """

    folder: Path
    used: dict[str, bytes]
    place: Path
    known: set[str]

    def look(self, event: int) -> None:
        """Copy the folder where it is in a state that it has not been in; SQLite makes its file of shared memory anew."""
        digest = hashlib.blake2b()
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if name not in self.used and name not in ("pipe", "zero"):
                digest.update(TEMPORARY.sub("", name).encode() + b"\n")
                if path.is_file() and not name.endswith("-shm"):
                    digest.update(path.read_bytes())
        if digest.hexdigest() not in self.known:
            self.known.add(digest.hexdigest())
            shutil.copytree(
                self.folder, self.place / str(event), symlinks=True, ignore=shutil.ignore_patterns("pipe", "*-shm")
            )
            (self.place / str(event) / DIGEST).write_text(digest.hexdigest())


TEMPORARY = re.compile(r"[0-9a-f]{8}-\d+-")
"""What is random in the name of an unfinished file."""
DIGEST = ".digest"


def crashes(name: str, files: dict[str, bytes], every: int = 1, order: int = 1) -> tuple[int, int, list[str]]:
    """Stop a command before each of its events and run it again; (how many crashes, states of the folder, what went wrong).

    Two events before which the folder has the same files with the same bytes are one state, and one next run tells for both:
    most writes go to a buffer that a crash loses. every   try one state of so many;  order   2: the next run is stopped at each
    of its events too, and so on
    """
    bench, wrong, known, count, tried = Bench.of(name, files), [], set[str](), 0, 0
    with bench.folder() as whole:
        todo = [(whole, "", 0)]
        for folder, stopped, depth in todo:
            place = whole.parent / str(len(known))
            place.mkdir(exist_ok=True)
            states = States(folder, bench.used, place, known)
            events, said = bench.ended(folder, stopped, states.look if depth < order else None)
            wrong += [said] if said else []
            tried += depth > 0
            count += events if depth < order else 0
            copies = sorted(place.iterdir(), key=lambda path: int(path.name))
            for copy in copies:
                known.add((copy / DIGEST).read_text())
                (copy / DIGEST).unlink()
            todo += [(copy, f"{stopped} event {copy.name}".strip(), depth + 1) for copy in copies[::every]]
    return count, tried, wrong


def made_aside(folder: Path) -> dict[str, bytes]:
    """The files of the fuzzer, made by a child, so that this process need not load torch."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(Exception):
            fuzz.materials(folder)
            code = 0
        os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the files of the fuzzer could not be made")
    return fuzz.files_of(folder)


def materials(folder: Path) -> dict[str, bytes]:
    """The files of the fuzzer; a small file pinned in the catalogue for `fetch`; a short report whose clock stands still."""
    from empirical.fetch.catalog import CATALOG
    from paper_checks import claims
    from paper_checks.report import report

    files = made_aside(folder)
    data = random.Random(0).randbytes(3_000_000)
    item = CATALOG["film-reviews"]
    files[f"mirror/{item.file}"] = data
    CATALOG["film-reviews"] = replace(item, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    outcomes = claims.check(["Thm3.4"], claims.Evidence())
    report.check = lambda *_: outcomes  # type: ignore[assignment]
    for name in ("law_section", "springs_section", "ceilings_section", "phase_section", "published_section"):
        setattr(report, name, lambda *_: report.trees_section())
    report.saved_makers, report.saved_studies = (lambda _: []), dict  # type: ignore[assignment,misc]
    report.time = SimpleNamespace(monotonic=lambda: 0.0)  # type: ignore[assignment]
    return files


def main() -> None:
    """The command line; exit code 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="crashes and kills of every verb that writes")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMMANDS)}; all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200, help="crashes and kills, four crashes to a kill")
    parser.add_argument(
        "--every",
        type=int,
        default=None,
        help="instead: a crash at each event of each command; one state of so many is tried",
    )
    parser.add_argument("--kills", action="store_true", help="kills alone")
    parser.add_argument("--order", type=int, default=1, help="with --every: also crashes of the next run, and so on")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # as in `benchmarks.fuzz`
    with tempfile.TemporaryDirectory(prefix="elastomath-crash-files-") as folder:
        files = materials(Path(folder))
    names = given.names or list(COMMANDS)
    failed = False
    for weights in (False, True):
        group = [name for name in names if (name in WEIGHTS) == weights]
        if not group:
            continue
        fuzz.load_libraries(weights)
        if given.every is None:
            failed |= bool(_hunt(group, files, given.seed, round(given.count * len(group) / len(names)), given.kills))
            continue
        for name in group:
            tried, states, wrong = crashes(name, files, given.every, given.order)
            print(f"{name}: {tried} crashes, {states} states, {len(wrong)} went wrong", *wrong, sep="\n  ", flush=True)
            failed |= bool(wrong)
    sys.exit(1 if failed else 0)


def _hunt(names: list[str], files: dict[str, bytes], seed: int, count: int, kills_alone: bool) -> list[str]:
    """Trials of the commands in turn until they were stopped so often; what went wrong, all of it printed."""
    benches = [Bench.of(name, files) for name in names]
    stops: dict[str, dict[str, int]] = {kind: dict.fromkeys(names, 0) for kind in ("crashes", "kills")}
    wrong: list[str] = []
    trial = 0

    def told() -> str:
        return "; ".join(
            f"{sum(each.values())} {kind} ({', '.join(f'{name} {n}' for name, n in each.items())})"
            for kind, each in stops.items()
        )

    while sum(sum(each.values()) for each in stops.values()) < count:
        bench, kills = benches[trial % len(benches)], kills_alone or trial // len(benches) % 5 == 4
        done, said = bench.trial(random.Random(f"{seed}/{trial}"), kills)
        stops["kills" if kills else "crashes"][bench.name] += done
        if said:
            wrong.append(said)
            print(f"trial {trial}: {said}", flush=True)
        trial += 1
        if trial % (5 * len(benches)) == 0:
            print(f"seed {seed}: {told()}; {len(wrong)} went wrong", flush=True)
    print(f"seed {seed}, {trial} trials: {told()}; {len(wrong)} went wrong")
    return wrong


if __name__ == "__main__":
    main()
