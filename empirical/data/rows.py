"""Rows of a table, wherever it lies: text, JSONL, CSV and Parquet files, the catalogue, or the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elastomath.errors import InputError, with_extra
from elastomath.foreign import parquet_of, plain_file
from elastomath.foreign import text_of as text_of_file
from elastomath.tables import json_object, read_csv

from ..fetch.catalog import CATALOG
from ..fetch.fetching import fetch, sha256_of

Row = Mapping[str, Any]

LABELS: Final = {"negative": "0", "positive": "1"}
"""The labels of film-reviews, in words."""
SOURCES: Final = ("imdb", "rotten_tomatoes")
"""The sources of film-reviews."""
SUFFIXES: Final = (".txt", ".jsonl", ".csv", ".parquet")
"""The kinds of data files, by their suffix."""
HUB_ID: Final = re.compile(
    r"(?P<dataset>[A-Za-z0-9][\w-]*(?:\.[\w-]+)*/[A-Za-z0-9][\w.-]*)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w./-]+))?"
)
"""``owner/name``, ``owner/name:split`` or ``owner/name/config:split`` on the Hugging Face hub."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table that is read once, from its first row to its last.

    columns  the names of its columns; empty for plain text, whose rows have one column of the name asked for
    rows     (number from 1, row) for each row that meets the conditions
    name     as the data was asked for
    sha256   of the file that is read, or None for the hub
    """

    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Row]]
    name: str
    sha256: str | None


def stands_here(name: str) -> bool:
    """Whether a file of this name is there, which goes before what is shipped under it; a folder holds no rows and does not.

    >>> stands_here("film-reviews")
    False
    """
    path = Path(name).expanduser()
    return path.exists() and not path.is_dir()


def read_rows(
    spec: str | os.PathLike[str],
    where: Mapping[str, Any] | None = None,
    *,
    text_column: str = "text",
    lines: bool = False,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Rows:
    """The rows of ``spec``, as `read_documents` understands it; the arguments are explained there.

    config, split  of a hub dataset, where ``spec`` names none

    Raises InputError in one line where the table cannot be read, and for a condition on a column that is not there.
    """
    name = os.fspath(spec)
    conditions = dict(where or {})
    catalogued, _, selection = name.partition(":")
    file, digest = Path(name).expanduser(), None
    columns: tuple[str, ...]
    rows: Iterable[Row]
    on_hub = False
    if catalogued in CATALOG and not stands_here(name):
        if CATALOG[catalogued].kind != "data":
            raise InputError(f"{catalogued} is a model, not data", where="data", mend=_choices())
        conditions |= _selected(name, selection)
        digest = CATALOG[catalogued].sha256
        columns, rows = _csv(Path(fetch([catalogued], cache)[0]["path"]), name)
    elif file.exists():
        plain_file(file, name, _choices())
        columns, rows = _file(file, name, text_column, lines)
        digest = sha256_of(file)
    elif not is_hub_dataset(name):
        raise InputError("no such data file", where=name, mend=_choices())
    else:
        on_hub = True
        columns, rows = _hub(name, config, split, revision)
    if not on_hub and revision is not None:
        raise InputError("a file has no revisions", where=name, mend="give a revision with a hub dataset only")
    for column in conditions:
        if columns and column not in columns:
            raise no_column(column, columns, name)
    if conditions and not columns:
        raise InputError("plain text has no columns to select by", where=name, mend="leave the condition away")
    kept = (
        (number, row)
        for number, row in enumerate(rows, 1)
        if all(_as_text(row.get(column)) == _as_text(value) for column, value in conditions.items())
    )
    return Rows(columns, kept, name, digest)


def no_column(column: str, columns: tuple[str, ...], name: str) -> InputError:
    """The error for a column that is not there: it names those that are."""
    return InputError(f"no column {column!r}", where=name, mend=f"the data has the columns {', '.join(columns)}")


def text_of(row: Row, column: str, number: int, name: str) -> str:
    """The string in that column of row ``number``. Raises InputError where it is none, or no UTF-8 file can hold it."""
    value = row.get(column)
    if not isinstance(value, str):
        kind = "nothing" if value is None else type(value).__name__
        mend = "give every row a string, or drop the row"
        if holds_turns(value):
            mend = "messages are read with --chat, or as SPEC#response"
        raise InputError(f"row {number}: {column!r} is {kind}, not text", where=name, mend=mend)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"row {number}: half a surrogate pair at character {error.start + 1}",
            where=name,
            mend="repair or drop the row",
        ) from error
    return value


def holds_turns(value: Any) -> bool:
    """Whether a value is a list of dicts, as a chat is."""
    if value is None or isinstance(value, str | bytes | dict) or not hasattr(value, "__len__"):
        return False
    return len(value) > 0 and all(isinstance(part, dict) for part in value)


def is_hub_dataset(name: str) -> bool:
    """Whether a name has the form ``owner/name`` and does not end like a file.

    >>> is_hub_dataset("owner/prefs"), is_hub_dataset("prefs.jsonl")
    (True, False)
    """
    return Path(name).suffix.lower() not in SUFFIXES and HUB_ID.fullmatch(name) is not None


def _choices() -> str:
    names = ", ".join(name for name, item in CATALOG.items() if item.kind == "data")
    return f"give a file ({', '.join(SUFFIXES)}), a hub dataset owner/name, or {names}"


def _selected(name: str, selection: str) -> dict[str, str]:
    """The condition that stands for ``positive``, ``imdb``, ``negative/rotten_tomatoes`` and the like.

    >>> _selected("film-reviews:positive/imdb", "positive/imdb")
    {'label': '1', 'source': 'imdb'}
    """
    conditions: dict[str, str] = {}
    for word in selection.split("/") if selection else []:
        column, value = ("label", LABELS[word]) if word in LABELS else ("source", word)
        if (column == "source" and word not in SOURCES) or column in conditions:
            raise InputError(
                f"no selection {selection!r}",
                where=name,
                mend=f"write a label ({', '.join(LABELS)}), a source ({', '.join(SOURCES)}), or label/source",
            )
        conditions[column] = value
    return conditions


def _as_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _decoded(file: Path, name: str) -> str:
    """The whole file as UTF-8, byte for byte: no line ending is touched."""
    return text_of_file(file, name)


def _file(file: Path, name: str, text_column: str, lines: bool) -> tuple[tuple[str, ...], Iterable[Row]]:
    suffix = file.suffix.lower()
    if suffix == ".txt":
        text = _decoded(file, name)
        parts = [line.removesuffix("\r") for line in text.split("\n")] if lines else [text]
        if lines and parts[-1] == "":
            parts.pop()  # the end of the last line begins no new one
        return (), ({text_column: part} for part in parts)
    if suffix == ".jsonl":
        return _jsonl(file, name)
    if suffix == ".csv":
        return _csv(file, name)
    if suffix == ".parquet":
        return _parquet(file, name)
    raise InputError(f"unknown suffix {file.suffix!r}", where=name, mend=_choices())


def _jsonl(file: Path, name: str) -> tuple[tuple[str, ...], list[Row]]:
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(_decoded(file, name).removeprefix("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        row = json_object(line, f"{name}, line {number}")
        rows.append(row)
        columns.update(dict.fromkeys(row))
    if not rows:
        raise InputError("the data holds no rows", where=name, mend="write one JSON object a line")
    return tuple(columns), rows


def _csv(file: Path, name: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    columns, rows = read_csv(file, name)
    return tuple(filter(None, columns)), (dict(zip(columns, row, strict=True)) for row in rows)


def _parquet(file: Path, name: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    frame = parquet_of(file, name)
    columns = tuple(map(str, frame.columns))
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InputError(f"column {twice!r} occurs twice", where=name, mend="keep one of them")
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return columns, (dict(zip(columns, values, strict=True)) for values in rows)


def _hub(
    name: str, config: str | None, split: str | None, revision: str | None
) -> tuple[tuple[str, ...], Iterable[Row]]:
    match = HUB_ID.fullmatch(name)
    assert match is not None
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "no such file, and reading from the hub needs `datasets`", where=name, mend=with_extra("hub")
        ) from error
    dataset = match["dataset"]
    _ask_hub(dataset, revision, name)
    try:
        loaded = datasets.load_dataset(
            dataset, match["config"] or config, split=match["split"] or split or "train", revision=revision
        )
    except Exception as error:  # the hub's client raises many kinds
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the dataset cannot be read: {line[:300]}", where=name, mend=_choices()) from error
    return tuple(loaded.column_names), loaded


def _ask_hub(dataset: str, revision: str | None, name: str) -> None:
    """One question to the hub, which is refused or fails at once where loading would try for half a minute."""
    import huggingface_hub
    from huggingface_hub import constants, errors

    if constants.HF_HUB_OFFLINE:
        return  # the user asked for the hub's local cache
    try:
        huggingface_hub.HfApi().dataset_info(dataset, revision=revision, timeout=20)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise InputError("no such data file, and no such dataset on the hub", where=name, mend=_choices()) from error
    except Exception as error:
        raise InputError(
            "no such data file, and no network to look for it on the hub", where=name, mend=f"connect, or {_choices()}"
        ) from error
