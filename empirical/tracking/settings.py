"""The settings of `track`, an option each; what it does is in `run`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from elastomath.checks import COUNT, one_of, optional
from elastomath.errors import InputError
from elastomath.runs.settings import Settings, setting

from ..laboratory.work import Part, Work
from ..models.sources import Source
from .checkpoints import NO_BASE, Progress, read_sources
from .course import RATE_UNITS, VOLUME_UNITS
from .panel import MAX_TOKENS, Panel

BYTES_OF_TOKEN = 3
"""So many bytes of text are taken for a token in a dry run, which loads no tokenizer; usual text has four or more."""


@dataclass(frozen=True)
class TrackSettings(Settings):
    """Which models are read, on which pairs, and how far each had been perturbed."""

    NAME = "track"
    models: tuple[str, ...] = setting(
        (),
        "Base (or none), aligned model, checkpoints of its perturbation: base,aligned,ckpt-*; each a folder, a GGUF file, a hub "
        "id with @REVISION, or BASE+ADAPTER; commas between.",
    )
    pairs: str | None = setting(
        None, "prompt, chosen, rejected: a file, a hub dataset, or a shipped behaviour (advice)."
    )
    pretrain: str | None = setting(
        None, "Texts like the pre-training; without them both responses in equal shares stand for it."
    )
    volumes: tuple[str, ...] = setting((), "Nominal volumes, as far as they are known: pretrain=2e9,align=64.")
    perturbations: tuple[float, ...] = setting(
        (), "Volume of the perturbation at each checkpoint, where its trainer_state.json is not to be asked: 16,32,64."
    )
    axis: str = setting(
        "examples", "What perturbations are counted in: examples or tokens.", gate=one_of(*VOLUME_UNITS)
    )
    batch: int | None = setting(
        None,
        "Examples of an optimiser step over all devices; train_batch_size of trainer_state.json knows neither gradient "
        "accumulation nor the number of devices.",
        gate=optional(COUNT),
    )
    epoch_examples: int | None = setting(
        None, "Examples of an epoch: perturbations are then epochs times this.", gate=optional(COUNT)
    )
    rate_unit: str = setting(
        "nats/response", "Unit of the rates: nats/response or bits/token.", gate=one_of(*RATE_UNITS)
    )
    limit: int | None = setting(None, "Pairs, and pre-training texts, that are read.", gate=optional(COUNT))
    max_tokens: int = setting(MAX_TOKENS, "Tokens of a response or text that are kept.", gate=COUNT)
    weights: str = setting(
        "float32", "What the weights are held in: bfloat16 where a model of billions of numbers would not fit."
    )
    swap: bool = setting(False, "Exchange the roles of chosen and rejected.")
    chat: bool = setting(False, "Put each prompt into the model's own chat template, as the user's turn.")

    def sources(self) -> list[Source]:
        """The models, the base first (a source without a model where there is none)."""
        return read_sources(self.models)

    def panel(self) -> Panel:
        """The documents of every reading. Raises InputError where no pairs are named."""
        if not self.pairs:
            raise InputError("no pairs", where="--pairs", mend="name a file of prompt, chosen, rejected")
        return Panel.of(
            self.pairs, self.pretrain, limit=self.limit, max_tokens=self.max_tokens, swap=self.swap, chat=self.chat
        )

    def nominal(self) -> dict[str, float]:
        """The volumes that were given, by component. Raises InputError for another form."""
        given = {}
        for part in self.volumes:
            name, sign, number = part.partition("=")
            try:
                value = float(number)
            except ValueError:
                value = 0.0
            if not sign or name.strip() not in ("pretrain", "align") or not 0 < value < float("inf"):
                raise InputError(f"cannot read {part!r}", where="--volumes", mend="write pretrain=2e9,align=64")
            given[name.strip()] = value
        return given

    def axis_of(self, checkpoints: Sequence[Source], progress: Sequence[Progress]) -> tuple[list[float], str]:
        """The perturbation at each checkpoint, and in words how it was counted.

        Raises InputError where a checkpoint does not tell how far it had gone, and where the volumes do not rise.
        """
        if self.perturbations:
            if len(self.perturbations) != len(checkpoints):
                given, there = len(self.perturbations), len(checkpoints)
                raise InputError(
                    f"{given} perturbation{'s' * (given != 1)} for {there} checkpoint{'s' * (there != 1)}",
                    where="--perturbations",
                    mend="give one for each checkpoint, and none for the base and the aligned model",
                )
            values, how = list(self.perturbations), "as they were given"
        elif self.axis == "tokens":
            values = [_told(p.tokens, s, "tokens", "train with include_num_input_tokens_seen") for p, s in
                      zip(progress, checkpoints, strict=True)]  # fmt: skip
            how = "tokens as the trainer counted them"
        elif self.epoch_examples is not None:
            values = [self.epoch_examples * _told(p.epoch, s, "epochs", "leave --epoch-examples away") for p, s in
                      zip(progress, checkpoints, strict=True)]  # fmt: skip
            how = f"epochs times {self.epoch_examples} examples"
        else:
            batches = {p.batch for p in progress if p.batch is not None}
            if self.batch is None and len(batches) > 1:
                raise InputError(
                    f"batches of {', '.join(map(str, sorted(batches)))}",
                    where="--models",
                    mend="give the perturbations by --perturbations",
                )
            batch = self.batch or next(iter(batches), 1)
            values = [batch * _told(p.step, s, "steps", "") for p, s in zip(progress, checkpoints, strict=True)]
            how = f"optimiser steps times {batch} example{'s' * (batch != 1)}"
            if self.batch is None:
                how += (
                    ", the train_batch_size of trainer_state.json: where gradients were accumulated or devices several, give --batch"
                    if batches
                    else ": the size of a batch is not known, give --batch"
                )
        if not all(earlier < later < math.inf for earlier, later in pairwise([0.0, *values])):
            raise InputError(
                f"perturbations of {', '.join(f'{value:g}' for value in values)}",
                where="--perturbations" if self.perturbations else "--models",
                mend="give volumes above 0 that rise: checkpoints in the order of their training, each once",
            )
        return [float(value) for value in values], how

    def parts(self) -> list[Part]:
        """Every model and what is read of it, for the dry run; a token is taken to have three bytes."""
        panel = self.panel()
        sizes = [
            (-(-len(e.prompt.encode()) // BYTES_OF_TOKEN), -(-len(e.text.encode()) // BYTES_OF_TOKEN))
            for examples in panel.documents.values()
            for e in examples
        ]
        lengths = [before + min(size, self.max_tokens) for before, size in sizes]
        longest = max(lengths)
        return [
            Part(
                source.model,
                (Work(f"read {source.name}", 1, measured=sum(lengths)),),
                max(1, min(64, 4096 // longest)),
                longest,
                self.weights,
                shape=source.model,
                revision=source.revision,
            )
            for source in self.sources()
            if source.name != NO_BASE
        ]


def _told(value: float | None, source: Source, what: str, mend: str) -> float:
    if value is None:
        raise InputError(
            f"no {what} are told",
            where=source.name,
            mend=f"{mend + ', or ' if mend else ''}give the volumes by --perturbations",
        )
    return value
