"""The rate of responses given their prompts: examples as token sequences, and bits per byte and per token of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elastomath.errors import InputError
from elastomath.units import NATS_PER_BIT

from .examples import Example, fill
from .finetune import Sequences, code_lengths
from .models import LoadedModel
from .rates import bootstrap_se

Array = NDArray[np.float64]


def encode_examples(
    tokenizer: Any, examples: Sequence[Example], max_tokens: int, *, gap: str = " ", context: int | None = None
) -> Sequences:
    """Each example as prefix (BOS or else EOS), prompt, then at most ``max_tokens`` tokens of text; the text is counted.

    The characters are ``prompt.rstrip() + gap + text.strip()``, the gap tokenised with the text; without a prompt
    there is no gap. For one prompt this is `finetune.encode`, token for token. A prompt is cut on its left where it and
    the text would be longer than ``context`` tokens; the prefix stays.

    Raises InputError for no examples, a text without a token, max_tokens < 1, and a context that the text alone fills.
    """
    return _encoded(tokenizer, examples, max_tokens, gap, context)[0]


def _encoded(
    tokenizer: Any, examples: Sequence[Example], max_tokens: int, gap: str, context: int | None
) -> tuple[Sequences, NDArray[np.int64]]:
    """The sequences, and the UTF-8 bytes of the characters that the counted tokens of each one spell, shape (n,)."""
    if not examples or max_tokens < 1:
        raise InputError(
            f"{len(examples)} examples, {max_tokens} tokens each", where="responses", mend="both have to be at least 1"
        )
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if prefix is None:
        raise InputError("the tokenizer has neither BOS nor EOS", where="responses", mend="set tokenizer.bos_token")
    heads = [example.prompt.rstrip() for example in examples]
    texts = [(gap if head else "") + example.text.strip() for head, example in zip(heads, examples, strict=True)]
    distinct = {head: index for index, head in enumerate(dict.fromkeys(heads))}
    head_ids = tokenizer(list(distinct), add_special_tokens=False, verbose=False)["input_ids"]
    spans = bool(getattr(tokenizer, "is_fast", False))
    coded = tokenizer(texts, add_special_tokens=False, verbose=False, return_offsets_mapping=spans)
    rows, first, sizes = [], [], []
    for index, (head, text, body) in enumerate(zip(heads, texts, coded["input_ids"], strict=True)):
        if not text.strip() or not body:
            raise InputError(f"example {index + 1} has no text", where="responses", mend="drop empty texts")
        kept = list(body[:max_tokens])
        before = list(head_ids[distinct[head]])
        if context is not None:
            room = context - 1 - len(kept)
            if room < 0:
                raise InputError(
                    f"{len(kept)} tokens of text and a prefix do not fit a context of {context}",
                    where=f"example {index + 1}",
                    mend=f"choose max_tokens of at most {context - 1}",
                )
            before = before[len(before) - min(room, len(before)) :]
        rows.append([prefix, *before, *kept])
        first.append(1 + len(before))
        if len(kept) == len(body):
            spelled = text
        elif spans:
            spelled = text[: coded["offset_mapping"][index][len(kept) - 1][1]]
        else:
            spelled = tokenizer.decode(kept)
        sizes.append(len(spelled.encode("utf-8", "replace")))
    length = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(length.max())), prefix)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
    return Sequences(tokens, torch.tensor(first), length), np.array(sizes, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ResponseRate:
    """The rate of responses given their prompts, pooled over examples.

    bits_per_byte, bits_per_byte_se     -sum log2 p(token | prompt, tokens before) / bytes of the text, and its standard
                                        error from resampling the examples; None where there are fewer than two
    bits_per_token, bits_per_token_se   the same bits per token of the text
    bytes, tokens, examples             of the counted text, the gap after a prompt included
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
    gap: str = " ",
    autocast: torch.dtype | None = None,
    seed: int = 0,
) -> ResponseRate:
    """``-sum log2 p(text | prompt)`` over bytes and over tokens of the texts: gamma of the responses (section 1).

    template  puts each prompt into words, as ``"USER: {prompt} ASSISTANT:"``; a template without ``{prompt}`` is the
              prompt of all. None: the prompts as they are
    autocast  bfloat16 for the forward passes, or None; seed: of the resampling

    A text is cut to ``max_tokens`` tokens, and its bytes with it. Prompts are conditioned on and not counted.
    Raises InputError as `encode_examples` does.
    """
    if template is not None:
        examples = [Example(fill(template, example.prompt), example.text) for example in examples]
    data, sizes = _encoded(loaded.tokenizer, examples, max_tokens, gap, loaded.context)
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
