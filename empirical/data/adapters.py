"""Datasets that the paper used, as examples of named kinds: which columns they have, and the prompt that they are put in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elastomath.errors import InputError

from .chats import Chat, read_chat, user_turn
from .examples import Example, fill
from .rows import HUB_ID, Row, Rows, read_rows, stands_here, text_of

Found = Iterator[tuple[str, str, str]]
"""(kind, prompt, text) of what a row holds; the prompt may be a `Chat`."""

CONVERSATION: Final = "BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:"
"""The prompt of the paper's safety data, before the response."""
REVIEW: Final = "Film review:"
"""The prompt of the reviews."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """How the rows of one dataset become examples.

    name      short, for `read_examples` and the command line
    dataset   its id on the hub, with the configuration and split that are read by default; None where it has none
    columns   that a row has to have
    kinds     of example that a row can hold
    template  the prompt before a text; ``{prompt}`` stands for the row's own
    read      (row, its number, the data's name) -> kind, prompt and text of each example in it
    """

    name: str
    dataset: str | None
    config: str | None
    split: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    template: str
    read: Callable[[Row, int, str], Found]


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """The examples of a dataset by kind, in the order of its rows; each prompt is worded by ``template`` already.

    columns of the data; sha256 of its file, or None for the hub; skipped: how many had no text
    """

    kinds: Mapping[str, tuple[Example, ...]]
    name: str
    adapter: str
    template: str
    columns: tuple[str, ...]
    sha256: str | None
    skipped: int

    def of(self, kind: str | None = None) -> tuple[Example, ...]:
        """The examples of one kind, which may be left away where there is but one. Raises InputError that names them."""
        there = [name for name, examples in self.kinds.items() if examples]
        if kind is None and len(there) == 1:
            return self.kinds[there[0]]
        if kind not in there:
            what = "several kinds of example" if kind is None else f"no example of kind {kind!r}"
            raise InputError(what, where=self.name, mend=f"choose from {', '.join(there) or 'none'}")
        return self.kinds[str(kind)]


def read_examples(
    spec: str | os.PathLike[str],
    *,
    adapter: str | None = None,
    template: str | None = None,
    chat: bool = False,
    limit: int | None = None,
    config: str | None = None,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> ExampleSet:
    """Examples of each kind from a hub dataset, a file with the same columns, the catalogue, or an adapter's name.

    spec      as for `read_documents`, or the name of an adapter, which stands for its dataset on the hub
    adapter   whose columns these are; None: by the hub id, or by the columns (see `ADAPTERS`)
    template  instead of the adapter's: the words before each text, ``{prompt}`` for the row's own prompt
    chat      make each prompt the user's turn of a `Chat`, in the words of ``template`` or as the row has it
    limit     rows that are read

    Raises InputError in one line: columns that fit no adapter or not the one named (with those that there are), a value
    that is not text or no label (with its row), no example at all, and what `read_documents` raises.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"prompt": "How?", "response": "So.", "is_safe": true}\\n')
    >>> read_examples(file).kinds["safe"]
    (Example(prompt='BEGINNING OF CONVERSATION: USER: How? ASSISTANT:', text='So.'),)
    """
    name = os.fspath(spec)
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}", where=name, mend="read at least one row")
    chosen, table = open_examples(spec, adapter=adapter, config=config, revision=revision, cache=cache)
    if template is not None and chosen.read is _messages:
        raise InputError(
            f"the words {template!r} for messages",
            where=name,
            mend="leave them away: the tokenizer has its own template",
        )
    words = template if template is not None else "{prompt}" if chat else chosen.template
    kinds: dict[str, list[Example]] = {kind: [] for kind in chosen.kinds}
    skipped = 0
    for count, (number, row) in enumerate(table.rows):
        if count == limit:
            break
        for kind, prompt, text in chosen.read(row, number, name):
            if not text.strip():
                skipped += 1
                continue
            worded = prompt if isinstance(prompt, Chat) else fill(words, prompt.strip())
            if chat and not isinstance(worded, Chat):
                worded = user_turn(worded, f"{name}, row {number}")
            kinds[kind].append(Example(worded, text.strip()))
    if not any(kinds.values()):
        raise InputError("the data holds no example with text", where=name, mend="give another file or split")
    frozen = {kind: tuple(examples) for kind, examples in kinds.items()}
    return ExampleSet(frozen, name, chosen.name, words, table.columns, table.sha256, skipped)


def open_examples(
    spec: str | os.PathLike[str],
    *,
    adapter: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> tuple[Adapter, Rows]:
    """The adapter and the table of `read_examples`, whose arguments these are; raises InputError as it does for columns."""
    name = os.fspath(spec)
    if adapter is not None and adapter not in ADAPTERS:
        raise InputError(f"no adapter called {adapter!r}", where="adapter", mend=f"choose from {', '.join(ADAPTERS)}")
    here = stands_here(name)
    chosen = ADAPTERS.get(adapter or "") or (None if here else _by_name(name))
    source = name
    if chosen is not None and not here and chosen.dataset and name.partition(":")[0] == chosen.name:
        source = chosen.dataset + name[len(chosen.name) :]
    table = read_rows(
        source,
        config=config or (chosen.config if chosen and not here and _is_hub(source) else None),
        split=chosen.split if chosen else None,
        revision=revision,
        cache=cache,
    )
    chosen = chosen or _by_columns(table.columns, name)
    lacking = [column for column in chosen.columns if column not in table.columns]
    if lacking:
        raise InputError(
            f"{chosen.name} needs the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}",
            where=name,
            mend=f"the data has {', '.join(table.columns) or 'no columns'}",
        )
    return chosen, table


def examples_of(spec: str, **options: Any) -> tuple[Example, ...]:
    """The examples of one kind: ``spec`` is that of `read_examples`, with ``#kind`` behind it where there are several.

    ``beaver-tails#unsafe``, ``answers.csv#positive``, ``film-reviews:positive/rotten_tomatoes``. Raises as it does.
    """
    name, mark, kind = spec.rpartition("#")
    if not mark or Path(spec).expanduser().exists():
        name, kind = spec, ""
    return read_examples(name, **options).of(kind or None)


def _is_hub(source: str) -> bool:
    return HUB_ID.fullmatch(source) is not None


def _by_name(name: str) -> Adapter | None:
    start = name.partition(":")[0]
    if start in ADAPTERS and (ADAPTERS[start].dataset or start == "film-reviews"):
        return ADAPTERS[start]
    match = HUB_ID.fullmatch(name)
    matching = [a for a in ADAPTERS.values() if match and a.dataset and a.dataset.lower() == match["dataset"].lower()]
    return matching[0] if matching else None


def _by_columns(columns: tuple[str, ...], name: str) -> Adapter:
    """The adapter most of whose columns are there, all of them; the first in `ADAPTERS` of several.

    Texts with labels are a user's own, not film reviews: those are known by their name.
    """
    fitting = [
        adapter
        for adapter in ADAPTERS.values()
        if columns and set(adapter.columns) <= set(columns) and adapter.template != REVIEW
    ]
    if not fitting:
        known = "; ".join(f"{adapter.name}: {', '.join(adapter.columns)}" for adapter in ADAPTERS.values())
        raise InputError(
            f"the columns {', '.join(columns) or '(none)'} are those of no known dataset",
            where=name,
            mend=f"rename them to one of [{known}]",
        )
    return max(fitting, key=lambda adapter: len(adapter.columns))


def _alpaca(row: Row, number: int, name: str) -> Found:
    """Instruction and input, a line each, then the output."""
    given = _maybe(row, "input", number, name).strip()
    prompt = text_of(row, "instruction", number, name).strip()
    yield "response", f"{prompt}\n{given}" if given else prompt, text_of(row, "output", number, name)


def _truthful(row: Row, number: int, name: str) -> Found:
    prompt = text_of(row, "question", number, name)
    for kind, column in (("truthful", "correct_answers"), ("untruthful", "incorrect_answers")):
        for answer in _several(row, column, number, name):
            yield kind, prompt, answer


def _beaver(row: Row, number: int, name: str) -> Found:
    kind = "safe" if _truth(row, "is_safe", number, name) else "unsafe"
    yield kind, text_of(row, "prompt", number, name), text_of(row, "response", number, name)


def _safe_rlhf(row: Row, number: int, name: str) -> Found:
    prompt = text_of(row, "prompt", number, name)
    for index in (0, 1):
        kind = "safe" if _truth(row, f"is_response_{index}_safe", number, name) else "unsafe"
        yield kind, prompt, text_of(row, f"response_{index}", number, name)


def _review(row: Row, number: int, name: str) -> Found:
    label = str(row.get("label")).strip().lower().removesuffix(".0")
    kinds = {"1": "positive", "0": "negative", "positive": "positive", "negative": "negative", "pos": "positive"}
    kinds |= {"neg": "negative"}
    if label == "-1":
        return  # a review without a judgement
    if label not in kinds:
        raise InputError(f"row {number}: label {row.get('label')!r}", where=name, mend="a label is 0 or 1")
    yield kinds[label], "", text_of(row, "text", number, name)


def _messages(row: Row, number: int, name: str) -> Found:
    yield "response", *read_chat(row.get("messages"), f"{name}, row {number}")


def _response(row: Row, number: int, name: str) -> Found:
    yield "response", text_of(row, "prompt", number, name), text_of(row, "response", number, name)


def _maybe(row: Row, column: str, number: int, name: str) -> str:
    return "" if row.get(column) is None else text_of(row, column, number, name)


def _truth(row: Row, column: str, number: int, name: str) -> bool:
    value = row.get(column)
    word = str(value).strip().lower().removesuffix(".0")
    if word not in ("true", "false", "1", "0"):
        raise InputError(f"row {number}: {column} is {value!r}", where=name, mend="write true or false")
    return word in ("true", "1")


def _several(row: Row, column: str, number: int, name: str) -> list[str]:
    """A list of texts: a list, a JSON list, or one text with ``;`` between its parts."""
    value = row.get(column)
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"row {number}: {column} is not a JSON list", where=name, mend='write ["a", "b"], or a; b'
            ) from error
    if isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    if value is None or not hasattr(value, "__iter__"):
        kind = "nothing" if value is None else type(value).__name__
        raise InputError(f"row {number}: {column} is {kind}", where=name, mend="give a list of texts")
    return [text_of({column: part}, column, number, name) for part in value]


ADAPTERS: Final[dict[str, Adapter]] = {
    adapter.name: adapter
    for adapter in (
        Adapter(
            "safe-rlhf", "PKU-Alignment/PKU-SafeRLHF", None, "train",
            ("prompt", "response_0", "response_1", "is_response_0_safe", "is_response_1_safe"),
            ("safe", "unsafe"), CONVERSATION, _safe_rlhf,
        ),
        Adapter(
            "beaver-tails", "PKU-Alignment/BeaverTails", None, "30k_train",
            ("prompt", "response", "is_safe"), ("safe", "unsafe"), CONVERSATION, _beaver,
        ),
        Adapter(
            "alpaca", "tatsu-lab/alpaca", None, "train",
            ("instruction", "input", "output"), ("response",), CONVERSATION, _alpaca,
        ),
        Adapter(
            "truthful-qa", "truthfulqa/truthful_qa", "generation", "validation",
            ("question", "correct_answers", "incorrect_answers"), ("truthful", "untruthful"), CONVERSATION, _truthful,
        ),
        Adapter("imdb", "stanfordnlp/imdb", None, "train", ("text", "label"), ("positive", "negative"), REVIEW, _review),
        Adapter("film-reviews", None, None, "train", ("text", "label"), ("positive", "negative"), REVIEW, _review),
        Adapter("labelled", None, None, "train", ("text", "label"), ("positive", "negative"), "", _review),
        Adapter("messages", None, None, "train", ("messages",), ("response",), "{prompt}", _messages),
        Adapter("responses", None, None, "train", ("prompt", "response"), ("response",), "{prompt}", _response),
    )
}  # fmt: skip
"""The datasets that are known, by name. Where columns decide, the one with the most of them wins, then the first; texts with
labels are film reviews by name only."""
