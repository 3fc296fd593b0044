"""Arithmetic coding in integers: a whole stream as one number, within two bits of its ideal code length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Integers
from ..checks import COUNT, an, as_array, checked, integer
from ..errors import InputError
from .codewords import Bits
from .lengths import _array, _checked, compiled

LARGEST_TOTAL = 1 << 40
"""The largest sum of counts: the coder's range keeps 56 bits or more, so that at least 16 are left for precision."""
RANGE_BITS = 56


@dataclass(frozen=True, slots=True, eq=False)
class ArithmeticCode:
    """An arithmetic coder for leaves drawn from ``q(x) = c(x) / sum c`` with integer counts c.

    A stream x_1 ... x_n takes at most ``-sum_i log2 q(x_i) + 2 + n rounding`` bits, where ``rounding`` =
    -log2(1 - sum c / 2^56) is what integer division can lose (1.4e-11 bits a symbol for a sum of 10^6). No code sends
    streams of a source in fewer than n H(q) bits; Huffman's may take up to one bit *a symbol* more. For a fixed n the
    codewords are prefix-free, so a cut or lengthened stream is always found out.

    ``starts``  (M + 1,) cumulative counts.  Build it with `ArithmeticCode.of`, which checks.

    >>> code = ArithmeticCode.of([97, 1, 1, 1])
    >>> stream = np.zeros(1000, dtype=int)
    >>> bits = code.encode(stream)
    >>> bits.size, bool((code.decode(bits, 1000) == stream).all())  # 1000 log2(100/97) = 43.94; Huffman takes 1000
    (44, True)
    """

    starts: Integers

    @classmethod
    def of(cls, counts: ArrayLike) -> ArithmeticCode:
        """The coder of integer counts >= 0, used as they are. Raises InputError for others, and beyond `LARGEST_TOTAL`."""
        values = _checked(_array(counts, scale=False))
        if values.dtype == object and all(isinstance(value, int) for value in values):
            total = sum(values)
        elif values.dtype == np.int64:
            total = int(values.sum())
        else:
            raise InputError("counts are not integers", where="arithmetic code", mend="pass masses to quantised()")
        if not 0 < total <= LARGEST_TOTAL:
            raise InputError(
                f"counts sum to {total}", where="arithmetic code", mend=f"scale them to a sum from 1 to {LARGEST_TOTAL}"
            )
        return cls(np.concatenate([[0], np.cumsum(values.astype(np.int64))]))

    @classmethod
    @checked(total=COUNT)
    def quantised(cls, masses: ArrayLike, total: int = 1 << 32) -> ArithmeticCode:
        """The coder of masses, rounded to ``c(x) = 1 + floor(q(x) (total - M))`` on the M leaves with q(x) > 0.

        It costs at most ``-log2(1 - M/total)`` bits a symbol (1.44 M/total) more than q itself, whatever is sent.
        Weights need not sum to 1. Raises InputError unless they are finite and >= 0, one is > 0, and M < total.

        >>> ArithmeticCode.quantised([0.5, 0.25, 0.25, 0.0], total=1000).counts
        array([499, 250, 250,   0])
        """
        weights = _checked(_array(masses))
        used = (weights > 0).astype(bool)
        leaves = int(used.sum())
        if not leaves < total <= LARGEST_TOTAL:
            raise InputError(
                f"{leaves} leaves on a total of {total}",
                where="arithmetic code",
                mend=f"choose a total from {leaves + 1} to {LARGEST_TOTAL}",
            )
        if not leaves:
            raise InputError("every mass is zero", where="arithmetic code", mend="at least one has to be positive")
        share = np.asarray(weights / weights.max(), dtype=np.float64)  # whole numbers of any size too
        counts = used + np.floor(share / share.sum() * (total - leaves)).astype(np.int64)
        return cls.of(counts)

    @property
    def counts(self) -> Integers:
        """The counts c(x), shape (M,)."""
        return np.diff(self.starts)

    @property
    def total(self) -> int:
        """The sum of the counts."""
        return int(self.starts[-1])

    @property
    def rounding(self) -> float:
        """What integer division can lose, in bits a symbol: -log2(1 - total / 2^56)."""
        return -math.log1p(-self.total / 2.0**RANGE_BITS) / math.log(2)

    def ideal_bits(self, leaves: ArrayLike) -> float:
        """``-sum_i log2 q(x_i)`` of a stream, in bits; inf where a leaf has no mass. Shape (n,) -> float."""
        stream = self._stream(leaves)
        sent = np.bincount(stream, minlength=self.starts.size - 1)
        counts = self.counts
        if (counts[sent > 0] == 0).any():
            return math.inf
        occurring = sent > 0
        return float(sent[occurring] @ (math.log2(self.total) - np.log2(counts[occurring])))

    def encode(self, leaves: ArrayLike) -> Bits:
        """The bits of a stream of leaves, shape (n,). Raises InputError for a leaf that is none or has no mass."""
        stream = self._stream(leaves)
        counts = self.counts
        if not stream.size:
            return Bits.of("")
        missing = counts[stream] == 0
        if missing.any():
            first = int(np.argmax(missing))
            raise InputError(
                f"leaf {stream[first]} has no mass", where=f"encode, symbol {first}", mend="use a model that has it"
            )
        # a symbol costs at most log2(total) bits and what rounding loses
        most = 16 + stream.size * (self.total.bit_length() // 8 + 1)
        if stream.size > 1 << 16:
            most = 16 + int(self.ideal_bits(stream) / 8 * (1 + 1e-9) + stream.size * self.rounding)
        out, written, low, span = compiled(_narrow)(stream, self.starts, np.zeros(most, dtype=np.uint8))
        last, size = _closing(int(low), int(span))
        byte = written - 1
        while last >> 64:  # the carry goes into the bytes that are written
            out[byte], last = (out[byte] + 1, last - (1 << 64)) if out[byte] < 255 else (0, last)
            byte -= 1
        out[written : written + 8] = np.frombuffer(last.to_bytes(8, "big"), dtype=np.uint8)
        return Bits.of(out, 8 * written + size)

    @checked(bits=an(Bits), count=integer(least=0))
    def decode(self, bits: Bits, count: int) -> Integers:
        """The ``count`` leaves of a stream. Raises InputError for bits that no stream of so many leaves has."""
        if bits.size > 8 * bits.data.size:
            raise InputError(
                f"{bits.size} bits in {bits.data.size} bytes", where="decode", mend="get all of the stream"
            )
        least = math.log2(self.total / int(self.counts.max()))
        if count * least > bits.size + 1:
            raise _not_encoded(bits, count)
        if not count:
            if bits.size:
                raise _not_encoded(bits, count)
            return np.zeros(0, dtype=np.int64)
        data = np.concatenate([bits.data, np.zeros(16, dtype=np.uint8)])
        decoded, taken, low, span, ahead = compiled(_follow)(data, count, self.starts, *self._finder())
        # a stream has one form only: the one that the encoder ends with
        last, size = _closing(int(low), int(span)) if taken >= 0 else (0, 0)
        if taken + size != bits.size or last - int(low) != int(ahead):
            raise _not_encoded(bits, count)
        return np.asarray(decoded)

    def _finder(self) -> tuple[Integers, int]:
        """For each bucket of 2^shift units of the total, the leaf that its first unit belongs to."""
        buckets = min(1 << 16, max(4 * self.starts.size, 16))
        shift = max(self.total.bit_length() - buckets.bit_length() + 1, 0)
        firsts = np.arange((self.total >> shift) + 1, dtype=np.int64) << shift
        return np.searchsorted(self.starts, firsts, side="right") - 1, shift

    def _stream(self, leaves: ArrayLike) -> Integers:
        stream = as_array(leaves, "leaves", "encode")
        if stream.size == 0:
            return np.zeros(0, dtype=np.int64)
        if stream.ndim != 1 or stream.dtype.kind not in "iu":
            raise InputError(
                f"{stream.dtype} of shape {stream.shape}",
                where="arithmetic code",
                mend="pass a one-dimensional array of leaves",
            )
        if stream.min() < 0 or stream.max() >= self.starts.size - 1:
            raise InputError(
                f"leaves from {stream.min()} to {stream.max()}",
                where="arithmetic code",
                mend=f"leaves are 0 to {self.starts.size - 2}",
            )
        return stream.astype(np.int64, copy=False)


def _not_encoded(bits: Bits, count: int) -> InputError:
    return InputError(
        f"{bits.size} bits that no stream of {count} leaves has",
        where="decode",
        mend="the stream is cut or damaged, or the model is another",
    )


def _closing(low: int, span: int) -> tuple[int, int]:
    """The shortest word all of whose continuations lie in ``[low, low + span)``: in units of 2^-64, and its bits.

    It has less than 2 - log2(span / 2^64) bits, for a grid of half the span or finer has a whole cell inside.
    """
    size = max(64 - span.bit_length(), 0)
    while True:
        grain = 1 << (64 - size)
        last = -(-low // grain) * grain
        if last + grain <= low + span:
            return last, size
        size += 1


def _narrow(stream: Integers, starts: Integers, out: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, Any, Any]:
    """(bytes, how many are written, low, span) after a stream: the interval narrows to a leaf's share each time.

    It is [low, low + span) in units of 2^-64, what the sure bytes say taken off; they are written once span < 2^56.
    """
    total = np.uint64(starts[-1])
    low, span = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)
    written = 0
    for i in range(stream.size):
        unit = span // total
        step = unit * np.uint64(starts[stream[i]])
        span = unit * np.uint64(starts[stream[i] + 1] - starts[stream[i]])
        low += step
        if low < step:  # carry into the bytes that are written
            j = written - 1
            while out[j] == 255:
                out[j] = 0
                j -= 1
            out[j] += 1
        while span < np.uint64(1 << 56):
            out[written] = low >> np.uint64(56)
            written += 1
            low <<= np.uint64(8)
            span <<= np.uint64(8)
    return out, written, low, span


def _follow(
    data: NDArray[np.uint8], count: int, starts: Integers, finder: Integers, shift: int
) -> tuple[Integers, int, Any, Any, Any]:
    """(leaves, sure bits read, low, span, the stream minus low); -1 sure bits where the data are no stream."""
    total = np.uint64(starts[-1])
    out = np.empty(count, dtype=np.int64)
    low, span, ahead = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)  # ahead: the stream minus low
    for byte in range(8):
        ahead = ahead << np.uint64(8) | np.uint64(data[byte])
    read, taken = 8, 0
    for i in range(count):
        unit = span // total
        place = ahead // unit
        if place >= total:
            return out, -1, low, span, ahead
        leaf = finder[place >> np.uint64(shift)]
        if np.uint64(starts[leaf + 1]) <= place:
            below, above = leaf + 1, starts.size - 1  # the leaf's end lies beyond place
            while below < above:
                middle = (below + above) // 2
                if np.uint64(starts[middle + 1]) <= place:
                    below = middle + 1
                else:
                    above = middle
            leaf = below
        out[i] = leaf
        step = unit * np.uint64(starts[leaf])
        low += step
        ahead -= step
        span = unit * np.uint64(starts[leaf + 1] - starts[leaf])
        while span < np.uint64(1 << 56):
            low <<= np.uint64(8)
            span <<= np.uint64(8)
            if read >= data.size:
                return out, -1, low, span, ahead
            ahead = ahead << np.uint64(8) | np.uint64(data[read])
            read += 1
            taken += 8
    return out, taken, low, span, ahead
