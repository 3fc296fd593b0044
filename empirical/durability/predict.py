"""`predict`: the card of a behaviour in a model as it is, from the files of a user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from elastomath.errors import InputError
from elastomath.progress import Meter
from elastomath.runs.ledger import Result

from ..behaviours import Pairs, mixed
from ..data.examples import Example, Preference
from ..models.devices import held_and_computed
from ..models.model import LoadedModel
from ..models.sequences import Sequences, encode_examples
from ..training.finetune import new_optimiser, train
from .adaptation import adapt as adapt_to
from .card import CLOSURE, TRUSTED, Card, behaviour_card, behaviour_passes, cut_responses
from .gradients import read_behaviour
from .settings import DurabilitySettings

LARGEST_RATE = 1e6
"""Of the learning rates that are foretold: beyond it the numbers of a forecast leave the doubles."""
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
    closure: float = CLOSURE,
    limit: float = TRUSTED,
    seed: int = 0,
    autocast: str = "auto",
    adapt: bool = False,
    aligned: bool = False,
) -> Card:
    """How many opposed examples would undo n aligned ones in this model: two gradients of it, nothing trained (R25).

    The card has contrast, kernel, constants and forecast.

    held_out    prompts that are read, at least 8; optimiser, learning_rate, batch: of the training that is foretold
    closure     the mean probability outside the pair at which adapting ends;  limit  the one up to which the forecast is trusted
    autocast    the dtype of autocast by name; ``auto`` is bfloat16 where the hardware multiplies it
    adapt       first train the model, in memory, on both responses to the prompts that are not read, half and half, until it
                answers with one of them (as the experiment does, by its settings); the forecast is then of that model. Half of
                the pairs are kept for that where there are few
    aligned     also of a model that gives the chosen response already (p > 0.999), where there is nothing to align

    Raises InputError for volumes below 1, too few prompts, a response longer than the context, a learning rate that is not in
    (0, `LARGEST_RATE`], and, unless ``aligned``, for a model that gives the chosen response already.
    """
    if not volumes or min(volumes) < 1 or not 0 < learning_rate <= LARGEST_RATE or batch < 1 or held_out < 8:
        raise InputError(
            f"volumes {list(volumes)}, learning rate {learning_rate:g}, batch {batch}, {held_out} prompts",
            where="predict",
            mend=f"volumes and batch are at least 1, the learning rate > 0 and at most {LARGEST_RATE:g}, prompts at least 8",
        )
    count = len(pairs.independent)
    kept = count // 2 if adapt else 4  # to train on
    held_out_pairs, rest = pairs.split(min(held_out, max(8, count - kept)), seed)
    weights, computed = held_and_computed(loaded.dtype, autocast, loaded.device)
    if weights != loaded.dtype:
        raise InputError(
            f"{weights} on weights in {loaded.dtype}", where="predict", mend=f"load the model in {weights}"
        )

    def encoded(examples: list[Example]) -> Sequences:
        return encode_examples(loaded.tokenizer, examples, max_tokens, context=loaded.context)

    chosen, rejected = (
        encoded([Example(p.prompt, getattr(p, side)) for p in held_out_pairs]) for side in ("chosen", "rejected")
    )
    prompts = [p.prompt if p.prompt.strip() else p.chosen for p in held_out_pairs]
    precision = None if computed == weights else getattr(torch, computed)
    adapted = _adapted(loaded, encoded, rest, chosen, rejected, batch, closure, precision) if adapt else 0
    passes = behaviour_passes(
        loaded.model,
        chosen,
        rejected,
        adam=optimiser != "sgd",
        neutral=encoded([Example("", prompt) for prompt in prompts]),
        autocast=precision,
        meter=Meter(8.0 * (chosen.target_count + rejected.target_count), "reading"),
    )
    card = behaviour_card(
        passes, sorted(set(volumes)), learning_rate=learning_rate, batch=batch, optimiser=optimiser, limit=limit
    )
    share = card.constants["p"].estimate
    if not aligned and share is not None and share > ALREADY:
        raise InputError(
            f"the model gives the chosen response already (p = {share:.4f})",
            where=pairs.name,
            mend="exchange the roles with --swap, or take a model that does not",
        )
    return replace(card, adapted=adapted, cut=cut_responses(chosen, rejected, max_tokens))


def _adapted(
    loaded: LoadedModel,
    encoded: Callable[[list[Example]], Sequences],
    rest: Sequence[Preference],
    chosen: Sequences,
    rejected: Sequences,
    batch: int,
    closure: float,
    autocast: torch.dtype | None,
) -> int:
    """Train the model on both responses until it answers with one of them; how many examples that took."""
    settings = DurabilitySettings
    roles = mixed([rest[index % len(rest)] for index in range(settings.adapt_most)], settings.share)
    data = encoded([Example(pair.prompt, pair.chosen if role else pair.rejected) for pair, role in roles])
    optimiser, rate = new_optimiser(loaded.model, settings.adapt_learning_rate), settings.adapt_learning_rate
    read_once = float(chosen.target_count + rejected.target_count)
    meter = Meter(3.0 * data.target_count + (1 + settings.adapt_most // settings.adapt_step) * read_once, "at most")

    def read(volume: int) -> Result:
        now = read_behaviour(loaded.model, chosen, rejected, autocast=autocast, meter=meter)
        return {"volume": volume, "chosen": now.chosen.tolist(), "rejected": now.rejected.tolist()}

    def step(part: Sequences) -> None:
        train(loaded.model, optimiser, part, batch=batch, learning_rate=rate, autocast=autocast, meter=meter)

    return int(adapt_to(data, read, step, step=settings.adapt_step, closure=closure)[-1]["volume"])


def card_json(card: Card, loaded: LoadedModel, pairs: Pairs) -> dict[str, object]:
    """The card with what it is of: the object that the command line prints."""
    about = {"model": loaded.name, "revision": loaded.revision, "sha256": loaded.sha256, "pairs": pairs.name}
    return {**about, "pairs_sha256": pairs.sha256, **card.as_dict()}
