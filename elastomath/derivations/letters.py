"""What the letters of each derivation stand for, in plain words: printed before its steps.

A letter is a symbol, a function that the proof leaves open, or a function with a name; abbreviations count. Signs stand in
the line "Numbers" of a derivation; units are named here, volumes in units of the alignment volume where none is.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources


@functools.cache
def _tables() -> dict[str, dict[str, str]]:
    """The file ``letters.toml``: a table for each result, and the letters of several derivations in ``COMMON``."""
    return tomllib.loads(resources.files(__package__).joinpath("letters.toml").read_text(encoding="utf-8"))


def letters_of(id: str) -> dict[str, str]:
    """Letters of a derivation, by its id: those that it shares, and its own; a key may name several."""
    own = dict(_tables()[id])
    return {name: _tables()["COMMON"][name] for name in own.pop("common", "").split()} | own
