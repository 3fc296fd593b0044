"""Documents from text, JSONL, CSV and Parquet files, from the catalogue, or from the hub."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elastomath.errors import InputError

from .chats import read_chat
from .rows import Rows, no_column, read_rows, text_of
from .splits import split_documents

__all__ = ["Documents", "open_documents", "read_chats", "read_documents", "split_documents"]


@dataclass(frozen=True, slots=True)
class Documents:
    """Texts of a dataset, in the order of its file.

    texts    one string a document; may hold empty strings
    name     as the data was asked for
    columns  the columns that the file has; empty for plain text
    sha256   of the file that was read, or None for the hub
    """

    texts: tuple[str, ...]
    name: str
    columns: tuple[str, ...] = ()
    sha256: str | None = None

    def __len__(self) -> int:
        return len(self.texts)


def read_documents(
    spec: str | os.PathLike[str],
    text_column: str = "text",
    limit: int | None = None,
    where: Mapping[str, Any] | None = None,
    *,
    lines: bool = False,
    config: str | None = None,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Documents:
    """Read documents, in order, at most ``limit`` of them.

    ``spec`` is a file: ``.txt`` (one document, byte for byte, or one a line with ``lines``), ``.jsonl``, ``.csv`` or
    ``.parquet`` (the column ``text_column``); or ``film-reviews`` with a selection, as in ``film-reviews:positive``
    and ``film-reviews:negative/rotten_tomatoes``; or a dataset on the hub, ``owner/name``, ``owner/name:split`` or
    ``owner/name/config:split`` (split ``train`` by default; needs the extra ``hub``). ``where`` keeps the rows whose
    columns have these values, compared as text.

    Raises InputError in one line: a missing file, text that is not UTF-8 (with the byte), a column that is not there
    (naming those that are), a row without text (with its number), nothing left to read, no network.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = file.write_text("text,label\\ngood,1\\nbad,0\\n")
    >>> read_documents(file, where={"label": 1}).texts
    ('good',)
    """
    name = os.fspath(spec)
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}", where=name, mend="read at least one document")
    table = open_documents(spec, text_column, where, lines=lines, config=config, revision=revision, cache=cache)
    texts = tuple(text_of(row, text_column, number, name) for number, row in itertools.islice(table.rows, _most(limit)))
    if not any(texts):
        what = "no row meets the condition" if where and not texts else "the data holds no text"
        if texts and limit is not None:
            raise InputError(f"the first {len(texts)} rows hold no text", where=name, mend="read more of them")
        conditions = ", ".join(f"{column} = {value}" for column, value in (where or {}).items())
        raise InputError(
            f"{what} {conditions}".strip(), where=name, mend="give data with at least one non-empty document"
        )
    return Documents(texts, name, table.columns, table.sha256)


def _most(limit: int | None) -> int | None:
    return None if limit is None else min(max(limit, 0), sys.maxsize)


def open_documents(
    spec: str | os.PathLike[str],
    text_column: str = "text",
    where: Mapping[str, Any] | None = None,
    *,
    lines: bool = False,
    config: str | None = None,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Rows:
    """The table of `read_documents`, whose arguments these are, with its column; no row is read yet."""
    table = read_rows(spec, where, text_column=text_column, lines=lines, config=config, revision=revision, cache=cache)
    if table.columns and text_column not in table.columns:
        raise no_column(text_column, table.columns, os.fspath(spec))
    return table


def read_chats(
    spec: str | os.PathLike[str], column: str = "messages", limit: int | None = None
) -> tuple[Documents, Documents]:
    """The chats of a column of messages: the turns before each answer, as `chats.Chat`, and the answers.

    A row holds a list of ``{"role", "content"}`` (in CSV as JSON) whose last turn is the assistant's. ``spec`` and
    ``limit`` as in `read_documents`. Raises InputError in one line with the row.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> row = '{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}'
    >>> _ = file.write_text(row)
    >>> before, answers = read_chats(file)
    >>> before.texts, answers.texts
    (('user: Why?',), ('So.',))
    """
    name = os.fspath(spec)
    table = open_documents(spec, column)
    if not table.columns:
        raise InputError("plain text has no messages", where=name, mend="give JSONL, CSV or Parquet")
    chats = [
        read_chat(row.get(column), f"{name}, row {number}")
        for number, row in itertools.islice(table.rows, _most(limit))
    ]
    before, answers = zip(*chats, strict=True) if chats else ((), ())
    if not any(answers):
        raise InputError("the data holds no answer", where=name, mend="give at least one that is not empty")
    return (
        Documents(tuple(before), name, table.columns, table.sha256),
        Documents(tuple(answers), name, table.columns, table.sha256),
    )
