"""What turns one string of bytes into another that is nearly the same: copies, skips and insertions."""

from __future__ import annotations

import zlib

import numpy as np

from elastomath.errors import InputError

ANCHOR = 8
"""Bytes that have to agree before two strings count as being in step again."""
REACHES = (32, 256, 4096)
"""How far, in bytes, a step that was lost is looked for, nearest first."""


def difference(source: bytes, target: bytes) -> bytes:
    """A patch with ``mend(source, patch) == target``; empty where the two are equal.

    It is a deflated list of (copy, skip, insert): copy so many bytes of the source, skip so many, insert these; what
    is left of the source is copied at the end. Where the two fall out of step, the shortest way back to `ANCHOR`
    equal bytes within `REACHES` is taken; where there is none, the rest is inserted. The patch is always right, and
    short where the two differ in few places; it is not the shortest one.

    >>> difference(b"abc", b"abc")
    b''
    >>> mend(b"a slow film", difference(b"a slow film", b"A slow \\xff film")) == b"A slow \\xff film"
    True
    """
    if source == target:
        return b""
    out = bytearray()
    at, to = 0, 0
    while True:
        same = _agreement(source, at, target, to)
        if at + same == len(source) and to + same == len(target):
            break
        skip, insert = _back_in_step(source, at + same, target, to + same)
        for number in (same, skip, insert):
            out += varint(number)
        begin = to + same
        out += target[begin : begin + insert]
        at, to = at + same + skip, begin + insert
    return zlib.compress(bytes(out), 9)


def mend(source: bytes, patch: bytes, most: int | None = None) -> bytes:
    """The target of `difference`, of at most ``most`` bytes. Raises InputError for a patch that does not fit.

    >>> mend(b"abc", b"")
    b'abc'
    """
    if not patch:
        return source
    try:
        limit = 0 if most is None else 4 * (most + len(source)) + (1 << 16)  # an edit is for some bytes, and takes few
        inflated = zlib.decompressobj()
        edits = memoryview(inflated.decompress(patch, limit))
        if not inflated.eof or inflated.unused_data:
            raise zlib.error("it has no end")
    except zlib.error as error:
        raise InputError("the corrections cannot be read", where="patch", mend="get the file again") from error
    out = bytearray()
    at, place = 0, 0
    while place < len(edits):
        copy, place = read_varint(edits, place)
        skip, place = read_varint(edits, place)
        insert, place = read_varint(edits, place)
        large = most is not None and len(out) + copy + insert > most
        if at + copy + skip > len(source) or place + insert > len(edits) or large:
            raise InputError("the corrections do not fit the text", where="patch", mend="get the file again")
        out += source[at : at + copy]
        out += edits[place : place + insert]
        at, place = at + copy + skip, place + insert
    return bytes(out) + source[at:]


def varint(number: int) -> bytes:
    """A whole number >= 0 in groups of seven bits, low ones first, a set high bit meaning that more follow.

    >>> varint(300).hex(), read_varint(varint(300), 0)
    ('ac02', (300, 2))
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def read_varint(data: bytes | memoryview, place: int) -> tuple[int, int]:
    """The number at ``place`` and the place after it. Raises InputError where the data end first."""
    number = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise InputError("a number has no end", where="coded file", mend="get the file again")
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def _agreement(a: bytes, at: int, b: bytes, to: int) -> int:
    """The length of the common beginning of a[at:] and b[to:], compared in blocks."""
    done, most = 0, min(len(a) - at, len(b) - to)
    block = 64
    while done < most:
        size = min(block, most - done)
        left = np.frombuffer(a, np.uint8, size, at + done)
        right = np.frombuffer(b, np.uint8, size, to + done)
        differ = left != right
        if differ.any():
            return done + int(differ.argmax())
        done, block = done + size, min(2 * block, 1 << 20)
    return most


def _back_in_step(a: bytes, at: int, b: bytes, to: int) -> tuple[int, int]:
    """(skip, insert), the smallest sum after which a and b agree for `ANCHOR` bytes; all that is left where none does."""
    for reach in REACHES:
        known: dict[bytes, int] = {}
        for skip in range(min(reach, len(a) - at - ANCHOR + 1)):
            known.setdefault(a[at + skip : at + skip + ANCHOR], skip)
        aligned = (
            (known[key], insert)
            for insert in range(min(reach, len(b) - to - ANCHOR + 1))
            if (key := b[to + insert : to + insert + ANCHOR]) in known
        )
        best = min(aligned, key=sum, default=None)
        if best is not None:
            return best
    return len(a) - at, len(b) - to
