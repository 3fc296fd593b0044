"""Tables in text: CSV whose every row has the fields of the header, and JSON objects whose keys occur once."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from .errors import InputError
from .foreign import text_of


def read_csv(path: str | os.PathLike[str], where: str = "") -> tuple[tuple[str, ...], list[list[str]]]:
    """The header and the rows of a CSV file (RFC 4180, UTF-8), every field as the text that it is; blank lines are none.

    A row has as many fields as the header, and no two columns one name; a column without a name is there (the index
    that pandas writes) and cannot be asked for. Nothing is guessed: a field too many is a comma that was not quoted
    or a column without a header, and then no one knows which field is which.

    Raises InputError in one line, with the line of the file: a row with more or fewer fields, a name that occurs twice,
    columns with semicolons or tabs between, a quote that does not close, bytes that are not UTF-8, a file that cannot be read or is empty.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = file.write_text('text,label\\n"good, or nearly",1\\n')
    >>> read_csv(file)
    (('text', 'label'), [['good, or nearly', '1']])
    """
    name = where or os.fspath(path)
    text = text_of(path, name).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    limit = csv.field_size_limit(sys.maxsize)  # a document may be long
    try:
        header = next((row for row in reader if row), None)
        if header is None:
            raise InputError("the file is empty", where=name, mend="write a header and at least one row")
        if len(header) == 1 and (mark := next((mark for mark in ";\t" if mark in header[0]), "")):
            between = "semicolons" if mark == ";" else "tabs"
            raise InputError(
                f"{between} between the columns", where=name, mend="save it with commas, and with decimal points"
            )
        _refuse_twice(header, f"line {reader.line_num}: column", name)
        for row in reader:
            if row and len(row) != len(header):
                raise InputError(
                    f"line {reader.line_num}: {_fields(len(row))} where the header has {_fields(len(header))}",
                    where=name,
                    mend="quote a text that holds commas, and write every field",
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise InputError(
            f"not a readable CSV file: line {reader.line_num}: {error}",
            where=name,
            mend="write it again with quoted text",
        ) from error
    finally:
        csv.field_size_limit(limit)
    return tuple(header), rows


def json_object(line: str, where: str) -> dict[str, Any]:
    """The JSON object on a line. Raises InputError for broken JSON, another value, and a key that occurs twice.

    JSON readers take the last of two equal keys in silence, so that a text could be another than the one meant.

    >>> json_object('{"text": "a", "label": 1}', "a.jsonl, line 1")
    {'text': 'a', 'label': 1}
    >>> json_object('{"text": "a", "text": "b"}', "a.jsonl, line 1")
    Traceback (most recent call last):
        ...
    elastomath.errors.InputError: key 'text' occurs twice (a.jsonl, line 1): keep one of them
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twice((key for key, _ in pairs), "key", where)
        return dict(pairs)

    try:
        value = json.loads(line, object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", where=where, mend="write one JSON object a line") from error
    if not isinstance(value, dict):
        raise InputError(
            f"a JSON {type(value).__name__}, not an object", where=where, mend="write one JSON object a line"
        )
    return value


def _refuse_twice(names: Iterable[str], what: str, where: str) -> None:
    known: set[str] = set()
    for name in names:
        if name and name in known:
            raise InputError(f"{what} {name!r} occurs twice", where=where, mend="keep one of them")
        known.add(name)


def _fields(count: int) -> str:
    return f"{count} field{'s' * (count != 1)}"
