"""The compression protocol of Def 3.3b on real responses, block by block, and Thm 3.4 against its bits (R15)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Integers
from ..checks import COUNT, an, as_array, checked, integer, one_of
from ..errors import InputError
from ..trees.leafset import symbol_bits
from ..trees.sequences import Sequences, Symbols, symbol_type
from ..trees.tokentree import TokenTree
from .arithmetic import ArithmeticCode
from .codewords import Bits, Codewords, canonical_words
from .lengths import (
    NO_CODEWORD,
    Lengths,
    as_lengths,
    compiled,
    huffman_lengths,
    shannon_fano_elias_lengths,
    shannon_lengths,
    total_length,
)

CODES: dict[str, Callable[..., Lengths]] = {
    "huffman": huffman_lengths,
    "shannon": shannon_lengths,
    "shannon-fano-elias": shannon_fano_elias_lengths,
}
"""The codes that the protocol can be run with; Def 3.3b says Huffman's."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Responses as bits. ``words``: the codewords of their blocks; ``escaped``: the blocks that are no leaves, in full.

    ``blocks``  (n,) how many blocks each response has, where the words do not tell where a response ends; else None.
    The bits of Def 3.3b do not count them: see `BlockCode`.
    """

    words: Bits
    escaped: Bits
    blocks: Integers | None

    @property
    def size(self) -> int:
        """The bits of words and escaped blocks together."""
        return self.words.size + self.escaped.size


@dataclass(frozen=True, eq=False)
class BlockCode:
    """Def 3.3b: a prefix code on the leaves of a pruned token tree of depth d, sending a response in ceil(|x|/d) blocks.

    ``tree``   its leaves are full blocks of d symbols, and shorter last blocks, which end in an EOS leaf
    ``words``  M + 3 codewords: of the leaves, and of three that the tree does not have, each only where it is wanted:
               END       the response ends with a full block, or is empty
               WHOLE     a full block that is no leaf: its symbols follow among the escaped bits
               LAST      a last block that is no leaf: its length and symbols follow there

    As printed the protocol has none of the three. A response whose last block is full then has no mark of its end (its
    EOS leaf lies below the cut), and ("ab", "cd") is sent like "abcd" at d = 2. So a `Message` without END carries the
    numbers of blocks beside the bits, as Thm 3.4 does with |x|; with END it does not, and where d divides |x| a response
    takes |x|/d + 1 words.

    >>> code = BlockCode.of(TokenTree.of([b"abcab", b"ab"], depth=2))
    >>> message = code.encode([b"abcab", b"ab"])
    >>> str(message.words), message.blocks  # ab = 0, b = 10, ca = 11
    ('011100', array([3, 1]))
    >>> code.decode(message)
    [b'abcab', b'ab']
    """

    tree: TokenTree
    words: Codewords

    @classmethod
    @checked(tree=an(TokenTree), code=one_of(*CODES), ends=integer(least=0), escapes=integer(least=0))
    def of(cls, tree: TokenTree, code: str = "huffman", *, ends: int = 0, escapes: int = 0) -> BlockCode:
        """A code for the counts of a tree; ``ends`` and ``escapes`` are the counts of END, and of WHOLE and LAST each.

        Raises InputError for an unknown code, negative counts, a tree of masses, and one whose cut nodes are not full
        blocks, as after pruning by mass.
        """
        if not tree.exact:
            raise InputError("a tree of masses", where="block code", mend="pass lengths through BlockCode.of_lengths")
        return cls.of_lengths(tree, CODES[code](np.concatenate([tree.counts, [ends, escapes, escapes]])))

    @classmethod
    @checked(tree=an(TokenTree))
    def of_lengths(cls, tree: TokenTree, lengths: ArrayLike) -> BlockCode:
        """The canonical code of given lengths: of the M leaves, or of those, END, WHOLE and LAST."""
        used = as_lengths(lengths, where="block code")
        if used.size == tree.leaves:
            used = np.concatenate([used, np.full(3, NO_CODEWORD)])
        if used.size != tree.leaves + 3:
            raise InputError(
                f"{used.size} lengths for {tree.leaves} leaves",
                where="block code",
                mend="give one a leaf, or three more",
            )
        if (~tree.ended & (tree.spelled != tree.depth)).any():
            raise InputError(
                "a cut node that is not a full block", where="block code", mend="use a tree that is cut at one depth"
            )
        return cls(tree, canonical_words(used))

    @classmethod
    def of_documents(
        cls, documents: Sequence[str | bytes], depth: int, unit: str = "bytes", code: str = "huffman"
    ) -> BlockCode:
        """The code built on the very documents, with END counted: what it sends can be read without anything else.

        >>> code = BlockCode.of_documents([b"abcd", b"ab", b"abc"], depth=2)
        >>> message = code.encode([b"abcd", b"ab", b"abc"])
        >>> message.blocks is None, code.decode(message)
        (True, [b'abcd', b'ab', b'abc'])
        """
        tree = TokenTree.of(documents, depth, unit)
        sizes = Sequences.of_text(documents, tree.alphabet).sizes
        return cls.of(tree, code, ends=int((sizes % depth == 0).sum()))

    @property
    def marks_ends(self) -> bool:
        """Whether END has a word, so that the words tell where a response ends."""
        return bool(self.words.lengths[self.tree.leaves] != NO_CODEWORD)

    def blocks_of(self, documents: Any) -> tuple[Integers, Integers]:
        """(leaf of each block, blocks of each response); -1 for a block that is no leaf. END is not among them."""
        symbols, sizes = self._symbols(documents)
        leaves = self._leaves_of(symbols, sizes)
        return leaves, -(-sizes // self.tree.depth)

    def encode(self, documents: Any) -> Message:
        """The bits of responses: text, bytes, or sequences of integers for a tree of tokens.

        Raises InputError for a block that is no leaf where the code has no escape, naming block and response.
        """
        symbols, sizes = self._symbols(documents)
        depth, leaves = self.tree.depth, self.tree.leaves
        stream, blocks = self._leaves_of(symbols, sizes), -(-sizes // depth)
        begins = np.repeat(np.cumsum(sizes) - sizes, blocks)
        within = np.arange(stream.size) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        spelled = np.minimum(np.repeat(sizes, blocks) - depth * within, depth)
        strange = np.flatnonzero(stream < 0)
        escaped = Bits.of("")
        if strange.size:
            short = spelled[strange] < depth
            stream[strange] = leaves + 1 + short
            missing = strange[self.words.lengths[stream[strange]] == NO_CODEWORD]
            if missing.size:
                response = int(np.searchsorted(np.cumsum(blocks), missing[0], side="right"))
                raise InputError(
                    f"block {int(within[missing[0]])} is no leaf of the tree",
                    where=f"response {response}",
                    mend="build the code with escapes > 0, or the tree on this text too",
                )
            packed = compiled(_write_blocks)(
                symbols, (begins + depth * within)[strange], spelled[strange], depth, *self._widths
            )
            escaped = Bits(np.packbits(packed), packed.size)
        if self.marks_ends:
            stream = np.insert(stream, np.cumsum(blocks)[sizes % depth == 0], leaves)
        return Message(self.words.encode(stream), escaped, None if self.marks_ends else blocks)

    @checked(message=an(Message))
    def decode(self, message: Message) -> list[Any]:
        """The responses of a message: bytes, or arrays of integers for a tree of tokens.

        Raises InputError for a message that is cut or damaged, or was made with another code (where that shows).
        """
        tree = self.tree
        if self.marks_ends == (message.blocks is not None):
            raise InputError("a message of another code", where="decode", mend="use the code that it was made with")
        count = None if message.blocks is None else _total(message.blocks)
        stream = self.words.decode(message.words, count)
        flat = np.unpackbits(message.escaped.data, count=message.escaped.size)
        sizes, ends, read = compiled(_measure)(
            stream, tree.spelled, tree.ended, tree.depth, flat, *self._widths, self.marks_ends
        )
        if read != flat.size or (self.marks_ends and stream.size and not ends[-1]):
            raise InputError(
                "the blocks do not end where the message does", where="decode", mend="get all of the message, undamaged"
            )
        if message.blocks is None:
            bounds = np.flatnonzero(ends) + 1
        else:
            bounds = np.cumsum(message.blocks)
            inner = np.ones(stream.size + 1, dtype=bool)
            inner[bounds] = False
            if (inner[1:] & (sizes < tree.depth)).any():
                raise InputError("a short block within a response", where="decode", mend="get the message undamaged")
        symbols = compiled(_copy)(
            stream, sizes, tree.symbols, np.zeros(int(sizes.sum()), tree.symbols.dtype), flat, tree.depth, *self._widths
        )
        edges = np.concatenate([[0], np.cumsum(sizes)])[np.concatenate([[0], bounds])]
        return self._documents(symbols, edges)

    def _documents(self, symbols: Symbols, edges: Integers) -> list[Any]:
        if self.tree.unit == "tokens":
            return np.split(symbols, edges[1:-1]) if edges.size > 1 else []
        if self.tree.unit == "bits":
            if (edges % 8).any():
                raise InputError("a response of part of a byte", where="decode", mend="get the message undamaged")
            symbols, edges = np.packbits(symbols), edges // 8
        data, cuts = symbols.tobytes(), edges.tolist()
        return [data[low:high] for low, high in itertools.pairwise(cuts)]

    def _symbols(self, documents: Any) -> tuple[Symbols, Integers]:
        """All symbols one after another, and how many each response has."""
        size = self.tree.alphabet
        if self.tree.unit == "tokens":
            sequences = Sequences.of_integers(documents, size)
        else:
            sequences = Sequences.of_text(documents, size)
        if not sequences.sizes.size:
            return np.zeros(0, dtype=symbol_type(size)), sequences.sizes
        parts = [symbols for symbols, _ in sequences.slabs(self.tree.depth)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts), sequences.sizes

    def _leaves_of(self, symbols: Symbols, sizes: Integers) -> Integers:
        leaves: Integers = compiled(_look_up)(
            np.ascontiguousarray(symbols), sizes, self.tree.depth, self.tree.symbols, self.tree.spelled, self._slots
        )
        return leaves

    @cached_property
    def _slots(self) -> Integers:
        """A hash table of the leaves by what they spell, at most half full."""
        slots = np.full(1 << (2 * self.tree.leaves).bit_length(), -1, dtype=np.int64)
        compiled(_hash_leaves)(self.tree.symbols, self.tree.spelled, slots)
        return slots

    @property
    def _widths(self) -> tuple[int, int]:
        """(bits of the length of a last block, bits of a symbol), as escaped blocks have them."""
        return (self.tree.depth - 1).bit_length(), symbol_bits(self.tree.alphabet)


@dataclass(frozen=True, slots=True)
class ProtocolLengths:
    """What responses take under Def 3.3b, in bits, beside what Thm 3.4 prints (R15).

    responses, symbols, blocks, leaves   of the documents and their tree: blocks = sum_x ceil(|x|/d), leaves = M
    entropy     H of the leaf masses, in bits a block
    printed     sum_x ceil(|x|/d) ceil(H): Thm 3.4
    huffman     the bits that are really sent, without marks of ends; likewise shannon, shannon_fano_elias
    marked      the same with END, so that responses can be told apart
    arithmetic  the same blocks through the arithmetic coder as one number

    blocks H <= huffman < blocks (H + 1), and (blocks) (-1) < huffman - printed < blocks: both ends are sharp.
    """

    responses: int
    symbols: int
    blocks: int
    leaves: int
    entropy: float
    printed: int
    huffman: int
    shannon: int
    shannon_fano_elias: int
    marked: int
    arithmetic: int

    @property
    def miss(self) -> float:
        """(huffman - printed)/blocks: by how many bits a block Thm 3.4 is too low (> 0) or too high (< 0)."""
        return (self.huffman - self.printed) / self.blocks

    @property
    def redundancy(self) -> float:
        """huffman/blocks - H, in [0, 1) bits a block."""
        return self.huffman / self.blocks - self.entropy


def protocol_lengths(documents: Sequence[str | bytes], depth: int, unit: str = "bytes") -> ProtocolLengths:
    """Thm 3.4 against the bits of the protocol on the tree of all blocks of documents (R15); units in `ProtocolLengths`.

    Raises InputError as `TokenTree.of` does.

    >>> found = protocol_lengths([b"aabbcdaa", b"aa"], depth=2)  # aa 3, bb 1, cd 1: H = 1.371, Huffman 1.4
    >>> found.printed, found.huffman, found.marked, round(found.miss, 2)
    (10, 7, 13, -0.6)
    """
    tree = TokenTree.of(documents, depth, unit)
    code = BlockCode.of_documents(documents, depth, unit)
    stream, blocks = code.blocks_of(documents)
    counts, sizes = tree.counts, Sequences.of_text(documents, tree.alphabet).sizes
    huffman = huffman_lengths(counts)
    ends = int((sizes % depth == 0).sum())
    marked = np.append(counts, ends)
    return ProtocolLengths(
        responses=len(sizes),
        symbols=int(sizes.sum()),
        blocks=tree.blocks,
        leaves=tree.leaves,
        entropy=_entropy_bits(counts),
        printed=int(blocks.sum()) * entropy_ceiling(counts),
        huffman=int(total_length(counts, huffman)),
        shannon=int(total_length(counts, shannon_lengths(counts))),
        shannon_fano_elias=int(total_length(counts, shannon_fano_elias_lengths(counts))),
        marked=int(total_length(marked, huffman_lengths(marked))),
        arithmetic=ArithmeticCode.of(counts).encode(stream).size,
    )


@checked(depth=COUNT)
def printed_length(symbols: ArrayLike, depth: int, counts: ArrayLike) -> Integers:
    """Thm 3.4 as printed: ``ceil(|x|/d) ceil(-sum p log2 p)`` bits, for responses of |x| symbols (R15). Shape (n,) -> (n,).

    It is neither the length of a code nor a bound on one: what holds is in `ProtocolLengths`.

    >>> printed_length([1, 8, 9], depth=8, counts=[2, 1, 1])
    array([2, 2, 4])
    """
    sizes = as_array(symbols, "symbols", "printed_length")
    if sizes.dtype.kind not in "iu" or (sizes.size and sizes.min() < 0):
        raise InputError(f"lengths of type {sizes.dtype}", where="printed_length", mend="pass integers >= 0")
    return -(-sizes.astype(np.int64) // depth) * entropy_ceiling(counts)


def entropy_ceiling(counts: ArrayLike) -> int:
    """``ceil(H)`` for H = -sum p log2 p, p = c / sum c, exactly: also where H is an integer, or nearly one.

    Where the float is within 1e-9 of an integer m, ``H <= m`` is decided by the exact powers of primes in
    ``prod c^c 2^(m N)`` and ``N^N`` where they are equal, and by balls where they are not. Shape (M,) -> int.
    Raises InputError unless counts are integers >= 0, one of them > 0.

    >>> entropy_ceiling([1] * 8), entropy_ceiling([2, 1, 1]), entropy_ceiling([7, 1, 1])
    (3, 2, 1)
    """
    values = as_array(counts, "counts", "entropy_ceiling")
    if values.dtype.kind not in "iu" or values.ndim != 1 or not values.size or values.min() < 0 or not values.any():
        raise InputError("counts that cannot be used", where="entropy", mend="pass integers >= 0, one of them > 0")
    bits = _entropy_bits(values)
    near = round(bits)
    if abs(bits - near) > 1e-9 * (1 + bits):
        return math.ceil(bits)
    sign = _entropy_against(values, near)
    return near + (sign > 0)


def _entropy_bits(counts: NDArray[Any]) -> float:
    distinct, copies = np.unique(counts[counts > 0], return_counts=True)
    weights = distinct.astype(np.float64) * copies
    total = math.fsum(weights)
    return math.fsum(weights / total * np.log2(total / distinct)) + 0.0


def _entropy_against(counts: NDArray[Any], bits: int) -> int:
    """The sign of H - bits, proved: N ln N - sum c ln c - N bits ln 2 is a sum over primes, zero iff each power is."""
    import flint

    from ..certify.balls import working_precision

    distinct, copies = np.unique(counts[counts > 0], return_counts=True)
    total = sum(int(c) * int(n) for c, n in zip(distinct, copies, strict=True))
    powers: dict[int, int] = {2: -total * bits}
    for number, weight in [
        (total, total),
        *((int(c), -int(c) * int(n)) for c, n in zip(distinct, copies, strict=True)),
    ]:
        for prime, power in flint.fmpz(number).factor():
            powers[int(prime)] = powers.get(int(prime), 0) + weight * int(power)
    if not any(powers.values()):
        return 0
    precision = 128
    while True:
        with working_precision(precision):
            value = sum((power * flint.arb(prime).log() for prime, power in powers.items()), start=flint.arb(0))
            if value > 0:
                return 1
            if value < 0:
                return -1
        precision *= 2  # it is not 0, so this ends


def _total(blocks: Integers) -> int:
    counts = np.asarray(blocks)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise InputError("numbers of blocks that cannot be used", where="decode", mend="pass integers >= 0")
    return int(counts.sum())


def _hash_leaves(symbols: Symbols, spelled: Integers, slots: Integers) -> None:
    mask = np.uint64(slots.size - 1)
    for leaf in range(spelled.size):
        key = np.uint64(spelled[leaf])
        for place in range(spelled[leaf]):
            key = (key ^ np.uint64(symbols[leaf, place])) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
        slot = key & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = leaf


def _look_up(
    stream: Symbols, sizes: Integers, depth: int, symbols: Symbols, spelled: Integers, slots: Integers
) -> Integers:
    """The leaf of each block of each response, -1 where there is none."""
    mask, blocks = np.uint64(slots.size - 1), 0
    for response in range(sizes.size):
        blocks += (sizes[response] + depth - 1) // depth
    out = np.empty(blocks, dtype=np.int64)
    begin, block = 0, 0
    for response in range(sizes.size):
        end = begin + sizes[response]
        while begin < end:
            size = min(depth, end - begin)
            key = np.uint64(size)
            for place in range(size):
                key = (key ^ np.uint64(stream[begin + place])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(32)
            slot = key & mask
            leaf = slots[slot]
            while leaf >= 0:
                same = spelled[leaf] == size
                place = 0
                while same and place < size:
                    same = symbols[leaf, place] == stream[begin + place]
                    place += 1
                if same:
                    break
                slot = (slot + np.uint64(1)) & mask
                leaf = slots[slot]
            out[block] = leaf
            block += 1
            begin += size
    return out


def _write_blocks(
    symbols: Symbols, begins: Integers, spelled: Integers, depth: int, size_bits: int, bits: int
) -> NDArray[np.uint8]:
    """Escaped blocks as one bit a byte: for a short one its length, then the symbols."""
    total = 0
    for block in range(spelled.size):
        total += spelled[block] * bits + (size_bits if spelled[block] < depth else 0)
    out, place = np.zeros(total, dtype=np.uint8), 0
    for block in range(spelled.size):
        if spelled[block] < depth:
            for bit in range(size_bits):
                out[place] = spelled[block] >> (size_bits - 1 - bit) & 1
                place += 1
        for i in range(spelled[block]):
            value = np.int64(symbols[begins[block] + i])
            for bit in range(bits):
                out[place] = value >> (bits - 1 - bit) & 1
                place += 1
    return out


def _measure(
    stream: Integers,
    spelled: Integers,
    ended: NDArray[np.bool_],
    depth: int,
    flat: NDArray[np.uint8],
    size_bits: int,
    bits: int,
    marks: bool,
) -> tuple[Integers, NDArray[np.bool_], int]:
    """(symbols of each word, whether a response ends with it, escaped bits read or -1 where there are too few)."""
    leaves = spelled.size
    sizes, ends, read = np.zeros(stream.size, dtype=np.int64), np.zeros(stream.size, dtype=np.bool_), 0
    for i in range(stream.size):
        word = stream[i]
        if word < leaves:
            sizes[i], ends[i] = spelled[word], ended[word]
        elif word == leaves:
            ends[i] = True
        else:
            size = depth
            if word == leaves + 2:
                if read + size_bits > flat.size:
                    return sizes, ends, -1
                size = 0
                for bit in range(size_bits):
                    size = 2 * size + flat[read + bit]
                read += size_bits
                ends[i] = True
                if size < 1 or size >= depth:
                    return sizes, ends, -1
            sizes[i] = size
            read += size * bits
            if read > flat.size:
                return sizes, ends, -1
    return sizes, ends, read


def _copy(
    stream: Integers,
    sizes: Integers,
    symbols: Symbols,
    out: Symbols,
    flat: NDArray[np.uint8],
    depth: int,
    size_bits: int,
    bits: int,
) -> Symbols:
    """The symbols of every word one after another."""
    leaves, begin, read = symbols.shape[0], 0, 0
    for i in range(stream.size):
        if stream[i] < leaves:
            for place in range(sizes[i]):
                out[begin + place] = symbols[stream[i], place]
        elif stream[i] > leaves:
            if stream[i] == leaves + 2:
                read += size_bits
            for place in range(sizes[i]):
                value = 0
                for bit in range(bits):
                    value = 2 * value + flat[read + bit]
                read += bits
                out[begin + place] = value
        begin += sizes[i]
    return out
