"""The verb `predict`: how durable is a behaviour in a model, before anybody trains or attacks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elastomath.checks import positive, whole
from elastomath.errors import InputError
from elastomath.memory import affordable
from elastomath.runs.settings import EACH

from .terminal import MODEL, Device, Dtype, Json, RemoteCode, Revision, Seed, conclude, emit, integers, table

if TYPE_CHECKING:
    from empirical.durability.card import Card


def predict(
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs", help="prompt, chosen, rejected: a file, a hub dataset, or a shipped behaviour (advice)."
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Name, hub id, folder or GGUF file.")] = MODEL,
    swap: Annotated[bool, typer.Option("--swap", help="Exchange the roles of chosen and rejected.")] = False,
    chat: Annotated[
        bool, typer.Option("--chat", help="Make each prompt the user's turn in the tokenizer's chat template.")
    ] = False,
    n: Annotated[
        str, typer.Option("--n", help="Aligned examples to forecast for, with commas between.")
    ] = "16,64,256,1024",
    optimiser: Annotated[
        str, typer.Option("--optimiser", help="sgd, adamw (fresh moments in each phase) or adamw-carried.")
    ] = "sgd",
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Of the training; default 3e-4 for sgd, 1e-5 for AdamW.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Examples of a step.")] = 4,
    held_out: Annotated[int, typer.Option("--held-out", help="Prompts that are read.")] = 32,
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Tokens of a response, at most.")] = 48,
    limit: Annotated[int | None, typer.Option("--limit", help="Rows that are read from the data.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the card (card.json) and its figure (card.svg).")
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt",
            help="First train a copy in memory on both responses, until it answers with one of them: a base needs it.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    revision: Revision = None,
    trust_remote_code: RemoteCode = False,
    as_json: Json = False,
) -> int:
    """How durable is a behaviour in a model, from two backward passes, before anything is trained."""
    from elastomath.storage import whole_file
    from elastomath.style import save_figure
    from empirical.behaviours import read_pairs
    from empirical.durability import RATES, card_json
    from empirical.durability.figures import card_figure
    from empirical.durability.predict import predict as card_of
    from empirical.models.devices import held_and_computed, pick_device
    from empirical.models.loading import load_model

    volumes = integers(n, "--n")
    for value, option, least in (
        *((volume, "--n", 1) for volume in volumes),
        (batch, "--batch", 1),
        (held_out, "--held-out", 2),
        (max_tokens, "--max-tokens", 1),
    ):
        affordable(whole(value, option, "predict", least=least), EACH, option, "predict")
    if learning_rate is not None:
        positive(learning_rate, "--learning-rate", "predict")
    if optimiser not in RATES:
        raise InputError(f"no optimiser {optimiser!r}", where="--optimiser", mend=f"choose from {', '.join(RATES)}")
    rate = RATES[optimiser] if learning_rate is None else learning_rate
    data = read_pairs(pairs, swap=swap, chat=chat, limit=limit)
    weights, _ = held_and_computed("float32", dtype, pick_device(device))
    loaded = load_model(model, device=device, dtype=weights, revision=revision, trust_remote_code=trust_remote_code)
    card = card_of(
        loaded, data, volumes, learning_rate=rate, batch=batch, optimiser=optimiser, held_out=held_out, max_tokens=max_tokens,
        seed=seed, autocast=dtype, adapt=adapt,
    )  # fmt: skip

    what = f"{data.name} in {loaded.name}; {optimiser}, learning rate {rate:g}, batch {batch}; {card.prompts} held-out prompts."
    result = card_json(card, loaded, data)
    if out is not None:
        with whole_file(out / "card.json") as aside:
            aside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if any(row.undo_volume.estimate for row in card.forecast):
            save_figure(card_figure(card, f"{data.name} in {loaded.name}"), out / "card.svg")
    emit(result, as_json, lambda: _show(card, what))
    return 0


def _show(card: Card, what: str) -> None:
    conclude(card.sentences())
    conclude([what] if card.applies else [what, "What the law would say if it applied:"])
    rows = [
        {
            "aligned": row.n,
            "contrast (nats)": row.z.without_unit(),
            "first fall (nats/example)": row.first_fall.without_unit(),
            "undone by (examples)": row.undo_volume.without_unit(),
        }
        for row in card.forecast
    ]
    table(rows, tuple(rows[0]))
    print()
    constants = card.constants
    passed = abs(constants["cosine"].estimate or 0.0) > 1
    conclude(
        (
            f"The contrast, ln of the chosen response's probability over the rejected one's, is {card.z0} now. Neither response "
            f"has {card.closure:.1%} of the probability; the cosine of the two gradients is {constants['cosine']}"
            f"{', an estimate from different prompts, whose noise takes it beyond 1' if passed else ''}.",
            f"One example moves the contrast by at most c: {constants['aligning']} aligning, {constants['perturbing']} "
            f"perturbing. Over the squared gradient of a neutral text's code length, that of the contrast is {constants['relative']}.",
            "Not shown: how far c moves along training, other prompts than these. Words: docs/glossary.md.",
        ),
        blank=False,
    )
