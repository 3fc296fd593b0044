"""What an error line repeats of the input is inert: one line, printable, of bounded length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastomath import InputError
from elastomath.errors import LONGEST, escaped, inert
from elastomath.memory import affordable, memory_at_hand


@given(st.text(), st.text(), st.text())
def test_a_line_is_one_printable_line(what, where, mend):
    line = str(InputError(what, where=where, mend=mend))
    assert line.isprintable()
    assert len(line) < 10 * 3 * LONGEST
    assert InputError(line).what in (line, inert(line))


def test_the_ends_of_long_input_are_shown():
    line = str(
        InputError("the columns " + ", ".join(f"c{i}" for i in range(20_000)), where="\u202e\x1b[2Jx" + "y" * 10_000)
    )
    assert len(line) < 3 * LONGEST
    assert "the columns c0" in line
    assert "c19999" in line
    assert "\\u202e\\x1b[2Jx" in line
    assert "characters" in line


def test_plain_text_stays_as_it_is():
    for text in ("größe 映画 кино — 'a' <b> $x$ \\n", "a" * LONGEST):
        assert inert(text) == text
    assert escaped("a\nb\t", kept="\n\t") == "a\nb\t"


def test_a_count_ends_at_the_memory_at_hand():
    free = memory_at_hand()
    affordable(free // 16, 8, "batch", "demo")
    for count in (free, 1 << 63, 10**400):
        with pytest.raises(InputError, match=r"at most .* of memory are at hand"):
            affordable(count, 8, "batch", "demo")
    affordable(10, 1e3, "batch", "demo")
    with pytest.raises(InputError, match="the source makes"):
        affordable(3, 1e30, "the source", "demo", "sequences")
