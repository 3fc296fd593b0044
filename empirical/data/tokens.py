"""Token ids of texts, a part of them at a time: while it works a tokenizer holds some hundred bytes for each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elastomath.memory import affordable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PART = 1 << 20
"""Characters that are tokenised at once; one text is never cut, since tokens may lie across any border."""
BYTE_BYTES = 400
"""Memory that a text takes for a byte of its UTF-8 where each is a token and half of them are spaces: 330 bytes were seen, of a
tokenizer at work; a character of four bytes may be four tokens."""


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], where: str = "data") -> list[NDArray[np.int64]]:
    """The ids of each text, without special tokens that the tokenizer adds; shape (tokens,) each.

    The ids are those of one call of the tokenizer for all texts; the memory is that of the longest one, or of `PART` characters.
    Raises InputError for a text that takes more than the memory at hand.
    """
    longest = max((len(text.encode("utf-8", "surrogatepass")) for text in texts), default=0)
    affordable(longest, BYTE_BYTES, "the longest text", where, "bytes")
    return [
        np.asarray(row, dtype=np.int64)
        for part in _parts(texts)
        for row in tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
    ]


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in lists of at most `PART` characters or one text.

    >>> [len(part) for part in _parts(["a" * (PART - 1), "b", "c", "d" * (PART + 1), "e"])]
    [2, 1, 1, 1]
    """
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > PART:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part
