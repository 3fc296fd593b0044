"""A file compressed by a language model: a short header, corrections for what tokens cannot say, and the code.

    magic "EMc", version 1
    flags      dtype (low 3 bits, place in `DTYPES`), device (2 bits, place in `PLACES`), 32 where a model name follows
    numbers    threads, window, rows, tokens, bytes of the original, bytes of the corrections (varints)
    digests    of the weights (8 bytes), the tokenizer (4), the original (16), the first distributions (4)
    name       of the model, and its revision (varint, UTF-8), unless the catalogue knows the weights by their digest
    body       the corrections (`empirical.coding.patch`), then the code (`empirical.coding.tokens`) in words of 4 bytes
    checksum   CRC-32 of all that is before it

The digests are the first bytes of SHA-256. The header takes 52 bytes for a model of the catalogue. The text is the
valid UTF-8 of the file; what is not, and what a normalising tokenizer changes, comes back through the corrections.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from elastomath.errors import InputError
from elastomath.foreign import TEXT_SHARE, bytes_of
from elastomath.memory import affordable
from elastomath.storage import check_place, whole_file

from ..fetch.catalog import CATALOG
from ..models.devices import DTYPES
from ..models.model import LoadedModel, memory_bytes
from .patch import difference, mend, read_varint, varint
from .tokens import Blocks, Index, decode_tokens, encode_tokens, plan_blocks, threads

MAGIC: Final = b"EMc\x01"
PLACES: Final = ("cpu", "cuda", "mps")
"""The kinds of device, in the order of the header's number."""
NAMED: Final = 32
DIGESTS: Final = (8, 4, 16, 4)
MOST_THREADS, MOST_WINDOW, MOST_ROWS, MOST_NAME = 1 << 10, 1 << 20, 1 << 16, 1 << 12
"""Ends of the numbers in a header: beyond them no encoder was."""
TOKENS_PER_BYTE = 16
"""Most tokens that a byte of the original may have: a normaliser that writes one sign as many has 11."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a coded file says of itself; see the module for the layout."""

    dtype: str
    place: str
    threads: int
    blocks: Blocks
    size: int
    weights: bytes
    tokenizer: bytes
    original: bytes
    probe: int
    model: str | None
    revision: str | None

    @property
    def model_name(self) -> str:
        """The name to load the model by: what was written, or the catalogue's for these weights. Raises InputError."""
        if self.model is not None:
            return self.model
        for name, item in CATALOG.items():
            if item.kind == "model" and item.sha256.startswith(self.weights.hex()):
                return name
        raise InputError(
            f"no model of the catalogue has the weights {self.weights.hex()}",
            where="coded file",
            mend="name the model with --model",
        )


@dataclass(frozen=True, slots=True)
class Coded:
    """A coded file in memory: its bytes, its tokens in blocks, and where the bytes went.

    ``len(data) = header + corrections + code`` bytes, the checksum counted with the header.
    """

    data: bytes
    tokens: Index
    blocks: Blocks
    header: int
    corrections: int
    code: int

    def sequences(self, prefix: int) -> list[Index]:
        """The blocks with their prefix, as `empirical.measures.rates.token_log_probs` takes them."""
        starts = range(0, self.tokens.size, self.blocks.window)
        return [np.concatenate([[prefix], self.tokens[start : start + self.blocks.window]]) for start in starts]


def encode_bytes(loaded: LoadedModel, data: bytes, window: int | None = None, rows: int | None = None) -> Coded:
    """Any bytes, compressed by the model: about ``-sum log2 p(token | its block so far)`` bits and a header.

    ``window``: tokens a block; ``rows``: blocks side by side (more is faster and takes more memory; the same bytes
    come back whatever it is). Bytes that are not text for the model are deflated instead.

    Raises InputError for a window beyond the model's context.
    """
    import torch

    text, tokens = _tokens(loaded, data)
    patch = difference(text, data)
    if len(patch) > len(data) // 2:  # no text: what the model would say is only a burden
        tokens, patch = tokens[:0], difference(b"", data)
    blocks = plan_blocks(loaded, int(tokens.size), window, rows)
    code, probe = encode_tokens(loaded, tokens, blocks) if tokens.size else (b"", 0)
    place = loaded.device.partition(":")[0]
    known = loaded.adapter is None and any(
        item.kind == "model" and item.sha256 == loaded.sha256 for item in CATALOG.values()
    )
    flags = DTYPES.index(loaded.dtype) | PLACES.index(place) << 3 | (0 if known else NAMED)
    count = torch.get_num_threads() if place == "cpu" else 1
    numbers = (count, blocks.window, blocks.rows, int(tokens.size), len(data), len(patch))
    head = MAGIC + bytes([flags]) + b"".join(varint(number) for number in numbers)
    head += weights_digest(loaded) + tokenizer_digest(loaded) + hashlib.sha256(data).digest()[:16]
    head += probe.to_bytes(4, "little")
    if not known:
        for word in (loaded.name, loaded.revision or ""):
            head += varint(len(word.encode())) + word.encode()
    whole = head + patch + code
    return Coded(whole + zlib.crc32(whole).to_bytes(4, "little"), tokens, blocks, len(head) + 4, len(patch), len(code))


def decode_bytes(loaded: LoadedModel, data: bytes, where: str = "coded file") -> bytes:
    """The bytes that `encode_bytes` was given.

    Raises InputError for a file that is truncated or altered, another model, tokenizer or dtype, and a machine that
    computes other probabilities.
    """
    header, patch, code = read_coded(data, where)
    check_model(header, loaded, where)
    blocks = header.blocks
    side_by_side = min(blocks.rows, max(1, -(-blocks.tokens // blocks.window)))
    affordable(side_by_side, memory_bytes(loaded, blocks.window), "the header", where, "blocks side by side")
    text = b""
    if header.blocks.tokens:
        if header.place == "cpu":
            with threads(header.threads):
                tokens = decode_tokens(loaded, code, header.blocks, header.probe)
        else:
            tokens = decode_tokens(loaded, code, header.blocks, header.probe)
        text = _text_of(loaded, tokens)
    restored = mend(text, patch, header.size)
    if len(restored) != header.size or hashlib.sha256(restored).digest()[:16] != header.original:
        raise InputError(
            "what was decoded is not the original: the probabilities were not the encoder's to the last bit",
            where=where,
            mend="decode on the machine that encoded, with the same versions of torch and transformers",
        )
    return restored


def read_coded(data: bytes, where: str = "coded file") -> tuple[Header, bytes, bytes]:
    """Header, corrections and code of a coded file. Raises InputError unless its checksum holds."""
    again = "get the file again"
    if not data.startswith(MAGIC[:3]):
        raise InputError("not a file that measure --encode wrote", where=where, mend="name the file that it wrote")
    if data[3:4] != MAGIC[3:]:
        raise InputError(
            f"version {data[3] if len(data) > 3 else 0} of the format", where=where, mend="use a newer elastomath"
        )
    if len(data) < 8 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise InputError("the coded file is truncated or altered", where=where, mend=again)
    try:
        return _parse(data[:-4])
    except (IndexError, OverflowError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("the header cannot be read", where=where, mend=again) from error


def _parse(data: bytes) -> tuple[Header, bytes, bytes]:
    flags, place = data[4], 5
    numbers = []
    for _ in range(6):
        number, place = read_varint(data, place)
        numbers.append(number)
    count, window, rows, tokens, size, patched = numbers
    digests = []
    for length in DIGESTS:
        digests.append(data[place : place + length])
        place += length
    words: list[str | None] = [None, None]
    if flags & NAMED:
        for index in range(2):
            length, place = read_varint(data, place)
            if length > MOST_NAME:
                raise ValueError("a name without end")
            words[index] = data[place : place + length].decode("utf-8") or None
            place += length
    bounds = ((count, MOST_THREADS), (window, MOST_WINDOW), (rows, MOST_ROWS))
    if any(not 1 <= number <= most for number, most in bounds) or place + patched > len(data):
        raise ValueError("numbers out of range")
    affordable(size, TEXT_SHARE, "the original", "coded file", "bytes")
    if tokens > TOKENS_PER_BYTE * (size + 4):
        raise ValueError("more tokens than bytes can have")
    header = Header(
        DTYPES[flags & 7],
        PLACES[flags >> 3 & 3],
        count,
        Blocks(tokens, window, rows),
        size,
        digests[0],
        digests[1],
        digests[2],
        int.from_bytes(digests[3], "little"),
        words[0],
        words[1],
    )
    return header, data[place : place + patched], data[place + patched :]


def check_model(header: Header, loaded: LoadedModel, where: str = "coded file") -> None:
    """Raise InputError unless the model is the encoder's: weights, tokenizer, dtype and kind of device."""
    mine = weights_digest(loaded)
    if mine != header.weights:
        raise InputError(
            f"encoded with another model: weights {header.weights.hex()}, while {loaded.name} has {mine.hex()}",
            where=where,
            mend="name the model that encoded with --model, and its adapter with --adapter",
        )
    if tokenizer_digest(loaded) != header.tokenizer:
        raise InputError("encoded with another tokenizer", where=where, mend="use the tokenizer that encoded")
    if loaded.dtype != header.dtype:
        raise InputError(
            f"encoded in {header.dtype}, not in {loaded.dtype}", where=where, mend=f"use --dtype {header.dtype}"
        )
    if loaded.device.partition(":")[0] != header.place:
        raise InputError(
            f"encoded on {header.place}, not on {loaded.device}", where=where, mend=f"use --device {header.place}"
        )
    if header.blocks.window > loaded.context:
        raise InputError(
            f"its window of {header.blocks.window} is longer than the context of {loaded.context}",
            where=where,
            mend="name the model that encoded with --model",
        )


def encode_file(
    loaded: LoadedModel, source: str | os.PathLike[str], out: str | os.PathLike[str], window: int | None = None
) -> dict[str, str | float]:
    """Write ``out``, the bytes of ``source`` compressed by the model, and measure the same blocks.

    ``{file, original_bytes, bytes, header_bytes, correction_bytes, code_bytes, tokens, window, rows, bits_per_byte,
    measured_bits_per_byte}``; the measured rate is ``-sum log2 p`` of the same blocks in one parallel pass, over the
    original bytes, and knows nothing of the coder. Whole or not at all; where it cannot be written is said first.
    """
    from elastomath.units import NATS_PER_BIT

    from ..measures.rates import token_log_probs

    data = bytes_of(source)
    if not data:
        raise InputError("there is nothing to encode", where=str(source), mend="give a file that is not empty")
    check_place(out)
    coded = encode_bytes(loaded, data, window)
    with whole_file(out) as aside:
        aside.write_bytes(coded.data)
    nats = token_log_probs(loaded, coded.sequences(loaded.prefix), what="measuring the blocks")
    measured = -sum(float(row.sum()) for row in nats) / NATS_PER_BIT
    return {
        "file": str(out),
        "original_bytes": len(data),
        "bytes": len(coded.data),
        "header_bytes": coded.header,
        "correction_bytes": coded.corrections,
        "code_bytes": coded.code,
        "tokens": int(coded.tokens.size),
        "window": coded.blocks.window,
        "rows": coded.blocks.rows,
        "bits_per_byte": 8 * len(coded.data) / len(data),
        "measured_bits_per_byte": measured / len(data),
    }


def decode_file(
    source: str | os.PathLike[str], out: str | os.PathLike[str], load: Callable[[Header], LoadedModel]
) -> dict[str, str | float]:
    """Write ``out``, the bytes that a coded file stands for; ``load`` brings the model that its header asks for."""
    data = bytes_of(source, mend="name the file that measure --encode wrote")
    header, _, _ = read_coded(data, str(source))
    check_place(out)
    loaded = load(header)
    restored = decode_bytes(loaded, data, str(source))
    with whole_file(out) as aside:
        aside.write_bytes(restored)
    return {
        "file": str(out),
        "bytes": len(restored),
        "coded_bytes": len(data),
        "sha256": hashlib.sha256(restored).hexdigest(),
        "model": loaded.name,
        "dtype": loaded.dtype,
    }


def weights_digest(loaded: LoadedModel) -> bytes:
    """8 bytes that stand for the weights: of their file's SHA-256, or of the hub's name and revision, and the adapter's."""
    own = hashlib.sha256(f"{loaded.name}@{loaded.revision}".encode()).digest()
    if loaded.sha256 is not None:
        own = bytes.fromhex(loaded.sha256)
    if loaded.adapter_sha256 is not None:
        own = hashlib.sha256(own + bytes.fromhex(loaded.adapter_sha256)).digest()
    return own[:8]


def tokenizer_digest(loaded: LoadedModel) -> bytes:
    """4 bytes that stand for the tokenizer: its rules as JSON, or its vocabulary where it has no such form."""
    backend = getattr(loaded.tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else json.dumps(loaded.tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(rules.encode("utf-8", "surrogatepass")).digest()[:4]


def _tokens(loaded: LoadedModel, data: bytes) -> tuple[bytes, Index]:
    """The text that tokens give back, in UTF-8, and the tokens of the valid UTF-8 in ``data``."""
    from ..measures.rates import encode

    text = data.decode("utf-8", errors="ignore")
    tokens = encode(loaded, [text])[0] if text else np.zeros(0, dtype=np.int64)
    return _text_of(loaded, tokens), tokens


def _text_of(loaded: LoadedModel, tokens: Index) -> bytes:
    if not tokens.size:
        return b""
    try:
        text = loaded.tokenizer.decode(tokens.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    except Exception as error:  # a tokenizer raises many kinds for a number that is no token
        raise InputError(
            "what was decoded is no sequence of tokens", where="decode", mend="decode where it was encoded"
        ) from error
    return str(text).encode("utf-8", errors="replace")
