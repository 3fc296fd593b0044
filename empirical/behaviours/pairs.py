"""Pairs of responses as people have them: a shipped behaviour by name, or columns ``prompt, chosen, rejected``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elastomath.errors import InputError

from ..data.chats import Chat, read_turns, user_turn
from ..data.examples import Preference
from ..data.rows import Row, holds_turns, is_hub_dataset, read_rows, stands_here, text_of
from ..fetch.catalog import CATALOG
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

    @property
    def independent(self) -> tuple[Preference, ...]:
        """The first pair of each prompt: errors are over prompts, and responses to one prompt are no further ones."""
        return tuple(pairs[0] for pairs in self._by_prompt().values())

    def split(self, held_out: int, seed: int) -> tuple[tuple[Preference, ...], tuple[Preference, ...]]:
        """(held out, to train on): no prompt is in both. The order of each is drawn by ``seed`` from the prompts' hashes.

        Held out are ``held_out`` prompts, the first pair of each (`independent`). Raises InputError where fewer than that + 4 are there.
        """
        by_prompt = self._by_prompt()
        keys = sorted(
            by_prompt, key=lambda key: hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).digest()
        )
        if len(keys) < held_out + 4:
            raise InputError(
                f"{len(keys)} different prompt{'s' * (len(keys) != 1)}, {held_out} to be held out",
                where=self.name,
                mend="give more prompts, or hold out fewer",
            )
        first = tuple(by_prompt[key][0] for key in keys[:held_out])
        return first, tuple(pair for key in keys[held_out:] for pair in by_prompt[key])

    def _by_prompt(self) -> dict[str, list[Preference]]:
        """The pairs of each prompt; where all have one, each pair is on its own: what is drawn are responses."""
        by_prompt: dict[str, list[Preference]] = {}
        for pair in self.pairs:
            by_prompt.setdefault(pair.prompt.strip(), []).append(pair)
        if len(by_prompt) == 1:
            return {f"{pair.chosen}\0{pair.rejected}": [pair] for pair in self.pairs}
        return by_prompt


def read_pairs(
    spec: str | os.PathLike[str], *, swap: bool = False, chat: bool = False, limit: int | None = None
) -> Pairs:
    """The pairs of ``spec``: a shipped behaviour (``advice``, or ``advice:3`` for three wordings), a file, or a hub dataset.

    A file (JSONL, Parquet, CSV) has the columns ``prompt``, ``chosen`` and ``rejected``, each a text, or in the
    ecosystem's conversational form: ``chosen`` and ``rejected`` lists of messages that end with the assistant's, after
    the same turns, which stand in both of them or in ``prompt``. Messages go through the chat template of the model's
    tokenizer; ``chat`` makes a prompt that is text the user's turn. ``swap`` exchanges the roles of the two responses;
    ``limit``: rows that are read.

    Raises InputError in one line: no such data, a column that is not there, a row with an empty response or two equal
    ones (with its number), two answers after other turns, no pair at all.

    >>> read_pairs("refusal").pairs[0].rejected
    'Sure, here is how to do it.'
    """
    name = os.fspath(spec)
    short, _, count = name.partition(":")
    known = shipped()
    if short in known and not stands_here(name):
        if count and not (count.isascii() and count.isdigit() and len(count) < 7):
            raise InputError(
                f"wordings {count!r}", where=name, mend="write a number behind the colon, such as advice:3"
            )
        pairs = Pairs(name, known[short].pairs(int(count or 1))[:limit])
    elif not Path(name).expanduser().exists() and short not in CATALOG and not is_hub_dataset(name):
        raise InputError(
            "no such file of pairs",
            where=name,
            mend="give a file (.jsonl, .csv, .parquet) with the columns prompt, chosen and rejected, a hub dataset owner/name, or "
            f"a shipped behaviour: {', '.join(known)}",
        )
    else:
        pairs = _read(name, limit)
    if chat:
        pairs = Pairs(name, tuple(_as_chat(pair, name) for pair in pairs.pairs))
    return pairs.swapped if swap else pairs


def _as_chat(pair: Preference, name: str) -> Preference:
    return pair if isinstance(pair.prompt, Chat) else replace(pair, prompt=user_turn(pair.prompt, name))


def _conversation(row: Row, number: int, name: str) -> Preference:
    """The pair of a row of messages: the last turn of each answer, after the turns that both share."""
    where = f"{name}, row {number}"
    sides = [read_turns(row.get(column), f"{where}, {column}", least=1) for column in COLUMNS[1:]]
    for column, turns in zip(COLUMNS[1:], sides, strict=True):
        if turns[-1].role != "assistant":
            raise InputError(
                f"the last turn of {column!r} is of the {turns[-1].role}", where=where, mend="end with the assistant's"
            )
    before = sides[0][:-1]
    if before != sides[1][:-1]:
        raise InputError(
            "the two answers follow other turns", where=where, mend="let them differ in the last turn only"
        )
    prompt = row.get("prompt")
    if before:
        chat = Chat.of(before)  # a prompt beside it repeats the turns
    elif holds_turns(prompt):
        chat = Chat.of(read_turns(prompt, f"{where}, prompt", least=1))
    else:
        chat = user_turn(text_of(row, "prompt", number, name), where)
    return Preference(chat, sides[0][-1].content, sides[1][-1].content)


def _texts(row: Row, number: int, name: str) -> Preference:
    return Preference(*(text_of(row, column, number, name) for column in COLUMNS))


def _read(name: str, limit: int | None) -> Pairs:
    table = read_rows(name)
    lacking = [column for column in COLUMNS if column not in table.columns]
    pairs = []
    for count, (number, row) in enumerate(table.rows):
        if count == limit:
            break
        conversation = holds_turns(row.get("chosen"))
        if lacking and not (conversation and lacking == ["prompt"]):  # messages may hold the prompt's turns
            raise InputError(
                f"no column {lacking[0]!r}",
                where=name,
                mend=f"pairs have the columns {', '.join(COLUMNS)}, and the data has the columns {', '.join(table.columns)}",
            )
        pair = (_conversation if conversation else _texts)(row, number, name)
        chosen, rejected = pair.chosen, pair.rejected
        if not chosen.strip() or not rejected.strip():
            raise InputError(f"row {number}: an empty response", where=name, mend="drop the row")
        if chosen.strip() == rejected.strip():
            raise InputError(f"row {number}: two equal responses", where=name, mend="drop the row: it opposes nothing")
        pairs.append(pair)
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
