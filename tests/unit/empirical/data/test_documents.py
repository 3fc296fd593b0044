"""Reading documents: what is in the file, exactly, or one line that says what is wrong with it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path

import pandas as pd
import pytest

from elastomath.errors import InputError
from empirical.data.documents import read_documents
from empirical.data.specifications import common_prompt
from empirical.data.splits import split_documents
from empirical.fetch.catalog import CATALOG

TEXTS = ("Größe, 映画 🎬", "", "two\nlines, and a comma", 'a "quoted" word', " spaces  ", "NA", "1")


def write(folder: Path, suffix: str, texts: tuple[str, ...] = TEXTS) -> Path:
    path = folder / f"data{suffix}"
    frame = pd.DataFrame({"text": list(texts), "label": [index % 2 for index in range(len(texts))]})
    if suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_tables_give_back_their_texts(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix)
    documents = read_documents(path)
    assert documents.texts == TEXTS
    assert documents.columns == ("text", "label")
    assert documents.name == str(path)
    assert documents.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_documents(path, limit=2).texts == TEXTS[:2]
    assert read_documents(path, where={"label": 1}).texts == TEXTS[1::2]
    assert read_documents(path, where={"label": "1"}, limit=2).texts == TEXTS[1:4:2]


def test_plain_text_is_kept_byte_for_byte(tmp_path: Path) -> None:
    raw = "\ufeffone\r\ntwo\n\nGröße\u2028three\rfour\n".encode()
    (tmp_path / "a.txt").write_bytes(raw)
    [text] = read_documents(tmp_path / "a.txt").texts
    assert text.encode() == raw
    lines = read_documents(tmp_path / "a.txt", lines=True).texts
    assert lines == ("\ufeffone", "two", "", "Größe\u2028three\rfour")


def test_jsonl_lines_may_hold_unicode_line_separators(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"text": "a\u2028b\u0085c"}\r\n\n{"text": "d"}\n', encoding="utf-8", newline="")
    assert read_documents(path).texts == ("a\u2028b\u0085c", "d")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_wrong_column_names_those_there_are(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix)
    with pytest.raises(InputError, match=r"no column 'review'.*the data has the columns text, label"):
        read_documents(path, text_column="review")
    with pytest.raises(InputError, match=r"no column 'stars'.*text, label"):
        read_documents(path, where={"stars": 5})
    with pytest.raises(InputError, match="no row meets the condition label = 7"):
        read_documents(path, where={"label": 7})


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"", "no text"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"text\n", "no text"),
        ("a.csv", b'text\n""\n', "no text"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.txt", b"ab\xff", "not UTF-8: byte 3 is 0xff"),
        ("a.csv", b"text\n" + b"x" * (1 << 20) + b"\xe9t\n", "not UTF-8: byte 1048582 is 0xe9"),
        ("a.csv", b"text\n" + b"x" * ((1 << 20) - 6) + b"\xc3(\n", "not UTF-8: byte 1048576 is 0xc3"),
        ("a.csv", b"text\nabc\xc3", "not UTF-8: byte 9 is 0xc3"),
        ("a.jsonl", b'{"text": "a"}\n\xff', "not UTF-8: byte 15"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "not JSON: "),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "line 2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 5}\n', "row 2: 'text' is int"),
        ("a.jsonl", b'{"text": "a"}\n{"other": "b"}\n', "row 2: 'text' is nothing"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b\\ud800"}\n', "row 2: half a surrogate pair at character 2"),
        ("a.csv", b'text,b\na,b\n"c,d', "not a readable CSV file: line 3"),
        ("a.csv", b'text,b\n"a"b,b\n', "not a readable CSV file: line 2"),
        ("a.csv", b"text,label\nhello,1,\n", "line 2: 3 fields where the header has 2 fields"),
        ("a.csv", b"text,label\ngood,1\none, two,0\n", "line 3: 3 fields where the header has 2 fields"),
        ("a.csv", b"label,text\n1,good\n0\n", "line 3: 1 field where the header has 2 fields"),
        ("a.csv", b'text,label\n"a\nb",1\nc\n', "line 4: 1 field"),
        ("a.csv", b"text\nhello,1\n", "line 2: 2 fields where the header has 1 field"),
        ("a.csv", b"text,text\na,b\n", "line 1: column 'text' occurs twice"),
        ("a.csv", b"label,text,label\n1,b,0\n", "line 1: column 'label' occurs twice"),
        ("a.csv", b"\xef\xbb\xbftext\nab\xff", "not UTF-8: byte 11 is 0xff"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b", "text": "c"}\n', "key 'text' occurs twice"),
        ("a.jsonl", b'{"text": "a", "x": {"k": 1, "k": 2}}\n', "key 'k' occurs twice"),
        ("a.parquet", b"PAR1 but cut", "not a readable Parquet"),
        ("a.docx", b"x", "unknown suffix '.docx'"),
    ],
)
def test_bad_data_is_one_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_documents(tmp_path / name)
    assert told in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such data file"):
        read_documents(tmp_path / "gone.csv")
    with pytest.raises(InputError, match=r"no such data file.*film-reviews"):
        read_documents("gone")
    with pytest.raises(InputError, match="a folder"):
        read_documents(tmp_path)
    with pytest.raises(InputError, match="is a model"):
        read_documents("smollm2-135m-instruct-q4")
    with pytest.raises(InputError, match="limit 0"):
        read_documents(write(tmp_path, ".csv"), limit=0)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match="no columns"):
        read_documents(tmp_path / "a.txt", where={"label": 1})


def test_a_missing_value_in_parquet_is_told_with_its_row(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", None]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="row 2: 'text' is nothing"):
        read_documents(tmp_path / "a.parquet")


def test_the_hub_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    hub = pytest.importorskip("huggingface_hub")

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(hub.HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(InputError, match="no network"):
        read_documents("owner/name:test")


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in place of film-reviews in the cache, with the columns of the real one."""
    rows = [
        {"text": f"{source} {label} {index}", "label": label, "source": source}
        for index in range(3)
        for label in (0, 1)
        for source in ("imdb", "rotten_tomatoes")
    ]
    item = CATALOG["film-reviews"]
    path = tmp_path / "files" / "film-reviews" / item.file
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    raw = path.read_bytes()
    pinned = dataclasses.replace(item, size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    monkeypatch.setitem(CATALOG, "film-reviews", pinned)
    return tmp_path


def test_selections_of_film_reviews(reviews: Path) -> None:
    def read(selection: str) -> tuple[str, ...]:
        return read_documents("film-reviews" + selection, cache=reviews).texts

    assert len(read("")) == 12
    assert read(":positive") == tuple(f"{s} 1 {i}" for i in range(3) for s in ("imdb", "rotten_tomatoes"))
    assert read(":imdb") == tuple(f"imdb {label} {i}" for i in range(3) for label in (0, 1))
    assert read(":negative/rotten_tomatoes") == tuple(f"rotten_tomatoes 0 {i}" for i in range(3))
    assert read(":rotten_tomatoes/negative") == read(":negative/rotten_tomatoes")
    assert read_documents("film-reviews:positive", cache=reviews).sha256 == CATALOG["film-reviews"].sha256
    for wrong in (":neutral", ":positive/negative", ":imdb/imdb", ":positive/"):
        with pytest.raises(InputError, match="no selection"):
            read(wrong)


def test_a_folder_of_a_shipped_name_is_in_nobodys_way(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (reviews / "here" / "film-reviews").mkdir(parents=True)
    monkeypatch.chdir(reviews / "here")
    assert len(read_documents("film-reviews", cache=reviews).texts) == 12
    assert common_prompt(None, "film-reviews") == "Film review:"


def test_splits_are_disjoint_and_without_duplicates() -> None:
    texts = [f"document {index % 40}" + " " * (index % 3) for index in range(120)] + ["", "  "]
    parts = split_documents(texts, [10, 20, 5], seed=3)
    assert [len(part) for part in parts] == [10, 20, 5]
    stripped = [text.strip() for part in parts for text in part]
    assert len(set(stripped)) == 35
    assert "" not in stripped


def test_a_split_depends_on_the_documents_and_the_seed_only() -> None:
    texts = [f"document {index}" for index in range(50)]
    shuffled = random.Random(0).sample(texts, k=50)
    assert split_documents(texts, [10, 10]) == split_documents(shuffled, [10, 10])
    assert split_documents(texts, [10, 10], seed=0) != split_documents(texts, [10, 10], seed=1)


def test_excluded_documents_are_in_no_split() -> None:
    texts = [f"document {index}" for index in range(20)]
    [first] = split_documents(texts, [8])
    [rest] = split_documents(texts, [12], exclude=[text + "\n" for text in first])
    assert not set(first) & set(rest)
    with pytest.raises(InputError, match="13 documents asked for, 12 distinct ones there"):
        split_documents(texts, [13], exclude=first)
    with pytest.raises(InputError, match="sizes"):
        split_documents(texts, [-1, 3])


def test_json_escapes_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "é\u0000🎬"}) + "\n", encoding="utf-8")
    assert read_documents(tmp_path / "a.jsonl").texts == ("é\u0000🎬",)


def test_csv_as_it_is_written(tmp_path: Path) -> None:
    """Quoted commas, quotes and line ends, an index without a name, blank lines, a mark of the byte order, a long field."""
    path = tmp_path / "a.csv"
    long = "x" * 300_000
    text = f'\ufeff,text,\r\n\r\n0,"a, ""b""\r\nc",\r\n1,NA,\r\n2,"",\r\n3,{long},\r\n'
    path.write_bytes(text.encode())
    assert read_documents(path).texts == ('a, "b"\r\nc', "NA", "", long)
    assert read_documents(path).columns == ("text",)
    with pytest.raises(InputError, match="no column ''"):
        read_documents(path, text_column="")


def test_two_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), tmp_path / "a.parquet"
    )
    with pytest.raises(InputError, match=r"occurs twice|not a readable Parquet"):
        read_documents(tmp_path / "a.parquet")
