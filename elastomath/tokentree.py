"""Token trees from text: blocks of symbols as sorted arrays, a row for each leaf (Def 3.1, 3.3a, 3.3b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Symbols = NDArray[np.uint8]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

UNITS = {"bytes": 8, "bits": 1}
"""What a symbol is, and how many bits it holds."""

MEMORY = 1 << 32
"""Bytes of padded blocks beyond which a tree is refused rather than built."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenTree:
    """The pruned token tree of a dataset, as arrays over its M leaves; no object is made for a node.

    ``symbols``  (M, width) uint8: what a leaf spells, padded with 0; width <= depth, the longest leaf
    ``spelled``  (M,): how many symbols a leaf spells, 1 <= spelled <= depth
    ``counts``   (M,): how many blocks end in the leaf, >= 1, exact integers
    ``depth``    d, the number of layers kept; ``unit``: a symbol is one of ``bytes`` or ``bits`` (most significant first)

    A leaf that spells d symbols is a cut node; one that spells fewer is the end-of-sequence (EOS) child of the node it
    spells. Invariant: rows are in lexicographic order with EOS before every symbol, so that the leaves below a node
    are neighbours, and no row occurs twice.

    >>> tree = TokenTree.of(["abcab", "ab"], depth=2)
    >>> [(tree.spell(leaf), int(count)) for leaf, count in enumerate(tree.counts)]
    [(b'ab', 2), (b'b', 1), (b'ca', 1)]
    >>> tree.masses
    array([0.5 , 0.25, 0.25])
    """

    symbols: Symbols
    spelled: Integers
    counts: Integers
    depth: int
    unit: str

    @classmethod
    def of(
        cls, documents: Sequence[str | bytes], depth: int, unit: str = "bytes", *, first_block: bool = False
    ) -> TokenTree:
        """The tree of documents cut into blocks of ``depth`` symbols (Def 3.3b), with exact counts.

        A document of |x| symbols gives ceil(|x|/depth) blocks: full ones, which are cut nodes, and where depth does not
        divide |x| a short last one, which ends in an EOS leaf. A document whose last block is full has no EOS leaf
        (the cut is above it), an empty document has no block. Text is taken as UTF-8; bytes as they are.
        ``first_block``: only the first block of each document, the top layers of the token tree itself (Def 3.3a).

        Raises InputError for depth < 1, an unknown unit, text that has no UTF-8 form, and where no symbol is left.

        >>> TokenTree.of([b"a"], depth=3, unit="bits").symbols  # 0x61 = 011 000 01
        array([[0, 0, 0], [0, 1, 0], [0, 1, 1]], dtype=uint8)
        """
        bits = _symbol_bits(unit)
        if depth < 1:
            raise InputError(f"depth {depth}", where="token tree", mend="keep at least one layer")
        data, sizes = _joined(documents, bits)
        begins = np.cumsum(sizes) - sizes
        full, rest = np.divmod(sizes, depth)
        if first_block:
            full, rest = np.minimum(full, 1), np.where(full > 0, 0, rest)
        short = rest > 0
        blocks, width = int(full.sum() + short.sum()), depth if full.any() else int(rest.max())
        if blocks * width > MEMORY:
            raise InputError(
                f"{blocks} blocks of up to {width} symbols do not fit",
                where="token tree",
                mend="choose a smaller depth or cut the documents",
            )
        data = np.concatenate([data, np.zeros(width, dtype=np.uint8)])
        within = np.arange(int(full.sum())) - np.repeat(np.cumsum(full) - full, full)
        cut_words, cut_counts = _tally(_packed(_windows(data, np.repeat(begins, full) + depth * within, width), bits))
        ends = _windows(data, (begins + depth * full)[short], width)
        ends[np.arange(width) >= rest[short][:, None]] = 0
        end_words, end_counts = _tally(np.column_stack([_packed(ends, bits), rest[short].astype(np.uint64)]))
        # EOS leaves first: a stable sort by the padded symbols then puts EOS before the symbol 0
        words = np.concatenate([end_words[:, :-1], cut_words])
        order = _order(words)
        spelled = np.concatenate([end_words[:, -1].astype(np.int64), np.full(len(cut_words), depth)])
        counts = np.concatenate([end_counts, cut_counts])
        return cls(_unpacked(words[order], width, bits), spelled[order], counts[order], depth, unit)

    @property
    def leaves(self) -> int:
        """M, the number of leaves."""
        return int(self.counts.size)

    @property
    def blocks(self) -> int:
        """The number of blocks, sum of the counts."""
        return int(self.counts.sum())

    @property
    def masses(self) -> NDArray[np.float64]:
        """Leaf masses ``P(x) = c(x) / sum c``, shape (M,): the share of the blocks that end in each leaf."""
        return self.counts / self.blocks

    def spell(self, leaf: int) -> bytes | str:
        """What a leaf spells: bytes, or a string of 0 and 1 where a symbol is a bit."""
        row = self.symbols[leaf, : self.spelled[leaf]]
        return row.tobytes() if self.unit == "bytes" else "".join("01"[bit] for bit in row)

    def shared(self) -> Integers:
        """How many leading symbols each leaf shares with the leaf before it, shape (M,); 0 for the first.

        >>> TokenTree.of(["ab", "ac", "a", "b"], depth=2).shared()
        array([0, 1, 1, 0])
        """
        differs = self.symbols[1:] != self.symbols[:-1]
        first = np.where(differs.any(axis=1), differs.argmax(axis=1), self.symbols.shape[1])
        first = np.minimum(first, np.minimum(self.spelled[1:], self.spelled[:-1]))
        return np.concatenate([[0], first]).astype(np.int64)

    def node_counts(self, level: int) -> Integers:
        """Counts of the nodes that ``level`` symbols spell, in sorted order; a node carries the sum of its children.

        Its children are the nodes one level below and, where a block ends in it, an EOS leaf. Level 0 is the root.
        Raises InputError unless 0 <= level <= depth.

        >>> tree = TokenTree.of(["ab", "ac", "a", "b"], depth=2)
        >>> [tree.node_counts(level).tolist() for level in range(3)]  # root; a, b; ab, ac
        [[4], [3, 1], [1, 1]]
        """
        if not 0 <= level <= self.depth:
            raise InputError(f"level {level}", where="token tree", mend=f"levels go from 0 to {self.depth}")
        below = self.spelled >= level
        starts = (self.shared()[below] < level) if level else np.arange(int(below.sum())) == 0
        if not starts.size:
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(self.counts[below], np.flatnonzero(starts))

    def nodes_per_level(self) -> Integers:
        """The number of nodes that 0, 1, ..., depth symbols spell, shape (depth + 1,); EOS leaves are not among them.

        >>> TokenTree.of(["ab", "ac", "a", "b"], depth=2).nodes_per_level()
        array([1, 2, 2])
        """
        # leaf i opens the nodes of levels shared + 1 ... spelled
        opened = np.bincount(self.shared() + 1, minlength=self.depth + 2)
        closed = np.bincount(self.spelled + 1, minlength=self.depth + 2)
        return np.concatenate([[1], np.cumsum(opened - closed)[1 : self.depth + 1]]).astype(np.int64)

    def prune(self, depth: int) -> TokenTree:
        """Keep the top ``depth`` layers (Def 3.3a): each cut node carries the sum of the subtree that was cut.

        It is the tree of the first ``depth`` symbols of every *block*. So prune(a).prune(b) is prune(min(a, b)), and for
        trees of first blocks ``of(x, d).prune(e) == of(x, e)``; a tree of all blocks of longer documents is not the one
        built at the smaller depth, which sends more blocks. Raises InputError unless 1 <= depth <= the tree's.

        >>> tree = TokenTree.of(["ab", "ac", "a", "b"], depth=2).prune(1)
        >>> tree.spell(0), tree.counts.tolist()
        (b'a', [3, 1])
        """
        if not 1 <= depth <= self.depth:
            raise InputError(f"depth {depth}", where="token tree", mend=f"prune to 1 ... {self.depth} layers")
        spelled = np.minimum(self.spelled, depth)
        starts = np.flatnonzero(self.shared() < spelled)
        counts = np.add.reduceat(self.counts, starts)
        return TokenTree(self.symbols[starts, :depth], spelled[starts], counts, depth, self.unit)


def common_leaf_set(trees: Sequence[TokenTree]) -> tuple[NDArray[np.float64], Integers]:
    """Several datasets on the union of their leaves: ``(masses (n, M), symbols_spelled (M,))``.

    Row i holds P_i, 0 where dataset i never ends in a leaf; leaves are in the order of `TokenTree`.
    Raises InputError for no tree and for trees of different depth or unit.

    >>> masses, spelled = common_leaf_set([TokenTree.of(["abc"], 2), TokenTree.of(["bcbc"], 2)])
    >>> masses, spelled  # leaves ab, bc, c
    (array([[0.5, 0. , 0.5], [0. , 1. , 0. ]]), array([2, 2, 1]))
    """
    if not trees:
        raise InputError("no token tree", where="common leaf set", mend="pass at least one")
    for tree in trees[1:]:
        if (tree.depth, tree.unit) != (trees[0].depth, trees[0].unit):
            raise InputError(
                f"trees of {trees[0].depth} {trees[0].unit} and of {tree.depth} {tree.unit}",
                where="common leaf set",
                mend="build every tree with the same depth and unit",
            )
    bits, width = _symbol_bits(trees[0].unit), max(tree.symbols.shape[1] for tree in trees)
    keys = np.concatenate(
        [np.column_stack([_packed(t.symbols, bits, width), t.spelled.astype(np.uint64)]) for t in trees]
    )
    order = _order(keys)
    new = _starts(keys[order])
    leaf = np.empty(len(keys), dtype=np.int64)
    leaf[order] = np.cumsum(new) - 1
    masses = np.zeros((len(trees), int(new.sum())))
    masses[np.repeat(np.arange(len(trees)), [tree.leaves for tree in trees]), leaf] = np.concatenate(
        [tree.masses for tree in trees]
    )
    return masses, keys[order][new, -1].astype(np.int64)


def _symbol_bits(unit: str) -> int:
    if unit not in UNITS:
        raise InputError(f"unknown unit {unit!r}", where="token tree", mend=f"use one of {', '.join(UNITS)}")
    return UNITS[unit]


def _joined(documents: Sequence[str | bytes], bits: int) -> tuple[Symbols, Integers]:
    """All symbols one after another, and how many each document has."""
    if isinstance(documents, str | bytes):
        raise InputError("one text in place of a list", where="token tree", mend="pass a list of documents")
    parts = [_encoded(document, index) for index, document in enumerate(documents)]
    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    if data.size == 0:
        raise InputError(
            f"no symbol in {len(parts)} documents", where="token tree", mend="pass at least one that is not empty"
        )
    sizes = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    return (data, sizes) if bits == 8 else (np.unpackbits(data), 8 * sizes)


def _encoded(document: str | bytes, index: int) -> bytes:
    try:
        return document.encode() if isinstance(document, str) else document
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start} has no UTF-8 form (a lone surrogate)",
            where=f"document {index}",
            mend="mend the text, or pass its bytes",
        ) from error


def _windows(data: Symbols, starts: Integers, width: int) -> Symbols:
    """The ``width`` symbols from each start, shape (B, width)."""
    return np.lib.stride_tricks.sliding_window_view(data, width)[starts]


def _packed(symbols: Symbols, bits: int, width: int = 0) -> Words:
    """Rows of symbols as big-endian 64-bit words, shape (B, W): the order of the words is that of the symbols."""
    width = max(width, symbols.shape[1])
    rows = symbols if bits == 8 else np.packbits(symbols, axis=1)
    size = 8 * -(-width * bits // 64)
    if rows.shape[1] != size:
        padded = np.zeros((len(rows), size), dtype=np.uint8)
        padded[:, : rows.shape[1]] = rows
        rows = padded
    return np.ascontiguousarray(rows).view(">u8").astype(np.uint64)


def _unpacked(words: Words, width: int, bits: int) -> Symbols:
    """The inverse of `_packed`: shape (M, width)."""
    rows = words.astype(">u8").view(np.uint8).reshape(len(words), -1)
    return np.ascontiguousarray(rows[:, :width]) if bits == 8 else np.unpackbits(rows, axis=1, count=width)


def _order(words: Words) -> Integers:
    """The stable lexicographic order of rows of words."""
    if words.shape[1] == 1:
        return np.argsort(words[:, 0], kind="stable")
    return np.lexsort(words.T[::-1])


def _starts(words: Words) -> NDArray[np.bool_]:
    """Which of the sorted rows differ from the row before them."""
    return np.concatenate([np.ones(min(len(words), 1), dtype=bool), (words[1:] != words[:-1]).any(axis=1)])


def _tally(words: Words) -> tuple[Words, Integers]:
    """The distinct rows in sorted order, and how often each occurs."""
    ordered = np.sort(words, axis=0) if words.shape[1] == 1 else words[_order(words)]
    starts = np.flatnonzero(_starts(ordered))
    return ordered[starts], np.diff(np.append(starts, len(ordered)))
