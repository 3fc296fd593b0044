"""The work that is timed: for each, our call, the peers' calls, and the result in which they have to agree."""

from __future__ import annotations

import heapq
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import divergences
from benchmarks.case import Case
from elastomath.codes import huffman_lengths, shannon_lengths
from elastomath.tokentree import TokenTree


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Every case, its size multiplied by ``scale``."""
    rng = np.random.default_rng(0)
    yield from _codes(rng, int(200_000 * scale))
    yield from _trees(rng, int(100_000 * scale), depth=8)
    yield from divergences.cases(scale)


def _codes(rng: np.random.Generator, leaves: int) -> Iterator[Case]:
    counts = rng.zipf(1.3, leaves).clip(max=10**9)
    plain = counts.tolist()
    peers: dict[str, Callable[[], Any]] = {"heapq, pure Python": lambda: heap_lengths(plain)}
    if importlib.util.find_spec("bitarray"):
        from bitarray.util import huffman_code

        frequencies = dict(enumerate(plain))
        peers["bitarray"] = lambda: [len(word) for _, word in sorted(huffman_code(frequencies).items())]
    # optimal codes differ in their lengths, never in their cost
    cost = lambda lengths: int(counts @ np.asarray(lengths, dtype=np.int64))  # noqa: E731
    yield Case(f"Huffman lengths, {leaves:.0e} counts", lambda: huffman_lengths(counts), peers, cost, 0)
    masses = counts / counts.sum()
    yield Case(
        f"Shannon lengths, {leaves:.0e} masses",
        lambda: shannon_lengths(masses),
        {"numpy, ceil of log2": lambda: np.ceil(-np.log2(masses)).astype(np.int64)},
        lambda lengths: np.asarray(lengths),
        0,
    )


def heap_lengths(weights: list[int]) -> list[int]:
    """Huffman's algorithm as it is usually written: a heap of nodes, then depths from the root."""
    heap = [(weight, leaf) for leaf, weight in enumerate(weights)]
    heapq.heapify(heap)
    parents: list[int] = [0] * (2 * len(weights) - 1)
    for node in range(len(weights), 2 * len(weights) - 1):
        (first, one), (second, other) = heapq.heappop(heap), heapq.heappop(heap)
        parents[one] = parents[other] = node
        heapq.heappush(heap, (first + second, node))
    depths = [0] * (2 * len(weights) - 1)
    for node in range(2 * len(weights) - 3, -1, -1):
        depths[node] = depths[parents[node]] + 1
    return depths[: len(weights)]


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
