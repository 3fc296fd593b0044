"""Documents from text, JSONL, CSV and Parquet files, from the catalogue, or from the hub; and splits that share nothing."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elastomath.errors import InputError

from .catalog import CATALOG
from .fetching import fetch, sha256_of

Row = Mapping[str, Any]

LABELS: Final = {"negative": "0", "positive": "1"}
"""The labels of film-reviews, in words."""
SOURCES: Final = ("imdb", "rotten_tomatoes")
"""The sources of film-reviews."""
SUFFIXES: Final = (".txt", ".jsonl", ".csv", ".parquet")
"""The kinds of data files, by their suffix."""
HUB_ID: Final = re.compile(r"([A-Za-z0-9][\w-]*(?:\.[\w-]+)*/[A-Za-z0-9][\w.-]*)(?::([\w./-]+))?")
"""``owner/name`` or ``owner/name:split`` on the Hugging Face hub."""


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
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Documents:
    """Read documents, in order, at most ``limit`` of them.

    ``spec`` is a file: ``.txt`` (one document, byte for byte, or one a line with ``lines``), ``.jsonl``, ``.csv`` or
    ``.parquet`` (the column ``text_column``); or ``film-reviews`` with a selection, as in ``film-reviews:positive``
    and ``film-reviews:negative/rotten_tomatoes``; or a dataset on the hub, ``owner/name`` or ``owner/name:split``
    (split ``train`` by default; needs the extra ``hub``). ``where`` keeps the rows whose columns have these values,
    compared as text.

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
    conditions = dict(where or {})
    catalogued, _, selection = name.partition(":")
    file, digest = Path(name).expanduser(), None
    columns: tuple[str, ...]
    rows: Iterable[Row]
    if catalogued in CATALOG and not file.exists():
        if CATALOG[catalogued].kind != "data":
            raise InputError(f"{catalogued} is a model, not data", where="data", mend=_choices())
        conditions |= _selected(name, selection)
        digest = CATALOG[catalogued].sha256
        columns, rows = _csv(Path(fetch([catalogued], cache)[0]["path"]), name)
    elif file.is_file():
        columns, rows = _file(file, name, text_column, lines)
        digest = sha256_of(file)
    elif file.is_dir():
        raise InputError("a folder, not a data file", where=name, mend=_choices())
    elif file.suffix.lower() in SUFFIXES or not HUB_ID.fullmatch(name):
        raise InputError("no such data file", where=name, mend=_choices())
    else:
        columns, rows = _hub(name, revision)
    for column in (text_column, *conditions):
        if columns and column not in columns:
            raise InputError(f"no column {column!r}", where=name, mend=f"the data has the columns {', '.join(columns)}")
    if conditions and not columns:
        raise InputError("plain text has no columns to select by", where=name, mend="leave the condition away")
    kept = (
        (number, row)
        for number, row in enumerate(rows, 1)
        if all(_as_text(row.get(column)) == _as_text(value) for column, value in conditions.items())
    )
    texts = tuple(_text(row, text_column, number, name) for number, row in itertools.islice(kept, limit))
    if not any(texts):
        what = "no row meets the condition" if conditions and not texts else "the data holds no text"
        told = ", ".join(f"{column} = {value}" for column, value in conditions.items())
        raise InputError(f"{what} {told}".strip(), where=name, mend="give data with at least one non-empty document")
    return Documents(texts, name, columns, digest)


def split_documents(
    texts: Iterable[str], sizes: Sequence[int], seed: int = 0, exclude: Iterable[str] = ()
) -> list[tuple[str, ...]]:
    """Disjoint splits of the given ``sizes``, without duplicates inside or across them.

    Documents are the same if their text is, surrounding white space aside (SHA-256). They are ranked by the hash of
    seed and text, so that a split depends on which documents there are and not on their order in the file. Empty
    documents, and those in ``exclude``, are in no split.

    Raises InputError for sizes that are negative or ask for more documents than there are.

    >>> a, b = split_documents(["x", "y", "x ", "", "z"], [2, 1])
    >>> sorted(a + b)
    ['x', 'y', 'z']
    """
    if any(size < 0 for size in sizes):
        raise InputError(f"sizes {list(sizes)}", where="split", mend="a split has 0 documents or more")
    unwanted = {text.strip() for text in exclude} | {""}
    distinct: dict[str, str] = {}
    for text in texts:
        distinct.setdefault(text.strip(), text)
    keys = sorted((key for key in distinct if key not in unwanted), key=lambda key: _rank(key, seed))
    if sum(sizes) > len(keys):
        raise InputError(
            f"{sum(sizes)} documents asked for, {len(keys)} distinct ones there",
            where="split",
            mend="ask for fewer, or give more data",
        )
    ends = list(itertools.accumulate(sizes, initial=0))
    return [tuple(distinct[key] for key in keys[a:b]) for a, b in itertools.pairwise(ends)]


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "surrogatepass")).digest()


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


def _text(row: Row, column: str, number: int, name: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        kind = "nothing" if value is None else type(value).__name__
        raise InputError(
            f"row {number}: {column!r} is {kind}, not text", where=name, mend="give every row a string, or drop the row"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"row {number}: half a surrogate pair at character {error.start + 1}",
            where=name,
            mend="repair or drop the row",
        ) from error
    return value


def _decoded(file: Path, name: str) -> str:
    """The whole file as UTF-8, byte for byte: no line ending is touched."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8: byte {error.start + 1} is 0x{error.object[error.start]:02x}",
            where=name,
            mend="convert the file to UTF-8",
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read: {error.strerror or error}", where=name, mend="check the file's rights"
        ) from error


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
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"line {number} is not JSON: {error}", where=name, mend="write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} is not a JSON object", where=name, mend="write one object a line")
        rows.append(row)
        columns.update(dict.fromkeys(row))
    if not rows:
        raise InputError("the data holds no rows", where=name, mend="write one JSON object a line")
    return tuple(columns), rows


def _csv(file: Path, name: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    import pandas as pd

    _check_utf8(file, name)
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise InputError("the file is empty", where=name, mend="write a header and at least one row") from error
    except (pd.errors.ParserError, OSError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(
            f"not a readable CSV file: {line}", where=name, mend="write it again with quoted text"
        ) from error
    return _rows(frame)


def _check_utf8(file: Path, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    try:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                pending = len(decoder.getstate()[0])
                decoder.decode(block)
                read += len(block)
            pending = len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8: byte {read - pending + error.start + 1} is 0x{error.object[error.start]:02x}",
            where=name,
            mend="convert the file to UTF-8",
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read: {error.strerror or error}", where=name, mend="check the file's rights"
        ) from error


def _parquet(file: Path, name: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(file)
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"not a readable Parquet file: {line}", where=name, mend="write it again") from error
    return _rows(frame.astype(object).where(frame.notna(), None))


def _rows(frame: Any) -> tuple[tuple[str, ...], Iterator[Row]]:
    columns = tuple(str(column) for column in frame.columns)
    return columns, (dict(zip(columns, values, strict=True)) for values in frame.itertuples(index=False, name=None))


def _hub(name: str, revision: str | None) -> tuple[tuple[str, ...], Iterable[Row]]:
    match = HUB_ID.fullmatch(name)
    assert match is not None
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "no such file, and reading from the hub needs `datasets`", where=name, mend="pip install 'elastomath[hub]'"
        ) from error
    _ask_hub(match[1], revision, name)
    try:
        loaded = datasets.load_dataset(match[1], split=match[2] or "train", revision=revision)
    except Exception as error:  # the hub's client raises many kinds
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the dataset cannot be read: {line[:300]}", where=name, mend=_choices()) from error
    return tuple(loaded.column_names), loaded


def _ask_hub(dataset: str, revision: str | None, name: str) -> None:
    """One question to the hub, which is refused or fails at once where loading would try for half a minute."""
    import huggingface_hub
    from huggingface_hub import errors

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return  # the user asked for the hub's local cache
    try:
        huggingface_hub.HfApi().dataset_info(dataset, revision=revision, timeout=20)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise InputError("no such data file, and no such dataset on the hub", where=name, mend=_choices()) from error
    except Exception as error:
        raise InputError(
            "no such data file, and no network to look for it on the hub", where=name, mend=f"connect, or {_choices()}"
        ) from error
