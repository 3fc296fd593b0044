"""The rate of responses given their prompts: bits per byte and per token of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elastomath.units import NATS_PER_BIT

from .chats import joined
from .examples import Example, fill
from .finetune import code_lengths
from .model import LoadedModel
from .rates import bootstrap_se
from .sequences import Sequences, encode_examples

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ResponseRate:
    """The rate of responses given their prompts, pooled over examples.

    bits_per_byte, bits_per_byte_se     -sum log2 p(token | prompt, tokens before) / bytes of the text, and its standard
                                        error from resampling the examples; None where there are fewer than two
    bits_per_token, bits_per_token_se   the same bits per token of the text
    bytes, tokens, examples             of the counted text, the space after a prompt included
    example_bits, example_bytes, example_tokens   per example, shape (examples,)
    """

    bits_per_byte: float
    bits_per_byte_se: float | None
    bits_per_token: float
    bits_per_token_se: float | None
    bytes: int
    tokens: int
    examples: int
    example_bits: Array
    example_bytes: NDArray[np.int64]
    example_tokens: NDArray[np.int64]


def response_rate(
    loaded: LoadedModel,
    examples: Sequence[Example],
    max_tokens: int,
    template: str | None = None,
    *,
    autocast: torch.dtype | None = None,
    seed: int = 0,
) -> ResponseRate:
    """``-sum log2 p(text | prompt)`` over bytes and over tokens of the texts: gamma of the responses (section 1).

    template  puts each prompt into words, as ``"USER: {prompt} ASSISTANT:"``; a template without ``{prompt}`` is the
              prompt of all. None: the prompts as they are
    autocast  bfloat16 for the forward passes, or None; seed: of the resampling

    A text is cut to ``max_tokens`` tokens, and its bytes with it. Prompts are conditioned on and not counted.
    Raises InputError as `sequences.encode_examples` does.
    """
    if template is not None:
        examples = [Example(fill(template, example.prompt), example.text) for example in examples]
    data = encode_examples(loaded.tokenizer, examples, max_tokens, context=loaded.context)
    sizes = counted_bytes(loaded.tokenizer, examples, data)
    lengths = code_lengths(loaded.model, data, autocast=autocast)
    bits, tokens = lengths.nats / NATS_PER_BIT, lengths.tokens.astype(np.int64)
    total = math.fsum(bits)
    return ResponseRate(
        total / int(sizes.sum()),
        bootstrap_se(bits, sizes, seed=seed),
        total / int(tokens.sum()),
        bootstrap_se(bits, tokens, seed=seed),
        int(sizes.sum()),
        int(tokens.sum()),
        len(examples),
        bits,
        sizes,
        tokens,
    )


def counted_bytes(tokenizer: Any, examples: Sequence[Example], data: Sequences) -> NDArray[np.int64]:
    """UTF-8 bytes of the characters that the counted tokens of each sequence of `encode_examples` spell, shape (n,).

    A character of which some token is left counts as a whole.
    """
    texts = [joined(example.prompt, example.text) for example in examples]
    spans = bool(getattr(tokenizer, "is_fast", False))
    coded = tokenizer(texts, add_special_tokens=False, verbose=False, return_offsets_mapping=spans)
    sizes = []
    for row, (text, ids) in enumerate(zip(texts, coded["input_ids"], strict=True)):
        count = int(data.length[row] - data.first[row])
        if count == len(ids):
            spelled = text
        elif spans:
            spelled = text[: coded["offset_mapping"][row][count - 1][1]]
        else:
            spelled = tokenizer.decode(ids[:count])
        sizes.append(len(spelled.encode("utf-8", "replace")))
    return np.array(sizes, dtype=np.int64)
