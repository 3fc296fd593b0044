"""Data specifications of protocols: texts after a common prompt, or examples with prompts of their own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from .adapters import REVIEW, open_examples, read_examples
from .chats import user_turn
from .documents import open_documents, read_documents
from .examples import Example
from .rows import stands_here

SEPARATOR = "#"
"""Between a data specification and the kind of example that is taken from it through an adapter."""


def has_prompts(spec: str) -> bool:
    """Whether the examples of a specification bring prompts of their own: ``SPEC#KIND``.

    >>> has_prompts("beavertails#safe"), has_prompts("film-reviews:positive")
    (True, False)
    """
    return SEPARATOR in spec


def common_prompt(prompt: str | None, *specs: str) -> str | None:
    """The prompt that is meant where None was given: ``Film review:`` if all the data are the film reviews, else none.

    None stays None where a specification brings prompts of its own: they are then in the words of its dataset.

    >>> common_prompt(None, "film-reviews:positive", "film-reviews:negative"), common_prompt(None, "mine.jsonl")
    ('Film review:', '')
    >>> common_prompt(None, "beaver-tails#safe"), common_prompt("Q:", "mine.jsonl")
    (None, 'Q:')
    """
    if prompt is not None or any(map(has_prompts, specs)):
        return prompt
    reviews = all(spec.partition(":")[0] == "film-reviews" and not stands_here(spec) for spec in specs)
    return REVIEW if reviews else ""


def described(settings: Any) -> dict[str, object]:
    """The settings of a protocol by name, the prompt as it is used; ``chat`` only where it is asked for."""
    names = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: value for name, value in names.items() if name != "chat" or value} | {"prompt": settings.wording}


def examples_of(spec: str, prompt: str | None, chat: bool = False) -> tuple[Example, ...]:
    """The examples behind ``spec``, read once a process while its file stays the same.

    ``SPEC`` is a data specification of `read_documents`, each text put after ``prompt`` (None: after none). ``SPEC#KIND``
    is one of `adapters.read_examples`, examples of that kind (``SPEC#`` where there is but one) with the prompts that
    the data has, in the words of its dataset or, where ``prompt`` is given, in these, ``{prompt}`` for the row's own;
    then only the responses are learnt and counted. chat: prompts are the user's turns, in the template of the model's
    tokenizer. Raises InputError as these do.
    """
    return _examples(spec, prompt, chat, source_hash(spec))


def source_hash(spec: str) -> str | None:
    """SHA-256 of the file behind a specification, or None for the hub: for the key of a run. Raises InputError for columns."""
    if has_prompts(spec):
        return open_examples(spec.partition(SEPARATOR)[0])[1].sha256
    return open_documents(spec).sha256


@functools.lru_cache(maxsize=4)
def _examples(spec: str, prompt: str | None, chat: bool, digest: str | None) -> tuple[Example, ...]:
    if not has_prompts(spec):
        before = user_turn(prompt or "", spec) if chat else prompt or ""
        return tuple(Example(before, text) for text in read_documents(spec).texts)
    source, _, kind = spec.partition(SEPARATOR)
    return read_examples(source, template=prompt, chat=chat).of(kind or None)


def data_hashes(specs: Sequence[str]) -> dict[str, str | None]:
    """SHA-256 of the file behind each data specification (None for the hub), for the key of a run.

    A file that was changed since makes other runs, not the ones that the ledger holds.
    """
    return {spec: source_hash(spec) for spec in specs}
