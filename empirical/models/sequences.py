"""Token sequences whose prompt is not counted, and how a batch of them lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elastomath.errors import InputError

from ..data.chats import joined, prompt_ids, trimmed
from ..data.examples import Example
from ..data.tokens import token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sequences:
    """Token sequences with a prompt that is not counted: tokens (n, T) padded on the right, first target and length (n,)."""

    tokens: Tensor
    first: Tensor
    length: Tensor

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def __getitem__(self, rows: Sequence[int] | slice | NDArray[np.int64]) -> Sequences:
        index = rows if isinstance(rows, slice) else torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Sequences(self.tokens[index], self.first[index], self.length[index])

    @property
    def targets(self) -> Tensor:
        """The tokens that count, as a mask (n, T): those of the text, not the prefix, the prompt or the padding."""
        place = torch.arange(self.tokens.shape[1])
        return (place >= self.first[:, None]) & (place < self.length[:, None])

    @property
    def target_count(self) -> int:
        """How many tokens count, over all sequences."""
        return int((self.length - self.first).sum())

    def prompts(self) -> list[tuple[int, ...]]:
        """The tokens of each sequence's prompt behind the prefix, which tell whether two answer the same; empty where it has none."""
        return [tuple(row[1:first]) for row, first in zip(self.tokens.tolist(), self.first.tolist(), strict=True)]

    def ids(self, row: int) -> tuple[list[int], list[int]]:
        """The tokens of one sequence: what is not counted (prefix and prompt), and what is."""
        first, length = int(self.first[row]), int(self.length[row])
        whole: list[int] = self.tokens[row, :length].tolist()
        return whole[:first], whole[first:]


def from_ids(prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], padding: int) -> Sequences:
    """Sequences from token ids: each prompt (not counted) followed by its text (counted)."""
    rows = [torch.tensor([*prompt, *text], dtype=torch.long) for prompt, text in zip(prompts, texts, strict=True)]
    return Sequences(
        torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding),
        torch.tensor([len(prompt) for prompt in prompts]),
        torch.tensor([len(row) for row in rows]),
    )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], prompt: str, max_tokens: int) -> Sequences:
    """Prefix (BOS or else EOS), prompt, then at most ``max_tokens`` tokens of each text; only the text is counted.

    Raises InputError for an empty list, for a text without a token, and for max_tokens < 1.
    """
    return encode_examples(tokenizer, [Example(prompt, text) for text in texts], max_tokens)


def encode_examples(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    max_tokens: int,
    *,
    end: bool = False,
    context: int | None = None,
) -> Sequences:
    """`encode` with a prompt for each example: prefix, prompt, a space, then at most ``max_tokens`` tokens of the text.

    After a `chats.Chat` the text follows what the tokenizer's template writes, without prefix and space; a prompt that
    spells the prefix itself gets no second one (`chats.prompt_ids`).

    end       put EOS (counted) after each text that is not cut, for models that generate
    context   the most tokens that the model takes: a prompt is cut on the left where prompt and text do not fit

    Raises InputError for an empty list, a text without a token, max_tokens < 1, and a context without room for text.
    """
    if not examples or max_tokens < 1:
        raise InputError(
            f"{len(examples)} texts, {max_tokens} tokens each", where="encode", mend="both have to be at least 1"
        )
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if prefix is None:
        raise InputError("the tokenizer has neither BOS nor EOS", where="encode", mend="set tokenizer.bos_token")
    prompts = prompt_ids(tokenizer, [trimmed(example.prompt) for example in examples], prefix)
    words = [joined(example.prompt, example.text) for example in examples]
    bodies: list[list[int]] = [row.tolist() for row in token_ids(tokenizer, words, "encode")]
    if not all(bodies):
        empty = next(i for i, body in enumerate(bodies) if not body)
        raise InputError(f"text {empty} has no token", where="encode", mend="drop empty texts")
    if end and tokenizer.eos_token_id is not None:
        bodies = [[*body, tokenizer.eos_token_id] for body in bodies]
    bodies = [body[:max_tokens] for body in bodies]
    if context is not None:
        for row, body in enumerate(bodies):
            room = context - len(body)
            if room < 1:
                raise InputError(
                    f"text {row} has {len(body)} tokens, the model takes {context}",
                    where="encode",
                    mend="lower max_tokens",
                )
            if len(prompts[row]) > room:
                prompts[row] = [prompts[row][0], *prompts[row][len(prompts[row]) - room + 1 :]]
    return from_ids(prompts, bodies, prefix)


@dataclass(frozen=True)
class Layout:
    """A batch as a model reads it, without the last token of each sequence, which predicts nothing that counts.

    ids         (1, S) with the sequences end to end, or (n, W) padded on the right
    positions   (1, S), from 0 in each sequence: where they start again, attention starts again; None where padded
    attention   (n, W) mask of the padded form; None where end to end
    place       (m,) where in the flattened ids each counted token is predicted
    target      (m,) the counted tokens;  row (m,) the sequence of each, rising
    """

    ids: Tensor
    positions: Tensor | None
    attention: Tensor | None
    place: Tensor
    target: Tensor
    row: Tensor


def lay_out(data: Sequences, device: torch.device | str, *, packed: bool) -> Layout:
    """The batch end to end (``packed``), so that nothing is computed for padding, or padded to the longest sequence."""
    width = max(int(data.length.max()) - 1, 1)
    place = torch.arange(width)
    read = place < (data.length - 1)[:, None]
    counted = read & (place >= (data.first - 1)[:, None])
    target = data.tokens[:, 1 : width + 1][counted]
    row = counted.nonzero()[:, 0]
    if packed:
        ids = data.tokens[:, :width][read][None]
        positions = place.expand(len(data), width)[read][None]
        index = (read.flatten().cumsum(0) - 1)[counted.flatten()]
        parts: tuple[Tensor | None, ...] = (ids, positions, None, index, target, row)
    else:
        parts = (data.tokens[:, :width], None, read.long(), counted.flatten().nonzero()[:, 0], target, row)
    return Layout(*(None if part is None else part.to(device, non_blocking=True) for part in parts))  # type: ignore[arg-type]
