"""Settings of the rebound protocol, and the full configuration of every run that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elastomath.errors import InputError
from elastomath.ledger import Configuration

from .algorithms import ALGORITHMS
from .laboratory import Equipment
from .protocol_data import common_prompt, described

KINDS = ("plus", "minus")
"""The data given as ``align`` and as ``perturb``; which of them a run is aligned on is its direction."""
DIRECTIONS = {"forward": KINDS, "exchanged": KINDS[::-1]}
VERSION = 3
TFIDF = "tfidf"
"""The classifier that is fitted here, as a choice of ``behaviour``."""


@dataclass(frozen=True)
class ReboundSettings:
    """One rebound experiment: a run for each (algorithm, direction, seed, alignment volume); volumes are in examples.

    align, perturb      the two opposed kinds of text: a data specification, each text after ``prompt``; or SPEC#KIND,
                        examples with prompts of their own (`adapters`), which are in one part only, and are not counted
    prompt              before every text, not counted; None is ``Film review:`` for the film reviews and none for other
                        data (`common_prompt`); with SPEC#KIND it stands instead of the words of the dataset
    chat                put the prompts into the chat template of the model's own tokenizer, as turns of the user
    directions          ``forward``: aligned on ``align``, perturbed by ``perturb``; ``exchanged``: the other way round
    algorithms          of the alignment phase; adaption and perturbation are supervised fine-tuning always, as in F2
    adapt_volume        examples of both kinds, half each, that bring the base to the domain first; they are D_p of the
                        curve, the union of R18, so that the contrast starts from a model that knows both kinds. 0 aligns
                        the base as it is; then ``pretrain_volume`` is the nominal |D_p|, in examples
    align_volumes       |D_a|, rising; a larger one continues the training of a smaller one (sft), or starts again (others,
                        of which one example is a pair)
    perturb_volumes     |D_t|, rising; measured on the way, without training again from zero
    held_out            documents of each kind that are measured and never trained on
    kl_documents        of them, how many of each kind carry the divergence to the base
    control             also perturb with both kinds mixed, to tell the data from the fresh optimiser's first steps
    behaviour           also score ``continuations`` texts that the model generates: ``tfidf``, a classifier fitted on texts of both
                        kinds that the run does not use, or the hub id of one; the score is P(the kind aligned on)
    weights, lora_rank  what the weights are held in; the rank of an adapter that is trained in their place, 0 for none
    """

    model: str = "smollm2-135m-instruct-q4"
    revision: str | None = None
    align: str = "film-reviews:positive/rotten_tomatoes"
    perturb: str = "film-reviews:negative/rotten_tomatoes"
    directions: tuple[str, ...] = ("forward",)
    algorithms: tuple[str, ...] = ("sft",)
    adapt_volume: int = 96
    pretrain_volume: float | None = None
    align_volumes: tuple[int, ...] = (48, 144)
    perturb_volumes: tuple[int, ...] = (12, 24, 48)
    seeds: tuple[int, ...] = (0,)
    held_out: int = 64
    kl_documents: int = 12
    control: bool = True
    behaviour: str | None = None
    continuations: int = 64
    prompt: str | None = None
    chat: bool = False
    max_tokens: int = 32
    learning_rate: float = 5e-5
    batch: int = 8
    warmup: int = 4
    weights: str = "float32"
    lora_rank: int = 0

    def __post_init__(self) -> None:
        for name in ("align_volumes", "perturb_volumes"):
            volumes = getattr(self, name)
            if not volumes or min(volumes) < 1 or list(volumes) != sorted(set(volumes)):
                raise InputError(
                    f"{name} are {list(volumes)}", where="rebound", mend="give rising numbers of examples, all > 0"
                )
        counts = (self.held_out, self.kl_documents, self.batch, self.max_tokens, self.continuations)
        if min(counts) < 1 or not self.seeds:
            raise InputError(
                "a volume, a batch, a length or the list of seeds is empty",
                where="rebound",
                mend="all have to be at least 1",
            )
        if self.adapt_volume < 0 or (self.adapt_volume == 0 and not (self.pretrain_volume or 0) > 0):
            raise InputError(
                f"{self.adapt_volume} examples to adapt on",
                where="rebound",
                mend="give --adapt-volume of at least 1, or 0 with --pretrain-volume, the nominal |D_p| in examples",
            )
        if self.held_out < 2 or self.kl_documents > self.held_out:
            raise InputError(
                f"{self.held_out} held-out documents, {self.kl_documents} of them for the divergence",
                where="rebound",
                mend="hold out at least 2, and at least as many as carry the divergence",
            )
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning rate {self.learning_rate:g}", where="rebound", mend="it has to be > 0")
        for name, known in (("directions", tuple(DIRECTIONS)), ("algorithms", ALGORITHMS)):
            wrong = [value for value in getattr(self, name) if value not in known]
            if wrong or not getattr(self, name):
                raise InputError(f"{name} {wrong or 'empty'}", where="rebound", mend=f"choose from {', '.join(known)}")

    @property
    def wording(self) -> str | None:
        """The prompt before every text, as `protocol_data.common_prompt` understands ``prompt``."""
        return common_prompt(self.prompt, self.align, self.perturb)

    def equipment(self, out: Path, device: str, dtype: str, trust_remote_code: bool) -> Equipment:
        """What a worker needs beside the configuration of a run."""
        return Equipment.of(self, out, device, dtype, trust_remote_code)

    def configurations(self, training: dict[str, Any], source: str, data: dict[str, str | None]) -> list[Configuration]:
        """The full configuration of every run, in the order in which they share their stages.

        training, source, data: `Equipment.training`, what the weights are, and what the data files are, by hash.
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
        runs = []
        for seed in self.seeds:
            for direction in self.directions:
                for algorithm in self.algorithms:
                    # the rejected texts of preference pairs lie behind what the phases train on
                    sizes = {"own": own} if algorithm != "sft" else {}
                    for index, size in enumerate(self.align_volumes):
                        path = list(self.align_volumes[: index + 1])
                        run = {"seed": seed, "direction": direction, "algorithm": algorithm, "align_volume": size}
                        runs.append(common | sizes | run | {"align_path": path if algorithm == "sft" else [size]})
        return runs
