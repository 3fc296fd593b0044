"""Leaf sets: the leaves of a token tree as sorted arrays, their nodes, their cuts, and what several have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Integers
from ..errors import InputError
from .sequences import ALPHABETS, Symbols, symbol_type

Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LeafSet:
    """The M leaves of a pruned token tree (Def 3.1, 3.3a), without masses; no object is made for a node.

    ``symbols``  (M, width), unsigned: what a leaf spells, padded with 0; width is the longest leaf
    ``spelled``  (M,): how many symbols a leaf spells, 0 <= spelled <= depth
    ``ended``    (M,): whether it is the end-of-sequence (EOS) leaf of the node that it spells; otherwise it is a cut node,
                 which stands for every block that begins so. An EOS leaf has spelled < depth
    ``depth``    d, the number of layers kept; ``alphabet``: its symbols are 0 ... alphabet - 1
    ``block``    how many symbols a full block has, block >= depth; 0 for the layers of a whole token tree, whose
                 sequences are not cut into blocks. Trees of different blocks have different sample spaces

    Invariants: rows are in lexicographic order with EOS before every symbol, so that the leaves below a node are
    neighbours; no row occurs twice; no leaf lies below a cut node. So the leaves are a partition of the blocks seen.
    """

    symbols: Symbols
    spelled: Integers
    ended: Flags
    depth: int
    alphabet: int
    block: int

    @property
    def size(self) -> int:
        """M, the number of leaves."""
        return int(self.spelled.size)

    @property
    def unit(self) -> str:
        """What a symbol is: ``bytes``, ``bits`` or ``tokens``."""
        return next((unit for unit, size in ALPHABETS.items() if size == self.alphabet), "tokens")

    def spell(self, leaf: int) -> bytes | str | tuple[int, ...]:
        """What a leaf spells: bytes, a string of 0 and 1 where a symbol is a bit, or a tuple of tokens."""
        row = self.symbols[leaf, : self.spelled[leaf]]
        if self.unit == "bytes":
            return row.tobytes()
        return "".join("01"[bit] for bit in row) if self.unit == "bits" else tuple(row.tolist())

    def shared(self) -> Integers:
        """How many leading symbols each leaf shares with the leaf before it, shape (M,); 0 for the first."""
        width = self.symbols.shape[1]
        first = np.zeros(max(self.size - 1, 0), dtype=np.int64)
        if width:
            differs = self.symbols[1:] != self.symbols[:-1]
            first = differs.argmax(axis=1)
            first[(first == 0) & ~differs[:, 0]] = width
        first = np.minimum(first, np.minimum(self.spelled[1:], self.spelled[:-1]))
        return np.concatenate([[0], first]).astype(np.int64)

    def nodes_per_level(self) -> Integers:
        """The number of nodes that 0, 1, ..., width symbols spell, shape (width + 1,); EOS leaves are not among them."""
        # leaf i opens the nodes of levels shared + 1 ... spelled
        levels = self.symbols.shape[1] + 2
        opened = np.bincount(self.shared() + 1, minlength=levels)
        closed = np.bincount(self.spelled + 1, minlength=levels)
        return np.concatenate([[1], np.cumsum(opened - closed)[1 : levels - 1]]).astype(np.int64)

    @property
    def nodes(self) -> int:
        """The number of nodes of the tree (Def 3.1): those that symbols spell, the root among them, and the EOS leaves."""
        return int(self.nodes_per_level().sum() + self.ended.sum())

    def prune(self, depth: int) -> tuple[LeafSet, Integers]:
        """Keep the top ``depth`` layers: ``(leaves, the first row of each in this leaf set)``."""
        cut = self.spelled >= depth
        return self.cut(np.where(cut, depth, self.spelled), cut, depth)

    def cut(self, levels: Integers, cut: Flags, depth: int | None = None) -> tuple[LeafSet, Integers]:
        """Leaf i becomes part of the node that its first ``levels[i]`` symbols spell, a cut node where ``cut[i]``.

        ``levels`` <= spelled and ``cut`` are the same for all leaves below a node that is cut.
        Returns ``(leaves, the first row of each in this leaf set)``.
        """
        starts = np.flatnonzero(self.shared() < levels) if self.size > 1 else np.zeros(0, dtype=np.int64)
        starts = np.concatenate([[0], starts[starts > 0]]).astype(np.int64)
        spelled = levels[starts]
        symbols = self.symbols[starts, : int(spelled.max())]
        symbols[np.arange(symbols.shape[1]) >= spelled[:, None]] = 0
        layers = self.depth if depth is None else depth
        return LeafSet(symbols, spelled, (self.ended & ~cut)[starts], layers, self.alphabet, self.block), starts

    def light_levels(self, counts: NDArray[Any], least: float) -> tuple[Integers, Flags]:
        """Where to cut so that a node lighter than ``least`` is a cut node: ``(levels, cut)`` for `cut`.

        A level at a time, and only through the leaves below heavy nodes: each leaf is looked at no more often than it
        has symbols.
        """
        levels, cut = self.spelled.copy(), np.zeros(self.size, dtype=bool)
        shared, alive, level = self.shared(), np.arange(self.size), 0
        while alive.size:
            # what ended above this level stays; the rest of a heavy node is whole, so neighbours stay neighbours
            alive = alive[self.spelled[alive] >= level]
            if not alive.size:
                break
            opens = shared[alive] < level
            opens[0] = True
            starts = np.flatnonzero(opens)
            light = np.add.reduceat(counts[alive], starts) < least
            below = np.repeat(light, np.diff(np.append(starts, alive.size)))
            levels[alive[below]], cut[alive[below]] = level, True
            alive, level = alive[~below], level + 1
        return levels, cut


def common_coarsening(leaf_sets: Sequence[LeafSet]) -> tuple[LeafSet, Integers]:
    """The finest leaf set on which the masses of every tree are known: ``(leaves, leaf of each row, set after set)``.

    A leaf is a set of blocks: one sequence (EOS), or all that begin with a node (cut). Two such sets are disjoint or
    nested, so the largest ones among the leaves of all trees are disjoint and hold every leaf: a partition into which
    each tree's masses are added without loss or choice. A finer one, such as the common refinement, would need the
    masses below a node that some tree has cut, which that tree does not know. For trees that are cut nowhere but at one
    depth it is the union of their leaves.

    Raises InputError for no leaf set, and for different alphabets or blocks, whose sample spaces differ.
    """
    if not leaf_sets:
        raise InputError("no token tree", where="common leaf set", mend="pass at least one")
    first = leaf_sets[0]
    for other in leaf_sets[1:]:
        if (other.alphabet, other.block) != (first.alphabet, first.block):
            raise InputError(
                f"trees of {_blocks(first)} and of {_blocks(other)}",
                where="common leaf set",
                mend="build every tree with the same alphabet and depth of blocks, then prune",
            )
    width = max(leaves.symbols.shape[1] for leaves in leaf_sets)
    words = np.concatenate([packed(leaves.symbols, first.alphabet, width) for leaves in leaf_sets])
    # the cut node before its own EOS leaf: then it comes before all that it holds
    kinds = np.concatenate([2 * leaves.spelled + leaves.ended for leaves in leaf_sets])
    keys = np.column_stack([words, kinds.astype(np.uint64)])
    order = lexicographic(keys)
    new = row_starts(keys[order])
    leaf = np.empty(len(keys), dtype=np.int64)
    leaf[order] = np.cumsum(new) - 1
    keys = keys[order][new]
    spelled, ended = (keys[:, -1] // 2).astype(np.int64), (keys[:, -1] & np.uint64(1)).astype(bool)
    depth = max(leaves.depth for leaves in leaf_sets)
    symbols = unpacked(keys[:, :-1], width, first.alphabet)
    union = LeafSet(symbols, spelled, ended, depth, first.alphabet, first.block)
    levels, cut = _under_cuts(union)
    if not cut.any():
        return union, leaf
    coarse, starts = union.cut(levels, cut | ~union.ended)
    return coarse, np.searchsorted(starts, leaf, side="right") - 1


def _under_cuts(union: LeafSet) -> tuple[Integers, Flags]:
    """Levels and flags that put each leaf into the largest cut node above it; rows with cut nodes first, maybe nested."""
    levels, cut = union.spelled.copy(), np.zeros(union.size, dtype=bool)
    shared, alive = union.shared(), np.arange(union.size)
    for level in np.unique(union.spelled[~union.ended]):
        alive = alive[union.spelled[alive] >= level]
        opens = shared[alive] < level
        if not alive.size:
            break
        opens[0] = True
        starts = np.flatnonzero(opens)
        closed = ~union.ended[alive[starts]] & (union.spelled[alive[starts]] == level)
        sizes = np.diff(np.append(starts, alive.size))
        below = np.repeat(closed, sizes)
        joined = np.repeat(closed & (sizes > 1), sizes)
        levels[alive[joined]], cut[alive[joined]] = level, True
        alive = alive[~below]
    return levels, cut


def symbol_bits(alphabet: int) -> int:
    """How many bits hold a symbol."""
    return (alphabet - 1).bit_length()


def packed(symbols: Symbols, alphabet: int, width: int = 0) -> Words:
    """Rows of symbols as 64-bit words, shape (B, W): the order of the words is that of the symbols."""
    width, bits = max(width, symbols.shape[1]), symbol_bits(alphabet)
    if bits in (1, 8, 16, 32):
        rows = np.packbits(symbols, axis=1) if bits == 1 else symbols
        size = -(-width * bits // 64) * (64 // max(bits, 8))
        if rows.shape[1] != size:
            padded = np.zeros((len(rows), size), dtype=rows.dtype)
            padded[:, : rows.shape[1]] = rows
            rows = padded
        if bits > 8:
            rows = rows.astype(rows.dtype.newbyteorder(">"))
        return np.ascontiguousarray(rows).view(np.uint8).view(">u8").astype(np.uint64)
    each = 64 // bits
    words = np.zeros((len(symbols), -(-width // each)), dtype=np.uint64)
    for place in range(symbols.shape[1]):
        words[:, place // each] |= symbols[:, place].astype(np.uint64) << np.uint64(bits * (each - 1 - place % each))
    return words


def unpacked(words: Words, width: int, alphabet: int) -> Symbols:
    """The inverse of `packed`: shape (M, width)."""
    bits, kind = symbol_bits(alphabet), symbol_type(alphabet)
    if bits in (1, 8, 16, 32):
        rows = words.astype(">u8").view(np.uint8).reshape(len(words), -1)
        if bits == 1:
            return np.unpackbits(rows, axis=1, count=width) if width else np.zeros((len(words), 0), dtype=kind)
        return np.ascontiguousarray(rows.view(kind.newbyteorder(">"))[:, :width].astype(kind, copy=False))
    each, mask = 64 // bits, np.uint64((1 << bits) - 1)
    symbols = np.empty((len(words), width), dtype=kind)
    for place in range(width):
        symbols[:, place] = (words[:, place // each] >> np.uint64(bits * (each - 1 - place % each))) & mask
    return symbols


def lexicographic(words: Words) -> Integers:
    """The stable lexicographic order of rows of words."""
    if words.shape[1] == 1:
        return np.argsort(words[:, 0], kind="stable")
    return np.lexsort(words.T[::-1])


def row_starts(words: Words) -> Flags:
    """Which of the sorted rows differ from the row before them."""
    first = np.ones(min(len(words), 1), dtype=bool)
    if words.shape[1] == 1:
        return np.concatenate([first, words[1:, 0] != words[:-1, 0]])
    return np.concatenate([first, (words[1:] != words[:-1]).any(axis=1)])


def _blocks(leaves: LeafSet) -> str:
    size = f" of {leaves.alphabet}" if leaves.unit == "tokens" else ""
    return (
        f"blocks of {leaves.block} {leaves.unit}{size}" if leaves.block else f"whole sequences of {leaves.unit}{size}"
    )
