"""Token trees with counts beside a trie, a Counter and nested dictionaries; and a tree of 8e7 bytes with its memory."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from elastomath.trees.tokentree import TokenTree

DEPTH = 8
LETTERS = np.frombuffer(b"etaoin shrdlu", dtype=np.uint8)
CHILD = """
import json, resource, sys, time
import numpy as np
from elastomath.trees.tokentree import TokenTree
blocks = int(sys.argv[1])
letters = np.frombuffer(b"etaoin shrdlu", dtype=np.uint8)
text = letters[np.random.default_rng(0).integers(0, letters.size, blocks * 8, dtype=np.uint8)].reshape(blocks, 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
tree = TokenTree.of_sequences(text, 8, 256)
spent = time.perf_counter() - start
assert tree.blocks == blocks
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": spent, "before": before * 1024, "peak": peak * 1024, "leaves": tree.leaves}))
"""
"""A process of its own, so that its peak is that of the one tree."""


def cases(scale: float = 1.0) -> Iterator[Case]:
    """The tree of 1e6 blocks of 8 bytes, one of 1e5 beside nested dictionaries, and the nodes of every level."""
    rng = np.random.default_rng(0)
    yield _against_tries(rng, int(1_000_000 * scale))
    yield _against_dicts(rng, int(100_000 * scale))
    yield _nodes(rng, int(100_000 * scale))


def large_tree(scale: float = 1.0) -> dict[str, Any]:
    """Seconds and peak bytes of a process that builds the tree of 1e7 blocks of 8 bytes."""
    command = [sys.executable, "-c", CHILD, str(int(10_000_000 * scale))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _text(rng: np.random.Generator, blocks: int) -> bytes:
    return bytes(rng.choice(LETTERS, blocks * DEPTH).tobytes())


def _words(text: bytes) -> list[bytes]:
    return [text[start : start + DEPTH] for start in range(0, len(text), DEPTH)]


def _against_tries(rng: np.random.Generator, blocks: int) -> Case:
    text = _text(rng, blocks)
    words = _words(text)
    peers: dict[str, Callable[[], Any]] = {"Counter of blocks, sorted": lambda: dict(sorted(Counter(words).items()))}
    if importlib.util.find_spec("marisa_trie"):
        import marisa_trie

        spelled = [word.decode() for word in words]
        peers["marisa-trie (no counts)"] = lambda: marisa_trie.Trie(spelled)

    def leaves(answer: Any) -> list[bytes]:
        """The distinct blocks in order; the counts are compared in the next case."""
        if isinstance(answer, TokenTree):
            return [row.tobytes() for row in answer.symbols]
        return sorted(word.encode() for word in answer) if not isinstance(answer, dict) else list(answer)

    return Case(
        f"token tree with counts, {blocks:.0e} x {DEPTH} bytes", lambda: TokenTree.of([text], DEPTH), peers, leaves, 0
    )


def _against_dicts(rng: np.random.Generator, blocks: int) -> Case:
    text = _text(rng, blocks)
    return Case(
        f"the same with every count compared, {blocks:.0e} x {DEPTH}",
        lambda: TokenTree.of([text], DEPTH),
        {
            "nested dicts": lambda: nested(text, DEPTH),
            "Counter of blocks, sorted": lambda: dict(sorted(Counter(_words(text)).items())),
        },
        lambda tree: leaf_counts(tree, DEPTH),
        0,
    )


def _nodes(rng: np.random.Generator, blocks: int) -> Case:
    text = _text(rng, blocks)
    return Case(
        f"nodes of every level, {blocks:.0e} x {DEPTH} bytes",
        TokenTree.of([text], DEPTH).nodes_per_level,
        {
            "sets of prefixes": lambda: [
                len({text[start : start + level] for start in range(0, len(text), DEPTH)}) for level in range(DEPTH + 1)
            ]
        },
        lambda counts: np.asarray(counts),
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
    """What each leaf spells, and its count."""
    if isinstance(tree, TokenTree):
        return [(row.tobytes(), int(count)) for row, count in zip(tree.symbols, tree.counts, strict=True)]
    if isinstance(next(iter(tree)), bytes):
        return list(tree.items())
    found, waiting = [], [(b"", tree)]
    while waiting:
        spelled, node = waiting.pop()
        if len(spelled) == depth:
            found.append((spelled, node[-1]))
        waiting += [(spelled + bytes([symbol]), child) for symbol, child in node.items() if symbol >= 0]
    return sorted(found)
