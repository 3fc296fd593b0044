"""Opposed kinds of text, cut into disjoint named parts by content or by prompt, and mixed half and half."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from elastomath.errors import InputError

from .examples import Example
from .splits import split_examples


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
    for kind, found in named.items():
        elsewhere = {key for other, keys in named.items() if other != kind for key in keys}
        own[kind] = [example for key, example in found.items() if key not in elsewhere]
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


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "surrogatepass")).digest()


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
