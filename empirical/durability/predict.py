"""`predict`: the card of a behaviour in a model as it is, from the files of a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from elastomath.errors import InputError
from elastomath.progress import Meter

from ..behaviours import Pairs
from ..data.examples import Example
from ..models.devices import held_and_computed
from ..models.model import LoadedModel
from ..models.sequences import Sequences, encode_examples
from .card import CLOSURE, Card, behaviour_card

ALREADY = 0.999
"""A share of the chosen response above which there is nothing left to align."""


def predict(
    loaded: LoadedModel,
    pairs: Pairs,
    volumes: Sequence[int],
    *,
    learning_rate: float,
    batch: int = 4,
    optimiser: str = "sgd",
    held_out: int = 32,
    max_tokens: int = 48,
    limit: float = CLOSURE,
    seed: int = 0,
    autocast: str = "auto",
) -> Card:
    """How many opposed examples would undo n aligned ones in this model: two gradients of it, nothing trained (R25).

    held_out    prompts that are read, at least 8; optimiser, learning_rate, batch: of the training that is foretold
    autocast    the dtype of autocast by name; ``auto`` is bfloat16 where the hardware multiplies it

    Raises InputError for volumes below 1, too few prompts, a response longer than the context, a learning rate that is not
    > 0, and a model that answers with the chosen response already (p > 0.999): there is nothing to align.
    """
    if not volumes or min(volumes) < 1 or not 0 < learning_rate < float("inf") or batch < 1 or held_out < 8:
        raise InputError(
            f"volumes {list(volumes)}, learning rate {learning_rate:g}, batch {batch}, {held_out} prompts",
            where="predict",
            mend="volumes and batch are at least 1, the learning rate > 0, prompts at least 8",
        )
    held, _ = pairs.split(min(held_out, max(8, len(pairs.pairs) - 4)), seed)
    weights, computed = held_and_computed(loaded.dtype, autocast, loaded.device)
    if weights != loaded.dtype:
        raise InputError(
            f"{weights} on weights in {loaded.dtype}", where="predict", mend=f"load the model in {weights}"
        )

    def encoded(examples: list[Example]) -> Sequences:
        return encode_examples(loaded.tokenizer, examples, max_tokens, context=loaded.context)

    chosen, rejected = (encoded([Example(p.prompt, getattr(p, side)) for p in held]) for side in ("chosen", "rejected"))
    prompts = [p.prompt if p.prompt.strip() else p.chosen for p in held]
    card = behaviour_card(
        loaded.model,
        chosen,
        rejected,
        sorted(set(volumes)),
        learning_rate=learning_rate,
        batch=batch,
        optimiser=optimiser,
        neutral=encoded([Example("", prompt) for prompt in prompts]),
        limit=limit,
        autocast=None if computed == weights else getattr(torch, computed),
        meter=Meter(8.0 * (chosen.target_count + rejected.target_count), "reading"),
    )
    share = card.constants["p"].estimate
    if share is not None and share > ALREADY:
        raise InputError(
            f"the model gives the chosen response already (p = {share:.4f})",
            where=pairs.name,
            mend="exchange the roles with --swap, or take a model that does not",
        )
    return card


def card_json(card: Card, loaded: LoadedModel, pairs: Pairs) -> dict[str, Any]:
    """The card with what it is of: the object that the command line prints."""
    about = {"model": loaded.name, "revision": loaded.revision, "sha256": loaded.sha256, "pairs": pairs.name}
    return about | {"pairs_sha256": pairs.sha256} | card.as_dict()
