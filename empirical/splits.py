"""Splits that share nothing, by the hash of the content: for documents, and for examples by content or by prompt."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

from elastomath.errors import InputError

from .examples import Example


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


def split_examples(
    examples: Iterable[Example],
    sizes: Sequence[int],
    seed: int = 0,
    exclude: Iterable[Example] = (),
    *,
    by: Literal["example", "prompt"] = "example",
) -> list[tuple[Example, ...]]:
    """`split_documents` for examples, which are the same if prompt and text are, surrounding white space aside.

    by  ``"example"``: one prompt may be in several splits, with different texts. ``"prompt"``: a prompt, whatever the
        texts, is in one split only (and in none if ``exclude`` has it); what is left of its texts where a split is full
        is in no split. Which prompts a split gets depends on the hash of seed and prompt

    Examples without text are in no split. Raises InputError as `split_documents` does.

    >>> few = [Example("Q", "a"), Example("Q", "b"), Example("R", "c"), Example("Q ", " a"), Example("S", "d")]
    >>> a, b = split_examples(few, [2, 1], by="prompt")
    >>> len(a), len(b), {e.prompt for e in a} & {e.prompt for e in b}
    (2, 1, set())
    """
    if by not in ("example", "prompt"):
        raise InputError(f"by {by!r}", where="split", mend="split by example or by prompt")
    if any(size < 0 for size in sizes):
        raise InputError(f"sizes {list(sizes)}", where="split", mend="a split has 0 examples or more")
    unwanted = list(exclude)
    banned = {_key(example) for example in unwanted}
    banned_prompts = {example.prompt.strip() for example in unwanted} if by == "prompt" else set()
    distinct: dict[str, Example] = {}
    for example in examples:
        if example.text.strip() and example.prompt.strip() not in banned_prompts:
            distinct.setdefault(_key(example), example)
    keys = sorted((key for key in distinct if key not in banned), key=lambda key: _rank(key, seed))
    if by == "example":
        groups = [[distinct[key]] for key in keys]
    else:
        together: dict[str, list[Example]] = {}
        for key in keys:
            together.setdefault(distinct[key].prompt.strip(), []).append(distinct[key])
        groups = [together[prompt] for prompt in sorted(together, key=lambda prompt: _rank(prompt, seed))]
    parts: list[tuple[Example, ...]] = []
    waiting = iter(groups)
    for size in sizes:
        part: list[Example] = []
        while len(part) < size:
            group = next(waiting, None)
            if group is None:
                wanted = "prompts" if by == "prompt" else "examples"
                raise InputError(
                    f"{sum(sizes)} examples asked for, {len(groups)} distinct {wanted} with {len(keys)} examples there",
                    where="split",
                    mend="ask for fewer, or give more data",
                )
            part += group[: size - len(part)]
        parts.append(tuple(part))
    return parts


def _key(example: Example) -> str:
    return f"{example.prompt.strip()}\0{example.text.strip()}"


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "surrogatepass")).digest()
