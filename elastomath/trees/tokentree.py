"""Token trees: blocks of symbols as sorted arrays, a row and a count for each leaf (Def 3.1, 3.3a, 3.3b)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Integers
from ..checks import checked, integer, real
from ..errors import InputError
from ..mixtures.masses import as_masses
from .leafset import Flags, LeafSet, Words, lexicographic, packed, row_starts, unpacked
from .sequences import (
    ALPHABETS,
    AT_ONCE,
    Sequences,
    Symbols,
    blocks,
    checked_alphabet,
    checked_depth,
    symbol_type,
)

MEMORY = 1 << 32
"""Bytes of leaves beyond which a tree is refused rather than built."""

LARGEST_TOTAL = (1 << 63) - 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenTree:
    """The pruned token tree of a dataset, as arrays over its M leaves; no object is made for a node.

    ``leaf_set``  what the leaves spell and how they are ordered, with its invariants: see `LeafSet`
    ``counts``    (M,): how many blocks end in the leaf, int64, >= 1, exact, with a sum below 2^63. Where the tree was
                  made from masses they are the masses, float64, > 0, summing to 1 up to rounding

    >>> tree = TokenTree.of(["abcab", "ab"], depth=2)
    >>> [(tree.spell(leaf), int(count)) for leaf, count in enumerate(tree.counts)]
    [(b'ab', 2), (b'b', 1), (b'ca', 1)]
    >>> tree.masses
    array([0.5 , 0.25, 0.25])
    >>> tree.leaves, tree.nodes, tree.nodes_per_level().tolist()  # root; a, b, c; ab, ca; EOS of b
    (3, 7, [1, 3, 2])
    """

    leaf_set: LeafSet
    counts: NDArray[Any]

    @classmethod
    def of(
        cls, documents: Sequence[str | bytes], depth: int, unit: str = "bytes", *, first_block: bool = False
    ) -> TokenTree:
        """The tree of documents cut into blocks of ``depth`` symbols (Def 3.3b), with exact counts.

        A document of |x| symbols gives ceil(|x|/depth) blocks: full ones, which are cut nodes, and where depth does not
        divide |x| a short last one, which ends in an EOS leaf. A document whose last block is full has no EOS leaf
        (the cut is above it), an empty document has no block. Text is taken as UTF-8; bytes as they are. ``unit``: a
        symbol is one of ``bytes`` or ``bits`` (most significant first).
        ``first_block``: only the first block of each document, the top layers of the token tree itself (Def 3.3a).

        Raises InputError for depth < 1, an unknown unit, text that has no UTF-8 form, and where no symbol is left.

        >>> TokenTree.of([b"a"], depth=3, unit="bits").symbols  # 0x61 = 011 000 01
        array([[0, 0, 0], [0, 1, 0], [0, 1, 1]], dtype=uint8)
        """
        layers, alphabet = checked_depth(depth), _alphabet(unit)
        return _built([Sequences.of_text(documents, alphabet)], layers, alphabet, "documents", first_block)

    @classmethod
    def of_sequences(
        cls,
        sequences: Any,
        depth: int,
        alphabet: int,
        offsets: ArrayLike | None = None,
        *,
        first_block: bool = False,
        at_once: int = AT_ONCE,
    ) -> TokenTree:
        """The tree of integer sequences (tokenizer ids) over the symbols 0 ... alphabet - 1, cut as in `of`.

        ``sequences``: a 2-D array (a row each), a list of 1-D arrays or lists, or flat values with ``offsets`` (n + 1
        integers; sequence i is ``values[offsets[i]:offsets[i + 1]]``); a 1-D array without offsets is one sequence.
        An array, which may be a memory map larger than memory, is read once, ``at_once`` bytes of blocks at a time;
        what is held is a few slabs and twice the tree. An alphabet of 256 is that of ``bytes``, one of 2 of ``bits``.

        Raises InputError as `of` does, and for floats (NaN among them), objects, masked entries, symbols that are
        negative or outside the alphabet, offsets that do not fit, and arrays of other shapes.

        >>> tree = TokenTree.of_sequences([[7, 250_000, 7], [7, 250_000]], depth=2, alphabet=1 << 18)
        >>> [(tree.spell(leaf), int(count)) for leaf, count in enumerate(tree.counts)]
        [((7,), 1), ((7, 250000), 2)]
        """
        layers, size = checked_depth(depth), checked_alphabet(alphabet)
        parts = Sequences.parts(sequences, size, offsets, at_once)
        return _built(parts, layers, size, "sequences", first_block, at_once)

    @classmethod
    def of_chunks(
        cls,
        chunks: Iterable[Any],
        depth: int,
        alphabet: int = 256,
        *,
        joined: bool = False,
        first_block: bool = False,
        at_once: int = AT_ONCE,
    ) -> TokenTree:
        """The tree of input that comes in chunks and never is in memory as a whole; equal to the tree built at once.

        A chunk is a list of documents (as in `of`) or sequences (as in `of_sequences`). Where ``joined`` the chunks are
        consecutive pieces, of any length, of one sequence: bytes, text, or 1-D integer arrays, as read from a file.
        Sorted runs are merged when the last is at least half as long as the one before it: each leaf is moved a number
        of times that is logarithmic in the number of chunks, and all runs together hold at most about twice the tree.

        Raises InputError as `of` and `of_sequences` do, and for ``joined`` with ``first_block``.

        >>> whole = TokenTree.of([b"abracadabra"], 3)
        >>> parts = TokenTree.of_chunks(iter([b"ab", b"racadab", b"ra"]), 3, joined=True)
        >>> parts.symbols.tolist() == whole.symbols.tolist(), parts.counts.tolist()
        (True, [1, 1, 1, 1])
        """
        layers, size = checked_depth(depth), checked_alphabet(alphabet)
        if joined and first_block:
            raise InputError("the first block of one joined sequence", where="token tree", mend="slice the sequence")
        parts = _pieces(chunks, layers, size) if joined else (_chunk(chunk, size) for chunk in chunks)
        return _built(parts, layers, size, "chunks", first_block, at_once)

    @classmethod
    def of_masses(cls, weights: ArrayLike, depth: int, alphabet: int = 2) -> TokenTree:
        """A complete tree: leaf ``x_1 ... x_d`` has weight ``weights[sum_i x_i A^(d-i)]``, shape (A^d,).

        It stands for the top layers of a whole token tree (``block`` 0), to be coarse-grained by `prune`. Masses are
        float64 and checked by `as_masses`; integers are exact counts. Leaves of weight 0 are left out.
        Raises InputError for a size that is not A^depth and for weights that are no masses or counts.

        >>> tree = TokenTree.of_masses([0.5, 0.125, 0.25, 0.125], depth=2)
        >>> tree.spell(1), tree.prune(1).masses.tolist(), tree.prune(0).masses.tolist()
        ('01', [0.625, 0.375], [1.0])
        """
        layers, size = checked_depth(depth, 0), checked_alphabet(alphabet)
        values = _weights(weights)
        if layers > 64 or values.size != size**layers:
            raise InputError(
                f"{values.size} masses for a complete tree of depth {layers} over {size} symbols",
                where="token tree",
                mend="give alphabet^depth of them, or the leaves themselves through TokenTree.of_leaves",
            )
        kept = np.flatnonzero(values)
        symbols, rest = np.zeros((kept.size, layers), dtype=symbol_type(size)), kept.copy()
        for place in range(layers - 1, -1, -1):
            rest, symbols[:, place] = np.divmod(rest, size)
        spelled = np.full(kept.size, layers, dtype=np.int64)
        return cls(LeafSet(symbols, spelled, spelled < layers, layers, size, 0), values[kept])

    @classmethod
    def of_leaves(
        cls, leaves: Any, weights: ArrayLike, depth: int, alphabet: int, offsets: ArrayLike | None = None
    ) -> TokenTree:
        """A tree whose leaves carry given masses or counts: ``leaves`` as in `of_sequences`, ``weights`` of shape (n,).

        A leaf of ``depth`` symbols is a cut node, a shorter one an EOS leaf; a leaf that occurs twice has the sum, one of
        weight 0 is left out. Raises InputError for leaves beyond the depth and for weights that are no masses or counts.

        >>> tree = TokenTree.of_leaves([[1], [0, 2], []], [3, 4, 1], depth=2, alphabet=3)
        >>> [(tree.spell(leaf), int(count)) for leaf, count in enumerate(tree.counts)]
        [((), 1), ((0, 2), 4), ((1,), 3)]
        """
        layers, size = checked_depth(depth, 0), checked_alphabet(alphabet)
        parsed, values = Sequences.of_integers(leaves, size, offsets), _weights(weights)
        if values.shape != parsed.sizes.shape:
            raise InputError(
                f"{values.size} weights for {parsed.sizes.size} leaves",
                where="token tree",
                mend="give one for each leaf",
            )
        if (long := np.flatnonzero(parsed.sizes > layers)).size:
            raise InputError(
                f"leaf {long[0]} spells {parsed.sizes[long[0]]} symbols",
                where="token tree",
                mend=f"the tree has {layers} layers",
            )
        kept = values > 0
        parsed = Sequences(parsed.values, parsed.starts[kept], parsed.sizes[kept], size)
        width = int(parsed.sizes.max())
        symbols = np.zeros((len(parsed.sizes), width), dtype=symbol_type(size))
        taken = [values for values, _ in parsed.slabs(max(layers, 1))]
        symbols[np.arange(width) < parsed.sizes[:, None]] = np.concatenate(taken)
        run = _merged([Run(packed(symbols, size), parsed.sizes, values[kept])])
        return _planted(run, layers, size, 0)

    @property
    def symbols(self) -> Symbols:
        """What the leaves spell, padded with 0: shape (M, width)."""
        return self.leaf_set.symbols

    @property
    def spelled(self) -> Integers:
        """How many symbols a leaf spells, shape (M,)."""
        return self.leaf_set.spelled

    @property
    def ended(self) -> Flags:
        """Which leaves are EOS leaves, shape (M,); the others are cut nodes."""
        return self.leaf_set.ended

    @property
    def depth(self) -> int:
        """The number of layers kept, d."""
        return self.leaf_set.depth

    @property
    def alphabet(self) -> int:
        """The number of symbols."""
        return self.leaf_set.alphabet

    @property
    def unit(self) -> str:
        """What a symbol is: ``bytes``, ``bits`` or ``tokens``."""
        return self.leaf_set.unit

    @property
    def leaves(self) -> int:
        """M, the number of leaves."""
        return self.leaf_set.size

    @property
    def nodes(self) -> int:
        """The number of nodes, the root and the EOS leaves among them."""
        return self.leaf_set.nodes

    @property
    def exact(self) -> bool:
        """Whether the counts are integers; otherwise they are masses."""
        return self.counts.dtype.kind == "i"

    @property
    def blocks(self) -> int:
        """The number of blocks, sum of the counts. Raises InputError for a tree of masses, which has none."""
        if not self.exact:
            raise InputError("a tree of masses has no blocks", where="token tree", mend="make it from counts")
        return int(self.counts.sum())

    @property
    def masses(self) -> NDArray[np.float64]:
        """Leaf masses ``P(x) = c(x) / sum c``, shape (M,): the share of the blocks that end in each leaf."""
        return np.asarray(self.counts / self.counts.sum(), dtype=np.float64)

    @checked(leaf=integer(least=0))
    def spell(self, leaf: int) -> bytes | str | tuple[int, ...]:
        """What a leaf spells: bytes, a string of 0 and 1 where a symbol is a bit, or a tuple of tokens."""
        return self.leaf_set.spell(leaf)

    def shared(self) -> Integers:
        """How many leading symbols each leaf shares with the leaf before it, shape (M,); 0 for the first.

        >>> TokenTree.of(["ab", "ac", "a", "b"], depth=2).shared()
        array([0, 1, 1, 0])
        """
        return self.leaf_set.shared()

    def nodes_per_level(self) -> Integers:
        """The number of nodes that 0, 1, ... symbols spell, as far as the longest leaf; EOS leaves are not among them.

        >>> TokenTree.of(["ab", "ac", "a", "b"], depth=2).nodes_per_level()
        array([1, 2, 2])
        """
        return self.leaf_set.nodes_per_level()

    def prune(self, depth: int) -> TokenTree:
        """Keep the top ``depth`` layers (Def 3.3a): each cut node carries the sum of the subtree that was cut.

        It is the tree of the first ``depth`` symbols of every *block*. So prune(a).prune(b) is prune(min(a, b)), and for
        trees of first blocks ``of(x, d).prune(e) == of(x, e)``; a tree of all blocks of longer documents is not the one
        built at the smaller depth, which sends more blocks. Depth 0 leaves the root, of mass 1.
        Raises InputError unless 0 <= depth <= the tree's.

        >>> tree = TokenTree.of(["ab", "ac", "a", "b"], depth=2).prune(1)
        >>> tree.spell(0), tree.counts.tolist()
        (b'a', [3, 1])
        """
        return self._cut(*self.leaf_set.prune(checked_depth(depth, 0, self.depth)))

    def prune_by_count(self, least: int) -> TokenTree:
        """Make a cut node of every node with fewer than ``least`` blocks (Def 3.3a with the cut set by mass).

        The leaves are the largest subtrees of fewer than ``least`` blocks, and the EOS leaves and cut nodes whose parent
        has more; none is lost, so the masses still sum to 1. So prune_by_count(a).prune_by_count(b) is
        prune_by_count(max(a, b)), and it commutes with `prune`. 1 changes nothing, 2 shortens what occurs once to where it
        parts from the rest, more than `blocks` leaves the root. What the rates lose: `pruning_loss`.
        Raises InputError for ``least`` < 1 and for a tree of masses.

        >>> tree = TokenTree.of(["aab", "aba", "abb", "bab", "bab"], depth=3).prune_by_count(2)
        >>> [(tree.spell(leaf), int(count)) for leaf, count in enumerate(tree.counts)]
        [(b'aa', 1), (b'aba', 1), (b'abb', 1), (b'bab', 2)]
        """
        blocks, count = self.blocks, checked_count(least)
        return self._cut(*self.leaf_set.cut(*self.leaf_set.light_levels(self.counts, min(count, blocks + 1))))

    def prune_by_mass(self, threshold: float) -> TokenTree:
        """Make a cut node of every node v with mass ``P(v) < threshold``: see `prune_by_count`, for 0 <= threshold <= 1.

        For counts the comparison ``c(v) < threshold * sum c`` is exact, the float being taken as the fraction it is.
        Raises InputError for another threshold.

        >>> TokenTree.of_masses([0.5, 0.125, 0.25, 0.125], depth=2).prune_by_mass(0.5).masses
        array([0.5  , 0.125, 0.375])
        """
        share = checked_threshold(threshold)
        if self.exact:
            return self.prune_by_count(least_count(share, self.blocks))
        whole = float(np.add.reduceat(self.masses, [0])[0])  # the root has all, 1 to rounding
        return self._cut(*self.leaf_set.cut(*self.leaf_set.light_levels(self.masses, min(share, whole))))

    def _cut(self, leaf_set: LeafSet, starts: Integers) -> TokenTree:
        return TokenTree(leaf_set, np.add.reduceat(self.counts, starts))


def checked_count(least: object) -> int:
    """A least number of blocks, >= 1; InputError otherwise."""
    if isinstance(least, bool | np.bool_ | np.timedelta64) or not isinstance(least, int | np.integer) or least < 1:
        raise InputError(f"least count is {least!r}", where="pruning", mend="give an integer of at least 1")
    return int(least)  # any size: a count beyond all counts prunes everything


def checked_threshold(threshold: object) -> float:
    """A mass, 0 to 1; InputError otherwise."""
    if isinstance(threshold, bool):
        raise InputError(f"threshold is {threshold}", where="pruning", mend="give a mass from 0 to 1")
    return real(threshold, "threshold", "pruning", least=0.0, most=1.0)


def least_count(threshold: float, total: int) -> int:
    """The least integer c with ``c / total >= threshold``, and at least 1: exact."""
    share = Fraction(threshold) * total
    return max(-(-share.numerator // share.denominator), 1)


class Run(NamedTuple):
    """Leaves as words: ``words`` (m, W), ``spelled`` (m,), ``counts`` (m,). A *sorted* run holds each leaf once."""

    words: Words
    spelled: Integers
    counts: NDArray[Any]


def _built(
    parts: Iterable[Sequences], depth: int, alphabet: int, what: str, first_block: bool, at_once: int = AT_ONCE
) -> TokenTree:
    """Slabs of blocks, each a sorted run, merged."""
    runs: list[Run] = []
    number, slab = 0, max(at_once // symbol_type(alphabet).itemsize, 1)
    for part in parts:
        number += len(part.sizes) if what != "chunks" else 1
        for symbols, sizes in (part.first(depth) if first_block else part).slabs(depth, slab):
            if symbols.size:
                runs.append(_tallied(symbols, sizes, depth, alphabet))
            while len(runs) > 1 and 2 * len(runs[-1].spelled) >= len(runs[-2].spelled):
                runs[-2:] = [_merged(runs[-2:])]
                _fits(runs[-1], alphabet)
    if not runs:
        raise InputError(
            f"no symbol in {number} {what}", where="token tree", mend="pass at least one that is not empty"
        )
    run = _merged(runs) if len(runs) > 1 else runs[0]
    runs.clear()
    _fits(run, alphabet)
    return _planted(run, depth, alphabet, 0 if first_block else depth)


def _planted(run: Run, depth: int, alphabet: int, block: int) -> TokenTree:
    symbols = unpacked(run.words, int(run.spelled.max()), alphabet)
    return TokenTree(LeafSet(symbols, run.spelled, run.spelled < depth, depth, alphabet, block), run.counts)


def _fits(run: Run, alphabet: int) -> None:
    width = int(run.spelled.max())
    if len(run.spelled) * width * symbol_type(alphabet).itemsize > MEMORY:
        raise InputError(
            f"{len(run.spelled)} leaves of up to {width} symbols do not fit",
            where="token tree",
            mend="choose a smaller depth or cut the documents",
        )


def _tallied(symbols: Symbols, sizes: Integers, depth: int, alphabet: int) -> Run:
    """The sorted run of all blocks of some sequences."""
    full, short, rest = blocks(symbols, sizes, depth)
    runs = []
    if len(full):
        words = packed(full, alphabet)
        words = np.sort(words, axis=0) if words.shape[1] == 1 else words[lexicographic(words)]
        starts = np.flatnonzero(row_starts(words))
        runs.append(
            Run(words[starts], np.full(starts.size, depth, dtype=np.int64), np.diff(np.append(starts, len(words))))
        )
    if len(short):
        runs.append(_merged([Run(packed(short, alphabet), rest, np.ones(rest.size, dtype=np.int64))]))
    return _merged(runs) if len(runs) > 1 else runs[0]


def _merged(runs: Sequence[Run]) -> Run:
    """One sorted run of several: equal leaves are joined and their counts added; EOS comes before every symbol."""
    width = max(run.words.shape[1] for run in runs)
    words = np.zeros((sum(len(run.spelled) for run in runs), width), dtype=np.uint64)
    row = 0
    for run in runs:
        words[row : row + len(run.spelled), : run.words.shape[1]] = run.words
        row += len(run.spelled)
    spelled = np.concatenate([run.spelled for run in runs])
    counts = np.concatenate([run.counts for run in runs])
    if width == 1 and (spelled == spelled[0]).all():
        order = lexicographic(words)
        words = words[order]
        starts = np.flatnonzero(row_starts(words))
    else:
        order = np.lexsort([spelled, *words.T[::-1]])
        words, ordered = words[order], spelled[order]
        starts = np.flatnonzero(row_starts(words) | np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Run(words[starts], spelled[order[starts]], np.add.reduceat(counts[order], starts))


def _chunk(chunk: Any, alphabet: int) -> Sequences:
    if isinstance(chunk, str | bytes):
        raise InputError("one text in place of a list", where="a chunk", mend="pass lists, or joined=True")
    if isinstance(chunk, list | tuple) and any(isinstance(row, str | bytes) for row in chunk[:1]):
        if alphabet not in ALPHABETS.values():
            raise InputError(f"text over {alphabet} symbols", where="a chunk", mend="use an alphabet of 256 or 2")
        return Sequences.of_text(chunk, alphabet)
    return Sequences.of_integers(chunk, alphabet)


def _pieces(chunks: Iterable[Any], depth: int, alphabet: int) -> Iterator[Sequences]:
    """Consecutive pieces of one sequence, cut again at multiples of ``depth``: each as one sequence."""
    waiting: list[Symbols] = []
    length = 0
    for chunk in chunks:
        text = isinstance(chunk, str | bytes)
        if not text and np.ndim(chunk) != 1:
            raise InputError(
                f"a chunk of {np.ndim(chunk)} dimensions", where="a chunk", mend="pieces of one sequence have one"
            )
        part = _chunk([chunk], alphabet) if text else Sequences.of_integers(np.asarray(chunk), alphabet)
        for symbols, _ in part.slabs(depth):
            waiting.append(symbols)
            length += symbols.size
        if length >= depth:
            joined = np.concatenate(waiting)
            whole = length - length % depth
            yield Sequences.of_integers(joined[:whole], alphabet)
            waiting, length = [joined[whole:].copy()], length - whole
    if length:
        yield Sequences.of_integers(np.concatenate(waiting), alphabet)


def _alphabet(unit: object) -> int:
    if not isinstance(unit, str) or unit not in ALPHABETS:
        raise InputError(f"unknown unit {unit!r}", where="token tree", mend=f"use one of {', '.join(ALPHABETS)}")
    return ALPHABETS[unit]


def _weights(weights: ArrayLike) -> NDArray[Any]:
    """Exact counts as int64, or masses as float64."""
    try:
        values = np.asarray(weights)
    except (TypeError, ValueError) as error:
        raise InputError("weights are no array", where="token tree", mend="pass one number for each leaf") from error
    if values.dtype.kind not in "iu":
        return as_masses(weights, where="token tree")
    if values.ndim != 1 or not values.any() or (values < 0).any() or _exact_sum(values) > LARGEST_TOTAL:
        raise InputError(
            "counts that are no weights",
            where="token tree",
            mend="one for each leaf, >= 0, with a sum from 1 to 2^63 - 1",
        )
    return values.astype(np.int64)


def _exact_sum(counts: NDArray[Any]) -> int:
    """The sum of integers >= 0 below 2^64, without overflow."""
    whole = counts.astype(np.uint64)
    return (int((whole >> np.uint64(32)).sum()) << 32) + int((whole & np.uint64((1 << 32) - 1)).sum())
