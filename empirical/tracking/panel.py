"""The panel: the documents that every reading of a training is of, and one reading of a model on them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from elastomath.checks import COUNT
from elastomath.errors import InputError
from elastomath.progress import Meter

from ..behaviours import Pairs, read_pairs
from ..data.documents import read_documents
from ..data.examples import Example
from ..measures.code_lengths import code_lengths, pair_lengths
from ..models.model import context_of
from ..models.sequences import Sequences, encode_examples

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TOKENS = 256
"""Tokens of a document that are read, where nothing else is asked for."""
SIDES = ("chosen", "rejected")
PRETRAIN = "pretrain"
Reading = dict[str, list[float]]
"""Of a model: ``nats_SIDE`` and ``tokens_SIDE`` of every document of each side."""


@dataclass(frozen=True)
class Panel:
    """The two responses to each prompt, and documents like the pre-training where they are given.

    name        of the pairs, as they were asked for
    documents   ``chosen``, ``rejected`` (one a prompt, in one order) and perhaps ``pretrain`` -> its examples
    max_tokens  of a response or a document; what is longer is cut
    """

    name: str
    documents: Mapping[str, tuple[Example, ...]]
    max_tokens: int

    @classmethod
    def of(
        cls,
        pairs: str | Pairs,
        pretrain: str | None = None,
        *,
        limit: int | None = None,
        max_tokens: int = MAX_TOKENS,
        swap: bool = False,
        chat: bool = False,
    ) -> Panel:
        """The panel of a file of pairs (`read_pairs`) and of a file of texts (`read_documents`), the first ``limit`` of each.

        A prompt that has several pairs is read with the first of them: errors are over prompts.

        swap, chat   as in `read_pairs`, for pairs that are read here

        Raises InputError for fewer than two pairs, and as the two readers do.
        """
        COUNT(max_tokens, "max_tokens", "track")
        read = pairs if isinstance(pairs, Pairs) else read_pairs(pairs, swap=swap, chat=chat, limit=limit)
        kept = Pairs(read.name, read.pairs[:limit]).independent
        if len(kept) < 2:
            raise InputError(
                f"{len(kept)} pair",
                where=read.name,
                mend="give at least two, of different prompts: errors are over prompts",
            )
        documents = {side: tuple(Example(pair.prompt, str(getattr(pair, side))) for pair in kept) for side in SIDES}
        if pretrain is not None:
            texts = [text for text in read_documents(pretrain, limit=limit).texts if text.strip()]
            if len(texts) < 2:
                raise InputError(
                    f"{len(texts)} document that is not empty",
                    where=pretrain,
                    mend="give at least two, such as JSONL with a column text: errors are over documents",
                )
            documents[PRETRAIN] = tuple(Example("", text) for text in texts)
        return cls(read.name, documents, max_tokens)

    @property
    def sha256(self) -> str:
        """Of all documents in their order and of what is kept of each: the part of a reading's name that is not the model's."""
        rows = {side: [[e.prompt, e.text] for e in examples] for side, examples in self.documents.items()}
        return hashlib.sha256(json.dumps([rows, self.max_tokens], sort_keys=True).encode()).hexdigest()

    def encoded(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Sequences]:
        """The token sequences of each side, within the context of the model."""
        context = context_of(model, tokenizer)
        return {
            side: encode_examples(tokenizer, examples, self.max_tokens, context=context)
            for side, examples in self.documents.items()
        }


def read_model(
    model: PreTrainedModel,
    sides: Mapping[str, Sequences],
    *,
    autocast: torch.dtype | None = None,
    meter: Meter | None = None,
    where: str = "track",
) -> Reading:
    """``nats_SIDE`` and ``tokens_SIDE`` of every document at the weights of now; the model is left as it was found.

    Raises InputError where a code length is not finite.
    """
    reading: Reading = {}
    with undisturbed(model):
        pair = pair_lengths(model, *(sides[side] for side in SIDES), autocast=autocast, meter=meter)
        both = dict(zip(SIDES, pair, strict=True))
        if PRETRAIN in sides:
            both[PRETRAIN] = code_lengths(model, sides[PRETRAIN], autocast=autocast, meter=meter)
    for side, lengths in both.items():
        if not np.isfinite(lengths.nats).all():
            raise InputError(
                f"a code length of the {side} documents is not finite", where=where, mend="lower the learning rate"
            )
        reading[f"nats_{side}"], reading[f"tokens_{side}"] = lengths.nats.tolist(), lengths.tokens.tolist()
    return reading


@contextlib.contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model may be read; after it all modes of its parts and all generators of random numbers are as they were."""
    modes = [(part, part.training) for part in model.modules()]
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - the trainer's global ones
    devices = sorted({value.device.index for value in model.parameters() if value.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002
        for part, training in modes:
            part.training = training
