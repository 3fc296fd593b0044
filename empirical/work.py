"""The work of each protocol: which stages it makes, how often, and the tokens that each trains on, measures and draws.

Counted from the settings alone, each sequence at its longest, so upper bounds; the stages are those of `rebound.run_rebound`
and its like, stages that runs share counted once. `estimate` turns them into time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from elastomath.errors import InputError

from .inversion_settings import LANDINGS
from .presets import PAPER_MODELS, SHAPE


@dataclass(frozen=True)
class Work:
    """A kind of stage: how often it is made, and per time the tokens trained on, measured and drawn, at most."""

    stage: str
    times: int
    trained: int = 0
    measured: int = 0
    drawn: int = 0

    def tokens(self) -> dict[str, int]:
        """Tokens of each sort over all times."""
        return {sort: self.times * getattr(self, sort) for sort in ("trained", "measured", "drawn")}


@dataclass(frozen=True)
class Part:
    """One model of a protocol and all that is done with it.

    shape            what `memory.memory_estimate` takes: a name, or a configuration of transformers
    batch, length    sequences of a training step, and their tokens at most
    weights, lora_rank  as in the settings
    """

    model: str
    work: tuple[Work, ...]
    batch: int
    length: int
    weights: str = "float32"
    lora_rank: int = 0
    shape: Any = None
    revision: str | None = None


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


def resistance_work(s: Any) -> list[Work]:
    """The slices, their samples, every held-out set at every slice, and each pair of slices both ways."""
    slices, seeds = len(s.slices), len(s.seeds)
    held, real = s.held_samples * s.sample_tokens, s.held_out * s.max_tokens
    return [
        Work("slices", seeds, s.align_volume * s.max_tokens),
        Work("samples", seeds * (slices + 1), drawn=(s.train_samples + s.held_samples) * s.sample_tokens),
        Work("levels", seeds * (slices + 1), measured=(slices + 1) * held + real),
        # read on the alignment data and on the samples of the base and of both slices
        Work(
            "pairs, each way",
            seeds * slices * (slices - 1),
            s.train_samples * s.sample_tokens,
            len(s.volumes) * (3 * held + real),
        ),
    ]


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


def _part(settings: Any, work: list[Work]) -> Part:
    s = settings
    shape = SHAPE if s.model in PAPER_MODELS["volume"] else s.model
    revision = None if shape is not s.model else s.revision
    return Part(s.model, tuple(work), s.batch, s.max_tokens, s.weights, s.lora_rank, shape, revision)


def scale_parts(settings: Any) -> list[Part]:
    """Each model of a scale experiment, or each size of its family with all volumes and the pre-training before them."""
    family, count = settings.family, settings.gradient_documents

    def own(rebound: Any) -> list[Work]:
        units = len(rebound.seeds) * len(rebound.directions)
        readings = len(rebound.seeds) + units * len(rebound.align_volumes)
        documents = 2 * (count // 2) + (count - count // 2)
        return [*rebound_work(rebound), Work("gradients", readings, documents * rebound.max_tokens)]

    if family is None:
        return [_part(rebound, own(rebound)) for rebound in settings.rebounds]
    from .family import family_config

    rebound = settings.rebounds[0]
    parts = []
    for size in family.sizes:
        work = [replace(part, times=part.times * len(family.volumes)) for part in own(rebound)]
        work.insert(0, Work("pre-trained", len(rebound.seeds), family.volumes[-1] * family.max_tokens))
        part = _part(rebound, work)
        parts.append(replace(part, model=size, shape=family_config(family, size), revision=None))
    return parts


PARTS: Final[dict[str, Callable[[Any], list[Part]]]] = {
    "ReboundSettings": lambda settings: [_part(settings, rebound_work(settings))],
    "ResistanceSettings": lambda settings: [_part(settings, resistance_work(settings))],
    "InversionSettings": lambda settings: [_part(settings, inversion_work(settings))],
    "ScaleSettings": scale_parts,
}
"""The models and work of each protocol, by the name of its settings."""


def parts_of_protocol(settings: Any) -> list[Part]:
    """The models and work of a protocol. Raises InputError for settings of a protocol that has no dry run."""
    kind = type(settings).__name__
    if kind not in PARTS:
        raise InputError(f"no dry run of {kind}", where="--dry-run", mend=f"there is one of {', '.join(PARTS)}")
    return PARTS[kind](settings)
