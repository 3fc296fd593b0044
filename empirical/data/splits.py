"""Splits that share nothing, by the hash of the content: for documents, and for examples by content or by prompt."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

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


# Opposed kinds of text, cut into disjoint named parts by content or by prompt, and mixed half and half.


def split_kinds(
    kinds: Mapping[str, Sequence[Example]], sizes: Mapping[str, Mapping[str, int]], seed: int, by: str = "example"
) -> dict[str, dict[str, list[Example]]]:
    """For each kind, disjoint named parts of the given sizes, by content hash: ``{kind: {part: examples}}``.

    Examples are the same if prompt and text are, white space around them aside. An example that is of more than one
    kind is in no part. Parts are cut in the order of ``sizes``, so a last part that grows leaves the others as they are.
    by: ``example``, or ``prompt``, where a prompt is in one part only, the same one for every kind.

    Raises InputError where a kind has too few distinct examples.

    >>> one, two = [Example("", "a"), Example("", "b"), Example("", "c")], [Example("", "c"), Example("", "d")]
    >>> parts = split_kinds({"x": one, "y": two}, {"x": {"train": 1, "held": 1}, "y": {"train": 1}}, seed=0)
    >>> sorted(e.text for part in parts["x"].values() for e in part), parts["y"]["train"]
    (['a', 'b'], [Example(prompt='', text='d')])
    >>> one, two = ([Example(p, f"{kind} {p}") for p in "ABC"] for kind in ("yes", "no"))
    >>> parts = split_kinds({"x": one, "y": two}, {k: {"train": 2, "held": 1} for k in "xy"}, 0, by="prompt")
    >>> [e.prompt for e in parts["x"]["held"]] == [e.prompt for e in parts["y"]["held"]]
    True
    """
    named = {kind: {_content(example): example for example in reversed(list(rows))} for kind, rows in kinds.items()}
    own: dict[str, list[Example]] = {}
    for kind, by_content in named.items():
        elsewhere = {key for other, keys in named.items() if other != kind for key in keys}
        own[kind] = [example for key, example in by_content.items() if key not in elsewhere]
    if by == "prompt":
        return _split_prompts(own, sizes, seed)
    out: dict[str, dict[str, list[Example]]] = {}
    for kind, examples in own.items():
        try:
            parts = split_examples(examples, list(sizes[kind].values()), seed=seed)
        except InputError as error:
            raise InputError(f"{kind}: {error.what}", where=error.where, mend=error.mend) from error
        out[kind] = {part: list(split) for part, split in zip(sizes[kind], parts, strict=True)}
    return out


def _split_prompts(
    kinds: Mapping[str, Sequence[Example]], sizes: Mapping[str, Mapping[str, int]], seed: int
) -> dict[str, dict[str, list[Example]]]:
    together: dict[str, dict[str, list[Example]]] = {}
    for kind, examples in kinds.items():
        for example in sorted(examples, key=lambda example: _rank(example.text.strip(), seed)):
            if example.text.strip():
                together.setdefault(example.prompt.strip(), {}).setdefault(kind, []).append(example)
    waiting = iter(sorted(together, key=lambda prompt: _rank(prompt, seed)))
    parts = list(dict.fromkeys(part for named in sizes.values() for part in named))
    out: dict[str, dict[str, list[Example]]] = {kind: {part: [] for part in sizes[kind]} for kind in kinds}
    for part in parts:
        wanted = {kind: sizes[kind][part] for kind in kinds if part in sizes[kind]}
        while any(len(out[kind][part]) < size for kind, size in wanted.items()):
            prompt = next(waiting, None)
            if prompt is None:
                raise InputError(
                    f"the {len(together)} distinct prompts do not fill the part {part!r}",
                    where="split",
                    mend="ask for fewer, or give more data",
                )
            for kind, size in wanted.items():
                row = out[kind][part]
                row += together[prompt].get(kind, [])[: size - len(row)]
    return out


def mix(one: Sequence[Example], other: Sequence[Example], seed: int) -> list[Example]:
    """Both lists, pairwise alternating, the pairs in an order drawn by ``seed``; every even prefix is half and half.

    >>> [e.text for e in mix([Example("", "a")], [Example("", "b")], 0)]
    ['a', 'b']
    """
    pairs = list(zip(one, other, strict=True))
    return [example for index in np.random.default_rng(seed).permutation(len(pairs)) for example in pairs[index]]


def _content(example: Example) -> str:
    prompt = example.prompt.strip()
    return f"{prompt}\n{example.text.strip()}" if prompt else example.text.strip()
