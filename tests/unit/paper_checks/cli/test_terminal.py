"""What verbs print: tables whose words stay whole at any width, and lines that are broken between words."""

from __future__ import annotations

import pytest

from paper_checks.cli.terminal import broken, table

ROWS = [
    {"what": "contrast after alignment", "value": "0.026 [0.010, 0.043]", "p": 0.016},
    {"what": "half-life", "value": "0.6 [0.2, 2.2]", "p": 0.29},
]
WORDS = {word for row in ROWS for value in row.values() for word in str(value).split()}


@pytest.mark.parametrize("width", [200, 60, 40, 30, 20])
def test_the_words_of_a_table_stay_whole(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    table(ROWS, ("what", "value", "p"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, (line.rstrip() for line in lines))) <= width
    assert {word.rstrip(";") for line in lines for word in line.split()} >= WORDS


def test_where_columns_do_not_fit_each_row_is_a_paragraph(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "24")
    table([{"run": "a-name-of-twenty-one-x", "value": 0.5}], ("run", "value"))
    assert capsys.readouterr().out == "a-name-of-twenty-one-x\n  value: 0.5\n"


def test_a_line_is_broken_with_its_indent_and_no_word_is():
    text = "prose that goes on and on\n    by steps 3, 4 and a-word-that-is-longer-than-the-line"
    lines = broken(text, 20).split("\n")
    assert lines[:2] == ["prose that goes on", "and on"]
    assert lines[2] == "    by steps 3, 4"
    assert lines[-1].strip() == "a-word-that-is-longer-than-the-line"
    assert broken(text, 200) == text
