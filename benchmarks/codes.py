"""Codes: lengths, words, streams, beside heaps, constriction and bitarray."""

from __future__ import annotations

import heapq
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.case import Case
from elastomath.codes.arithmetic import ArithmeticCode
from elastomath.codes.codewords import canonical_words
from elastomath.codes.compression import BlockCode
from elastomath.codes.lengths import huffman_lengths, length_limited_lengths, shannon_lengths
from elastomath.trees.tokentree import TokenTree


def cases(scale: float = 1.0) -> Iterator[Case]:
    """Huffman lengths of 1e6 Zipf counts, Shannon's and limited ones, and streams of 1e6 symbols and 8 MB of text."""
    rng = np.random.default_rng(0)
    counts = rng.zipf(1.3, int(1_000_000 * scale)).clip(max=10**9)
    yield _huffman(counts)
    yield _shannon(counts)
    yield from _streams(rng, int(1_000_000 * scale))
    yield from _blocks(rng, int(1_000_000 * scale))


def _huffman(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Case:
    plain = counts.tolist()
    peers: dict[str, Callable[[], Any]] = {"heapq, pure Python": lambda: heap_lengths(plain)}
    if importlib.util.find_spec("constriction"):
        import constriction

        masses = counts.astype(np.float64)
        peers["constriction, build"] = lambda: constriction.symbol.huffman.EncoderHuffmanTree(masses)
    if importlib.util.find_spec("bitarray"):
        from bitarray.util import huffman_code

        frequencies = dict(enumerate(plain))
        peers["bitarray"] = lambda: huffman_code(frequencies)

    def cost(answer: Any) -> int:
        """sum_x count(x) L(x): optimal codes differ in their lengths, never in that."""
        if isinstance(answer, dict):
            answer = [len(answer[leaf]) for leaf in range(len(answer))]
        elif not isinstance(answer, list | np.ndarray):
            answer = [encoded_bits(answer, leaf) for leaf in range(counts.size)]
        return int(counts @ np.asarray(answer, dtype=np.int64))

    return Case(f"Huffman lengths, {counts.size:.0e} Zipf counts", lambda: huffman_lengths(counts), peers, cost, 0)


def encoded_bits(tree: Any, leaf: int) -> int:
    """The bits that constriction takes for one leaf."""
    import constriction

    coder = constriction.symbol.QueueEncoder()
    coder.encode_symbol(leaf, tree)
    return int(coder.get_compressed()[1])


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


def _shannon(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Case:
    masses = counts / counts.sum()
    return Case(
        f"Shannon lengths, {counts.size:.0e} masses",
        lambda: shannon_lengths(masses),
        {"numpy, ceil of log2": lambda: np.ceil(-np.log2(masses)).astype(np.int64)},
        lambda lengths: np.asarray(lengths),
        0,
    )


def _streams(rng: np.random.Generator, symbols: int) -> Iterator[Case]:
    """Streams over 256 leaves: the answer is the stream that comes back, whatever the bits are."""
    counts = rng.zipf(1.3, 256).clip(max=10**5)
    stream = rng.choice(256, symbols, p=counts / counts.sum())
    lengths = length_limited_lengths(counts, 12)
    words = canonical_words(lengths)
    bits = words.encode(stream)
    peers: dict[str, Callable[[], Any]] = {}
    if importlib.util.find_spec("bitarray"):
        from bitarray import bitarray, decodetree

        plain, tree = stream.tolist(), decodetree({leaf: bitarray(words.text(leaf)) for leaf in range(256)})
        code = {leaf: bitarray(words.text(leaf)) for leaf in range(256)}
        sent = bitarray()
        sent.encode(code, plain)

        def bitarray_encode() -> Any:
            out = bitarray()
            out.encode(code, plain)
            return out.tobytes()

        peers = {"bitarray": bitarray_encode}
        yield Case(
            f"decode {symbols:.0e} symbols, words up to 12 bits",
            lambda: words.decode(bits, symbols),
            {"bitarray": lambda: list(sent.decode(tree))},
            lambda answer: np.asarray(answer),
            0,
        )
    yield Case(
        f"encode {symbols:.0e} symbols, words up to 12 bits",
        lambda: words.encode(stream).data.tobytes(),
        peers,
        lambda answer: answer,
        0,
    )
    model = ArithmeticCode.of(counts)
    packed = model.encode(stream)
    peers = {}
    if importlib.util.find_spec("constriction"):
        import constriction

        masses, small = counts / counts.sum(), stream.astype(np.int32)
        categorical = constriction.stream.model.Categorical(masses, perfect=False)
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(small, categorical)
        compressed = encoder.get_compressed()
        peers = {
            "constriction, range coder": lambda: constriction.stream.queue.RangeDecoder(compressed).decode(
                categorical, symbols
            )
        }
    yield Case(
        f"arithmetic decoding, {symbols:.0e} symbols of 256",
        lambda: model.decode(packed, symbols),
        peers,
        lambda answer: np.asarray(answer, dtype=np.int64),
        0,
    )


def _blocks(rng: np.random.Generator, blocks: int, depth: int = 8) -> Iterator[Case]:
    """The protocol of Def 3.3b on text, both ways; the floor is a copy of the text."""
    words = rng.choice(np.frombuffer(b"etaoin shrdlu", dtype=np.uint8), (5000, depth))
    text = words[rng.zipf(1.2, blocks).clip(max=5000) - 1].tobytes()
    code = BlockCode.of(TokenTree.of([text], depth))
    message = code.encode([text])
    table = {code.tree.spell(leaf): code.words.text(leaf) for leaf in range(code.tree.leaves)}
    megabytes = f"{len(text) / 1e6:.0f} MB in blocks of {depth}"
    yield Case(
        f"protocol, encode {megabytes}",
        lambda: code.encode([text]).size,
        {
            "a dict of words, joined": lambda: len(
                "".join([table[text[i : i + depth]] for i in range(0, len(text), depth)])
            )
        },
        lambda size: size,
        0,
        floors={"a copy of the text": lambda: bytearray(text)},
    )
    yield Case(
        f"protocol, decode {megabytes}",
        lambda: code.decode(message)[0],
        {},
        lambda found: found == text,
        0,
        floors={"a copy of the text": lambda: bytearray(text)},
    )
