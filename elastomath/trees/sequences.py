"""Sequences of symbols: text, bits or integers, checked and cut into blocks a slab at a time (Def 3.3b)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Integers
from ..checks import checked, integer, whole
from ..errors import InputError

Symbols = NDArray[np.unsignedinteger[Any]]

ALPHABETS = {"bytes": 256, "bits": 2}
"""The number of symbols of each unit that has a name; other alphabets are of ``tokens``."""

LARGEST_ALPHABET = 1 << 32
LARGEST_DEPTH = 1 << 62

AT_ONCE = 1 << 27
"""Symbols that are held as blocks at a time; longer input is taken a slab after another."""


def checked_alphabet(alphabet: object) -> int:
    """The size of an alphabet, 2 to 2^32; InputError otherwise."""
    return whole(alphabet, "alphabet", "sequences", least=2, most=LARGEST_ALPHABET)


def checked_depth(depth: object, least: int = 1, most: int = LARGEST_DEPTH) -> int:
    """A number of layers, ``least`` to ``most`` (2^62); InputError otherwise."""
    return whole(depth, "depth", "token tree", least=least, most=most)


def symbol_type(alphabet: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds every symbol."""
    return np.min_scalar_type(alphabet - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Sequences over the symbols 0 ... alphabet - 1, one after another in one array, which may be a memory map.

    ``values``  the symbols; where ``packed``, bytes that hold eight bits each, the most significant first
    ``starts``, ``sizes``  (n,): sequence i is the symbols starts[i] ... starts[i] + sizes[i] - 1
    Symbols of arrays are checked when they are taken, not before, so that a map is read once.
    """

    values: NDArray[Any]
    starts: Integers
    sizes: Integers
    alphabet: int
    packed: bool = False
    where: str = "sequences"

    @classmethod
    @checked(alphabet=integer(least=2, most=256))
    def of_text(cls, documents: Sequence[str | bytes], alphabet: int = 256) -> Sequences:
        """Documents as bytes (text in UTF-8), or over the alphabet of 2 as bits, most significant first.

        Raises InputError for what is no list, for a document that is no text, and for text without a UTF-8 form.
        """
        if isinstance(documents, str | bytes | bytearray):
            raise InputError("one text in place of a list", where="token tree", mend="pass a list of documents")
        parts = [_encoded(document, index) for index, document in enumerate(_listed(documents))]
        data = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype=np.uint8)
        sizes = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)) * (8 if alphabet == 2 else 1)
        return cls(data, np.cumsum(sizes) - sizes, sizes, alphabet, packed=alphabet == 2)

    @classmethod
    def of_integers(cls, sequences: Any, alphabet: int, offsets: ArrayLike | None = None) -> Sequences:
        """Integer sequences: a 2-D array (a row each), a list of 1-D arrays or lists, or flat ``values`` and offsets.

        With ``offsets`` (n + 1 integers from 0 to the number of values, never falling) sequence i is
        ``values[offsets[i]:offsets[i + 1]]``; a 1-D array without offsets is one sequence.
        Raises InputError for floats, strings, objects and masked entries, for symbols outside the alphabet, for arrays
        of other shapes and for offsets that do not fit.
        """
        size = checked_alphabet(alphabet)
        if isinstance(sequences, list | tuple) and offsets is None:
            return cls._of_list(sequences, size)
        values = _integral(sequences, "sequences")
        if offsets is not None:
            bounds = _offsets(offsets, values)
            return cls(values, bounds[:-1], np.diff(bounds), size)
        rows = _rows(values)
        sizes = np.full(len(rows), rows.shape[1], dtype=np.int64)
        return cls(rows.reshape(-1), np.arange(len(rows)) * rows.shape[1], sizes, size)

    @classmethod
    def parts(
        cls, sequences: Any, alphabet: int, offsets: ArrayLike | None = None, at_once: int = AT_ONCE
    ) -> Iterator[Sequences]:
        """The sequences of `of_integers`, in order, some at a time: starts and sizes take no more than ``at_once`` bytes.

        So neither the symbols nor the offsets of a memory map are read as a whole.
        """
        number = max(at_once // 64, 1)
        if offsets is not None:
            values, bounds = _integral(sequences, "sequences"), _integral(offsets, "offsets")
            _fitting(values, bounds)
            for row in range(0, max(len(bounds) - 1, 1), number):
                some = _rising(bounds[row : row + number + 1], len(values))
                where = f"sequences from {row} on" if row else "sequences"
                yield cls(values, some[:-1], np.diff(some), alphabet, where=where)
        elif isinstance(sequences, list | tuple):
            yield cls._of_list(sequences, alphabet)
        else:
            rows = _rows(_integral(sequences, "sequences"))
            number = min(number, max(at_once // max(rows.shape[1] * rows.itemsize, 1), 1))
            for row in range(0, len(rows), number):
                some = rows[row : row + number]
                sizes = np.full(len(some), rows.shape[1], dtype=np.int64)
                where = f"sequences from {row} on" if row else "sequences"
                yield cls(some.reshape(-1), np.arange(len(some)) * rows.shape[1], sizes, alphabet, where=where)

    @classmethod
    def _of_list(cls, sequences: Sequence[Any], alphabet: int) -> Sequences:
        if sequences and isinstance(sequences[0], int | float | np.number):
            raise InputError("one sequence in place of a list", where="sequences", mend="pass a list of sequences")
        kind, rows = symbol_type(alphabet), []
        for index, row in enumerate(sequences):
            where = f"sequence {index}"
            values = _integral(row, where)
            if values.ndim != 1:
                raise InputError(
                    f"symbols have shape {values.shape}", where=where, mend="each sequence has one dimension"
                )
            _in_alphabet(values, alphabet, where)
            rows.append(values.astype(kind))
        sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        joined = np.concatenate(rows) if rows else np.zeros(0, dtype=kind)
        return cls(joined, np.cumsum(sizes) - sizes, sizes, alphabet)

    def first(self, depth: int) -> Sequences:
        """The first ``depth`` symbols of each sequence."""
        return replace(self, sizes=np.minimum(self.sizes, depth))

    def slabs(self, depth: int, at_once: int = AT_ONCE) -> Iterator[tuple[Symbols, Integers]]:
        """``(symbols one after another, size of each piece)``, at most about ``at_once`` symbols of blocks at a time.

        Sequences are cut into pieces at multiples of ``depth``, so that the blocks of the pieces are those of the
        sequences. A single block is never cut: a slab holds at least one.
        """
        starts, sizes, blocks = self.starts, self.sizes, -(-self.sizes // depth)
        width = min(depth, int(sizes.max(initial=1)))
        if int(blocks.sum()) * width <= at_once:
            yield self._taken(starts, sizes), sizes
            return
        longest = min(max(at_once // width, 1) * depth, LARGEST_DEPTH)  # no sequence is as long
        pieces = np.maximum(-(-sizes // longest), 1)
        within = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(starts, pieces) + longest * within
        sizes = np.minimum(np.repeat(sizes, pieces) - longest * within, longest)
        filled = np.cumsum(-(-sizes // depth)) * width
        edges = np.searchsorted(filled, np.arange(at_once, int(filled[-1]), at_once), side="right")
        bounds = np.unique(np.concatenate([[0], edges, [len(sizes)]]))
        for low, high in itertools.pairwise(bounds.tolist()):
            yield self._taken(starts[low:high], sizes[low:high]), sizes[low:high]

    def _taken(self, starts: Integers, sizes: Integers) -> Symbols:
        """The symbols of some pieces, one after another, as the smallest type; checked."""
        if not sizes.sum():
            return np.zeros(0, dtype=symbol_type(self.alphabet))
        low, total = int(starts[0]), int(sizes.sum())
        places: Integers | None = None
        if np.array_equal(starts - low, np.cumsum(sizes) - sizes):  # neighbours: a slice
            if self.packed:
                return np.unpackbits(self.values[low // 8 : -(-(low + total) // 8)])[low % 8 : low % 8 + total]
            part = self.values[low : low + total]
        else:
            places = np.arange(total) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
            if self.packed:
                return np.asarray((self.values[places >> 3] >> (7 - (places & 7)).astype(np.uint8)) & np.uint8(1))
            part = self.values[places]
        _in_alphabet(part, self.alphabet, self.where, low if places is None else places)
        return np.asarray(part.astype(symbol_type(self.alphabet), copy=False))


def blocks(symbols: Symbols, sizes: Integers, depth: int) -> tuple[Symbols, Symbols, Integers]:
    """Sequences cut into blocks (Def 3.3b): ``(full (B, depth), short (E, width) padded with 0, their sizes (E,))``."""
    full, rest = np.divmod(sizes, depth)
    if not rest.any():
        return symbols.reshape(-1, depth), symbols[:0].reshape(0, 0), rest[:0]
    width = int(rest.max())
    in_full = np.repeat(np.tile([True, False], len(sizes)), np.column_stack([full * depth, rest]).ravel())
    body = symbols[in_full].reshape(-1, depth) if full.any() else symbols[:0].reshape(0, 0)
    rest = rest[rest > 0]
    short = np.zeros((len(rest), width), dtype=symbols.dtype)
    short[np.arange(width) < rest[:, None]] = symbols[~in_full]
    return body, short, rest


def _listed(documents: Any) -> list[Any]:
    try:
        if isinstance(documents, dict | set):
            raise TypeError("no list")
        return list(documents)
    except TypeError:
        raise InputError(
            f"{type(documents).__name__} in place of documents", where="token tree", mend="pass a list of documents"
        ) from None


def _encoded(document: Any, index: int) -> bytes:
    if isinstance(document, bytes):
        return document
    if not isinstance(document, str):
        raise InputError(
            f"a {type(document).__name__}, neither text nor bytes",
            where=f"document {index}",
            mend="pass integers through TokenTree.of_sequences",
        )
    try:
        return document.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"character {error.start} has no UTF-8 form (a lone surrogate)",
            where=f"document {index}",
            mend="mend the text, or pass its bytes",
        ) from error


def _integral(values: Any, where: str) -> NDArray[Any]:
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("symbols do not form an array", where=where, mend="pass integers") from error
    if np.ma.is_masked(array):
        raise InputError("symbols are masked", where=where, mend="pass sequences of their own lengths instead")
    if array.dtype.kind in "iub" or (array.size == 0 and array.dtype.kind == "f"):
        return array if array.size else array.astype(np.int64)
    what = f"symbols have type {array.dtype}"
    if array.dtype.kind == "f" and (lost := np.flatnonzero(~np.isfinite(array))).size:
        what = f"symbol {lost[0]} is {array.flat[lost[0]]}"
    raise InputError(what, where=where, mend="pass integers, 0 to the size of the alphabet less 1")


def _in_alphabet(values: NDArray[Any], alphabet: int, where: str, places: Integers | int = 0) -> None:
    if values.size and values.dtype.kind != "b":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= alphabet:
            wrong = low if low < 0 else high
            index = int(np.flatnonzero(values == wrong)[0])
            place = places + index if isinstance(places, int) else places[index]
            raise InputError(
                f"symbol {place} is {wrong}", where=where, mend=f"an alphabet of {alphabet} has 0 to {alphabet - 1}"
            )


def _rows(values: NDArray[Any]) -> NDArray[Any]:
    """A row for each sequence."""
    if values.ndim not in (1, 2):
        raise InputError(
            f"symbols have shape {values.shape}", where="sequences", mend="pass a row for each sequence, or a list"
        )
    return values if values.ndim == 2 else values[None, :]


def _offsets(offsets: ArrayLike, values: NDArray[Any]) -> Integers:
    bounds = _integral(offsets, "offsets")
    _fitting(values, bounds)
    return _rising(bounds, len(values))


def _fitting(values: NDArray[Any], bounds: NDArray[Any]) -> None:
    if values.ndim != 1 or bounds.ndim != 1 or not bounds.size:
        raise InputError(
            f"values of shape {values.shape} with offsets of shape {bounds.shape}",
            where="offsets",
            mend="both have one dimension, and n sequences have n + 1 offsets",
        )
    if bounds[0] != 0 or bounds[-1] != len(values):
        raise InputError(
            f"offsets from {bounds[0]} to {bounds[-1]} over {len(values)} values",
            where="offsets",
            mend="they begin at 0, never fall, and end at the number of values",
        )


def _rising(bounds: NDArray[Any], most: int) -> Integers:
    if (falls := np.flatnonzero(bounds[1:] < bounds[:-1])).size:
        low, high = bounds[falls[0]], bounds[falls[0] + 1]
        raise InputError(f"offsets fall from {low} to {high}", where="offsets", mend="they begin at 0 and never fall")
    if bounds[-1] > most:
        raise InputError(f"an offset of {bounds[-1]}", where="offsets", mend=f"there are {most} values")
    return bounds.astype(np.int64)
