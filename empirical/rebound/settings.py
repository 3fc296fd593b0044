"""Settings of the rebound protocol, and the full configuration of every run that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from elastomath.checks import COUNT, one_of
from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration
from elastomath.runs.settings import setting

from ..data.specifications import described
from ..laboratory.settings import (
    ALIGNED,
    FROM_ZERO,
    GIVEN,
    KEEP_WEIGHTS,
    TextSettings,
    check_aligned,
    each,
    rising_volumes,
)
from ..laboratory.work import Work
from ..training.settings import ALGORITHMS

if TYPE_CHECKING:
    from ..laboratory.laboratory import Equipment

KINDS = ("plus", "minus")
"""The data given as ``align`` and as ``perturb``; which of them a run is aligned on is its direction."""
DIRECTIONS = {"forward": KINDS, "exchanged": KINDS[::-1]}
VERSION = 3
TFIDF = "tfidf"
"""The classifier that is fitted here, as a choice of ``behaviour``."""


@dataclass(frozen=True)
class ReboundSettings(TextSettings):
    """One rebound experiment: a run for each (algorithm, direction, seed, alignment volume); volumes are in examples.

    With ``aligned`` nothing is trained before the perturbation.

    Adaption and perturbation are supervised fine-tuning always, as in F2. The examples of adaption are D_p of the curve, the
    union of R18, so that the contrast starts from a model that knows both kinds. A larger alignment volume continues the
    training of a smaller one (sft), or starts again (other algorithms, of which one example is a pair).
    """

    NAME = "rebound"
    perturb: str = setting("film-reviews:negative/rotten_tomatoes", "The opposed data: SPEC, or SPEC#KIND.")
    directions: tuple[str, ...] = setting(
        ("forward",),
        "forward (aligned on --align), exchanged (roles swapped), or both.",
        gate=each(one_of(*DIRECTIONS)),
    )
    algorithms: tuple[str, ...] = setting(
        ("sft",),
        "Of the alignment: sft (plain fine-tuning), or by preferences: dpo, kto, simpo, ppo; commas between.",
        option="--algorithm",
        gate=each(one_of(*ALGORITHMS)),
    )
    aligned: str | None = setting(None, ALIGNED)
    keep_weights: bool = setting(False, KEEP_WEIGHTS)
    adapt_volume: int = setting(
        96,
        "Examples of both kinds first, which stand for the pre-training data; 0 aligns the base as it is.",
        gate=FROM_ZERO,
    )
    pretrain_volume: float | None = setting(None, "Nominal pre-training volume in examples, where nothing is adapted.")
    align_volumes: tuple[int, ...] = setting((48, 144), "Aligned examples, rising; a run each.", gate=rising_volumes)
    perturb_volumes: tuple[int, ...] = setting(
        (12, 24, 48), "Opposed examples, rising; measured on the way.", gate=rising_volumes
    )
    kl_documents: int = setting(
        12, "Held-out documents of each kind that carry the divergence to the base.", gate=COUNT
    )
    control: bool = setting(
        True,
        "Perturb with text of both kinds, too: this tells what opposed text does from what the first steps of any training do.",
    )
    behaviour: str | None = setting(
        None, "Also score generated text, P(the kind aligned on): tfidf (fitted here), or a classifier of the hub."
    )
    continuations: int = setting(64, "Texts that the model generates to be scored.", gate=COUNT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aligned is not None:
            check_aligned(self.algorithms, self.align_volumes, self.lora_rank, "rebound")
            if len(self.directions) != 1:
                raise InputError("one aligned model, two directions", where="rebound", mend="give one of --directions")
        if (self.adapt_volume == 0 or self.aligned is not None) and not (self.pretrain_volume or 0) > 0:
            raise InputError(
                "0 examples to adapt on",
                where="rebound",
                mend=("give " if self.aligned else "give --adapt-volume of at least 1, or 0 with ")
                + "--pretrain-volume, the nominal |D_p| in examples",
            )
        if self.kl_documents > self.held_out:
            raise InputError(
                f"{self.held_out} held-out documents, {self.kl_documents} of them for the divergence",
                where="rebound",
                mend="hold out at least as many as carry the divergence",
            )

    @classmethod
    def of(cls, preset: str | None = None, given: Mapping[str, Any] | None = None) -> Self:
        """A preset with what was given in its place; fewer documents for the divergence where few are held out."""
        values = {**cls.values_of(preset), **(given or {})}
        values["kl_documents"] = min(values.get("kl_documents", cls.kl_documents), values.get("held_out", cls.held_out))
        if values.get("directions") == ("both",):
            values["directions"] = tuple(DIRECTIONS)
        return cls(**values)

    @property
    def sources(self) -> tuple[str, ...]:
        """The data specifications."""
        return self.align, self.perturb

    def planned(self, equipment: Equipment) -> list[Configuration]:
        """The full configuration of every run with this equipment."""
        from ..laboratory.laboratory import aligned_source

        given = None if self.aligned is None else aligned_source(self.aligned)
        return self.configurations(equipment.training, equipment.source, self.hashes(), given)

    def configurations(
        self, training: Configuration, source: str, data: Mapping[str, str | None], aligned_source: str | None = None
    ) -> list[Configuration]:
        """The full configuration of every run, in the order in which they share their stages.

        training, source, data: `Equipment.training`, what the weights are, and what the data files are, by hash; aligned_source: what
        the weights of the model are that came aligned.
        """
        own = dict.fromkeys(KINDS, 0)
        for direction in self.directions:
            aligned, opposed = DIRECTIONS[direction]
            own[aligned] = max(own[aligned], self.align_volumes[-1])
            own[opposed] = max(own[opposed], self.perturb_volumes[-1])
        chosen = described(self)
        common = {
            name: chosen[name]
            for name in ("model", "align", "perturb", "adapt_volume", "pretrain_volume", "held_out", "kl_documents")
        }
        common |= {name: chosen[name] for name in ("control", "prompt", "max_tokens", "learning_rate", "batch")}
        common |= {"chat": True} if self.chat else {}
        common |= {"protocol": "rebound", "version": VERSION, "warmup": self.warmup, "model_source": source}
        if self.behaviour is not None:
            common |= {"behaviour": self.behaviour, "continuations": self.continuations}
        common |= {"data_sources": data, "perturb_volumes": list(self.perturb_volumes)} | training
        if self.keep_weights:
            common |= {"keep_weights": True}
        if self.aligned is not None:
            common |= {"aligned": self.aligned, "aligned_source": aligned_source, "adapt_volume": 0}
        runs = []
        for seed in self.seeds:
            for direction in self.directions:
                for algorithm in self.algorithms if self.aligned is None else (GIVEN,):
                    # the rejected texts of preference pairs lie behind what the phases train on
                    sizes = {"own": own} if algorithm not in ("sft", GIVEN) else {}
                    for index, size in enumerate(self.align_volumes):
                        path = list(self.align_volumes[: index + 1])
                        run = {"seed": seed, "direction": direction, "algorithm": algorithm, "align_volume": size}
                        runs.append(common | sizes | run | {"align_path": path if algorithm == "sft" else [size]})
        return runs

    def work(self) -> list[Work]:
        """Adaption once a seed, alignment to each volume, perturbation and control from each aligned state."""
        units, held_tokens = (
            len(self.seeds) * len(self.directions),
            (2 * self.held_out + 2 * self.kl_documents) * self.max_tokens,
        )
        most, steps = self.perturb_volumes[-1] * self.max_tokens, len(self.perturb_volumes)
        adapting = 0 if self.aligned is not None else self.adapt_volume
        parts = [Work("base", len(self.seeds), 0, held_tokens)]
        parts.append(Work("adapted", len(self.seeds), adapting * self.max_tokens, held_tokens))
        if self.aligned is not None:
            parts.append(Work("aligned (given)", units, 0, held_tokens))
        for algorithm in self.algorithms if self.aligned is None else ():
            if algorithm == "sft":  # a larger volume continues a smaller one
                sizes = [b - a for a, b in zip([0, *self.align_volumes], self.align_volumes, strict=False)]
            else:  # pairs, each volume from the adapted state; the reference is read once
                sizes = [2 * size for size in self.align_volumes]
            for volume, size in zip(self.align_volumes, sizes, strict=True):
                tokens = size * self.max_tokens
                extra = 0 if algorithm == "sft" else tokens
                drawn = tokens if algorithm == "ppo" else 0
                parts.append(Work(f"aligned {volume} ({algorithm})", units, tokens, held_tokens + extra, drawn))
        runs = units * len(self.algorithms) * len(self.align_volumes)
        parts.append(Work(f"perturbed to {self.perturb_volumes[-1]}", runs, most, steps * held_tokens))
        if self.control:
            parts.append(Work(f"control to {self.perturb_volumes[-1]}", runs, most, steps * held_tokens))
        return parts
