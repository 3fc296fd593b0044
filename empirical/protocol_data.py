"""Data specifications of protocols: texts after a common prompt, or examples with prompts of their own."""

from __future__ import annotations

import functools

from .adapters import read_examples
from .data import read_documents
from .examples import Example

SEPARATOR = "#"
"""Between a data specification and the kind of example that is taken from it through an adapter."""


def has_prompts(spec: str) -> bool:
    """Whether the examples of a specification bring prompts of their own: ``SPEC#KIND``.

    >>> has_prompts("beavertails#safe"), has_prompts("film-reviews:positive")
    (True, False)
    """
    return SEPARATOR in spec


def examples_of(spec: str, prompt: str) -> tuple[Example, ...]:
    """The examples behind ``spec``, read once a process while its file stays the same.

    ``SPEC`` is a data specification of `read_documents`, each text put after ``prompt``. ``SPEC#KIND`` is one of
    `adapters.read_examples`, examples of that kind (``SPEC#`` where there is but one) with the prompts that the data
    has; then only the responses are learnt and counted, and ``prompt`` is not used. Raises InputError as these do.
    """
    return _examples(spec, prompt, source_hash(spec))


def source_hash(spec: str) -> str | None:
    """SHA-256 of the file behind a specification, or None for the hub: for the key of a run."""
    if has_prompts(spec):
        return read_examples(spec.partition(SEPARATOR)[0], limit=1).sha256
    return read_documents(spec, limit=1).sha256


@functools.lru_cache(maxsize=4)
def _examples(spec: str, prompt: str, digest: str | None) -> tuple[Example, ...]:
    if not has_prompts(spec):
        return tuple(Example(prompt, text) for text in read_documents(spec).texts)
    source, _, kind = spec.partition(SEPARATOR)
    return read_examples(source).of(kind or None)
