"""The work that is timed: for each, our call, the peers' calls, and the result in which they have to agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import codes, divergences
from benchmarks.case import Case
from elastomath.tokentree import TokenTree


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Every case, its size multiplied by ``scale``."""
    rng = np.random.default_rng(0)
    yield from codes.cases(scale)
    yield from _trees(rng, int(100_000 * scale), depth=8)
    yield from divergences.cases(scale)


def _trees(rng: np.random.Generator, blocks: int, depth: int) -> Iterator[Case]:
    text = rng.choice(np.frombuffer(b"etaoin shrdlu", dtype=np.uint8), blocks * depth).tobytes()
    nodes = [len({text[i : i + level] for i in range(0, len(text), depth)}) for level in range(depth + 1)]
    yield Case(
        f"token tree with counts, {blocks:.0e} x {depth} bytes",
        lambda: TokenTree.of([text], depth),
        {
            "nested dicts": lambda: nested(text, depth),
            "Counter of blocks, sorted": lambda: dict(
                sorted(Counter(text[i : i + depth] for i in range(0, len(text), depth)).items())
            ),
        },
        lambda tree: leaf_counts(tree, depth),
        0,
    )
    yield Case(
        f"nodes of every level, {blocks:.0e} x {depth} bytes",
        TokenTree.of([text], depth).nodes_per_level,
        {"sets of prefixes": lambda: [len({text[i : i + n] for i in range(0, len(text), depth)}) for n in range(9)]},
        lambda counts: np.asarray(counts) - nodes,
        0,
    )


def nested(text: bytes, depth: int) -> dict[int, Any]:
    """A trie of dictionaries with a count in every node."""
    root: dict[int, Any] = {-1: 0}
    for start in range(0, len(text), depth):
        node = root
        node[-1] += 1
        for symbol in text[start : start + depth]:
            node = node.setdefault(symbol, {-1: 0})
            node[-1] += 1
    return root


def leaf_counts(tree: TokenTree | dict[Any, Any], depth: int) -> list[tuple[bytes, int]]:
    if isinstance(tree, TokenTree):
        return [(bytes(row), int(count)) for row, count in zip(tree.symbols, tree.counts, strict=True)]
    if isinstance(next(iter(tree)), bytes):
        return list(tree.items())
    found, waiting = [], [(b"", tree)]
    while waiting:
        spelled, node = waiting.pop()
        if len(spelled) == depth:
            found.append((spelled, node[-1]))
        waiting += [(spelled + bytes([symbol]), child) for symbol, child in node.items() if symbol >= 0]
    return sorted(found)
