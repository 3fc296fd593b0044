"""Settings of the rebound protocol, and the full configuration of every run that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from elastomath.errors import InputError
from elastomath.runs.ledger import Configuration

from ..data.specifications import common_prompt, described
from ..laboratory.laboratory import Equipment
from ..laboratory.paper import PAPER, PAPER_MODELS, chosen
from ..laboratory.work import Part, Work, part_of
from ..training.settings import ALGORITHMS

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

    def parts(self) -> list[Part]:
        """The model and all that is done with it, for the dry run."""
        return [part_of(self, rebound_work(self))]


# Settings by name: `quick` for a CPU, and the paper's models, sizes and settings; what the paper does not say is
# marked.

REBOUND: Final[dict[str, dict[str, Any]]] = {
    "quick": {
        "adapt_volume": 384,
        "align_volumes": (96, 192, 384),
        "perturb_volumes": (24, 48, 96, 192),
        "seeds": (0, 1),
        "held_out": 160,
        "kl_documents": 12,
        "warmup": 0,
    },
    "paper-rebound": PAPER
    | {
        "model": PAPER_MODELS["rebound"][0],
        "align": "stanfordnlp/imdb#positive",
        "perturb": "stanfordnlp/imdb#negative",
        "directions": tuple(DIRECTIONS),
        "adapt_volume": 0,
        "pretrain_volume": 2e12 / 512,
        "align_volumes": (1000, 2000, 5000, 10000),
        "perturb_volumes": (100, 200, 500, 1000, 2000),
        "held_out": 500,
        "kl_documents": 32,
    },
}
"""Presets of `rebound`. `quick` has the direction of the paper's main figure: 19 min on two cores, and 36 with the other one."""


def rebound_settings(preset: str | None, given: Mapping[str, Any]) -> ReboundSettings:
    """`ReboundSettings` of a preset with what was given in its place; fewer documents for the divergence where few are held out."""
    values = chosen(REBOUND, preset, given)
    most = values.get("held_out", ReboundSettings.held_out)
    usual = {field.name: field.default for field in fields(ReboundSettings)}["kl_documents"]
    values["kl_documents"] = min(values.get("kl_documents", usual), most)
    return ReboundSettings(**values)


def rebound_work(s: Any) -> list[Work]:
    """Adaption once a seed, alignment to each volume, perturbation and control from each aligned state."""
    units, held = len(s.seeds) * len(s.directions), (2 * s.held_out + 2 * s.kl_documents) * s.max_tokens
    most, steps = s.perturb_volumes[-1] * s.max_tokens, len(s.perturb_volumes)
    found = [Work("base", len(s.seeds), 0, held)]
    found.append(Work("adapted", len(s.seeds), s.adapt_volume * s.max_tokens, held))
    for algorithm in s.algorithms:
        if algorithm == "sft":  # a larger volume continues a smaller one
            sizes = [b - a for a, b in zip([0, *s.align_volumes], s.align_volumes, strict=False)]
        else:  # pairs, each volume from the adapted state; the reference is read once
            sizes = [2 * size for size in s.align_volumes]
        for volume, size in zip(s.align_volumes, sizes, strict=True):
            tokens = size * s.max_tokens
            extra = 0 if algorithm == "sft" else tokens
            drawn = tokens if algorithm == "ppo" else 0
            found.append(Work(f"aligned {volume} ({algorithm})", units, tokens, held + extra, drawn))
    runs = units * len(s.algorithms) * len(s.align_volumes)
    found.append(Work(f"perturbed to {s.perturb_volumes[-1]}", runs, most, steps * held))
    if s.control:
        found.append(Work(f"control to {s.perturb_volumes[-1]}", runs, most, steps * held))
    return found
