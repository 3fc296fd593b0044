"""The settings of the inversion protocol (Q1); what the protocol does is in `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration

from ..data.specifications import common_prompt, described
from ..laboratory.laboratory import Equipment
from ..laboratory.paper import chosen
from ..laboratory.work import Part, Work, part_of

MEASURES = ("contrast", "behaviour")
"""What alignment is a share of."""
LANDINGS = 12
"""Parts of a step that are tried, at most, to land on a level."""


@dataclass(frozen=True)
class InversionSettings:
    """One inversion experiment: a run for each seed; volumes are in examples.

    align, opposed      the two opposed kinds of text (data specifications), put after ``prompt``
    prompt              None: see `protocol_data.common_prompt`
    chat                put the prompts into the chat template of the model's own tokenizer, as turns of the user
    adapt_volume        examples of both kinds, half each, that bring the base to the domain first: 0% aligned
    align_volume        the full alignment volume: 100%
    low, high           the two levels, shares between 0 and 1
    budget              the most examples that a leg may take; a level that it does not reach is open
    readings            readings on the way up, equally spaced; on a leg after every step at first, then ever further apart
    tolerance           how far from its level a state may lie
    held_out            documents of each kind that are measured and never trained on
    measure             ``contrast`` of the rates on them; or ``behaviour``: the mean probability that a classifier gives
                        the model's continuations of being of the aligned kind (TF-IDF, fitted on texts not used here)
    continuations       of so many prompts at a reading, the same random numbers each time; sample_tokens: the longest
    weights, lora_rank  what the weights are held in; the rank of an adapter that is trained in their place, 0 for none
    """

    model: str = "smollm2-135m-instruct-q4"
    revision: str | None = None
    align: str = "film-reviews:positive/rotten_tomatoes"
    opposed: str = "film-reviews:negative/rotten_tomatoes"
    adapt_volume: int = 320
    align_volume: int = 384
    low: float = 0.6
    high: float = 0.9
    budget: int = 192
    readings: int = 10
    tolerance: float = 0.01
    held_out: int = 96
    prompt: str | None = None
    chat: bool = False
    max_tokens: int = 32
    learning_rate: float = 1e-5
    batch: int = 4
    warmup: int = 0
    control: bool = True
    measure: str = "contrast"
    continuations: int = 64
    sample_tokens: int = 24
    weights: str = "float32"
    lora_rank: int = 0
    seeds: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:

        def refuse(what: str, mend: str) -> None:
            raise InputError(what, where="inversion", mend=mend)

        counts = ("adapt_volume", "align_volume", "budget", "max_tokens", "batch")
        wrong = [name for name in counts if getattr(self, name) < 1]
        if wrong or self.warmup < 0 or not self.seeds:
            refuse(f"{wrong[0] if wrong else 'warmup or the list of seeds'} is too small", "give at least 1")
        if self.measure not in MEASURES or min(self.continuations, self.sample_tokens) < 2:
            refuse(
                f"measure {self.measure!r} on {self.continuations} continuations of {self.sample_tokens} tokens",
                f"choose from {', '.join(MEASURES)}, on at least 2 of at least 2",
            )
        if self.held_out < 2:
            refuse("a single held-out document", "hold out at least 2 of each kind")
        if self.adapt_volume % 2 or self.budget % 2:
            refuse("an odd number of examples of both kinds", "give even adapt_volume and budget: half of each kind")
        if not 0 < self.low < self.high < 1:
            refuse(f"levels {self.low:g} and {self.high:g}", "give 0 < low < high < 1")
        if not 0 < self.tolerance < (self.high - self.low) / 2:
            refuse(f"tolerance {self.tolerance:g}", "give one > 0 that keeps the levels apart")
        if not 3 <= self.readings <= self.align_steps:
            refuse(f"{self.readings} readings of {self.align_steps} steps up", "give at least 3, one a step at most")
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            refuse(f"learning rate {self.learning_rate:g}", "it has to be > 0")

    @property
    def align_steps(self) -> int:
        """Steps of the way up."""
        return -(-self.align_volume // self.batch)

    @property
    def up_steps(self) -> tuple[int, ...]:
        """The steps of the way up after which it is measured."""
        return tuple(round(i * self.align_steps / self.readings) for i in range(1, self.readings + 1))

    @property
    def leg_steps(self) -> tuple[int, ...]:
        """The steps of a leg after which it is measured: every one at first, then a quarter further each time."""
        last, steps = -(-self.budget // self.batch), [1]
        while steps[-1] < last:
            steps.append(min(last, steps[-1] + max(1, steps[-1] // 4)))
        return tuple(steps)

    @property
    def wording(self) -> str | None:
        """The prompt before every text, as `protocol_data.common_prompt` understands ``prompt``."""
        return common_prompt(self.prompt, self.align, self.opposed)

    def equipment(self, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """What a worker needs beside the configuration of a run."""
        return Equipment.of(self, out, device, dtype, trust_remote_code)

    def configurations(self, training: dict[str, Any], source: str, data: dict[str, str | None]) -> list[Configuration]:
        """The full configuration of every run, one a seed. source, data: weights and files, by hash."""
        common = described(self) | {"protocol": "inversion", "version": 1} | training
        common |= {"model_source": source, "data_sources": data}
        del common["seeds"]
        return [common | {"seed": seed} for seed in self.seeds]

    def parts(self) -> list[Part]:
        """The model and all that is done with it, for the dry run."""
        return [part_of(self, inversion_work(self))]


def settings_of(configuration: Configuration) -> InversionSettings:
    """The settings of one run, its seed the only one."""
    names = [field.name for field in fields(InversionSettings) if field.name in configuration and field.name != "seeds"]
    values = {name: configuration[name] for name in names}
    return replace(InversionSettings(), **values, seeds=(int(configuration["seed"]),))


INVERSION: Final[dict[str, dict[str, Any]]] = {"quick": {}}
"""Presets of `inversion`: the paper asks the question (Q1) and measured nothing, so there is no preset of it."""


def inversion_settings(preset: str | None, given: Mapping[str, Any]) -> InversionSettings:
    """`InversionSettings` of a preset with what was given in its place. Raises InputError for another preset."""
    return InversionSettings(**chosen(INVERSION, preset, given))


def inversion_work(s: Any) -> list[Work]:
    """Adaption, the way up, the three states at a level, and the legs between them, each to the end of its budget.

    A leg ends when it has reached its level, so a run takes much less than this: the quick preset under half.
    """
    seeds, legs = len(s.seeds), 4 + bool(s.control)
    reading = 2 * s.held_out * s.max_tokens
    drawn = s.continuations * s.sample_tokens if s.measure == "behaviour" else 0
    landing = -(-s.align_steps // s.readings) + LANDINGS

    def read(count: int) -> tuple[int, int]:
        return count * reading, count * drawn

    up, budget = s.align_volume * s.max_tokens, s.budget * s.max_tokens
    return [
        Work("adapted", seeds, s.adapt_volume * s.max_tokens),
        Work("the way up", seeds, up, *read(s.readings + 1)),
        Work("states on the way up, at most", 2 * seeds, up, *read(landing)),
        Work("state on the way down, at most", seeds, budget, *read(landing)),
        Work("legs, at most", legs * seeds, budget, *read(len(s.leg_steps) + 1)),
    ]
