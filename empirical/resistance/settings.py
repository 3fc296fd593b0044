"""Settings of the resistance protocol (F1); what the protocol does is in `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elastomath.checks import COUNT, POSITIVE, number
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import setting

from ..data.specifications import described
from ..laboratory.settings import PAIR, TextSettings, rising_volumes
from ..laboratory.work import Work


@dataclass(frozen=True)
class ResistanceSettings(TextSettings):
    """One resistance experiment: a run for each (pair of slices, seed); volumes are in examples."""

    NAME = "resistance"
    prompts: str | None = setting(
        None, "Data whose prompts, or first words, the samples go on from; further examples of --align otherwise."
    )
    slices: tuple[float, ...] = setting(
        (1 / 3, 2 / 3, 1.0),
        "Shares of the alignment volume after which the model is kept, as model 1, model 2 ..., rising to 1.",
    )
    align_volume: int = setting(384, "Examples of the whole alignment.", gate=COUNT)
    prompt_words: int = setting(4, "Words of a text to go on from; none of data with prompts of its own.", gate=COUNT)
    held_samples: int = setting(96, "Samples of each kept model, to other prompts, that are only measured.", gate=PAIR)
    sample_tokens: int = setting(20, "Tokens of a sample, at most.", gate=COUNT)
    temperature: float = setting(
        1.0, "Of the samples; at 1 the code length of a model on its own samples is its entropy.", gate=POSITIVE
    )
    volumes: tuple[int, ...] = setting(
        (48, 128), "Samples of a run, rising: measured after each, trained to the last.", gate=rising_volumes
    )
    tail: float = setting(
        0.25, "Share of the last steps whose mean loss is the final training loss.", gate=number(above=0, most=1)
    )
    seeds: tuple[int, ...] = (0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()

        def refuse(what: str, mend: str) -> None:
            raise InputError(what, where="resistance", mend=mend)

        rising = list(self.slices) == sorted(set(self.slices))
        if len(self.slices) < 2 or not rising or self.slices[0] <= 0 or self.slices[-1] != 1:
            refuse(f"slices {list(self.slices)}", "give at least two rising shares, the last of them 1")
        if len(set(self.slice_volumes)) < len(self.slices) or self.slice_volumes[0] < self.batch:
            refuse(f"slices of {list(self.slice_volumes)} examples", "give each slice at least a batch more")
        if any(volume % self.batch for volume in self.volumes[:-1]):
            refuse(f"volumes {list(self.volumes)}", f"give rising multiples of the batch of {self.batch}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The data specifications."""
        return (self.align,) if self.prompts is None else (self.align, self.prompts)

    @property
    def train_samples(self) -> int:
        """Samples of each D_k that a run trains on."""
        return self.volumes[-1]

    @property
    def slice_volumes(self) -> tuple[int, ...]:
        """Examples behind each slice: whole batches, but for the last one."""
        whole = [round(share * self.align_volume / self.batch) * self.batch for share in self.slices[:-1]]
        return (*whole, self.align_volume)

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None]
    ) -> list[Configuration]:
        """The full configuration of every run: a pair k < l and a seed. source, data: weights and files, by hash."""
        common = described(self) | {"protocol": "resistance", "version": 1} | training
        common |= {"model_source": source, "data_sources": data}
        del common["seeds"]
        common |= {"slices": list(self.slices), "volumes": list(self.volumes)}
        count = len(self.slices)
        pairs = [(near, far) for near in range(1, count + 1) for far in range(near + 1, count + 1)]
        return [common | {"seed": seed, "near": near, "far": far} for seed in self.seeds for near, far in pairs]

    def work(self) -> list[Work]:
        """The slices, their samples, every held-out set at every slice, and each pair of slices both ways."""
        slices, seeds = len(self.slices), len(self.seeds)
        tokens, real = self.held_samples * self.sample_tokens, self.held_out * self.max_tokens
        return [
            Work("slices", seeds, self.align_volume * self.max_tokens),
            Work("samples", seeds * (slices + 1), drawn=(self.train_samples + self.held_samples) * self.sample_tokens),
            Work("levels", seeds * (slices + 1), measured=(slices + 1) * tokens + real),
            # read on the alignment data and on the samples of the base and of both slices
            Work(
                "pairs, each way",
                seeds * slices * (slices - 1),
                self.train_samples * self.sample_tokens,
                len(self.volumes) * (3 * tokens + real),
            ),
        ]
