"""Codewords as bits: canonical words, Shannon-Fano-Elias words, and streams encoded and decoded with them (Def 3.3b)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Integers
from ..checks import an, as_array, checked, integer, optional
from ..errors import InputError
from .lengths import NO_CODEWORD, Lengths, as_lengths, compiled, kraft_sum

Words = NDArray[np.uint64]

TABLE_BITS = 12
"""The decoder looks up so many bits at once; longer words go on bit by bit."""


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """A string of bits. ``data``: bytes, the first bit the most significant of the first byte; ``size``: how many bits.

    Invariant: ``data`` has ceil(size/8) bytes, and the bits behind the last one are 0.

    >>> bits = Bits.of("10110")
    >>> bits.size, bits.data, str(bits)
    (5, array([176], dtype=uint8), '10110')
    """

    data: NDArray[np.uint8]
    size: int

    @classmethod
    @checked(size=optional(integer(least=0)))
    def of(cls, data: str | bytes | ArrayLike, size: int | None = None) -> Bits:
        """Checked bits from a text of 0 and 1, or from bytes, of which the first ``size`` bits count (default: all).

        Raises InputError for another text, and where there are fewer bits than ``size``.
        """
        if isinstance(data, str):
            if set(data) - {"0", "1"}:
                raise InputError("a text with other signs than 0 and 1", where="bits", mend="pass bits, or bytes")
            packed = np.packbits(np.frombuffer(data.encode(), dtype=np.uint8) - ord("0"))
            size = len(data) if size is None else size
        else:
            raw = np.frombuffer(data, dtype=np.uint8) if isinstance(data, bytes) else as_array(data, "data", "bits")
            if raw.ndim != 1 or raw.dtype != np.uint8:
                raise InputError(
                    f"{raw.dtype} of shape {raw.shape}",
                    where="bits",
                    mend="pass bytes, or a one-dimensional uint8 array",
                )
            packed = raw
        size = 8 * packed.size if size is None else size
        if not 0 <= size <= 8 * packed.size:
            raise InputError(
                f"{size} bits of {packed.size} bytes", where="bits", mend="the stream was cut: get all of it"
            )
        kept = packed[: -(-size // 8)].copy()
        if size % 8:
            kept[-1] &= 0xFF << (8 - size % 8) & 0xFF
        return cls(kept, int(size))

    def __str__(self) -> str:
        return "".join(map(str, np.unpackbits(self.data, count=self.size)))


@dataclass(frozen=True, eq=False)
class Codewords:
    """A prefix code as words of any length, in arrays: no object for a leaf.

    ``lengths``  (M,) bits of each word, `NO_CODEWORD` where a leaf has none
    ``order``    the leaves that have one, their words in rising order
    ``starts``   (M,) where a leaf's word begins in ``limbs``
    ``limbs``    words left-aligned in limbs of 64 bits, ceil(L/64) for each
    ``canonical`` whether lengths never fall along ``order`` (then the words are those of `canonical_words`)

    >>> words = canonical_words([2, 1, 3, 3])
    >>> [words.text(leaf) for leaf in range(4)], words.word(2)
    (['10', '0', '110', '111'], 6)
    >>> bits = words.encode([1, 1, 3, 0])
    >>> str(bits), words.decode(bits)
    ('0011110', array([1, 1, 3, 0]))
    """

    lengths: Lengths
    order: Integers
    starts: Integers
    limbs: Words
    canonical: bool = True

    @checked(leaf=integer(least=0))
    def word(self, leaf: int) -> int:
        """The word of a leaf as an integer of ``lengths[leaf]`` bits. Raises InputError where it has none."""
        size = self._length(leaf)
        count = -(-size // 64)
        value = 0
        for limb in self.limbs[self.starts[leaf] : self.starts[leaf] + count]:
            value = value << 64 | int(limb)
        return value >> (64 * count - size)

    @checked(leaf=integer(least=0))
    def text(self, leaf: int) -> str:
        """The word of a leaf as a text of 0 and 1; the empty text for length 0."""
        size = self._length(leaf)
        return format(self.word(leaf), f"0{size}b") if size else ""

    def _length(self, leaf: int) -> int:
        if not 0 <= leaf < self.lengths.size or self.lengths[leaf] == NO_CODEWORD:
            raise InputError(f"leaf {leaf} has no codeword", where="codewords", mend="use a leaf that has one")
        return int(self.lengths[leaf])

    def encode(self, leaves: ArrayLike) -> Bits:
        """The words of a sequence of leaves one after another. Shape (n,) -> Bits.

        Raises InputError for what is no sequence of leaves, naming the first that has no codeword.
        """
        stream = as_array(leaves, "leaves", "encode")
        if stream.size == 0:
            stream = stream.astype(np.int64)
        if stream.ndim != 1 or stream.dtype.kind not in "iu":
            raise InputError(
                f"{stream.dtype} of shape {stream.shape}", where="encode", mend="pass a one-dimensional array of leaves"
            )
        stream = stream.astype(np.int64, copy=False)
        limbs, size, wrong = compiled(_write)(stream, self.lengths, self.starts, self.limbs)
        if wrong >= 0:
            raise InputError(
                f"leaf {stream[wrong]} has no codeword", where=f"encode, symbol {wrong}", mend="use a code that has it"
            )
        return Bits(limbs.byteswap().view(np.uint8)[: -(-size // 8)].copy(), int(size))

    @checked(bits=an(Bits), count=optional(integer(least=0)))
    def decode(self, bits: Bits, count: int | None = None) -> Integers:
        """The leaves that a stream spells: ``count`` of them, or as many as there are. Bits -> shape (n,).

        Raises InputError for a stream that ends within a word, has bits left over, or holds what is no word; and for a
        code whose only word is empty where no count is given.
        """
        if bits.size > 8 * bits.data.size:
            raise InputError(
                f"{bits.size} bits in {bits.data.size} bytes", where="decode", mend="get all of the stream"
            )
        if not self.order.size:
            if bits.size or count:
                raise InputError(
                    "a code without words", where="decode", mend="use the code that the stream was made with"
                )
            return np.zeros(0, dtype=np.int64)
        shortest = int(self.lengths[self.order].min())
        if shortest == 0:  # the only word is empty
            if count is None or bits.size:
                raise InputError(
                    f"{bits.size} bits in a code of one empty word",
                    where="decode",
                    mend="say how many leaves there are",
                )
            return np.full(count, self.order[0])
        if count is not None and count * shortest > bits.size:
            raise _cut(bits.size, f"{count} words need at least {count * shortest}")
        most = bits.size // shortest + 1 if count is None else count  # one more, to see a word that is cut
        data = np.concatenate([bits.data, np.zeros(8, dtype=np.uint8)])
        if self.canonical:
            decoded, read, status = compiled(_read_canonical)(data, bits.size, most, *self._by_length, *self._table)
        else:
            decoded, read, status = compiled(_read_tree)(data, bits.size, most, self._tree)
        if status == CUT:
            raise _cut(bits.size, f"the word at bit {read} goes on")
        if status == NO_WORD:
            raise InputError(
                f"no word begins at bit {read}", where="decode", mend="the stream is damaged, or the code is another"
            )
        if count is not None and (decoded.size < count or read < bits.size):
            raise InputError(
                f"{bits.size} bits hold more or less than {count} words",
                where="decode",
                mend="the stream is damaged, or the code is another",
            )
        return np.asarray(decoded)

    @cached_property
    def _by_length(self) -> tuple[Integers, Integers, Integers]:
        """(words, inner nodes, words before) at each length, and the leaves in canonical order behind them."""
        longest = int(self.lengths.max())
        words = np.bincount(self.lengths[self.order], minlength=longest + 1)
        inner = np.zeros(longest + 1, dtype=np.int64)
        for n in range(longest - 1, -1, -1):  # a loop over lengths, not over leaves
            inner[n] = (words[n + 1] + inner[n + 1] + 1) // 2
        return words.astype(np.int64), inner, self.order

    @cached_property
    def _table(self) -> tuple[int, Integers]:
        """What the next bits begin with: ``leaf << 8 | length``, or -2 - (node) where the word goes on, or -1."""
        size = min(TABLE_BITS, int(self.lengths.max()))
        words, inner, order = self._by_length
        table = np.full(1 << size, -1, dtype=np.int64)
        short = order[self.lengths[order] <= size]
        spans = 1 << (size - self.lengths[short])
        table[: spans.sum()] = np.repeat(short << 8 | self.lengths[short], spans)
        on = int(inner[size]) if size < inner.size else 0
        table[spans.sum() : spans.sum() + on] = -2 - (words[size] + np.arange(on))
        return size, table

    @cached_property
    def _tree(self) -> Integers:
        """The code tree, shape (nodes, 2): the child of a node for each bit; -1 for none, -2 - leaf for a leaf."""
        order, lengths = self.order, self.lengths
        nodes = 2 + int(lengths[order].sum() - lengths[order].min())
        tree, used = compiled(_grow)(order, lengths, self.starts, self.limbs, nodes)
        if used < 0:
            raise InputError("a word begins another word", where="codewords", mend="use a prefix code")
        return np.asarray(tree[:used])


def canonical_words(lengths: ArrayLike) -> Codewords:
    """The canonical prefix code of given lengths: words in order of (length, leaf), each the next free one from 00...0.

    It is fixed by the lengths alone, so a decoder needs nothing else. Lengths may be beyond 64 bits; leaves without a
    codeword (`NO_CODEWORD`) stay without. Shape (M,) -> M words.
    Raises InputError for lengths that are not integers >= 0, and where Kraft's sum exceeds 1.

    >>> [canonical_words([2, 2, 2]).text(leaf) for leaf in range(3)]
    ['00', '01', '10']
    """
    used = as_lengths(lengths, where="canonical_words")
    if kraft_sum(used) > 1:
        raise InputError(
            f"Kraft's sum is {float(kraft_sum(used)):.6g} > 1", where="canonical_words", mend="lengthen some words"
        )
    order = np.argsort(used, kind="stable")
    order = order[np.searchsorted(used[order], 0) :]
    starts = _limb_starts(used)
    limbs = compiled(_count_up)(order, used, starts, np.zeros(int(starts[-1]), dtype=np.uint64))
    return Codewords(used, order, starts[:-1], limbs)


CUT, NO_WORD, DONE = 1, 2, 0
"""How reading a stream ended."""


def _cut(size: int, why: str) -> InputError:
    return InputError(f"the stream ends at bit {size}, but {why}", where="decode", mend="get all of the stream")


def _limb_starts(lengths: Lengths) -> Integers:
    """Where each word begins among the limbs, and their number."""
    return np.concatenate([[0], np.cumsum((np.maximum(lengths, 0) + 63) // 64)])


def _count_up(order: Integers, lengths: Lengths, starts: Integers, limbs: Words) -> Words:
    """Canonical words, left-aligned: the next one is this one plus one at its last bit, whatever their lengths."""
    for rank in range(1, order.size):
        last, leaf = order[rank - 1], order[rank]
        begin, before, size = starts[leaf], starts[last], lengths[last]
        have = (size + 63) // 64
        for limb in range(have):
            limbs[begin + limb] = limbs[before + limb]
        step = np.uint64(1) << np.uint64(64 * have - size)
        for limb in range(have - 1, -1, -1):
            limbs[begin + limb] += step
            if limbs[begin + limb] >= step:
                break
            step = np.uint64(1)  # carry
    return limbs


def _write(stream: Integers, lengths: Lengths, starts: Integers, limbs: Words) -> tuple[Words, int, int]:
    """(limbs of the encoded stream, its bits, the first symbol without a codeword or -1)."""
    size = 0
    for i in range(stream.size):
        if stream[i] < 0 or stream[i] >= lengths.size or lengths[stream[i]] < 0:
            return np.zeros(0, dtype=np.uint64), 0, i
        size += lengths[stream[i]]
    out = np.zeros((size + 63) // 64, dtype=np.uint64)
    place, buffer, have = 0, np.uint64(0), 0  # `have` < 64 bits are held back, left-aligned
    for i in range(stream.size):
        limb, left = starts[stream[i]], lengths[stream[i]]
        while left > 0:
            take = min(left, 64)
            buffer |= limbs[limb] >> np.uint64(have)
            if have + take >= 64:
                out[place] = buffer
                place += 1
                buffer = limbs[limb] << np.uint64(64 - have) if have > 0 else np.uint64(0)
                have -= 64
            have += take
            limb += 1
            left -= take
    if have > 0:
        out[place] = buffer
    return out, size, -1


def _read_canonical(
    data: NDArray[np.uint8],
    size: int,
    most: int,
    words: Integers,
    inner: Integers,
    order: Integers,
    table_bits: int,
    table: Integers,
) -> tuple[Integers, int, int]:
    """(leaves read, bits read, how it ended). ``data`` has 8 bytes of padding."""
    before = np.zeros(words.size, dtype=np.int64)
    for n in range(1, words.size):
        before[n] = before[n - 1] + words[n - 1]
    out = np.empty(most, dtype=np.int64)
    read, number = 0, 0
    buffer, have, byte = np.uint64(0), 0, 0  # `have` bits from `read` on, left-aligned
    while number < most and read < size:
        while have <= 56 and byte < data.size:
            buffer |= np.uint64(data[byte]) << np.uint64(56 - have)
            have += 8
            byte += 1
        entry = table[buffer >> np.uint64(64 - table_bits)]
        if entry >= 0:
            length = entry & 255
            if length > size - read:
                return out[:number], read, 1
            out[number] = entry >> 8
            buffer <<= np.uint64(length)
            have -= length
        elif entry == -1:
            return out[:number], read, 2 if size - read >= table_bits else 1
        else:
            node, length = -2 - entry, table_bits  # which of the nodes of this depth, words first
            buffer <<= np.uint64(table_bits)
            have -= table_bits
            while node >= words[length]:
                if have == 0:
                    while have <= 56 and byte < data.size:
                        buffer |= np.uint64(data[byte]) << np.uint64(56 - have)
                        have += 8
                        byte += 1
                if length >= size - read:
                    return out[:number], read, 1
                if node - words[length] >= inner[length]:
                    return out[:number], read, 2
                node = 2 * (node - words[length]) + np.int64(buffer >> np.uint64(63))
                buffer <<= np.uint64(1)
                have -= 1
                length += 1
            if length > size - read:
                return out[:number], read, 1
            out[number] = order[before[length] + node]
        read += length
        number += 1
    return out[:number], read, 0


def _grow(order: Integers, lengths: Lengths, starts: Integers, limbs: Words, most: int) -> tuple[Integers, int]:
    """(the code tree, its nodes): words in rising order share with the one before all that they share with any."""
    tree = np.empty((most, 2), dtype=np.int64)  # a row is written when its node is made
    tree[0] = -1
    longest = 0
    for leaf in order:
        longest = max(longest, lengths[leaf])
    path = np.zeros(longest + 1, dtype=np.int64)  # the nodes along the word before
    used, known = 1, 0
    for rank in range(order.size):
        leaf = order[rank]
        if rank > 0:
            last = order[rank - 1]
            known, shorter = 0, min(lengths[last], lengths[leaf])
            while known < shorter:
                limb, shift = known // 64, np.uint64(63 - known % 64)
                if (limbs[starts[last] + limb] ^ limbs[starts[leaf] + limb]) >> shift & np.uint64(1):
                    break
                known += 1
            if known == shorter:
                return tree, -1
        node = path[known]
        for bit in range(known, lengths[leaf]):
            side = np.int64(limbs[starts[leaf] + bit // 64] >> np.uint64(63 - bit % 64) & np.uint64(1))
            if bit + 1 == lengths[leaf]:
                tree[node, side] = -2 - leaf
            else:
                tree[node, side] = used
                tree[used] = -1
                node = used
                path[bit + 1] = node
                used += 1
    return tree, used


def _read_tree(data: NDArray[np.uint8], size: int, most: int, tree: Integers) -> tuple[Integers, int, int]:
    """(leaves read, bits read, how it ended), one bit at a time."""
    out = np.empty(most, dtype=np.int64)
    number, node, begin = 0, 0, 0
    for bit in range(size):
        if number == most:
            return out[:number], begin, 0
        node = tree[node, data[bit >> 3] >> (7 - (bit & 7)) & 1]
        if node == -1:
            return out[:number], begin, 2
        if node < -1:
            out[number] = -2 - node
            number += 1
            node, begin = 0, bit + 1
    return out[:number], begin, 0 if begin == size else 1
