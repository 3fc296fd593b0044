"""The settings of the inversion protocol (Q1); what the protocol does is in `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elastomath.checks import COUNT, SHARE, one_of
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import setting

from ..data.specifications import described, has_prompts
from ..laboratory.settings import PAIR, TextSettings
from ..laboratory.work import Work

MEASURES = ("contrast", "behaviour")
"""What alignment is a share of."""
LANDINGS = 12
"""Parts of a step that are tried, at most, to land on a level."""


@dataclass(frozen=True)
class InversionSettings(TextSettings):
    """One inversion experiment: a run for each seed; volumes are in examples.

    Readings on the way up are equally spaced; on a leg they come after every step at first, then ever further apart. Of the
    measures, ``contrast`` is that of the rates on held-out documents, and ``behaviour`` the mean probability that a classifier
    gives the model's continuations of being of the aligned kind (TF-IDF, fitted on texts that are not used here).
    """

    NAME = "inversion"
    opposed: str = setting("film-reviews:negative/rotten_tomatoes", "The opposed data: SPEC, or SPEC#KIND.")
    adapt_volume: int = setting(
        320, "Examples of both kinds first, half each: the base in the domain, 0% aligned.", gate=COUNT
    )
    align_volume: int = setting(384, "Examples of the full alignment: 100%.", gate=COUNT)
    low: float = setting(0.6, "The lower level of alignment.", gate=SHARE)
    high: float = setting(0.9, "The higher level of alignment.", gate=SHARE)
    budget: int = setting(
        192, "Most examples of the way down, and of the way up; a level that is not reached counts as open.", gate=COUNT
    )
    readings: int = setting(10, "Readings on the way up.", gate=COUNT)
    tolerance: float = setting(0.01, "How far from its level a state may lie.", gate=SHARE)
    control: bool = setting(True, "Also train from the same start with text of both kinds.")
    measure: str = setting(
        "contrast",
        "What alignment is read from: contrast (code lengths of held-out texts), or behaviour (a classifier of what the model writes).",
        gate=one_of(*MEASURES),
    )
    continuations: int = setting(64, "Prompts that are continued at a reading of behaviour.", gate=PAIR)
    sample_tokens: int = setting(24, "Tokens of a continuation, at most.", gate=PAIR)
    held_out: int = 96
    learning_rate: float = 1e-5
    batch: int = 4
    warmup: int = 0
    seeds: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()

        def refuse(what: str, mend: str) -> None:
            raise InputError(what, where="inversion", mend=mend)

        if self.adapt_volume % 2 or self.budget % 2:
            refuse("an odd number of examples of both kinds", "give even adapt_volume and budget: half of each kind")
        if not self.low < self.high:
            refuse(f"levels {self.low:g} and {self.high:g}", "give 0 < low < high < 1")
        if not self.tolerance < (self.high - self.low) / 2:
            refuse(f"tolerance {self.tolerance:g}", "give one > 0 that keeps the levels apart")
        if not 3 <= self.readings <= self.align_steps:
            refuse(f"{self.readings} readings of {self.align_steps} steps up", "give at least 3, one a step at most")

    @property
    def sources(self) -> tuple[str, ...]:
        """The data specifications."""
        return self.align, self.opposed

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

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None]
    ) -> list[Configuration]:
        """The full configuration of every run, one a seed. source, data: weights and files, by hash."""
        common = described(self) | {"protocol": "inversion", "version": 1} | training
        common |= {"model_source": source, "data_sources": data}
        if has_prompts(self.align) or has_prompts(self.opposed):
            common |= {"split": "prompt"}
        del common["seeds"]
        return [common | {"seed": seed} for seed in self.seeds]

    def work(self) -> list[Work]:
        """Adaption, the way up, the three states at a level, and the legs between them, each to the end of its budget.

        A leg ends when it has reached its level, so a run takes much less than this: the quick preset under half.
        """
        seeds, legs = len(self.seeds), 4 + bool(self.control)
        reading = 2 * self.held_out * self.max_tokens
        drawn = self.continuations * self.sample_tokens if self.measure == "behaviour" else 0
        landing = -(-self.align_steps // self.readings) + LANDINGS

        def read(count: int) -> tuple[int, int]:
            return count * reading, count * drawn

        up, budget = self.align_volume * self.max_tokens, self.budget * self.max_tokens
        return [
            Work("adapted", seeds, self.adapt_volume * self.max_tokens),
            Work("the way up", seeds, up, *read(self.readings + 1)),
            Work("states on the way up, at most", 2 * seeds, up, *read(landing)),
            Work("state on the way down, at most", seeds, budget, *read(landing)),
            Work("legs, at most", legs * seeds, budget, *read(len(self.leg_steps) + 1)),
        ]
