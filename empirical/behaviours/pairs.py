"""Pairs of responses as people have them: a shipped behaviour by name, or columns ``prompt, chosen, rejected``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elastomath.errors import InputError

from ..data.examples import Preference
from ..data.rows import read_rows, text_of
from .behaviour import shipped

COLUMNS = ("prompt", "chosen", "rejected")
"""The columns of preference data."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """A behaviour as it was asked for: its pairs, no prompt twice but with other responses.

    name, sha256  as it was asked for; the hash of its pairs, so that a changed file makes other runs
    """

    name: str
    pairs: tuple[Preference, ...]

    @property
    def sha256(self) -> str:
        """The SHA-256 of all pairs in their order."""
        rows = [[pair.prompt, pair.chosen, pair.rejected] for pair in self.pairs]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def swapped(self) -> Pairs:
        """The same prompts with the roles of the two responses exchanged."""
        exchanged = (replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in self.pairs)
        return Pairs(f"{self.name} (swapped)", tuple(exchanged))

    def split(self, held_out: int, seed: int) -> tuple[tuple[Preference, ...], tuple[Preference, ...]]:
        """(held out, to train on): no prompt is in both. The order of each is drawn by ``seed`` from the prompts' hashes.

        Raises InputError where fewer than ``held_out`` + 4 prompts are there.
        """
        by_prompt: dict[str, list[Preference]] = {}
        for pair in self.pairs:
            by_prompt.setdefault(pair.prompt.strip(), []).append(pair)
        if len(by_prompt) == 1:  # one common prompt: what is held out is responses
            by_prompt = {f"{pair.chosen}\0{pair.rejected}": [pair] for pair in self.pairs}
        keys = sorted(
            by_prompt, key=lambda key: hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).digest()
        )
        if len(keys) < held_out + 4:
            raise InputError(
                f"{len(keys)} different prompts, {held_out} of them to be held out",
                where=self.name,
                mend="give more prompts, or hold out fewer",
            )
        parts = ([pair for key in some for pair in by_prompt[key]] for some in (keys[:held_out], keys[held_out:]))
        held, rest = (tuple(part) for part in parts)
        return held, rest


def read_pairs(spec: str | os.PathLike[str], *, swap: bool = False, limit: int | None = None) -> Pairs:
    """The pairs of ``spec``: a shipped behaviour (``advice``, or ``advice:3`` for three wordings), a file, or a hub dataset.

    A file (JSONL, CSV, Parquet) has the columns ``prompt``, ``chosen`` and ``rejected``, each a text. ``swap`` exchanges
    the roles of the two responses; ``limit``: rows that are read.

    Raises InputError in one line: no such data, a column that is not there, a row with an empty response or two equal
    ones (with its number), no pair at all.

    >>> read_pairs("refusal").pairs[0].rejected
    'Sure, here is how to do it.'
    """
    name = os.fspath(spec)
    short, _, count = name.partition(":")
    known = shipped()
    if short in known and not Path(name).expanduser().exists():
        if count and not count.isdigit():
            raise InputError(
                f"wordings {count!r}", where=name, mend="write a number behind the colon, such as advice:3"
            )
        pairs = Pairs(name, known[short].pairs(int(count or 1))[:limit])
    else:
        pairs = _read(name, limit)
    return pairs.swapped if swap else pairs


def _read(name: str, limit: int | None) -> Pairs:
    table = read_rows(name)
    lacking = [column for column in COLUMNS if column not in table.columns]
    if lacking:
        raise InputError(
            f"no column {lacking[0]!r}",
            where=name,
            mend=f"pairs have the columns {', '.join(COLUMNS)}; the data has {', '.join(table.columns) or 'none'}",
        )
    pairs = []
    for count, (number, row) in enumerate(table.rows):
        if count == limit:
            break
        prompt, chosen, rejected = (text_of(row, column, number, name) for column in COLUMNS)
        if not chosen.strip() or not rejected.strip():
            raise InputError(f"row {number}: an empty response", where=name, mend="drop the row")
        if chosen.strip() == rejected.strip():
            raise InputError(f"row {number}: two equal responses", where=name, mend="drop the row: it opposes nothing")
        pairs.append(Preference(prompt, chosen, rejected))
    if not pairs:
        raise InputError("the data holds no pair", where=name, mend="give rows with prompt, chosen and rejected")
    return Pairs(name, tuple(dict.fromkeys(pairs)))


def mixed(pairs: Sequence[Preference], share: float) -> list[tuple[Preference, bool]]:
    """Each pair with the role that it trains in, chosen (True) for ``share`` of them, spread evenly over the order.

    >>> [role for _, role in mixed([Preference("p", "a", "b")] * 4, 0.5)]
    [False, True, False, True]
    """
    roles = [int((index + 1) * share + 1e-9) > int(index * share + 1e-9) for index in range(len(pairs))]
    return list(zip(pairs, roles, strict=True))
