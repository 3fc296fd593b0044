"""Arithmetic coding with a language model: tokens to a number of bits that is the model's own rate, and back.

The invariant: encoder and decoder run one and the same function (`_run`), which feeds the model the same tensors in
the same order: blocks of a group side by side, one token a step, a cache for what came before. Whatever a step
computes depends on the header (window, rows, threads, dtype) and on tokens of earlier steps only. So the
probabilities agree bit for bit wherever the same software runs on the same kind of processor; a checksum of the first
steps tells, after a second or two, where it does not.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elastomath.errors import InputError, with_extra
from elastomath.progress import Meter

from ..models.model import LoadedModel, Reader, check_tokens, memory_bytes, outputs_of

if TYPE_CHECKING:
    import torch

Index = NDArray[np.int64]
WINDOW = 256
"""Tokens a block unless the caller says: a step costs more the more it looks back at, and its weights are read once."""
ROWS = 128
"""At most so many blocks side by side, fewer where their caches would take more than `CACHE_BYTES`."""
CACHE_BYTES = 1 << 31
SLICE_BYTES = 1 << 26
"""Memory for float64 probabilities: rows of logits are normalised in slices of this many bytes."""
FLOOR = -60.0
"""Natural log-probabilities are raised to this, so that no part of the vocabulary has mass zero."""
PROBED = 8
"""Steps of the first group whose distributions are in the checksum."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a sequence of tokens is cut: blocks of ``window``, each prefixed with BOS or EOS, ``rows`` of them side by side.

    The last block holds what is left. A block is a document of its own in the convention of `empirical.measures.rates`, so the
    rate of the blocks is ``token_log_probs`` of ``prefix + block``.

    >>> Blocks(10, 4, 2).lengths, Blocks(10, 4, 2).groups
    ([4, 4, 2], [(0, 2), (2, 3)])
    """

    tokens: int
    window: int
    rows: int

    @property
    def lengths(self) -> list[int]:
        """Tokens in each block, in order."""
        full, left = divmod(self.tokens, self.window)
        return [self.window] * full + [left] * (left > 0)

    @property
    def groups(self) -> list[tuple[int, int]]:
        """Ranges of blocks that run side by side."""
        count = len(self.lengths)
        return [(start, min(start + self.rows, count)) for start in range(0, count, self.rows)]


def plan_blocks(loaded: LoadedModel, tokens: int, window: int | None = None, rows: int | None = None) -> Blocks:
    """`Blocks` for so many tokens: groups of nearly the same size, with caches that fit `CACHE_BYTES`.

    Raises InputError for a window that the model does not take.
    """
    size = min(WINDOW, loaded.context) if window is None else window
    if not 1 <= size <= loaded.context:
        raise InputError(
            f"window {size}", where="encode", mend=f"choose from 1 to the model's context, {loaded.context}"
        )
    most = rows or max(1, min(ROWS, CACHE_BYTES // memory_bytes(loaded, size)))
    count = max(1, -(-tokens // size))
    groups = -(-count // most)
    return Blocks(tokens, size, -(-count // groups))


def encode_tokens(loaded: LoadedModel, tokens: Index, blocks: Blocks) -> tuple[bytes, int]:
    """Tokens, shape (n,), as a range coder's bytes, and the checksum of the first distributions.

    A token y is sent as (y div R, y mod R), R about the square root of the vocabulary: first its part of the
    vocabulary by the part's mass, then its place in it. In the coder's 24-bit fixed point this costs about R 2^-23
    bits a token more than the model's -log2 p, where the whole vocabulary at once would cost V 2^-24.
    """
    check_tokens(loaded.model, int(np.max(tokens, initial=0)), "encode", loaded.tokenizer)
    writer = _Writer(np.asarray(tokens, dtype=np.int64), blocks)
    probe = _run(loaded, blocks, writer, "encoding")
    return writer.encoder.get_compressed().astype("<u4").tobytes(), probe


def decode_tokens(loaded: LoadedModel, data: bytes, blocks: Blocks, probe: int | None = None) -> Index:
    """The tokens of `encode_tokens`, shape (n,). Raises InputError where the first distributions are not the encoder's."""
    if len(data) % 4:
        raise InputError(f"{len(data)} bytes of code are not whole words", where="decode", mend="get the file again")
    reader = _Reader(np.frombuffer(data, dtype="<u4").astype(np.uint32), blocks)
    _run(loaded, blocks, reader, "decoding", probe)
    return reader.tokens


class _Writer:
    def __init__(self, tokens: Index, blocks: Blocks) -> None:
        constriction = _constriction()
        self.encoder = constriction.stream.queue.RangeEncoder()
        self.family = constriction.stream.model.Categorical(perfect=False)
        self.tokens, self.blocks, self.radix = tokens, blocks, 0

    def _wanted(self, step: int, first: int, rows: int) -> Index:
        return self.tokens[first * self.blocks.window + step :: self.blocks.window][:rows]

    def _put(self, symbols: Index, masses: NDArray[np.float64]) -> Index:
        self.encoder.encode(symbols.astype(np.int32), self.family, masses)
        return symbols

    def outer(self, step: int, first: int, masses: NDArray[np.float64]) -> Index:
        return self._put(self._wanted(step, first, len(masses)) // self.radix, masses)

    def inner(self, step: int, first: int, masses: NDArray[np.float64]) -> Index:
        return self._put(self._wanted(step, first, len(masses)) % self.radix, masses)


class _Reader:
    def __init__(self, words: NDArray[np.uint32], blocks: Blocks) -> None:
        constriction = _constriction()
        self.decoder = constriction.stream.queue.RangeDecoder(words)
        self.family = constriction.stream.model.Categorical(perfect=False)
        self.tokens = np.zeros(blocks.tokens, dtype=np.int64)
        self.blocks, self.radix = blocks, 0

    def _get(self, masses: NDArray[np.float64]) -> Index:
        try:
            return np.asarray(self.decoder.decode(self.family, masses), dtype=np.int64)
        except (AssertionError, ValueError) as error:
            raise _out_of_step() from error

    def outer(self, step: int, first: int, masses: NDArray[np.float64]) -> Index:
        part = self._get(masses)
        self._place(step, first, len(masses))[:] = part * self.radix
        return part

    def inner(self, step: int, first: int, masses: NDArray[np.float64]) -> Index:
        rest = self._get(masses)
        self._place(step, first, len(masses))[:] += rest
        return rest

    def _place(self, step: int, first: int, rows: int) -> Index:
        return self.tokens[first * self.blocks.window + step :: self.blocks.window][:rows]


def _run(loaded: LoadedModel, blocks: Blocks, coder: Any, what: str, probe: int | None = None) -> int:
    """Lead ``coder`` through every block, and return the checksum; the one computation of encoder and decoder."""
    import torch

    device = next(loaded.model.parameters()).device
    vocabulary = outputs_of(loaded.model)
    coder.radix = radix = math.isqrt(vocabulary - 1) + 1
    lengths = np.array(blocks.lengths)
    meter = Meter(blocks.tokens, what)
    checksum, training = 0, loaded.model.training
    loaded.model.eval()
    try:
        with torch.inference_mode():
            for group, (first, last) in enumerate(blocks.groups):
                sizes = lengths[first:last]
                feed = torch.full((last - first, 1), loaded.prefix, dtype=torch.int64, device=device)
                read = Reader(loaded.model)
                for step in range(int(sizes.max())):
                    logits, live = read(feed), int((sizes > step).sum())
                    outer = _part_masses(logits, radix)
                    if group == 0 and step < PROBED:
                        checksum = zlib.crc32(outer.tobytes(), checksum)
                    part = coder.outer(step, first, outer[:live])
                    rest = coder.inner(step, first, _masses_within(logits[:live], part, radix))
                    feed = torch.full_like(feed, loaded.prefix)
                    feed[:live, 0] = torch.from_numpy(part * radix + rest).clamp_(max=vocabulary - 1).to(device)
                    if (
                        group == 0
                        and probe is not None
                        and step == min(PROBED, int(sizes.max())) - 1
                        and checksum != probe
                    ):
                        raise _out_of_step()
                    meter.add(live)
    finally:
        loaded.model.train(training)
    return checksum


def _part_masses(logits: torch.Tensor, radix: int) -> NDArray[np.float64]:
    """Mass of each part of the vocabulary, shape (rows, parts), from logits (rows, vocabulary), in float64."""
    import torch

    vocabulary = logits.shape[-1]
    parts = -(-vocabulary // radix)
    out = []
    rows = max(1, SLICE_BYTES // (8 * vocabulary))
    for start in range(0, len(logits), rows):
        masses = torch.log_softmax(logits[start : start + rows], dim=-1, dtype=torch.float64).clamp_(min=FLOOR).exp_()
        masses = torch.nn.functional.pad(masses, (0, parts * radix - vocabulary))
        out.append(masses.view(-1, parts, radix).sum(-1).cpu().numpy())
    result = np.concatenate(out)
    if not np.isfinite(result).all():
        raise InputError(
            "the model's probabilities are not finite",
            where="encode",
            mend="choose another dtype, float32 for instance",
        )
    return result


def _masses_within(logits: torch.Tensor, part: Index, radix: int) -> NDArray[np.float64]:
    """Masses, up to a factor, of the tokens of one part a row, shape (rows, radix); 0 beyond the vocabulary's end."""
    import torch

    vocabulary = logits.shape[-1]
    columns = torch.from_numpy(part).to(logits.device)[:, None] * radix + torch.arange(radix, device=logits.device)
    chosen = logits.gather(1, columns.clamp(max=vocabulary - 1)).double()
    chosen = (chosen - chosen.amax(1, keepdim=True)).clamp_(min=FLOOR).exp_()
    return np.asarray(chosen.masked_fill_(columns >= vocabulary, 0.0).cpu().numpy())


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads for a while: how sums are split among them decides their last bits.

    Raises InputError where torch does not take that number.
    """
    import torch

    before = torch.get_num_threads()
    if count < 1:
        raise InputError(f"{count} threads", where="decode", mend="get the file again")
    torch.set_num_threads(count)
    try:
        if torch.get_num_threads() != count:
            raise InputError(f"cannot compute with {count} threads", where="decode", mend="decode where it was encoded")
        yield
    finally:
        torch.set_num_threads(before)


def _out_of_step() -> InputError:
    return InputError(
        "this machine computes other probabilities than the one that encoded",
        where="decode",
        mend="use the same versions of torch and transformers on the same kind of processor",
    )


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise InputError("coding needs constriction", where="installation", mend=with_extra("encode")) from error
    return constriction
