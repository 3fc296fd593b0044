"""The ledger: what is done is never done again, and a killed sweep continues (SQLite, WAL)."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import InputError
from .progress import say, track

Configuration = dict[str, Any]
Result = dict[str, Any]


def run_key(configuration: Configuration) -> str:
    """The name of a run: SHA-256 (16 hex digits) of its full configuration as canonical JSON.

    >>> run_key({"a": 1, "b": 2}) == run_key({"b": 2, "a": 1})
    True
    """
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Ledger:
    """Finished runs, keyed by the hash of their configuration; a context manager over one SQLite file.

    Only the driver writes. A run is in the ledger if and only if it ended well.

    >>> import tempfile, pathlib
    >>> with Ledger(pathlib.Path(tempfile.mkdtemp()) / "runs.sqlite") as ledger:
    ...     ledger.put({"seed": 0}, {"value": 1.5})
    ...     ledger.get({"seed": 0}), ledger.get({"seed": 1})
    ({'value': 1.5}, None)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, configuration TEXT NOT NULL, result TEXT NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"cannot open the ledger: {error}", where=str(self.path), mend="choose another --out folder"
            ) from error

    def get(self, configuration: Configuration) -> Result | None:
        """The result of a finished run, or None."""
        row = self._connection.execute("SELECT result FROM runs WHERE key = ?", (run_key(configuration),)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, configuration: Configuration, result: Result) -> None:
        """Record a finished run; JSON only, in one transaction."""
        values = (run_key(configuration), json.dumps(configuration, sort_keys=True), json.dumps(result))
        try:
            with self._connection:
                self._connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", values)
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
        self._connection.close()


def sweep(
    function: Callable[[Configuration], Result],
    configurations: Sequence[Configuration],
    ledger: Ledger,
    executor: Executor | None = None,
    what: str = "runs",
) -> tuple[list[Result | None], list[str]]:
    """Run every configuration that the ledger does not hold yet, each result recorded as soon as it is there.

    ``executor``: any concurrent.futures.Executor; without one the runs are made here, one after another.
    Returns the results in the order of the configurations, None for a run that failed, and a line for each failure.
    A configuration that occurs twice is run once. An InputError ends the sweep (it would fail every run alike): what
    waits is cancelled, what is done stays in the ledger.
    """
    keys = [run_key(configuration) for configuration in configurations]
    results = [ledger.get(configuration) for configuration in configurations]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    missing = [index for index, result in enumerate(results) if result is None and first[keys[index]] == index]
    failures: list[str] = []

    def keep(index: int, call: Callable[[], Result]) -> None:
        try:
            results[index] = call()
        except InputError:
            raise
        except Exception as error:  # one failed run does not lose the others
            failures.append(f"run {keys[index]} failed: {type(error).__name__}: {error}")
            say(failures[-1])
            return
        ledger.put(configurations[index], results[index] or {})

    if executor is None:
        for index in track(missing, len(missing), what):
            keep(index, lambda index=index: function(configurations[index]))  # type: ignore[misc]
    else:
        waiting: dict[Future[Result], int] = {executor.submit(function, configurations[i]): i for i in missing}
        try:
            for future in track(as_completed(waiting), len(waiting), what):
                keep(waiting[future], future.result)
        finally:
            for future in waiting:
                future.cancel()
    return [results[first[key]] for key in keys], failures
