"""The ledger: what is done is never done again, and a killed sweep continues (SQLite, WAL)."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ..errors import InputError
from ..foreign import plain_file
from ..progress import say, track
from ..storage import check_place

Configuration = dict[str, Any]
Result = dict[str, Any]
Found = TypeVar("Found")
PATIENCE = 15.0
"""Seconds that a ledger which another process holds is waited for."""
_ELSEWHERE = "choose another --out folder"
_MAGIC = b"SQLite format 3\0"
_COLUMNS = "key TEXT PRIMARY KEY, configuration TEXT NOT NULL"
_TABLES = {
    "runs": f"CREATE TABLE runs ({_COLUMNS}, result TEXT NOT NULL)",
    "failures": f"CREATE TABLE failures ({_COLUMNS}, reason TEXT NOT NULL)",
}


def run_key(configuration: Configuration) -> str:
    """The name of a run: SHA-256 (16 hex digits) of its full configuration as canonical JSON.

    >>> run_key({"a": 1, "b": 2}) == run_key({"b": 2, "a": 1})
    True
    """
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Ledger:
    """Finished runs, keyed by the hash of their configuration; a context manager over one SQLite file.

    Only the driver writes. A run is among the finished ones if and only if it ended well; a run that failed is kept apart with its
    reason until it ends well. What the ledger holds at the end (`dump`) depends on the runs alone: not on the executor, the
    order in which they came back, or how often the sweep was cut off. Two drivers may share one ledger: each sees what
    the other has recorded, at worst a run is made twice, with the same result.

    The file is made when the first run is recorded: a sweep that is refused before leaves none.

    Raises InputError for a folder that cannot be written, a file that is no ledger (which is left as it is), one that is
    damaged, and one that another process holds for longer than `PATIENCE`.

    >>> import tempfile, pathlib
    >>> with Ledger(pathlib.Path(tempfile.mkdtemp()) / "runs.sqlite") as ledger:
    ...     ledger.put({"seed": 0}, {"value": 1.5})
    ...     ledger.get({"seed": 0}), ledger.get({"seed": 1})
    ({'value': 1.5}, None)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None
        if not self._there():
            check_place(self.path)

    def _there(self) -> sqlite3.Connection | None:
        """The connection, opened now where the file has come to be there; None where nothing has been recorded yet."""
        if self._connection is None and os.path.lexists(self.path):
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                plain_file(self.path, mend=_ELSEWHERE)
                with open(self.path, "rb") as stream:
                    start = stream.read(len(_MAGIC))
                if start and start != _MAGIC:
                    raise sqlite3.DatabaseError("file is not a database")
            connection = sqlite3.connect(self.path, timeout=0.2)
        except (OSError, sqlite3.Error) as error:
            raise self._refused(str(error)) from error
        try:
            self._patiently(lambda: self._prepare(connection))
        except (OSError, sqlite3.Error) as error:
            connection.close()
            raise self._refused(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _refused(self, reason: str) -> InputError:
        return InputError(f"cannot open the ledger: {reason}", where=str(self.path), mend=_ELSEWHERE)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Hold the file against the layout of a ledger before anything in it is changed, and give an empty one that layout."""
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
        strange = [
            name for name, sql in tables.items() if name not in _TABLES or " ".join(str(sql).split()) != _TABLES[name]
        ]
        if strange:
            raise sqlite3.DatabaseError(f"it is the database of something else: {strange[0]}")
        (checked,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if checked != "ok":
            raise sqlite3.DatabaseError(" ".join(str(checked).split()))
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode=WAL")
        if len(tables) < len(_TABLES):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in _TABLES.values():
                    connection.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))

    def _patiently(self, work: Callable[[], Found]) -> Found:
        """Do it again while another process holds the ledger, for `PATIENCE` seconds, and say so after the first."""
        start, warned = time.monotonic(), False
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if (error.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                waited = time.monotonic() - start
                if waited > PATIENCE:
                    raise InputError(
                        f"another process has held the ledger for {waited:.0f} s",
                        where=str(self.path),
                        mend="end it, then run the same command again, or choose another --out folder",
                    ) from error
                if waited > 1 and not warned:
                    warned = True
                    say(f"another process holds {self.path}: waiting up to {PATIENCE:.0f} s for it")
                time.sleep(0.05)

    def get(self, configuration: Configuration) -> Result | None:
        """The result of a finished run, or None."""
        rows = self._read("SELECT result FROM runs WHERE key = ?", (run_key(configuration),))
        return dict(_parsed(rows[0][0], self.path)) if rows else None

    def put(self, configuration: Configuration, result: Result) -> None:
        """Record a finished run; JSON only, in one transaction. If it had failed before, that is forgotten."""
        key = run_key(configuration)
        values = (key, _canonical(configuration), json.dumps(result))
        self._write(
            [("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", values), ("DELETE FROM failures WHERE key = ?", (key,))]
        )

    def fail(self, configuration: Configuration, reason: str) -> None:
        """Record why a run failed, unless it has ended well (by another driver); only the last reason is kept."""
        key = run_key(configuration)
        statement = "INSERT OR REPLACE INTO failures SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM runs WHERE key = ?)"
        self._write([(statement, (key, _canonical(configuration), reason, key))])

    def failures(self) -> dict[str, str]:
        """The reason of every run that failed and has not ended well since, by its key."""
        return dict(self._read("SELECT key, reason FROM failures ORDER BY key", ()))

    def dump(self) -> dict[str, list[Result]]:
        """All of it, sorted by key: ``{"runs": [{key, configuration, result}], "failures": [{key, configuration, reason}]}``.

        Two ledgers hold the same if and only if their dumps are equal; no time, place or order is in it.
        """
        runs = self._read("SELECT key, configuration, result FROM runs ORDER BY key", ())
        failures = self._read("SELECT key, configuration, reason FROM failures ORDER BY key", ())
        path = self.path
        return {
            "runs": [
                {"key": key, "configuration": _parsed(text, path), "result": _parsed(result, path)}
                for key, text, result in runs
            ],
            "failures": [
                {"key": key, "configuration": _parsed(text, path), "reason": reason} for key, text, reason in failures
            ],
        }

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        connection = self._there()
        if connection is None:
            return []
        try:
            return self._patiently(lambda: connection.execute(statement, values).fetchall())
        except sqlite3.Error as error:
            raise InputError(
                f"cannot read the ledger: {error}",
                where=str(self.path),
                mend="restore it, or choose another --out folder",
            ) from error

    def _write(self, statements: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        if self._connection is None:
            self._connection = self._opened()
        connection = self._connection

        def record() -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    connection.execute(statement, values)

        try:
            self._patiently(record)
        except sqlite3.Error as error:
            raise InputError(
                f"cannot record a run: {error}",
                where=str(self.path),
                mend="free space, then run the same command again",
            ) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()


def _canonical(configuration: Configuration) -> str:
    return json.dumps(configuration, sort_keys=True)


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(
            "a run in the ledger is damaged", where=str(path), mend="restore it, or choose another --out folder"
        ) from error


def sweep(
    function: Callable[[Configuration], Result],
    configurations: Sequence[Configuration],
    ledger: Ledger,
    executor: Executor | None = None,
    what: str = "runs",
) -> tuple[list[Result | None], list[str]]:
    """Run every configuration that the ledger does not hold yet, each result recorded as soon as it is there.

    ``executor``: any concurrent.futures.Executor (`elastomath.runs.executors.open_executor`); without one the runs are made here, one
    after another. Returns the results in the order of the configurations, as the ledger holds them, None for a run that
    failed, and a line for each failure. A configuration that occurs twice is run once. A run that fails, or whose worker is killed,
    is recorded with its reason, does not stop the others, and is tried again by the next sweep. An InputError ends the sweep (it
    would fail every run alike): what waits is cancelled, what is done stays in the ledger.
    """
    keys = [run_key(configuration) for configuration in configurations]
    results = [ledger.get(configuration) for configuration in configurations]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    missing = [index for index, result in enumerate(results) if result is None and first[keys[index]] == index]
    failures: list[str] = []
    if missing and len(missing) < len(first):
        say(f"{what}: {len(first) - len(missing)} of {len(first)} are done already")

    def keep(index: int, call: Callable[[], Result]) -> None:
        configuration = configurations[index]
        try:
            result = call()
        except InputError:
            raise
        except Exception as error:  # one failed run does not lose the others
            reason = f"{type(error).__name__}: {error}"
            failures.append(f"run {keys[index]} failed: {reason}")
            say(failures[-1])
            ledger.fail(configuration, reason)
            return
        ledger.put(configuration, result or {})
        results[index] = ledger.get(configuration)

    if executor is None:
        for index in track(missing, len(missing), what):
            results[index] = ledger.get(configurations[index])  # another driver may have made it meanwhile
            if results[index] is None:
                keep(index, lambda index=index: function(configurations[index]))  # type: ignore[misc]
    else:
        waiting: dict[Future[Result], int] = {}
        try:
            for index in missing:
                waiting[_submitted(executor, function, configurations[index])] = index
            for future in track(as_completed(waiting), len(waiting), what):
                keep(waiting[future], future.result)
        finally:
            for future in waiting:
                future.cancel()
    return [results[first[key]] for key in keys], failures


def _submitted(
    executor: Executor, function: Callable[[Configuration], Result], configuration: Configuration
) -> Future[Result]:
    """A future even where the executor takes no more (a pool that broke): the run then failed with that reason."""
    try:
        return executor.submit(function, configuration)
    except BrokenExecutor as error:
        broken: Future[Result] = Future()
        broken.set_exception(error)
        return broken
